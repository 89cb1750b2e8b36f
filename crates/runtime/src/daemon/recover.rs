//! Finding again what an earlier daemon left: the directory is the registry.

use std::fs;
use std::io::ErrorKind;

use engine::{Result, TaskState};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc;

use super::follow::{Connection, record_loss};
use super::{Inner, clean_up_task, clean_up_unknown, first_status};
use crate::error::{Context, Failure};
use crate::identity::Identity;
use crate::order::Order;
use crate::shim::Request;

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
            Ok(order) => found.extend(look_at(inner, id, order).await),
            Err(failure) => {
                tracing::warn!(task = id, "an unreadable task is removed: {failure}");
                let erased = erase(inner, id);
                erased?;
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

async fn look_at(inner: &Inner, id: &str, order: Order) -> Option<Found> {
    let files = inner.files(id);
    let status = files
        .read_status()
        .unwrap_or_else(|| first_status(&order.spec));
    let stopped = status.state == TaskState::Stopped;
    let requests = inner.enter(status)?;
    let mut connection = None;
    if !stopped {
        if Identity::read(&files).is_some_and(|identity| identity.lives()) {
            connection = Connection::to_living(files.clone(), order.clone())
                .await
                .ok();
        }
        if connection.is_none() {
            kill_shim(inner, id);
            inner.learn(record_loss(files, order, None).await);
        }
    }
    inner.wake(id);
    Some(Found {
        id: id.to_owned(),
        connection,
        requests,
    })
}

/// A build's step is nothing without the build.
async fn abandon_step(inner: &Inner, id: &str, order: Order) -> Result<()> {
    kill_shim(inner, id);
    clean_up_task(inner.files(id), order).await?;
    Ok(erase(inner, id)?)
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
