//! Putting and deleting parameters.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error, Records};
use shapes::ssm::*;

use crate::names::{check_name, find, found, invalid, not_found, unsupported};
use crate::record::{Hidden, ParameterRecord, Version};
use crate::seal::{DEFAULT_KEY, Sealed, seal};
use crate::tags;

/// AWS's limits (Systems Manager quotas).
const STANDARD_BYTES_MAX: usize = 4096;
const ADVANCED_BYTES_MAX: usize = 8192;
const VERSIONS_MAX: usize = 100;
/// The length of what is shown for a value that is not decrypted: of the order of KMS's.
const SEALED_BYTES: usize = 120;

fn check_unsupported(input: &PutParameterInput) -> Result<(), Error> {
    match input.data_type.as_deref() {
        None | Some("" | "text") => (),
        Some(other) => return Err(unsupported(&format!("the data type {other}"))),
    }
    Ok(())
}

/// The value as the key encrypts it that the request names. Whose type is not said has the type that it had.
async fn sealed_by_own_key(cx: &Cx, input: &PutParameterInput) -> Result<Option<Sealed>, Error> {
    let Some(key) = (input.key_id.as_deref()).filter(|it| !it.is_empty() && *it != DEFAULT_KEY)
    else {
        return Ok(None);
    };
    let there = cx.read(|tx| {
        let there = found(cx, tx, &input.name)?;
        let kind = there.as_ref().map(|it| it.latest(tx)).transpose()?;
        Ok((there.map(|it| it.name), kind.map(|it| it.kind)))
    })?;
    let kind = input.r#type.or(there.1);
    if kind != Some(ParameterType::SecureString) {
        return Err(invalid(
            "KeyId is required for SecureString type parameter only.",
        ));
    }
    let name = there.0.unwrap_or_else(|| input.name.clone());
    seal(cx, key, &name, &input.value).await.map(Some)
}

/// The tier that the value gets.
fn tier(
    asked: Option<ParameterTier>,
    value: &str,
    before: Option<ParameterTier>,
) -> Result<ParameterTier, Error> {
    let advanced = before == Some(ParameterTier::Advanced);
    let tier = match asked {
        Some(ParameterTier::IntelligentTiering) if value.len() > STANDARD_BYTES_MAX || advanced => {
            ParameterTier::Advanced
        }
        Some(ParameterTier::IntelligentTiering) => ParameterTier::Standard,
        Some(ParameterTier::Standard) if advanced => {
            return Err(invalid(
                "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter.",
            ));
        }
        Some(tier) => tier,
        None => before.unwrap_or(ParameterTier::Standard),
    };
    if tier == ParameterTier::Standard && value.len() > STANDARD_BYTES_MAX {
        return Err(invalid(format!(
            "Standard tier parameters support a maximum parameter value of {STANDARD_BYTES_MAX} characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
        )));
    }
    if value.len() > ADVANCED_BYTES_MAX {
        return Err(invalid(format!(
            "Advanced tier parameters support a maximum parameter value of {ADVANCED_BYTES_MAX} characters."
        )));
    }
    Ok(tier)
}

fn check_pattern(pattern: Option<&str>, value: &str) -> Result<(), Error> {
    let Some(pattern) = pattern.filter(|it| !it.is_empty()) else {
        return Ok(());
    };
    let anywhere = format!("(?s:.*)(?:{pattern})(?s:.*)");
    let compiled = wire::compile_pattern(&anywhere).ok_or_else(|| {
        errors::InvalidAllowedPatternException.because(format!(
            "The allowed pattern {pattern} is not a regular expression"
        ))
    })?;
    if compiled.is_match(value) {
        return Ok(());
    }
    Err(errors::ParameterPatternMismatchException.because(format!(
        "Parameter value, cannot be validated against allowedPattern: {pattern}"
    )))
}

/// Text in the form of a ciphertext, which says nothing.
fn sealed() -> Result<String, Error> {
    use base64::Engine as _;
    use ring::rand::SecureRandom;
    let mut bytes = vec![0; SEALED_BYTES];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| wire::codes::InternalFailure.because("the machine gives no random numbers"))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

pub async fn put_parameter(cx: Cx, input: PutParameterInput) -> Result<PutParameterOutput, Error> {
    check_name(&cx, &input.name)?;
    check_unsupported(&input)?;
    if input.value.is_empty() {
        return Err(invalid(
            "1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.",
        ));
    }
    let overwrite = input.overwrite == Some(true);
    if overwrite && input.tags.as_ref().is_some_and(|it| !it.is_empty()) {
        return Err(invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.",
        ));
    }
    let own = sealed_by_own_key(&cx, &input).await?;
    cx.write(|tx| {
        let mut input = input;
        let there = found(&cx, tx, &input.name)?;
        if let Some(there) = &there {
            // What is there keeps its spelling.
            input.name.clone_from(&there.name);
        }
        let version = match there {
            Some(there) if cx.token.is_some() && there.made_by == cx.token && !overwrite => {
                there.latest(tx)?
            }
            Some(_) if !overwrite => {
                return Err(errors::ParameterAlreadyExists.because(
                    "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
                ));
            }
            there => put(&cx, tx, there, input, own)?,
        };
        Ok(PutParameterOutput {
            version: Some(version.number),
            tier: Some(version.tier),
        })
    })
}

fn put(
    cx: &Cx,
    tx: &Records<'_>,
    there: Option<ParameterRecord>,
    input: PutParameterInput,
    own: Option<Sealed>,
) -> Result<Version, Error> {
    let before = there.as_ref().map(|it| it.latest(tx)).transpose()?;
    let kind = match (input.r#type, before.as_ref().map(|it| it.kind)) {
        (Some(asked), Some(before)) if asked != before => {
            return Err(errors::HierarchyTypeMismatchException.because(format!(
                "Parameter Store doesn't support changing a parameter's type: {} is a {before}",
                input.name
            )));
        }
        (Some(kind), _) | (None, Some(kind)) => kind,
        (None, None) => {
            return Err(invalid(
                "A parameter type is required when you create a parameter.",
            ));
        }
    };
    let inherited = before.as_ref().and_then(|it| it.allowed_pattern.clone());
    let allowed_pattern = input.allowed_pattern.or(inherited);
    check_pattern(allowed_pattern.as_deref(), &input.value)?;
    let tier = tier(input.tier, &input.value, before.as_ref().map(|it| it.tier))?;
    let mut parameter = there.unwrap_or_else(|| ParameterRecord {
        region: cx.region.clone(),
        name: input.name.clone(),
        latest: 0,
        tags: BTreeMap::new(),
        made_by: cx.token.clone(),
    });
    tags::add(&mut parameter.tags, input.tags.unwrap_or_default())?;
    make_room(tx, &parameter)?;
    parameter.latest += 1;
    let version = Version {
        region: cx.region.clone(),
        name: input.name,
        number: parameter.latest,
        value: Hidden(match own {
            None => input.value,
            Some(_) => String::new(),
        }),
        own_key: own.as_ref().map(|it| it.key.clone()),
        sealed: match (kind, own) {
            (_, Some(own)) => Some(own.text),
            (ParameterType::SecureString, None) => Some(sealed()?),
            _ => None,
        },
        kind,
        description: input
            .description
            .or_else(|| before.and_then(|it| it.description)),
        allowed_pattern,
        tier,
        labels: BTreeSet::new(),
        modified_ms: cx.clock().now_ms(),
        modified_by: cx.caller.arn(cx.account()),
    };
    tx.put(&version)?;
    tx.put(&parameter)?;
    Ok(version)
}

/// The oldest version goes when there are as many as there may be, unless somebody named it.
fn make_room(tx: &Records<'_>, parameter: &ParameterRecord) -> Result<(), Error> {
    let versions = parameter.versions(tx)?;
    let Some(oldest) = versions.first().filter(|_| versions.len() >= VERSIONS_MAX) else {
        return Ok(());
    };
    if !oldest.labels.is_empty() {
        return Err(errors::ParameterMaxVersionLimitExceeded.because(format!(
            "You attempted to create a new version of {} by calling the PutParameter API with the overwrite flag. Version {}, the oldest version, can't be deleted because it has a label associated with it. Move the label to another version of the parameter, and try again.",
            parameter.name, oldest.number
        )));
    }
    use cloud::Record;
    tx.delete::<Version>(&oldest.key())?;
    Ok(())
}

fn delete(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<bool, Error> {
    use cloud::Record;
    let Ok(parameter) = find(cx, tx, name) else {
        return Ok(false);
    };
    for version in parameter.versions(tx)? {
        tx.delete::<Version>(&version.key())?;
    }
    tx.delete::<ParameterRecord>(&parameter.key())
}

pub async fn delete_parameter(
    cx: Cx,
    input: DeleteParameterInput,
) -> Result<DeleteParameterOutput, Error> {
    match cx.write(|tx| delete(&cx, tx, &input.name))? {
        true => Ok(DeleteParameterOutput {}),
        false => Err(not_found(&input.name)),
    }
}

pub async fn delete_parameters(
    cx: Cx,
    input: DeleteParametersInput,
) -> Result<DeleteParametersOutput, Error> {
    cx.write(|tx| {
        let (mut deleted, mut missing) = (Vec::new(), Vec::new());
        for name in input.names {
            match delete(&cx, tx, &name)? {
                true => deleted.push(name),
                false => missing.push(name),
            }
        }
        Ok(DeleteParametersOutput {
            deleted_parameters: Some(deleted),
            invalid_parameters: Some(missing),
        })
    })
}
