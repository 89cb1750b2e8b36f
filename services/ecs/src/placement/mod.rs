//! Which container instance a task comes to be on (ECS Developer Guide, "How Amazon ECS places tasks on
//! container instances"): first those that can take it, then by the strategies, one after another. Pure.

pub mod asked;
pub mod expression;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::bridge::free_addresses;
use expression::{Expression, Subject, Subjects};

/// The kernel's own range of ports for who asks for none ("hostPort", API reference of `PortMapping`).
const DYNAMIC_PORTS: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// What of an instance is reserved, or free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    pub cpu: i64,
    pub memory: i64,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum PortProtocol {
    Tcp,
    Udp,
}

pub type Port = (PortProtocol, u16);

/// An instance that is ACTIVE.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    pub id: String,
    pub ec2_instance: String,
    pub is_connected: bool,
    pub agent_version: String,
    pub attributes: BTreeMap<String, String>,
    pub free: Amounts,
    pub used_ports: BTreeSet<Port>,
    /// Its own address, and those of its bridge that containers have.
    pub address: String,
    pub used_addresses: BTreeSet<Ipv4Addr>,
    /// The groups of the tasks that are on it, each as often as it has one.
    pub groups: Vec<String>,
}

/// What a task needs of its instance.
#[derive(Debug, Clone, Default)]
pub struct Need {
    pub amounts: Amounts,
    pub ports: Vec<Port>,
    /// So many ports of its own choice, by protocol.
    pub dynamic_ports: Vec<PortProtocol>,
    /// So many addresses of its bridge.
    pub addresses: usize,
    pub attributes: Vec<String>,
    pub constraints: Vec<Constraint>,
    /// `service:web`: what is spread, and what is distinct.
    pub group: String,
}

/// What a task got of its instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    pub ports: Vec<u16>,
    pub addresses: Vec<Ipv4Addr>,
}

#[derive(Debug, Clone)]
pub enum Constraint {
    DistinctInstance,
    MemberOf(Expression),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    Random,
    SpreadOverInstances,
    Spread(String),
    BinpackCpu,
    BinpackMemory,
}

/// Why an instance cannot take a task; the later, the closer it comes to being able to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misfit {
    Attribute,
    NotMember,
    NotDistinct,
    Agent,
    Ports,
    Memory,
    Cpu,
}

impl Misfit {
    /// In `failures` of `RunTask` and `StartTask`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Attribute => "ATTRIBUTE",
            Self::NotMember => "MemberOf placement constraint unsatisfied.",
            Self::NotDistinct => "DistinctInstance placement constraint unsatisfied.",
            Self::Agent => "AGENT",
            Self::Ports => "RESOURCE:PORTS",
            Self::Memory => "RESOURCE:MEMORY",
            Self::Cpu => "RESOURCE:CPU",
        }
    }

    /// In a service's event, after the instance's name.
    fn words(self) -> &'static str {
        match self {
            Self::Attribute => "is missing an attribute required by your task",
            Self::NotMember => "does not satisfy a memberOf placement constraint",
            Self::NotDistinct => "does not satisfy a distinctInstance placement constraint",
            Self::Agent => "encountered error \"AGENT\"",
            Self::Ports => "is already using a port required by your task",
            Self::Memory => "has insufficient memory available",
            Self::Cpu => "has insufficient CPU units available",
        }
    }
}

impl Subjects for Candidate {
    fn values(&self, subject: &Subject) -> Vec<String> {
        match subject {
            Subject::AgentConnected => vec![self.is_connected.to_string()],
            Subject::AgentVersion => vec![self.agent_version.clone()],
            Subject::Attribute(name) => self.attributes.get(name).cloned().into_iter().collect(),
            Subject::Ec2InstanceId => vec![self.ec2_instance.clone()],
            Subject::RunningTasksCount => vec![self.groups.len().to_string()],
            Subject::TaskGroup => self.groups.clone(),
        }
    }
}

impl Candidate {
    /// Why it cannot take the task. None: it can.
    pub fn misfit(&self, need: &Need) -> Option<Misfit> {
        let lacks = |name: &String| !self.attributes.contains_key(name);
        if need.attributes.iter().any(lacks) {
            return Some(Misfit::Attribute);
        }
        for constraint in &need.constraints {
            match constraint {
                Constraint::MemberOf(expression) if !expression.is_met_by(self) => {
                    return Some(Misfit::NotMember);
                }
                Constraint::DistinctInstance if self.groups.contains(&need.group) => {
                    return Some(Misfit::NotDistinct);
                }
                _ => (),
            }
        }
        if !self.is_connected {
            return Some(Misfit::Agent);
        }
        if need.ports.iter().any(|it| self.used_ports.contains(it)) {
            return Some(Misfit::Ports);
        }
        if self.free.memory < need.amounts.memory {
            return Some(Misfit::Memory);
        }
        (self.free.cpu < need.amounts.cpu).then_some(Misfit::Cpu)
    }

    /// The task is on it from now on. What it got of what it left open.
    pub fn take(&mut self, need: &Need) -> Given {
        self.free.cpu -= need.amounts.cpu;
        self.free.memory -= need.amounts.memory;
        self.used_ports.extend(&need.ports);
        self.groups.push(need.group.clone());
        let addresses = free_addresses(&self.address, &self.used_addresses, need.addresses);
        self.used_addresses.extend(&addresses);
        let mut given = Vec::new();
        for protocol in &need.dynamic_ports {
            let free = DYNAMIC_PORTS.into_iter().find(|port| {
                let taken = |it| self.used_ports.contains(&(it, *port));
                !taken(PortProtocol::Tcp) && !taken(PortProtocol::Udp)
            });
            // More tasks than ports are on no instance: each has memory of its own.
            let port = free.unwrap_or(*DYNAMIC_PORTS.start());
            self.used_ports.insert((*protocol, port));
            given.push(port);
        }
        Given {
            ports: given,
            addresses,
        }
    }
}

/// The instance that takes one more task, or why none does: `dice` decides where nothing else does.
pub fn choose(
    candidates: &[Candidate],
    need: &Need,
    strategies: &[Strategy],
    dice: u64,
) -> Result<usize, Unplaced> {
    let asked: Vec<(&Candidate, Option<Misfit>)> = (candidates.iter())
        .map(|it| (it, it.misfit(need)))
        .collect();
    let mut left: Vec<&Candidate> = (asked.iter())
        .filter(|(_, misfit)| misfit.is_none())
        .map(|it| it.0)
        .collect();
    if left.is_empty() {
        let misfits = asked
            .into_iter()
            .filter_map(|(it, misfit)| Some((it.id.clone(), misfit?)));
        return Err(Unplaced(misfits.collect()));
    }
    for strategy in strategies {
        left = best_by(strategy, left, &need.group);
    }
    let index = usize::try_from(dice % left.len() as u64).unwrap_or_default();
    let chosen = &left[index].id;
    let found = candidates.iter().position(|it| it.id == *chosen);
    Ok(found.unwrap_or_default())
}

/// Those that a strategy likes best.
fn best_by<'a>(
    strategy: &Strategy,
    candidates: Vec<&'a Candidate>,
    group: &str,
) -> Vec<&'a Candidate> {
    let own = |it: &Candidate| it.groups.iter().filter(|it| *it == group).count() as i64;
    let mut of_value: BTreeMap<Option<&String>, i64> = BTreeMap::new();
    if let Strategy::Spread(attribute) = strategy {
        for it in &candidates {
            *of_value.entry(it.attributes.get(attribute)).or_default() += own(it);
        }
    }
    let cost = |it: &Candidate| match strategy {
        Strategy::Random => 0,
        Strategy::SpreadOverInstances => own(it),
        Strategy::Spread(attribute) => of_value[&it.attributes.get(attribute)],
        Strategy::BinpackCpu => it.free.cpu,
        Strategy::BinpackMemory => it.free.memory,
    };
    let least = candidates.iter().map(|it| cost(it)).min();
    (candidates.into_iter())
        .filter(|it| Some(cost(it)) == least)
        .collect()
}

/// Why no instance takes a task: of each why it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced(pub Vec<(String, Misfit)>);

pub const NO_INSTANCES: &str = "No Container Instances were found in your cluster.";

impl Unplaced {
    /// What a service says.
    pub fn event(&self) -> String {
        let why = match self.0.iter().max_by_key(|it| it.1) {
            None => format!("Reason: {NO_INSTANCES}"),
            Some((id, misfit)) => format!(
                "The closest matching (container-instance {id}) {}.",
                misfit.words()
            ),
        };
        format!(
            "was unable to place a task because no container instance met all of its requirements. \
             {why} For more information, see the Troubleshooting section of the Amazon ECS Developer \
             Guide."
        )
    }
}
