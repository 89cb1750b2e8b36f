//! Finding the edge that runs, starting one that does not, and ending it.

use std::fs::{File, OpenOptions};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use engine::{EngineError, Result};
use rustix::process::Signal;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep, timeout};

use super::held::HeldSockets;
use super::link::Link;
use crate::identity::{Identity, Process, socket_path};
use crate::protocol::{Ask, PROTOCOL};

/// How the edge role is started: the program, and the arguments before the role's own two, which
/// are the directory and the listening address.
#[derive(Debug, Clone)]
pub struct Executable {
    pub program: PathBuf,
    pub args: Vec<String>,
}

pub struct Place {
    pub dir: PathBuf,
    pub listen_address: IpAddr,
    pub executable: Executable,
}

/// An edge serves its last snapshot within milliseconds; a machine this slow is broken.
const START_TIME_MAX: Duration = Duration::from_secs(10);
/// What an edge has for the requests under way, and some more.
const STOP_TIME_MAX: Duration = Duration::from_secs(8);
const GREET_TIME_MAX: Duration = Duration::from_secs(5);
/// A process that takes longer to vanish after SIGKILL hangs in the kernel.
const KILLED_TIME_MAX: Duration = Duration::from_secs(5);
const LOOK_PAUSE: Duration = Duration::from_millis(3);

/// A connection to the edge of this place. One that speaks another protocol, listens elsewhere or
/// does not answer is replaced. A new one is given the sockets that are held.
pub async fn attach_or_start(
    place: &Place,
    changes: &broadcast::Sender<String>,
    held: &HeldSockets,
) -> Result<Arc<Link>> {
    match attach(place, changes).await {
        Attached::Linked(link) => return Ok(link),
        Attached::Nobody => {}
        Attached::Unsuitable(process) => end(process).await?,
        Attached::Silent(process) => kill(process).await?,
    }
    let mut child = start(place, held).await?;
    let deadline = Instant::now() + START_TIME_MAX;
    loop {
        if let Attached::Linked(link) = attach(place, changes).await {
            // It outlives this daemon, but while the daemon lives it is its child.
            tokio::spawn(async move { child.wait().await });
            return Ok(link);
        }
        if let Some(status) = child.try_wait()? {
            // One that ends at once may have found another one, which nobody can connect to.
            if let Some(process) = recorded(place) {
                kill(process).await?;
            }
            let log = log_path(place);
            let reason = format!(
                "the edge process ended at its start ({status}); see `{}`",
                log.display()
            );
            return Err(EngineError::machine(reason));
        }
        if Instant::now() > deadline {
            let _ = child.kill().await;
            let reason = "the edge process does not open its control socket";
            return Err(EngineError::machine(reason));
        }
        sleep(LOOK_PAUSE).await;
    }
}

fn recorded(place: &Place) -> Option<Process> {
    let process = Identity::read(&place.dir).ok()?.process();
    process.is_alive().then_some(process)
}

enum Attached {
    Linked(Arc<Link>),
    Nobody,
    /// It runs, and is not what this daemon needs.
    Unsuitable(Process),
    /// It runs, and does not answer.
    Silent(Process),
}

async fn attach(place: &Place, changes: &broadcast::Sender<String>) -> Attached {
    let identity = Identity::read(&place.dir).ok();
    let identity = identity.filter(|it| it.process().is_alive());
    if let Some(identity) = &identity
        && (identity.protocol != PROTOCOL || identity.listen_address != place.listen_address)
    {
        return Attached::Unsuitable(identity.process());
    }
    let Ok(stream) = UnixStream::connect(socket_path(&place.dir)).await else {
        return Attached::Nobody;
    };
    // Who listens on the socket, in the kernel's words: the file may be another's, or missing.
    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let peer = peer.and_then(|pid| Process::find(u32::try_from(pid).ok()?).ok());
    let Some(process) = peer else {
        return Attached::Nobody;
    };
    if identity.as_ref().is_some_and(|it| it.process() != process) {
        return Attached::Nobody;
    }
    match timeout(
        GREET_TIME_MAX,
        Link::greet(stream, process, changes.clone()),
    )
    .await
    {
        Err(_) => Attached::Silent(process),
        Ok(Err(_)) => Attached::Nobody,
        Ok(Ok((_, hello))) if identity.is_some_and(|it| it.cookie != hello.cookie) => {
            Attached::Nobody
        }
        Ok(Ok((link, hello)))
            if hello.protocol == PROTOCOL && hello.listen_address == Some(place.listen_address) =>
        {
            Attached::Linked(link)
        }
        Ok(Ok(_)) => Attached::Unsuitable(process),
    }
}

async fn start(place: &Place, held: &HeldSockets) -> Result<Child> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&place.dir)?;
    let (ours, given) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    // An edge without a log is better than none.
    let log = open_log(place).ok();
    let program = &place.executable.program;
    let child = Command::new(program)
        .args(&place.executable.args)
        .arg(&place.dir)
        .arg(place.listen_address.to_string())
        .stdin(OwnedFd::from(given))
        .stdout(to_log(&log))
        .stderr(to_log(&log))
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| {
            let program = program.display();
            EngineError::machine(format!("cannot start the edge process `{program}`"))
                .because(error)
        })?;
    held.hand_over(UnixStream::from_std(ours)?).await;
    Ok(child)
}

fn log_path(place: &Place) -> PathBuf {
    place.dir.join("edge.log")
}

fn to_log(log: &Option<File>) -> Stdio {
    let log = log.as_ref().and_then(|it| it.try_clone().ok());
    log.map_or_else(Stdio::null, Stdio::from)
}

/// Begins anew with every start, so that it cannot grow for ever.
fn open_log(place: &Place) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    options.open(log_path(place))
}

/// Ends the edge that serves `dir`, when there is one, without an [`super::EdgeClient`], which
/// would start one.
pub async fn stop_edge(dir: &Path) -> Result<()> {
    let Ok(identity) = Identity::read(dir) else {
        return Ok(());
    };
    let place = Place {
        dir: dir.to_owned(),
        listen_address: identity.listen_address,
        executable: Executable {
            program: PathBuf::new(),
            args: Vec::new(),
        },
    };
    stop(&place).await
}

/// Ends the edge of this place, when there is one.
pub async fn stop(place: &Place) -> Result<()> {
    let (changes, _) = broadcast::channel(1);
    match attach(place, &changes).await {
        Attached::Nobody => Ok(()),
        Attached::Unsuitable(process) => end(process).await,
        Attached::Silent(process) => kill(process).await,
        Attached::Linked(link) => {
            link.ask(Ask::Stop, Instant::now() + GREET_TIME_MAX).await;
            if !is_gone_within(link.process, STOP_TIME_MAX).await {
                end(link.process).await?;
            }
            Ok(())
        }
    }
}

/// Ends a process that was an edge: kindly, then for sure.
async fn end(process: Process) -> Result<()> {
    process.send(Signal::TERM);
    if is_gone_within(process, STOP_TIME_MAX).await {
        return Ok(());
    }
    kill(process).await
}

/// Ends a process that may not even take a signal in.
pub async fn kill(process: Process) -> Result<()> {
    process.send(Signal::KILL);
    if is_gone_within(process, KILLED_TIME_MAX).await {
        return Ok(());
    }
    Err(EngineError::machine(format!(
        "the edge process {} does not end",
        process.pid
    )))
}

async fn is_gone_within(process: Process, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    while process.is_alive() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(LOOK_PAUSE).await;
    }
    true
}
