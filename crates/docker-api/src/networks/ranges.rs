//! Which ranges of addresses networks have: docker's own in its order, as far as nothing else has them, or
//! what somebody asks for.

use std::net::Ipv4Addr;

use engine::{Fault, RangeInUse};
use ipnet::Ipv4Net;

use super::{BRIDGE_RANGE, Machine, NetworkRecord, Networks};
use crate::answer::Refusal;
use crate::docker::Docker;

/// How often the next range may turn out to be taken.
const ATTEMPTS_MAX: usize = 300;

/// What no network may have: this host, loopback, link-local, shared and test ranges, which the machine and
/// networks use themselves, and those of no single receiver.
const RESERVED: [Ipv4Net; 6] = [
    Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
    // Multicast, and what follows it.
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3),
];

pub fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

pub fn overlaps() -> Refusal {
    Refusal::forbidden("invalid pool request: Pool overlaps with other one on this address space")
}

/// Docker's own ranges in its order.
fn pools() -> impl Iterator<Item = Ipv4Net> {
    let first = (17..32).map(|b| Ipv4Net::new_assert(Ipv4Addr::new(172, b, 0, 0), 16));
    let second = (0..16).map(|c| Ipv4Net::new_assert(Ipv4Addr::new(192, 168, c * 16, 0), 20));
    let third = (0..=255).map(|b| Ipv4Net::new_assert(Ipv4Addr::new(10, b, 0, 0), 16));
    first.chain(second).chain(third)
}

impl Networks {
    /// What of a machine's ranges is not of these networks, and so nobody's to take.
    fn foreign(&self, machine: Vec<RangeInUse>) -> Vec<Ipv4Net> {
        // Networks of other engines of this daemon, which nobody reaches from here, may have the same.
        let is_foreign = |it: &RangeInUse| {
            let network = it.network.as_deref().unwrap_or_default();
            !network.starts_with("docker-")
        };
        let foreign = machine.into_iter().filter(is_foreign);
        foreign.map(|it| it.range).collect()
    }

    fn is_free(&self, range: &Ipv4Net, foreign: &[Ipv4Net], but: Option<&NetworkRecord>) -> bool {
        let all = self.all();
        let own = all
            .iter()
            .filter(|it| but.is_none_or(|but| but.id != it.id));
        let mut taken = own.map(|it| it.subnet).chain(RESERVED);
        !taken.any(|it| overlap(&it, range)) && !foreign.iter().any(|it| overlap(it, range))
    }
}

impl Docker {
    fn machine(&self) -> Machine {
        match self.scope {
            None => Machine::Neighbour,
            Some(_) => Machine::Stranger,
        }
    }

    async fn foreign_ranges(&self) -> Result<Vec<Ipv4Net>, Refusal> {
        Ok(self.networks.foreign(self.network.ranges().await?))
    }

    /// Refuses a range that somebody asks for and that something has.
    pub(super) async fn expect_free_range(&self, range: &Ipv4Net) -> Result<(), Refusal> {
        let foreign = self.foreign_ranges().await?;
        match self.networks.is_free(range, &foreign, None) {
            true => Ok(()),
            false => Err(overlaps()),
        }
    }

    /// Makes a network on the machine, unless it is there. One that nobody asked for a range for gets another
    /// when its own is taken, and is on no container's mind. Call with addressing held.
    pub(super) async fn up(&self, id: &str) -> Result<NetworkRecord, Refusal> {
        let network = self.networks.get(id);
        let network =
            network.ok_or_else(|| Refusal::not_found(format!("network {id} not found")))?;
        match self.network.apply_vpc(network.vpc(self.machine())).await {
            Ok(()) => return Ok(network),
            Err(error) if error.fault != Fault::Conflict => return Err(error.into()),
            Err(_) if network.range_asked_for || self.is_addressed(&network) => {
                return Err(overlaps());
            }
            Err(_) => {}
        }
        self.up_elsewhere(network).await
    }

    /// Whether some container has, or is to have, an address of it.
    fn is_addressed(&self, network: &NetworkRecord) -> bool {
        let all = self.containers.all();
        let mut records = all.iter().map(|it| it.record());
        records.any(|it| {
            let its = it.endpoint_in(&network.id);
            its.is_some_and(|it| it.address.or(it.fixed).is_some())
        })
    }

    /// Makes a network in the first range that nothing has.
    pub(super) async fn up_elsewhere(
        &self,
        mut network: NetworkRecord,
    ) -> Result<NetworkRecord, Refusal> {
        let foreign = self.foreign_ranges().await?;
        let is_bridge = network.name == super::BRIDGE;
        for range in pools().take(ATTEMPTS_MAX) {
            let is_own = is_bridge || range != BRIDGE_RANGE;
            if !is_own || !self.networks.is_free(&range, &foreign, Some(&network)) {
                continue;
            }
            network.subnet = range;
            match self.network.apply_vpc(network.vpc(self.machine())).await {
                Ok(()) => {
                    self.networks.insert(network.clone())?;
                    return Ok(network);
                }
                // Another daemon of the machine was there before.
                Err(error) if error.fault == Fault::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::failed(
            "all predefined address pools have been fully subnetted",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::random_id;
    use crate::networks::BRIDGE;

    fn networks() -> (tempfile::TempDir, Networks) {
        let folder = tempfile::tempdir().unwrap();
        let networks = Networks::open(folder.path().to_owned()).unwrap();
        (folder, networks)
    }

    #[test]
    fn ranges_do_not_overlap() {
        let (folder, networks) = networks();
        let mut seen: Vec<Ipv4Net> = vec![networks.find(BRIDGE).unwrap().subnet];
        for number in 0..40 {
            let subnet = pools().find(|it| networks.is_free(it, &[], None)).unwrap();
            assert!(!seen.iter().any(|it| overlap(it, &subnet)), "{subnet}");
            seen.push(subnet);
            let mut network = networks.find(BRIDGE).unwrap();
            network.id = random_id();
            network.name = format!("n{number}");
            network.subnet = subnet;
            networks.insert(network).unwrap();
        }
        // They are there after a restart, too.
        let again = Networks::open(folder.path().to_owned()).unwrap();
        assert_eq!(again.all().len(), 41);
    }

    #[test]
    fn what_others_have_is_not_taken() {
        let (_folder, networks) = networks();
        let in_use = |network: Option<&str>, range: &str| RangeInUse {
            network: network.map(str::to_owned),
            range: range.parse().unwrap(),
        };
        let foreign = networks.foreign(vec![
            in_use(None, "192.0.2.0/24"),
            in_use(Some("vpc-1"), "172.31.0.0/16"),
            in_use(Some("docker-0123456789ab"), "172.20.0.0/16"),
        ]);
        for (range, free) in [
            ("192.0.2.128/25", false),
            ("192.0.0.0/16", false),
            ("172.31.4.0/24", false),
            ("172.20.0.0/16", true),
            ("172.17.1.0/24", false),
            ("10.9.0.0/16", true),
            ("169.254.170.0/24", false),
            ("127.1.0.0/16", false),
            ("198.19.0.0/16", false),
            ("198.0.0.0/8", false),
            ("100.65.0.0/16", false),
            ("239.0.0.0/8", false),
            ("0.0.0.0/8", false),
        ] {
            let range: Ipv4Net = range.parse().unwrap();
            assert_eq!(networks.is_free(&range, &foreign, None), free, "{range}");
        }
    }
}
