//! The daemons that listen to a shim, normally one: JSON a line, both ways.

use std::fs::Permissions;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use engine::{AttachInput, HealthLog, TaskStatus};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, getsockopt, socket, sockopt};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use super::process::keep_private;
use crate::error::{Context, Result};
use crate::order::TaskFiles;

/// A request longer than this is none of ours.
const REQUEST_BYTES_MAX: usize = 512 * 1024;
/// After a connection that could not be taken. It waits still, and would wake this process at once, for as
/// long as there are no descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Each daemon has one that stays, and one for each question of the moment.
const CLIENTS_MAX: usize = 32;

/// From the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The first: who speaks.
    Hello {
        cookie: String,
    },
    Status(TaskStatus),
    /// Before the answer to [`Request::HealthLog`].
    Health(HealthLog),
    /// The answer to any request but `Stop`.
    Done {
        refused: Option<Refusal>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// Otherwise it makes no sense.
    pub not_found: bool,
    pub message: String,
}

/// To the shim. A `Stop` has no answer but the status; all others have one `Done`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Stop {
        reason: String,
    },
    /// After `Done` the connection carries the container's output, in frames (see
    /// [`super::attach`]), and, the other way, its input as it is.
    Attach {
        container: String,
        input: AttachInput,
    },
    Resize {
        container: String,
        rows: u16,
        columns: u16,
    },
    Signal {
        container: String,
        signal: String,
    },
    SetHosts {
        hosts: Vec<(String, String)>,
    },
    HealthLog {
        container: String,
    },
    Freeze {
        container: String,
        frozen: bool,
    },
}

/// Which client asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientId(u64);

pub(super) struct Clients {
    listener: UnixListener,
    cookie: String,
    clients: Vec<Client>,
    next_id: u64,
    /// Set after a connection that could not be taken: when to look for it again.
    accepts_at: Option<Instant>,
}

struct Client {
    id: ClientId,
    stream: UnixStream,
    received: Vec<u8>,
    gone: bool,
}

impl Clients {
    /// Listens in the task's directory, and to the daemon that started this process.
    pub fn new(files: &TaskFiles, cookie: &str, starter: Option<UnixStream>) -> Result<Self> {
        let listener = keep_private(bind(files)?);
        let mut clients = Self {
            listener,
            cookie: cookie.to_owned(),
            clients: Vec::new(),
            next_id: 0,
            accepts_at: None,
        };
        if let Some(starter) = starter {
            clients.greet(starter);
        }
        Ok(clients)
    }

    /// What is waited for to take new clients; nothing while none can be taken.
    pub fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.accepts_at.is_none().then(|| self.listener.as_fd())
    }

    /// When new clients are looked for that could not be taken.
    pub fn next_turn(&self) -> Option<Instant> {
        self.accepts_at
    }
    pub fn streams(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.clients.iter().map(|client| client.stream.as_fd())
    }

    /// Takes a new client and tells it the status.
    pub fn accept(&mut self, status: &TaskStatus) {
        let now = Instant::now();
        if self.accepts_at.is_some_and(|it| it > now) {
            return;
        }
        let accepted = self.listener.accept();
        self.accepts_at = match &accepted {
            Err(error) if !is_passing(error) => Some(now + ACCEPT_PAUSE),
            _ => None,
        };
        if let Ok((stream, _)) = accepted
            && self.clients.len() < CLIENTS_MAX
            && is_own(&stream)
        {
            self.greet(keep_private(stream));
            if let Some(client) = self.clients.last_mut() {
                client.send(&Message::Status(status.clone()));
            }
        }
    }

    pub fn publish(&mut self, status: &TaskStatus) {
        let message = Message::Status(status.clone());
        self.clients
            .iter_mut()
            .for_each(|client| client.send(&message));
        self.forget_gone();
    }

    /// What clients asked for since the last call.
    pub fn requests(&mut self) -> Vec<(ClientId, Request)> {
        let asked = self.clients.iter_mut().flat_map(|client| {
            let id = client.id;
            let requests = client.receive().into_iter();
            requests.map(move |request| (id, request))
        });
        let asked = asked.collect();
        self.forget_gone();
        asked
    }

    /// Answers a request.
    pub fn answer(&mut self, id: ClientId, refused: Option<Refusal>) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
            client.send(&Message::Done { refused });
        }
    }

    /// Tells one client something that it asked for.
    pub fn tell_health(&mut self, id: ClientId, log: HealthLog) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
            client.send(&Message::Health(log));
        }
    }

    /// Lets a client go on as something else.
    pub fn release(&mut self, id: ClientId) -> Option<UnixStream> {
        let place = self.clients.iter().position(|client| client.id == id)?;
        Some(self.clients.remove(place).stream)
    }

    fn greet(&mut self, stream: UnixStream) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        self.next_id += 1;
        let mut client = Client {
            id: ClientId(self.next_id),
            stream,
            received: Vec::new(),
            gone: false,
        };
        client.send(&Message::Hello {
            cookie: self.cookie.clone(),
        });
        self.clients.push(client);
    }

    fn forget_gone(&mut self) {
        self.clients.retain(|client| !client.gone);
    }
}

impl Client {
    /// A client that does not read fast enough is cut off: it will connect again.
    fn send(&mut self, message: &Message) {
        let mut line = serde_json::to_vec(message).expect("plain data serialises as JSON");
        line.push(b'\n');
        self.gone |= self.stream.write_all(&line).is_err();
    }

    fn receive(&mut self) -> Vec<Request> {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    self.gone = true;
                    break;
                }
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.gone |= error.kind() != ErrorKind::WouldBlock;
                    break;
                }
            }
            if self.received.len() > REQUEST_BYTES_MAX {
                self.gone = true;
                break;
            }
        }
        self.take_lines()
    }

    fn take_lines(&mut self) -> Vec<Request> {
        let Some(end) = self.received.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let whole: Vec<u8> = self.received.drain(..=end).collect();
        let lines = whole.split(|byte| *byte == b'\n');
        lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

/// Whether there is no connection to be taken, and not one that could not be.
fn is_passing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
    )
}

/// Whether the other side is a process of this one's user. The directory lets nobody else in; this
/// does not depend on it.
fn is_own(stream: &UnixStream) -> bool {
    let peer = getsockopt(stream, sockopt::PeerCredentials);
    peer.is_ok_and(|peer| peer.uid() == geteuid().as_raw())
}

/// A socket's address is short, a task's directory may not be: it is named by its descriptor.
fn bind(files: &TaskFiles) -> Result<UnixListener> {
    let directory = open_directory(files)?;
    let _ = std::fs::remove_file(files.directory.join(TaskFiles::socket_name()));
    let listener = UnixListener::bind(socket_path(&directory));
    let listener = listener.context(|| "could not listen in the task's directory".to_owned())?;
    std::fs::set_permissions(socket_path(&directory), Permissions::from_mode(0o600))
        .context(|| "could not protect the socket".to_owned())?;
    listener
        .set_nonblocking(true)
        .context(|| "could not set up the socket".to_owned())?;
    Ok(listener)
}

/// Never waits: a shim that takes no connections any more may have as many before this one as it can
/// have, and that is a failure.
pub(crate) fn connect(files: &TaskFiles) -> Result<UnixStream> {
    let directory = open_directory(files)?;
    let failed = || "could not reach the shim".to_owned();
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None).context(failed)?;
    let address = UnixAddr::new(socket_path(&directory).as_str()).context(failed)?;
    nix::sys::socket::connect(stream.as_raw_fd(), &address).context(failed)?;
    Ok(stream.into())
}

fn open_directory(files: &TaskFiles) -> Result<OwnedFd> {
    let directory = std::fs::File::open(&files.directory);
    let directory =
        directory.context(|| format!("could not open `{}`", files.directory.display()))?;
    Ok(directory.into())
}

fn socket_path(directory: &OwnedFd) -> String {
    format!(
        "/proc/self/fd/{}/{}",
        directory.as_raw_fd(),
        TaskFiles::socket_name()
    )
}
