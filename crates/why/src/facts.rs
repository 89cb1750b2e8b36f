//! What rules look at: plain data about one situation, gathered beforehand and complete in itself.
//!
//! A part that is None, or a list that is empty, was not there to be looked at. Rules decide on what is
//! here and ask nobody, so that each of them is tested as data.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::acl::AclFacts;
use crate::endpoint::EndpointFacts;
use crate::report::Place;
use crate::texts::{denied_action, not_executed};

/// One task, or what is known of it through its service, with all that surrounds it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Situation {
    /// What it is about, as people call it: `task 4f1c… of service web`.
    pub thing: String,
    pub region: String,
    pub account: String,
    pub service: Option<ServiceFacts>,
    pub task: Option<TaskFacts>,
    pub network: Option<NetworkFacts>,
    pub containers: Vec<ContainerFacts>,
    /// Where the task's programs accept connections. None: it does not run any more.
    pub listening: Option<BTreeSet<SocketAddr>>,
    pub targets: Vec<TargetFacts>,
    pub build: Option<BuildFacts>,
    pub action: Option<ActionFacts>,
    /// The machine that it is about, when it is about one.
    pub instance: Option<InstanceFacts>,
    /// Why a service found no container instance for a task.
    pub placement: Option<PlacementFacts>,
    /// The instance that it runs on fetches its images and writes its logs, over a network of its own.
    pub is_served_by_instance: bool,
    /// Nothing of it is there yet: a file asks for it.
    pub is_ahead: bool,
    /// Where the file does.
    pub place: Option<Place>,
}

/// An EC2 instance, and the ECS agent in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InstanceFacts {
    pub id: String,
    /// Its instance profile.
    pub profile: Option<String>,
    /// The cluster that its agent is to join.
    pub cluster: String,
    /// Nobody named that cluster: it is the one for who says nothing.
    pub is_default: bool,
    /// It is registered in this cluster.
    pub joined: Option<String>,
    pub is_connected: bool,
    /// The last lines of its agent's log.
    pub said: Vec<String>,
    /// What its user data failed with, in cloud-init's words.
    pub boot_failures: Vec<String>,
    /// A cluster that has no instance, and services that want one.
    pub wanted_by: Option<String>,
}

impl InstanceFacts {
    /// Why its agent could not register, in the agent's words.
    pub fn complaint(&self) -> Option<&str> {
        const SAYS: &str = "Unable to register as a container instance with ECS: ";
        if self.joined.is_some() {
            return None;
        }
        let last = self.said.iter().rev().find_map(|it| it.split_once(SAYS))?;
        Some(last.1.trim_end_matches('"'))
    }

    /// Its agent does not reach ECS.
    pub fn is_cut_off(&self) -> bool {
        (self.complaint()).is_some_and(|it| it.contains("send request failed"))
    }
}

/// What a service said when it found no place for a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlacementFacts {
    pub event: String,
    pub needs: Amounts,
    /// Ports of the instance that a task asks for.
    pub host_ports: Vec<u16>,
    /// The container instances of its cluster.
    pub instances: Vec<CandidateFacts>,
}

/// Units of processors, and MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    pub cpu: i64,
    pub memory: i64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct CandidateFacts {
    pub id: String,
    pub instance: String,
    pub is_connected: bool,
    pub all: Amounts,
    pub free: Amounts,
    pub used_ports: Vec<String>,
}

/// A build that failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuildFacts {
    pub id: String,
    pub project: String,
    pub phase: String,
    pub code: String,
    pub message: String,
    pub is_privileged: bool,
    /// Its last lines.
    pub printed: Vec<String>,
}

/// An action of a pipeline that failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ActionFacts {
    pub pipeline: String,
    pub stage: String,
    pub name: String,
    pub code: String,
    pub message: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceFacts {
    pub name: String,
    pub cluster: String,
    pub desired: i32,
    pub running: i32,
    pub pending: i32,
    pub minimum_healthy_percent: i32,
    pub maximum_percent: i32,
    /// The newest first.
    pub events: Vec<String>,
    /// State and reason of the newest deployment.
    pub rollout_state: String,
    pub failed_tasks: i32,
    /// What was to be deployed failed, and the version before runs again.
    pub is_rolled_back: bool,
    /// Where its counts are written.
    pub place: Option<Place>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFacts {
    pub id: String,
    pub stop_code: String,
    pub stopped_reason: String,
    pub execution_role: Option<String>,
    pub memory_mib: Option<u32>,
    /// None: it never ran.
    pub ran_seconds: Option<u64>,
    /// The execution role, as far as it is known beforehand.
    pub role: Option<RoleFacts>,
    /// Where its definition is written.
    pub place: Option<Place>,
}

/// A role that tasks are started by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoleFacts {
    pub name: String,
    pub is_there: bool,
    /// Whether `ecs-tasks.amazonaws.com` may assume it.
    pub trusts_tasks: bool,
    /// What the task will ask of it and none of its policies allows.
    pub lacks: Vec<String>,
    pub place: Option<Place>,
}

impl TaskFacts {
    /// It ran, and was stopped because its balancer did not find it well.
    pub fn failed_probes(&self) -> bool {
        self.stopped_reason.contains("ELB health checks")
    }
}

/// A container, from its definition and from what became of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerFacts {
    pub name: String,
    pub image: ImageFacts,
    pub is_essential: bool,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub health: String,
    pub health_command: Vec<String>,
    pub user: String,
    pub log: Option<LogFacts>,
    /// Its last lines.
    pub printed: Vec<String>,
    /// What it is given by `secrets`, where that is known not to be there.
    pub missing_secrets: Vec<MissingSecret>,
    /// Other containers that it waits for, and for what.
    pub waits_for: Vec<(String, String)>,
    /// What it starts, with all arguments, as far as it is known beforehand.
    pub command: Vec<String>,
    pub ports: Vec<u16>,
    /// A program that its health check needs and that its image is known to lack.
    pub lacks_for_health: Option<String>,
    pub place: Option<Place>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct MissingSecret {
    pub variable: String,
    pub value_from: String,
    pub place: Option<Place>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageFacts {
    pub name: String,
    /// In this account's registry, or None when it is another's.
    pub here: Option<OwnImage>,
    /// Of the registry's name, when it is an ECR registry's.
    pub account: Option<String>,
    pub region: Option<String>,
    /// What the image starts, looked up in it as the kernel would.
    pub program: Option<ProgramFacts>,
    /// It was looked into, and neither it nor the definition says what to start.
    pub says_nothing: bool,
    /// The user that it is to run as is not in it.
    pub lacks_user: Option<String>,
    /// Programs that were asked for and are not in it.
    pub lacks: Vec<String>,
    /// The repository that the same file makes, which is empty when the first task starts.
    pub is_of: Option<String>,
    /// Tags of that repository never move.
    pub is_immutable: bool,
    #[serde(skip)]
    pub place: Option<Place>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnImage {
    pub repository: String,
    pub tag: String,
    pub has_repository: bool,
    pub has_tag: bool,
    /// Tags that are there, the newest first.
    pub tags: Vec<String>,
    /// Repositories that are there, when this one is not.
    pub repositories: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgramFacts {
    pub path: String,
    pub is_there: bool,
    pub mode: u32,
    /// Its first line, when it begins with `#!`.
    pub shebang: Option<String>,
    /// What runs it and is not there: a script's interpreter, or a program's loader.
    pub lacks_interpreter: Option<String>,
    /// The processor that it is made for, when that is not this machine's.
    pub foreign_machine: Option<String>,
    /// Neither a script with a first line nor a program.
    pub is_no_program: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LogFacts {
    pub group: String,
    pub region: String,
    pub is_there: bool,
    /// Other regions that have a group of this name.
    pub elsewhere: Vec<String>,
    /// Nobody could say whether it is there.
    pub is_unknown: bool,
    #[serde(skip)]
    pub place: Option<Place>,
}

/// How packets leave the interface of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkFacts {
    pub vpc: String,
    /// The network's resolver answers nobody.
    pub is_without_names: bool,
    pub endpoints: Vec<EndpointFacts>,
    pub subnet: String,
    pub zone: Option<String>,
    /// So many addresses of the subnet are free.
    pub free_addresses: Option<u32>,
    pub interface: Option<String>,
    pub route_table: String,
    /// No route table is associated with the subnet itself.
    pub is_main_table: bool,
    pub routes: Vec<RouteFacts>,
    pub nat: Option<NatFacts>,
    pub internet_gateway_attached: bool,
    /// None: it is over, and nobody knows how it was asked for.
    pub has_public_address: Option<bool>,
    pub groups: Vec<GroupFacts>,
    /// The network ACL of the subnet, where one is known.
    pub acl: Option<AclFacts>,
    /// Where the task is told to be there.
    #[serde(skip)]
    pub place: Option<Place>,
    /// Where its route table is written.
    #[serde(skip)]
    pub table_place: Option<Place>,
}

/// What a route leads to, as far as rules tell it apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Via {
    InternetGateway,
    Nat,
    #[default]
    Other,
}

impl Via {
    pub fn of(id: &str) -> Self {
        match id.split('-').next() {
            Some("igw") => Self::InternetGateway,
            Some("nat") => Self::Nat,
            _ => Self::Other,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteFacts {
    pub destination: String,
    pub target: String,
    pub via: Via,
    pub is_active: bool,
    #[serde(skip)]
    pub place: Option<Place>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NatFacts {
    pub id: String,
    pub state: String,
    pub subnet: String,
    /// The default route of the gateway's own subnet.
    pub subnets_default_route: Option<RouteFacts>,
    #[serde(skip)]
    pub place: Option<Place>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupFacts {
    pub id: String,
    pub name: String,
    /// Where that is known.
    pub vpc: Option<String>,
    pub ingress: Vec<GroupRuleFacts>,
    pub egress: Vec<GroupRuleFacts>,
    #[serde(skip)]
    pub place: Option<Place>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupRuleFacts {
    /// `-1`, `tcp`, `udp`, `icmp` or a number.
    pub protocol: String,
    pub from_port: i32,
    pub to_port: i32,
    pub ranges: Vec<String>,
    pub groups: Vec<String>,
}

/// A target of a target group that the task is, or should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetFacts {
    pub group: String,
    pub group_arn: String,
    pub address: Option<IpAddr>,
    pub port: u16,
    pub state: String,
    pub reason: String,
    pub description: String,
    pub check_path: String,
    pub matcher: String,
    pub interval_seconds: i32,
    pub has_listener: bool,
    pub balancer: Option<BalancerFacts>,
    /// The port of the health check, when it is not the target's own.
    pub health_port: Option<u16>,
    /// `instance` or `ip`; empty where nobody asked.
    pub target_type: String,
    /// The container and port that the service registers.
    pub container: Option<(String, u16)>,
    /// What is made for the service may be made before the listener that leads to the group.
    pub may_be_early: bool,
    /// Where the service names it, and where it is written itself.
    pub place: Option<Place>,
    pub group_place: Option<Place>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct BalancerFacts {
    pub name: String,
    pub groups: Vec<GroupFacts>,
    pub addresses: Vec<IpAddr>,
    /// The zones that it is in, where they are known.
    pub zones: Vec<String>,
    pub place: Option<Place>,
}

impl TargetFacts {
    /// The state of what should be a target and is none: AWS has no word for it.
    pub const ABSENT: &str = "absent";
}

impl GroupRuleFacts {
    /// Whether it is about TCP packets to this port.
    pub fn covers_tcp(&self, port: u16) -> bool {
        let port = i32::from(port);
        match self.protocol.as_str() {
            "-1" => true,
            "tcp" | "6" => self.from_port <= port && port <= self.to_port,
            _ => false,
        }
    }

    fn has_address(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else {
            return false;
        };
        (self.ranges.iter()).any(|it| {
            base_range(it).is_some_and(|it| it.0 <= address.to_bits() && address.to_bits() <= it.1)
        })
    }

    /// Whether it names one of these addresses or groups.
    pub fn names_any(&self, addresses: &[IpAddr], groups: &[GroupFacts]) -> bool {
        addresses.iter().any(|it| self.has_address(*it))
            || groups.iter().any(|it| self.groups.contains(&it.id))
    }

    /// Whether it leads to the whole of the internet's addresses.
    pub fn is_everywhere(&self) -> bool {
        self.ranges.iter().any(|it| it == EVERYWHERE)
    }

    /// As people write it: `tcp 443 to 0.0.0.0/0`.
    pub fn shown(&self) -> String {
        let peers: Vec<&str> = (self.ranges.iter().chain(&self.groups))
            .map(String::as_str)
            .collect();
        let ports = match (self.protocol.as_str(), self.from_port == self.to_port) {
            ("-1", _) => "all traffic".to_owned(),
            (protocol, true) => format!("{protocol} {}", self.from_port),
            (protocol, false) => format!("{protocol} {}-{}", self.from_port, self.to_port),
        };
        format!("{ports}: {}", peers.join(", "))
    }
}

/// Every IPv4 address.
pub const EVERYWHERE: &str = "0.0.0.0/0";

/// First and last address of a range as `10.0.0.0/16`.
pub(crate) fn base_range(text: &str) -> Option<(u32, u32)> {
    let (address, prefix) = text.split_once('/')?;
    let address: std::net::Ipv4Addr = address.parse().ok()?;
    let prefix: u32 = prefix.parse().ok().filter(|it| *it <= 32)?;
    let rest = u32::MAX.checked_shr(prefix).unwrap_or(0);
    let first = address.to_bits() & !rest;
    Some((first, first | rest))
}

impl NetworkFacts {
    pub fn default_route(&self) -> Option<&RouteFacts> {
        self.routes.iter().find(|it| it.destination == EVERYWHERE)
    }

    /// As people say it: `route table rtb-1 (main) of subnet-2`.
    pub fn table_shown(&self) -> String {
        let main = if self.is_main_table {
            " (the main one)"
        } else {
            ""
        };
        format!("route table {}{main} of {}", self.route_table, self.subnet)
    }
}

impl ProgramFacts {
    /// What the kernel will say when it is to start this.
    pub fn why_not(&self) -> Option<&'static str> {
        const EXECUTABLE: u32 = 0o111;
        let ends_in_return = (self.shebang.as_ref()).is_some_and(|it| it.ends_with('\r'));
        match self {
            it if !it.is_there => Some("no such file or directory"),
            it if it.mode & EXECUTABLE == 0 => Some("permission denied"),
            it if ends_in_return || it.lacks_interpreter.is_some() => {
                Some("no such file or directory")
            }
            it if it.is_no_program || it.foreign_machine.is_some() => Some("exec format error"),
            _ => None,
        }
    }
}

impl Situation {
    pub fn stopped_reason(&self) -> &str {
        self.task
            .as_ref()
            .map_or("", |it| it.stopped_reason.as_str())
    }

    /// The task ended, or never began, because a place on the network was not reached; or it will be, and its
    /// image, secrets and logs have to be reached then.
    pub fn could_not_reach(&self) -> bool {
        if let Some(instance) = &self.instance {
            return self.is_ahead || instance.is_cut_off();
        }
        if self.is_ahead {
            return !self.is_served_by_instance;
        }
        let reason = self.stopped_reason();
        [
            "i/o timeout",
            "connection issue",
            "task network configuration",
        ]
        .iter()
        .any(|it| reason.contains(it))
    }

    /// Who sends the packets that do not get out.
    pub fn sender(&self) -> &'static str {
        match self.instance {
            Some(_) => "the instance",
            None => "the task",
        }
    }

    /// What comes of it when nothing gets out.
    pub fn loss(&self) -> &'static str {
        match self.instance {
            Some(_) => "its agent does not reach ECS and it joins no cluster",
            None => "images, secrets and logs are out of its reach",
        }
    }

    /// An image did not come, or is still to come.
    pub fn pull_failed(&self) -> bool {
        self.is_ahead || self.stopped_reason().contains("CannotPullContainerError")
    }

    /// The log group that a container was to write to and that is not there.
    pub fn missing_log_group(&self) -> Option<(&ContainerFacts, &LogFacts)> {
        const SAYS: &str = "The specified log group does not exist";
        if !self.is_ahead && !self.stopped_reason().contains(SAYS) {
            return None;
        }
        let logs = self
            .containers
            .iter()
            .filter_map(|it| Some((it, it.log.as_ref()?)));
        logs.into_iter()
            .find(|(_, log)| !log.is_there && !log.is_unknown)
    }

    /// Something that the task is given was to be read, and was not.
    pub fn secret_failed(&self) -> bool {
        let reason = self.stopped_reason();
        ["secret from asm", "secrets from ssm"]
            .iter()
            .any(|it| reason.contains(it))
    }

    /// The execution role, when it is known beforehand that it lacks something.
    pub fn lacking_role(&self) -> Option<&RoleFacts> {
        let role = self.task.as_ref()?.role.as_ref()?;
        (self.is_ahead && role.is_there && !role.lacks.is_empty()).then_some(role)
    }

    /// An action of these that the task's execution role was denied, or will be.
    pub fn denied(&self, is_own: impl Fn(&str) -> bool) -> Option<&str> {
        if self.is_ahead {
            let lacks = &self.lacking_role()?.lacks;
            return lacks.iter().map(String::as_str).find(|it| is_own(it));
        }
        denied_action(self.stopped_reason()).filter(|it| is_own(it))
    }

    /// A container whose program was not started, or will not be: the program, and why, in the kernel's words.
    pub fn not_started(
        &self,
        is_why: impl Fn(&str, Option<&ProgramFacts>) -> bool,
    ) -> Option<(&ContainerFacts, &str, &str)> {
        if !self.is_ahead {
            let (program, why) = not_executed(self.stopped_reason())?;
            let container = self.failed_container()?;
            return is_why(why, container.image.program.as_ref())
                .then_some((container, program, why));
        }
        self.containers.iter().find_map(|it| {
            let program = it.image.program.as_ref()?;
            let why = program.why_not()?;
            is_why(why, Some(program)).then_some((it, program.path.as_str(), why))
        })
    }

    /// The first container whose end ended the task, or that did not start.
    pub fn failed_container(&self) -> Option<&ContainerFacts> {
        let named = |it: &&ContainerFacts| {
            self.stopped_reason()
                .contains(&format!("container {}:", it.name))
        };
        let failed = |it: &&ContainerFacts| {
            it.is_essential && (it.reason.is_some() || it.exit_code.is_some_and(|code| code != 0))
        };
        let ended = |it: &&ContainerFacts| it.is_essential && it.exit_code.is_some();
        let all = || self.containers.iter();
        (all().find(named))
            .or_else(|| all().find(failed))
            .or_else(|| all().find(ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_addresses_and_no_neighbours() {
        let rule = |range: &str| GroupRuleFacts {
            ranges: vec![range.to_owned()],
            ..GroupRuleFacts::default()
        };
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for (range, address, expect) in [
            ("10.0.0.0/16", "10.0.255.255", true),
            ("10.0.0.0/16", "10.1.0.0", false),
            ("10.0.1.7/32", "10.0.1.7", true),
            ("10.0.1.7/32", "10.0.1.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("nonsense", "10.0.0.1", false),
            ("10.0.0.0/33", "10.0.0.0", false),
        ] {
            assert_eq!(
                rule(range).has_address(at(address)),
                expect,
                "{range} {address}"
            );
        }
    }
}
