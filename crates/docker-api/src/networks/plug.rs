//! Where a container is in the network, for as long as it runs: a namespace of its own, and an interface of
//! each of its networks in it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use engine::{InterfaceSpec, Result};

use super::{BRIDGE, GROUP, NetworkRecord, SUBNET};
use crate::answer::Refusal;
use crate::containers::{Container, HOST_GATEWAY, Joined, Record};
use crate::docker::Docker;

/// Where a container's processes are, for as long as it runs.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Of the namespace. None: the machine's own.
    pub interface: Option<String>,
    pub address: Option<Ipv4Addr>,
}

/// Names a container's interface in a network.
fn interface_id(record: &Record, network: &str) -> String {
    format!("{}-{}", record.task(), &network[..12])
}

impl Docker {
    /// Makes a container's namespace and its interfaces. Made again, they are the same.
    pub(crate) async fn plug(&self, container: &Container) -> Result<Place, Refusal> {
        let record = container.record();
        match &record.joined {
            Joined::Host => return Ok(Place::default()),
            Joined::Container(other) => return self.beside(other),
            Joined::None | Joined::Network(_) => {}
        }
        self.network.make_namespace(&record.task()).await?;
        for endpoint in record.endpoints() {
            self.plug_in(container, &endpoint.network).await?;
        }
        let record = container.record();
        Ok(Place {
            interface: Some(record.task()),
            address: record.address(),
        })
    }

    /// Where another container is.
    fn beside(&self, other: &str) -> Result<Place, Refusal> {
        let other = self.containers.find(other)?.record();
        if !other.is_running() {
            return Err(Refusal::conflict(format!(
                "cannot join network namespace of a non running container: {}",
                other.name
            )));
        }
        let interface = match other.joined {
            Joined::Host => None,
            Joined::Container(_) => {
                return Err(Refusal::not_built("sharing a network that is shared"));
            }
            Joined::None | Joined::Network(_) => Some(other.task()),
        };
        Ok(Place {
            interface,
            address: None,
        })
    }

    /// Makes a container's interface in one of its networks.
    pub(super) async fn plug_in(
        &self,
        container: &Container,
        network: &str,
    ) -> Result<(), Refusal> {
        let _addressing = self.networks.addressing.lock().await;
        let network = self.up(network).await?;
        let record = container.record();
        let Some(endpoint) = record.endpoint_in(&network.id) else {
            return Ok(());
        };
        let address = match endpoint.fixed {
            Some(address) => self.expect_free(&record, &network, address)?,
            None => self.free_address(&record, &network)?,
        };
        let interface = InterfaceSpec {
            id: interface_id(&record, &network.id),
            vpc: super::vpc_id(&network.id),
            subnet: SUBNET.to_owned(),
            address,
            mac: endpoint.mac_at(address),
            groups: vec![GROUP.to_owned()],
            public: false,
            names: record.names(endpoint),
            aliases: (record.links())
                .map(|(name, alias)| (alias.to_owned(), name.to_owned()))
                .collect(),
            namespace: Some(record.task()),
            published: vec![],
        };
        self.network.attach(interface).await?;
        container.change(|record| {
            if let Some(endpoint) = record.endpoint_in_mut(&network.id) {
                endpoint.address = Some(address);
            }
        })?;
        Ok(())
    }

    /// Addresses of a network that others have, or are to have.
    fn taken(&self, record: &Record, network: &NetworkRecord) -> BTreeSet<Ipv4Addr> {
        let all = self.containers.all();
        let others = all.iter().map(|it| it.record());
        let others = others.filter(|it| it.id != record.id);
        let addresses = others.filter_map(|it| {
            let its = it.endpoint_in(&network.id)?;
            Some([its.address, its.fixed])
        });
        addresses.flatten().flatten().collect()
    }

    fn expect_free(
        &self,
        record: &Record,
        network: &NetworkRecord,
        address: Ipv4Addr,
    ) -> Result<Ipv4Addr, Refusal> {
        let all = self.containers.all();
        let mut others = all.iter().map(|it| it.record());
        let has_it = |it: &Record| {
            let its = it.endpoint_in(&network.id);
            it.id != record.id && its.is_some_and(|it| it.address == Some(address))
        };
        match network.is_reserved(&address) || others.any(|it| has_it(&it)) {
            true => Err(Refusal::forbidden("Address already in use")),
            false => Ok(address),
        }
    }

    fn free_address(&self, record: &Record, network: &NetworkRecord) -> Result<Ipv4Addr, Refusal> {
        let own = record.endpoint_in(&network.id).and_then(|it| it.address);
        let taken = self.taken(record, network);
        let subnet = network.subnet;
        if let Some(own) = own.filter(|it| subnet.contains(it) && !taken.contains(it)) {
            return Ok(own);
        }
        let [first, last] = [subnet.network(), subnet.broadcast()];
        let range = network.plan.range.unwrap_or(subnet);
        // Of a range within the subnet, its first and last address are hosts' as well.
        let all = u32::from(range.network())..=u32::from(range.broadcast());
        let mut hosts = all
            .map(Ipv4Addr::from)
            .filter(|it| ![first, last].contains(it));
        hosts
            .find(|it| !network.is_reserved(it) && !taken.contains(it))
            .ok_or_else(|| Refusal::failed("no available IPv4 addresses on this network"))
    }

    /// Takes a container's interface in one network away.
    pub(super) async fn unplug_from(&self, record: &Record, network: &str) -> Result<()> {
        self.network.detach(&interface_id(record, network)).await
    }

    /// Takes a container's namespace away, with all that is in it.
    pub(crate) async fn unplug(&self, container: &Container) -> Result<()> {
        let record = container.record();
        if matches!(record.joined, Joined::Network(_) | Joined::None) {
            self.network.remove_namespace(&record.task()).await?;
        }
        if record.endpoints().iter().any(|it| it.address.is_some()) {
            container.change(|record| {
                if let Joined::Network(endpoints) = &mut record.joined {
                    endpoints.iter_mut().for_each(|it| it.address = None);
                }
            })?;
        }
        Ok(())
    }

    /// Where containers reach the machine (`host-gateway`): its address in the default network.
    fn gateway_of_machine(&self) -> Ipv4Addr {
        let bridge = self.networks.find(BRIDGE);
        bridge.map_or(super::BRIDGE_RANGE.network(), |it| it.gateway())
    }

    /// Addresses and names for a container's hosts file.
    pub(crate) fn hosts_of(&self, record: &Record) -> Vec<(String, String)> {
        let mut hosts = Vec::new();
        let mut add =
            |address: Ipv4Addr, name: &str| hosts.push((address.to_string(), name.to_owned()));
        for endpoint in record.endpoints() {
            if let Some(address) = endpoint.address {
                add(address, &record.config.hostname);
            }
            let network = self.networks.get(&endpoint.network);
            let has_own_servers = !record.host.dns.is_empty();
            if has_own_servers && network.is_some_and(|it| it.has_names()) {
                for other in self.containers.all().iter().map(|it| it.record()) {
                    let Some(its) = other.endpoint_in(&endpoint.network) else {
                        continue;
                    };
                    let Some(address) = its.address else { continue };
                    other.names(its).iter().for_each(|it| add(address, it));
                }
            }
        }
        hosts.extend(self.hosts_of_links(record));
        hosts.extend(self.entries_of_hosts(&record.host.extra_hosts));
        hosts
    }

    /// What is written as `name:address`, as addresses and names.
    pub(crate) fn entries_of_hosts(&self, texts: &[String]) -> Vec<(String, String)> {
        let entries = texts.iter().filter_map(|text| {
            let (name, address) = text.split_once([':', '='])?;
            let address = match address {
                HOST_GATEWAY => self.gateway_of_machine().to_string(),
                address => address.trim_matches(['[', ']']).to_owned(),
            };
            Some((address, name.to_owned()))
        });
        entries.collect()
    }

    /// Tells running containers that ask name servers of their own, or are linked to others, what their
    /// neighbours are called.
    pub(crate) async fn tell_hosts(&self) {
        for container in self.containers.all() {
            let record = container.record();
            let has_own_servers = !record.host.dns.is_empty();
            let is_told = has_own_servers || record.links().next().is_some();
            if !record.is_running() || record.endpoints().is_empty() || !is_told {
                continue;
            }
            let hosts = self.hosts_of(&record);
            if let Err(error) = self.tasks.set_hosts(&record.task(), hosts).await {
                tracing::debug!(
                    error = error.chain(),
                    container = record.id,
                    "cannot tell hosts"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::Networks;

    #[test]
    fn what_others_have_in_a_network_is_no_container_s() {
        let folder = tempfile::tempdir().unwrap();
        let networks = Networks::open(folder.path().to_owned()).unwrap();
        let mut network = networks.find(BRIDGE).unwrap();
        network.plan.gateway = Some(Ipv4Addr::new(172, 17, 5, 1));
        let printer = Ipv4Addr::new(172, 17, 5, 8);
        network.plan.others.insert("printer".to_owned(), printer);
        for (address, reserved) in [
            (Ipv4Addr::new(172, 17, 0, 1), true),
            (Ipv4Addr::new(172, 17, 5, 1), true),
            (printer, true),
            (Ipv4Addr::new(172, 17, 5, 9), false),
        ] {
            assert_eq!(network.is_reserved(&address), reserved, "{address}");
        }
    }
}
