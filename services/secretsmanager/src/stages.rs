//! Versions and the labels that are at them.

use cloud::{Cx, Error};
use shapes::secretsmanager::*;

use crate::names::{bad_request, find, find_any, invalid};
use crate::record::{CURRENT, Value, date};

pub async fn list_secret_version_ids(
    cx: Cx,
    input: ListSecretVersionIdsInput,
) -> Result<ListSecretVersionIdsOutput, Error> {
    /// AWS's most, which is also how many versions there may be.
    const PAGE: usize = 100;
    let (secret, mut versions) = cx.read(|tx| {
        let secret = find_any(&cx, tx, &input.secret_id)?;
        let versions = secret.versions(tx)?;
        Ok((secret, versions))
    })?;
    let deprecated = input.include_deprecated == Some(true);
    versions.retain(|it| deprecated || !secret.stages_of(&it.id).is_empty());
    if let Some(token) = &input.next_token {
        versions.retain(|it| it.id > *token);
    }
    let count = input.max_results.and_then(|it| usize::try_from(it).ok());
    let count = count.unwrap_or(PAGE).clamp(1, PAGE);
    let more = versions.len() > count;
    versions.truncate(count);
    let next_token = versions.last().filter(|_| more).map(|it| it.id.clone());
    let entry = |it: crate::record::VersionRecord| SecretVersionsListEntry {
        version_stages: Some(secret.stages_of(&it.id)),
        version_id: Some(it.id),
        created_date: date(it.created_ms),
        last_accessed_date: it.read_ms.and_then(date),
        // AWS writes so of the key that it manages.
        kms_key_ids: Some(vec![match it.value {
            Value::Sealed(sealed) => sealed.key,
            _ => "DefaultEncryptionKey".into(),
        }]),
    };
    Ok(ListSecretVersionIdsOutput {
        versions: Some(versions.into_iter().map(entry).collect()),
        next_token,
        arn: Some(secret.arn()),
        name: Some(secret.name),
    })
}

pub async fn update_secret_version_stage(
    cx: Cx,
    input: UpdateSecretVersionStageInput,
) -> Result<UpdateSecretVersionStageOutput, Error> {
    let stage = &input.version_stage;
    cx.write(|tx| {
        let mut secret = find(&cx, tx, &input.secret_id)?;
        let at = secret.at_stage(stage).map(str::to_owned);
        let (from, to) = (&input.remove_from_version_id, &input.move_to_version_id);
        for id in [from, to].into_iter().flatten() {
            if secret.version(tx, id)?.is_none() {
                return Err(errors::ResourceNotFoundException.because(format!(
                    "Secrets Manager can't find the specified secret version: {id}."
                )));
            }
        }
        if let Some(from) = from
            && at.as_ref() != Some(from)
        {
            return Err(invalid(format!(
                "The staging label {stage} is currently not attached to version {from}."
            )));
        }
        match to {
            Some(to) => {
                if at.as_ref().is_some_and(|it| it != to) && from.is_none() {
                    return Err(invalid(format!(
                        "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {}, so you must explicitly reference that version in RemoveFromVersionId.",
                        at.unwrap_or_default()
                    )));
                }
                secret.move_stage(stage, to);
            }
            None if from.is_none() => {
                return Err(invalid("One of RemoveFromVersionId and MoveToVersionId is required."));
            }
            None if stage == CURRENT => {
                return Err(bad_request(
                    "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
                ));
            }
            None => {
                for stages in secret.stages.values_mut() {
                    stages.remove(stage);
                }
            }
        }
        secret.changed_ms = cx.clock().now_ms();
        tx.put(&secret)?;
        Ok(UpdateSecretVersionStageOutput {
            arn: Some(secret.arn()),
            name: Some(secret.name),
        })
    })
}
