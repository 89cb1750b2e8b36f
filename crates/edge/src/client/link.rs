//! One connection to the edge: questions go out with a number, answers come back with it.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::identity::Process;
use crate::protocol::{Answer, Ask, FromEdge, Hello, Request, read_message, write_message};

pub struct Link {
    pub process: Process,
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    shared: Arc<Shared>,
    next: AtomicU64,
    broken: watch::Receiver<bool>,
    reading: AbortHandle,
}

/// What the asking and the reading half have in common.
#[derive(Default)]
struct Shared {
    /// Who waits for which answer. `None` once there will be no more answers.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
    /// Messages that came, whatever they were.
    messages: AtomicU64,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Link {
    /// Greets the edge behind the stream, which is this process.
    pub async fn greet(
        stream: UnixStream,
        process: Process,
        changes: broadcast::Sender<String>,
    ) -> io::Result<(Arc<Self>, Hello)> {
        let (mut reader, writer) = stream.into_split();
        let Some(FromEdge::Hello(hello)) = read_message(&mut reader).await? else {
            let reason = "the edge does not greet";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        };
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Some(HashMap::new())),
            messages: AtomicU64::new(0),
        });
        let (break_it, broken) = watch::channel(false);
        let end = End {
            shared: Arc::clone(&shared),
            break_it,
        };
        let reading = tokio::spawn(read_all(reader, end, changes));
        let link = Arc::new(Self {
            process,
            writer: tokio::sync::Mutex::new(writer),
            shared,
            next: AtomicU64::new(1),
            broken,
            reading: reading.abort_handle(),
        });
        Ok((link, hello))
    }

    /// `None` when the connection ended before the answer, or the time was over.
    pub async fn ask(&self, ask: Ask, until: Instant) -> Option<Answer> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.shared.waiting().as_mut()?.insert(id, sender);
        let _forget = Forget { link: self, id };
        timeout_at(until, async {
            self.send(&Request { id, ask }).await?;
            receiver.await.ok()
        })
        .await
        .ok()?
    }

    async fn send(&self, request: &Request) -> Option<()> {
        let mut writer = self.writer.lock().await;
        // Half a message would be taken for the beginning of the next one.
        let mut half = HalfSent {
            link: self,
            whole: false,
        };
        half.whole = write_message(&mut *writer, request).await.is_ok();
        half.whole.then_some(())
    }

    /// How many messages the edge has sent.
    pub fn messages(&self) -> u64 {
        self.shared.messages.load(Ordering::Relaxed)
    }

    pub fn is_broken(&self) -> bool {
        *self.broken.borrow() || self.broken.has_changed().is_err()
    }

    /// Returns when the connection has ended.
    pub async fn broken(&self) {
        let _ = self.broken.clone().wait_for(|broken| *broken).await;
    }
}

/// Whoever does not wait any more is not remembered.
struct Forget<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.link.shared.waiting().as_mut() {
            waiting.remove(&self.id);
        }
    }
}

/// Ends the connection unless the message was sent whole, also when the sending is given up.
struct HalfSent<'a> {
    link: &'a Link,
    whole: bool,
}

impl Drop for HalfSent<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.link.reading.abort();
        }
    }
}

/// The end of the reading, however it comes: whoever waits is told by the dropping of the senders.
struct End {
    shared: Arc<Shared>,
    break_it: watch::Sender<bool>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.waiting().take();
        let _ = self.break_it.send(true);
    }
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_all(mut reader: OwnedReadHalf, end: End, changes: broadcast::Sender<String>) {
    while let Ok(Some(message)) = read_message(&mut reader).await {
        end.shared.messages.fetch_add(1, Ordering::Relaxed);
        match message {
            FromEdge::Answer { id, answer } => {
                let asker = end
                    .shared
                    .waiting()
                    .as_mut()
                    .and_then(|all| all.remove(&id));
                if let Some(asker) = asker {
                    let _ = asker.send(answer);
                }
            }
            FromEdge::Changed { group } => {
                let _ = changes.send(group);
            }
            FromEdge::Hello(_) | FromEdge::Listening(_) => return,
        }
    }
}
