//! Secrets themselves: made, changed, described.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records, remove_tags};
use shapes::secretsmanager::*;

use crate::names::{add_tags, bad_request, check_name, find, find_any};
use crate::record::{CURRENT, SecretRecord, VersionRecord, date};
use crate::seal::{open, own_key, seal};
use crate::value::{add_version, check_token, given, version_id};

/// The end of an ARN. A repeated request with a token gets the same.
pub fn suffix(cx: &Cx) -> String {
    const LENGTH: usize = 6;
    match cx.token {
        Some(_) => cx.new_id("", LENGTH),
        None => cloud::random_upper(LENGTH),
    }
}

pub async fn create_secret(cx: Cx, input: CreateSecretInput) -> Result<CreateSecretOutput, Error> {
    check_name(&input.name)?;
    let value = given(input.secret_string, input.secret_binary)?;
    check_token(&cx, value.as_ref(), input.client_request_token.as_ref())?;
    let version = version_id(&cx, input.client_request_token);
    let now = cx.clock().now_ms();
    let mut secret = SecretRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        name: input.name,
        suffix: suffix(&cx),
        description: input.description,
        tags: BTreeMap::new(),
        policy: None,
        created_ms: now,
        changed_ms: now,
        deleted_ms: None,
        gone_ms: None,
        stages: BTreeMap::new(),
        made_by: cx.token.clone(),
        read_ms: None,
        kms_key: own_key(input.kms_key_id.as_deref()),
    };
    add_tags(&mut secret.tags, input.tags.unwrap_or_default())?;
    let value = match value {
        Some(value) => Some(seal(&cx, &secret, &version, value).await?),
        None => None,
    };
    cx.write(|tx| {
        if let Some(there) = tx.get::<SecretRecord>(&secret.key())? {
            let repeated = there.made_by.is_some() && there.made_by == secret.made_by;
            let same = match (&value, there.version(tx, &version)?) {
                (Some(value), Some(there)) => *value == there.value,
                _ => false,
            };
            return match there.gone_ms {
                None if repeated || same => Ok(created(&there)),
                None => Err(errors::ResourceExistsException.because(format!(
                    "The operation failed because the secret {} already exists.",
                    there.name
                ))),
                Some(_) => Err(bad_request(
                    "You can't create this secret because a secret with this name is already scheduled for deletion.",
                )),
            };
        }
        if let Some(value) = value {
            add_version(&cx, tx, &mut secret, &version, value, &[CURRENT.to_owned()])?;
        }
        tx.put(&secret)?;
        Ok(created(&secret))
    })
}

fn created(secret: &SecretRecord) -> CreateSecretOutput {
    CreateSecretOutput {
        arn: Some(secret.arn()),
        name: Some(secret.name.clone()),
        version_id: secret.at_stage(CURRENT).map(str::to_owned),
        replication_status: None,
    }
}

pub async fn update_secret(cx: Cx, input: UpdateSecretInput) -> Result<UpdateSecretOutput, Error> {
    let value = given(input.secret_string, input.secret_binary)?;
    check_token(&cx, value.as_ref(), input.client_request_token.as_ref())?;
    let version = version_id(&cx, input.client_request_token);
    let there = cx.read(|tx| find(&cx, tx, &input.secret_id))?;
    let mut keyed = there.clone();
    if let Some(given) = &input.kms_key_id {
        keyed.kms_key = own_key(Some(given));
    }
    let moved = match there.kms_key == keyed.kms_key {
        true => Vec::new(),
        false => sealed_anew(&cx, &there, &keyed).await?,
    };
    let value = match value {
        Some(value) => Some(seal(&cx, &keyed, &version, value).await?),
        None => None,
    };
    cx.write(|tx| {
        let mut secret = find(&cx, tx, &input.secret_id)?;
        // KMS was asked since it was read: who names no key leaves the one that it has by now.
        if input.kms_key_id.is_some() {
            secret.kms_key = keyed.kms_key;
        }
        for (before, after) in moved {
            if tx.get::<VersionRecord>(&after.key())?.as_ref() == Some(&before) {
                tx.put(&after)?;
            }
        }
        if let Some(description) = input.description {
            secret.description = Some(description);
        }
        let mut version_id = None;
        if let Some(value) = value {
            add_version(&cx, tx, &mut secret, &version, value, &[CURRENT.to_owned()])?;
            version_id = Some(version);
        }
        secret.changed_ms = cx.clock().now_ms();
        tx.put(&secret)?;
        Ok(UpdateSecretOutput {
            arn: Some(secret.arn()),
            name: Some(secret.name),
            version_id,
        })
    })
}

/// The versions that have labels, each as it was and as the other key encrypts it.
async fn sealed_anew(
    cx: &Cx,
    there: &SecretRecord,
    keyed: &SecretRecord,
) -> Result<Vec<(VersionRecord, VersionRecord)>, Error> {
    let mut versions = cx.read(|tx| there.versions(tx))?;
    versions.retain(|it| !there.stages_of(&it.id).is_empty());
    let mut moved = Vec::new();
    for before in versions {
        let value = open(cx, there, &before.id, before.value.clone()).await?;
        let after = VersionRecord {
            value: seal(cx, keyed, &before.id, value).await?,
            ..before.clone()
        };
        moved.push((before, after));
    }
    Ok(moved)
}

pub async fn describe_secret(
    cx: Cx,
    input: DescribeSecretInput,
) -> Result<DescribeSecretOutput, Error> {
    let secret = cx.read(|tx| find_any(&cx, tx, &input.secret_id))?;
    Ok(DescribeSecretOutput {
        arn: Some(secret.arn()),
        tags: secret.shown_tags(),
        version_ids_to_stages: secret.shown_stages(),
        last_accessed_date: secret.read_ms.and_then(date),
        last_changed_date: date(secret.changed_ms),
        deleted_date: secret.deleted_ms.and_then(date),
        created_date: date(secret.created_ms),
        name: Some(secret.name),
        description: secret.description,
        kms_key_id: secret.kms_key,
        ..Default::default()
    })
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    let find = |tx: &Records<'_>| find(&cx, tx, &input.secret_id);
    cx.change(find, |it| add_tags(&mut it.tags, input.tags))?;
    Ok(TagResourceOutput {})
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    let find = |tx: &Records<'_>| find(&cx, tx, &input.secret_id);
    cx.change(find, |it| {
        remove_tags(&mut it.tags, &input.tag_keys);
        Ok(())
    })?;
    Ok(UntagResourceOutput {})
}
