//! Commands in running containers, with input and output of their own. A helper process (see
//! [`crate::main`]) starts each and waits for it; the daemon holds the other ends of its streams.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use engine::{Attached, EngineError, ExecSession, ExecSpec, OutputStream, Result};
use nix::fcntl::OFlag;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};

use super::attach::PIECES_MAX;
use super::launch::{command, spawn};
use super::{Inner, blocking};
use crate::container::passing;
use crate::container::{ExecReply, resize};
use crate::error::{Context, Failure};
use crate::shim::process::set_nonblocking;

/// How long a helper may take to get a command to run.
const START_WAIT: Duration = Duration::from_secs(30);
/// What is read of output at once: the default size of a pipe.
const READ_BYTES: usize = 64 * 1024;

/// Terminals of commands that run, by the command's id.
#[derive(Default)]
pub(super) struct Terminals(Mutex<HashMap<String, Arc<AsyncFd<OwnedFd>>>>);

impl Terminals {
    pub fn resize(&self, id: &str, rows: u16, columns: u16) -> Result<()> {
        let terminals = self.0.lock().expect("no holder panics");
        let terminal = terminals.get(id).ok_or_else(|| {
            EngineError::not_found(format!("no command `{id}` with a terminal runs"))
        })?;
        resize(terminal.get_ref(), rows, columns)
            .map_err(|error| EngineError::machine("could not set the size").because(error))
    }

    fn keep(&self, id: &str, terminal: Arc<AsyncFd<OwnedFd>>) {
        let mut terminals = self.0.lock().expect("no holder panics");
        terminals.insert(id.to_owned(), terminal);
    }

    fn forget(&self, id: &str) {
        self.0.lock().expect("no holder panics").remove(id);
    }
}

/// Our ends of a command's streams. A terminal's is both the input and the one output.
struct Ends {
    input: Option<OwnedFd>,
    outputs: Vec<(OutputStream, OwnedFd)>,
}

/// See [`engine::Tasks::exec_attached`].
pub(super) async fn exec(
    inner: &Arc<Inner>,
    id: &str,
    container: &str,
    spec: ExecSpec,
) -> Result<ExecSession> {
    if spec.argv.first().is_none_or(String::is_empty) {
        return Err(EngineError::invalid("no command is given"));
    }
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = command(inner);
    command
        .arg("exec-attached")
        .arg(inner.files(id).directory)
        .arg(container)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let child = spawn(&mut command)?;
    drop(command);
    let order = spec.clone();
    let (control, pid, ends) = blocking(move || Ok(start(ours, &order))).await??;
    session(inner, spec, child, control, pid, ends)
}

/// Tells the helper what to run, and with what.
fn start(control: UnixStream, spec: &ExecSpec) -> Result<(UnixStream, i32, Ends)> {
    let text = serde_json::to_vec(spec).expect("plain data serialises as JSON");
    let (mut ends, theirs) = streams(spec)?;
    control.set_read_timeout(Some(START_WAIT))?;
    control.set_write_timeout(Some(START_WAIT))?;
    let borrowed: Vec<_> = theirs.iter().map(AsFd::as_fd).collect();
    let sent = passing::send(&control, &text, &borrowed);
    drop(theirs);
    if let Err(error) = &sent
        && error.kind() == io::ErrorKind::InvalidInput
    {
        return Err(EngineError::invalid("the command is too long"));
    }
    // Why it cannot be told is in the answer, if there is one.
    let reply = passing::receive(&control);
    let (reply, mut descriptors) = match (sent, reply) {
        (_, Ok(reply)) => reply,
        (Err(error), _) | (Ok(()), Err(error)) => {
            let message = "the helper that runs the command did not answer";
            return Err(EngineError::machine(message).because(error));
        }
    };
    let reply = serde_json::from_slice(&reply);
    match reply.map_err(|error| Failure(format!("the helper is not understood: {error}")))? {
        ExecReply::Refused { message } => Err(EngineError::invalid(message)),
        ExecReply::Runs { pid } => {
            if spec.terminal {
                let master = descriptors.pop();
                let master = master.ok_or_else(|| {
                    EngineError::machine("the helper has handed over no terminal")
                })?;
                if spec.stdin {
                    ends.input = Some(master.try_clone()?);
                }
                ends.outputs.push((OutputStream::Stdout, master));
            }
            Ok((control, pid, ends))
        }
    }
}

/// Both ends of the streams of a command without a terminal.
fn streams(spec: &ExecSpec) -> Result<(Ends, Vec<OwnedFd>)> {
    let mut ends = Ends {
        input: None,
        outputs: Vec::new(),
    };
    if spec.terminal {
        return Ok((ends, Vec::new()));
    }
    let pipe = || {
        let made = nix::unistd::pipe2(OFlag::O_CLOEXEC);
        made.context(|| "could not make a pipe".to_owned())
    };
    let stdin = if spec.stdin {
        let (read, write) = pipe()?;
        ends.input = Some(write);
        read
    } else {
        std::fs::File::open("/dev/null")?.into()
    };
    let (out, stdout) = pipe()?;
    let (err, stderr) = pipe()?;
    ends.outputs = vec![(OutputStream::Stdout, out), (OutputStream::Stderr, err)];
    Ok((ends, vec![stdin, stdout, stderr]))
}

fn session(
    inner: &Arc<Inner>,
    spec: ExecSpec,
    child: Child,
    control: UnixStream,
    pid: i32,
    ends: Ends,
) -> Result<ExecSession> {
    let (told, exit) = oneshot::channel();
    let (ended, watched) = watch::channel(false);
    let (output, received) = mpsc::channel(PIECES_MAX);
    for (stream, from) in ends.outputs {
        let from = Arc::new(nonblocking(from)?);
        if spec.terminal {
            inner.terminals.keep(&spec.id, from.clone());
        }
        inner.spawn(deliver(stream, from, output.clone(), watched.clone()));
    }
    let input = match ends.input {
        Some(to) => {
            let (given, taken) = mpsc::channel(PIECES_MAX);
            inner.spawn(take(nonblocking(to)?, taken, watched));
            Some(given)
        }
        None => None,
    };
    // Held by the runtime weakly: what waits for a command must not keep it.
    let weak = Arc::downgrade(inner);
    let listened = spec.ends_when_left.then(|| output.clone());
    drop(output);
    inner.spawn(async move {
        let mut child = child;
        let left = async {
            match &listened {
                Some(output) => output.closed().await,
                None => std::future::pending().await,
            }
        };
        // As long as it is open, the helper lets the command run.
        let mut control = Some(control);
        let code = tokio::select! {
            code = wait(&mut child) => code,
            () = left => {
                control = None;
                wait(&mut child).await
            }
        };
        drop((control, listened));
        let _ = ended.send(true);
        if let Some(inner) = weak.upgrade() {
            inner.terminals.forget(&spec.id);
        }
        let _ = told.send(code);
    });
    Ok(ExecSession {
        attached: Attached {
            input,
            output: received,
        },
        pid,
        exit,
    })
}

async fn wait(child: &mut Child) -> Result<i32> {
    let status = child.wait().await?;
    status
        .code()
        .ok_or_else(|| EngineError::machine("the helper that ran the command was killed"))
}

#[allow(unsafe_code)]
fn nonblocking(descriptor: OwnedFd) -> Result<AsyncFd<OwnedFd>> {
    set_nonblocking(&descriptor)?;
    // SAFETY: an owned descriptor is always the same one, and open until it is dropped, which the
    // `AsyncFd` sees to.
    let registered = unsafe { AsyncFd::register(descriptor) };
    registered.map_err(|error| EngineError::machine("could not watch a stream").because(error))
}

/// Copies output until it ends; or, once the command has, until there is none at the moment: what it
/// has left behind may hold its streams open for ever. When nobody listens it is read all the same,
/// so that the command is not held up.
async fn deliver(
    stream: OutputStream,
    from: Arc<AsyncFd<OwnedFd>>,
    output: mpsc::Sender<(OutputStream, Bytes)>,
    mut ended: watch::Receiver<bool>,
) {
    loop {
        let mut bytes = vec![0; READ_BYTES];
        let mut read = |from: &OwnedFd| Ok(nix::unistd::read(from, &mut bytes)?);
        let over = *ended.borrow();
        let read = if over {
            read(from.get_ref())
        } else {
            tokio::select! {
                read = from.async_io(Interest::READABLE, read) => read,
                changed = ended.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
        };
        let read = match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Also empty for the moment, once it is over; and `EIO`, which is how a terminal ends.
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        bytes.truncate(read);
        let _ = output.send((stream, bytes.into())).await;
    }
}

/// Passes input on until it ends or the command does.
async fn take(
    to: AsyncFd<OwnedFd>,
    mut given: mpsc::Receiver<Bytes>,
    mut ended: watch::Receiver<bool>,
) {
    let copy = async {
        while let Some(mut bytes) = given.recv().await {
            while !bytes.is_empty() {
                let write = |to: &OwnedFd| nix::unistd::write(to, &bytes).map_err(io::Error::from);
                match to.async_io(Interest::WRITABLE, write).await {
                    Ok(count) => drop(bytes.split_to(count)),
                    Err(_) => return,
                }
            }
        }
    };
    tokio::select! {
        () = copy => {}
        _ = ended.changed() => {}
    }
}
