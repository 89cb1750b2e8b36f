//! Published ports: listeners of this process, whose connections are made anew from within the
//! container's namespace. They end with this process and are bound again by the next.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use engine::Network;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::answer::Refusal;
use crate::containers::{Bound, Empty, PortProtocol, Record};
use crate::datagrams;
use crate::docker::Docker;
use crate::limits::{CONNECTIONS_MAX, DIAL_TIMEOUT_MS, PORTS_MAX};

/// A port to be published: at one of `host_ports`, the first that is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub container_port: u16,
    pub protocol: PortProtocol,
    pub host_ip: Ipv4Addr,
    pub host_ports: std::ops::RangeInclusive<u16>,
}

/// Listeners of one container. Closed when dropped.
pub struct Published {
    listeners: Vec<(Bound, Listener)>,
    serving: Vec<JoinHandle<()>>,
    address: Address,
}

/// Where in its namespace a container is reached. It changes as its networks do.
#[derive(Debug, Clone)]
pub struct Address(Arc<AtomicU32>);

impl Address {
    pub fn new(address: Ipv4Addr) -> Self {
        Self(Arc::new(AtomicU32::new(address.into())))
    }

    fn set(&self, address: Ipv4Addr) {
        self.0.store(address.into(), Ordering::Relaxed);
    }

    pub fn port(&self, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::from(self.0.load(Ordering::Relaxed)), port))
    }
}

enum Listener {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Listener {
    async fn bind(protocol: PortProtocol, at: (Ipv4Addr, u16)) -> std::io::Result<Self> {
        Ok(match protocol {
            PortProtocol::Tcp => Self::Tcp(TcpListener::bind(at).await?),
            PortProtocol::Udp => Self::Udp(UdpSocket::bind(at).await?),
        })
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

fn port_of(text: &str) -> Result<(u16, PortProtocol), Refusal> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => PortProtocol::Tcp,
        "udp" => PortProtocol::Udp,
        other => {
            let protocol = other.to_ascii_uppercase();
            let what = format!("publishing the {protocol} port {port}");
            return Err(Refusal::not_built(what));
        }
    };
    let port = port.parse();
    let port = port.map_err(|_| Refusal::bad(format!("invalid port: {text}")))?;
    Ok((port, protocol))
}

/// What a container's configuration asks to be published.
pub fn wanted(
    host: &crate::containers::HostConfig,
    exposed: &BTreeMap<String, Empty>,
) -> Result<Vec<Wanted>, Refusal> {
    let mut wanted = Vec::new();
    for (port, bindings) in &host.port_bindings {
        let (container_port, protocol) = port_of(port)?;
        for binding in bindings {
            let bad = || {
                Refusal::bad(format!(
                    "invalid port specification: \"{}\"",
                    binding.host_port
                ))
            };
            let host_ip = match binding.host_ip.as_str() {
                "" => Ipv4Addr::UNSPECIFIED,
                text => match text.parse() {
                    Ok(IpAddr::V4(address)) => address,
                    Ok(IpAddr::V6(address)) => {
                        return Err(Refusal::not_built(format!("publishing at `{address}`")));
                    }
                    Err(_) => return Err(Refusal::bad(format!("invalid IP address: {text}"))),
                },
            };
            let text = binding.host_port.as_str();
            let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
            let host_ports = match text.split_once('-') {
                None if text.is_empty() => 0..=0,
                None => number(text)?..=number(text)?,
                Some((first, last)) => number(first)?..=number(last)?,
            };
            wanted.push(Wanted {
                container_port,
                protocol,
                host_ip,
                host_ports,
            });
        }
    }
    if host.publish_all_ports {
        for port in exposed.keys() {
            let (container_port, protocol) = port_of(port)?;
            let is_it =
                |it: &Wanted| (it.container_port, it.protocol) == (container_port, protocol);
            if !wanted.iter().any(is_it) {
                wanted.push(Wanted {
                    container_port,
                    protocol,
                    host_ip: Ipv4Addr::UNSPECIFIED,
                    host_ports: 0..=0,
                });
            }
        }
    }
    if wanted.len() > PORTS_MAX {
        return Err(Refusal::bad(format!(
            "more than {PORTS_MAX} ports are published"
        )));
    }
    Ok(wanted)
}

impl Docker {
    /// Binds a container's ports. None is left bound when one cannot be.
    pub(crate) async fn bind_ports(
        &self,
        record: &Record,
        wanted: &[Wanted],
    ) -> Result<Published, Refusal> {
        let mut listeners = Vec::new();
        for it in wanted {
            let listener = self.bind(record, it).await?;
            let host_port = listener.local_addr()?.port();
            let bound = Bound {
                container_port: it.container_port,
                protocol: it.protocol,
                host_ip: it.host_ip,
                host_port,
            };
            listeners.push((bound, listener));
        }
        Ok(Published {
            listeners,
            serving: Vec::new(),
            address: Address::new(Ipv4Addr::LOCALHOST),
        })
    }

    async fn bind(&self, record: &Record, wanted: &Wanted) -> Result<Listener, Refusal> {
        let mut last = None;
        for port in wanted.host_ports.clone() {
            match Listener::bind(wanted.protocol, (wanted.host_ip, port)).await {
                Ok(listener) => return Ok(listener),
                Err(error) => last = Some((port, error)),
            }
        }
        let Some((port, error)) = last else {
            return Err(Refusal::bad("an empty range of ports"));
        };
        let failed = format!(
            "failed to set up container networking: driver failed programming external connectivity on endpoint {} ({})",
            record.name, record.id
        );
        if error.kind() != std::io::ErrorKind::AddrInUse {
            return Err(Refusal::failed(format!(
                "{failed}: Bind for {}:{port} failed: {error}",
                wanted.host_ip
            )));
        }
        let holder = match self.publisher_of(port, wanted.protocol) {
            Some(name) => Some(format!("the container `{name}`")),
            None if wanted.protocol == PortProtocol::Tcp => self.registry.holder(port).await,
            None => None,
        };
        let holder = holder.map_or(String::new(), |it| format!(" (by {it})"));
        Err(Refusal::failed(format!(
            "{failed}: Bind for {}:{port} failed: port is already allocated{holder}",
            wanted.host_ip
        )))
    }

    fn publisher_of(&self, port: u16, protocol: PortProtocol) -> Option<String> {
        let all = self.containers.all();
        let mut records = all.iter().map(|it| it.record());
        let is_it = |bound: &Bound| (bound.host_port, bound.protocol) == (port, protocol);
        let found = records.find(|it| it.is_running() && it.state.bound.iter().any(is_it));
        found.map(|it| it.name)
    }
}

impl Published {
    pub fn bound(&self) -> Vec<Bound> {
        self.listeners.iter().map(|it| it.0.clone()).collect()
    }

    /// From now on the container is reached there.
    pub fn lead_to(&self, address: Ipv4Addr) {
        self.address.set(address);
    }

    /// Accepts connections from now on.
    pub fn serve(&mut self, network: &Arc<dyn Network>, interface: &str, address: Ipv4Addr) {
        self.address.set(address);
        for (bound, listener) in self.listeners.drain(..) {
            let to = (self.address.clone(), bound.container_port);
            let (network, interface) = (network.clone(), interface.to_owned());
            self.serving.push(match listener {
                Listener::Tcp(listener) => tokio::spawn(serve(listener, network, interface, to)),
                Listener::Udp(socket) => {
                    tokio::spawn(datagrams::serve(socket, network, interface, to))
                }
            });
        }
    }
}

async fn serve(
    listener: TcpListener,
    network: Arc<dyn Network>,
    interface: String,
    (address, port): (Address, u16),
) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else {
            return;
        };
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                tracing::warn!(%error, "cannot accept at a published port");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (network, interface) = (network.clone(), interface.clone());
        let to = address.port(port);
        tokio::spawn(async move {
            carry(client, &*network, &interface, to).await;
            drop(permit);
        });
    }
}

/// One connection, from both ends to both ends.
async fn carry(mut client: TcpStream, network: &dyn Network, interface: &str, to: SocketAddr) {
    let dialled = network.dial(interface, to, DIAL_TIMEOUT_MS).await;
    let connected = dialled.and_then(|stream| {
        stream.set_nonblocking(true)?;
        Ok(TcpStream::from_std(stream)?)
    });
    match connected {
        Ok(mut server) => {
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
        // Nobody listens there: the client sees its connection close.
        Err(error) => tracing::debug!(error = error.chain(), %to, "cannot reach a published port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::{HostConfig, PortBinding};

    fn check(port: &str, binding: (&str, &str)) -> Result<Wanted, Refusal> {
        let binding = PortBinding {
            host_ip: binding.0.to_owned(),
            host_port: binding.1.to_owned(),
        };
        let host = HostConfig {
            port_bindings: BTreeMap::from([(port.to_owned(), vec![binding])]),
            ..HostConfig::default()
        };
        wanted(&host, &BTreeMap::new()).map(|mut it| it.remove(0))
    }

    #[test]
    fn ports_are_read() {
        let it = check("9292/tcp", ("", "80")).unwrap();
        assert_eq!((it.container_port, it.host_ports), (9292, 80..=80));
        assert_eq!(it.host_ip, Ipv4Addr::UNSPECIFIED);
        assert_eq!(check("80", ("127.0.0.1", "")).unwrap().host_ports, 0..=0);
        assert_eq!(
            check("80", ("", "8000-8010")).unwrap().host_ports,
            8000..=8010
        );
        assert_eq!(it.protocol, PortProtocol::Tcp);
        let udp = check("53/udp", ("", "53")).unwrap();
        assert_eq!(udp.protocol, PortProtocol::Udp);
        let refused = check("53/sctp", ("", "53")).unwrap_err();
        assert_eq!(
            refused.message,
            "publishing the SCTP port 53 is not supported by neargate"
        );
        for (port, binding) in [
            ("80/tcp", ("", "x")),
            ("x", ("", "80")),
            ("80", ("here", "80")),
        ] {
            assert!(check(port, binding).is_err());
        }
    }
}
