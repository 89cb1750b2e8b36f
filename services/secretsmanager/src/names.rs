//! How secrets are named, and the errors that say so.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Records};
use shapes::secretsmanager::{Tag, errors};

use crate::record::SecretRecord;

/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 50;
/// `-` and six more at the end of an ARN.
const SUFFIX_LENGTH: usize = 7;

pub fn invalid(message: impl Into<String>) -> Error {
    errors::InvalidParameterException.because(message)
}

pub fn bad_request(message: impl Into<String>) -> Error {
    errors::InvalidRequestException.because(message)
}

pub fn not_found() -> Error {
    errors::ResourceNotFoundException.because("Secrets Manager can't find the specified secret.")
}

/// The secret of a name, an ARN, or an ARN without its last seven characters; deleted ones, too.
pub fn find_any(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<SecretRecord, Error> {
    let own = cx.arn("secretsmanager", "secret:");
    let Some(rest) = id.strip_prefix(&own) else {
        return tx.get(&cx.key(id))?.ok_or_else(not_found);
    };
    let cut = rest.len().checked_sub(SUFFIX_LENGTH);
    let whole = cut.and_then(|at| Some((rest.get(..at)?, rest.get(at..)?.strip_prefix('-')?)));
    if let Some((name, suffix)) = whole {
        let found: Option<SecretRecord> = tx.get(&cx.key(name))?;
        if let Some(found) = found.filter(|it| it.suffix == suffix) {
            return Ok(found);
        }
    }
    tx.get(&cx.key(rest))?.ok_or_else(not_found)
}

/// The same, that is not deleted.
pub fn find(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<SecretRecord, Error> {
    let found = find_any(cx, tx, id)?;
    match found.gone_ms {
        None => Ok(found),
        Some(_) => Err(bad_request(
            "You can't perform this operation on the secret because it was marked for deletion.",
        )),
    }
}

pub fn check_name(name: &str) -> Result<(), Error> {
    let plain = |it: char| it.is_ascii_alphanumeric() || "/_+=.@-!".contains(it);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(wire::codes::ValidationException.because(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
        ));
    }
    Ok(())
}

pub fn add_tags(tags: &mut BTreeMap<String, String>, more: Vec<Tag>) -> Result<(), Error> {
    for tag in more {
        let key = tag
            .key
            .ok_or_else(|| invalid("You must provide a key for each tag."))?;
        tags.insert(key, tag.value.unwrap_or_default());
    }
    if tags.len() > TAGS_MAX {
        return Err(errors::LimitExceededException
            .because(format!("A secret can have no more than {TAGS_MAX} tags.")));
    }
    Ok(())
}
