//! AWS's public parameters that tell which image is the newest of its line (Systems Manager User Guide, "Calling
//! AMI public parameters"; ECS Developer Guide, "Retrieving Amazon ECS-Optimized Linux AMI metadata"). The
//! images are those that EC2 knows here; what else AWS publishes is not there.

use cloud::{Cx, Error};
use serde_json::json;
use shapes::ec2::{DescribeImagesInput, Filter, Image};
use shapes::ssm::{Parameter, ParameterType};

use crate::names::not_found;

/// Images of one line, of which the newest is meant.
struct Line {
    owner: &'static str,
    name: &'static str,
}

const fn amazon(name: &'static str) -> Line {
    Line {
        owner: "amazon",
        name,
    }
}

/// The parameters whose value is an image's id.
const IDS: &[(&str, Line)] = &[
    (
        "ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
        amazon("al2023-ami-2023.*-x86_64"),
    ),
    (
        "ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
        amazon("al2023-ami-2023.*-arm64"),
    ),
    (
        "ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64",
        amazon("al2023-ami-2023.*-kernel-6.1-x86_64"),
    ),
    (
        "ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64",
        amazon("al2023-ami-2023.*-kernel-6.1-arm64"),
    ),
    (
        "ami-amazon-linux-latest/al2023-ami-minimal-kernel-default-x86_64",
        amazon("al2023-ami-minimal-2023.*-x86_64"),
    ),
    (
        "ami-amazon-linux-latest/al2023-ami-minimal-kernel-default-arm64",
        amazon("al2023-ami-minimal-2023.*-arm64"),
    ),
    (
        "ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2",
        amazon("amzn2-ami-hvm-2.0.*-x86_64-gp2"),
    ),
    (
        "ami-amazon-linux-latest/amzn2-ami-hvm-arm64-gp2",
        amazon("amzn2-ami-hvm-2.0.*-arm64-gp2"),
    ),
    (
        "ami-amazon-linux-latest/amzn2-ami-kernel-5.10-hvm-x86_64-gp2",
        amazon("amzn2-ami-kernel-5.10-hvm-2.0.*-x86_64-gp2"),
    ),
    (
        "ami-amazon-linux-latest/amzn2-ami-kernel-5.10-hvm-arm64-gp2",
        amazon("amzn2-ami-kernel-5.10-hvm-2.0.*-arm64-gp2"),
    ),
];

/// The folders of images for ECS: what they recommend, its id and its name.
const FOR_ECS: &[(&str, &str, Line)] = &[
    (
        "amazon-linux-2",
        "Amazon Linux 2",
        amazon("amzn2-ami-ecs-hvm-2.0.*-x86_64-ebs"),
    ),
    (
        "amazon-linux-2/arm64",
        "Amazon Linux 2",
        amazon("amzn2-ami-ecs-hvm-2.0.*-arm64-ebs"),
    ),
    (
        "amazon-linux-2023",
        "Amazon Linux 2023",
        amazon("al2023-ami-ecs-hvm-2023.*-x86_64"),
    ),
    (
        "amazon-linux-2023/arm64",
        "Amazon Linux 2023",
        amazon("al2023-ami-ecs-hvm-2023.*-arm64"),
    ),
];

const FOLDER: &str = "/aws/service/";
const ECS_FOLDER: &str = "ecs/optimized-ami/";

/// Which of an image's facts a parameter has.
enum Told {
    Id,
    Name,
    /// All in one document, with the system's name.
    Document(&'static str),
}

fn meant(name: &str) -> Option<(&'static Line, Told)> {
    let name = name.strip_prefix(FOLDER)?;
    if let Some((_, line)) = IDS.iter().find(|it| it.0 == name) {
        return Some((line, Told::Id));
    }
    let (folder, last) = name.strip_prefix(ECS_FOLDER)?.split_once("/recommended")?;
    let (_, system, line) = FOR_ECS.iter().find(|it| it.0 == folder)?;
    let told = match last {
        "" => Told::Document(system),
        "/image_id" => Told::Id,
        "/image_name" => Told::Name,
        _ => return None,
    };
    Some((line, told))
}

/// It is no account's.
pub fn public_arn(cx: &Cx, name: &str) -> String {
    format!("arn:aws:ssm:{}::parameter{name}", cx.region)
}

/// A public parameter's value at this moment.
pub async fn parameter(cx: &Cx, name: &str) -> Result<Parameter, Error> {
    let (line, told) = meant(name).ok_or_else(|| not_found(name))?;
    let image = newest(cx, line).await?.ok_or_else(|| not_found(name))?;
    let (id, called) = (
        image.image_id.clone().unwrap_or_default(),
        image.name.clone().unwrap_or_default(),
    );
    let (value, data_type) = match told {
        Told::Id => (id, "aws:ec2:image"),
        Told::Name => (called, "text"),
        Told::Document(system) => {
            let all = json!({
                "schema_version": 1, "image_id": id, "image_name": called, "os": system,
            });
            (all.to_string(), "text")
        }
    };
    let created = image.creation_date.as_deref();
    Ok(Parameter {
        arn: Some(public_arn(cx, name)),
        name: Some(name.to_owned()),
        r#type: Some(ParameterType::String),
        value: Some(value),
        version: Some(1),
        last_modified_date: created.and_then(wire::Timestamp::from_iso8601),
        data_type: Some(data_type.to_owned()),
        ..Default::default()
    })
}

async fn newest(cx: &Cx, line: &Line) -> Result<Option<Image>, Error> {
    let input = DescribeImagesInput {
        owners: Some(vec![line.owner.to_owned()]),
        filters: Some(vec![Filter {
            name: Some("name".to_owned()),
            values: Some(vec![line.name.to_owned()]),
        }]),
        ..Default::default()
    };
    let found = cx.call(input).await?.images.unwrap_or_default();
    Ok(found
        .into_iter()
        .max_by(|a, b| a.creation_date.cmp(&b.creation_date)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_by_a_name() {
        let of = |name: &str| meant(name).map(|it| it.0.name);
        assert_eq!(
            of("/aws/service/ecs/optimized-ami/amazon-linux-2/recommended/image_id"),
            Some("amzn2-ami-ecs-hvm-2.0.*-x86_64-ebs")
        );
        assert_eq!(
            of("/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended"),
            Some("al2023-ami-ecs-hvm-2023.*-arm64")
        );
        assert_eq!(
            of("/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2"),
            Some("amzn2-ami-hvm-2.0.*-x86_64-gp2")
        );
        for name in [
            "/aws/service/ecs/optimized-ami/amazon-linux-2/recommended/none",
            "/aws/service/ecs/optimized-ami/windows/recommended",
            "/aws/service/global-infrastructure/regions",
        ] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
