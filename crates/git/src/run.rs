//! Runs the program `git` as nobody else has set it up: no configuration but ours, no prompts, no
//! hooks, no transport but HTTP. Secrets travel in the environment, where only root
//! and Git itself can read them, never in arguments.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use engine::{EngineError, Fault, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::limits::{COMPLAINT_BYTES_MAX, COMPLAINT_CHARS_MAX, LOCAL_TIMEOUT, OUTPUT_BYTES_MAX};

/// Settings of every call.
const SETTINGS: &[(&str, &str)] = &[
    ("protocol.allow", "never"),
    ("protocol.http.allow", "always"),
    ("protocol.https.allow", "always"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("credential.helper", ""),
    ("submodule.recurse", "false"),
    ("advice.detachedHead", "false"),
    // What tidies up does it before it answers: nothing is left running behind.
    ("gc.autoDetach", "false"),
    ("maintenance.autoDetach", "false"),
    // Where an address leads was checked; where its server sends one on was not.
    ("http.followRedirects", "false"),
    // A line on which nothing comes is given up.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "30"),
];

/// What could be in the daemon's own environment and would lead Git elsewhere, make it run other
/// programs, or let it print what it sends. The rest of it (the path to programs, proxies, where
/// certificates are) is how whoever started the daemon wants the world to be reached.
const REMOVED: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_AUTHOR_DATE",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_DATE",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_SYSTEM",
    "GIT_CURL_VERBOSE",
    "GIT_DEFAULT_HASH",
    "GIT_DIR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_PROTOCOL",
    "GIT_PROXY_COMMAND",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_TEMPLATE_DIR",
    "GIT_TRACE",
    "GIT_TRACE2",
    "GIT_TRACE2_EVENT",
    "GIT_TRACE_CURL",
    "GIT_TRACE_PACKET",
    "GIT_WORK_TREE",
    "SSH_ASKPASS",
    "XDG_CONFIG_HOME",
];

/// A call of `git`, to be made.
pub struct Call {
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    settings: Vec<(String, String)>,
    input: Vec<u8>,
    timeout: Duration,
}

/// Begins a call: `git(["log", "-1"])`.
pub fn git<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Call {
    Call {
        arguments: arguments
            .into_iter()
            .map(|it| it.as_ref().to_owned())
            .collect(),
        environment: Vec::new(),
        settings: Vec::new(),
        input: Vec::new(),
        timeout: LOCAL_TIMEOUT,
    }
}

impl Call {
    /// In this repository.
    pub fn at(self, repository: &Path) -> Self {
        self.with("GIT_DIR", repository)
    }
    pub fn with(mut self, variable: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((variable.to_owned(), value.as_ref().to_owned()));
        self
    }
    pub fn set(mut self, setting: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((setting.into(), value.into()));
        self
    }
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts it with pipes on all sides.
    pub fn spawn(self) -> Result<Running> {
        let mut command = Command::new("git");
        command.args(&self.arguments);
        for name in REMOVED {
            command.env_remove(name);
        }
        command
            .current_dir("/")
            .env("LC_ALL", "C")
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "false")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0");
        let own = SETTINGS.iter().map(|it| (it.0.to_owned(), it.1.to_owned()));
        let settings: Vec<_> = own.chain(self.settings).collect();
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (number, (name, value)) in settings.into_iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{number}"), name)
                .env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command.envs(self.environment);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = command.spawn().map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => "the program `git` is not installed",
                _ => "cannot run the program `git`",
            };
            EngineError::machine(hint).because(error)
        })?;
        Ok(Running {
            child,
            ended: false,
        })
    }

    /// Runs it to its end and answers what it wrote.
    pub async fn run(mut self) -> Result<Vec<u8>> {
        let (input, timeout) = (std::mem::take(&mut self.input), self.timeout);
        let mut running = self.spawn()?;
        let (mut stdin, stdout, stderr) = running.pipes()?;
        let feed = async move {
            // One that does not read to the end says why itself.
            let _ = stdin.write_all(&input).await;
            drop(stdin);
        };
        let all = async {
            let (_, output, complaint) =
                tokio::join!(feed, read_bounded(stdout), complaint(stderr));
            (output, complaint, running.wait().await)
        };
        let Ok((output, complaint, status)) = tokio::time::timeout(timeout, all).await else {
            return Err(EngineError::unreachable(format!(
                "git did not answer within {} seconds",
                timeout.as_secs()
            )));
        };
        if !status?.success() {
            return Err(failure(&complaint));
        }
        output
    }

    /// The same, as text without the end of its line.
    pub async fn text(self) -> Result<String> {
        let output = self.run().await?;
        Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
    }
}

async fn read_bounded(mut from: impl AsyncRead + Unpin) -> Result<Vec<u8>> {
    let mut output = Vec::new();
    let limit = OUTPUT_BYTES_MAX as u64 + 1;
    (&mut from).take(limit).read_to_end(&mut output).await?;
    if output.len() > OUTPUT_BYTES_MAX {
        return Err(EngineError::invalid("git's answer is too long"));
    }
    Ok(output)
}

/// The end of what it complains about; the rest is read and dropped, so that it never waits.
pub async fn complaint(mut from: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        kept.extend_from_slice(&piece[..count]);
        if kept.len() > COMPLAINT_BYTES_MAX {
            kept.drain(..kept.len() - COMPLAINT_BYTES_MAX);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// A call that runs. It and its children are asked to end when it is dropped: asked, so that they
/// take their lock files away.
pub struct Running {
    child: Child,
    ended: bool,
}

type Pipes = (
    tokio::process::ChildStdin,
    tokio::process::ChildStdout,
    tokio::process::ChildStderr,
);

impl Running {
    /// Its three ends, once.
    pub fn pipes(&mut self) -> Result<Pipes> {
        let pipes = (
            self.child.stdin.take(),
            self.child.stdout.take(),
            self.child.stderr.take(),
        );
        match pipes {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((stdin, stdout, stderr)),
            _ => Err(EngineError::machine("git's pipes are taken already")),
        }
    }

    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.ended = true;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let id = self.child.id().and_then(|it| i32::try_from(it).ok());
        if let (false, Some(id)) = (self.ended, id) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGTERM);
        }
    }
}

/// Whose fault it is, by the words that Git has had for it for many years.
const FAULTS: &[(Fault, &[&str])] = &[
    (
        Fault::Invalid,
        &[
            "Authentication failed",
            "could not read Username",
            "could not read Password",
            "returned error: 30",
            // A tree that no checkout can be made of: asking again does not mend it.
            "invalid path",
            "malformed object",
            "fsck error",
            "returned error: 401",
            "returned error: 403",
        ],
    ),
    (
        Fault::NotFound,
        &[
            "not found",
            "returned error: 404",
            "does not appear to be a git repository",
            "couldn't find remote ref",
            "not our ref",
            "unadvertised object",
            "bad revision",
            "unknown revision",
            "Not a valid object name",
            "Needed a single revision",
            "bad object",
            "does not exist",
            "not a tree object",
        ],
    ),
    (
        Fault::Unreachable,
        &[
            "unable to access",
            "Could not resolve",
            "RPC failed",
            "early EOF",
            "remote end hung up",
            "timed out",
            "unexpected disconnect",
        ],
    ),
];

pub fn failure(complaint: &str) -> EngineError {
    let fault = (FAULTS.iter())
        .find(|(_, words)| words.iter().any(|it| complaint.contains(it)))
        .map_or(Fault::Machine, |it| it.0);
    let line = complaint
        .lines()
        .map(str::trim)
        .rfind(|it| it.starts_with("fatal:") || it.starts_with("error:"))
        .or_else(|| complaint.lines().rfind(|it| !it.trim().is_empty()))
        .unwrap_or("git failed and said nothing");
    let words: String = line
        .trim_start_matches("fatal: ")
        .trim_start_matches("error: ")
        .chars()
        .take(COMPLAINT_CHARS_MAX)
        .collect();
    EngineError::new(fault, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_say_whose_fault_it_is() {
        let check = |text: &str, fault: Fault, words: &str| {
            let error = failure(text);
            assert_eq!((error.fault, error.message.as_str()), (fault, words));
        };
        check(
            "fatal: Authentication failed for 'https://example.com/a/'\n",
            Fault::Invalid,
            "Authentication failed for 'https://example.com/a/'",
        );
        check(
            "remote: gone\nfatal: repository 'https://example.com/a/' not found\n",
            Fault::NotFound,
            "repository 'https://example.com/a/' not found",
        );
        check(
            "fatal: unable to access 'http://127.0.0.1:1/': Failed to connect",
            Fault::Unreachable,
            "unable to access 'http://127.0.0.1:1/': Failed to connect",
        );
        check("", Fault::Machine, "git failed and said nothing");
    }

    #[tokio::test]
    async fn the_environment_is_clean_and_no_other_transport_is_there() {
        let names = git(["config", "--list", "--show-scope"])
            .text()
            .await
            .unwrap();
        assert!(names.lines().all(|it| it.starts_with("command")), "{names}");
        let error = git(["ls-remote", "file:///tmp"]).run().await.unwrap_err();
        assert!(error.message.contains("not allowed"), "{error}");
    }
}
