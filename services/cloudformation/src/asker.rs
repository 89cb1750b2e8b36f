//! In whose name a stack's resources are made: the role that the stack was given, or whoever asked for
//! the operation ("AWS CloudFormation service role", CloudFormation User Guide). That name's permissions
//! decide over every call that makes, changes or deletes something.

use cloud::{Caller, Cx, Error, ResourceError};
use serde::{Deserialize, Serialize};

use crate::check::invalid;
use crate::lookup::find_head;
use crate::permissions::PRINCIPAL;
use crate::record::Stack;

/// Somebody other than the account's owner by its own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asker {
    User {
        arn: String,
        id: String,
        /// The key that the operation was asked for with: what limits its session limits what is done for it.
        /// Empty in records of before it was kept.
        #[serde(default)]
        key: String,
    },
    Role {
        arn: String,
        /// The unique id of the role whose session asked. None: the stack's own role, which
        /// CloudFormation assumes anew for what it does.
        #[serde(default)]
        id: Option<String>,
        session: String,
        /// As a user's.
        #[serde(default)]
        key: String,
    },
    /// The account's owner, in a session of its own, which may less than the owner.
    OwnerInSession { key: String },
    /// Nobody who is known. It may do nothing.
    Nobody,
}

/// The name of CloudFormation's sessions of a stack's role.
const SESSION: &str = "AWSCloudFormation";

impl Asker {
    /// None: the account's owner, or the daemon and its services.
    pub fn of(cx: &Cx) -> Option<Self> {
        match &cx.caller {
            Caller::Root(_) | Caller::Daemon | Caller::Service(_) => None,
            Caller::RootSession { access_key } => Some(Self::OwnerInSession {
                key: access_key.clone(),
            }),
            Caller::Anonymous => Some(Self::Nobody),
            Caller::User {
                arn,
                id,
                access_key,
            } => Some(Self::User {
                arn: arn.clone(),
                id: id.clone(),
                key: access_key.clone(),
            }),
            Caller::AssumedRole {
                role_arn,
                role_id,
                session_name,
                access_key,
            } => Some(Self::Role {
                arn: role_arn.clone(),
                id: role_id.clone(),
                session: session_name.clone(),
                key: access_key.clone(),
            }),
        }
    }

    fn caller(&self) -> Caller {
        match self {
            Self::User { arn, id, key } => Caller::User {
                arn: arn.clone(),
                id: id.clone(),
                access_key: key.clone(),
            },
            Self::OwnerInSession { key } => Caller::RootSession {
                access_key: key.clone(),
            },
            Self::Nobody => Caller::Anonymous,
            Self::Role {
                arn,
                id,
                session,
                key,
            } => Caller::AssumedRole {
                role_arn: arn.clone(),
                role_id: id.clone(),
                session_name: session.clone(),
                access_key: key.clone(),
            },
        }
    }
}

/// The context for what is done to a stack's resources. A stack's role has to trust CloudFormation whenever
/// something is done with it: that it did when it was given is not enough.
pub fn acting(cx: &Cx, stack: &Stack) -> Result<Cx, ResourceError> {
    if let Some(arn) = &stack.role_arn {
        match is_usable(cx, Some(&stack.id), arn) {
            Ok(true) => {}
            Ok(false) => return Err(ResourceError::new(unusable(arn))),
            Err(error) => return Err(ResourceError::retry(error.message)),
        }
    }
    let role = stack.role_arn.as_ref().map(|arn| Asker::Role {
        arn: arn.clone(),
        id: None,
        session: SESSION.to_owned(),
        key: String::new(),
    });
    Ok(match role.as_ref().or(stack.asked_by.as_ref()) {
        Some(asker) => cx.acting_as(asker.caller()).via(PRINCIPAL),
        None => cx.clone(),
    })
}

fn unusable(role: &str) -> String {
    format!("Role {role} is invalid or cannot be assumed")
}

/// Whether a role is there and trusts CloudFormation for the stack with this id.
fn is_usable(cx: &Cx, stack_id: Option<&str>, arn: &str) -> Result<bool, Error> {
    let found = cx.find_role(arn)?.filter(|it| it.arn == arn);
    let service = match stack_id {
        Some(id) => cx.as_service_for(PRINCIPAL, id),
        // There is no such stack, which is told when it is looked for.
        None => cx.as_service(PRINCIPAL),
    };
    match found {
        Some(role) => service.may_assume(&role, SESSION),
        None => Ok(false),
    }
}

/// A role that a request names: it has to be there and to trust CloudFormation for this stack, which is
/// given by its name or its id.
pub fn checked_role(cx: &Cx, stack: &str, role: Option<String>) -> Result<Option<String>, Error> {
    let Some(arn) = role else { return Ok(None) };
    let source = match stack.starts_with("arn:") {
        true => Some(stack.to_owned()),
        false => cx.read(|tx| find_head(cx, tx, stack))?.map(|it| it.id),
    };
    match is_usable(cx, source.as_deref(), &arn)? {
        true => Ok(Some(arn)),
        false => Err(invalid(unusable(&arn))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stored asker acts as is who asked, by its id and not by its name alone, in its own session.
    #[test]
    fn who_asked_keeps_its_id_and_its_session() {
        let role = Asker::Role {
            arn: "arn:aws:iam::1:role/a".into(),
            id: Some("AROA1".into()),
            session: "s".into(),
            key: "ASIA1".into(),
        };
        let stored = serde_json::to_string(&role).unwrap();
        let read: Asker = serde_json::from_str(&stored).unwrap();
        assert!(matches!(
            read.caller(),
            Caller::AssumedRole { role_id: Some(id), access_key, .. }
                if id == "AROA1" && access_key == "ASIA1"
        ));
        assert_eq!(Asker::Nobody.caller(), Caller::Anonymous);
    }
}
