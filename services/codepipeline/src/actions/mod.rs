//! What actions do, a file per kind. Each is asked again and again until its action is over, and may
//! be asked again after a crash: what it makes is made with the action's token.

pub mod artifacts;
mod cloudformation;
mod codebuild;
pub mod ecr_source;
mod ecs;
pub mod git_source;
mod image_file;
mod manual;
mod s3_deploy;
pub mod s3_source;
mod stack_input;

use std::time::Duration;

use cloud::{Caller, Cx, Error};
use engine::{EngineError, Fault};
use shapes::codepipeline::ActionDeclaration;

use crate::act::failure;
use crate::catalog::{self, Driver};
use crate::permissions::PRINCIPAL;
use crate::record::{ActionRun, Failure};
use crate::{pipeline, roles};

/// Calls in the name of a pipeline's role: all that pipelines ask of other services goes through
/// here. The rest of the context is as it is.
pub struct Session {
    cx: Cx,
    role_arn: String,
    name: String,
}

impl Session {
    /// In the name of a pipeline's role, which has to trust CodePipeline at this moment: that it did when the
    /// pipeline was put is not enough.
    pub fn of_pipeline(
        cx: Cx,
        pipeline: &str,
        role_arn: &str,
        name: &str,
    ) -> Result<Self, Trouble> {
        let service = cx.as_service_for(PRINCIPAL, pipeline::arn(&cx, pipeline));
        take_on(&service, role_arn)?;
        Ok(Self {
            cx,
            role_arn: role_arn.to_owned(),
            name: name.to_owned(),
        })
    }

    /// In the name of an action's own role, which the pipeline's role takes on.
    pub fn of_action(self, role_arn: &str) -> Result<Self, Trouble> {
        take_on(&self.cx.acting_as(self.caller()), role_arn)?;
        Ok(Self {
            role_arn: role_arn.to_owned(),
            ..self
        })
    }

    fn caller(&self) -> Caller {
        Caller::AssumedRole {
            role_arn: self.role_arn.clone(),
            // The pipeline assumes its role anew for each action.
            role_id: None,
            session_name: self.name.clone(),
            access_key: String::new(),
        }
    }

    /// Whether the role may do something that is no operation.
    pub fn authorize(&self, service: &str, need: cloud::Need) -> Result<(), Error> {
        self.cx
            .with_caller(self.caller())
            .authorize_one(service, need)
    }

    pub async fn call<I: wire::Operation + Send + 'static>(
        &self,
        input: I,
    ) -> Result<I::Output, Error> {
        self.cx.call_as(&self.role_arn, &self.name, input).await
    }
}

/// That a role may be taken on by whom `cx` speaks for.
fn take_on(cx: &Cx, role_arn: &str) -> Result<(), Trouble> {
    match roles::check(cx, role_arn)? {
        Ok(_) => Ok(()),
        Err(doubt) => {
            let message = pipeline::refused(role_arn, &doubt);
            Err(Trouble::Failure(failure(PERMISSION, message)))
        }
    }
}

impl std::ops::Deref for Session {
    type Target = Cx;
    fn deref(&self) -> &Cx {
        &self.cx
    }
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It goes on: look again then, or when something wakes it.
    Waits(Duration),
    Succeeded,
    Failed(Failure),
}

/// Why an action could not be looked at.
#[derive(Debug)]
pub enum Trouble {
    /// It has failed.
    Failure(Failure),
    /// The machine or a service had trouble of its own: try the same again.
    Again(Error),
}

/// What the job workers call a wrong configuration.
pub const CONFIGURATION: &str = "ConfigurationError";
pub const JOB_FAILED: &str = "JobFailed";
pub const PERMISSION: &str = "PermissionError";
pub const REVISION_UNAVAILABLE: &str = "RevisionUnavailable";
pub const UNAVAILABLE: &str = "SystemUnavailable";

impl Trouble {
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::Failure(failure(CONFIGURATION, message))
    }
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failure(failure(JOB_FAILED, message))
    }
}

/// An operation that was refused fails the action, with the service's own words.
impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        // A server error is the machine's; what is not built will not be there the next time either.
        if error.status >= 500 && error.status != 501 {
            return Self::Again(error);
        }
        let code = match error.code.starts_with("AccessDenied") {
            true => PERMISSION,
            false => CONFIGURATION,
        };
        let message = format!(
            "{} (Status Code: {}; Error Code: {})",
            error.message, error.status, error.code
        );
        Self::Failure(failure(code, message))
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        let code = match error.fault {
            Fault::NotFound | Fault::Invalid | Fault::Conflict => CONFIGURATION,
            Fault::Unreachable | Fault::Machine => UNAVAILABLE,
        };
        Self::Failure(failure(code, error.chain()))
    }
}

fn driver(run: &ActionRun) -> Result<Driver, Trouble> {
    let kind = catalog::find(&run.declared.action_type_id);
    kind.map(|it| it.driver)
        .ok_or_else(|| Trouble::configuration("the action's type is not known any more"))
}

/// Gets an action on.
pub async fn drive(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    match driver(run)? {
        Driver::GitHub | Driver::Connection | Driver::CodeCommit => {
            git_source::drive(cx, run).await
        }
        Driver::S3Source => s3_source::drive(cx, run).await,
        Driver::EcrSource => ecr_source::drive(cx, run).await,
        Driver::CodeBuild => codebuild::drive(cx, run).await,
        Driver::Ecs => ecs::drive(cx, run).await,
        Driver::CloudFormation => cloudformation::drive(cx, run).await,
        Driver::S3Deploy => s3_deploy::drive(cx, run).await,
        Driver::Manual => Ok(manual::drive(cx, run)),
    }
}

/// The branch that a source action takes, where it has one.
pub fn branch(run: &ActionRun) -> Option<&str> {
    run.setting("BranchName").or_else(|| run.setting("Branch"))
}

/// What can be known of a configuration's values before it is used. Values with variables cannot.
pub fn check_settings(it: &ActionDeclaration, driver: Driver) -> Result<(), String> {
    let empty = Default::default();
    let all = it.configuration.as_ref().unwrap_or(&empty);
    let given = |name: &str| {
        let found = all.get(name).map(String::as_str);
        found.filter(|it| !it.contains("#{"))
    };
    let one_of = |name: &str, allowed: &[&str]| match given(name) {
        Some(value) if !allowed.iter().any(|it| it.eq_ignore_ascii_case(value)) => Err(format!(
            "{name} is '{value}', and can be {}",
            allowed.join(" or ")
        )),
        _ => Ok(()),
    };
    for flag in ["PollForSourceChanges", "DetectChanges", "Extract"] {
        one_of(flag, &["true", "false"])?;
    }
    match driver {
        Driver::Connection => one_of("OutputArtifactFormat", &["CODE_ZIP", "CODEBUILD_CLONE_REF"]),
        Driver::CodeCommit => one_of("OutputArtifactFormat", &["CODE_ZIP", "CODEBUILD_CLONE_REF"]),
        Driver::CodeBuild => {
            given("EnvironmentVariables").map_or(Ok(()), |it| codebuild::environment(it).map(drop))
        }
        Driver::Ecs => given("DeploymentTimeout").map_or(Ok(()), |it| ecs::timeout(it).map(drop)),
        Driver::CloudFormation => cloudformation::check(all),
        Driver::S3Deploy => match given("Extract") {
            Some(it) if it.eq_ignore_ascii_case("false") && !all.contains_key("ObjectKey") => {
                Err("ObjectKey is required when Extract is false".into())
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
