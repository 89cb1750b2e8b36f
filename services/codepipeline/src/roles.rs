//! Roles that a pipeline names: they must be there, and trust who takes them on, whenever they are taken on.

use cloud::{Cx, Error, FoundRole};

/// The name of the session that is asked about.
const SESSION: &str = "check";

/// A role that is given by ARN or by name, or what is wrong with it.
pub fn find(cx: &Cx, role: &str) -> Result<Result<FoundRole, String>, Error> {
    let found = cx.find_role(role)?;
    Ok(found.ok_or_else(|| format!("the role {role} does not exist")))
}

/// The same of one that trusts whom `cx` speaks for, which is IAM's to say, as for everybody who takes it on.
pub fn check(cx: &Cx, role: &str) -> Result<Result<FoundRole, String>, Error> {
    let found = match find(cx, role)? {
        Ok(found) => found,
        Err(doubt) => return Ok(Err(doubt)),
    };
    let who = cx.caller.arn(cx.account());
    Ok(match cx.may_assume(&found, SESSION)? {
        true => Ok(found),
        false => Err(format!("the role {role} does not trust {who}")),
    })
}
