//! What is stored of a task.

use serde::{Deserialize, Serialize};
use shapes::ecs::{
    CapacityProviderStrategyItem, HealthStatus, LaunchType, NetworkConfiguration, NetworkMode, Tag,
    TaskOverride, TaskStopCode,
};

use crate::bridge::{self, BridgeEnd};
use crate::placement::PortProtocol;

/// The words of `lastStatus`, in the order of a task's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Gets its network interface.
    Provisioning,
    /// Its images are pulled and its containers started.
    Pending,
    /// Its containers run; it is registered with its target groups.
    Activating,
    Running,
    /// Its targets drain.
    Deactivating,
    /// Its containers are being stopped.
    Stopping,
    /// Its network interface is being deleted.
    Deprovisioning,
    Stopped,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    pub code: TaskStopCode,
    pub reason: String,
    /// The task failed: it counts for the circuit breaker and for the back-off.
    pub failure: Failure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// It was stopped on purpose.
    No,
    /// It ended by itself, or could not be started.
    Ended,
    /// It was stopped because it failed health checks.
    HealthCheck,
}

/// The service that a task belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfService {
    pub name: String,
    pub deployment: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    pub id: String,
    pub address: String,
    pub mac: String,
    pub private_dns_name: Option<String>,
    pub zone: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub digest: Option<String>,
    pub essential: bool,
    pub has_health_check: bool,
    pub cpu: String,
    pub memory: Option<String>,
    pub memory_reservation: Option<String>,
    pub arn_id: String,
    pub status: Option<Phase>,
    pub health: HealthStatus,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
}

/// Where a task is that is on a container instance, and what it has of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The container instance's id.
    pub instance: String,
    /// EC2's id of it.
    pub machine: String,
    /// Its first interface, and the address of that.
    pub interface: String,
    pub address: String,
    pub zone: String,
    pub mode: NetworkMode,
    pub cpu: i64,
    pub memory: i64,
    pub bindings: Vec<Binding>,
    /// Where its containers are in the instance's bridge.
    #[serde(default)]
    pub ends: Vec<BridgeEnd>,
}

impl Placed {
    /// Its tasks have an interface of their own.
    pub fn is_apart(&self) -> bool {
        self.mode == NetworkMode::Awsvpc
    }
}

/// A port of the instance that leads to one of a container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub container: String,
    pub container_port: i32,
    pub host_port: u16,
    pub protocol: PortProtocol,
}

/// A target of a task: its address and this port, in a target group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub group: String,
    pub port: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registration {
    Never,
    Registered,
    Draining,
    Gone,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub region: String,
    pub cluster: String,
    /// 32 hexadecimal digits; the engine's id of it, too.
    pub id: String,
    /// What is added to its id where its credentials are, as nobody else knows it: tasks in mode `host` share their
    /// machine's interface, and ids of tasks are in ARNs, events and names of log streams. Empty: a record of
    /// an earlier version.
    #[serde(default)]
    pub credentials_key: String,
    pub service: Option<OfService>,
    /// ARN of the task definition.
    pub definition: String,
    pub group: String,
    pub started_by: Option<String>,
    pub network: NetworkConfiguration,
    /// The subnet chosen out of the network configuration.
    pub subnet: String,
    pub zone: String,
    pub launch_type: Option<LaunchType>,
    pub strategy: Vec<CapacityProviderStrategyItem>,
    pub platform_version: String,
    pub overrides: TaskOverride,
    pub cpu: String,
    pub memory: String,
    /// The disk that was asked for. None: Fargate's default.
    #[serde(default)]
    pub storage_gib: Option<i32>,
    pub enable_execute_command: bool,
    pub tags: Vec<Tag>,
    pub attachment_id: String,
    /// The container instance that it is on. None: it is on Fargate.
    #[serde(default)]
    pub placed: Option<Placed>,

    pub phase: Phase,
    /// Desired status STOPPED, and why.
    pub stop: Option<Stop>,
    pub interface: Option<Interface>,
    pub containers: Vec<Container>,
    pub targets: Vec<Target>,
    pub registration: Registration,
    /// It has been healthy at some time.
    pub was_healthy: bool,
    /// Grows with every change, as in answers.
    pub version: i64,

    pub created_ms: i64,
    pub connected_ms: Option<i64>,
    pub pull_started_ms: Option<i64>,
    pub pull_stopped_ms: Option<i64>,
    pub started_ms: Option<i64>,
    pub stopping_ms: Option<i64>,
    pub execution_stopped_ms: Option<i64>,
    pub stopped_ms: Option<i64>,
}

/// Stands where a service's name stands in the key of a task that has none; no name holds it.
const NO_SERVICE: &str = "~";

/// For the key of a task without a service: where the keys of its cluster's tasks without one end, which is
/// where all of its cluster's do.
pub fn end_of_no_service(key: &str) -> Option<String> {
    let mut parts = key.splitn(4, '/');
    let (region, cluster, service) = (parts.next()?, parts.next()?, parts.next()?);
    (service == NO_SERVICE).then(|| format!("{region}/{cluster}/{NO_SERVICE}/\u{10FFFF}"))
}

impl Task {
    /// The common start of the keys of a service's tasks.
    pub fn prefix_of(region: &str, cluster: &str, service: Option<&str>) -> String {
        format!("{region}/{cluster}/{}/", service.unwrap_or(NO_SERVICE))
    }
    pub fn live_key(&self) -> String {
        let service = self.service.as_ref().map(|it| it.name.as_str());
        format!(
            "{}{}",
            Self::prefix_of(&self.region, &self.cluster, service),
            self.id
        )
    }
    /// From now on the task is to be stopped. The first reason stays.
    pub fn ask_to_stop(&mut self, stop: Stop, now_ms: i64) {
        if self.stop.is_none() {
            self.stop = Some(stop);
            self.stopping_ms = Some(now_ms);
            self.version += 1;
        }
    }

    /// It has an interface of its own.
    pub fn is_apart(&self) -> bool {
        self.placed.as_ref().is_none_or(Placed::is_apart)
    }

    /// The interface that its containers share: its own, or its instance's. In a bridge they share none, and in
    /// mode `none` a namespace that has no interface.
    pub fn joined_interface(&self) -> Option<&str> {
        match &self.placed {
            Some(placed) if placed.mode == NetworkMode::Host => Some(&placed.interface),
            Some(placed) if !placed.is_apart() => None,
            _ => self.interface.as_ref().map(|it| it.id.as_str()),
        }
    }

    /// Every interface that one of its containers has.
    pub fn interfaces(&self) -> Vec<String> {
        let shared = self.joined_interface().map(str::to_owned);
        shared.into_iter().chain(bridge::interfaces(self)).collect()
    }

    /// What target groups call it: by its address, or by its instance.
    pub fn target_id(&self) -> Option<&str> {
        match &self.placed {
            Some(placed) if !placed.is_apart() => Some(&placed.machine),
            _ => self.interface.as_ref().map(|it| it.address.as_str()),
        }
    }

    /// What its containers' health checks say.
    pub fn container_health(&self) -> HealthStatus {
        let checked = || {
            self.containers
                .iter()
                .filter(|it| it.essential && it.has_health_check)
        };
        if checked().any(|it| it.health == HealthStatus::Unhealthy) {
            HealthStatus::Unhealthy
        } else if checked().next().is_some()
            && checked().all(|it| it.health == HealthStatus::Healthy)
        {
            HealthStatus::Healthy
        } else {
            HealthStatus::Unknown
        }
    }
}

/// A task that is not stopped.
impl cloud::Record for Task {
    const KIND: &'static str = "ecs.task";
    fn key(&self) -> String {
        self.live_key()
    }
}

/// A task that is stopped: a kind of its own, so that neither start-up nor a service's scheduler has
/// to look at the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoppedTask(pub Task);

impl cloud::Record for StoppedTask {
    const KIND: &'static str = "ecs.stopped-task";
    fn key(&self) -> String {
        self.0.live_key()
    }
}

/// From a task's id, which is all that the engine knows of it, to its record's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskPlace {
    pub id: String,
    pub key: String,
}

impl cloud::Record for TaskPlace {
    const KIND: &'static str = "ecs.task-place";
    fn key(&self) -> String {
        self.id.clone()
    }
}
