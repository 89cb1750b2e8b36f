//! Finding the edge that runs, starting one that does not, and ending it.

use std::fs::{File, OpenOptions};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use engine::{EngineError, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep, timeout};

use super::link::Link;
use crate::identity::{Identity, socket_path};
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
const LOOK_PAUSE: Duration = Duration::from_millis(3);

/// A connection to the edge of this place. One that speaks another protocol or listens elsewhere
/// is replaced.
pub async fn attach_or_start(
    place: &Place,
    changes: &broadcast::Sender<String>,
) -> Result<Arc<Link>> {
    match attach(place, changes).await {
        Attached::Linked(link) => return Ok(link),
        Attached::Nobody => {}
        Attached::Unsuitable(identity) => end(&identity).await?,
    }
    let mut child = start(place)?;
    let deadline = Instant::now() + START_TIME_MAX;
    loop {
        match attach(place, changes).await {
            Attached::Linked(link) => {
                // It outlives this daemon, but while the daemon lives it is its child.
                tokio::spawn(async move { child.wait().await });
                return Ok(link);
            }
            Attached::Nobody | Attached::Unsuitable(_) => {}
        }
        if let Some(status) = child.try_wait()? {
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

enum Attached {
    Linked(Arc<Link>),
    Nobody,
    /// It runs, and is not what this daemon needs.
    Unsuitable(Identity),
}

async fn attach(place: &Place, changes: &broadcast::Sender<String>) -> Attached {
    let Ok(identity) = Identity::read(&place.dir) else {
        return Attached::Nobody;
    };
    if !identity.is_alive() {
        return Attached::Nobody;
    }
    if identity.protocol != PROTOCOL || identity.listen_address != place.listen_address {
        return Attached::Unsuitable(identity);
    }
    let Ok(stream) = UnixStream::connect(socket_path(&place.dir)).await else {
        return Attached::Nobody;
    };
    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
    if peer != i32::try_from(identity.pid).ok() {
        return Attached::Nobody;
    }
    match timeout(GREET_TIME_MAX, Link::greet(stream, changes.clone())).await {
        Ok(Ok((link, hello))) if hello.cookie == identity.cookie => Attached::Linked(link),
        Ok(_) => Attached::Nobody,
        Err(_) => Attached::Unsuitable(identity),
    }
}

fn start(place: &Place) -> Result<Child> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&place.dir)?;
    let log = open_log(place)?;
    let program = &place.executable.program;
    Command::new(program)
        .args(&place.executable.args)
        .arg(&place.dir)
        .arg(place.listen_address.to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| {
            let program = program.display();
            EngineError::machine(format!("cannot start the edge process `{program}`"))
                .because(error)
        })
}

fn log_path(place: &Place) -> PathBuf {
    place.dir.join("edge.log")
}

/// Begins anew with every start, so that it cannot grow for ever.
fn open_log(place: &Place) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    Ok(options.open(log_path(place))?)
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
        Attached::Unsuitable(identity) => end(&identity).await,
        Attached::Linked(link) => {
            let identity = Identity::read(&place.dir)?;
            link.ask(Ask::Stop).await;
            if !is_gone_within(&identity, STOP_TIME_MAX).await {
                end(&identity).await?;
            }
            Ok(())
        }
    }
}

/// Ends a process that was an edge: kindly, then for sure.
async fn end(identity: &Identity) -> Result<()> {
    let pid = i32::try_from(identity.pid)
        .map_err(|_| EngineError::machine("the edge's process id is impossible"))?;
    for (ending, time) in [
        (Signal::SIGTERM, STOP_TIME_MAX),
        (Signal::SIGKILL, GREET_TIME_MAX),
    ] {
        if !identity.is_alive() {
            return Ok(());
        }
        let _ = kill(Pid::from_raw(pid), ending);
        if is_gone_within(identity, time).await {
            return Ok(());
        }
    }
    Err(EngineError::machine(format!(
        "the edge process {pid} does not end"
    )))
}

async fn is_gone_within(identity: &Identity, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    while identity.is_alive() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(LOOK_PAUSE).await;
    }
    true
}
