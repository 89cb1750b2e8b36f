//! How keys are named, and the errors that say so.

use cloud::{Cx, Error, Records};
use shapes::kms::errors;

use crate::managed;
use crate::record::{AliasRecord, KeyRecord, State};

pub const ALIAS: &str = "alias/";
/// A UUID with its dashes.
const ID_LENGTH: usize = 36;

pub fn invalid(message: impl Into<String>) -> Error {
    wire::codes::ValidationException.because(message)
}

/// A feature that is not built.
pub fn unsupported(what: &str) -> Error {
    shapes::kms::MODEL.unsupported(what)
}

/// What somebody calls a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    Id(String),
    /// With its `alias/`.
    Alias(String),
}

impl Name {
    /// An id, an alias, or the ARN of either, of this region and account.
    pub fn parse(cx: &Cx, text: &str) -> Result<Self, Error> {
        let not_found = |message: String| errors::NotFoundException.because(message);
        let local = match text.strip_prefix("arn:") {
            None => text,
            Some(_) => {
                let parts: Vec<_> = text.splitn(6, ':').collect();
                let [_, partition, "kms", region, account, rest] = parts[..] else {
                    return Err(not_found(format!("Invalid arn {text}")));
                };
                if partition != "aws" || region != cx.region {
                    return Err(not_found(format!("Invalid arn {region}")));
                }
                if account != cx.account() {
                    return Err(not_found(format!("Key '{text}' does not exist")));
                }
                match rest.strip_prefix("key/") {
                    Some(id) => return Ok(Self::Id(id.to_owned())),
                    None if rest.starts_with(ALIAS) => rest,
                    None => return Err(not_found(format!("Invalid arn {text}"))),
                }
            }
        };
        match local.starts_with(ALIAS) {
            true => Ok(Self::Alias(local.to_owned())),
            false => Ok(Self::Id(local.to_owned())),
        }
    }

    /// The alias that it is, with its `alias/`.
    pub fn alias(&self) -> Option<&str> {
        match self {
            Self::Id(_) => None,
            Self::Alias(name) => Some(name),
        }
    }
}

fn of_id(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<KeyRecord, Error> {
    let is_id = id.len() == ID_LENGTH && id.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
    if !is_id {
        let message = format!("Invalid keyId '{id}'");
        return Err(errors::NotFoundException.because(message));
    }
    (tx.get(&cx.key(id))?).ok_or_else(|| {
        let arn = cx.arn("kms", &format!("key/{id}"));
        errors::NotFoundException.because(format!("Key '{arn}' does not exist"))
    })
}

/// The key of an id, an alias, or the ARN of either.
pub fn key(cx: &Cx, tx: &Records<'_>, text: &str) -> Result<KeyRecord, Error> {
    match Name::parse(cx, text)? {
        Name::Id(id) => of_id(cx, tx, &id),
        Name::Alias(name) => {
            let alias: Option<AliasRecord> = tx.get(&cx.key(&name))?;
            match alias {
                Some(alias) => of_id(cx, tx, &alias.key_id),
                None => Err(no_alias(cx, &name)),
            }
        }
    }
}

pub fn no_alias(cx: &Cx, name: &str) -> Error {
    let arn = cx.arn("kms", name);
    errors::NotFoundException.because(format!("Alias {arn} is not found."))
}

/// [`key`] where AWS takes no alias.
pub fn key_itself(cx: &Cx, tx: &Records<'_>, text: &str) -> Result<KeyRecord, Error> {
    match Name::parse(cx, text)? {
        Name::Id(id) => of_id(cx, tx, &id),
        Name::Alias(_) => {
            let message = format!("Invalid keyId '{text}'");
            Err(errors::NotFoundException.because(message))
        }
    }
}

/// [`key_itself`] of one that its owner may change: keys that AWS manages are not anybody's.
pub fn own_key(cx: &Cx, tx: &Records<'_>, text: &str, action: &str) -> Result<KeyRecord, Error> {
    let key = key_itself(cx, tx, text)?;
    match key.managed_as {
        None => Ok(key),
        Some(_) => Err(wire::codes::AccessDeniedException.because(format!(
            "User: {} is not authorized to perform: kms:{action} on resource: {} because no resource-based policy allows the kms:{action} action",
            cx.caller.arn(cx.account()),
            key.arn()
        ))),
    }
}

/// [`key`] to be used: a key that AWS manages is made when it is first asked for.
pub fn key_in_use(cx: &Cx, text: &str) -> Result<KeyRecord, Error> {
    let name = Name::parse(cx, text)?;
    if let Some(alias) = name.alias() {
        managed::make(cx, alias)?;
    }
    let key = cx.read(|tx| key(cx, tx, text))?;
    usable(&key)?;
    Ok(key)
}

/// Refuses what a key cannot do while it is disabled or about to be deleted.
pub fn usable(key: &KeyRecord) -> Result<(), Error> {
    not_pending(key)?;
    match key.state {
        State::Disabled => {
            Err(errors::DisabledException.because(format!("{} is disabled.", key.arn())))
        }
        _ => Ok(()),
    }
}

pub fn not_pending(key: &KeyRecord) -> Result<(), Error> {
    match key.state {
        State::PendingDeletion { .. } => {
            Err(errors::KMSInvalidStateException
                .because(format!("{} is pending deletion.", key.arn())))
        }
        _ => Ok(()),
    }
}

/// Grants are not built, so no token of one is known.
pub fn no_grants(tokens: Option<&Vec<String>>) -> Result<(), Error> {
    match tokens.is_some_and(|it| !it.is_empty()) {
        true => Err(errors::InvalidGrantTokenException
            .because("The grant token is not known: grants are not supported by neargate")),
        false => Ok(()),
    }
}

/// For who asks only whether it would be done.
pub fn dry_run(wanted: Option<bool>) -> Result<(), Error> {
    match wanted {
        Some(true) => Err(errors::DryRunOperationException
            .because("The request would have succeeded, but the DryRun option is set.")),
        _ => Ok(()),
    }
}

/// How many items one page has.
pub fn limit(given: Option<i32>, usual: usize, most: usize) -> usize {
    let given = given.and_then(|it| usize::try_from(it).ok());
    given.unwrap_or(usual).clamp(1, most)
}
