//! Decides over calls by the policies of who makes them, and remembers what was found out.
//!
//! Every call of a user or a role is evaluated. In the mode `audit` it is let through all the same;
//! in `enforce` what is not allowed is refused. Either way the call is recorded once for each action
//! and resource, with the decision, so that [`crate::suggest`] can say what a role needs.
//!
//! Not evaluated: the account's owner, who may do everything; and `sts`, where a role's trust policy
//! decides.

use std::collections::HashSet;
use std::sync::Mutex;

use cloud::{Authority, Caller, Cx, Error, Need, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::document::parsed;
use crate::evaluate::{Context, Decision, Request, decide};
use crate::grants::Grants;
use crate::names::key;
use crate::needs::{self, Place};
use crate::policy;
use crate::role::RoleRecord;
use crate::user::UserRecord;

/// What is done with calls that no policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// They are let through, and recorded.
    #[default]
    Audit,
    /// They are refused, and recorded.
    Enforce,
}

/// Calls that are remembered to have been recorded. Past that all are written again, which costs time
/// and no truth.
const REMEMBERED_MAX: usize = 100_000;

pub struct Policies {
    mode: Mode,
    recorded: Mutex<HashSet<String>>,
}

/// An action that a role or user needed, on one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The role's or user's ARN.
    pub principal: String,
    pub action: String,
    pub resource: String,
    pub passed_to: Option<String>,
    /// Whether its policies allowed it when it was made last.
    pub allowed: bool,
    pub first_ms: i64,
    pub last_ms: i64,
}

impl Record for Call {
    const KIND: &'static str = "iam.call";
    fn key(&self) -> String {
        // No part holds a line feed.
        key(&format!(
            "{}\n{}\n{}",
            self.principal, self.action, self.resource
        ))
    }
}

/// The prefix of the keys of a principal's calls.
pub fn calls_of(principal: &str) -> String {
    key(&format!("{principal}\n"))
}

impl Policies {
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            recorded: Mutex::default(),
        }
    }

    /// Writes a call that is new, or that is decided otherwise than before.
    fn record(&self, cx: &Cx, who: &Principal, need: &Need, allowed: bool) -> Result<(), Error> {
        let now = cx.clock().now_ms();
        let mut call = Call {
            principal: who.arn.clone(),
            action: need.action.clone(),
            resource: resource_of(need).to_owned(),
            passed_to: need.passed_to.map(str::to_owned),
            allowed,
            first_ms: now,
            last_ms: now,
        };
        let known = format!("{}\n{allowed}", call.key());
        {
            let mut recorded = self
                .recorded
                .lock()
                .expect("nothing panics while it is held");
            if recorded.len() >= REMEMBERED_MAX {
                recorded.clear();
            }
            if !recorded.insert(known) {
                return Ok(());
            }
            recorded.remove(&format!("{}\n{}", call.key(), !allowed));
        }
        cx.write(|tx| {
            if let Some(before) = tx.get::<Call>(&call.key())? {
                call.first_ms = before.first_ms;
            }
            tx.put(&call)
        })
    }
}

/// Who calls, and what its policies are.
struct Principal {
    /// Of the role or user itself.
    arn: String,
    /// As messages and `aws:PrincipalArn` name it.
    caller_arn: String,
    documents: Vec<Json>,
    context: Context,
}

impl Principal {
    fn of(cx: &Cx) -> Result<Option<Self>, Error> {
        let account = cx.account();
        let one = |text: &str| vec![text.to_owned()];
        let mut context = Context::from([
            ("aws:requestedregion".into(), one(&cx.region)),
            ("aws:principalaccount".into(), one(account)),
            ("aws:securetransport".into(), one("false")),
            (
                "aws:currenttime".into(),
                one(&wire::Timestamp(cx.clock().now().floor()).to_string()),
            ),
        ]);
        let (arn, caller_arn, grants) = match &cx.caller {
            Caller::Root(_)
            | Caller::RootSession { .. }
            | Caller::Daemon
            | Caller::Service(_)
            | Caller::Anonymous => return Ok(None),
            Caller::User { arn, id, .. } => {
                let name = arn.rsplit('/').next().unwrap_or_default();
                context.insert("aws:username".into(), one(name));
                context.insert("aws:userid".into(), one(id));
                context.insert("aws:principaltype".into(), one("User"));
                let user: Option<UserRecord> = cx.read(|tx| tx.get(&key(name)))?;
                // A namesake's policies are not this user's.
                let user = user.filter(|it| it.id == *id);
                (arn.clone(), arn.clone(), user.map(|it| it.grants))
            }
            Caller::AssumedRole {
                role_arn,
                role_id,
                session_name,
                ..
            } => {
                let name = role_arn.rsplit('/').next().unwrap_or_default();
                context.insert("aws:principaltype".into(), one("AssumedRole"));
                let role: Option<RoleRecord> = cx.read(|tx| tx.get(&key(name)))?;
                let role = role.filter(|it| role_id.as_ref().is_none_or(|id| it.id == *id));
                let session = format!("arn:aws:sts::{account}:assumed-role/{name}/{session_name}");
                (role_arn.clone(), session, role.map(|it| it.grants))
            }
        };
        context.insert("aws:principalarn".into(), one(&arn));
        let documents = documents(cx, &grants.unwrap_or_default())?;
        Ok(Some(Self {
            arn,
            caller_arn,
            documents,
            context,
        }))
    }

    fn decide(&self, need: &Need) -> Decision {
        let mut context = self.context.clone();
        if let Some(service) = need.passed_to {
            context.insert("iam:passedtoservice".into(), vec![service.to_owned()]);
        }
        for key in &need.keys {
            if let Some(values) = &key.values {
                context.insert(key.name.to_ascii_lowercase(), values.clone());
            }
        }
        let tags = need.resource.as_ref().and_then(|it| it.tags.as_ref());
        for (key, value) in tags.into_iter().flatten() {
            let name = format!("aws:resourcetag/{}", key.to_ascii_lowercase());
            context.insert(name, vec![value.clone()]);
        }
        let request = Request {
            action: &need.action,
            resource: resource_of(need),
            context: &context,
        };
        decide(&self.documents, &request)
    }
}

/// The documents of all policies of a role or user: those within it and those attached.
pub fn documents(cx: &Cx, grants: &Grants) -> Result<Vec<Json>, Error> {
    let mut documents: Vec<Json> = grants.inline.values().filter_map(|it| parsed(it)).collect();
    cx.read(|tx| {
        for arn in &grants.attached {
            let document = policy::document_of(cx, tx, arn)?;
            documents.extend(document.and_then(|it| parsed(&it)));
        }
        Ok(())
    })?;
    Ok(documents)
}

impl Authority for Policies {
    fn check(&self, cx: &Cx, service: &str, needs: &cloud::Needs) -> Result<(), Error> {
        if service == "sts" {
            return Ok(());
        }
        let Some(mut who) = Principal::of(cx)? else {
            return Ok(());
        };
        for (key, value) in &needs.request_tags {
            let name = format!("aws:requesttag/{}", key.to_ascii_lowercase());
            who.context.insert(name, vec![value.clone()]);
        }
        if !needs.tag_keys.is_empty() {
            who.context
                .insert("aws:tagkeys".into(), needs.tag_keys.clone());
        }
        let mut refused = None;
        for need in &needs.all {
            let decision = who.decide(need);
            self.record(cx, &who, need, decision == Decision::Allowed)?;
            if decision != Decision::Allowed && refused.is_none() {
                refused = Some(denied(service, &who, need, decision));
            }
        }
        match (self.mode, refused) {
            (Mode::Enforce, Some(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }

    fn guess(&self, cx: &Cx, service: &str, operation: &str, input: &Json) -> cloud::Needs {
        let at = Place {
            region: &cx.region,
            account: cx.account(),
        };
        let all = needs::of_call(service, operation, input, at);
        let all = all.into_iter().map(|it| Need {
            action: it.action,
            resource: Some(it.resource)
                .filter(|it| it != "*")
                .map(cloud::Touched::named),
            passed_to: it.passed_to,
            keys: Vec::new(),
        });
        cloud::Needs {
            all: all.collect(),
            ..Default::default()
        }
    }
}

/// The resource as messages and records name it.
fn resource_of(need: &Need) -> &str {
    need.resource.as_ref().map_or("*", |it| &it.arn)
}

/// In AWS's words, and with the code that the service's protocol has for it.
fn denied(service: &str, who: &Principal, need: &Need, decision: Decision) -> Error {
    let because = match decision {
        Decision::DeniedExplicitly => {
            "with an explicit deny in an identity-based policy".to_owned()
        }
        _ => format!(
            "because no identity-based policy allows the {} action",
            need.action
        ),
    };
    let message = format!(
        "User: {} is not authorized to perform: {} on resource: {} {because}",
        who.caller_arn,
        need.action,
        resource_of(need)
    );
    match service {
        "ec2" => UNAUTHORIZED.because(format!(
            "You are not authorized to perform this operation. {message}"
        )),
        "iam" | "cloudformation" | "elasticloadbalancing" | "s3" => {
            wire::codes::AccessDenied.because(message)
        }
        _ => wire::codes::AccessDeniedException.because(message),
    }
}

/// EC2's word for it (EC2 API reference, "Common client error codes").
const UNAUTHORIZED: cloud::ErrorCode = cloud::ErrorCode::sender("UnauthorizedOperation", 403);
