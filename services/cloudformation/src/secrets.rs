//! Puts in what dynamic references stand for, at the last moment: the values reach the service that
//! makes a resource, and neither a record nor an event.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cloud::{Cx, ResourceError};
use serde_json::Value as Json;
use shapes::{secretsmanager, ssm};
use template::dynamic::{self, Reference};

/// Values with every reference replaced, and what no message may contain from here on.
#[derive(Debug, Default)]
pub struct Resolved {
    values: BTreeMap<Reference, String>,
}

impl Resolved {
    /// Looks up everything that the properties refer to.
    pub async fn of(cx: &Cx, properties: &Json) -> Result<Self, ResourceError> {
        let mut values = BTreeMap::new();
        for reference in dynamic::references(properties).map_err(ResourceError::new)? {
            if let Entry::Vacant(place) = values.entry(reference) {
                let value = look_up(cx, place.key()).await?;
                place.insert(value);
            }
        }
        Ok(Self { values })
    }

    pub fn put_into(&self, properties: &Json) -> Result<Json, ResourceError> {
        let value = |it: &Reference| {
            (self.values.get(it).cloned())
                .ok_or_else(|| "a dynamic reference was not looked up".to_owned())
        };
        dynamic::replace(properties, &value).map_err(ResourceError::new)
    }

    /// What came out of Secrets Manager.
    pub fn secrets(&self) -> impl Iterator<Item = String> + '_ {
        (self.values.iter())
            .filter(|(reference, _)| matches!(reference, Reference::Secret { .. }))
            .map(|(_, value)| value.clone())
    }
}

/// A text that people will read, with what it takes from the Parameter Store, if it takes something. Where it
/// refers to a secret it stays as it is.
pub async fn shown(cx: &Cx, text: &str) -> Result<Option<String>, ResourceError> {
    if !text.contains(dynamic::BEGIN) {
        return Ok(None);
    }
    let text = Json::from(text);
    let references = dynamic::references(&text).map_err(ResourceError::new)?;
    let is_parameter = |it: &Reference| matches!(it, Reference::Parameter { .. });
    if references.is_empty() || !references.iter().all(is_parameter) {
        return Ok(None);
    }
    let told = Resolved::of(cx, &text).await?.put_into(&text)?;
    Ok(told.as_str().map(str::to_owned))
}

async fn look_up(cx: &Cx, reference: &Reference) -> Result<String, ResourceError> {
    match reference {
        Reference::Parameter { name, version } => parameter(cx, name, version.as_deref()).await,
        Reference::Secret {
            id,
            key,
            stage,
            version,
        } => {
            let answer = cx
                .call(secretsmanager::GetSecretValueInput {
                    secret_id: id.clone(),
                    version_id: version.clone(),
                    version_stage: stage.clone(),
                })
                .await?;
            let secret = answer
                .secret_string
                .ok_or_else(|| ResourceError::new(format!("the secret {id} is not text")))?;
            match key {
                None => Ok(secret),
                Some(key) => member(&secret, key).ok_or_else(|| {
                    ResourceError::new(format!(
                        "Could not find a value associated with JSONKey in SecretString: {key} of {id}"
                    ))
                }),
            }
        }
    }
}

fn member(secret: &str, key: &str) -> Option<String> {
    let secret: Json = serde_json::from_str(secret).ok()?;
    match secret.get(key)? {
        Json::String(text) => Some(text.clone()),
        Json::Null => None,
        other => Some(other.to_string()),
    }
}

async fn parameter(cx: &Cx, name: &str, version: Option<&str>) -> Result<String, ResourceError> {
    let whole = match version {
        Some(version) => format!("{name}:{version}"),
        None => name.to_owned(),
    };
    let answer = cx
        .call(ssm::GetParametersInput {
            names: vec![whole.clone()],
            with_decryption: None,
        })
        .await?;
    let found = answer.parameters.unwrap_or_default().into_iter().next();
    match found {
        Some(it) if it.r#type == Some(ssm::ParameterType::SecureString) => Err(ResourceError::new(
            format!("Non-secure ssm prefix was used for secure parameter: {name}"),
        )),
        Some(ssm::Parameter {
            value: Some(value), ..
        }) => Ok(value),
        _ => Err(ResourceError::new(format!(
            "Unable to fetch parameters [{whole}] from parameter store for this account."
        ))),
    }
}
