//! What a container gets out of Parameter Store and Secrets Manager: variables, and the login of a
//! private registry. Values are asked for when the task starts, in the name of its execution role, and
//! go into the engine's order alone: no record, log or description has them.

use cloud::{Cx, Error};
use engine::RegistryLogin;
use serde_json::Value as Json;
use shapes::ecs::{ContainerDefinition, Secret};
use shapes::secretsmanager::{GetSecretValueInput, errors as secret_errors};
use shapes::ssm::{GetParametersInput, ParameterType};

use crate::execution_role::ExecutionRole;
use crate::record::Definition;
use crate::task_record::Task;
use crate::task_start::CannotStart;

/// A variable's name and value.
pub type Variable = (String, String);

type Attempt<T> = Result<Result<T, CannotStart>, converge::Error>;

/// Where a value comes from, read out of `valueFrom`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Parameter {
        region: Option<String>,
        name: String,
    },
    /// `arn:…:secret:name-suffix[:json-key[:stage[:version]]]`
    Secret {
        region: String,
        arn: String,
        key: Option<String>,
        stage: Option<String>,
        version: Option<String>,
    },
}

fn source(value_from: &str) -> Source {
    let parts: Vec<&str> = value_from.split(':').collect();
    let given = |at: usize| {
        parts
            .get(at)
            .filter(|it| !it.is_empty())
            .map(|it| (*it).to_owned())
    };
    match parts[..] {
        ["arn", _, "secretsmanager", region, _, "secret", _, ..] => Source::Secret {
            region: region.to_owned(),
            arn: parts[..7].join(":"),
            key: given(7),
            stage: given(8),
            version: given(9),
        },
        ["arn", _, "ssm", region, ..] => Source::Parameter {
            region: Some(region.to_owned()),
            name: value_from.to_owned(),
        },
        _ => Source::Parameter {
            region: None,
            name: value_from.to_owned(),
        },
    }
}

/// As Fargate's agent says it.
fn cannot(what: impl std::fmt::Display) -> CannotStart {
    CannotStart(format!(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: {what}"
    ))
}

/// Asks in the name of the task's execution role.
struct Asking<'a> {
    cx: &'a Cx,
    role: ExecutionRole<'a>,
}

impl<'a> Asking<'a> {
    fn new(cx: &'a Cx, task: &'a Task, definition: &Definition) -> Result<Self, Error> {
        Ok(Self {
            cx,
            role: ExecutionRole::of(cx, task, definition)?,
        })
    }

    async fn call<I: wire::Operation + Send + 'static>(
        &self,
        region: Option<&str>,
        input: I,
    ) -> Result<I::Output, Error> {
        let region = region.unwrap_or(&self.cx.region);
        self.role.call(region, input).await
    }

    async fn parameter(&self, region: Option<&str>, name: &str) -> Attempt<String> {
        let failed = |why: String| {
            cannot(format!(
                "unable to retrieve secrets from ssm: service call has been retried 1 time(s): {why}"
            ))
        };
        let input = GetParametersInput {
            names: vec![name.to_owned()],
            with_decryption: Some(true),
        };
        match self.call(region, input).await {
            Ok(found) => {
                let found = found.parameters.unwrap_or_default().into_iter().next();
                let usable = |kind| kind != Some(ParameterType::StringList);
                match found {
                    Some(it) if usable(it.r#type) => Ok(Ok(it.value.unwrap_or_default())),
                    Some(_) => Ok(Err(failed(format!(
                        "unsupported parameter type StringList: {name}"
                    )))),
                    None => Ok(Err(failed(format!("invalid parameters: {name}")))),
                }
            }
            Err(error) if error.status >= 500 => Err(error.into()),
            Err(error) => Ok(Err(failed(format!("{}: {}", error.code, error.message)))),
        }
    }

    /// The whole text of a secret.
    async fn secret(&self, region: &str, arn: &str, input: GetSecretValueInput) -> Attempt<String> {
        let failed = |why: String| {
            cannot(format!(
                "unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret {arn} from secrets manager: {why}"
            ))
        };
        match self.call(Some(region), input).await {
            Ok(found) => match found.secret_string {
                Some(text) => Ok(Ok(text)),
                None => Ok(Err(failed("the secret has no SecretString".into()))),
            },
            Err(error) if error.status >= 500 && !error.is(secret_errors::InternalServiceError) => {
                Err(error.into())
            }
            Err(error) => Ok(Err(failed(format!("{}: {}", error.code, error.message)))),
        }
    }

    async fn value(&self, value_from: &str) -> Attempt<String> {
        let (region, arn, key, stage, version) = match source(value_from) {
            Source::Parameter { region, name } => {
                return self.parameter(region.as_deref(), &name).await;
            }
            Source::Secret {
                region,
                arn,
                key,
                stage,
                version,
            } => (region, arn, key, stage, version),
        };
        let input = GetSecretValueInput {
            secret_id: arn.clone(),
            version_id: version,
            version_stage: stage,
        };
        let text = match self.secret(&region, &arn, input).await? {
            Ok(text) => text,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(match key {
            None => Ok(text),
            Some(key) => member(&text, &key).ok_or_else(|| {
                cannot(format!(
                    "retrieved secret from Secrets Manager did not contain json key {key}"
                ))
            }),
        })
    }
}

/// A member of a JSON text, as the text that a variable can hold.
fn member(text: &str, key: &str) -> Option<String> {
    let json: Json = serde_json::from_str(text).ok()?;
    match json.get(key)? {
        Json::String(text) => Some(text.clone()),
        Json::Null => None,
        other => Some(other.to_string()),
    }
}

/// The variables of a container whose values are kept elsewhere.
pub async fn variables(
    cx: &Cx,
    task: &Task,
    definition: &Definition,
    container: &ContainerDefinition,
) -> Attempt<Vec<Variable>> {
    let asking = Asking::new(cx, task, definition)?;
    let mut variables = Vec::new();
    for Secret { name, value_from } in container.secrets.iter().flatten() {
        match asking.value(value_from).await? {
            Ok(value) => variables.push((name.clone(), value)),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    Ok(Ok(variables))
}

/// The login that a container's image is pulled with: a secret of `username` and `password`.
pub async fn registry_login(
    cx: &Cx,
    task: &Task,
    definition: &Definition,
    container: &ContainerDefinition,
) -> Attempt<Option<RegistryLogin>> {
    let Some(credentials) = &container.repository_credentials else {
        return Ok(Ok(None));
    };
    let asking = Asking::new(cx, task, definition)?;
    let text = match asking.value(&credentials.credentials_parameter).await? {
        Ok(text) => text,
        Err(reason) => return Ok(Err(reason)),
    };
    let login = member(&text, "username").zip(member(&text, "password"));
    Ok(match login {
        Some((username, password)) => Ok(Some(RegistryLogin { username, password })),
        None => Err(cannot(format!(
            "the secret {} must have the members username and password",
            credentials.credentials_parameter
        ))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_values_are_read() {
        let parameter = |region: Option<&str>, name: &str| Source::Parameter {
            region: region.map(str::to_owned),
            name: name.into(),
        };
        assert_eq!(source("/web/key"), parameter(None, "/web/key"));
        assert_eq!(source("key"), parameter(None, "key"));
        let arn = "arn:aws:ssm:eu-west-1:000000000000:parameter/web/key";
        assert_eq!(source(arn), parameter(Some("eu-west-1"), arn));
        let arn = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:db-AbCdEf";
        let secret = |key: Option<&str>, stage: Option<&str>, version: Option<&str>| {
            let owned = |it: Option<&str>| it.map(str::to_owned);
            Source::Secret {
                region: "eu-west-1".into(),
                arn: arn.into(),
                key: owned(key),
                stage: owned(stage),
                version: owned(version),
            }
        };
        assert_eq!(source(arn), secret(None, None, None));
        assert_eq!(
            source(&format!("{arn}:password::")),
            secret(Some("password"), None, None)
        );
        assert_eq!(
            source(&format!("{arn}::AWSPREVIOUS:")),
            secret(None, Some("AWSPREVIOUS"), None)
        );
        assert_eq!(
            source(&format!("{arn}:::id")),
            secret(None, None, Some("id"))
        );
    }

    #[test]
    fn members_of_secrets_become_text() {
        let text = r#"{"a": "x", "port": 5432, "no": null}"#;
        assert_eq!(member(text, "a").as_deref(), Some("x"));
        assert_eq!(member(text, "port").as_deref(), Some("5432"));
        assert_eq!(member(text, "no"), None);
        assert_eq!(member("not JSON", "a"), None);
    }
}
