//! Sockets inside an interface's namespace, for this process to use. A socket belongs to the namespace
//! that it was made in, so only the making of it happens there, on a thread of its own.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use engine::{EngineError, Result};
use tokio::net::TcpSocket;

use crate::links::{LOOPBACK_INDEX, Links, add_address, set_up};
use crate::namespaces;

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

/// Listens at an address, which the loopback is given when the namespace does not have it.
pub(crate) fn listen(pin: &Path, at: SocketAddr) -> Result<TcpListener> {
    namespaces::enter(&namespaces::open(pin)?, || {
        give_address(at)?;
        TcpListener::bind(at).map_err(|error| {
            let message = format!("cannot listen at `{at}`: {}", error.kind());
            let failed = match error.kind() {
                io::ErrorKind::AddrInUse => EngineError::conflict(message),
                _ => EngineError::machine(message),
            };
            failed.because(error)
        })
    })
}

fn give_address(at: SocketAddr) -> Result<()> {
    let IpAddr::V4(address) = at.ip() else {
        return Err(EngineError::invalid(format!(
            "`{at}` is not an IPv4 address: interfaces have no others"
        )));
    };
    if address.is_loopback() || address.is_unspecified() {
        return Ok(());
    }
    let mut links = Links::open()?;
    if links.all_addresses()?.contains(&address) {
        return Ok(());
    }
    let requests = vec![
        add_address(LOOPBACK_INDEX, address, 32),
        set_up(LOOPBACK_INDEX),
    ];
    Ok(links.change(requests)?)
}
