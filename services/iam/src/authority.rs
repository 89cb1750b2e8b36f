//! Decides over calls by the policies of who makes them, and remembers what was found out.
//!
//! Every call of a user or a role is evaluated. In the mode `audit` it is let through all the same;
//! in `enforce` what is not allowed is refused. Either way the call is recorded once for each action
//! and resource, with the decision, so that [`crate::suggest`] can say what a role needs.
//!
//! The account's owner may do everything that no policy of a resource denies. What a role's trust policy
//! does not let is refused in both modes ([`crate::trust`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use ::policy::Decision;
use cloud::{Authority, Caller, Cx, Error, Need, Needs, Record, Records};
use serde::{Deserialize, Serialize};

use crate::asker::Asker;
use crate::credentials::is_of_session;
use crate::names::key;

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
const REMEMBERED_MAX: usize = 10_000;
/// So many resources of one action of one principal are recorded each by itself. Further ones are recorded by
/// the folder that they are in (objects of a bucket, streams of a log group), and past the second number as
/// everything, so that what is recorded does not grow with what is worked on.
const RECORDED_MAX: usize = 50;
const FOLDERS_RECORDED_MAX: usize = 200;

pub struct Policies {
    mode: Mode,
    /// How calls were decided that have been recorded, by their keys.
    recorded: Mutex<HashMap<String, (bool, BTreeSet<String>)>>,
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
    /// The condition keys whose value was not known, where that decided.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown: BTreeSet<String>,
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

fn calls_of_action(principal: &str, action: &str) -> String {
    key(&format!("{principal}\n{action}\n"))
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
    fn record(&self, cx: &Cx, who: &Asker, need: &Need, decision: &Decision) -> Result<(), Error> {
        let Some(principal) = &who.arn else {
            return Ok(());
        };
        let (now, allowed) = (cx.clock().now_ms(), decision.is_allowed());
        let call = Call {
            principal: principal.clone(),
            action: need.action.clone(),
            resource: resource_of(need).to_owned(),
            passed_to: need.passed_to.map(str::to_owned),
            allowed,
            unknown: decision.unknown.clone(),
            first_ms: now,
            last_ms: now,
        };
        let decided = (allowed, call.unknown.clone());
        // A namesake that is made later is another principal, whose calls are recorded anew.
        let remembered = format!("{}\n{}", who.id().unwrap_or_default(), call.key());
        {
            let mut recorded = self
                .recorded
                .lock()
                .expect("nothing panics while it is held");
            if recorded.len() >= REMEMBERED_MAX {
                recorded.clear();
            }
            if recorded.insert(remembered, decided.clone()) == Some(decided) {
                return Ok(());
            }
        }
        if cx.read(|tx| Ok(merged(tx, call.clone())?.1))? {
            return Ok(());
        }
        cx.write(|tx| tx.put(&merged(tx, call)?.0))
    }
}

/// The call with what is recorded of it before, and whether that says the same already.
fn merged(tx: &Records<'_>, mut call: Call) -> Result<(Call, bool), Error> {
    let mut known = tx.get::<Call>(&call.key())?;
    if known.is_none() {
        let recorded = tx.count::<Call>(&calls_of_action(&call.principal, &call.action))?;
        if recorded >= RECORDED_MAX {
            call.resource = match recorded < FOLDERS_RECORDED_MAX {
                true => folder_of(&call.resource),
                false => "*".to_owned(),
            };
            known = tx.get::<Call>(&call.key())?;
        }
    }
    let Some(before) = known else {
        return Ok((call, false));
    };
    call.first_ms = before.first_ms;
    let is_same = before.allowed == call.allowed && before.unknown == call.unknown;
    Ok((call, is_same))
}

/// Everything beside a resource, as a policy would name it.
fn folder_of(resource: &str) -> String {
    let end = resource.rfind(['/', ':']).map_or(0, |at| at + 1);
    format!("{}*", &resource[..end])
}

/// Forgets the calls of a principal that is deleted: it needs nothing any more.
pub fn forget_calls(tx: &Records<'_>, principal: &str) -> Result<(), Error> {
    for call in tx.keys::<Call>(&calls_of(principal))? {
        tx.delete::<Call>(&call)?;
    }
    Ok(())
}

impl Authority for Policies {
    fn check(&self, cx: &Cx, service: &str, needs: &Needs) -> Result<(), Error> {
        check_factor(cx, service)?;
        let who = Asker::of(cx)?;
        let mut refused = None;
        for need in &needs.all {
            let decision = who.decide(need, needs);
            self.record(cx, &who, need, &decision)?;
            if !decision.is_allowed() && refused.is_none() {
                refused = Some(denied(service, &who, need, &decision));
            }
        }
        match (self.mode, refused) {
            (Mode::Enforce, Some(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// A session of a user or of the owner calls no operation of IAM's unless a second factor was shown when it began, which
/// nobody can here (STS API reference, "GetSessionToken"): who has got hold of one makes no keys with it that
/// stay.
fn check_factor(cx: &Cx, service: &str) -> Result<(), Error> {
    let is_session = match &cx.caller {
        Caller::User { access_key, .. } => is_of_session(access_key),
        Caller::RootSession { .. } => true,
        _ => false,
    };
    match is_session && service == "iam" {
        true => Err(INVALID_TOKEN.because("The security token included in the request is invalid")),
        false => Ok(()),
    }
}

const INVALID_TOKEN: cloud::ErrorCode = cloud::ErrorCode::sender("InvalidClientTokenId", 403);

/// The resource as messages and records name it.
fn resource_of(need: &Need) -> &str {
    need.resource.as_ref().map_or("*", |it| &it.arn)
}

/// In AWS's words, and with the code that the service's protocol has for it.
fn denied(service: &str, who: &Asker, need: &Need, decision: &Decision) -> Error {
    let because = decision.reason(&need.action);
    let asked = need.resource.as_ref().and_then(|it| it.asked.as_deref());
    let message = format!(
        "User: {} is not authorized to perform: {} on resource: {} {because}",
        who.caller_arn,
        need.action,
        asked.unwrap_or_else(|| resource_of(need))
    );
    match service {
        "ec2" => UNAUTHORIZED.because(format!(
            "You are not authorized to perform this operation. {message}"
        )),
        "iam" | "sts" | "cloudformation" | "elasticloadbalancing" | "s3" => {
            wire::codes::AccessDenied.because(message)
        }
        _ => wire::codes::AccessDeniedException.because(message),
    }
}

/// EC2's word for it (EC2 API reference, "Common client error codes").
const UNAUTHORIZED: cloud::ErrorCode = cloud::ErrorCode::sender("UnauthorizedOperation", 403);
