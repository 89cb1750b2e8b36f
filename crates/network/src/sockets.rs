//! Sockets inside an interface's namespace, or beside it, for this process to use. A socket belongs to the
//! namespace that it was made in, so only the making of it happens there, on a thread of its own.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use engine::{EngineError, Result};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpSocket;

use crate::interfaces::link_name;
use crate::links::{LOOPBACK_INDEX, Links, add_address};
use crate::namespaces;

/// Connections of one interface that nobody has taken yet.
const WAITING_MAX: i32 = 128;

/// A socket that is not connected yet.
pub(crate) fn make(pin: &Path, to: SocketAddr) -> Result<TcpSocket> {
    namespaces::enter(&namespaces::open(pin)?, || {
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        Ok(socket?)
    })
}

/// Connects it. The stream waits, as those of the standard library do.
pub(crate) async fn connect(
    socket: TcpSocket,
    to: SocketAddr,
    timeout_ms: u64,
) -> Result<TcpStream> {
    let timeout = Duration::from_millis(timeout_ms.max(1));
    let connected = tokio::time::timeout(timeout, socket.connect(to)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = connected
        .and_then(tokio::net::TcpStream::into_std)
        .map_err(|error| {
            let message = format!("cannot connect to `{to}`: {}", error.kind());
            EngineError::unreachable(message).because(error)
        })?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A UDP socket there, whose other end is set.
pub(crate) fn make_udp(pin: &Path, to: SocketAddr) -> Result<UdpSocket> {
    namespaces::enter(&namespaces::open(pin)?, || {
        let any = match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        Ok(socket)
    })
}

/// Listens at a link-local address on the network's side of one interface's link. The socket belongs to
/// that link: the kernel gives it no connection that came by another.
pub(crate) fn listen_beside(network: &Path, link: u32, at: SocketAddrV4) -> Result<TcpListener> {
    namespaces::enter(&namespaces::open(network)?, || {
        Links::open()?.change(vec![add_address(LOOPBACK_INDEX, *at.ip(), 32)])?;
        listen_on_link(link, at).map_err(|error| {
            let message = format!("cannot listen at `{at}`: {}", error.kind());
            let failed = match error.kind() {
                io::ErrorKind::AddrInUse => EngineError::conflict(message),
                _ => EngineError::machine(message),
            };
            failed.because(error)
        })
    })
}

fn listen_on_link(link: u32, at: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind_device(Some(link_name(link).as_bytes()))?;
    // A daemon that comes back does not wait for its predecessor's connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::V4(at).into())?;
    socket.listen(WAITING_MAX)?;
    Ok(socket.into())
}
