//! `neargate exec NAME [--container C] [-- COMMAND…]`: a command in a container of a task's, with a terminal
//! where this is one, and with pipes where it is not. It asks for neither AWS's plugin nor
//! `enableExecuteCommand`: the machine's owner may look into what runs on it.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Args;
use console::Term;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use serde_json::json;
use shapes::ecs::{DescribeTasksInput, DesiredStatus, ListClustersInput, ListTasksInput, Task};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::application;
use crate::client::{CallError, Client};
use crate::config::Config;
use crate::front::exec::{Asked, PROTOCOL, Piece, read, write};
use crate::say;

/// What is read of the input at once.
const READ_BYTES: usize = 32 * 1024;
/// Pieces of input that wait to be sent.
const PIECES_MAX: usize = 8;
const TASK_ID_DIGITS: usize = 32;

#[derive(Debug, Args)]
pub struct Exec {
    /// A task's id or ARN, an application's name, or CLUSTER/SERVICE
    name: String,
    /// The container; needed where a task has several
    #[arg(short, long)]
    container: Option<String>,
    /// As which user of the container's image, instead of its own
    #[arg(short, long, default_value = "")]
    user: String,
    /// What to run, instead of /bin/sh
    #[arg(last = true)]
    command: Vec<String>,
}

impl Exec {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let client = Client::new(config)?;
        let task = self.find(&client).await?;
        let arn = task.task_arn.clone().unwrap_or_default();
        let has_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let asked = Asked {
            task: arn.rsplit('/').next().unwrap_or_default().to_owned(),
            container: self.container_of(&task)?,
            argv: match self.command.is_empty() {
                true => vec!["/bin/sh".into()],
                false => self.command.clone(),
            },
            env: match (has_terminal, std::env::var("TERM")) {
                (true, Ok(term)) => vec![format!("TERM={term}")],
                _ => Vec::new(),
            },
            user: self.user.clone(),
            terminal: has_terminal.then(|| Term::stdout().size()),
        };
        let stream = client
            .upgrade("/_neargate/v1/exec", &json!(asked), PROTOCOL)
            .await?;
        let raw = if has_terminal {
            Some(Raw::begin()?)
        } else {
            None
        };
        let code = carry(stream, has_terminal).await;
        drop(raw);
        // As a shell tells it: the low eight bits.
        Ok(ExitCode::from(code?.to_be_bytes()[3]))
    }

    /// The task that is named, or one that runs for what is named.
    async fn find(&self, client: &Client) -> Result<Task> {
        let name = self.name.as_str();
        let is_id = name.len() == TASK_ID_DIGITS && name.bytes().all(|it| it.is_ascii_hexdigit());
        if let Some(path) = name
            .strip_prefix("arn:")
            .and_then(|it| it.split(":task/").nth(1))
        {
            let cluster = path.split('/').next().unwrap_or_default();
            return found(describe(client, cluster, name).await?, name);
        }
        if is_id {
            let clusters = client.call(ListClustersInput::default()).await?;
            for cluster in clusters.cluster_arns.iter().flatten() {
                if let Some(task) = describe(client, cluster, name).await? {
                    return Ok(task);
                }
            }
            return found(None, name);
        }
        let (cluster, service) = match name.split_once('/') {
            Some((cluster, service)) => (cluster.to_owned(), service.to_owned()),
            None => {
                let it = application::find(client, name).await?;
                let both = it.cluster.zip(it.service);
                both.with_context(|| format!("`{name}` has no service yet: it is {}", it.status))?
            }
        };
        let list = ListTasksInput {
            cluster: Some(cluster.clone()),
            service_name: Some(service),
            desired_status: Some(DesiredStatus::Running),
            ..Default::default()
        };
        for arn in client.call(list).await?.task_arns.iter().flatten() {
            let task = describe(client, &cluster, arn).await?;
            if let Some(task) = task.filter(|it| it.last_status.as_deref() == Some("RUNNING")) {
                return Ok(task);
            }
        }
        bail!("no task of `{name}` runs: `neargate why` says why")
    }

    fn container_of(&self, task: &Task) -> Result<String> {
        let all = task.containers.iter().flatten();
        let names: Vec<&String> = all.filter_map(|it| it.name.as_ref()).collect();
        match (&self.container, &names[..]) {
            (Some(name), all) if all.contains(&name) => Ok(name.clone()),
            (None, [only]) => Ok((*only).clone()),
            (asked, all) => {
                let all: Vec<&str> = all.iter().map(|it| it.as_str()).collect();
                let what = asked.as_ref().map_or_else(
                    || "the task has several containers".to_owned(),
                    |it| format!("the task has no container `{it}`"),
                );
                bail!("{what}: say one with --container: {}", all.join(", "))
            }
        }
    }
}

fn found(task: Option<Task>, name: &str) -> Result<Task> {
    task.with_context(|| format!("there is no task `{name}`"))
}

async fn describe(client: &Client, cluster: &str, task: &str) -> Result<Option<Task>> {
    let input = DescribeTasksInput {
        cluster: Some(cluster.to_owned()),
        tasks: vec![task.to_owned()],
        ..Default::default()
    };
    match client.call(input).await {
        Ok(answer) => Ok(answer.tasks.unwrap_or_default().into_iter().next()),
        Err(error) => match error.downcast_ref::<CallError>() {
            Some(known) if known.code == "ClusterNotFoundException" => Ok(None),
            _ => Err(error),
        },
    }
}

/// The terminal passes every key on as it is, for as long as this lives.
struct Raw(Termios);

impl Raw {
    fn begin() -> Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("cannot ask the terminal")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &raw).context("cannot set the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// The standard input, read by a thread that nobody waits for: it may never get anything.
fn typed() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    std::thread::spawn(move || {
        let mut bytes = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = std::io::stdin().read(&mut bytes) {
            let piece = Bytes::copy_from_slice(&bytes[..count]);
            if sender.blocking_send(piece).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Carries input and output, and answers the command's exit code.
async fn carry(stream: crate::client::Stream, has_terminal: bool) -> Result<i32> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut typed = typed();
    let mut resized = signal(SignalKind::window_change())?;
    let sending = async {
        loop {
            let piece = tokio::select! {
                got = typed.recv() => match got {
                    Some(bytes) => Piece::Input(bytes),
                    None => break,
                },
                _ = resized.recv(), if has_terminal => {
                    let (rows, columns) = Term::stdout().size();
                    Piece::Size(rows, columns)
                }
            };
            if write(&mut writer, &piece).await.is_err() {
                break;
            }
        }
        let _ = write(&mut writer, &Piece::EndOfInput).await;
        std::future::pending::<()>().await;
    };
    let receiving = async {
        loop {
            let piece = read(&mut reader).await;
            match piece.context("the daemon ended the connection")? {
                Piece::Output(stream, bytes) => say::raw(stream, &bytes),
                Piece::Exit(code) => return Ok(code),
                _ => {}
            }
        }
    };
    tokio::select! {
        () = sending => bail!("the daemon ended the connection"),
        code = receiving => code,
    }
}
