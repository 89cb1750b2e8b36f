//! Roles that a pipeline names: they must be there, and trust the service that takes them on.

use cloud::{Cx, Error, FoundRole};

/// The name of the session that is asked about.
const SESSION: &str = "check";

/// A role that is given by ARN or by name, or what is wrong with it. Whether it trusts the service that
/// `cx` speaks for is IAM's to say, as for everybody who takes it on.
pub fn check(cx: &Cx, role: &str) -> Result<Result<FoundRole, String>, Error> {
    let Some(found) = cx.find_role(role)? else {
        return Ok(Err(format!("the role {role} does not exist")));
    };
    let cloud::Caller::Service(principal) = cx.caller else {
        return Ok(Ok(found));
    };
    Ok(match cx.may_assume(&found, SESSION)? {
        true => Ok(found),
        false => Err(format!("the role {role} does not trust {principal}")),
    })
}
