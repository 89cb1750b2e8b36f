//! Lists of secrets, and the filters that pick them.

use cloud::{Cx, Error};
use shapes::secretsmanager::*;

use crate::names::invalid;
use crate::record::{SecretRecord, date};

pub fn check_filters(filters: &[Filter]) -> Result<(), Error> {
    for filter in filters {
        let Some(key) = filter.key else {
            return Err(invalid("Invalid filter key"));
        };
        if filter.values.as_ref().is_none_or(Vec::is_empty) {
            return Err(invalid(format!("Invalid filter values for key: {key}")));
        }
    }
    Ok(())
}

/// A value that begins with `!` is one that must not fit. Names, keys and values of tags fit by their
/// beginning; of a description some word by its beginning for each word that is looked for, whatever their
/// case; `all` looks for words anywhere.
pub fn fits(secret: &SecretRecord, filter: &Filter) -> bool {
    let values = filter.values.iter().flatten();
    let (unwanted, wanted): (Vec<_>, Vec<_>) = values.partition(|it| it.starts_with('!'));
    let has = |value: &str| {
        has(
            secret,
            filter.key.unwrap_or(FilterNameStringType::All),
            value,
        )
    };
    let wanted = wanted.is_empty() || wanted.iter().any(|it| has(it));
    wanted && !unwanted.iter().any(|it| has(&it[1..]))
}

fn has(secret: &SecretRecord, key: FilterNameStringType, value: &str) -> bool {
    let description = secret
        .description
        .clone()
        .unwrap_or_default()
        .to_lowercase();
    let lower = value.to_lowercase();
    match key {
        FilterNameStringType::Name => secret.name.starts_with(value),
        FilterNameStringType::Description => lower.split_whitespace().all(|wanted| {
            let mut words = description.split_whitespace();
            words.any(|word| word.starts_with(wanted))
        }),
        FilterNameStringType::TagKey => secret.tags.keys().any(|it| it.starts_with(value)),
        FilterNameStringType::TagValue => secret.tags.values().any(|it| it.starts_with(value)),
        FilterNameStringType::PrimaryRegion => secret.region.starts_with(value),
        FilterNameStringType::OwningService => false,
        FilterNameStringType::All => {
            let mut texts = vec![secret.name.to_lowercase(), description];
            for (key, value) in &secret.tags {
                texts.extend([key.to_lowercase(), value.to_lowercase()]);
            }
            lower
                .split_whitespace()
                .all(|word| texts.iter().any(|it| it.contains(word)))
        }
    }
}

pub async fn list_secrets(cx: Cx, input: ListSecretsInput) -> Result<ListSecretsOutput, Error> {
    /// AWS's default, and its most.
    const PAGE: usize = 100;
    let filters = input.filters.unwrap_or_default();
    check_filters(&filters)?;
    let mut all = cx.read(|tx| tx.list::<SecretRecord>(&cx.key("")))?;
    let deleted = input.include_planned_deletion == Some(true);
    all.retain(|it| deleted || it.gone_ms.is_none());
    all.retain(|it| filters.iter().all(|filter| fits(it, filter)));
    match input.sort_by {
        Some(SortByType::Name) => (),
        Some(SortByType::LastChangedDate) => all.sort_by_key(|it| it.changed_ms),
        Some(SortByType::LastAccessedDate) => all.sort_by_key(|it| it.read_ms),
        _ => all.sort_by_key(|it| it.created_ms),
    }
    if input.sort_order == Some(SortOrderType::Desc) {
        all.reverse();
    }
    if let Some(token) = &input.next_token {
        let at = all.iter().position(|it| it.name == *token).ok_or_else(|| {
            errors::InvalidNextTokenException.because("The NextToken value is invalid.")
        })?;
        all.drain(..=at);
    }
    let count = input.max_results.and_then(|it| usize::try_from(it).ok());
    let count = count.unwrap_or(PAGE).clamp(1, PAGE);
    let more = all.len() > count;
    all.truncate(count);
    Ok(ListSecretsOutput {
        next_token: all.last().filter(|_| more).map(|it| it.name.clone()),
        secret_list: Some(all.into_iter().map(entry).collect()),
    })
}

fn entry(secret: SecretRecord) -> SecretListEntry {
    SecretListEntry {
        arn: Some(secret.arn()),
        tags: secret.shown_tags(),
        secret_versions_to_stages: secret.shown_stages(),
        last_accessed_date: secret.read_ms.and_then(date),
        last_changed_date: date(secret.changed_ms),
        deleted_date: secret.deleted_ms.and_then(date),
        created_date: date(secret.created_ms),
        name: Some(secret.name),
        description: secret.description,
        kms_key_id: secret.kms_key,
        ..Default::default()
    }
}
