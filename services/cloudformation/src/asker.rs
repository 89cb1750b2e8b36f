//! In whose name a stack's resources are made: the role that the stack was given, or whoever asked for
//! the operation ("AWS CloudFormation service role", CloudFormation User Guide). That name's permissions
//! decide over every call that makes, changes or deletes something.

use cloud::{Caller, Cx, Error};
use serde::{Deserialize, Serialize};
use shapes::sts::AssumeRoleInput;

use crate::check::invalid;
use crate::record::Stack;

/// Somebody other than the account's owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asker {
    User { arn: String, id: String },
    Role { arn: String, session: String },
}

/// The name of CloudFormation's sessions of a stack's role.
const SESSION: &str = "AWSCloudFormation";

impl Asker {
    /// None: the account's owner, or a service.
    pub fn of(cx: &Cx) -> Option<Self> {
        match &cx.caller {
            Caller::Root | Caller::Service(_) => None,
            Caller::User { arn, id, .. } => Some(Self::User {
                arn: arn.clone(),
                id: id.clone(),
            }),
            Caller::AssumedRole {
                role_arn,
                session_name,
                ..
            } => Some(Self::Role {
                arn: role_arn.clone(),
                session: session_name.clone(),
            }),
        }
    }

    fn caller(&self) -> Caller {
        match self {
            Self::User { arn, id } => Caller::User {
                arn: arn.clone(),
                id: id.clone(),
                access_key: String::new(),
            },
            Self::Role { arn, session } => Caller::AssumedRole {
                role_arn: arn.clone(),
                session_name: session.clone(),
                access_key: String::new(),
            },
        }
    }
}

/// The context for what is done to a stack's resources.
pub fn acting(cx: &Cx, stack: &Stack) -> Cx {
    let role = stack.role_arn.as_ref().map(|arn| Asker::Role {
        arn: arn.clone(),
        session: SESSION.to_owned(),
    });
    match role.as_ref().or(stack.asked_by.as_ref()) {
        Some(asker) => cx.acting_as(asker.caller()),
        None => cx.clone(),
    }
}

/// A role that a request names: it has to be there and to trust CloudFormation.
pub async fn checked_role(cx: &Cx, role: Option<String>) -> Result<Option<String>, Error> {
    let Some(arn) = role else { return Ok(None) };
    let input = AssumeRoleInput {
        role_arn: arn.clone(),
        role_session_name: SESSION.to_owned(),
        ..Default::default()
    };
    let service = cx.as_service("cloudformation.amazonaws.com");
    match service.call(input).await {
        Ok(_) => Ok(Some(arn)),
        Err(error) if error.status >= 500 => Err(error),
        Err(_) => Err(invalid(format!(
            "Role {arn} is invalid or cannot be assumed"
        ))),
    }
}
