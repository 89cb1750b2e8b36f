//! Keys themselves: made, described, listed.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error, Record, Records};
use shapes::kms::*;

use crate::cipher::{MATERIAL_BYTES, fill};
use crate::find::{self, invalid, limit, no_grants, not_pending, unsupported};
use crate::record::{KeyRecord, MaterialFacts, MaterialRecord, State};
use crate::{managed, policies, tags};

/// Refuses what is no symmetric key of this region with material of its own.
fn check_kind(input: &CreateKeyInput) -> Result<(), Error> {
    let older = input.customer_master_key_spec.map(|it| it.to_string());
    let newer = input.key_spec.map(|it| it.to_string());
    if older.is_some() && newer.is_some() {
        return Err(invalid(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.",
        ));
    }
    let spec = newer
        .or(older)
        .unwrap_or_else(|| KeySpec::SymmetricDefault.to_string());
    if spec != KeySpec::SymmetricDefault.to_string() {
        return Err(unsupported(&format!("a key of KeySpec {spec}")));
    }
    match input.key_usage {
        None | Some(KeyUsageType::EncryptDecrypt) => {}
        Some(other) => {
            return Err(invalid(format!(
                "KeyUsage {other} is not compatible with KeySpec {spec}"
            )));
        }
    }
    match input.origin {
        None | Some(OriginType::AwsKms) => {}
        Some(other) => return Err(unsupported(&format!("a key of Origin {other}"))),
    }
    Ok(())
}

pub async fn create_key(cx: Cx, input: CreateKeyInput) -> Result<CreateKeyOutput, Error> {
    check_kind(&input)?;
    let lockout = policies::Lockout::of(input.bypass_policy_lockout_safety_check);
    let policy = match &input.policy {
        Some(text) => policies::kept(&cx, text, lockout)?,
        None => policies::usual(cx.account()),
    };
    let mut tags = BTreeMap::new();
    tags::add(&cx, &mut tags, input.tags.unwrap_or_default())?;
    let key = NewKey {
        id: cloud::uuid(&cx.new_id("", 32)),
        description: input.description.unwrap_or_default(),
        policy,
        tags,
        managed_as: None,
    };
    let key = cx.write(|tx| make(&cx, tx, key))?;
    Ok(CreateKeyOutput {
        key_metadata: Some(key.metadata()),
    })
}

pub struct NewKey {
    pub id: String,
    pub description: String,
    pub policy: String,
    pub tags: BTreeMap<String, String>,
    pub managed_as: Option<String>,
}

/// Records a key with its first material, or answers the one that is there.
pub fn make(cx: &Cx, tx: &Records<'_>, new: NewKey) -> Result<KeyRecord, Error> {
    let mut key = KeyRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        id: new.id,
        description: new.description,
        policy: new.policy,
        tags: new.tags,
        state: State::Enabled,
        created_ms: cx.clock().now_ms(),
        managed_as: new.managed_as,
        aliases: BTreeSet::new(),
        rotation: None,
        materials: Vec::new(),
    };
    if let Some(there) = tx.get(&key.key())? {
        return Ok(there);
    }
    add_material(cx, tx, &mut key, None)?;
    tx.put(&key)?;
    Ok(key)
}

/// Gives a key new material, which is used from now on.
pub fn add_material(
    cx: &Cx,
    tx: &Records<'_>,
    key: &mut KeyRecord,
    rotated: Option<RotationType>,
) -> Result<(), Error> {
    /// As long as AWS's are.
    const ID_DIGITS: usize = 64;
    let mut secret = [0; MATERIAL_BYTES];
    fill(&mut secret)?;
    key.materials.push(MaterialFacts {
        id: cloud::random_hex(ID_DIGITS),
        made_ms: cx.clock().now_ms(),
        rotated,
    });
    tx.put(&MaterialRecord {
        region: key.region.clone(),
        key_id: key.id.clone(),
        number: key.current(),
        secret,
    })
}

pub async fn describe_key(cx: Cx, input: DescribeKeyInput) -> Result<DescribeKeyOutput, Error> {
    no_grants(input.grant_tokens.as_ref())?;
    // Who describes a predefined alias makes the key that it stands for.
    if let Some(alias) = find::Name::parse(&cx, &input.key_id)?.alias() {
        managed::make(&cx, alias)?;
    }
    let key = cx.read(|tx| find::key(&cx, tx, &input.key_id))?;
    Ok(DescribeKeyOutput {
        key_metadata: Some(key.metadata()),
    })
}

pub async fn list_keys(cx: Cx, input: ListKeysInput) -> Result<ListKeysOutput, Error> {
    /// AWS's default, and its most.
    const PAGE: usize = 100;
    const PAGE_MAX: usize = 1000;
    let owners = input.resource_owners.unwrap_or_default();
    let only_others = !owners.is_empty() && !owners.contains(&ResourceOwnerType::SelfValue);
    if only_others {
        return Ok(ListKeysOutput {
            keys: Some(Vec::new()),
            next_marker: None,
            truncated: Some(false),
        });
    }
    let count = limit(input.limit, PAGE, PAGE_MAX);
    let (prefix, after) = (cx.key(""), cx.key(input.marker.as_deref().unwrap_or("")));
    let mut ids = cx.read(|tx| tx.page_keys::<KeyRecord>(&prefix, &after, count + 1))?;
    let more = ids.len() > count;
    ids.truncate(count);
    let keys: Vec<KeyListEntry> = (ids.iter())
        .filter_map(|it| it.strip_prefix(&prefix))
        .map(|id| KeyListEntry {
            key_id: Some(id.to_owned()),
            key_arn: Some(cx.arn("kms", &format!("key/{id}"))),
        })
        .collect();
    Ok(ListKeysOutput {
        next_marker: keys
            .last()
            .filter(|_| more)
            .and_then(|it| it.key_id.clone()),
        keys: Some(keys),
        truncated: Some(more),
    })
}

pub async fn update_key_description(
    cx: Cx,
    input: UpdateKeyDescriptionInput,
) -> Result<UpdateKeyDescriptionOutput, Error> {
    cx.write(|tx| {
        let mut key = find::own_key(&cx, tx, &input.key_id, "UpdateKeyDescription")?;
        not_pending(&key)?;
        key.description = input.description;
        tx.put(&key)?;
        Ok(UpdateKeyDescriptionOutput {})
    })
}
