//! One data channel: the token, the handshake of agent and plugin, and then a command's input and output.
//!
//! ```text
//!   client                                 here
//!   text: OpenDataChannel, token  ──►
//!                                 ◄──  handshake request
//!   handshake response            ──►
//!                                 ◄──  handshake complete       the command runs
//!   input, size, terminate        ──►
//!                                 ◄──  output
//!   each message of the other's is acknowledged
//!                                 ◄──  channel closed           the command has ended
//! ```
//!
//! On AWS a service stands between both, which loses messages; here one connection does not, so nothing is
//! sent twice, and a message that comes before its turn is not acknowledged: the plugin sends it again.
//! A client that is gone ends its command, as AWS's agent ends what it runs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloud::Cloud;
use ecs::ExecSession;
use engine::{ExecSpec, OutputStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::frame::{self, Message, payload};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A client has what it needs when it connects: it says so at once.
const OPENING_TIMEOUT: Duration = Duration::from_secs(30);
/// AWS ends an idle session then ("Using ECS Exec": "The idle session timeout is 20 minutes").
const IDLE_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// A client that does not read for so long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last messages may take to be read.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);
/// What a message carries of the output: as AWS's agent sends it.
const OUTPUT_BYTES: usize = 1024;
/// Messages that are not acknowledged; past that the command is held up.
const UNACKNOWLEDGED_MAX: usize = 500;
/// Input that the command has not taken; what comes besides is not acknowledged, and comes again.
const INPUT_MAX: usize = 64;
/// Of what a session prints so much is kept in its log.
const KEPT_BYTES_MAX: usize = 1024 * 1024;
/// No terminal is larger.
const SIZE_MAX: u16 = 2000;
/// Before this version of the agent the plugin did not ask for ports to be multiplexed, and after it
/// nothing that a shell needs was added.
const AGENT_VERSION: &str = "3.0.196.0";

/// How a session ends. The text is shown by the plugin.
enum End {
    /// Its command has ended, or was ended: the client is told.
    Told(String),
    /// Its client has gone.
    Left,
}

pub async fn serve(cloud: &Arc<Cloud>, id: &str, socket: Socket) {
    let mut channel = Channel::new(socket);
    let Some(session) = opened(cloud, id, &mut channel).await else {
        let _ = timeout(CLOSING_TIMEOUT, channel.socket.close(None)).await;
        return;
    };
    let mut kept = Vec::new();
    let end = run(cloud, &session, &mut channel, &mut kept).await;
    if let End::Told(text) = end {
        let closing = channel.close(&session.id, &text);
        let _ = timeout(CLOSING_TIMEOUT, closing).await;
    }
    if let Err(error) = ecs::keep_output(cloud, &session, &kept).await {
        tracing::warn!(session = %session.id, %error, "the output of a session was not kept");
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OpenDataChannel {
    token_value: String,
}

/// The session whose token the client brings. None: it brings none.
async fn opened(cloud: &Arc<Cloud>, id: &str, channel: &mut Channel) -> Option<ExecSession> {
    let text = match timeout(OPENING_TIMEOUT, channel.socket.next()).await {
        Ok(Some(Ok(Frame::Text(text)))) => text,
        _ => return None,
    };
    let asked: OpenDataChannel = serde_json::from_str(&text).ok()?;
    match ecs::open_session(cloud, id, &asked.token_value) {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%error, "a session could not be opened");
            None
        }
    }
}

async fn run(
    cloud: &Arc<Cloud>,
    session: &ExecSession,
    channel: &mut Channel,
    kept: &mut Vec<u8>,
) -> End {
    let began = Instant::now();
    match timeout(OPENING_TIMEOUT, channel.shake_hands()).await {
        Ok(Ok(())) => {}
        Ok(Err(end)) => return end,
        Err(_) => return End::Told("The handshake was not answered in time.".into()),
    }
    let command = &session.command;
    let spec = ExecSpec {
        id: session.id.clone(),
        argv: command.argv.clone(),
        // As the agent sets them.
        env: vec!["TERM=xterm-256color".into(), "LANG=C.UTF-8".into()],
        // The agent is root, whoever the container's user is.
        user: "0".into(),
        terminal: true,
        stdin: true,
        ends_when_left: true,
        terminal_size: channel.size,
        ..ExecSpec::default()
    };
    let tasks = &cloud.engine.tasks;
    let ran = tasks.exec_attached(&command.task, &command.container, spec);
    let (input, output) = match ran.await {
        Ok(it) => (it.attached.input, it.attached.output),
        Err(error) => return End::Told(format!("Unable to start command: {}", error.chain())),
    };
    let complete = json!({
        "HandshakeTimeToComplete": u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX),
        "CustomerMessage": "",
    });
    let complete = Bytes::from(complete.to_string());
    if let Err(end) = channel.send(payload::HANDSHAKE_COMPLETE, complete).await {
        return end;
    }
    match channel.carry(cloud, session, input, output, kept).await {
        Ok(()) => End::Told(String::new()),
        Err(end) => end,
    }
}

struct Channel {
    socket: Socket,
    /// The number of the next message to the client, and of the next one from it.
    next: i64,
    expected: i64,
    /// Numbers of what the client has not acknowledged.
    unacknowledged: VecDeque<i64>,
    is_paused: bool,
    size: Option<(u16, u16)>,
    /// When anything of the session itself came or went.
    used_at: Instant,
}

/// What a client's message says, once it is acknowledged.
enum Said {
    Nothing,
    Input(Bytes),
    Size(u16, u16),
    HandshakeResponse(Bytes),
    Terminate,
}

impl Channel {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            next: 0,
            expected: 0,
            unacknowledged: VecDeque::new(),
            is_paused: false,
            size: None,
            used_at: Instant::now(),
        }
    }

    async fn put(&mut self, message: &Message) -> Result<(), End> {
        let now = super::super::aws::now();
        let bytes = frame::write(message, (now * 1000.0) as i64);
        let sending = self.socket.send(Frame::Binary(bytes));
        match timeout(SEND_TIMEOUT, sending).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Left),
        }
    }

    /// Sends a message of the stream.
    async fn send(&mut self, payload_type: u32, payload: Bytes) -> Result<(), End> {
        let message = Message {
            kind: frame::OUTPUT.into(),
            sequence: self.next,
            flags: if self.next == 0 { frame::FLAG_FIRST } else { 0 },
            id: new_id(),
            payload_type,
            payload,
        };
        self.unacknowledged.push_back(self.next);
        self.next += 1;
        self.put(&message).await
    }

    async fn acknowledge(&mut self, message: &Message) -> Result<(), End> {
        let text = json!({
            "AcknowledgedMessageType": message.kind,
            "AcknowledgedMessageId": cloud::dashed(&message.id),
            "AcknowledgedMessageSequenceNumber": message.sequence,
            "IsSequentialMessage": true,
        });
        let answer = Message {
            kind: frame::ACKNOWLEDGE.into(),
            sequence: 0,
            flags: frame::FLAG_WHOLE,
            id: new_id(),
            payload_type: 0,
            payload: text.to_string().into(),
        };
        self.put(&answer).await
    }

    /// What a frame says. One that is no message of a plugin's ends the session.
    async fn hear(
        &mut self,
        got: Option<Result<Frame, impl std::error::Error>>,
        can_take: bool,
    ) -> Result<Said, End> {
        let bytes = match got {
            Some(Ok(Frame::Binary(bytes))) => bytes,
            Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => return Ok(Said::Nothing),
            _ => return Err(End::Left),
        };
        let message = frame::parse(&bytes).map_err(|error| {
            tracing::debug!(%error, "a session's client is not understood");
            End::Left
        })?;
        match message.kind.as_str() {
            frame::ACKNOWLEDGE => self.acknowledged(&message.payload)?,
            frame::PAUSE => self.is_paused = true,
            frame::START => self.is_paused = false,
            frame::INPUT if message.sequence < self.expected => {
                // It has not seen that this was acknowledged.
                self.acknowledge(&message).await?;
            }
            frame::INPUT if message.sequence == self.expected && can_take => {
                self.expected += 1;
                self.acknowledge(&message).await?;
                return said(&message);
            }
            _ => {}
        }
        Ok(Said::Nothing)
    }

    fn acknowledged(&mut self, payload: &[u8]) -> Result<(), End> {
        #[derive(Deserialize)]
        struct Acknowledged {
            #[serde(rename = "AcknowledgedMessageSequenceNumber")]
            sequence: i64,
        }
        let it: Acknowledged = serde_json::from_slice(payload).map_err(|_| End::Left)?;
        self.unacknowledged.retain(|number| *number != it.sequence);
        Ok(())
    }

    /// Asks the client whether it speaks what is spoken here.
    async fn shake_hands(&mut self) -> Result<(), End> {
        let request = json!({
            "AgentVersion": AGENT_VERSION,
            "RequestedClientActions": [{
                "ActionType": "SessionType",
                "ActionParameters": { "SessionType": "InteractiveCommands", "Properties": null },
            }],
        });
        let request = Bytes::from(request.to_string());
        self.send(payload::HANDSHAKE_REQUEST, request).await?;
        loop {
            let got = self.socket.next().await;
            match self.hear(got, true).await? {
                Said::HandshakeResponse(answer) => return check_response(&answer),
                Said::Size(rows, columns) => self.size = Some((rows, columns)),
                Said::Terminate => return Err(End::Told(String::new())),
                Said::Nothing | Said::Input(_) => {}
            }
        }
    }

    /// Carries input and output until the command has ended.
    async fn carry(
        &mut self,
        cloud: &Arc<Cloud>,
        session: &ExecSession,
        input: Option<mpsc::Sender<Bytes>>,
        mut output: mpsc::Receiver<(OutputStream, Bytes)>,
        kept: &mut Vec<u8>,
    ) -> Result<(), End> {
        let input = input.ok_or_else(|| End::Told("The command has no input.".into()))?;
        let mut typed = VecDeque::<Bytes>::new();
        loop {
            let may_send = !self.is_paused && self.unacknowledged.len() < UNACKNOWLEDGED_MAX;
            let idle_at = self.used_at + IDLE_TIMEOUT;
            tokio::select! {
                got = self.socket.next() => {
                    match self.hear(got, typed.len() < INPUT_MAX).await? {
                        Said::Input(bytes) => {
                            self.used_at = Instant::now();
                            typed.push_back(bytes);
                        }
                        Said::Size(rows, columns) => resize(cloud, session, rows, columns).await,
                        Said::Terminate => return Ok(()),
                        Said::Nothing | Said::HandshakeResponse(_) => {}
                    }
                }
                taken = input.reserve(), if !typed.is_empty() => match (taken, typed.pop_front()) {
                    (Ok(place), Some(bytes)) => place.send(bytes),
                    // It takes none any more; its output ends soon.
                    _ => typed.clear(),
                },
                got = output.recv(), if may_send => {
                    let Some((_, bytes)) = got else { return Ok(()) };
                    self.used_at = Instant::now();
                    let room = KEPT_BYTES_MAX.saturating_sub(kept.len());
                    if session.command.log.is_some() {
                        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    }
                    for from in (0..bytes.len()).step_by(OUTPUT_BYTES) {
                        let piece = bytes.slice(from..bytes.len().min(from + OUTPUT_BYTES));
                        self.send(payload::OUTPUT, piece).await?;
                    }
                }
                () = tokio::time::sleep_until(idle_at) => {
                    return Err(End::Told("Your session timed out due to inactivity.".into()));
                }
            }
        }
    }

    /// Tells the client that the session is over, and why, and waits until it has read that.
    async fn close(&mut self, session: &str, text: &str) {
        let closed = json!({
            "MessageType": frame::CLOSED,
            "MessageId": cloud::uuid(&cloud::random_hex(32)),
            "DestinationId": "",
            "SessionId": session,
            "SchemaVersion": 1,
            "CreatedDate": wire::Timestamp(super::super::aws::now()).to_string(),
            "Output": text,
        });
        let message = Message {
            kind: frame::CLOSED.into(),
            sequence: 0,
            flags: frame::FLAG_WHOLE,
            id: new_id(),
            payload_type: 0,
            payload: closed.to_string().into(),
        };
        if self.put(&message).await.is_ok() {
            let _ = self.socket.close(None).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        }
    }
}

fn new_id() -> String {
    cloud::uuid(&cloud::random_hex(32)).replace('-', "")
}

fn said(message: &Message) -> Result<Said, End> {
    #[derive(Deserialize)]
    struct Size {
        rows: u16,
        cols: u16,
    }
    Ok(match message.payload_type {
        payload::OUTPUT => Said::Input(message.payload.clone()),
        payload::HANDSHAKE_RESPONSE => Said::HandshakeResponse(message.payload.clone()),
        payload::SIZE => {
            let size: Size = serde_json::from_slice(&message.payload).map_err(|_| End::Left)?;
            Said::Size(size.rows.min(SIZE_MAX), size.cols.min(SIZE_MAX))
        }
        payload::FLAG if message.payload[..] == frame::TERMINATE_SESSION.to_be_bytes() => {
            Said::Terminate
        }
        _ => Said::Nothing,
    })
}

/// A client that cannot do what it is asked for says so.
fn check_response(answer: &[u8]) -> Result<(), End> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Response {
        #[serde(default)]
        processed_client_actions: Option<Vec<Action>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Action {
        action_status: i64,
    }
    const SUCCESS: i64 = 1;
    let answer: Response = serde_json::from_slice(answer).map_err(|_| End::Left)?;
    let actions = answer.processed_client_actions.unwrap_or_default();
    match actions.iter().all(|it| it.action_status == SUCCESS) {
        true => Ok(()),
        false => Err(End::Told(
            "The client does not take interactive commands.".into(),
        )),
    }
}

async fn resize(cloud: &Arc<Cloud>, session: &ExecSession, rows: u16, columns: u16) {
    let command = &session.command;
    let resized = cloud.engine.tasks.resize(
        &command.task,
        &command.container,
        Some(&session.id),
        rows,
        columns,
    );
    if let Err(error) = resized.await {
        tracing::debug!(%error, "a session's terminal has no such size");
    }
}
