//! The doors that containers find: a socket beside each one's interface, whose connections come here
//! together with the name of the interface that they came by.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::{EngineError, Inside, Network, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Connections that nobody has taken yet. Past that, containers wait.
const WAITING_MAX: usize = 64;

/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What comes to a door.
pub enum Visit {
    /// A connection of a container: the interface that its task has, and the door.
    Of(String, SocketAddrV4, TcpStream),
    /// One that could not be accepted: the daemon may be out of descriptors.
    Missed(io::Error),
}

pub struct Doors {
    network: Arc<dyn Network>,
    open: Mutex<HashMap<(String, SocketAddrV4), AbortHandle>>,
    visits: mpsc::Sender<Visit>,
}

impl Doors {
    /// The doors, and what comes in by them.
    pub fn new(network: Arc<dyn Network>) -> (Self, mpsc::Receiver<Visit>) {
        let (visits, visited) = mpsc::channel(WAITING_MAX);
        let doors = Self {
            network,
            open: Mutex::default(),
            visits,
        };
        (doors, visited)
    }

    fn is_open(&self, door: &(String, SocketAddrV4)) -> bool {
        let open = self.open.lock().expect("nothing panics while it is held");
        open.contains_key(door)
    }
}

#[async_trait]
impl Inside for Doors {
    async fn open_at(&self, interface: &str, at: SocketAddrV4) -> Result<()> {
        let door = (interface.to_owned(), at);
        if self.is_open(&door) {
            return Ok(());
        }
        let listener = self.network.listen_beside(interface, at).await?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener).map_err(EngineError::from)?;
        let (name, visits) = (interface.to_owned(), self.visits.clone());
        let accepting = tokio::spawn(async move {
            // Its end is the end of the socket: when it is aborted, or the daemon goes. A connection that
            // fails, or a daemon that is out of descriptors, is no end.
            loop {
                let accepted = listener.accept().await;
                let is_missed = accepted.is_err();
                let visit = match accepted {
                    Ok((stream, _)) => Visit::Of(name.clone(), at, stream),
                    Err(error) => Visit::Missed(error),
                };
                if visits.send(visit).await.is_err() {
                    return;
                }
                if is_missed {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        });
        let mut open = self.open.lock().expect("nothing panics while it is held");
        let before = open.insert(door, accepting.abort_handle());
        // Two opened it at once: one door is enough, and the second bind has failed already if not.
        if let Some(before) = before {
            before.abort();
        }
        Ok(())
    }

    fn close(&self, interface: &str) {
        let mut open = self.open.lock().expect("nothing panics while it is held");
        open.retain(|door, accepting| {
            let is_its = door.0 == interface;
            if is_its {
                accepting.abort();
            }
            !is_its
        });
    }
}
