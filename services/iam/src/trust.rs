//! Whether a role lets somebody assume it: its trust policy decides, together with the policies of who
//! asks where it leaves that to them.
//!
//! What the trust policy does not let is refused in every mode. What the caller's own policies lack
//! goes the way of every other call: refused in `enforce`, recorded and let through in `audit`.

use ::policy::Decision;
use cloud::{ConditionKey, Cx, Error, Need, Needs, Touched};
use shapes::sts::AssumeRoleInput;

use crate::asker::Asker;
use crate::role::RoleRecord;

const ACTION: &str = "sts:AssumeRole";

/// Refuses whom the role does not trust, and who may not ask for it.
pub fn check(cx: &Cx, role: &RoleRecord, input: &AssumeRoleInput) -> Result<(), Error> {
    let need = need(role, input);
    let who = Asker::of(cx)?;
    let decision = who.decide_by_the_other_side(&need, &Needs::default());
    if !decision.is_allowed() {
        return Err(refused(&who.caller_arn, &input.role_arn, Some(&decision)));
    }
    cx.authorize_one("sts", need)
}

fn need(role: &RoleRecord, input: &AssumeRoleInput) -> Need {
    let touched = Touched::named(role.arn())
        .tagged(role.tags.clone())
        .bound_by(Some(role.trust.clone()));
    // Session tags and a source identity are refused, so that they are absent.
    let keys = [
        ConditionKey::new("sts:ExternalId", input.external_id.as_ref()),
        ConditionKey::new("sts:RoleSessionName", Some(&input.role_session_name)),
        ConditionKey::new("sts:SourceIdentity", None::<String>),
        ConditionKey::new("sts:TransitiveTagKeys", None::<String>),
    ];
    Need::new(ACTION, Some(touched)).with_keys(keys)
}

/// AWS says the same of a role that is not there and of one that does not trust the caller. What
/// neargate does not know is named, because AWS would have known it.
pub fn refused(caller_arn: &str, role_arn: &str, decision: Option<&Decision>) -> Error {
    let mut message = format!(
        "User: {caller_arn} is not authorized to perform: {ACTION} on resource: {role_arn}"
    );
    if let Some(decision) = decision.filter(|it| !it.unknown.is_empty()) {
        message.push_str(&format!(" {}", decision.reason(ACTION)));
    }
    wire::codes::AccessDenied.because(message)
}
