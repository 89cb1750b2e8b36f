//! The way out of a network: one veth pair into the machine's own namespace, and the machine's
//! rules about what may pass there. The namespace of an interface may stand for the machine's: `hosts.rs` says
//! what is otherwise then.
//!
//! Packets are masqueraded twice: in the network's namespace to the uplink's address, so that
//! ranges of networks may overlap, and on the machine to its own address. They reach neither the
//! machine itself nor another network; nothing comes in by the uplink that did not go out by it.
//!
//! Where the specification says that the machine is a neighbour ([`engine::VpcSpec::machine`]), its end of
//! the uplink has that address as well, and the way to the network's ranges, which nothing else on the
//! machine may have: who comes first has them, also among daemons.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use engine::{EngineError, Result, VpcSpec};
use ipnet::Ipv4Net;
use netlink_packet_netfilter::nftables::{DataAttribute, InetHookNumber, Verdict};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rtnetlink::RouteMessageBuilder;

use crate::batch::{Batch, Element, HookPoint, Policy, SetKind};
use crate::expressions::*;
use crate::hosts::{self, BRIDGE_LINK};
use crate::links::{self, Links, VethEnd};
use crate::namespaces;
use crate::netlink::Dump;
use crate::nftables::Tables;
use crate::ruleset::link_and_address;

/// The uplink's index in a network's namespace. Not 2: some machines have tunnel devices there in
/// every namespace.
pub(crate) const UPLINK_INDEX: u32 = 100;
const UPLINK_NAME: &str = "uplink";
/// Shared address space (RFC 6598), which is neither a private network's nor the internet's.
pub(crate) const UPLINK_RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);
/// Where networks have the machine as a neighbour: the uplink's link, and its address there.
const NEIGHBOURS: &str = "neighbours";
/// Blocks of four addresses in the range.
const BLOCKS: u32 = 1 << 20;
/// What the names of all uplinks on the machine begin with, whichever daemon's they are.
pub(crate) const NAME_PREFIX: &str = "ng";
/// What the names of all daemons' tables on the machine begin with.
pub(crate) const TABLE_PREFIX: &str = "neargate-";
/// Link names have 15 characters: the prefix, the instance, `-`, and a block in hexadecimal (5).
pub(crate) const INSTANCE_LENGTH_MAX: usize = 7;
/// Held while a block is chosen and taken, by all daemons of the machine. In a directory that is
/// root's, so that nobody else can hold it: the name of an abstract socket is whoever's comes first.
const LOCK_FILE: &str = "/run/neargate-uplinks.lock";
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
/// Whether the machine passes packets on between its links.
pub(crate) const FORWARDING_SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";

/// The gateway's address on the machine's side of a block.
pub(crate) fn gateway_of(block: u32) -> Ipv4Addr {
    address_in(block, 1)
}

fn network_side_of(block: u32) -> Ipv4Addr {
    address_in(block, 2)
}

fn address_in(block: u32, offset: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(UPLINK_RANGE.network()) + block * 4 + offset)
}

/// The element of the set of neighbours. The mark says nothing.
fn neighbour(link: u32, machine: Ipv4Addr) -> Element {
    Element {
        key: link_and_address(link, machine),
        value: Some(DataAttribute::Value(0_u32.to_ne_bytes().to_vec())),
    }
}

/// The file that is locked: made for root alone, and no link that somebody has put there.
fn open_lock() -> Result<File> {
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(LOCK_FILE);
    opened.map_err(|error| {
        EngineError::machine(format!("cannot open the lock `{LOCK_FILE}`")).because(error)
    })
}

fn block_of(address: Ipv4Addr) -> Option<u32> {
    UPLINK_RANGE
        .contains(&address)
        .then(|| (u32::from(address) - u32::from(UPLINK_RANGE.network())) / 4)
}

/// A locally administered address for one side of a block.
fn mac_of(block: u32, side: u8) -> [u8; 6] {
    let [_, a, b, c] = block.to_be_bytes();
    [0x02, 0x6e, side, a, b, c]
}

/// The machine's own namespace, or one that stands for it: where uplinks end.
pub(crate) struct Host {
    /// The address of the interface that stands for the machine.
    front: Option<Ipv4Addr>,
    namespace: File,
    links: Links,
    tables: Tables,
    instance: String,
    /// The uplinks by which the machine is a neighbour: the link, and its address there.
    neighbours: BTreeMap<u32, (u32, Ipv4Addr)>,
}

impl Host {
    /// Opens the calling thread's namespace.
    pub fn open(instance: String, front: Option<Ipv4Addr>) -> Result<Self> {
        Ok(Self {
            front,
            namespace: namespaces::own()?,
            links: Links::open()?,
            tables: Tables::open()?,
            instance,
            neighbours: BTreeMap::new(),
        })
    }

    fn link_prefix(&self) -> String {
        format!("{NAME_PREFIX}{}-", self.instance)
    }

    fn link_name(&self, block: u32) -> String {
        match self.front {
            // There is one network behind it.
            Some(_) => BRIDGE_LINK.to_owned(),
            None => format!("{}{block:x}", self.link_prefix()),
        }
    }

    fn table_name(&self) -> String {
        format!("{TABLE_PREFIX}{}", self.instance)
    }

    /// Makes an uplink into a network's namespace, or completes the one it has. Returns its block.
    pub fn make_uplink(
        &mut self,
        block: Option<u32>,
        network_links: &mut Links,
        spec: &VpcSpec,
    ) -> Result<u32> {
        match self.front {
            Some(address) => self.make_front_rules(address, spec)?,
            None => self.make_rules()?,
        }
        self.allow_forwarding()?;
        let own_link = match block {
            Some(block) => self.links.index_of(&self.link_name(block))?,
            None => None,
        };
        if let Some(block) = block.filter(|_| own_link.is_some()) {
            let _lock = spec.machine.is_some().then(|| self.lock()).transpose()?;
            self.expect_free(spec, own_link)?;
            self.set_addresses(block, network_links, spec)?;
            return Ok(block);
        }
        // One that leads elsewhere: the daemon's tag was another.
        if network_links.index_of(UPLINK_NAME)? == Some(UPLINK_INDEX) {
            network_links.change(vec![links::remove_link(UPLINK_INDEX)])?;
        }
        let _lock = self.lock()?;
        self.expect_free(spec, None)?;
        let block = self.free_block(&spec.ranges)?;
        // Made from the network's side: the kernel heeds the other side's index only together
        // with one for this side, and on the machine no number is ours to choose.
        network_links.change(vec![links::make_veth(
            &VethEnd {
                name: UPLINK_NAME,
                index: Some(UPLINK_INDEX),
                mac: mac_of(block, 2),
            },
            &VethEnd {
                name: &self.link_name(block),
                index: None,
                mac: mac_of(block, 1),
            },
            self.namespace.as_raw_fd(),
        )])?;
        if let Err(error) = self.set_addresses(block, network_links, spec) {
            self.remove_uplink(block)?;
            return Err(error);
        }
        Ok(block)
    }

    fn set_addresses(
        &mut self,
        block: u32,
        network_links: &mut Links,
        spec: &VpcSpec,
    ) -> Result<()> {
        let (here, there) = (gateway_of(block), network_side_of(block));
        let name = self.link_name(block);
        let index = self
            .links
            .index_of(&name)?
            .ok_or_else(|| EngineError::machine(format!("the uplink `{name}` is gone")))?;
        network_links.change(vec![
            links::set_up(UPLINK_INDEX),
            links::add_address(UPLINK_INDEX, there, 30),
            links::add_neighbour(UPLINK_INDEX, here, mac_of(block, 1)),
        ])?;
        self.links.change(vec![
            links::set_up(index),
            links::add_address(index, here, 30),
            links::add_host_route(index, there),
            links::add_neighbour(index, there, mac_of(block, 2)),
        ])?;
        if let Some(machine) = spec.machine {
            match self.front {
                Some(_) => namespaces::enter(&self.namespace, hosts::allow_loopback_by_link)?,
                None => self.be_a_neighbour(block, index, machine)?,
            }
            let mut requests = vec![links::add_address(index, machine, 32)];
            for range in &spec.ranges {
                requests.push(links::add_range_route(index, range.trunc(), there, machine));
            }
            self.links.change(requests)?;
        }
        Ok(network_links.wait_until_usable(UPLINK_INDEX)?)
    }

    /// Lets packets in that come by this uplink to this address.
    fn be_a_neighbour(&mut self, block: u32, index: u32, machine: Ipv4Addr) -> Result<()> {
        let mut batch = Batch::new(&self.table_name());
        batch.add_elements(NEIGHBOURS, &[neighbour(index, machine)]);
        self.tables.commit(batch)?;
        self.neighbours.insert(block, (index, machine));
        Ok(())
    }

    /// Nothing on the machine has the ranges of a network whose neighbour it is to be, but that network's own
    /// link. Call with the lock held, until they are taken.
    fn expect_free(&mut self, spec: &VpcSpec, own_link: Option<u32>) -> Result<()> {
        if spec.machine.is_none() {
            return Ok(());
        }
        for (range, link) in self.taken_ranges()? {
            let overlaps = |own: &Ipv4Net| own.contains(&range) || range.contains(own);
            let is_own = link.is_some() && link == own_link;
            if let Some(own) = spec.ranges.iter().find(|it| overlaps(it) && !is_own) {
                return Err(EngineError::conflict(format!(
                    "the range `{own}` of network `{}` overlaps with `{range}`, to which the machine has a way already",
                    spec.id
                )));
            }
        }
        Ok(())
    }

    /// Ranges that the machine has an address in or a route to, but the way to everywhere, and the links.
    fn taken_ranges(&mut self) -> Result<Vec<(Ipv4Net, Option<u32>)>> {
        let mut taken = self.routes()?;
        for address in self.links.all_addresses()? {
            let known = |it: &(Ipv4Net, Option<u32>)| it.0.contains(&address);
            if !taken.iter().any(known) {
                taken.push((Ipv4Net::from(address), None));
            }
        }
        Ok(taken)
    }

    /// What the machine has, without what networks of ours and of other daemons have of it.
    pub fn ranges(&mut self) -> Result<Vec<Ipv4Net>> {
        let links = self.links.all_links()?;
        let is_uplink = |link: &Option<u32>| {
            let mut names = links.iter().filter(|it| Some(it.0) == *link);
            names.any(|(_, name)| name.starts_with(NAME_PREFIX))
        };
        let mut taken = self.taken_ranges()?;
        taken.retain(|(_, link)| !is_uplink(link));
        Ok(taken.into_iter().map(|it| it.0).collect())
    }

    /// Makes the ports of an interface that stands for the machine lead to those who publish them.
    pub fn publish<'a>(
        &mut self,
        all: impl Iterator<Item = &'a engine::InterfaceSpec>,
    ) -> Result<()> {
        let mut batch = Batch::new(&self.table_name());
        hosts::publish(&mut batch, all);
        Ok(self.tables.commit(batch)?)
    }

    fn make_front_rules(&mut self, address: Ipv4Addr, spec: &VpcSpec) -> Result<()> {
        let mut batch = Batch::new(&self.table_name());
        let own: Vec<Ipv4Addr> = [address, Ipv4Addr::LOCALHOST]
            .into_iter()
            .chain(spec.machine)
            .collect();
        hosts::make_rules(&mut batch, &own);
        Ok(self.tables.commit(batch)?)
    }

    /// Removes an uplink at once, rather than with its namespace some time later.
    pub fn remove_uplink(&mut self, block: u32) -> Result<()> {
        if self.front.is_some() {
            let mut batch = Batch::new(&self.table_name());
            batch.make_table();
            batch.remove_table();
            self.tables.commit(batch)?;
        }
        if let Some((index, machine)) = self.neighbours.remove(&block) {
            let mut batch = Batch::new(&self.table_name());
            batch.remove_elements(NEIGHBOURS, &[neighbour(index, machine)]);
            if let Err(error) = self.tables.commit(batch) {
                tracing::debug!(error = %error.source, "a neighbour's rule is gone already");
            }
        }
        let Some(index) = self.links.index_of(&self.link_name(block))? else {
            return Ok(());
        };
        match self.links.change(vec![links::remove_link(index)]) {
            Err(error) if error.is(Errno::ENODEV) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Removes what this daemon has on the machine, but the uplinks of these blocks.
    pub fn remove_all_but(&mut self, blocks: &[u32]) -> Result<()> {
        let kept: Vec<String> = blocks.iter().map(|block| self.link_name(*block)).collect();
        let prefix = self.link_prefix();
        for (index, name) in self.links.all_links()? {
            if name.starts_with(&prefix) && !kept.contains(&name) {
                match self.links.change(vec![links::remove_link(index)]) {
                    Err(error) if error.is(Errno::ENODEV) => {}
                    done => done?,
                }
            }
        }
        if blocks.is_empty() {
            let mut batch = Batch::new(&self.table_name());
            batch.make_table();
            batch.remove_table();
            self.tables.commit(batch)?;
        }
        Ok(())
    }

    fn allow_forwarding(&self) -> Result<()> {
        namespaces::enter(&self.namespace, || {
            if std::fs::read_to_string(FORWARDING_SWITCH)?.trim() == "0" {
                tracing::info!("switching on the forwarding of IPv4 packets");
                std::fs::write(FORWARDING_SWITCH, "1")?;
            }
            Ok(())
        })
    }

    fn lock(&self) -> Result<Flock<File>> {
        let give_up = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match Flock::lock(open_lock()?, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((_, error)) if error != Errno::EWOULDBLOCK => {
                    let message = format!("cannot lock `{LOCK_FILE}`");
                    return Err(EngineError::machine(message).because(error));
                }
                Err(_) if Instant::now() > give_up => {
                    return Err(EngineError::machine(format!(
                        "another process holds the lock `{LOCK_FILE}`"
                    )));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// A block that no address and no route of the machine is in, and none of these ranges.
    fn free_block(&mut self, avoid: &[Ipv4Net]) -> Result<u32> {
        let mut taken: BTreeMap<u32, u32> = BTreeMap::new();
        for block in self.links.all_addresses()?.into_iter().filter_map(block_of) {
            taken.insert(block, block);
        }
        for (first, last) in self.routed_blocks()? {
            taken.insert(first, last);
        }
        for range in avoid {
            taken.extend(block_of(range.network()).zip(block_of(range.broadcast())));
        }
        // Each daemon begins elsewhere, so that their blocks are easily told apart.
        let start = self.instance.bytes().fold(0u32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(byte.into())
        }) << 8;
        (0..BLOCKS)
            .map(|step| start.wrapping_add(step) % BLOCKS)
            .find(|block| {
                taken
                    .iter()
                    .all(|(first, last)| block < first || block > last)
            })
            .ok_or_else(|| {
                EngineError::machine(format!(
                    "no address is left for an uplink in `{UPLINK_RANGE}`"
                ))
            })
    }

    /// First and last block of every route within the range: others (a VPN) may use parts of it.
    fn routed_blocks(&mut self) -> Result<Vec<(u32, u32)>> {
        let is_a_part = |it: &Ipv4Net| it.prefix_len() > UPLINK_RANGE.prefix_len();
        let routes = self.routes()?.into_iter().map(|it| it.0).filter(is_a_part);
        let blocks = |it: Ipv4Net| Some((block_of(it.network())?, block_of(it.broadcast())?));
        Ok(routes.filter_map(blocks).collect())
    }

    /// Where every route of the machine leads, but those to everywhere, and by which link.
    fn routes(&mut self) -> Result<Vec<(Ipv4Net, Option<u32>)>> {
        let question = RouteMessageBuilder::<Ipv4Addr>::new().table_id(0).build();
        let question = RouteNetlinkMessage::GetRoute(question);
        let found = self.links.ask("list routes", question, Dump::All)?;
        let read = |message| {
            let RouteNetlinkMessage::NewRoute(route) = message else {
                return None;
            };
            let (mut destination, mut link) = (None, None);
            for attribute in &route.attributes {
                match attribute {
                    RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                        destination = Some(*address);
                    }
                    RouteAttribute::Oif(index) => link = Some(*index),
                    _ => {}
                }
            }
            let range = Ipv4Net::new(destination?, route.header.destination_prefix_length).ok()?;
            (range.prefix_len() > 0).then_some((range, link))
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// The machine's rules about uplinks, the same however many there are.
    fn make_rules(&mut self) -> Result<()> {
        // Before the rules of others, who see only what we let pass.
        const EARLY: i32 = -10;
        let hook = |hook, kind, priority| HookPoint {
            hook,
            priority,
            kind,
            policy: Policy::Accept,
        };
        let then = |rule: &Rule, code: Verdict| [rule.clone(), vec![verdict(code)]].concat();
        let prefix = self.link_prefix();
        let (from_uplink, to_uplink) = (came_by_name(&prefix), leaves_by_name(&prefix));
        let answers = connection_is(ESTABLISHED_OR_RELATED);
        let established = answers.clone();
        let to_another_network = [from_uplink.clone(), leaves_by_name(NAME_PREFIX)].concat();
        let chains = [
            (
                "forward",
                hook(InetHookNumber::Forward, "filter", EARLY),
                vec![
                    then(&to_another_network, DROP),
                    then(&[to_uplink.clone(), answers].concat(), ACCEPT),
                    then(&to_uplink, DROP),
                ],
            ),
            (
                "input",
                hook(InetHookNumber::LocalIn, "filter", EARLY),
                vec![
                    // Answers to what the machine itself began.
                    then(&[from_uplink.clone(), established].concat(), ACCEPT),
                    then(&link_and_destination_in(NEIGHBOURS), ACCEPT),
                    then(&from_uplink, DROP),
                ],
            ),
            (
                "postrouting",
                hook(InetHookNumber::PostRouting, "nat", 100),
                vec![[from_uplink, vec![masquerade()]].concat()],
            ),
        ];
        let mut batch = Batch::new(&self.table_name());
        batch.make_table();
        batch.make_set(NEIGHBOURS, SetKind::LinkAndAddressToMark);
        for (chain, hook, rules) in chains {
            batch.make_chain(chain, Some(hook));
            batch.empty_chain(chain);
            for rule in rules {
                batch.add_rule(chain, rule);
            }
        }
        Ok(self.tables.commit(batch)?)
    }
}
