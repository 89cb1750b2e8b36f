//! A daemon of a test's own: state directory, address of the API, address of the load balancers.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::get;
use crate::sign::Key;
use crate::traces::{find_traces, find_work, processes_with};
use crate::wait::{eventually, eventually_within};

/// No command of these tests takes longer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// Where state directories are made: memory, where the machine has it.
const MEMORY: &str = "/dev/shm";

/// What a command said and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// -1 when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Output {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

/// A daemon's place. When it is dropped, `neargate stop` must leave nothing on the machine.
pub struct Machine {
    pub state: PathBuf,
    pub listen: SocketAddr,
    pub edge: IpAddr,
    directory: Option<tempfile::TempDir>,
    daemon: Mutex<Option<Child>>,
    /// Options beside these.
    options: Vec<String>,
}

impl Machine {
    /// A place where no daemon runs yet.
    pub fn idle() -> Self {
        Self::idle_with(&[])
    }

    /// The same, with options beside those that lead to it.
    pub fn idle_with(options: &[&str]) -> Self {
        let edge = own_address();
        Self::at(free_port(edge), edge, options)
    }

    /// A place with the addresses that a new user's daemon has: for tests that have a network
    /// namespace of their own (see [`crate::in_own_network`]).
    pub fn alone(options: &[&str]) -> Self {
        let address = Ipv4Addr::LOCALHOST;
        Self::at(SocketAddr::from((address, 4566)), address, options)
    }

    fn at(listen: SocketAddr, edge: Ipv4Addr, options: &[&str]) -> Self {
        let parent = if Path::new(MEMORY).is_dir() {
            PathBuf::from(MEMORY)
        } else {
            std::env::temp_dir()
        };
        let directory = tempfile::Builder::new()
            .prefix("neargate-e2e-")
            .tempdir_in(parent)
            .unwrap();
        Self {
            state: directory.path().join("state"),
            listen,
            edge: edge.into(),
            directory: Some(directory),
            daemon: Mutex::new(None),
            options: options.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    /// A daemon that answers.
    #[track_caller]
    pub fn start() -> Self {
        let machine = Self::idle();
        machine.serve();
        machine
    }

    /// Starts the daemon and waits until it answers.
    #[track_caller]
    pub fn serve(&self) {
        let spawned = self.spawn_daemon();
        *self.daemon.lock().unwrap() = Some(spawned);
        self.wait_until_ready();
    }

    /// Starts the daemon and does not wait.
    pub fn spawn_daemon(&self) -> Child {
        fs::create_dir_all(&self.state).unwrap();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.state.join("daemon.log"))
            .unwrap();
        let mut command = self.command();
        command.arg("serve").stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    #[track_caller]
    pub fn wait_until_ready(&self) {
        eventually("the daemon answers", || {
            if let Some(child) = self.daemon.lock().unwrap().as_mut()
                && let Some(status) = child.try_wait().unwrap()
            {
                panic!("the daemon ended ({status}): {}", self.log());
            }
            match get(self.listen, "localhost", "/_neargate/v1/health") {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// Kills the daemon as a crash would: what it runs goes on.
    pub fn kill_daemon(&self) {
        let mut child = self.daemon.lock().unwrap().take().expect("a daemon runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Kills those of the daemon's processes whose arguments contain a text, at most `count`.
    /// Returns how many there were.
    pub fn kill_processes(&self, text: &str, count: usize) -> usize {
        let found = processes_with(&self.state, text);
        for id in found.iter().take(count) {
            let id = nix::unistd::Pid::from_raw(*id);
            let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL);
        }
        found.len()
    }

    /// Stops processes without ending them: they do nothing any more, and take only SIGKILL in.
    pub fn stop_processes(&self, text: &str) -> usize {
        let found = processes_with(&self.state, text);
        for id in &found {
            let id = nix::unistd::Pid::from_raw(*id);
            let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGSTOP);
        }
        found.len()
    }

    pub fn count_processes(&self, text: &str) -> usize {
        self.processes(text).len()
    }

    /// The ids of the daemon's processes whose arguments contain a text.
    pub fn processes(&self, text: &str) -> Vec<i32> {
        processes_with(&self.state, text)
    }

    pub fn daemon_id(&self) -> u32 {
        let daemon = self.daemon.lock().unwrap();
        daemon.as_ref().expect("a daemon runs").id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.state.join("daemon.log")).unwrap_or_default()
    }

    /// The arguments that lead any command to this daemon.
    pub fn arguments(&self) -> Vec<String> {
        let pairs = [
            ("--state", self.state.display().to_string()),
            ("--listen", self.listen.to_string()),
            ("--edge", self.edge.to_string()),
        ];
        let flat = pairs
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value]);
        flat.chain(self.options.iter().cloned()).collect()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(crate::neargate());
        command.args(self.arguments());
        // Nobody's own configuration.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("NEARGATE_") && name != "NEARGATE_LOG" {
                command.env_remove(name.as_ref());
            }
        }
        command
    }

    /// Runs a command of neargate's to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments);
        run_bounded(command)
    }

    /// Starts a command and does not wait.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// For commands that must work.
    #[track_caller]
    pub fn neargate(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert_eq!(
            output.code,
            0,
            "neargate {arguments:?}: {}\n{}\nthe daemon's log:\n{}",
            output.stdout,
            output.stderr,
            self.log()
        );
        output
    }

    /// The owner's key pair.
    pub fn key(&self) -> Key {
        let bytes = fs::read(self.state.join("credentials.json")).unwrap();
        let pair: Value = serde_json::from_slice(&bytes).unwrap();
        let text = |name: &str| pair[name].as_str().unwrap().to_owned();
        Key {
            id: text("access_key_id"),
            secret: text("secret_access_key"),
        }
    }

    /// What a file of an instance says; nothing, as long as it is not there. Read where the instance writes it.
    pub fn file_of_instance(&self, id: &str, path: &str) -> String {
        let upper = self.state.join("workspaces").join(format!("ec2-{id}"));
        fs::read_to_string(upper.join("upper").join(path)).unwrap_or_default()
    }

    /// Where port `port` of the load balancers is.
    pub fn edge_port(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.edge, port)
    }

    /// A page by its URL, from this machine's load balancers.
    pub fn page(&self, url: &str) -> std::io::Result<crate::http::Answer> {
        let rest = url.trim_start_matches("http://");
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let port = host.split_once(':').map_or(80, |it| it.1.parse().unwrap());
        get(self.edge_port(port), host, &format!("/{path}"))
    }

    #[track_caller]
    pub fn assert_no_processes_of_tasks(&self) {
        eventually_within(Duration::from_secs(15), "no task's process is left", || {
            let count = self.count_processes(" shim run ") + self.count_processes("/probe");
            if count == 0 {
                Ok(())
            } else {
                Err(format!("{count} processes"))
            }
        });
    }

    /// Nothing of networks and tasks is on the machine, while the daemon runs.
    #[track_caller]
    pub fn assert_no_work(&self) {
        eventually_within(Duration::from_secs(15), "no work is left", || {
            let found = find_work(&self.state);
            if found.is_empty() {
                Ok(())
            } else {
                Err(found.join("\n"))
            }
        });
    }

    /// Stops the daemon and everything that it runs, and looks what is left.
    #[track_caller]
    pub fn stop(&self) {
        self.neargate(&["stop"]);
        if let Some(mut child) = self.daemon.lock().unwrap().take() {
            let status = child.wait().unwrap();
            assert!(
                status.success(),
                "the daemon ended with {status}: {}",
                self.log()
            );
        }
        // The kernel takes namespaces and control groups down in its own time.
        eventually_within(
            Duration::from_secs(10),
            "nothing is left on the machine",
            || {
                let found = find_traces(&self.state);
                if found.is_empty() {
                    Ok(())
                } else {
                    Err(found.join("\n"))
                }
            },
        );
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if !self.state.exists() {
            return;
        }
        if std::thread::panicking() {
            self.clean_up_after_failure();
        } else {
            self.stop();
        }
    }
}

impl Machine {
    /// The test has failed already: say what the daemon said, and leave the machine clean.
    fn clean_up_after_failure(&mut self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(60)..];
        eprintln!("--- the daemon's log ends with:\n{}", tail.join("\n"));
        let output = self.run(&["stop"]);
        if output.code != 0 {
            eprintln!("neargate stop: {output:?}");
        }
        let child = self.daemon.get_mut().map(Option::take);
        if let Ok(Some(mut child)) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let found = find_traces(&self.state);
        if !found.is_empty() {
            eprintln!("left on the machine:\n{}", found.join("\n"));
        }
        if std::env::var_os("NEARGATE_E2E_KEEP").is_some()
            && let Some(directory) = self.directory.take()
        {
            eprintln!("kept: {}", directory.keep().display());
        }
    }
}

/// Runs to the end, or kills it.
pub fn run_bounded(command: Command) -> Output {
    run_bounded_by(command, COMMAND_TIMEOUT)
}

pub fn run_bounded_by(mut command: Command, timeout: Duration) -> Output {
    let began = Instant::now();
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(Box::new(child.stdout.take().unwrap()));
    let stderr = read(Box::new(child.stderr.take().unwrap()));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > timeout {
            let _ = child.kill();
            let _ = child.wait();
            panic!(
                "{command:?} does not end; it said: {} {}",
                stdout.join().unwrap(),
                stderr.join().unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Output {
        code: status.code().unwrap_or(-1),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
        took: began.elapsed(),
    }
}

/// A loopback address that no other test has, in this process or in another at the same moment.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let byte = |it: u32| u8::try_from(it).expect("it is below 256");
    Ipv4Addr::new(
        127,
        byte(1 + (process >> 7) % 254),
        byte((process % 128) * 2 + u32::from(number >> 8) % 2),
        byte(u32::from(number) % 254 + 1),
    )
}

fn free_port(address: Ipv4Addr) -> SocketAddr {
    TcpListener::bind((address, 0))
        .unwrap()
        .local_addr()
        .unwrap()
}
