//! What is stored of projects and builds. A build is stored in AWS's own shape, which is filled in
//! as it goes on, with what only its reconciler has to know beside it.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use shapes::codebuild::{
    Build, BuildPhase, BuildPhaseType, PhaseContext, Project, ProjectArtifacts, StatusType,
};
use wire::Timestamp;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectRecord {
    pub region: String,
    pub name: String,
    pub shape: Project,
    /// Changes when the cache is invalidated: what was kept under the former is never read again.
    pub cache_version: u32,
    /// The token of the request that made it.
    pub made_by: Option<String>,
}

impl ProjectRecord {
    pub fn key_of(region: &str, name: &str) -> String {
        format!("{region}/{name}")
    }
}

impl cloud::Record for ProjectRecord {
    const KIND: &'static str = "codebuild.project";
    fn key(&self) -> String {
        Self::key_of(&self.region, &self.name)
    }
}

/// What is to be done next for a build. AWS's phases are what has been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    Queued,
    Provisioning,
    DownloadingSource,
    /// Its container runs the commands of INSTALL to POST_BUILD.
    Running,
    UploadingArtifacts,
    Finalizing,
    Completed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildRecord {
    pub region: String,
    pub project: String,
    /// The part of its id after the colon; also the engine's id of its task and of its workspace.
    pub uuid: String,
    pub shape: Build,
    /// Where its results go: AWS's shape of a build does not say it.
    pub artifacts: ProjectArtifacts,
    pub secondary_artifacts: Vec<ProjectArtifacts>,
    pub stage: Stage,
    pub submitted_ms: i64,
    /// When it left the queue: its time-out counts from here.
    pub begun_ms: Option<i64>,
    pub stop_asked: bool,
    pub timed_out: bool,
    /// The text that was found, once it was found.
    pub buildspec: Option<String>,
    /// Of its source folder, as on AWS: `/codebuild/output/src<number>/src`.
    pub source_number: u32,
    /// The key of its role's session.
    pub session_key: Option<String>,
    /// The unique id of the role that the session is of.
    #[serde(default)]
    pub session_role_id: Option<String>,
    /// When that session was made.
    pub credentials_ms: Option<i64>,
    pub cache_version: u32,
    /// Its address in the network of builds, once it has one.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
}

impl BuildRecord {
    pub fn key_of(region: &str, id: &str) -> String {
        format!("{region}/{id}")
    }
    pub fn id(&self) -> String {
        format!("{}:{}", self.project, self.uuid)
    }
    /// Where the container sees its sources.
    pub fn source_dir(&self) -> String {
        format!("/codebuild/output/src{}/src", self.source_number)
    }
    /// The workspace that holds its sources.
    pub fn source_workspace(&self) -> String {
        format!("{}-src", self.uuid)
    }
    /// The workspace that holds the cache of a build, between the container and the cache's place.
    pub fn cache_workspace(&self) -> String {
        format!("{}-cache", self.uuid)
    }
    pub fn enter(&mut self, phase: BuildPhaseType, now: f64) {
        self.shape.current_phase = Some(phase.to_string());
        self.shape.phases.get_or_insert_default().push(BuildPhase {
            phase_type: Some(phase),
            start_time: Some(Timestamp(now)),
            ..Default::default()
        });
    }

    /// Ends the phase that is under way, if there is one. An error is `CODE` and a message.
    pub fn leave(&mut self, status: StatusType, error: Option<(&str, String)>, now: f64) {
        let Some(phase) = self.shape.phases.iter_mut().flatten().last() else {
            return;
        };
        if phase.phase_status.is_some() {
            return;
        }
        let start = phase.start_time.map_or(now, |it| it.0);
        phase.phase_status = Some(status);
        phase.end_time = Some(Timestamp(now.max(start)));
        phase.duration_in_seconds = Some((now - start).max(0.0) as i64);
        let (code, message) = match error {
            Some((code, message)) => (Some(code.to_owned()), Some(message)),
            None => (Some(String::new()), Some(String::new())),
        };
        phase.contexts = Some(vec![PhaseContext {
            status_code: code,
            message,
        }]);
    }
}

/// A build that is under way.
impl cloud::Record for BuildRecord {
    const KIND: &'static str = "codebuild.build";
    fn key(&self) -> String {
        Self::key_of(&self.region, &self.id())
    }
}

/// A build that is over: a kind of its own, so that start-up does not look at the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinishedBuild(pub BuildRecord);

impl cloud::Record for FinishedBuild {
    const KIND: &'static str = "codebuild.finished-build";
    fn key(&self) -> String {
        self.0.key()
    }
}

/// A token for a Git host. One per kind of server and region, as on AWS.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceCredential {
    pub region: String,
    pub server: String,
    pub auth: String,
    pub username: Option<String>,
    pub token: String,
    pub arn: String,
}

impl std::fmt::Debug for SourceCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SourceCredential({})", self.arn)
    }
}

impl cloud::Record for SourceCredential {
    const KIND: &'static str = "codebuild.source-credential";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.server)
    }
}
