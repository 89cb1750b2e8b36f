//! A cluster's container instances as placement sees them, and what is reserved of each: told by the tasks
//! that are on it, never by a counter.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use cloud::{Cx, Error, Records};
use shapes::ecs::{NetworkMode, PlacementConstraint, PlacementStrategy, TaskOverride};

use crate::bridge::BridgeEnd;
use crate::instance_record::{ContainerInstance, InstanceStatus};
use crate::launch::invalid;
use crate::place::Place;
use crate::placement::asked::{
    amounts, default_strategies, need, network_mode, protocol, strategies,
};
use crate::placement::{
    Amounts, Candidate, Misfit, Need, PortProtocol, Strategy, Unplaced, choose,
};
use crate::record::Definition;
use crate::task_record::{Binding, Placed, Task};

/// An instance and what is free of it.
#[derive(Debug, Clone)]
pub struct Member {
    pub instance: ContainerInstance,
    pub candidate: Candidate,
}

/// Every instance of a cluster.
pub fn members(cx: &Cx, tx: &Records<'_>, cluster: &str) -> Result<Vec<Member>, Error> {
    let inside = cx.key(&format!("{cluster}/"));
    let instances = tx.list::<ContainerInstance>(&inside)?;
    if instances.is_empty() {
        return Ok(Vec::new());
    }
    let tasks = tx.list::<Task>(&inside)?;
    let now_ms = cx.clock().now_ms();
    let member = |instance: ContainerInstance| Member {
        candidate: candidate(&instance, &tasks, now_ms),
        instance,
    };
    Ok(instances.into_iter().map(member).collect())
}

fn candidate(instance: &ContainerInstance, tasks: &[Task], now_ms: i64) -> Candidate {
    let version = instance.version_info.as_ref();
    let mut attributes = instance.attributes.clone();
    attributes.extend(instance.custom.clone());
    let mut found = Candidate {
        id: instance.id.clone(),
        ec2_instance: instance.machine.id.clone(),
        is_connected: instance.is_connected(now_ms),
        agent_version: version
            .and_then(|it| it.agent_version.clone())
            .unwrap_or_default(),
        attributes,
        free: Amounts {
            cpu: instance.amount("CPU"),
            memory: instance.amount("MEMORY"),
        },
        used_ports: Default::default(),
        address: instance.machine.address.clone(),
        used_addresses: Default::default(),
        groups: Vec::new(),
    };
    for (name, protocol) in [
        ("PORTS", PortProtocol::Tcp),
        ("PORTS_UDP", PortProtocol::Udp),
    ] {
        let reserved = instance.reserved_ports(name).into_iter();
        found.used_ports.extend(reserved.map(|it| (protocol, it)));
    }
    for task in tasks {
        let Some(placed) = task.placed.as_ref().filter(|it| it.instance == instance.id) else {
            continue;
        };
        found.free.cpu -= placed.cpu;
        found.free.memory -= placed.memory;
        let bindings = placed.bindings.iter();
        found
            .used_ports
            .extend(bindings.map(|it| (it.protocol, it.host_port)));
        let ends = placed.ends.iter().map(|it| it.address);
        found.used_addresses.extend(ends);
        found.groups.push(task.group.clone());
    }
    found
}

/// Tasks of one definition that are to be placed, one after another.
pub struct Placing<'a> {
    members: Vec<Member>,
    candidates: Vec<Candidate>,
    definition: &'a Definition,
    need: Need,
    strategies: Vec<Strategy>,
    amounts: Amounts,
    /// Where tasks with an interface of their own may be.
    places: Vec<Place>,
}

/// What somebody says of where tasks of a definition come to be.
pub struct Wish<'a> {
    pub definition: &'a Definition,
    pub overrides: &'a TaskOverride,
    pub group: &'a str,
    pub constraints: &'a [PlacementConstraint],
    pub strategy: &'a [PlacementStrategy],
    pub places: Vec<Place>,
}

impl<'a> Placing<'a> {
    pub fn new(members: Vec<Member>, wish: Wish<'a>) -> Result<Self, Error> {
        let mut members = members;
        members.retain(|it| it.instance.status == InstanceStatus::Active);
        let mut strategies = strategies(wish.strategy)?;
        if strategies.is_empty() && wish.group.starts_with("service:") {
            strategies = default_strategies();
        }
        Ok(Self {
            candidates: members.iter().map(|it| it.candidate.clone()).collect(),
            members,
            need: need(
                wish.definition,
                wish.overrides,
                wish.group,
                wish.constraints,
            )?,
            amounts: amounts(wish.definition, wish.overrides),
            definition: wish.definition,
            strategies,
            places: wish.places,
        })
    }

    /// One on each instance, and none where one is.
    pub fn one_on_each(mut self) -> Self {
        self.need
            .constraints
            .push(crate::placement::Constraint::DistinctInstance);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// On how many instances a task may be at all: how many of a daemon are desired.
    pub fn eligible(&self) -> usize {
        let may = |it: &&Candidate| {
            let empty = Candidate {
                groups: Vec::new(),
                is_connected: true,
                ..(*it).clone()
            };
            let misfit = empty.misfit(&self.need);
            !matches!(misfit, Some(Misfit::Attribute | Misfit::NotMember))
        };
        self.candidates.iter().filter(may).count()
    }

    /// Where one more task is from now on, and in which subnet.
    pub fn place(&mut self, dice: u64) -> Result<(Placed, String), Unplaced> {
        let index = choose(&self.candidates, &self.need, &self.strategies, dice)?;
        Ok(self.take(index))
    }

    /// The same on this instance. None: it is not there.
    pub fn place_on(&mut self, id: &str) -> Option<Result<(Placed, String), Misfit>> {
        let index = self.candidates.iter().position(|it| it.id == id)?;
        Some(match self.candidates[index].misfit(&self.need) {
            Some(misfit) => Err(misfit),
            None => Ok(self.take(index)),
        })
    }

    fn take(&mut self, index: usize) -> (Placed, String) {
        let given = self.candidates[index].take(&self.need);
        let instance = &self.members[index].instance;
        let machine = instance.machine.clone();
        let mode = network_mode(self.definition);
        let placed = Placed {
            instance: instance.id.clone(),
            machine: machine.id,
            interface: machine.interface,
            address: machine.address,
            zone: machine.zone.clone(),
            mode,
            cpu: self.amounts.cpu,
            memory: self.amounts.memory,
            bindings: bindings(self.definition, mode, given.ports),
            ends: ends(self.definition, given.addresses),
        };
        let beside = |it: &&Place| it.zone.is_empty() || it.zone == machine.zone;
        let place = self.places.iter().find(beside).or(self.places.first());
        let subnet = place.map(|it| it.subnet.clone()).unwrap_or_default();
        (placed, subnet)
    }
}

/// Where its containers are in a bridge, in their order.
fn ends(definition: &Definition, addresses: Vec<Ipv4Addr>) -> Vec<BridgeEnd> {
    let all = definition.shape.container_definitions.iter().flatten();
    let names = all.map(|it| it.name.clone().unwrap_or_default());
    let ends = names.zip(addresses);
    ends.map(|(container, address)| BridgeEnd { container, address })
        .collect()
}

/// The ports of the instance that lead to a task's, which are given in the order of what was left open.
fn bindings(definition: &Definition, mode: NetworkMode, given: Vec<u16>) -> Vec<Binding> {
    if matches!(mode, NetworkMode::Awsvpc | NetworkMode::None) {
        return Vec::new();
    }
    let mut given = given.into_iter();
    let mut found = Vec::new();
    for container in definition.shape.container_definitions.iter().flatten() {
        for mapping in container.port_mappings.iter().flatten() {
            let asked = mapping.host_port.and_then(|it| u16::try_from(it).ok());
            let Some(host_port) = asked.filter(|it| *it != 0).or_else(|| given.next()) else {
                continue;
            };
            found.push(Binding {
                container: container.name.clone().unwrap_or_default(),
                container_port: mapping.container_port.unwrap_or_default(),
                host_port,
                protocol: protocol(mapping),
            });
        }
    }
    found
}

/// Running and pending tasks by instance.
pub fn counts(tasks: &[Task]) -> BTreeMap<String, (i32, i32)> {
    let mut found: BTreeMap<String, (i32, i32)> = BTreeMap::new();
    for task in tasks {
        let Some(placed) = &task.placed else { continue };
        let own = found.entry(placed.instance.clone()).or_default();
        match task.phase {
            crate::task_record::Phase::Running => own.0 += 1,
            phase if phase < crate::task_record::Phase::Running => own.1 += 1,
            _ => (),
        }
    }
    found
}

/// A task on instances asks for nothing of Fargate's.
pub fn check_platform_of_instances(given: Option<&str>) -> Result<(), Error> {
    match given {
        None | Some("") => Ok(()),
        Some(_) => Err(invalid(
            "The platform version must be null when specifying an EC2 launch type.",
        )),
    }
}
