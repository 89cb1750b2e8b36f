//! Networks: a VPC is a network namespace that routes; an interface is a namespace with one veth
//! into it. Security groups are enforced on every packet, also within a subnet.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::{EngineError, Result};

/// The whole of a network but its interfaces. Applied as a whole; only differences are touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcSpec {
    pub id: String,
    pub ranges: Vec<Ipv4Net>,
    pub subnets: Vec<SubnetSpec>,
    pub route_tables: Vec<RouteTableSpec>,
    pub groups: Vec<GroupSpec>,
    /// Guards of subnets. A subnet that none stands at lets everything in and out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardSpec>,
    /// Answers names to the interfaces. None: nobody does.
    #[serde(default)]
    pub resolver: Option<ResolverSpec>,
    /// The machine itself is a neighbour: it has this address of the network's ranges, reaches every interface,
    /// whatever its groups say, and is reached there. Then no other network of the machine, and nothing else
    /// that it has a route to, may be in the ranges: such a network is refused as a `Conflict`. None: neither
    /// reaches the other.
    #[serde(default)]
    pub machine: Option<Ipv4Addr>,
    /// The interface, of another network, whose namespace stands for the machine: ways out lead through it, with
    /// its address and by its groups, and `machine` is an address of it. One network at most is behind an
    /// interface, and goes with it. None: the machine is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
    /// Parts, of this network or of another, of which nothing is known now: what is in force of them
    /// stays in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// A network's own resolver. What it does not know it asks the machine's, if the network leads out, and
/// says at once that it cannot if not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverSpec {
    /// Where interfaces find it, besides 169.254.169.253: an address of the network that no interface
    /// has, or one of the loopback's.
    pub at: Option<Ipv4Addr>,
    /// Every address of the network is called `ip-10-0-1-23` in this domain, whoever has it.
    pub address_domain: Option<String>,
    /// The names of interfaces are known in this domain as well as without one.
    pub interface_domain: Option<String>,
    /// What clients are told, as in `resolv.conf`: domains that names are looked for in, and options.
    pub search: Vec<String>,
    pub options: Vec<String>,
}

impl VpcSpec {
    /// A network of one subnet whose interfaces get out, to the machine's network and beyond, and are
    /// reached by nobody. Its subnet, its route table and its group are called as it is.
    pub fn outward(id: &str, range: Ipv4Net) -> Self {
        let everywhere = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
        Self {
            id: id.to_owned(),
            ranges: vec![range],
            subnets: vec![SubnetSpec {
                id: id.to_owned(),
                range,
                route_table: id.to_owned(),
            }],
            route_tables: vec![RouteTableSpec {
                id: id.to_owned(),
                routes: vec![RouteSpec {
                    destination: everywhere,
                    target: RouteTarget::NatGateway,
                }],
            }],
            groups: vec![GroupSpec {
                id: id.to_owned(),
                ingress: Vec::new(),
                egress: vec![GroupRule {
                    protocol: Protocol::All,
                    peer: Peer::Range(everywhere),
                }],
            }],
            guards: Vec::new(),
            resolver: None,
            machine: None,
            behind: None,
            unknown: Vec::new(),
        }
    }

    /// A network behind an interface, in which everybody may speak with everybody, and which gets out: as
    /// Docker's default network is on a machine of its own. Its first address is the machine's.
    pub fn bridge(id: &str, range: Ipv4Net, behind: &str) -> Self {
        let mut spec = Self::outward(id, range);
        for group in &mut spec.groups {
            group.ingress.clone_from(&group.egress);
        }
        spec.machine = range.hosts().next();
        spec.behind = Some(behind.to_owned());
        spec
    }

    /// Fills in what is unknown with what was in force.
    pub fn carry_over(&mut self, before: &Self) {
        let unknown = std::mem::take(&mut self.unknown);
        let is_unknown = |id: &String| unknown.contains(id);
        for subnet in &mut self.subnets {
            // Which table a subnet has is known by the table.
            let known = before.subnets.iter().find(|it| it.id == subnet.id);
            if let Some(known) = known.filter(|it| is_unknown(&it.route_table)) {
                subnet.route_table.clone_from(&known.route_table);
            }
        }
        let subnets = before.subnets.iter().filter(|it| is_unknown(&it.id));
        self.subnets.extend(subnets.cloned());
        let tables = before.route_tables.iter().filter(|it| is_unknown(&it.id));
        self.route_tables.extend(tables.cloned());
        let groups = before.groups.iter().filter(|it| is_unknown(&it.id));
        self.groups.extend(groups.cloned());
        let guards = before.guards.iter().filter(|it| is_unknown(&it.id));
        self.guards.extend(guards.cloned());
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetSpec {
    pub id: String,
    pub range: Ipv4Net,
    pub route_table: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTableSpec {
    pub id: String,
    /// The local route is implied.
    pub routes: Vec<RouteSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSpec {
    pub destination: Ipv4Net,
    pub target: RouteTarget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteTarget {
    /// An internet gateway: a way out for interfaces that have a public address, and for no other.
    InternetGateway,
    /// A NAT gateway: a way out for every interface.
    NatGateway,
    /// The target is gone.
    Blackhole,
}

/// A security group: what may come in and what may go out. Everything else is dropped; answers to
/// what was allowed always pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    pub id: String,
    pub ingress: Vec<GroupRule>,
    pub egress: Vec<GroupRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupRule {
    pub protocol: Protocol,
    pub peer: Peer,
}

/// Ports are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    All,
    Tcp {
        from: u16,
        to: u16,
    },
    Udp {
        from: u16,
        to: u16,
    },
    Icmp,
    /// ICMP of one type, and of one code or any.
    IcmpOf {
        kind: u8,
        code: Option<u8>,
    },
    Other(u8),
}

impl Protocol {
    /// Whether TCP to this port is among what it says.
    pub fn has_tcp_to(self, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Tcp { from, to } => (from..=to).contains(&port),
            Self::Udp { .. } | Self::Icmp | Self::IcmpOf { .. } | Self::Other(_) => false,
        }
    }
}

/// What may enter subnets and what may leave them, by each packet alone: an answer needs an entry of its own,
/// whoever asked. What goes from one interface of a subnet to another passes no guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardSpec {
    pub id: String,
    /// The subnets that it stands at.
    pub subnets: Vec<String>,
    /// What passes through one of these subnets between two others, and its answers.
    pub passages: Vec<Passage>,
    /// The first entry that a packet matches decides. What none matches is dropped.
    pub ingress: Vec<GuardEntry>,
    pub egress: Vec<GuardEntry>,
}

/// Packets of a subnet that go through a NAT gateway which is in another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Passage {
    pub from: String,
    /// Outside the network.
    pub to: Ipv4Net,
    /// Smaller ranges of these that have another way.
    pub but: Vec<Ipv4Net>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardEntry {
    pub decision: Decision,
    pub protocol: Protocol,
    /// Where a packet comes from that enters; where one goes that leaves.
    pub peer: Ipv4Net,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    Allow,
    Deny,
}

impl GuardEntry {
    /// Everything matches it, and may pass.
    pub fn is_open(&self) -> bool {
        self.decision == Decision::Allow
            && self.protocol == Protocol::All
            && self.peer.prefix_len() == 0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    Range(Ipv4Net),
    /// Every interface that is in this group.
    Group(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSpec {
    /// Letters, digits and `-` only.
    pub id: String,
    pub vpc: String,
    pub subnet: String,
    pub address: Ipv4Addr,
    pub mac: [u8; 6],
    pub groups: Vec<String>,
    /// Whether it may use an internet gateway.
    pub public: bool,
    /// What its network's resolver calls it, the first before others; several may share a name.
    #[serde(default)]
    pub names: Vec<String>,
    /// What whoever asks from it calls others, and what its network's resolver calls these.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// The namespace that it is put into, beside others: see [`Network::make_namespace`]. The first is called
    /// `eth0` there; the first whose network leads out is the way to everywhere. None: one of its own.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Ports of the machine that lead to its own, where that is an interface ([`VpcSpec::behind`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedPort>,
}

/// A port of the machine that leads to one of an interface's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    pub protocol: PublishedProtocol,
    pub host_port: u16,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PublishedProtocol {
    Tcp,
    Udp,
}

/// A range of addresses that something on the machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeInUse {
    /// Whose it is. None: the machine's own, or of one that it has a route to.
    pub network: Option<String>,
    pub range: Ipv4Net,
}

#[async_trait]
pub trait Network: Send + Sync {
    /// Makes the network, or changes it to what is asked. Interfaces stay.
    async fn apply_vpc(&self, vpc: VpcSpec) -> Result<()>;
    /// Removes the network with every interface in it.
    async fn remove_vpc(&self, id: &str) -> Result<()>;
    /// Makes the interface's namespace, joined to its network, which must exist. Called again with
    /// other groups or names or another `public`, it changes these.
    async fn attach(&self, interface: InterfaceSpec) -> Result<()>;
    async fn detach(&self, id: &str) -> Result<()>;
    /// Makes a namespace that has nothing but its loopback, for interfaces that come and go
    /// ([`InterfaceSpec::namespace`]). Its id is like an interface's: wherever one is asked for, it may be named.
    /// Made again, it stays as it is.
    async fn make_namespace(&self, id: &str) -> Result<()> {
        Err(EngineError::machine(format!(
            "there is no namespace `{id}` to be shared"
        )))
    }
    /// Removes a namespace with every interface in it.
    async fn remove_namespace(&self, _id: &str) -> Result<()> {
        Ok(())
    }
    /// What ranges there are: of all networks, and of the machine's own addresses and routes.
    async fn ranges(&self) -> Result<Vec<RangeInUse>> {
        Ok(Vec::new())
    }
    /// The namespace's path, to be joined. `NotFound` when it is not attached.
    async fn namespace(&self, interface: &str) -> Result<PathBuf>;
    /// The resolver of an interface's network. None: it has none, or the interface is not attached.
    async fn resolver(&self, interface: &str) -> Result<Option<ResolverSpec>>;
    /// Ids of the networks, and of the interfaces, that exist on the machine.
    async fn list(&self) -> Result<(Vec<String>, Vec<String>)>;
    /// Tries to connect from an interface's namespace: what a process in it would see.
    async fn connect(&self, interface: &str, to: SocketAddr, timeout_ms: u64) -> Result<()>;
    /// A UDP socket in an interface's namespace, whose other end is `to`.
    async fn dial_udp(&self, interface: &str, _to: SocketAddr) -> Result<std::net::UdpSocket> {
        Err(EngineError::machine(format!(
            "there are no UDP sockets in `{interface}`"
        )))
    }
    /// A connection made from inside an interface's namespace: its groups' rules hold for it. The
    /// stream waits, as those of the standard library do.
    async fn dial(
        &self,
        interface: &str,
        to: SocketAddr,
        timeout_ms: u64,
    ) -> Result<std::net::TcpStream>;
    /// A socket that takes the connections that one interface makes to a link-local address. It is on the
    /// network's side of the interface's link, so nothing in the interface's namespace is taken by it;
    /// whatever groups and routes say, the interface reaches it, and nobody else does. Closed when it is
    /// dropped; it does not outlive this process. `Conflict` when another socket listens there.
    async fn listen_beside(
        &self,
        interface: &str,
        at: SocketAddrV4,
    ) -> Result<std::net::TcpListener>;
    /// Whether packets from this interface have a way out of their network, found by asking the
    /// kernel's routing in the network's own namespace, not by reading the configuration; and whether
    /// its groups let HTTPS out.
    async fn has_way_out(&self, interface: &str) -> Result<bool>;
}
