//! What is stored. A pipeline's record holds what outlives executions (its structure, transitions,
//! and what happened last in each stage); an execution's, the facts of one run through it; an
//! action run's, one action of one execution.

use std::collections::{BTreeMap, BTreeSet};

use cloud::Record;
use serde::{Deserialize, Serialize};
use shapes::codepipeline::*;

pub fn timestamp(ms: i64) -> wire::Timestamp {
    wire::Timestamp(ms as f64 / 1000.0)
}

pub fn new_uuid() -> String {
    cloud::dashed(&cloud::random_hex(32))
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    pub region: String,
    pub name: String,
    pub version: i32,
    pub created_ms: i64,
    pub updated_ms: i64,
    /// The newest structure. Holds secrets: it is shown by [`crate::pipeline::shown`] only.
    pub declaration: PipelineDeclaration,
    pub tags: Vec<Tag>,
    /// Executions that were started.
    pub executions: u64,
    /// Keys of the executions that have not ended, oldest first.
    pub live: Vec<String>,
    /// By the stage's name.
    pub stages: BTreeMap<String, StageMemory>,
    /// The token of the request that made it.
    pub made_by: Option<String>,
}

/// What is known of a stage beyond any one execution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageMemory {
    /// The execution that entered it last.
    pub latest: Option<String>,
    /// The newest run of each of its actions, by key.
    pub runs: BTreeMap<String, String>,
    /// The way into it, when somebody has ever changed it.
    pub transition: Option<Transition>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    pub enabled: bool,
    pub changed_by: String,
    pub changed_ms: i64,
    pub reason: Option<String>,
}

impl Pipeline {
    pub fn key_of(region: &str, name: &str) -> String {
        format!("{region}/{name}")
    }
    pub fn mode(&self) -> ExecutionMode {
        self.declaration
            .execution_mode
            .unwrap_or(ExecutionMode::Superseded)
    }
    pub fn may_enter(&self, stage: &str) -> bool {
        let transition = self.stages.get(stage).and_then(|it| it.transition.as_ref());
        transition.is_none_or(|it| it.enabled)
    }
}

impl Record for Pipeline {
    const KIND: &'static str = "codepipeline.pipeline";
    fn key(&self) -> String {
        Self::key_of(&self.region, &self.name)
    }
}

/// A structure that a pipeline has or had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub pipeline: String,
    pub number: i32,
    pub declaration: PipelineDeclaration,
}

impl Version {
    pub fn key_of(pipeline: &str, number: i32) -> String {
        format!("{pipeline}/{number:06}")
    }
}

impl Record for Version {
    const KIND: &'static str = "codepipeline.version";
    fn key(&self) -> String {
        Self::key_of(&self.pipeline, self.number)
    }
}

/// Where an artifact is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    pub bucket: String,
    pub key: String,
    /// The key of KMS that it is encrypted by. None: it is as its bucket says.
    #[serde(default)]
    pub kms_key: Option<String>,
}

/// What a source action took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    pub action: String,
    pub artifact: String,
    pub id: String,
    pub summary: String,
    pub url: Option<String>,
    pub created_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    pub abandon: bool,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub region: String,
    pub pipeline: String,
    pub number: u64,
    pub id: String,
    /// Of the structure that it runs through, whatever the pipeline becomes meanwhile.
    pub version: i32,
    pub mode: ExecutionMode,
    pub status: PipelineExecutionStatus,
    pub summary: Option<String>,
    pub trigger: TriggerType,
    pub trigger_detail: String,
    pub started_ms: i64,
    pub updated_ms: i64,
    /// The pipeline's variables, resolved.
    pub variables: BTreeMap<String, String>,
    /// The stage that it is in, or waits before.
    pub at: usize,
    pub inside: bool,
    /// It ends after this one.
    pub last: usize,
    /// The stages that it entered, by index.
    pub stages: BTreeMap<usize, StageRun>,
    pub artifacts: BTreeMap<String, Location>,
    pub revisions: Vec<Revision>,
    /// What actions gave out, by namespace.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Revisions that source actions take instead of the newest, by action.
    pub overrides: BTreeMap<String, String>,
    /// Branches that were pushed to, where a trigger takes others than the action's, by action.
    pub branches: BTreeMap<String, String>,
    pub stop: Option<Stop>,
    pub client_token: Option<String>,
    /// Set when a stage is rolled back to what this execution deployed.
    pub rollback_to: Option<String>,
}

/// One stage of one execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRun {
    pub name: String,
    pub status: StageExecutionStatus,
    /// The newest run of each action, by key.
    pub runs: BTreeMap<String, String>,
    pub retries: i32,
}

impl Execution {
    pub fn key_of(region: &str, pipeline: &str, number: u64, id: &str) -> String {
        format!("{region}/{pipeline}/{number:010}/{id}")
    }
    pub fn stage(&self) -> Option<&StageRun> {
        self.stages.get(&self.at).filter(|_| self.inside)
    }
}

impl Record for Execution {
    const KIND: &'static str = "codepipeline.execution";
    fn key(&self) -> String {
        Self::key_of(&self.region, &self.pipeline, self.number, &self.id)
    }
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

/// How far an action has come, where that is more than its status says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Work {
    #[default]
    New,
    /// A build runs: its id.
    Build(String),
    /// A service is being updated.
    Deployment {
        cluster: String,
        service: String,
        definition: String,
        /// The service's deployment.
        id: String,
    },
    /// A stack is being changed.
    Stack { id: String, step: StackStep },
    /// Somebody has to approve.
    Approval { token: String },
}

/// What is done to a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StackStep {
    /// What a failure left is deleted, to be created anew.
    Clearing,
    Changing,
    Deleting,
    /// A change set is being made: its ARN.
    Proposing(String),
}

/// One action of one execution, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionRun {
    pub region: String,
    pub pipeline: String,
    pub execution_number: u64,
    pub execution_id: String,
    pub version: i32,
    pub stage: String,
    /// In whose name it acts: the pipeline's role, or its own.
    pub role_arn: String,
    /// As the structure declares it: variables are not resolved. Holds secrets.
    pub declared: ActionDeclaration,
    /// Counts the runs of the whole pipeline, so that they sort.
    pub sequence: i64,
    pub id: String,
    pub status: ActionExecutionStatus,
    pub started_ms: i64,
    pub updated_ms: i64,
    pub updated_by: Option<String>,
    /// With variables resolved. Holds secrets.
    pub configuration: BTreeMap<String, String>,
    pub inputs: Vec<(String, Location)>,
    pub outputs: Vec<(String, Location)>,
    pub external_id: Option<String>,
    pub external_url: Option<String>,
    pub summary: Option<String>,
    pub log_stream_arn: Option<String>,
    pub failure: Option<Failure>,
    pub variables: BTreeMap<String, String>,
    pub revision: Option<Revision>,
    /// The revision to take instead of the newest, of a source action.
    pub revision_override: Option<String>,
    pub branch_override: Option<String>,
    pub work: Work,
}

impl ActionRun {
    pub fn execution_key(&self) -> String {
        Execution::key_of(
            &self.region,
            &self.pipeline,
            self.execution_number,
            &self.execution_id,
        )
    }
    pub fn pipeline_key(&self) -> String {
        Pipeline::key_of(&self.region, &self.pipeline)
    }
    pub fn is_running(&self) -> bool {
        self.status == ActionExecutionStatus::InProgress
    }
    /// A member of its configuration that is not empty.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let found = self.configuration.get(name).map(String::as_str);
        found.filter(|it| !it.is_empty())
    }
    /// One that the structure was checked for.
    pub fn required(&self, name: &str) -> &str {
        self.setting(name).unwrap_or_default()
    }
    pub fn flag(&self, name: &str) -> bool {
        self.setting(name)
            .is_some_and(|it| it.eq_ignore_ascii_case("true"))
    }
}

impl Record for ActionRun {
    const KIND: &'static str = "codepipeline.action";
    fn key(&self) -> String {
        format!(
            "{}/{}/{:010}/{:06}-{}",
            self.region, self.pipeline, self.execution_number, self.sequence, self.id
        )
    }
}

/// What a pipeline's sources were at when executions were last started for them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceWatch {
    pub region: String,
    pub pipeline: String,
    /// By action, then by branch (or one empty name where there are none).
    pub seen: BTreeMap<String, BTreeMap<String, String>>,
    /// Actions whose source was looked at before: what is not in `seen` is new.
    pub looked: BTreeSet<String>,
}

impl Record for SourceWatch {
    const KIND: &'static str = "codepipeline.watch";
    fn key(&self) -> String {
        Pipeline::key_of(&self.region, &self.pipeline)
    }
}

/// A delivery that was taken, so that the same one later starts nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivered {
    pub region: String,
    /// What the webhook's URL ends in: a webhook that is made anew has another.
    pub path: String,
    /// Of the body, which the signature is made over.
    pub digest: String,
    pub at_ms: i64,
}

impl Record for Delivered {
    const KIND: &'static str = "codepipeline.delivered";
    fn key(&self) -> String {
        format!("{}{}", Self::prefix(&self.region, &self.path), self.digest)
    }
}

impl Delivered {
    /// What the keys of a webhook's deliveries begin with.
    pub fn prefix(region: &str, path: &str) -> String {
        format!("{region}/{path}/")
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    pub region: String,
    /// Holds a secret.
    pub definition: WebhookDefinition,
    /// What the URL ends in.
    pub path: String,
    pub registered: bool,
    pub last_triggered_ms: Option<i64>,
    pub failure: Option<Failure>,
    pub tags: Vec<Tag>,
}

impl Record for Webhook {
    const KIND: &'static str = "codepipeline.webhook";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.definition.name)
    }
}
