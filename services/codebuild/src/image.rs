//! Which image a build runs in.
//!
//! AWS's own names (`aws/codebuild/standard:7.0`) stand, in this order, for an image of exactly that
//! name that was imported; for the one that was imported for all of them; for AWS's public image.
//! All other names are pulled, or are in the account's own registry.

use cloud::{Cx, Error, PullRefused};
use engine::{EngineError, Fault, ImageName, PreparedImage, RegistryLogin};
use shapes::codebuild::{ImagePullCredentialsType, ProjectEnvironment};
use shapes::secretsmanager::GetSecretValueInput;

use crate::names::invalid;
use crate::role;

const OWN: &str = "aws/codebuild/";
/// The image that stands for all of AWS's own, when somebody imported it.
pub const ENVIRONMENT: &str = "aws/codebuild/environment:latest";
const PUBLIC: &str = "public.ecr.aws/codebuild/";
/// The public image for those that are no longer published.
const PUBLIC_DEFAULT: &str = "amazonlinux-x86_64-standard:5.0";

pub fn check(name: &str) -> Result<(), Error> {
    match name.parse::<ImageName>() {
        Ok(_) => Ok(()),
        Err(error) => Err(invalid(format!("Invalid environment image: {error}"))),
    }
}

/// Whether docker is meant to be used with it even if the project does not ask for it: AWS's old
/// images for docker were always privileged.
pub fn is_docker(name: &str) -> bool {
    name.starts_with("aws/codebuild/docker:")
}

/// Makes the image ready, or says why a build cannot be run in it.
pub async fn prepare(
    cx: &Cx,
    environment: &ProjectEnvironment,
) -> Result<PreparedImage, EngineError> {
    let text = environment.image.as_str();
    let images = &cx.engine().images;
    if text.starts_with(OWN) {
        for candidate in [text, ENVIRONMENT] {
            let name: ImageName = candidate.parse()?;
            if images.resolve(&name).await.is_ok() {
                return images.prepare(&name, None).await;
            }
        }
        let name: ImageName = format!("{PUBLIC}{}", public_name(text)).parse()?;
        return images.prepare(&name, None).await.map_err(|error| {
            EngineError::new(
                error.fault,
                format!(
                    "`{text}` is not here and `{name}` cannot be pulled: {}. Make a build \
                     environment with `bin/build-environment FILE` and import it with `neargate \
                     image import FILE {ENVIRONMENT}`",
                    error.chain()
                ),
            )
        });
    }
    let name: ImageName = text.parse()?;
    may_pull(cx, environment, &name)?;
    let login = login(cx, environment).await?;
    images.prepare(&name, login).await.map_err(|error| {
        let cause = match error.fault {
            Fault::NotFound => format!("{name}: not found"),
            _ => error.chain(),
        };
        EngineError::new(error.fault, format!("CannotPullContainerError: {cause}"))
    })
}

/// Whether the image may be pulled with the credentials that the project asks for: the service role's, or
/// CodeBuild's own, which the repository's policy has to let in.
fn may_pull(
    cx: &Cx,
    environment: &ProjectEnvironment,
    name: &ImageName,
) -> Result<(), EngineError> {
    let asked = match environment.image_pull_credentials_type {
        Some(ImagePullCredentialsType::ServiceRole) => cx.authorize_pull(name),
        _ => role::codebuild(cx).authorize_pull(name),
    };
    asked.map_err(|refused| {
        EngineError::invalid(match refused {
            PullRefused::Login(error) => format!(
                "CannotPullContainerError: Error response from daemon: Get https://{}/v2/: no basic auth \
                 credentials: {}: {}",
                name.repository.host, error.code, error.message
            ),
            PullRefused::Image(error) => format!(
                "CannotPullContainerError: Error response from daemon: pull access denied for {}, \
                 repository does not exist or may require 'docker login': denied: {}",
                name.repository, error.message
            ),
        })
    })
}

fn public_name(text: &str) -> String {
    let own = text.strip_prefix(OWN).unwrap_or(text);
    match own.split_once(':') {
        Some(("amazonlinux2-x86_64-standard" | "amazonlinux-x86_64-standard", tag)) => {
            format!("amazonlinux-x86_64-standard:{tag}")
        }
        Some(("standard", tag)) => format!("standard:{tag}"),
        _ => PUBLIC_DEFAULT.to_owned(),
    }
}

/// User and password for a private registry, out of a secret.
async fn login(
    cx: &Cx,
    environment: &ProjectEnvironment,
) -> Result<Option<RegistryLogin>, EngineError> {
    let Some(credential) = &environment.registry_credential else {
        return Ok(None);
    };
    let asked = GetSecretValueInput {
        secret_id: credential.credential.clone(),
        ..Default::default()
    };
    let secret = cx.call(asked).await.map_err(|error| {
        EngineError::invalid(format!(
            "the registry's credential `{}` cannot be read: {}",
            credential.credential, error.message
        ))
    })?;
    let text = secret.secret_string.unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    match (json["username"].as_str(), json["password"].as_str()) {
        (Some(username), Some(password)) => Ok(Some(RegistryLogin {
            username: username.to_owned(),
            password: password.to_owned(),
        })),
        _ => Err(EngineError::invalid(format!(
            "the registry's credential `{}` has no `username` and `password`",
            credential.credential
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_aws_have_public_counterparts() {
        for (own, public) in [
            ("aws/codebuild/standard:7.0", "standard:7.0"),
            (
                "aws/codebuild/amazonlinux2-x86_64-standard:4.0",
                "amazonlinux-x86_64-standard:4.0",
            ),
            ("aws/codebuild/docker:17.09.0", PUBLIC_DEFAULT),
        ] {
            assert_eq!(public_name(own), public);
        }
    }
}
