//! The docker bridge of a container instance: containers of tasks in `bridge` mode have an interface of their
//! own in a network behind their instance's, and ports of that lead to them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use base::links::{self, Linked};
use cloud::Cx;
use engine::{
    EngineError, Fault, InterfaceSpec, OwnNetwork, PublishedPort, PublishedProtocol, VpcSpec,
};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use shapes::ecs::{ContainerDefinition, NetworkMode, PortMapping};

use crate::placement::PortProtocol;
use crate::placement::asked::protocol;
use crate::record::Definition;
use crate::task_record::{Container, Placed, Task};
use crate::task_start::CannotStart;

/// Where a container is in its instance's bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeEnd {
    pub container: String,
    pub address: Ipv4Addr,
}

/// The range of an instance's bridge: Docker's first whose range does not have the instance's own address.
fn range_beside(address: Ipv4Addr) -> Ipv4Net {
    let ranges = (17..=31).map(|it| Ipv4Net::new_assert(Ipv4Addr::new(172, it, 0, 0), 16));
    let mut free = ranges.filter(|it| !it.contains(&address));
    free.next().expect("an address is in one range at most")
}

/// So many addresses of a bridge that nobody has. The first is the instance's own.
pub fn free_addresses(instance: &str, taken: &BTreeSet<Ipv4Addr>, count: usize) -> Vec<Ipv4Addr> {
    let own = instance.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let others = range_beside(own).hosts().skip(1);
    others
        .filter(|it| !taken.contains(it))
        .take(count)
        .collect()
}

/// Whether containers of a task are in their instance's bridge.
pub fn is_bridged(placed: &Placed) -> bool {
    placed.mode == NetworkMode::Bridge
}

fn network_id(placed: &Placed) -> String {
    format!("{}-bridge", placed.machine)
}

/// The interfaces of a task's containers.
pub fn interfaces(task: &Task) -> Vec<String> {
    let placed = task.placed.as_ref().filter(|it| is_bridged(it));
    let ends = placed.map_or(0, |it| it.ends.len());
    (0..ends).map(|it| interface_id(&task.id, it)).collect()
}

fn interface_id(task: &str, index: usize) -> String {
    format!("{task}-{index}")
}

fn end_of<'a>(placed: &'a Placed, container: &str) -> Option<(usize, &'a BridgeEnd)> {
    let mut all = placed.ends.iter().enumerate();
    all.find(|(_, it)| it.container == container)
}

/// The address of a container in its instance's bridge.
pub fn address_of(task: &Task, container: &str) -> Option<Ipv4Addr> {
    let placed = task.placed.as_ref()?;
    end_of(placed, container).map(|(_, it)| it.address)
}

/// Makes the interfaces of a task's containers. Made again, they are the same.
pub async fn plug(cx: &Cx, task: &Task) -> Result<Result<(), CannotStart>, converge::Error> {
    let Some(placed) = &task.placed else {
        return Ok(Ok(()));
    };
    let network = &cx.engine().network;
    match placed.mode {
        NetworkMode::None => network.make_namespace(&task.id).await?,
        NetworkMode::Bridge => {
            let made = plug_all(cx, task, placed).await;
            match made {
                Err(error) if error.fault == Fault::Conflict => {
                    return Ok(Err(CannotStart(format!(
                        "CannotStartContainerError: Error response from daemon: driver failed programming \
                         external connectivity on endpoint: {}",
                        error.message
                    ))));
                }
                other => other?,
            }
        }
        _ => (),
    }
    Ok(Ok(()))
}

async fn plug_all(cx: &Cx, task: &Task, placed: &Placed) -> Result<(), EngineError> {
    let id = network_id(placed);
    let own = placed.address.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let network = &cx.engine().network;
    let bridge = VpcSpec::bridge(&id, range_beside(own), &placed.interface);
    network.apply_vpc(bridge).await?;
    for (index, end) in placed.ends.iter().enumerate() {
        let [a, b, c, d] = end.address.octets();
        let published = placed.bindings.iter();
        let published = published.filter(|it| it.container == end.container);
        let spec = InterfaceSpec {
            id: interface_id(&task.id, index),
            vpc: id.clone(),
            subnet: id.clone(),
            address: end.address,
            // As Docker has it.
            mac: [0x02, 0x42, a, b, c, d],
            groups: vec![id.clone()],
            public: false,
            names: vec![],
            aliases: Default::default(),
            namespace: None,
            published: published
                .map(|it| PublishedPort {
                    protocol: match it.protocol {
                        PortProtocol::Tcp => PublishedProtocol::Tcp,
                        PortProtocol::Udp => PublishedProtocol::Udp,
                    },
                    host_port: it.host_port,
                    port: u16::try_from(it.container_port).unwrap_or_default(),
                })
                .collect(),
        };
        network.attach(spec).await?;
    }
    Ok(())
}

/// Takes away what [`plug`] has made.
pub async fn unplug(cx: &Cx, task: &Task) -> Result<(), EngineError> {
    let network = &cx.engine().network;
    for interface in interfaces(task) {
        cx.engine().inside.close(&interface);
        network.detach(&interface).await?;
    }
    match &task.placed {
        Some(placed) if placed.mode == NetworkMode::None => {
            network.remove_namespace(&task.id).await
        }
        _ => Ok(()),
    }
}

/// What a container is called where nobody says it: as Docker has it, by the beginning of its id.
pub fn own_hostname(container: &Container) -> String {
    let digits = container.arn_id.chars().filter(|it| *it != '-');
    digits.take(12).collect()
}

fn hostname(definition: &ContainerDefinition, container: &Container) -> String {
    let asked = definition.hostname.clone().filter(|it| !it.is_empty());
    asked.unwrap_or_else(|| own_hostname(container))
}

/// Where a container is, and what it finds there. None: its task does not have a bridge.
pub fn own_network(
    task: &Task,
    definition: &Definition,
    container: &ContainerDefinition,
) -> Option<OwnNetwork> {
    let name = container.name.as_deref().unwrap_or_default();
    let placed = task.placed.as_ref().filter(|it| is_bridged(it))?;
    let (index, end) = end_of(placed, name)?;
    let own = task.containers.iter().find(|it| it.name == name)?;
    let hostname = hostname(container, own);
    let mut hosts = vec![(end.address.to_string(), hostname.clone())];
    for (alias, linked) in linked(definition, container) {
        let linked_name = linked.name.as_deref().unwrap_or_default();
        let (Some(address), Some(record)) = (
            address_of(task, linked_name),
            task.containers.iter().find(|it| it.name == linked_name),
        ) else {
            continue;
        };
        for it in [alias, &self::hostname(linked, record), linked_name] {
            hosts.push((address.to_string(), it.to_owned()));
        }
    }
    for entry in container.extra_hosts.iter().flatten() {
        hosts.push((entry.ip_address.clone(), entry.hostname.clone()));
    }
    hosts.dedup();
    Some(OwnNetwork {
        interface: interface_id(&task.id, index),
        hostname,
        hosts,
        dns: container.dns_servers.clone().unwrap_or_default(),
        search: container.dns_search_domains.clone().unwrap_or_default(),
    })
}

/// The containers that one is linked to, and what it calls them.
fn linked<'a>(
    definition: &'a Definition,
    container: &'a ContainerDefinition,
) -> impl Iterator<Item = (&'a str, &'a ContainerDefinition)> {
    let all = definition.shape.container_definitions.as_deref();
    let links = container.links.iter().flatten();
    links.filter_map(move |text| {
        let (name, alias) = links::read(text);
        let mut all = all.unwrap_or_default().iter();
        let found = all.find(|it| it.name.as_deref() == Some(name))?;
        Some((alias, found))
    })
}

/// The variables that tell a container of those that it is linked to.
pub fn variables(
    task: &Task,
    definition: &Definition,
    container: &ContainerDefinition,
) -> Vec<String> {
    let name = container.name.as_deref().unwrap_or_default();
    let of = |(alias, other): (&str, &ContainerDefinition)| {
        let port = |it: &PortMapping| {
            let number = u16::try_from(it.container_port?).ok()?;
            Some((
                number,
                match protocol(it) {
                    PortProtocol::Tcp => "tcp",
                    PortProtocol::Udp => "udp",
                },
            ))
        };
        let pairs = other.environment.iter().flatten().map(|it| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("{}={}", text(&it.name), text(&it.value))
        });
        let env: Vec<String> = pairs.collect();
        let linked = Linked {
            address: address_of(task, other.name.as_deref().unwrap_or_default()),
            ports: other
                .port_mappings
                .iter()
                .flatten()
                .filter_map(port)
                .collect(),
            env: env.iter().map(String::as_str).collect(),
        };
        links::variables(name, alias, linked)
    };
    linked(definition, container).flat_map(of).collect()
}

/// The containers that a container's links name.
pub fn linked_names(container: &ContainerDefinition) -> impl Iterator<Item = &str> {
    let links = container.links.iter().flatten();
    links.map(|it| links::read(it).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_is_beside_its_instance_s_network() {
        let taken = ["172.17.0.2", "172.17.0.4"].map(|it| it.parse().unwrap());
        let free = free_addresses("10.0.1.7", &taken.into(), 2);
        let expected = [[172, 17, 0, 3], [172, 17, 0, 5]].map(Ipv4Addr::from);
        assert_eq!(free, expected);
        let free = free_addresses("172.17.3.4", &BTreeSet::new(), 1);
        assert_eq!(free, [Ipv4Addr::new(172, 18, 0, 2)]);
    }
}
