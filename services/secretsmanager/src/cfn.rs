//! `AWS::SecretsManager::Secret`: `Ref` is its ARN. CloudFormation deletes secrets at once.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::secretsmanager::*;

use crate::password::password;

pub struct SecretType;

/// What a generated name may be.
const NAME_LENGTH_MAX: usize = 256;

const GENERATE: &[Property] = &[
    Property::text("ExcludeCharacters"),
    Property::flag("ExcludeLowercase"),
    Property::flag("ExcludeNumbers"),
    Property::flag("ExcludePunctuation"),
    Property::flag("ExcludeUppercase"),
    Property::text("GenerateStringKey"),
    Property::flag("IncludeSpace"),
    Property::number("PasswordLength"),
    Property::flag("RequireEachIncludedType"),
    Property::text("SecretStringTemplate"),
];

/// The secret's value: as it is written, or a password, alone or as a member of a JSON text.
fn value(request: &ResourceRequest) -> Result<Option<String>, ResourceError> {
    let given = request.text("SecretString");
    let Some(generate) = request.get("GenerateSecretString") else {
        return Ok(given);
    };
    if given.is_some() {
        return Err(ResourceError::new(
            "only one of SecretString and GenerateSecretString can be given",
        ));
    }
    let mut wanted = generate.clone();
    let (template, key) = match wanted.as_object_mut() {
        Some(it) => (
            it.remove("SecretStringTemplate"),
            it.remove("GenerateStringKey"),
        ),
        None => (None, None),
    };
    let wanted = wire::lenient::<GetRandomPasswordInput>(wanted)
        .map_err(|error| ResourceError::new(format!("GenerateSecretString: {error}")))?;
    let password = password(&wanted)?;
    let (Some(template), Some(key)) = (&template, &key) else {
        if template.is_some() || key.is_some() {
            return Err(ResourceError::new(
                "SecretStringTemplate and GenerateStringKey belong together",
            ));
        }
        return Ok(Some(password));
    };
    let (template, key) = (
        template.as_str().unwrap_or_default(),
        key.as_str().unwrap_or_default(),
    );
    let mut json: Json = serde_json::from_str(template)
        .map_err(|error| ResourceError::new(format!("SecretStringTemplate: {error}")))?;
    match json.as_object_mut() {
        Some(members) => members.insert(key.to_owned(), json!(password)),
        None => {
            return Err(ResourceError::new(
                "SecretStringTemplate is not a JSON object",
            ));
        }
    };
    Ok(Some(json.to_string()))
}

fn tag_list(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag {
        key: Some(key),
        value: Some(value),
    };
    tags.into_iter().map(tag).collect()
}

#[async_trait]
impl ResourceType for SecretType {
    fn name(&self) -> &'static str {
        "AWS::SecretsManager::Secret"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("Description"),
                Property::object("GenerateSecretString").members(GENERATE),
                Property::text("KmsKeyId"),
                Property::text("Name").names(),
                Property::text("SecretString"),
                Property::TAGS,
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateSecretInput {
            name: request.name("Name", NAME_LENGTH_MAX),
            description: request.text("Description"),
            kms_key_id: request.text("KmsKeyId"),
            secret_string: value(request)?,
            tags: Some(tag_list(request.all_tags())),
            ..Default::default()
        };
        let made = cx.with_token(&request.token).call(input).await?;
        Created::of(made.arn)
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let secret_id = physical_id.to_owned();
        let generated = |properties: &Json| properties["GenerateSecretString"].clone();
        let written = |properties: &Json| properties["SecretString"].clone();
        let new = &request.properties;
        // A password is made anew only when it is wanted otherwise than before, and once.
        let changed = generated(old) != generated(new) || written(old) != written(new);
        let token = cloud::token_hex(&request.token, "version", 32);
        let there = GetSecretValueInput {
            secret_id: secret_id.clone(),
            version_id: Some(token.clone()),
            ..Default::default()
        };
        let done = cx.call(there).await.is_ok();
        let input = UpdateSecretInput {
            secret_id: secret_id.clone(),
            client_request_token: Some(token),
            description: Some(request.text("Description").unwrap_or_default()),
            kms_key_id: Some(request.text("KmsKeyId").unwrap_or_default()),
            secret_string: match changed && !done {
                true => value(request)?,
                false => None,
            },
            ..Default::default()
        };
        cx.call(input).await?;
        let untag = |tag_keys| UntagResourceInput {
            secret_id: secret_id.clone(),
            tag_keys,
        };
        let tag = |tags| TagResourceInput {
            secret_id: secret_id.clone(),
            tags: tag_list(tags),
        };
        request.tag_changes(old).apply(cx, untag, tag).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteSecretInput {
            secret_id: physical_id.to_owned(),
            force_delete_without_recovery: Some(true),
            ..Default::default()
        };
        let gone = &[errors::ResourceNotFoundException.code];
        cloud::deletion(cx.call(input).await, gone, &[])
    }
}
