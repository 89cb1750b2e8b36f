//! Sockets that listen: one per worker on the same port, so that the kernel spreads clients.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::namespace::Origin;

/// Connections that the kernel holds for a worker that is busy.
const BACKLOG: i32 = 4096;

pub fn bind(origin: &Origin, address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    origin.enter(|| {
        // Sockets that share a port would also share it with another program of the same user
        // that shares it; this one does not, and so finds out whether the port is free.
        drop(open(address)?);
        (0..count).map(|_| open_listening(address)).collect()
    })
}

/// More sockets for an address that is ours already.
pub fn bind_more(
    origin: &Origin,
    address: SocketAddr,
    count: usize,
) -> io::Result<Vec<TcpListener>> {
    origin.enter(|| (0..count).map(|_| open_listening(address)).collect())
}

fn open_listening(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open_shared(address)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = new_socket(address)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn open_shared(address: SocketAddr) -> io::Result<Socket> {
    let socket = new_socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    // Connections of the edge before this one, which wait for their last packets, do not count.
    socket.set_reuse_address(true)?;
    Ok(socket)
}
