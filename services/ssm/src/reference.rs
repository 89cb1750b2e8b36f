//! Secrets of Secrets Manager, which are got as parameters (Systems Manager User Guide, "Referencing AWS Secrets
//! Manager secrets from Parameter Store parameters"). Whoever asks must be allowed to get the secret as well.

use cloud::{Cx, Error};
use serde_json::json;
use shapes::secretsmanager::{GetSecretValueInput, errors as secret_errors};
use shapes::ssm::{Parameter, ParameterType, errors};

use crate::names::invalid;
use crate::record::arn;
use crate::seal::PRINCIPAL;

const PREFIX: &str = "/aws/reference/secretsmanager/";

/// The secret that a parameter's name stands for, if it does.
pub fn secret_of(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

pub async fn parameter(cx: &Cx, secret: &str, decrypted: bool) -> Result<Parameter, Error> {
    if !decrypted {
        return Err(invalid(
            "WithDecryption flag must be True for retrieving a Secret Manager secret.",
        ));
    }
    let input = GetSecretValueInput {
        secret_id: secret.to_owned(),
        ..Default::default()
    };
    let asking = cx.in_the_callers_name(PRINCIPAL);
    let found = match asking.call(input).await {
        Err(error) if error.is(secret_errors::ResourceNotFoundException) => {
            return Err(errors::ParameterNotFound.because(format!(
                "An error occurred (ParameterNotFound) when referencing Secrets Manager: Secret {PREFIX}{secret} not found."
            )));
        }
        other => other?,
    };
    let text = found.secret_string.ok_or_else(|| {
        invalid(format!(
            "The secret {secret} has no text: what has bytes is not supported as a parameter"
        ))
    })?;
    let name = format!("{PREFIX}{secret}");
    let source = json!({
        "ARN": found.arn,
        "name": found.name,
        "versionId": found.version_id,
        "secretString": text,
        "versionStages": found.version_stages,
        "createdDate": found.created_date.map(|it| it.0),
    });
    Ok(Parameter {
        arn: Some(arn(cx, &name)),
        name: Some(name),
        r#type: Some(ParameterType::SecureString),
        value: Some(text),
        version: Some(0),
        selector: None,
        source_result: Some(source.to_string()),
        last_modified_date: found.created_date,
        data_type: Some("text".into()),
    })
}
