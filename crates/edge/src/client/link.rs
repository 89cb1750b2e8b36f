//! One connection to the edge: questions go out with a number, answers come back with it.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::AbortHandle;

use crate::protocol::{Answer, Ask, FromEdge, Hello, Request, read_message, write_message};

pub struct Link {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Arc<Waiting>,
    next: AtomicU64,
    broken: watch::Receiver<bool>,
    reading: AbortHandle,
}

/// Who waits for which answer. `None` once there will be no more answers.
type Waiting = Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>;

impl Drop for Link {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Link {
    pub async fn greet(
        stream: UnixStream,
        changes: broadcast::Sender<String>,
    ) -> io::Result<(Arc<Self>, Hello)> {
        let (mut reader, writer) = stream.into_split();
        let Some(FromEdge::Hello(hello)) = read_message(&mut reader).await? else {
            let reason = "the edge does not greet";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        };
        let waiting: Arc<Waiting> = Arc::new(Mutex::new(Some(HashMap::new())));
        let (break_it, broken) = watch::channel(false);
        let reading = tokio::spawn({
            let waiting = Arc::clone(&waiting);
            async move {
                read_all(reader, &waiting, &changes).await;
                // Whoever waits is told by the dropping of the senders.
                lock(&waiting).take();
                let _ = break_it.send(true);
            }
        });
        let link = Arc::new(Self {
            writer: tokio::sync::Mutex::new(writer),
            waiting,
            next: AtomicU64::new(1),
            broken,
            reading: reading.abort_handle(),
        });
        Ok((link, hello))
    }

    /// `None` when the connection ended before the answer.
    pub async fn ask(&self, ask: Ask) -> Option<Answer> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).as_mut()?.insert(id, sender);
        let mut writer = self.writer.lock().await;
        let written = write_message(&mut *writer, &Request { id, ask }).await;
        drop(writer);
        if written.is_err() {
            self.reading.abort();
            return None;
        }
        receiver.await.ok()
    }

    pub fn is_broken(&self) -> bool {
        *self.broken.borrow() || self.broken.has_changed().is_err()
    }

    /// Returns when the connection has ended.
    pub async fn broken(&self) {
        let _ = self.broken.clone().wait_for(|broken| *broken).await;
    }
}

async fn read_all(
    mut reader: OwnedReadHalf,
    waiting: &Waiting,
    changes: &broadcast::Sender<String>,
) {
    while let Ok(Some(message)) = read_message(&mut reader).await {
        match message {
            FromEdge::Answer { id, answer } => {
                let asker = lock(waiting).as_mut().and_then(|all| all.remove(&id));
                if let Some(asker) = asker {
                    let _ = asker.send(answer);
                }
            }
            FromEdge::Changed { group } => {
                let _ = changes.send(group);
            }
            FromEdge::Hello(_) => return,
        }
    }
}

fn lock(
    waiting: &Waiting,
) -> std::sync::MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
