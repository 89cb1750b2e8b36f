//! Aliases: names that are moved from key to key.

use cloud::{Cx, Error, Record, Records};
use shapes::kms::*;

use crate::find::{self, ALIAS, invalid, limit, no_alias, not_pending};
use crate::managed::{PREDEFINED, predefined};
use crate::record::{AliasRecord, KeyRecord, date};

/// AWS's quota of aliases of one key.
const ALIASES_MAX: usize = 50;

pub fn new(cx: &Cx, name: &str, key: &KeyRecord) -> AliasRecord {
    let now = cx.clock().now_ms();
    AliasRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        name: name.to_owned(),
        key_id: key.id.clone(),
        created_ms: now,
        updated_ms: now,
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    match name.strip_prefix(ALIAS) {
        None | Some("") => Err(invalid("Invalid identifier")),
        Some(_) if name.starts_with(PREDEFINED) => Err(NOT_AUTHORIZED.because("")),
        Some(rest) if rest.contains(':') => Err(invalid(format!(
            "{name} contains invalid characters for an alias"
        ))),
        Some(_) => Ok(()),
    }
}

/// KMS has it beside the errors of its model.
const NOT_AUTHORIZED: cloud::ErrorCode = cloud::ErrorCode::sender("NotAuthorizedException", 400);

/// The key that an alias is to stand for: an alias is no name for it.
fn target(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<KeyRecord, Error> {
    if matches!(find::Name::parse(cx, id)?, find::Name::Alias(_)) {
        return Err(invalid("Aliases must refer to keys. Not aliases"));
    }
    let key = find::own_key(cx, tx, id, "CreateAlias")?;
    not_pending(&key)?;
    Ok(key)
}

fn link(tx: &Records<'_>, alias: &AliasRecord, mut key: KeyRecord) -> Result<(), Error> {
    key.aliases.insert(alias.name.clone());
    if key.aliases.len() > ALIASES_MAX {
        return Err(errors::LimitExceededException.because(format!(
            "A key can have no more than {ALIASES_MAX} aliases."
        )));
    }
    tx.put(alias)?;
    tx.put(&key)
}

fn unlink(cx: &Cx, tx: &Records<'_>, alias: &AliasRecord) -> Result<(), Error> {
    if let Some(mut key) = tx.get::<KeyRecord>(&cx.key(&alias.key_id))? {
        key.aliases.remove(&alias.name);
        tx.put(&key)?;
    }
    Ok(())
}

pub async fn create_alias(cx: Cx, input: CreateAliasInput) -> Result<CreateAliasOutput, Error> {
    check_name(&input.alias_name)?;
    cx.write(|tx| {
        let key = target(&cx, tx, &input.target_key_id)?;
        let alias = new(&cx, &input.alias_name, &key);
        if let Some(there) = tx.get::<AliasRecord>(&alias.key())? {
            // A request that is repeated finds what it made.
            if cx.token.is_some() && there.key_id == key.id {
                return Ok(CreateAliasOutput {});
            }
            return Err(errors::AlreadyExistsException.because(format!(
                "An alias with the name {} already exists",
                there.arn()
            )));
        }
        link(tx, &alias, key)?;
        Ok(CreateAliasOutput {})
    })
}

pub async fn update_alias(cx: Cx, input: UpdateAliasInput) -> Result<UpdateAliasOutput, Error> {
    check_name(&input.alias_name)?;
    cx.write(|tx| {
        let there = tx.get::<AliasRecord>(&cx.key(&input.alias_name))?;
        let mut alias = there.ok_or_else(|| no_alias(&cx, &input.alias_name))?;
        unlink(&cx, tx, &alias)?;
        // Read after that: it may be the same key.
        let key = target(&cx, tx, &input.target_key_id)?;
        alias.key_id.clone_from(&key.id);
        alias.updated_ms = cx.clock().now_ms();
        link(tx, &alias, key)?;
        Ok(UpdateAliasOutput {})
    })
}

pub async fn delete_alias(cx: Cx, input: DeleteAliasInput) -> Result<DeleteAliasOutput, Error> {
    check_name(&input.alias_name)?;
    cx.write(|tx| {
        let there = tx.get::<AliasRecord>(&cx.key(&input.alias_name))?;
        let alias = there.ok_or_else(|| no_alias(&cx, &input.alias_name))?;
        unlink(&cx, tx, &alias)?;
        tx.delete::<AliasRecord>(&alias.key())?;
        Ok(DeleteAliasOutput {})
    })
}

pub async fn list_aliases(cx: Cx, input: ListAliasesInput) -> Result<ListAliasesOutput, Error> {
    /// AWS's default, and its most.
    const PAGE: usize = 50;
    const PAGE_MAX: usize = 100;
    let count = limit(input.limit, PAGE, PAGE_MAX);
    let after = input.marker.unwrap_or_default();
    let mut aliases: Vec<AliasListEntry> = cx.read(|tx| {
        let Some(id) = &input.key_id else {
            let found: Vec<AliasRecord> = tx.page(&cx.key(""), &cx.key(&after), count + 1)?;
            let found = found.into_iter().map(shown).collect();
            return Ok(with_predefined(&cx, found, &after));
        };
        let key = find::key_itself(&cx, tx, id)?;
        let left = key.aliases.iter().filter(|it| **it > after);
        let found = left
            .take(count + 1)
            .map(|it| tx.get::<AliasRecord>(&cx.key(it)));
        Ok(found
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .map(shown)
            .collect())
    })?;
    let more = aliases.len() > count;
    aliases.truncate(count);
    let last = aliases.last().filter(|_| more);
    Ok(ListAliasesOutput {
        next_marker: last.and_then(|it| it.alias_name.clone()),
        aliases: Some(aliases),
        truncated: Some(more),
    })
}

/// With the predefined aliases whose key nobody has asked for yet: they are listed, and have no target.
fn with_predefined(cx: &Cx, mut aliases: Vec<AliasListEntry>, after: &str) -> Vec<AliasListEntry> {
    let name_of = |it: &AliasListEntry| it.alias_name.clone().unwrap_or_default();
    for name in predefined().filter(|it| it.as_str() > after) {
        let place = aliases.binary_search_by_key(&name, name_of);
        if let Err(place) = place {
            let entry = AliasListEntry {
                alias_arn: Some(cx.arn("kms", &name)),
                alias_name: Some(name),
                ..Default::default()
            };
            aliases.insert(place, entry);
        }
    }
    aliases
}

fn shown(alias: AliasRecord) -> AliasListEntry {
    AliasListEntry {
        alias_arn: Some(alias.arn()),
        alias_name: Some(alias.name),
        target_key_id: Some(alias.key_id),
        creation_date: date(alias.created_ms),
        last_updated_date: date(alias.updated_ms),
    }
}
