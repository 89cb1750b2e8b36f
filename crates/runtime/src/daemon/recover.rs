//! Finding again what an earlier daemon left: the directory is the registry.

use std::fs;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use engine::{Result, TaskState};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc;

use super::follow::{Connection, record_loss};
use super::{Inner, clean_up_task, clean_up_unknown, first_status};
use crate::error::{Context, Failure};
use crate::identity::Identity;
use crate::order::{Claim, Order, Wait};
use crate::shim::Request;

/// How long a shim that lives may take to answer.
const REACH_WAIT: Duration = Duration::from_secs(5);
/// Between two looks at a shim that has not answered.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A task that was found, and the connection to its shim if that lives.
pub(super) struct Found {
    pub id: String,
    pub connection: Option<Connection>,
    pub requests: mpsc::Receiver<Request>,
}

pub(super) async fn look(inner: &Inner) -> Result<Vec<Found>> {
    let ids = names(&inner.tasks_directory)?;
    let mut found = Vec::new();
    for id in &ids {
        match inner.files(id).read_order() {
            Ok(order) if order.step.is_some() => abandon_step(inner, id, order).await?,
            Ok(order) => found.extend(look_at(inner, id, order).await?),
            Err(failure) => {
                tracing::warn!(task = id, "an unreadable task is removed: {failure}");
                erase(inner, id)?;
            }
        }
    }
    for id in names(&inner.data_directory)? {
        if !ids.contains(&id) {
            clean_up_unknown(inner, &id)?;
        }
    }
    Ok(found)
}

async fn look_at(inner: &Inner, id: &str, order: Order) -> Result<Option<Found>> {
    let files = inner.files(id);
    let status = files.read_status();
    let status = status.unwrap_or_else(|| first_status(&order.spec));
    let stopped = status.state == TaskState::Stopped;
    let Some(requests) = inner.enter(status) else {
        return Ok(None);
    };
    let mut connection = None;
    if !stopped {
        match reach(inner, id, &order).await? {
            Shim::Lives(living) => connection = Some(*living),
            Shim::Gone(claim) => {
                inner.learn(record_loss(files, order, None).await);
                // Only now may a shim that was just being started look, and find its task ended.
                drop(claim);
            }
        }
    }
    inner.wake(id);
    Ok(Some(Found {
        id: id.to_owned(),
        connection,
        requests,
    }))
}

enum Shim {
    Lives(Box<Connection>),
    /// And none can begin while the claim is held.
    Gone(Claim),
}

/// Finds out whether a task has a shim. One that was just being started, or is just ending, gets
/// time to do so; one that lives but cannot be spoken to is killed.
async fn reach(inner: &Inner, id: &str, order: &Order) -> Result<Shim> {
    let files = inner.files(id);
    let began = Instant::now();
    loop {
        if let Some(claim) = files.claim(Wait::No)? {
            return Ok(Shim::Gone(claim));
        }
        if Identity::read(&files).is_some_and(|identity| identity.lives())
            && let Ok(living) = Connection::to_living(files.clone(), order.clone()).await
        {
            return Ok(Shim::Lives(Box::new(living)));
        }
        if began.elapsed() > REACH_WAIT {
            kill_shim(inner, id);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A build's step is nothing without the build.
async fn abandon_step(inner: &Inner, id: &str, order: Order) -> Result<()> {
    let claim = loop {
        kill_shim(inner, id);
        match inner.files(id).claim(Wait::No)? {
            Some(claim) => break claim,
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    };
    clean_up_task(inner.files(id), order).await?;
    let erased = erase(inner, id);
    drop(claim);
    Ok(erased?)
}

/// A shim that lives but cannot be spoken to.
fn kill_shim(inner: &Inner, id: &str) {
    if let Some(identity) = Identity::read(&inner.files(id))
        && identity.lives()
    {
        let _ = kill(Pid::from_raw(identity.pid), Signal::SIGKILL);
    }
}

/// Removes everything of a task that does not run. Nothing there is a success.
pub(super) fn erase(inner: &Inner, id: &str) -> Result<(), Failure> {
    kill_shim(inner, id);
    clean_up_unknown(inner, id)?;
    let directory = inner.files(id).directory;
    match fs::remove_dir_all(&directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context(|| format!("could not remove `{}`", directory.display())),
    }
}

fn names(directory: &std::path::Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory)?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}
