//! The daemons that listen to a shim, normally one: JSON a line, both ways.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use engine::TaskStatus;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::order::TaskFiles;

/// A request longer than this is none of ours.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// More than one is a daemon that was replaced while its successor already listens.
const CLIENTS_MAX: usize = 8;

/// From the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The first: who speaks.
    Hello {
        cookie: String,
    },
    Status(TaskStatus),
}

/// To the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Stop { reason: String },
}

pub(super) struct Clients {
    listener: UnixListener,
    cookie: String,
    clients: Vec<Client>,
}

struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    gone: bool,
}

impl Clients {
    /// Listens in the task's directory, and to the daemon that started this process.
    pub fn new(files: &TaskFiles, cookie: &str, starter: Option<UnixStream>) -> Result<Self> {
        let listener = bind(files)?;
        let mut clients = Self {
            listener,
            cookie: cookie.to_owned(),
            clients: Vec::new(),
        };
        if let Some(starter) = starter {
            clients.greet(starter);
        }
        Ok(clients)
    }

    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
    pub fn streams(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.clients.iter().map(|client| client.stream.as_fd())
    }

    /// Takes a new client and tells it the status.
    pub fn accept(&mut self, status: &TaskStatus) {
        if let Ok((stream, _)) = self.listener.accept()
            && self.clients.len() < CLIENTS_MAX
        {
            self.greet(stream);
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
    pub fn requests(&mut self) -> Vec<Request> {
        let requests = self.clients.iter_mut().flat_map(Client::receive).collect();
        self.forget_gone();
        requests
    }

    fn greet(&mut self, stream: UnixStream) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut client = Client {
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

/// A socket's address is short, a task's directory may not be: it is named by its descriptor.
fn bind(files: &TaskFiles) -> Result<UnixListener> {
    let directory = open_directory(files)?;
    let _ = std::fs::remove_file(files.directory.join(TaskFiles::socket_name()));
    let listener = UnixListener::bind(socket_path(&directory));
    let listener = listener.context(|| "could not listen in the task's directory".to_owned())?;
    listener
        .set_nonblocking(true)
        .context(|| "could not set up the socket".to_owned())?;
    Ok(listener)
}

pub(crate) fn connect(files: &TaskFiles) -> Result<UnixStream> {
    let directory = open_directory(files)?;
    UnixStream::connect(socket_path(&directory)).context(|| "could not reach the shim".to_owned())
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
