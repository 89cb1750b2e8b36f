//! The images that AWS offers for builds. Here each stands for an imported image, or is pulled.

use cloud::{Cx, Error};
use shapes::codebuild::*;

const AMAZON_LINUX: &[&str] = &[
    "aws/codebuild/amazonlinux-x86_64-standard:5.0",
    "aws/codebuild/amazonlinux-x86_64-standard:6.0",
];
const UBUNTU: &[&str] = &[
    "aws/codebuild/standard:5.0",
    "aws/codebuild/standard:6.0",
    "aws/codebuild/standard:7.0",
];

pub async fn list_curated_environment_images(
    _: Cx,
    _: ListCuratedEnvironmentImagesInput,
) -> Result<ListCuratedEnvironmentImagesOutput, Error> {
    let platform = |platform, names: &[&str]| EnvironmentPlatform {
        platform: Some(platform),
        languages: Some(vec![EnvironmentLanguage {
            language: Some(LanguageType::Base),
            images: Some(
                names
                    .iter()
                    .map(|name| EnvironmentImage {
                        name: Some((*name).to_owned()),
                        description: Some((*name).to_owned()),
                        versions: Some(vec![(*name).to_owned()]),
                    })
                    .collect(),
            ),
        }]),
    };
    Ok(ListCuratedEnvironmentImagesOutput {
        platforms: Some(vec![
            platform(PlatformType::AmazonLinux, AMAZON_LINUX),
            platform(PlatformType::Ubuntu, UBUNTU),
        ]),
    })
}
