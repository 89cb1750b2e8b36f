//! Whether a role lets somebody assume it: its trust policy decides, together with the policies of who
//! asks where it leaves that to them.
//!
//! What the trust policy does not let is refused in every mode. What the caller's own policies lack
//! goes the way of every other call: refused in `enforce`, recorded and let through in `audit`.

use ::policy::Decision;
use cloud::{ConditionKey, Cx, Error, FoundRole, Need, Needs, Touched};
use shapes::sts::AssumeRoleInput;

use crate::asker::Asker;
use crate::role::RoleRecord;
use crate::session::SessionExtras;

pub const ACTION: &str = "sts:AssumeRole";

/// Refuses whom the role does not trust, and who may not ask for it. A session with tags, or with a source
/// identity, needs more than a role that may be assumed.
pub fn check(
    cx: &Cx,
    role: &RoleRecord,
    input: &AssumeRoleInput,
    extras: &SessionExtras,
) -> Result<(), Error> {
    let needs = needs(role, input, extras);
    let who = Asker::of(cx)?;
    for need in &needs.all {
        let decision = who.decide_by_the_other_side(need, &needs);
        if !decision.is_allowed() {
            let names = (
                who.caller_arn.as_str(),
                need.action.as_str(),
                input.role_arn.as_str(),
            );
            return Err(refused(names, Some(&decision)));
        }
    }
    cx.authorize("sts", &needs)
}

/// Whether a role lets who calls take it on, for who is to act with it later.
pub fn lets(cx: &Cx, role: &FoundRole, session: &str) -> Result<bool, Error> {
    let name = role.arn.rsplit('/').next().unwrap_or_default();
    let record = cx.read(|tx| RoleRecord::find(tx, name))?;
    let input = AssumeRoleInput {
        role_arn: role.arn.clone(),
        role_session_name: session.to_owned(),
        ..Default::default()
    };
    match check(cx, &record, &input, &SessionExtras::default()) {
        Ok(()) => Ok(true),
        Err(error) if error.status < 500 => Ok(false),
        Err(error) => Err(error),
    }
}

fn needs(role: &RoleRecord, input: &AssumeRoleInput, extras: &SessionExtras) -> Needs {
    let touched = Touched::named(role.arn())
        .tagged(role.tags.clone())
        .bound_by(Some(role.trust.clone()));
    let transitive = extras.transitive.iter().cloned().collect();
    let keys = [
        ConditionKey::new("sts:ExternalId", input.external_id.as_ref()),
        ConditionKey::new("sts:RoleSessionName", Some(&input.role_session_name)),
        ConditionKey::new("sts:SourceIdentity", extras.source_identity.as_ref()),
        ConditionKey::of_many("sts:TransitiveTagKeys", transitive),
    ];
    let actions = [
        (ACTION, true),
        ("sts:TagSession", !extras.tags.is_empty()),
        ("sts:SetSourceIdentity", extras.source_identity.is_some()),
    ];
    let asked = actions.into_iter().filter(|(_, is_asked)| *is_asked);
    let need = |(action, _)| Need::new(action, Some(touched.clone())).with_keys(keys.clone());
    Needs {
        all: asked.map(need).collect(),
        request_tags: extras.tags.clone(),
        tag_keys: extras.tags.keys().cloned().collect(),
        repeated_tag: None,
    }
}

/// AWS says the same of a role that is not there and of one that does not trust the caller. What
/// neargate does not know is named, because AWS would have known it.
pub fn refused(
    (caller_arn, action, role_arn): (&str, &str, &str),
    decision: Option<&Decision>,
) -> Error {
    let mut message = format!(
        "User: {caller_arn} is not authorized to perform: {action} on resource: {role_arn}"
    );
    if let Some(decision) = decision.filter(|it| !it.unknown.is_empty()) {
        message.push_str(&format!(" {}", decision.reason(action)));
    }
    wire::codes::AccessDenied.because(message)
}
