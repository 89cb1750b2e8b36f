//! Listening sockets of the edge before this one, which its daemon held and gives to this one at its
//! start: clients have waited in them since.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, sockopt};
use socket2::SockRef;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::say::say;
use crate::passing::receive;
use crate::protocol::{Listening, ListeningPlace};

/// The daemon sends them before it does anything else.
const GIVING_TIME_MAX: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct GivenSockets(Vec<(ListeningPlace, Vec<TcpListener>)>);

impl GivenSockets {
    /// What comes over the standard input, when that is a socket.
    pub async fn receive() -> Self {
        let mut given = Self::default();
        match timeout(GIVING_TIME_MAX, given.receive_all()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => say(format_args!("cannot take sockets over: {error}")),
            Err(_) => say(format_args!("the daemon does not end giving its sockets")),
        }
        given
    }

    async fn receive_all(&mut self) -> io::Result<()> {
        let input = std::io::stdin();
        if sockopt::socket_domain(&input) != Ok(AddressFamily::UNIX) {
            return Ok(());
        }
        let input = input.as_fd().try_clone_to_owned()?;
        let stream = std::os::unix::net::UnixStream::from(input);
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        while let Some((listening, sockets)) = receive::<Listening>(&stream).await? {
            if let Some(sockets) = usable(&listening.place, sockets) {
                self.0.push((listening.place, sockets));
            }
        }
        Ok(())
    }

    pub fn take(&mut self, place: &ListeningPlace) -> Option<Vec<TcpListener>> {
        let found = self.0.iter().position(|it| it.0 == *place)?;
        Some(self.0.swap_remove(found).1)
    }

    /// Closes what nobody wanted.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

/// Only sockets that listen, and where it is said: one whose listening has ended never gets a client.
fn usable(place: &ListeningPlace, sockets: Vec<OwnedFd>) -> Option<Vec<TcpListener>> {
    let sockets: Vec<TcpListener> = sockets.into_iter().map(TcpListener::from).collect();
    let listens = |it: &TcpListener| {
        it.local_addr().is_ok_and(|found| found == place.address)
            && SockRef::from(it).is_listener().unwrap_or(false)
    };
    (!sockets.is_empty() && sockets.iter().all(listens)).then_some(sockets)
}
