//! The edge role: the process that serves. What it has to say goes to its standard error, which the
//! daemon that starts it leads to `edge.log`.

mod access;
mod activity;
mod answer;
mod body;
mod channel;
mod control;
mod encrypt;
mod exchange;
mod given;
mod group;
mod head_watch;
mod headers;
mod holder;
mod home;
mod listen;
mod listeners;
mod namespace;
mod plan;
mod pool;
mod probe;
mod proxy;
mod pulse;
mod router;
mod say;
mod state;
mod sticky;
mod targets;
mod tls;
mod tunnel;
mod warmth;
mod worker;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use self::control::{CHANGES_BEHIND_MAX, Greeting};
use self::given::GivenSockets;
use self::home::Home;
use self::say::say;
use self::state::State;
use self::worker::Command;
use crate::identity::{Identity, identity_path, random_u64, socket_path, start_time};
use crate::protocol::{Answer, Configuration, PROTOCOL};

/// Another edge serves this directory already.
const EXIT_TAKEN: i32 = 3;
/// More cores than this do not make a machine's load balancer faster.
const WORKERS_MAX: usize = 16;
/// The ports of an edge that was just killed are free again by then.
const PORTS_FREE_TIME_MAX: Duration = Duration::from_secs(2);

/// An edge that was just killed has let go of its lock by then.
const LOCK_FREE_TIME_MAX: Duration = Duration::from_secs(1);
/// What a restarted edge waits for its first probes before it speaks with the daemon.
const FIRST_PROBES_TIME_MAX: Duration = Duration::from_millis(250);
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// Between looks at what nobody tells: that the directory is gone, that the disk has room again.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Descriptors that are missing come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Runs the edge in `dir` until it is asked to stop. Listeners of balancers are bound on
/// `listen_address`. Returns the exit code.
pub fn edge_main(dir: &Path, listen_address: IpAddr) -> i32 {
    match start(dir, listen_address) {
        Ok(code) => code,
        Err(error) => {
            say(format_args!("{error}"));
            1
        }
    }
}

fn start(dir: &Path, listen_address: IpAddr) -> io::Result<i32> {
    // A session of its own, so that what ends the daemon's terminal does not end this. It fails
    // only when there is one already.
    let _ = nix::unistd::setsid();
    // All that it makes are files of its own: what it serves, and who it is.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir)?;
    let dir = dir.canonicalize()?;
    let Some(_lock) = lock(&dir)? else {
        say(format_args!("another one serves `{}`", dir.display()));
        return Ok(EXIT_TAKEN);
    };
    std::env::set_current_dir("/")?;
    allow_many_files();
    namespace::remember_host()?;
    let (stop, stopping) = watch::channel(false);
    let (workers, threads) = start_workers(&stopping)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let role = Role {
        dir,
        listen_address,
        workers,
    };
    let ended = LocalSet::new().block_on(&runtime, role.run());
    let _ = stop.send(true);
    for thread in threads {
        let _ = thread.join();
    }
    ended.map(|()| 0)
}

fn lock(dir: &Path) -> io::Result<Option<Flock<File>>> {
    let mut file = File::create(dir.join("edge.lock"))?;
    let deadline = Instant::now() + LOCK_FREE_TIME_MAX;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((file, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < deadline => file,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, error)) => return Err(error.into()),
        };
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Every connection is two descriptors.
fn allow_many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

type Workers = (Vec<mpsc::UnboundedSender<Command>>, Vec<JoinHandle<()>>);

fn start_workers(stopping: &watch::Receiver<bool>) -> io::Result<Workers> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut workers = Vec::new();
    let mut threads = Vec::new();
    for index in 0..cores.min(WORKERS_MAX) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let stopping = stopping.clone();
        let run = move || {
            if let Err(error) = worker::run(index, receiver, stopping) {
                // Its sockets would take clients and never serve them.
                say(format_args!("worker {index} cannot run: {error}"));
                std::process::abort();
            }
        };
        let thread = std::thread::Builder::new().name(format!("worker-{index}"));
        threads.push(thread.spawn(run)?);
        workers.push(commands);
    }
    Ok((workers, threads))
}

struct Role {
    dir: PathBuf,
    listen_address: IpAddr,
    workers: Vec<mpsc::UnboundedSender<Command>>,
}

impl Role {
    async fn run(self) -> io::Result<()> {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let (events, mut changed) = mpsc::unbounded_channel();
        let snapshot_path = self.dir.join("snapshot.json");
        let mut state = State::new(
            snapshot_path.clone(),
            self.listen_address,
            self.workers.clone(),
            GivenSockets::receive().await,
            events,
        );
        serve_last_snapshot(&mut state, &snapshot_path).await;
        // Requests are served meanwhile. A daemon that asks an edge that was just restarted should
        // hear what the targets are, not that nobody knows.
        let patience = Instant::now() + FIRST_PROBES_TIME_MAX;
        while state.is_finding_out() && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let state = Rc::new(RefCell::new(state));
        let cookie = format!("{:016x}{:016x}", random_u64(), random_u64());
        let listener = self.open_control_socket(&cookie)?;
        let home = Home::of(&socket_path(&self.dir))?;
        let mut looks = tokio::time::interval(LOOK_PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (changes, _) = broadcast::channel::<Arc<str>>(CHANGES_BEHIND_MAX);
        let (stop, mut stop_asked) = mpsc::channel(1);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    };
                    let (state, greeting) = (Rc::clone(&state), self.greeting(&cookie));
                    let (receiver, stop) = (changes.subscribe(), stop.clone());
                    tokio::task::spawn_local(async move {
                        if let Err(error) = control::serve(stream, state, greeting, receiver, stop).await {
                            say(format_args!("a control connection ended: {error}"));
                        }
                    });
                }
                Some(group) = changed.recv() => {
                    let _ = changes.send(group);
                }
                _ = looks.tick() => {
                    if home.is_lost() {
                        say(format_args!("`{}` is gone; whoever makes it again finds the ports free", self.dir.display()));
                        return Ok(());
                    }
                    state.borrow_mut().remember_again();
                }
                _ = stop_asked.recv() => {
                    let _ = std::fs::remove_file(&snapshot_path);
                    break;
                }
                _ = terminated.recv() => break,
                _ = interrupted.recv() => break,
            }
        }
        let _ = std::fs::remove_file(socket_path(&self.dir));
        let _ = std::fs::remove_file(identity_path(&self.dir));
        Ok(())
    }

    fn greeting(&self, cookie: &str) -> Greeting {
        Greeting {
            cookie: cookie.to_owned(),
            listen_address: self.listen_address,
        }
    }

    /// Only the holder of the lock comes here, so a socket that is there is nobody's.
    fn open_control_socket(&self, cookie: &str) -> io::Result<UnixListener> {
        let path = socket_path(&self.dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let pid = std::process::id();
        let identity = Identity {
            protocol: PROTOCOL,
            pid,
            start_time: start_time(pid)?,
            cookie: cookie.to_owned(),
            listen_address: self.listen_address,
        };
        if let Err(error) = identity.write(&self.dir) {
            // What is there is about another one, and the kernel says who listens on the socket.
            let _ = std::fs::remove_file(identity_path(&self.dir));
            say(format_args!("cannot write who it is: {error}"));
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }
}

/// What was in force before serves again at once, whether or not there is a daemon.
async fn serve_last_snapshot(state: &mut State, path: &Path) {
    let Ok(bytes) = std::fs::read(path) else {
        return;
    };
    let configuration: Configuration = match serde_json::from_slice(&bytes) {
        Ok(configuration) => configuration,
        Err(error) => {
            say(format_args!(
                "cannot read the last snapshot `{}`: {error}",
                path.display()
            ));
            return;
        }
    };
    let deadline = Instant::now() + PORTS_FREE_TIME_MAX;
    loop {
        match state.put_in_force(&configuration) {
            Answer::Conflict(_) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Answer::Applied => return,
            answer => {
                return say(format_args!(
                    "the last snapshot is only partly in force: {answer:?}"
                ));
            }
        }
    }
}
