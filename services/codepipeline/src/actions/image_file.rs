//! The image definitions file: a JSON list of `{name, imageUri}` (CodePipeline User Guide, "Image
//! definitions file reference").

use serde_json::Value as Json;

use super::artifacts;
use super::{Session, Trouble};
use crate::record::ActionRun;

const FILE_DEFAULT: &str = "imagedefinitions.json";
/// The reference's own limit.
const FILE_BYTES_MAX: u64 = 100 * 1024;

/// Containers and the images that they get.
pub async fn read(cx: &Session, run: &ActionRun) -> Result<Vec<(String, String)>, Trouble> {
    let name = run.setting("FileName").unwrap_or(FILE_DEFAULT);
    let location = artifacts::input(run, None)?;
    let content = artifacts::file(cx, run, location, name, FILE_BYTES_MAX).await?;
    let content = content.ok_or_else(|| {
        Trouble::configuration(format!(
            "Did not find the image definition file {name} in the input artifacts ZIP file. Verify the file is stored in your pipeline's Amazon S3 artifact bucket: {} key: {}",
            location.bucket, location.key
        ))
    })?;
    parse(&content).map_err(|()| {
        Trouble::configuration(format!(
            "The image definition file {name} contains invalid JSON format"
        ))
    })
}

fn parse(content: &[u8]) -> Result<Vec<(String, String)>, ()> {
    let json: Json = serde_json::from_slice(content).map_err(drop)?;
    let list = json.as_array().filter(|it| !it.is_empty()).ok_or(())?;
    let pairs = list.iter().map(|it| {
        let member = |name: &str| it[name].as_str().filter(|it| !it.is_empty());
        Some((member("name")?.to_owned(), member("imageUri")?.to_owned()))
    });
    pairs.collect::<Option<_>>().ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_of_names_and_images_is_taken() {
        let good = br#"[{"name": "web", "imageUri": "repo:1"}]"#;
        assert_eq!(parse(good), Ok(vec![("web".into(), "repo:1".into())]));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"name": "web", "imageUri": "repo:1"}"#,
            r#"[{"name": "web"}]"#,
            r#"[{"name": "web", "imageUri": ""}]"#,
            r#"[{"name": "web", "imageUri": "repo:1"},]"#,
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(()), "{bad}");
        }
    }
}
