//! Listening to one shim until its task has stopped or it is gone.

use std::sync::Arc;
use std::time::Duration;

use engine::{ContainerState, EngineError, HealthLog, Result, StopReason, TaskState, TaskStatus};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::life::Life;
use super::{Inner, clean_up_task, first_status};
use crate::order::{Order, TaskFiles};
use crate::shim::{Message, Refusal, Request, connect};
use crate::time::now_ms;

/// How long a shim may take to say who it is.
const HELLO_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at a shim that closed its connection but may still live.
const RECONNECT_WAIT: Duration = Duration::from_millis(5);
/// How long a shim that lives may go without answering before it is given up.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long a task may take to end besides what its containers may: more than a shim waits for what it
/// kills and for those who read its last output.
const END_WAIT: Duration = Duration::from_secs(15);
/// How long what an ended shim has written may take to be read: it is in the socket already.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(100);

/// A connection to a shim that has said who it is.
pub(crate) struct Connection {
    pub order: Order,
    pub files: TaskFiles,
    stream: BufReader<UnixStream>,
    life: Life,
    /// Set when the task was asked to end: when it is no longer waited for.
    ends_by: Option<Instant>,
}

impl Connection {
    /// The connection to a shim that was just started, once it has greeted. One that does not is
    /// killed.
    pub async fn to_started(
        files: TaskFiles,
        order: Order,
        stream: UnixStream,
        life: Life,
    ) -> Result<Self> {
        let mut connection = Self::over(files, order, stream, life);
        match connection.greet().await {
            Ok(()) => Ok(connection),
            Err(error) => {
                connection.life.kill().await;
                Err(error)
            }
        }
    }

    /// A new connection to a shim that lives.
    pub async fn to_living(files: TaskFiles, order: Order) -> Result<Self> {
        let gone = || EngineError::not_found("the task's shim is gone");
        let life = Life::find(&files)?.ok_or_else(gone)?;
        let stream = UnixStream::from_std(connect(&files)?)?;
        let mut connection = Self::over(files, order, stream, life);
        connection.greet().await?;
        Ok(connection)
    }

    fn over(files: TaskFiles, order: Order, stream: UnixStream, life: Life) -> Self {
        Self {
            stream: BufReader::new(stream),
            files,
            order,
            life,
            ends_by: None,
        }
    }

    /// Waits for the shim's greeting.
    async fn greet(&mut self) -> Result<()> {
        match timeout(HELLO_WAIT, self.next()).await {
            Ok(Some(Message::Hello { cookie })) if cookie == self.order.cookie => Ok(()),
            Ok(Some(_)) => Err(EngineError::conflict(
                "what answered is not the task's shim",
            )),
            Ok(None) => Err(EngineError::machine(self.last_words())),
            Err(_) => Err(EngineError::machine("the shim did not answer")),
        }
    }

    /// The next message; None when the shim has closed the connection or is gone.
    pub async fn next(&mut self) -> Option<Message> {
        let mut line = Vec::new();
        match self.read_line(&mut line).await {
            true => serde_json::from_slice(&line).ok(),
            false => None,
        }
    }

    /// Whether there is one more line, to which `line` was completed. When it is dropped, what was
    /// read so far stays in `line`. The end of the process ends the connection: what it has forked may
    /// hold the other end open for ever.
    async fn read_line(&mut self, line: &mut Vec<u8>) -> bool {
        let read = tokio::select! {
            biased;
            read = self.stream.read_until(b'\n', line) => Some(read),
            () = self.life.ended() => None,
        };
        let read = match read {
            Some(read) => read,
            None => match timeout(LAST_WORDS_WAIT, self.stream.read_until(b'\n', line)).await {
                Ok(read) => read,
                Err(_) => return false,
            },
        };
        read.is_ok() && !line.is_empty()
    }

    /// Asks for something and waits until it is done.
    pub async fn ask(&mut self, request: &Request) -> Result<()> {
        self.exchange(request).await.map(drop)
    }

    /// Asks for something, and returns what was told before it was done.
    pub async fn exchange(&mut self, request: &Request) -> Result<Option<HealthLog>> {
        self.send(request).await;
        let mut told = None;
        let answer = async {
            loop {
                match self.next().await {
                    Some(Message::Done { refused }) => break Some(refused),
                    Some(Message::Health(log)) => told = Some(log),
                    Some(_) => {}
                    None => break None,
                }
            }
        };
        match timeout(HELLO_WAIT, answer).await {
            Ok(Some(None)) => Ok(told),
            Ok(Some(Some(Refusal { not_found, message }))) => Err(match not_found {
                true => EngineError::not_found(message),
                false => EngineError::invalid(message),
            }),
            Ok(None) => Err(EngineError::not_found("the task has just ended")),
            Err(_) => Err(EngineError::machine("the shim did not answer")),
        }
    }

    /// The connection itself, once it has become something else.
    pub fn into_stream(self) -> BufReader<UnixStream> {
        self.stream
    }

    async fn send(&mut self, request: &Request) {
        if let Request::Stop { .. } = request {
            let containers = self.order.spec.containers.iter();
            let timeouts = containers.map(|one| Duration::from_millis(one.stop_timeout_ms));
            // One after the other, at the longest.
            let all = timeouts.fold(END_WAIT, Duration::saturating_add);
            self.ends_by = self.ends_by.or_else(|| Instant::now().checked_add(all));
        }
        let mut line = serde_json::to_vec(request).expect("plain data serialises as JSON");
        line.push(b'\n');
        // If the shim is gone, reading says so.
        let _ = self.stream.write_all(&line).await;
    }

    /// What the shim said before it ended.
    pub fn last_words(&self) -> String {
        let said = std::fs::read_to_string(self.files.shim_log()).unwrap_or_default();
        format!("the shim ended: {}", said.trim())
    }

    /// Waits for the end of a shim that has nothing left to say; one that does not end is killed.
    pub async fn reap(&mut self) {
        if timeout(SILENCE_MAX, self.life.ended()).await.is_err() {
            self.life.kill().await;
        }
    }
}

/// Follows a task to its end.
pub(super) async fn follow(
    inner: Arc<Inner>,
    id: String,
    mut connection: Connection,
    mut requests: mpsc::Receiver<Request>,
) {
    loop {
        if let Some(stopped) = listen(&inner, &mut connection, &mut requests).await {
            connection.reap().await;
            inner.learn(stopped);
            return;
        }
        match reconnect(&mut connection).await {
            Some(stream) => connection.stream = stream,
            None => break,
        }
    }
    connection.life.kill().await;
    let (files, order) = (connection.files.clone(), connection.order.clone());
    let known = inner.entries().get(&id).map(|entry| entry.status.clone());
    let status = record_loss(files, order, known).await;
    inner.learn(status);
}

/// Listens until the connection is closed. The last status if it says that the task has stopped: it
/// is not passed on before the shim itself is gone too.
async fn listen(
    inner: &Inner,
    connection: &mut Connection,
    requests: &mut mpsc::Receiver<Request>,
) -> Option<TaskStatus> {
    let mut stopped = None;
    // What was read of a line stays in `line` when sending a request interrupts it.
    let (mut line, mut open) = (Vec::new(), true);
    loop {
        let ends_by = connection.ends_by;
        tokio::select! {
            more = connection.read_line(&mut line) => {
                if !more {
                    return stopped;
                }
                if let Ok(Message::Status(status)) = serde_json::from_slice(&line) {
                    if status.state == TaskState::Stopped {
                        stopped = Some(status);
                    } else {
                        inner.learn(status);
                    }
                }
                line.clear();
            }
            request = requests.recv(), if open => match request {
                Some(request) => connection.send(&request).await,
                None => open = false,
            },
            () = sleep_until(ends_by.unwrap_or_else(Instant::now)), if ends_by.is_some() => {
                tracing::warn!(
                    task = connection.order.spec.id,
                    "its supervisor does not end it, and is killed"
                );
                connection.life.kill().await;
                return stopped;
            }
        }
    }
}

/// A shim that lives takes a new connection; None when it is gone, or gives no answer.
async fn reconnect(connection: &mut Connection) -> Option<BufReader<UnixStream>> {
    let (files, order) = (connection.files.clone(), connection.order.clone());
    let try_again = async {
        loop {
            if let Ok(fresh) = Connection::to_living(files.clone(), order.clone()).await {
                return fresh.stream;
            }
            tokio::time::sleep(RECONNECT_WAIT).await;
        }
    };
    tokio::select! {
        fresh = timeout(SILENCE_MAX, try_again) => fresh.ok(),
        () = connection.life.ended() => None,
    }
}

/// Cleans up after a shim that is gone and says how its task ended.
pub(super) async fn record_loss(
    files: TaskFiles,
    order: Order,
    known: Option<TaskStatus>,
) -> TaskStatus {
    let written = files.read_status();
    let mut status = written
        .or(known)
        .unwrap_or_else(|| first_status(&order.spec));
    if status.state == TaskState::Stopped {
        return status;
    }
    if let Err(error) = clean_up_task(files.clone(), order).await {
        tracing::error!(task = status.id, "could not clean up: {}", error.chain());
    }
    let all_ended = status
        .containers
        .iter()
        .all(|one| one.state == ContainerState::Stopped);
    if !all_ended || status.reason.is_none() {
        status.reason = Some(StopReason::SupervisorLost);
    }
    let now = now_ms();
    for container in &mut status.containers {
        if container.state != ContainerState::Stopped {
            container.state = ContainerState::Stopped;
            container.stopped_at_ms = Some(now);
            container.pid = None;
        }
    }
    status.state = TaskState::Stopped;
    status.stopped_at_ms = Some(now);
    if let Err(failure) = files.write_status(&status) {
        tracing::error!(task = status.id, "{failure}");
    }
    status
}
