//! Roles that a pipeline names: they must be there, and trust the service that takes them on.

use cloud::{Cx, Error, FoundRole};
use shapes::sts::AssumeRoleInput;

/// The session's name: nobody uses it.
const SESSION: &str = "check";

/// A role that is given by ARN or by name, or what is wrong with it. Whether it trusts the service that
/// `cx` speaks for is IAM's to say, as for everybody who takes it on.
pub async fn check(cx: &Cx, role: &str) -> Result<Result<FoundRole, String>, Error> {
    let Some(found) = cx.find_role(role)? else {
        return Ok(Err(format!("the role {role} does not exist")));
    };
    let cloud::Caller::Service(principal) = cx.caller else {
        return Ok(Ok(found));
    };
    let input = AssumeRoleInput {
        role_arn: found.arn.clone(),
        role_session_name: SESSION.to_owned(),
        ..Default::default()
    };
    match cx.call(input).await {
        Ok(_) => Ok(Ok(found)),
        Err(error) if error.status >= 500 => Err(error),
        Err(_) => Ok(Err(format!("the role {role} does not trust {principal}"))),
    }
}
