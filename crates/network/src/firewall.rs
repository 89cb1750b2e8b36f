//! The packet rules of a network, as they are in the kernel: made whole in one step, or changed by
//! one interface.

use std::collections::{BTreeMap, BTreeSet};

use engine::VpcSpec;
use netlink_packet_netfilter::NetfilterProtoFamily;

use crate::batch::Batch;
use crate::netlink::NetlinkError;
use crate::nftables::Tables;
use crate::records::InterfaceRecord;
use crate::ruleset::*;

/// The firewall of one network, and which combinations have chains.
pub(crate) struct Firewall {
    tables: Tables,
    combinations: BTreeMap<Combination, u32>,
}

impl Firewall {
    /// Opens the firewall of the calling thread's namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            tables: Tables::open()?,
            combinations: BTreeMap::new(),
        })
    }

    /// Makes the rules what the specification says, in one step, whatever they were.
    pub fn converge<'a>(
        &mut self,
        vpc: &VpcSpec,
        interfaces: impl Iterator<Item = &'a InterfaceRecord> + Clone,
    ) -> Result<(), NetlinkError> {
        let chains = self.tables.chains(NetfilterProtoFamily::Inet)?;
        let chains: BTreeSet<String> = chains
            .into_iter()
            .filter(|chain| chain.table == TABLE)
            .map(|chain| chain.name)
            .collect();
        let sets: BTreeSet<String> = self.tables.sets(TABLE)?.into_iter().collect();
        let combinations = number_combinations(interfaces.clone());
        let wanted = ruleset(vpc, &combinations, interfaces);
        self.tables.commit(replace(&chains, &sets, wanted))?;
        self.combinations = combinations;
        Ok(())
    }

    /// Adds an interface, or changes it from what it was.
    pub fn put_interface(
        &mut self,
        vpc: &VpcSpec,
        old: Option<&InterfaceRecord>,
        new: &InterfaceRecord,
    ) -> Result<(), NetlinkError> {
        let mut batch = Batch::new(TABLE);
        let mut combinations = self.combinations.clone();
        if let Some(old) = old {
            self.take_out(&mut batch, old);
        }
        let combination = combination_of(&new.spec);
        let number = match combinations.get(&combination) {
            Some(number) => *number,
            None => {
                let number = combinations.values().max().map_or(0, |highest| highest + 1);
                add_combination(&mut batch, vpc, &combination, number);
                combinations.insert(combination, number);
                number
            }
        };
        for (set, element) in elements_of(new, number) {
            batch.add_elements(&set, &[element]);
        }
        self.tables.commit(batch)?;
        self.combinations = combinations;
        Ok(())
    }

    pub fn remove_interface(&mut self, interface: &InterfaceRecord) -> Result<(), NetlinkError> {
        let mut batch = Batch::new(TABLE);
        self.take_out(&mut batch, interface);
        self.tables.commit(batch)
    }

    fn take_out(&self, batch: &mut Batch, interface: &InterfaceRecord) {
        let combination = combination_of(&interface.spec);
        let number = self.combinations.get(&combination).copied();
        for (set, element) in elements_of(interface, number.unwrap_or_default()) {
            batch.remove_elements(&set, &[element]);
        }
    }

    /// The mark that a packet from this interface gets now; `None` when it would be dropped.
    pub fn mark_of(&mut self, interface: &InterfaceRecord) -> Result<Option<u32>, NetlinkError> {
        let key = link_and_address(interface.index, interface.spec.address);
        let value = self.tables.value_in_map(TABLE, INTERFACES, key)?;
        Ok(value.and_then(|bytes| Some(u32::from_ne_bytes(bytes.try_into().ok()?))))
    }
}

/// The batch that makes a table hold what is wanted and nothing else. Base chains stay, so that
/// there is no moment without them.
fn replace(chains: &BTreeSet<String>, sets: &BTreeSet<String>, wanted: Ruleset) -> Batch {
    let mut batch = Batch::new(TABLE);
    batch.make_table();
    for (name, hook) in BASE_CHAINS {
        batch.make_chain(name, Some(hook));
    }
    let is_base = |name: &str| BASE_CHAINS.iter().any(|(base, _)| *base == name);
    for name in wanted.chains.keys().filter(|name| !is_base(name)) {
        batch.make_chain(name, None);
    }
    for chain in chains {
        batch.empty_chain(chain);
    }
    for (name, (kind, _)) in &wanted.sets {
        if let Some(kind) = kind {
            batch.make_set(name, *kind);
        }
    }
    for set in sets {
        batch.empty_set(set);
    }
    for set in sets.iter().filter(|set| !wanted.sets.contains_key(*set)) {
        batch.remove_set(set);
    }
    for chain in chains {
        if !wanted.chains.contains_key(chain) {
            batch.remove_chain(chain);
        }
    }
    for (set, (_, elements)) in &wanted.sets {
        batch.add_elements(set, elements);
    }
    for (chain, rules) in wanted.chains {
        for rule in rules {
            batch.add_rule(&chain, rule);
        }
    }
    batch
}

fn add_combination(batch: &mut Batch, vpc: &VpcSpec, combination: &Combination, number: u32) {
    for chain in chains_of(vpc, combination, number) {
        batch.make_chain(&chain.name, None);
        for rule in chain.rules {
            batch.add_rule(&chain.name, rule);
        }
        batch.add_elements(chain.map, &[chain.element]);
    }
}
