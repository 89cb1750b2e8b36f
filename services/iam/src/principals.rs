//! Whom policies name, between ARNs and ids: see [`cloud::LendPrincipals`].

use ::policy::rename_principals;
use cloud::{Cx, Error, KeptPolicy, Record, Records, UnknownPrincipal};
use serde::{Deserialize, Serialize};

use crate::names::key;
use crate::role::RoleRecord;
use crate::user::UserRecord;

/// How the ids of users and roles begin.
const USER_ID: &str = "AIDA";
const ROLE_ID: &str = "AROA";

/// A user or role that some policy names by its id: where it is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPrincipal {
    pub id: String,
    pub arn: String,
}

impl Record for NamedPrincipal {
    const KIND: &'static str = "iam.named-principal";
    fn key(&self) -> String {
        key(&self.id)
    }
}

/// The document with ids in place of the ARNs of this account's users, roles and sessions, all of which
/// have to be there.
pub fn keep(cx: &Cx, text: &str) -> Result<KeptPolicy, Error> {
    cx.write(|tx| {
        let mut unknown = None;
        let kept = rename_principals(text, &mut |name: &str| {
            Ok::<_, Error>(match of_name(cx, tx, name)? {
                Resolved::Itself => None,
                Resolved::Id(id) => Some(id),
                Resolved::Nobody => {
                    unknown.get_or_insert_with(|| UnknownPrincipal(name.to_owned()));
                    None
                }
            })
        })?;
        Ok(match unknown {
            Some(unknown) => Err(unknown),
            None => Ok(kept.unwrap_or_else(|| text.to_owned())),
        })
    })
}

/// The same with the ARNs of those who are still there in place of their ids.
pub fn show(cx: &Cx, text: &str) -> Result<String, Error> {
    cx.read(|tx| shown(tx, text))
}

pub fn shown(tx: &Records<'_>, text: &str) -> Result<String, Error> {
    let shown = rename_principals(text, &mut |name: &str| arn_of(tx, name))?;
    Ok(shown.unwrap_or_else(|| text.to_owned()))
}

/// Nobody is found by an id that is gone.
pub fn forget(tx: &Records<'_>, id: &str) -> Result<(), Error> {
    tx.delete::<NamedPrincipal>(&key(id)).map(drop)
}

enum Resolved {
    /// Everybody, an account, or somebody of another: kept as it is written.
    Itself,
    Id(String),
    /// It would be of this account, and is not there.
    Nobody,
}

fn of_name(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<Resolved, Error> {
    let account = cx.account();
    if is_id(name) {
        let found = arn_of(tx, name)?.is_some() || is_of_somebody(tx, name)?;
        return Ok(match found {
            true => Resolved::Itself,
            false => Resolved::Nobody,
        });
    }
    if let Some(session) = name.strip_prefix(&format!("arn:aws:sts::{account}:assumed-role/")) {
        let Some((role, session)) = session.split_once('/') else {
            return Ok(Resolved::Nobody);
        };
        let role: Option<RoleRecord> = tx.get(&key(role))?;
        return Ok(match role {
            Some(role) => {
                named(tx, &role.id, role.arn())?;
                Resolved::Id(format!("{}:{session}", role.id))
            }
            None => Resolved::Nobody,
        });
    }
    let Some(rest) = name.strip_prefix(&format!("arn:aws:iam::{account}:")) else {
        return Ok(Resolved::Itself);
    };
    if rest == "root" {
        return Ok(Resolved::Itself);
    }
    Ok(match id_of(tx, name, rest)? {
        Some(id) => {
            named(tx, &id, name.to_owned())?;
            Resolved::Id(id)
        }
        None => Resolved::Nobody,
    })
}

/// The id of the user or role that has the ARN now.
fn id_of(tx: &Records<'_>, arn: &str, rest: &str) -> Result<Option<String>, Error> {
    let name = arn.rsplit('/').next().unwrap_or_default();
    Ok(match rest.split('/').next() {
        Some("user") => {
            let user: Option<UserRecord> = tx.get(&key(name))?;
            user.filter(|it| it.arn() == arn).map(|it| it.id)
        }
        Some("role") => RoleRecord::of_arn(tx, arn)?.map(|it| it.id),
        _ => None,
    })
}

fn named(tx: &Records<'_>, id: &str, arn: String) -> Result<(), Error> {
    let record = NamedPrincipal {
        id: id.to_owned(),
        arn,
    };
    match tx.get::<NamedPrincipal>(&record.key())? {
        Some(there) if there == record => Ok(()),
        _ => tx.put(&record),
    }
}

fn is_id(name: &str) -> bool {
    name.starts_with(USER_ID) || name.starts_with(ROLE_ID)
}

/// The ARN of an id, or of a session of the role with an id, while that is there.
fn arn_of(tx: &Records<'_>, name: &str) -> Result<Option<String>, Error> {
    if !is_id(name) {
        return Ok(None);
    }
    let (id, session) = match name.split_once(':') {
        Some((id, session)) => (id, Some(session)),
        None => (name, None),
    };
    let Some(found) = tx.get::<NamedPrincipal>(&key(id))? else {
        return Ok(None);
    };
    let Some((head, rest)) = found
        .arn
        .split_once(":iam::")
        .and_then(|(_, it)| it.split_once(':'))
    else {
        return Ok(None);
    };
    let is_there = id_of(tx, &found.arn, rest)?.is_some_and(|it| it == id);
    Ok(is_there.then(|| match session {
        Some(session) => {
            let role = found.arn.rsplit('/').next().unwrap_or_default();
            format!("arn:aws:sts::{head}:assumed-role/{role}/{session}")
        }
        None => found.arn.clone(),
    }))
}

/// Whether somebody has an id that no policy has named yet: who puts one has read it somewhere.
fn is_of_somebody(tx: &Records<'_>, name: &str) -> Result<bool, Error> {
    let id = name.split(':').next().unwrap_or_default();
    let all = key("");
    Ok(match id.starts_with(USER_ID) {
        true => tx.list::<UserRecord>(&all)?.iter().any(|it| it.id == id),
        false => tx.list::<RoleRecord>(&all)?.iter().any(|it| it.id == id),
    })
}
