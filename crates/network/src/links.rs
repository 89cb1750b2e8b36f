//! Links, addresses, neighbours and routes: the requests to the kernel's routing, and a socket that
//! sends them in batches.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage, State};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteScope, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use rtnetlink::{
    AddressMessageBuilder, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};

use crate::netlink::{Channel, Dump, NetlinkError};

/// The loopback interface's index in every namespace.
pub(crate) const LOOPBACK_INDEX: u32 = 1;
/// Requests per datagram. The kernel answers each with an acknowledgement, and these must fit the
/// receive buffer.
const REQUESTS_PER_DATAGRAM: usize = 512;

/// The kernel looks at links once a second at the least.
const USABLE_WAIT_MAX: Duration = Duration::from_secs(5);

/// One change, and what it is for.
pub(crate) struct Request {
    doing: &'static str,
    message: RouteNetlinkMessage,
    flags: u16,
}

/// A routing socket in one namespace.
pub(crate) struct Links(Channel);

impl Links {
    pub fn open() -> Result<Self, NetlinkError> {
        Channel::open(NETLINK_ROUTE).map(Self)
    }

    /// Sends all requests. The kernel carries out each of them whatever becomes of the others; the
    /// first refusal is returned.
    pub fn change(&mut self, requests: Vec<Request>) -> Result<(), NetlinkError> {
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            self.change_some(requests.by_ref().take(REQUESTS_PER_DATAGRAM))?;
        }
        Ok(())
    }

    fn change_some(&mut self, requests: impl Iterator<Item = Request>) -> Result<(), NetlinkError> {
        let mut datagram = Vec::new();
        let mut waiting = Vec::new();
        for request in requests {
            let flags = request.flags | NLM_F_ACK;
            let sequence = self.0.append(&mut datagram, request.message, flags);
            waiting.push((sequence, request.doing));
        }
        let refused = |doing: &str, source| NetlinkError {
            doing: doing.to_owned(),
            source,
        };
        self.0
            .send(&datagram)
            .map_err(|source| refused("take routing requests", source))?;
        let mut first_refusal = None;
        while !waiting.is_empty() {
            let replies = self
                .0
                .receive()
                .map_err(|source| refused("answer routing requests", source))?;
            for reply in replies.iter().filter(|reply| reply.is_acknowledgement()) {
                let Some(at) = waiting
                    .iter()
                    .position(|(sequence, _)| *sequence == reply.sequence)
                else {
                    continue;
                };
                let (_, doing) = waiting.remove(at);
                if reply.errno() != 0 && first_refusal.is_none() {
                    let source = io::Error::from_raw_os_error(reply.errno());
                    first_refusal = Some(refused(doing, source));
                }
            }
        }
        first_refusal.map_or(Ok(()), Err)
    }

    pub fn ask(
        &mut self,
        doing: &str,
        message: RouteNetlinkMessage,
        dump: Dump,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.0.ask(doing, message, dump)
    }

    /// The index of the link with this name, if there is one.
    pub fn index_of(&mut self, name: &str) -> Result<Option<u32>, NetlinkError> {
        let question = LinkMessageBuilder::<LinkUnspec>::new().name(name).build();
        match self.ask(
            "look up a link",
            RouteNetlinkMessage::GetLink(question),
            Dump::One,
        ) {
            Ok(found) => Ok(found.into_iter().find_map(|message| match message {
                RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
                _ => None,
            })),
            Err(error) if error.is(Errno::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until a link takes packets. The end of a veth pair that was up before the other drops
    /// all packets until the kernel has seen, in its own time, that the other is there too. New
    /// kernels (6.8) look at once when they are asked.
    pub fn wait_until_usable(&mut self, index: u32) -> Result<(), NetlinkError> {
        let give_up = Instant::now() + USABLE_WAIT_MAX;
        loop {
            let question = LinkUnspec::new_with_index(index).build();
            let question = RouteNetlinkMessage::GetLink(question);
            let found = self.ask("look at a link", question, Dump::One)?;
            if found.iter().any(is_up) {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(NetlinkError {
                    doing: "bring a link up in time".into(),
                    source: io::ErrorKind::TimedOut.into(),
                });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Index and name of every link.
    pub fn all_links(&mut self) -> Result<Vec<(u32, String)>, NetlinkError> {
        let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let found = self.ask("list links", question, Dump::All)?;
        Ok(found.into_iter().filter_map(name_of_link).collect())
    }

    /// Every IPv4 address of the namespace.
    pub fn all_addresses(&mut self) -> Result<Vec<Ipv4Addr>, NetlinkError> {
        let mut question = AddressMessage::default();
        question.header.family = AddressFamily::Inet;
        let question = RouteNetlinkMessage::GetAddress(question);
        let found = self.ask("list addresses", question, Dump::All)?;
        let address =
            |message| match message {
                RouteNetlinkMessage::NewAddress(address) => address
                    .attributes
                    .into_iter()
                    .find_map(|attribute| match attribute {
                        AddressAttribute::Local(IpAddr::V4(address))
                        | AddressAttribute::Address(IpAddr::V4(address)) => Some(address),
                        _ => None,
                    }),
                _ => None,
            };
        Ok(found.into_iter().filter_map(address).collect())
    }
}

fn is_up(message: &RouteNetlinkMessage) -> bool {
    match message {
        RouteNetlinkMessage::NewLink(link) => link
            .attributes
            .contains(&LinkAttribute::OperState(State::Up)),
        _ => false,
    }
}

fn name_of_link(message: RouteNetlinkMessage) -> Option<(u32, String)> {
    let RouteNetlinkMessage::NewLink(link) = message else {
        return None;
    };
    let index = link.header.index;
    link.attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some((index, name)),
            _ => None,
        })
}

/// One end of a veth pair.
pub(crate) struct VethEnd<'a> {
    pub name: &'a str,
    /// `None` lets the kernel choose.
    pub index: Option<u32>,
    pub mac: [u8; 6],
}

/// Makes a veth pair: one end here and up, the other in another namespace and down (the kernel
/// does not take one that is up from birth).
pub(crate) fn make_veth(here: &VethEnd, there: &VethEnd, there_namespace: RawFd) -> Request {
    let mut peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(there.name)
        .address(there.mac.to_vec());
    if let Some(index) = there.index {
        peer = peer.index(index);
    }
    let mut peer = peer.build();
    peer.attributes
        .push(LinkAttribute::NetNsFd(there_namespace));
    let mut link = LinkMessageBuilder::<LinkVeth>::new(here.name, there.name)
        .address(here.mac.to_vec())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .up();
    if let Some(index) = here.index {
        link = link.index(index);
    }
    Request {
        doing: "make a veth pair",
        message: RouteNetlinkMessage::NewLink(link.build()),
        flags: NLM_F_CREATE | NLM_F_EXCL,
    }
}

pub(crate) fn set_up(index: u32) -> Request {
    let link = LinkUnspec::new_with_index(index).up().build();
    Request {
        doing: "set a link up",
        message: RouteNetlinkMessage::SetLink(link),
        flags: 0,
    }
}

pub(crate) fn remove_link(index: u32) -> Request {
    let link = LinkUnspec::new_with_index(index).build();
    Request {
        doing: "remove a link",
        message: RouteNetlinkMessage::DelLink(link),
        flags: 0,
    }
}

/// Gives a link an address. No route to its prefix is made: routes are said one by one here.
pub(crate) fn add_address(index: u32, address: Ipv4Addr, prefix: u8) -> Request {
    let mut message = AddressMessageBuilder::<Ipv4Addr>::new()
        .index(index)
        .address(address, prefix)
        .build();
    message
        .attributes
        .push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
    Request {
        doing: "add an address",
        message: RouteNetlinkMessage::NewAddress(message),
        flags: NLM_F_CREATE | NLM_F_REPLACE,
    }
}

/// A neighbour that never ages, so that no ARP is needed.
pub(crate) fn add_neighbour(index: u32, address: Ipv4Addr, mac: [u8; 6]) -> Request {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)),
        NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
    ];
    Request {
        doing: "add a neighbour",
        message: RouteNetlinkMessage::NewNeighbour(message),
        flags: NLM_F_CREATE | NLM_F_REPLACE,
    }
}

/// The route to a range by way of an address that is on the other end of a link. Whoever has not chosen an
/// address of its own sends from `own`.
pub(crate) fn add_range_route(index: u32, range: Ipv4Net, via: Ipv4Addr, own: Ipv4Addr) -> Request {
    let message = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(range.network(), range.prefix_len())
        .gateway(via)
        .output_interface(index)
        .pref_source(own)
        .onlink()
        .build();
    Request {
        doing: "add the route to a network",
        message: RouteNetlinkMessage::NewRoute(message),
        flags: NLM_F_CREATE | NLM_F_REPLACE,
    }
}

/// The route to one address, which is on the other end of a link.
pub(crate) fn add_host_route(index: u32, address: Ipv4Addr) -> Request {
    let message = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(address, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
        .build();
    Request {
        doing: "add the route to an interface",
        message: RouteNetlinkMessage::NewRoute(message),
        flags: NLM_F_CREATE | NLM_F_REPLACE,
    }
}

pub(crate) fn remove_host_route(address: Ipv4Addr) -> Request {
    let message = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(address, 32)
        .build();
    Request {
        doing: "remove the route to an interface",
        message: RouteNetlinkMessage::DelRoute(message),
        flags: 0,
    }
}

/// The default route by way of a gateway that is on the link, whatever the addresses say.
pub(crate) fn add_default_route(index: u32, gateway: Ipv4Addr) -> Request {
    let message = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(gateway)
        .output_interface(index)
        .onlink()
        .build();
    Request {
        doing: "add the default route",
        message: RouteNetlinkMessage::NewRoute(message),
        flags: NLM_F_CREATE | NLM_F_REPLACE,
    }
}

/// The route to an address of the loopback's range by way of a gateway on a link. It is in the table that
/// is looked at first, where it is more special than the loopback's own.
pub(crate) fn add_loopback_route(
    index: u32,
    to: Ipv4Addr,
    gateway: Ipv4Addr,
    own: Ipv4Addr,
) -> Request {
    let message = RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(u32::from(libc::RT_TABLE_LOCAL))
        .destination_prefix(to, 32)
        .gateway(gateway)
        .output_interface(index)
        .pref_source(own)
        .onlink()
        .build();
    Request {
        doing: "add the route to the resolver",
        message: RouteNetlinkMessage::NewRoute(message),
        flags: NLM_F_CREATE | NLM_F_REPLACE,
    }
}

/// Any other request.
pub(crate) fn request(doing: &'static str, message: RouteNetlinkMessage, flags: u16) -> Request {
    Request {
        doing,
        message,
        flags,
    }
}
