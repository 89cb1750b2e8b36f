//! Starting this executable again, as a shim or as a helper that runs a command in a container.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use engine::{EngineError, Result, TaskSpec};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::follow::Connection;
use super::life::Life;
use super::{Inner, clean_up_task, make_private_directory};
use crate::order::{Joined, Order, TaskFiles, write_json};

/// A longer line of output is cut.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// Starts a task's shim and returns when it has accepted the task. Nothing is left after a failure.
pub(super) async fn launch_task(inner: &Inner, spec: TaskSpec) -> Result<Connection> {
    let (namespace, resolver) = match &spec.interface {
        Some(interface) => (
            Some(inner.network.namespace(interface).await?),
            inner.network.resolver(interface).await?,
        ),
        None => (None, None),
    };
    let mut own = std::collections::BTreeMap::new();
    for (index, container) in spec.containers.iter().enumerate() {
        if let Some(network) = &container.own_network {
            let joined = Joined {
                namespace: inner.network.namespace(&network.interface).await?,
                resolver: inner.network.resolver(&network.interface).await?,
            };
            own.insert(index, joined);
        }
    }
    let files = inner.files(&spec.id);
    let mut order = inner.order(spec, namespace, None)?;
    (order.resolver, order.own) = (resolver, own);
    match launch(inner, &files, &order, Stdio::null()).await {
        Ok(connection) => Ok(connection),
        Err(error) => {
            clean_up_task(files.clone(), order).await?;
            let _ = std::fs::remove_dir_all(&files.directory);
            Err(error)
        }
    }
}

/// Writes the order, starts a shim with a connection as its standard input, and waits for its
/// greeting.
pub(crate) async fn launch(
    inner: &Inner,
    files: &TaskFiles,
    order: &Order,
    stdout: Stdio,
) -> Result<Connection> {
    // Nobody waits for it.
    drop(tokio::task::spawn_blocking(crate::cgroup::warm_up));
    make_private_directory(&files.directory)?;
    write_json(&files.order(), order)?;
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let ours = tokio::net::UnixStream::from_std(ours)?;
    let log = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(files.shim_log())?;
    let mut command = command(inner);
    command.arg("run").arg(&files.directory);
    command
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(stdout)
        .stderr(Stdio::from(log))
        // A task outlives the daemon, a build's step does not outlive who waits for it.
        .kill_on_drop(order.step.is_some());
    let life = Life::Child(Box::new(spawn(&mut command)?));
    // The command holds our copy of the shim's end.
    drop(command);
    Connection::to_started(files.clone(), order.clone(), ours, life).await
}

pub(super) fn command(inner: &Inner) -> Command {
    let mut command = Command::new(&inner.executable.program);
    command.args(&inner.executable.args);
    // It forks into containers before it becomes their programs, or stays there as their init: whoever may trace
    // it there reads its environment.
    command.env_clear();
    command
}

pub(super) fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| {
        let program = command
            .as_std()
            .get_program()
            .to_string_lossy()
            .into_owned();
        EngineError::machine(format!("could not start `{program}`")).because(error)
    })
}

/// See [`engine::Tasks::exec`].
pub(super) async fn exec(
    inner: &Inner,
    id: &str,
    container: &str,
    argv: &[String],
    output: mpsc::Sender<String>,
) -> Result<i32> {
    let mut command = command(inner);
    command
        .arg("exec")
        .arg(&inner.files(id).directory)
        .arg(container)
        .args(argv);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // What it runs dies with it.
    command.kill_on_drop(true);
    let mut child = spawn(&mut command)?;
    let stdout = child.stdout.take().expect("it was asked for");
    let stderr = child.stderr.take().expect("it was asked for");
    let ((), ()) = tokio::join!(copy_lines(stdout, &output), copy_lines(stderr, &output));
    let status = child.wait().await?;
    status
        .code()
        .ok_or_else(|| EngineError::machine("the helper that ran the command was killed"))
}

/// Copies lines until the end. Goes on reading when nobody listens, so that the program is not
/// held up.
pub(crate) async fn copy_lines(mut from: impl AsyncRead + Unpin, to: &mpsc::Sender<String>) {
    let mut line = Vec::new();
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        for byte in &bytes[..count] {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() == LINE_BYTES_MAX {
                let _ = to.send(text(&mut line)).await;
            }
        }
        if count == 0 {
            break;
        }
    }
    if !line.is_empty() {
        let _ = to.send(text(&mut line)).await;
    }
}

fn text(line: &mut Vec<u8>) -> String {
    let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
    line.clear();
    text
}
