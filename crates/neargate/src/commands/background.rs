//! Starting the daemon in the background when none runs.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::client::{self, Health, Presence};
use crate::config::Config;

/// A daemon is ready well under a second; a machine under load gets some more.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// The daemon that runs, or a fresh one. Says whether it was started.
pub async fn ensure_daemon(config: &Config) -> Result<(Health, bool)> {
    if let Some(health) = own_daemon(config).await? {
        return Ok((health, false));
    }
    ensure!(
        nix::unistd::geteuid().is_root(),
        "containers and networks need root: run `sudo neargate …` (`neargate doctor` says what else is needed)"
    );
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.state)
        .with_context(|| format!("cannot make `{}`", config.state.display()))?;
    let mut child = spawn(config)?;
    let began = Instant::now();
    while began.elapsed() < START_TIMEOUT {
        if let Some(health) = own_daemon(config).await? {
            return Ok((health, true));
        }
        if let Some(status) = child.try_wait()? {
            bail!(
                "the daemon did not start ({status}): {}",
                last_lines(config)
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!(
        "the daemon does not answer after {} s: {}",
        START_TIMEOUT.as_secs(),
        last_lines(config)
    )
}

/// The daemon that runs, if there is one. Another one on our address would take what is meant for this
/// one.
pub async fn own_daemon(config: &Config) -> Result<Option<Health>> {
    match client::look(config).await? {
        Presence::Nobody => Ok(None),
        Presence::Own(health) if health.state == config.state.display().to_string() => {
            Ok(Some(health))
        }
        Presence::Own(_) | Presence::Foreign => bail!(
            "the daemon at {} does not work on `{}`: give this one another --listen",
            config.listen,
            config.state.display()
        ),
    }
}

fn spawn(config: &Config) -> Result<std::process::Child> {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(config.daemon_log())?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    command.arg("serve").args(config.arguments());
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir("/");
    // Its own process group: Ctrl-C in this terminal is not for the daemon.
    command.process_group(0);
    command.spawn().context("cannot start the daemon")
}

fn last_lines(config: &Config) -> String {
    const LINES: usize = 8;
    let text = fs::read_to_string(config.daemon_log()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
    format!(
        "the end of `{}` says:\n  {tail}",
        config.daemon_log().display()
    )
}
