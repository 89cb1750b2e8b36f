//! Listening sockets of the edge that the daemon holds as well, so that they outlive it:
//! connections wait in them until the next edge accepts them, instead of being refused.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::launch::Place;
use crate::identity::socket_path;
use crate::passing::{receive, send};
use crate::protocol::{Answer, Ask, FromEdge, Listening, Request};

/// Beside what an edge needs for it, which is next to nothing.
const PASSING_TIME_MAX: Duration = Duration::from_secs(2);
/// Descriptors that are held. What is above it works as well, but is refused while an edge that was
/// killed is started again.
const HELD_MAX: usize = 4096;

#[derive(Default)]
pub struct HeldSockets(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// Numbers are this edge's own.
    cookie: String,
    all: Vec<(Listening, Vec<OwnedFd>)>,
}

impl HeldSockets {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing keeps a port any more.
    pub fn let_go(&self) {
        *self.lock() = Held::default();
    }

    /// Holds what the edge of this place listens on now, and nothing else: what it gave up is free
    /// for others when this returns.
    pub async fn renew(&self, place: &Place) {
        let renewed = timeout(PASSING_TIME_MAX, self.fetch(place)).await;
        let renewed = renewed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = renewed {
            // It may have given up some of them, and nobody else could have those.
            self.let_go();
            tracing::warn!("cannot hold the load balancers' sockets: {error}");
        }
    }

    async fn fetch(&self, place: &Place) -> io::Result<()> {
        let edge = UnixStream::connect(socket_path(&place.dir)).await?;
        let Some((FromEdge::Hello(hello), _)) = next(&edge).await? else {
            return Err(strange());
        };
        let known = self.numbers_of(&hello.cookie);
        let ask = Ask::Sockets {
            known: known.clone(),
        };
        send(&edge, &Request { id: 0, ask }, &[]).await?;
        let Some((FromEdge::Answer { answer, .. }, _)) = next(&edge).await? else {
            return Err(strange());
        };
        let Answer::Sockets { all } = answer else {
            return Err(strange());
        };
        let mut count = 0;
        let mut new = Vec::new();
        for _ in all.iter().filter(|it| !known.contains(it)) {
            let Some((FromEdge::Listening(listening), sockets)) = next(&edge).await? else {
                return Err(strange());
            };
            count += sockets.len();
            if count <= HELD_MAX {
                new.push((listening, sockets));
            }
        }
        let mut held = self.lock();
        if held.cookie != hello.cookie {
            *held = Held::default();
        }
        held.cookie = hello.cookie;
        held.all.retain(|(it, _)| all.contains(&it.number));
        held.all.extend(new);
        let mut room = HELD_MAX;
        held.all.retain(|(_, sockets)| {
            let fits = room.checked_sub(sockets.len());
            room = fits.unwrap_or(room);
            fits.is_some()
        });
        Ok(())
    }

    fn numbers_of(&self, cookie: &str) -> Vec<u64> {
        let held = self.lock();
        let all = held.all.iter().filter(|_| held.cookie == cookie);
        all.map(|(listening, _)| listening.number).collect()
    }

    /// Gives a new edge all of them.
    pub async fn hand_over(&self, edge: UnixStream) {
        let handed = timeout(PASSING_TIME_MAX, self.send_all(&edge)).await;
        let handed = handed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = handed {
            // The edge has to bind these ports anew, which it could not while they are held.
            self.let_go();
            tracing::warn!("cannot give the load balancers' sockets to the next edge: {error}");
        }
    }

    async fn send_all(&self, edge: &UnixStream) -> io::Result<()> {
        let copies = self.copies()?;
        for (listening, sockets) in &copies {
            let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
            send(edge, listening, &sockets).await?;
        }
        Ok(())
    }

    fn copies(&self) -> io::Result<Vec<(Listening, Vec<OwnedFd>)>> {
        let held = self.lock();
        let copy = |(listening, sockets): &(Listening, Vec<OwnedFd>)| {
            let sockets = sockets.iter().map(OwnedFd::try_clone);
            Ok((listening.clone(), sockets.collect::<io::Result<_>>()?))
        };
        held.all.iter().map(copy).collect()
    }
}

/// The next message that answers something. What changes meanwhile is told to others.
async fn next(edge: &UnixStream) -> io::Result<Option<(FromEdge, Vec<OwnedFd>)>> {
    loop {
        match receive(edge).await? {
            Some((FromEdge::Changed { .. }, _)) => {}
            other => return Ok(other),
        }
    }
}

fn strange() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the edge answers another question",
    )
}
