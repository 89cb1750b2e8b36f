//! The service role: CodeBuild assumes it, and what a build does to AWS is done in its name.

use cloud::{Caller, Cx, Error};
use shapes::sts::{AssumeRoleInput, Credentials};

use crate::names::invalid;

/// The name by which roles trust CodeBuild.
const PRINCIPAL: &str = "codebuild.amazonaws.com";

pub fn not_authorized(role: &str) -> Error {
    invalid(format!(
        "CodeBuild is not authorized to perform: sts:AssumeRole on {role}. Please verify that the \
         role exists and that its trust policy names the service {PRINCIPAL}"
    ))
}

/// New credentials of a role. AWS names a build's session `AWSCodeBuild-<its uuid>`.
pub async fn assume(cx: &Cx, role_arn: &str, session: &str) -> Result<Credentials, Error> {
    let input = AssumeRoleInput {
        role_arn: role_arn.to_owned(),
        role_session_name: session_name(session),
        ..Default::default()
    };
    match cx.as_service(PRINCIPAL).call(input).await {
        Ok(answer) => Ok(answer.credentials.unwrap_or_default()),
        Err(error) if error.status >= 500 => Err(error),
        Err(_) => Err(not_authorized(role_arn)),
    }
}

fn session_name(session: &str) -> String {
    format!("AWSCodeBuild-{session}")
}

/// A context in which calls are the role's.
pub fn acting(cx: &Cx, role_arn: &str, session: &str, access_key: &str) -> Cx {
    let mut own = cx.clone();
    own.caller = Caller::AssumedRole {
        role_arn: role_arn.to_owned(),
        session_name: session_name(session),
        access_key: access_key.to_owned(),
    };
    own
}
