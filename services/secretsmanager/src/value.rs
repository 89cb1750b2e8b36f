//! Values: got and put.

use cloud::{Cx, Error, Record, Records};
use shapes::secretsmanager::*;

use crate::list::{check_filters, fits};
use crate::names::{bad_request, find, invalid};
use crate::permission::get_value;
use crate::record::{CURRENT, SecretRecord, Value, VersionRecord, date, day_of};
use crate::seal::{open, seal};

/// AWS's limits (Secrets Manager quotas).
const VALUE_BYTES_MAX: usize = 65_536;
const VERSIONS_MAX: usize = 100;
const STAGES_MAX: usize = 20;

/// The value that a request carries, when it carries one.
pub fn given(text: Option<String>, bytes: Option<wire::Blob>) -> Result<Option<Value>, Error> {
    let (value, length) = match (text, bytes) {
        (Some(_), Some(_)) => {
            return Err(invalid(
                "You can't specify both a binary secret value and a string secret value in the same secret.",
            ));
        }
        (Some(text), None) => (Value::Text(text.clone()), text.len()),
        (None, Some(bytes)) => (Value::Bytes(bytes.0.clone()), bytes.0.len()),
        (None, None) => return Ok(None),
    };
    if length > VALUE_BYTES_MAX {
        return Err(invalid(format!(
            "The secret value is longer than {VALUE_BYTES_MAX} bytes."
        )));
    }
    Ok(Some(value))
}

/// Clients write the token of a new version themselves; other services here need none.
pub fn check_token(cx: &Cx, value: Option<&Value>, token: Option<&String>) -> Result<(), Error> {
    match cx.origin.client().is_some() && value.is_some() && token.is_none() {
        true => Err(bad_request(
            "You must provide a ClientRequestToken value. We recommend a UUID-type value.",
        )),
        false => Ok(()),
    }
}

/// A version's id is the caller's token, or a new UUID.
pub fn version_id(cx: &Cx, token: Option<String>) -> String {
    token.unwrap_or_else(|| cloud::uuid(&cx.new_id("", 32)))
}

/// Adds a version and moves the labels to it; the caller puts the secret's record.
pub fn add_version(
    cx: &Cx,
    tx: &Records<'_>,
    secret: &mut SecretRecord,
    id: &str,
    value: Value,
    stages: &[String],
) -> Result<(), Error> {
    match secret.version(tx, id)? {
        Some(there) if there.value == value => return Ok(()),
        Some(_) => {
            return Err(errors::ResourceExistsException
                .because("A resource with the ID you requested already exists."));
        }
        None => (),
    }
    make_room(tx, secret)?;
    tx.put(&VersionRecord {
        region: secret.region.clone(),
        secret: secret.name.clone(),
        id: id.to_owned(),
        value,
        created_ms: cx.clock().now_ms(),
        read_ms: None,
    })?;
    // The first version is the current one whatever it is called.
    let first = secret.at_stage(CURRENT).is_none();
    secret.stages.entry(id.to_owned()).or_default();
    for stage in stages {
        secret.move_stage(stage, id);
    }
    if first {
        secret.move_stage(CURRENT, id);
    }
    secret.changed_ms = cx.clock().now_ms();
    Ok(())
}

/// Versions without labels go, the oldest first, when there are as many as there may be.
fn make_room(tx: &Records<'_>, secret: &mut SecretRecord) -> Result<(), Error> {
    if secret.stages.len() < VERSIONS_MAX {
        return Ok(());
    }
    let mut versions = secret.versions(tx)?;
    versions.sort_by_key(|it| it.created_ms);
    let unused = |it: &&VersionRecord| secret.stages.get(&it.id).is_none_or(|it| it.is_empty());
    let Some(oldest) = versions.iter().find(unused) else {
        return Err(errors::LimitExceededException.because(format!(
            "A secret can have no more than {VERSIONS_MAX} versions."
        )));
    };
    tx.delete::<VersionRecord>(&oldest.key())?;
    secret.stages.remove(&oldest.id);
    Ok(())
}

/// The version that is asked for, by its id, its label, or both.
fn select(
    tx: &Records<'_>,
    secret: &SecretRecord,
    id: Option<&str>,
    stage: Option<&str>,
) -> Result<VersionRecord, Error> {
    let missing = |what: String| {
        errors::ResourceNotFoundException.because(format!(
            "Secrets Manager can't find the specified secret value for {what}"
        ))
    };
    let by_stage = |stage: &str| {
        let found = secret.at_stage(stage).map(str::to_owned);
        found.ok_or_else(|| missing(format!("staging label: {stage}")))
    };
    let chosen = match (id, stage) {
        (Some(id), None) => id.to_owned(),
        (Some(id), Some(stage)) => {
            if secret.at_stage(stage) != Some(id) {
                return Err(bad_request(
                    "You provided a VersionStage that is not associated to the provided VersionId.",
                ));
            }
            id.to_owned()
        }
        (None, stage) => by_stage(stage.unwrap_or(CURRENT))?,
    };
    let found = secret.version(tx, &chosen)?;
    found.ok_or_else(|| missing(format!("VersionId: {chosen}")))
}

fn parts(value: Value) -> (Option<String>, Option<wire::Blob>) {
    match value {
        Value::Text(text) => (Some(text), None),
        Value::Bytes(bytes) => (None, Some(wire::Blob(bytes))),
        // It was opened before.
        Value::Sealed(_) => (None, None),
    }
}

pub async fn get_secret_value(
    cx: Cx,
    input: GetSecretValueInput,
) -> Result<GetSecretValueOutput, Error> {
    let (secret, version) = cx.read(|tx| {
        let secret = find(&cx, tx, &input.secret_id)?;
        let (id, stage) = (input.version_id.as_deref(), input.version_stage.as_deref());
        let version = select(tx, &secret, id, stage)?;
        Ok((secret, version))
    })?;
    let value = open(&cx, &secret, &version.id, version.value.clone()).await?;
    note_reading(&cx, &secret, &version)?;
    let (secret_string, secret_binary) = parts(value);
    Ok(GetSecretValueOutput {
        arn: Some(secret.arn()),
        version_stages: Some(secret.stages_of(&version.id)),
        version_id: Some(version.id),
        secret_string,
        secret_binary,
        created_date: date(version.created_ms),
        name: Some(secret.name),
    })
}

/// Notes the day on which a value was read: one write a day for each version, however often it is read.
fn note_reading(cx: &Cx, secret: &SecretRecord, version: &VersionRecord) -> Result<(), Error> {
    let today = Some(day_of(cx.clock().now_ms()));
    if secret.read_ms == today && version.read_ms == today {
        return Ok(());
    }
    cx.write(|tx| {
        if let Some(mut secret) = tx.get::<SecretRecord>(&secret.key())? {
            secret.read_ms = today;
            tx.put(&secret)?;
        }
        if let Some(mut version) = tx.get::<VersionRecord>(&version.key())? {
            version.read_ms = today;
            tx.put(&version)?;
        }
        Ok(())
    })
}

pub async fn put_secret_value(
    cx: Cx,
    input: PutSecretValueInput,
) -> Result<PutSecretValueOutput, Error> {
    let value = given(input.secret_string, input.secret_binary)?
        .ok_or_else(|| bad_request("You must provide either SecretString or SecretBinary."))?;
    check_token(&cx, Some(&value), input.client_request_token.as_ref())?;
    let version = version_id(&cx, input.client_request_token);
    let stages = input
        .version_stages
        .unwrap_or_else(|| vec![CURRENT.to_owned()]);
    if stages.len() > STAGES_MAX {
        return Err(errors::LimitExceededException.because(format!(
            "A version can have no more than {STAGES_MAX} staging labels."
        )));
    }
    let there = cx.read(|tx| find(&cx, tx, &input.secret_id))?;
    let value = seal(&cx, &there, &version, value).await?;
    cx.write(|tx| {
        let mut secret = find(&cx, tx, &input.secret_id)?;
        add_version(&cx, tx, &mut secret, &version, value, &stages)?;
        tx.put(&secret)?;
        Ok(PutSecretValueOutput {
            arn: Some(secret.arn()),
            version_stages: Some(secret.stages_of(&version)),
            name: Some(secret.name),
            version_id: Some(version),
        })
    })
}

pub async fn batch_get_secret_value(
    cx: Cx,
    input: BatchGetSecretValueInput,
) -> Result<BatchGetSecretValueOutput, Error> {
    /// AWS's limit.
    const SECRETS_MAX: usize = 20;
    let ids = match (input.secret_id_list, input.filters) {
        (Some(ids), None) => ids,
        (None, Some(filters)) => {
            check_filters(&filters)?;
            let mut all = cx.read(|tx| tx.list::<SecretRecord>(&cx.key("")))?;
            all.retain(|it| it.gone_ms.is_none() && filters.iter().all(|filter| fits(it, filter)));
            all.iter().map(SecretRecord::arn).collect()
        }
        _ => {
            return Err(invalid(
                "Either SecretIdList or Filters must be provided, but not both.",
            ));
        }
    };
    let start = match &input.next_token {
        Some(token) => (ids.iter().position(|it| it == token))
            .map(|at| at + 1)
            .ok_or_else(|| errors::InvalidNextTokenException.because("Invalid NextToken"))?,
        None => 0,
    };
    let count = input.max_results.and_then(|it| usize::try_from(it).ok());
    let count = count.unwrap_or(SECRETS_MAX).clamp(1, SECRETS_MAX);
    let page: Vec<_> = ids.iter().skip(start).take(count).cloned().collect();
    let more = ids.len() > start + page.len();
    let next_token = page.last().filter(|_| more).cloned();
    let (mut secret_values, mut failed) = (Vec::new(), Vec::new());
    for id in page {
        let input = GetSecretValueInput {
            secret_id: id.clone(),
            ..Default::default()
        };
        // Each value needs the permission that it needs alone (API reference).
        let needs = get_value().needs(&cx, "secretsmanager", &input);
        let found = match cx.authorize("secretsmanager", &needs) {
            Ok(()) => get_secret_value(cx.clone(), input).await,
            Err(denied) => Err(denied),
        };
        match found {
            Ok(it) => secret_values.push(SecretValueEntry {
                arn: it.arn,
                name: it.name,
                version_id: it.version_id,
                secret_binary: it.secret_binary,
                secret_string: it.secret_string,
                version_stages: it.version_stages,
                created_date: it.created_date,
            }),
            Err(error) => failed.push(APIErrorType {
                secret_id: Some(id),
                error_code: Some(error.code.to_owned()),
                message: Some(error.message),
            }),
        }
    }
    Ok(BatchGetSecretValueOutput {
        secret_values: Some(secret_values),
        next_token,
        errors: Some(failed),
    })
}
