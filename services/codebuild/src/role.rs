//! The service role: CodeBuild assumes it, and what a build does to AWS is done in its name.

use cloud::{Caller, Cx, Error, FoundRole};
use shapes::sts::{AssumeRoleInput, Credentials};

use crate::names::{invalid, project_arn};
use crate::permissions::PRINCIPAL;
use crate::record::BuildRecord;

pub fn not_authorized(role: &str) -> Error {
    invalid(format!(
        "CodeBuild is not authorized to perform: sts:AssumeRole on {role}. Please verify that the \
         role exists and that its trust policy names the service {PRINCIPAL}"
    ))
}

/// A session of a role.
pub struct Session {
    pub credentials: Credentials,
    /// The unique id of the role: one of the same name that is made later is another.
    pub role_id: Option<String>,
}

/// A new session of a role, for a project. AWS names a build's session `AWSCodeBuild-<its uuid>`.
pub async fn assume(
    cx: &Cx,
    role_arn: &str,
    project: &str,
    session: &str,
) -> Result<Session, Error> {
    let input = AssumeRoleInput {
        role_arn: role_arn.to_owned(),
        role_session_name: session_name(session),
        ..Default::default()
    };
    let codebuild = cx.as_service_for(PRINCIPAL, project_arn(cx, project));
    match codebuild.call(input).await {
        Ok(answer) => Ok(Session {
            credentials: answer.credentials.unwrap_or_default(),
            role_id: answer.assumed_role_user.and_then(|it| {
                let (id, _) = it.assumed_role_id.split_once(':')?;
                Some(id.to_owned())
            }),
        }),
        Err(error) if error.status >= 500 => Err(error),
        Err(_) => Err(not_authorized(role_arn)),
    }
}

/// Whether a role trusts CodeBuild for a project, in a session like that of a build.
pub fn may_be_assumed(cx: &Cx, role: &FoundRole, project: &str) -> Result<bool, Error> {
    let codebuild = cx.as_service_for(PRINCIPAL, project_arn(cx, project));
    codebuild.may_assume(role, &session_name("check"))
}

fn session_name(session: &str) -> String {
    format!("AWSCodeBuild-{session}")
}

/// A context in which calls are the role's, and its permissions decide over them.
pub fn acting(cx: &Cx, build: &BuildRecord) -> Cx {
    cx.acting_as(Caller::AssumedRole {
        role_arn: build.shape.service_role.clone().unwrap_or_default(),
        role_id: build.session_role_id.clone(),
        session_name: session_name(&build.uuid),
        access_key: build.session_key.clone().unwrap_or_default(),
    })
}

/// A context in which calls are CodeBuild's own.
pub fn codebuild(cx: &Cx) -> Cx {
    cx.as_service(PRINCIPAL)
}
