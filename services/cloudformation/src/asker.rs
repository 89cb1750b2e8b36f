//! In whose name a stack's resources are made: the role that the stack was given, or whoever asked for
//! the operation ("AWS CloudFormation service role", CloudFormation User Guide). That name's permissions
//! decide over every call that makes, changes or deletes something.

use cloud::{Caller, Cx, Error};
use serde::{Deserialize, Serialize};
use shapes::sts::AssumeRoleInput;

use crate::check::invalid;
use crate::lookup::find_head;
use crate::permissions::PRINCIPAL;
use crate::record::Stack;

/// Somebody other than the account's owner.
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
    /// Nobody who is known. It may do nothing.
    Nobody,
}

/// The name of CloudFormation's sessions of a stack's role.
const SESSION: &str = "AWSCloudFormation";

impl Asker {
    /// None: the account's owner, or the daemon and its services.
    pub fn of(cx: &Cx) -> Option<Self> {
        match &cx.caller {
            Caller::Root(_) | Caller::RootSession { .. } | Caller::Daemon | Caller::Service(_) => {
                None
            }
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

/// The context for what is done to a stack's resources.
pub fn acting(cx: &Cx, stack: &Stack) -> Cx {
    let role = stack.role_arn.as_ref().map(|arn| Asker::Role {
        arn: arn.clone(),
        id: None,
        session: SESSION.to_owned(),
        key: String::new(),
    });
    match role.as_ref().or(stack.asked_by.as_ref()) {
        Some(asker) => cx.acting_as(asker.caller()).via(PRINCIPAL),
        None => cx.clone(),
    }
}

/// A role that a request names: it has to be there and to trust CloudFormation for this stack, which is
/// given by its name or its id.
pub async fn checked_role(
    cx: &Cx,
    stack: &str,
    role: Option<String>,
) -> Result<Option<String>, Error> {
    let Some(arn) = role else { return Ok(None) };
    let source = match stack.starts_with("arn:") {
        true => Some(stack.to_owned()),
        false => cx.read(|tx| find_head(cx, tx, stack))?.map(|it| it.id),
    };
    let input = AssumeRoleInput {
        role_arn: arn.clone(),
        role_session_name: SESSION.to_owned(),
        ..Default::default()
    };
    let service = match source {
        Some(stack_id) => cx.as_service_for(PRINCIPAL, stack_id),
        // There is no such stack, which is told when it is looked for.
        None => cx.as_service(PRINCIPAL),
    };
    match service.call(input).await {
        Ok(_) => Ok(Some(arn)),
        Err(error) if error.status >= 500 => Err(error),
        Err(_) => Err(invalid(format!(
            "Role {arn} is invalid or cannot be assumed"
        ))),
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
