//! The doors that containers find: a socket beside each one's interface, whose connections come here
//! together with the name of the interface that they came by.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::{EngineError, INSIDE, Inside, Network, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Connections that nobody has taken yet. Past that, containers wait.
const WAITING_MAX: usize = 64;

/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What comes to a door.
pub enum Visit {
    /// A connection of a container, and the interface that its task has.
    Of(String, TcpStream),
    /// One that could not be accepted: the daemon may be out of descriptors.
    Missed(io::Error),
}

pub struct Doors {
    network: Arc<dyn Network>,
    open: Mutex<HashMap<String, AbortHandle>>,
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

    fn is_open(&self, interface: &str) -> bool {
        let open = self.open.lock().expect("nothing panics while it is held");
        open.contains_key(interface)
    }
}

#[async_trait]
impl Inside for Doors {
    async fn open(&self, interface: &str) -> Result<()> {
        if self.is_open(interface) {
            return Ok(());
        }
        let listener = self.network.listen_beside(interface, INSIDE).await?;
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
                    Ok((stream, _)) => Visit::Of(name.clone(), stream),
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
        let before = open.insert(interface.to_owned(), accepting.abort_handle());
        // Two opened it at once: one door is enough, and the second bind has failed already if not.
        if let Some(before) = before {
            before.abort();
        }
        Ok(())
    }

    fn close(&self, interface: &str) {
        let mut open = self.open.lock().expect("nothing panics while it is held");
        if let Some(accepting) = open.remove(interface) {
            accepting.abort();
        }
    }
}
