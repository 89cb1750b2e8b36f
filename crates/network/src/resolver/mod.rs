//! Names: a network's own resolver. It knows what the interfaces of its network are called, and passes
//! everything else on to the machine's resolvers when the network leads out.
//!
//! It is served by the network's namespace at [`AT`], by UDP and TCP, so no socket of it is in any
//! interface's namespace. The firewall leads packets to the address that the specification names
//! ([`engine::ResolverSpec::at`]) there as well; when that is one of the loopback's, as in Docker's
//! networks, the interface's namespace has a route to it that leaves by `eth0`.
//!
//! `answer.rs` says what is answered, without any input or output; `tables.rs` has the names; `serve.rs`
//! has the sockets; `forward.rs` asks the machine's resolvers.

mod answer;
mod forward;
mod serve;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use engine::{EngineError, InterfaceSpec, Result, VpcSpec};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;

pub(crate) use tables::Names;

use crate::links::{LOOPBACK_INDEX, Links, add_address};
use crate::namespaces;

/// Where every network's resolver is, whatever else leads there.
pub(crate) const AT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 253), 53);

/// Connections that nobody has taken yet.
const WAITING_MAX: i32 = 128;

/// The names that a resolver and its network share.
pub(crate) type Shared = Arc<RwLock<Names>>;
/// Names of further networks, by the address of who is in them, too.
type Others = Arc<RwLock<HashMap<IpAddr, Vec<Shared>>>>;

/// A network's resolver. Its sockets close when it is dropped.
pub(crate) struct Resolver {
    known: serve::Known,
    serving: [AbortHandle; 2],
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.serving.iter().for_each(AbortHandle::abort);
    }
}

impl Resolver {
    /// Answers in the network's namespace from now on.
    pub fn start(network: &Path, names: Names) -> Result<Self> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| EngineError::machine("nobody can serve names").because(error))?;
        let (datagrams, connections) = namespaces::enter(&namespaces::open(network)?, || {
            Links::open()?.change(vec![add_address(LOOPBACK_INDEX, *AT.ip(), 32)])?;
            Ok((bind(Type::DGRAM)?, bind(Type::STREAM)?))
        })?;
        connections.listen(WAITING_MAX)?;
        let _runtime = runtime.enter();
        let datagrams = UdpSocket::from_std(datagrams.into())?;
        let connections = TcpListener::from_std(connections.into())?;
        let known = serve::Known {
            names: Arc::new(RwLock::new(names)),
            others: Others::default(),
        };
        let by_datagram = serve::datagrams(datagrams, known.clone());
        let by_connection = serve::connections(connections, known.clone());
        let serving = [
            runtime.spawn(by_datagram).abort_handle(),
            runtime.spawn(by_connection).abort_handle(),
        ];
        Ok(Self { known, serving })
    }

    pub fn set(&self, names: Names) {
        let own = self.known.names.write();
        *own.unwrap_or_else(PoisonError::into_inner) = names;
    }

    pub fn names(&self) -> Shared {
        self.known.names.clone()
    }

    /// Whoever asks from this address is in these networks as well.
    pub fn set_others(&self, address: Ipv4Addr, networks: Vec<Shared>) {
        let others = self.known.others.write();
        let mut others = others.unwrap_or_else(PoisonError::into_inner);
        match networks.is_empty() {
            true => drop(others.remove(&IpAddr::V4(address))),
            false => drop(others.insert(IpAddr::V4(address), networks)),
        }
    }

    /// An interface is called what its specification says, from now on.
    pub fn put(&self, interface: &InterfaceSpec) {
        let names = self.known.names.write();
        let mut names = names.unwrap_or_else(PoisonError::into_inner);
        names.put(interface.address, &interface.names);
        names.put_aliases(interface.address, &interface.aliases);
    }

    pub fn remove(&self, address: Ipv4Addr) {
        let names = self.known.names.write();
        let mut names = names.unwrap_or_else(PoisonError::into_inner);
        names.put(address, &[]);
        names.put_aliases(address, &BTreeMap::new());
    }
}

fn bind(kind: Type) -> Result<Socket> {
    let bound = || {
        let socket = Socket::new(Domain::IPV4, kind, None)?;
        if kind == Type::STREAM {
            // A daemon that comes back does not wait for its predecessor's connections to be forgotten.
            socket.set_reuse_address(true)?;
        }
        socket.bind(&std::net::SocketAddr::V4(AT).into())?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    bound().map_err(|error: std::io::Error| {
        EngineError::machine(format!("cannot serve names at `{AT}`")).because(error)
    })
}

/// The names of a network with these interfaces; none without a resolver.
pub(crate) fn names<'a>(
    vpc: &VpcSpec,
    leads_out: bool,
    interfaces: impl Iterator<Item = &'a InterfaceSpec>,
) -> Option<Names> {
    let spec = vpc.resolver.as_ref()?;
    let mut names = Names::new(spec, vpc.ranges.clone(), leads_out);
    for interface in interfaces {
        names.put(interface.address, &interface.names);
        names.put_aliases(interface.address, &interface.aliases);
    }
    Some(names)
}
