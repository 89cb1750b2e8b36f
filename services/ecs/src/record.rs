//! What is stored of clusters, task definitions and services. Tasks are in [`crate::task_record`].

use serde::{Deserialize, Serialize};
use shapes::ecs::{
    CapacityProviderStrategyItem, ClusterConfiguration, ClusterSetting, DeploymentConfiguration,
    LaunchType, LoadBalancer, NetworkConfiguration, PlacementConstraint, PlacementStrategy,
    PropagateTags, ServiceEvent, Tag, TaskDefinition,
};
use wire::Timestamp;

use crate::plan::Rollout;

/// AWS keeps so many events of a service ("Viewing Amazon ECS service event messages").
pub const EVENTS_MAX: usize = 100;
/// Deployments that are over, as `ListServiceDeployments` shows them. AWS keeps 90 days of them.
pub const HISTORY_MAX: usize = 50;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    pub region: String,
    pub name: String,
    /// False once it is deleted: AWS still describes it then.
    pub active: bool,
    pub settings: Vec<ClusterSetting>,
    pub configuration: Option<ClusterConfiguration>,
    pub capacity_providers: Vec<String>,
    pub default_strategy: Vec<CapacityProviderStrategyItem>,
    pub tags: Vec<Tag>,
}

impl cloud::Record for Cluster {
    const KIND: &'static str = "ecs.cluster";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub region: String,
    pub family: String,
    pub revision: i32,
    pub shape: TaskDefinition,
    pub tags: Vec<Tag>,
    /// The token of the request that made it.
    pub made_by: Option<String>,
}

impl Definition {
    /// Padded, so that revisions sort as numbers.
    pub fn key_of(region: &str, family: &str, revision: i32) -> String {
        format!("{region}/{family}:{revision:010}")
    }
    pub fn arn(&self) -> String {
        self.shape.task_definition_arn.clone().unwrap_or_default()
    }
}

impl cloud::Record for Definition {
    const KIND: &'static str = "ecs.task-definition";
    fn key(&self) -> String {
        Self::key_of(&self.region, &self.family, self.revision)
    }
}

/// Which active revision a request has made, so that its repetition finds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub key: String,
    pub definition: String,
}

impl Request {
    /// The token is somebody's own text: its digest stands for it.
    pub fn key_of(region: &str, family: &str, token: &str) -> String {
        const DIGITS: usize = 32;
        format!(
            "{region}/{family}/{}",
            cloud::token_hex(token, family, DIGITS)
        )
    }
}

impl cloud::Record for Request {
    const KIND: &'static str = "ecs.task-definition-request";
    fn key(&self) -> String {
        self.key.clone()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceStatus {
    Active,
    Draining,
    Inactive,
}

impl ServiceStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// How tasks are to be run: what, where, and behind which target groups. A change of it is a new
/// deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// The ARN.
    pub task_definition: String,
    pub network: Option<NetworkConfiguration>,
    pub load_balancers: Vec<LoadBalancer>,
    pub launch_type: Option<LaunchType>,
    pub strategy: Vec<CapacityProviderStrategyItem>,
    pub platform_version: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// `ecs-svc/<19 digits>`.
    pub id: String,
    pub revision: Revision,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub rollout: Rollout,
    pub reason: String,
    /// As the circuit breaker counts them.
    pub failed_tasks: u32,
    /// Tasks that ended soon after their start, with no lasting one between: sets the back-off.
    pub crashes: u32,
    pub last_crash_ms: i64,
    pub is_rollback: bool,
    /// The token of the request that made it.
    pub made_by: Option<String>,
}

impl Deployment {
    /// The number alone, as ARNs of service deployments and revisions have it.
    pub fn number(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }
}

/// A deployment that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastDeployment {
    pub deployment: Deployment,
    pub finished_ms: i64,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Successful,
    /// A newer one took over before it was complete.
    Superseded,
    Failed,
    /// Failed, and an older deployment was put in its place.
    RolledBack,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub region: String,
    pub cluster: String,
    pub name: String,
    pub status: ServiceStatus,
    pub created_ms: i64,
    pub desired: u32,
    /// The newest first; the first is the primary.
    pub deployments: Vec<Deployment>,
    pub last_completed: Option<Deployment>,
    pub history: Vec<PastDeployment>,
    /// With the defaults filled in.
    pub configuration: DeploymentConfiguration,
    pub grace_seconds: Option<u32>,
    pub managed_tags: bool,
    pub propagate_tags: PropagateTags,
    pub enable_execute_command: bool,
    pub zone_rebalancing: shapes::ecs::AvailabilityZoneRebalancing,
    pub role: Option<String>,
    /// Where its tasks on instances come to be.
    #[serde(default)]
    pub placement_constraints: Vec<PlacementConstraint>,
    #[serde(default)]
    pub placement_strategy: Vec<PlacementStrategy>,
    /// One task on each instance.
    #[serde(default)]
    pub is_daemon: bool,
    pub tags: Vec<Tag>,
    /// The newest first.
    pub events: Vec<ServiceEvent>,
    /// Events said since the last change, so that they are not said again.
    pub said_steady: bool,
    pub said_blocked: bool,
    pub said_inconsistent: bool,
    pub client_token: Option<String>,
    pub made_by: Option<String>,
}

impl Service {
    pub fn key_of(region: &str, cluster: &str, name: &str) -> String {
        format!("{region}/{cluster}/{name}")
    }
    pub fn deployment_mut(&mut self, id: &str) -> Option<&mut Deployment> {
        self.deployments.iter_mut().find(|it| it.id == id)
    }

    /// Adds an event in AWS's words: the text after `(service <name>)`.
    pub fn say(&mut self, now_ms: i64, text: &str) {
        let message = format!("(service {}) {text}", self.name);
        let event = ServiceEvent {
            id: Some(uuid()),
            created_at: Some(timestamp(now_ms)),
            message: Some(message),
        };
        self.events.insert(0, event);
        self.events.truncate(EVENTS_MAX);
    }

    /// The same for what is tried again and again: it is not said twice in a row.
    pub fn say_once(&mut self, now_ms: i64, text: &str) {
        let said = self.events.first().and_then(|it| it.message.as_deref());
        if said.is_none_or(|it| !it.ends_with(text)) {
            self.say(now_ms, text);
        }
    }

    pub fn remember(&mut self, deployment: Deployment, outcome: Outcome, now_ms: i64) {
        if self
            .history
            .iter()
            .any(|it| it.deployment.id == deployment.id && it.outcome == outcome)
        {
            return;
        }
        self.history.insert(
            0,
            PastDeployment {
                deployment,
                finished_ms: now_ms,
                outcome,
            },
        );
        self.history.truncate(HISTORY_MAX);
    }
}

impl cloud::Record for Service {
    const KIND: &'static str = "ecs.service";
    fn key(&self) -> String {
        Self::key_of(&self.region, &self.cluster, &self.name)
    }
}

/// An account setting that was changed from its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountSetting {
    pub region: String,
    pub name: String,
    pub value: String,
}

impl cloud::Record for AccountSetting {
    const KIND: &'static str = "ecs.account-setting";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp(ms as f64 / 1000.0)
}

/// Random, in the form `8-4-4-4-12`.
pub fn uuid() -> String {
    cloud::dashed(&cloud::random_hex(32))
}

/// `ecs-svc/` and 19 digits.
pub fn deployment_id() -> String {
    const NINETEEN_DIGITS: u64 = 10_000_000_000_000_000_000;
    let number = u64::from_str_radix(&cloud::random_hex(16), 16).unwrap_or_default();
    format!("ecs-svc/{:019}", number % NINETEEN_DIGITS)
}
