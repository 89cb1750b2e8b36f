//! Sessions of ECS Exec. A session waits for its client, who comes with its token, once and soon; from
//! then on it is that client's connection and no record any more.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloud::{Cloud, Cx, Error};
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};
use shapes::ecs::Session;
use shapes::ecs::errors::ClientException;
use shapes::logs::{self, CreateLogStreamInput, InputLogEvent, PutLogEventsInput};

use crate::run_task::find_task;
use crate::task_record::Phase;

/// A client connects at once: a token is good for that, and no longer.
const TOKEN_VALID_MS: i64 = 60 * 1000;
/// Sessions whose clients have not come: more than a person opens at once.
const WAITING_MAX: usize = 100;
const TOKEN_BYTES: usize = 48;
/// An event is cut before CloudWatch Logs would refuse it, and a batch ended (the API reference of
/// `PutLogEvents`: 1 MiB and 10,000 events, with 26 bytes for each).
const EVENT_BYTES_MAX: usize = 200 * 1024;
const BATCH_BYTES_MAX: usize = 900 * 1024;
const BATCH_EVENTS_MAX: usize = 10_000;
const EVENT_OVERHEAD_BYTES: usize = 26;

/// What a session runs, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    pub region: String,
    /// The engine's id of the task, too.
    pub task: String,
    pub container: String,
    pub argv: Vec<String>,
    pub log: Option<LogPlace>,
}

/// The log group that a session's output is kept in, by the task's role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogPlace {
    pub group: String,
    pub region: String,
    pub role: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct WaitingSession {
    id: String,
    /// Of its token, which nobody else is to learn.
    digest: String,
    until_ms: i64,
    command: Command,
}

impl cloud::Record for WaitingSession {
    const KIND: &'static str = "ecs.waiting-session";
    fn key(&self) -> String {
        self.id.clone()
    }
}

/// A session whose client has come.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecSession {
    pub id: String,
    pub command: Command,
}

fn digest(token: &str) -> String {
    cloud::token_hex(token, "exec", 64)
}

fn new_token() -> Result<String, Error> {
    let mut bytes = [0; TOKEN_BYTES];
    let filled = ring::rand::SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| {
        wire::codes::InternalFailure.because("the kernel gives no random bytes for a token")
    })?;
    Ok(STANDARD.encode(bytes))
}

/// Records a session, and answers what its client is to come with.
pub fn begin(cx: &Cx, command: Command) -> Result<Session, Error> {
    let (token, now_ms) = (new_token()?, cx.clock().now_ms());
    let waiting = WaitingSession {
        id: format!("ecs-execute-command-{}", cloud::random_hex(17)),
        digest: digest(&token),
        until_ms: now_ms + TOKEN_VALID_MS,
        command,
    };
    cx.write(|tx| {
        let (late, others): (Vec<_>, Vec<_>) = (tx.list::<WaitingSession>("")?)
            .into_iter()
            .partition(|it| it.until_ms < now_ms);
        for session in late {
            tx.delete::<WaitingSession>(&session.id)?;
        }
        if others.len() >= WAITING_MAX {
            return Err(ClientException.because(format!(
                "{WAITING_MAX} sessions wait for their clients already: try again in a minute."
            )));
        }
        tx.put(&waiting)
    })?;
    let api = &cx.engine().access.api;
    let place = api.split_once("://").map_or(api.as_str(), |(_, it)| it);
    let path = format!("/v1/data-channel/{}?role=publish_subscribe", waiting.id);
    Ok(Session {
        stream_url: Some(format!("ws://{place}{path}")),
        session_id: Some(waiting.id),
        token_value: Some(token),
    })
}

/// The session that a client comes for with its token: once. None: there is none, or the token is not its.
pub fn open(cloud: &Arc<Cloud>, id: &str, token: &str) -> Result<Option<ExecSession>, Error> {
    let cx = cloud.daemon_context(&cloud.default_region);
    let now_ms = cx.clock().now_ms();
    cx.write(|tx| {
        let found = tx.get::<WaitingSession>(id)?;
        let Some(it) = found.filter(|it| it.digest == digest(token)) else {
            return Ok(None);
        };
        tx.delete::<WaitingSession>(id)?;
        let task = find_task(tx, &it.command.task)?;
        let runs = task.is_some_and(|it| it.phase == Phase::Running);
        let session = ExecSession {
            id: it.id,
            command: it.command,
        };
        Ok(Some(session).filter(|_| runs && it.until_ms >= now_ms))
    })
}

/// Keeps what a session has printed, where its cluster says so: a stream of the session's name.
pub async fn keep_output(
    cloud: &Arc<Cloud>,
    session: &ExecSession,
    output: &[u8],
) -> Result<(), Error> {
    let Some(place) = &session.command.log else {
        return Ok(());
    };
    let cx = cloud.daemon_context(&place.region);
    let stream = CreateLogStreamInput {
        log_group_name: place.group.clone(),
        log_stream_name: session.id.clone(),
    };
    match cx.call_as(&place.role, &session.id, stream).await {
        Err(error) if !error.is(logs::errors::ResourceAlreadyExistsException) => return Err(error),
        _ => {}
    }
    for log_events in batches(output, cx.clock().now_ms()) {
        let batch = PutLogEventsInput {
            log_group_name: place.group.clone(),
            log_stream_name: session.id.clone(),
            log_events,
            ..Default::default()
        };
        cx.call_as(&place.role, &session.id, batch).await?;
    }
    Ok(())
}

/// The lines of an output, as events in batches that are taken.
fn batches(output: &[u8], timestamp: i64) -> Vec<Vec<InputLogEvent>> {
    let lines = output.split(|it| *it == b'\n');
    let pieces = lines.flat_map(|it| it.trim_ascii_end().chunks(EVENT_BYTES_MAX));
    let (mut all, mut bytes) = (Vec::<Vec<InputLogEvent>>::new(), usize::MAX);
    for piece in pieces {
        let message = String::from_utf8_lossy(piece).into_owned();
        let size = message.len() + EVENT_OVERHEAD_BYTES;
        bytes = bytes.saturating_add(size);
        let is_full = all.last().is_none_or(|it| it.len() >= BATCH_EVENTS_MAX);
        if is_full || bytes > BATCH_BYTES_MAX {
            all.push(Vec::new());
            bytes = size;
        }
        if let Some(batch) = all.last_mut() {
            batch.push(InputLogEvent { timestamp, message });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_becomes_events_that_are_taken() {
        let lines = batches(b"one\r\n\r\ntwo", 7);
        let texts: Vec<_> = lines[0].iter().map(|it| it.message.as_str()).collect();
        assert_eq!((lines.len(), texts), (1, vec!["one", "two"]));
        let long = batches(&vec![b'x'; 1024 * 1024], 7);
        let whole: usize = long.iter().flatten().map(|it| it.message.len()).sum();
        assert_eq!((long.len(), whole), (2, 1024 * 1024));
        assert!(batches(b"", 7).is_empty());
    }
}
