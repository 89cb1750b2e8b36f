//! Finding again what an earlier daemon left: the directory is the registry.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use engine::{Result, TaskState};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::follow::{Connection, SILENCE_MAX, record_loss};
use super::life::{Life, kill_recorded};
use super::{Inner, blocking, clean_up_task, clean_up_unknown, first_status};
use crate::error::{Context, Failure};
use crate::order::{Claim, Order, Wait};
use crate::shim::Request;

/// How long the daemon's start waits for all that is found together, so that what is quick has
/// happened when it is asked about. No single task is waited for longer.
const START_WAIT: Duration = Duration::from_secs(2);
/// Tasks that are looked at, or cleaned up after, at the same time.
const AT_ONCE_MAX: usize = 64;
/// Between two looks at a shim that has not answered.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// See [`super::Runtime::recover`].
pub(super) async fn recover(inner: &Arc<Inner>) -> Result<()> {
    let ids = names(&inner.tasks_directory)?;
    let mut work = Recoveries::new(inner);
    for id in &ids {
        match inner.files(id).read_order() {
            Ok(order) if order.step.is_some() => {
                work.clear(id, abandon_step(inner.clone(), id.clone(), order));
            }
            Ok(order) => look_at(inner, id, order, &mut work),
            Err(failure) => {
                tracing::warn!(task = id, "an unreadable task is removed: {failure}");
                work.clear(id, erase_alone(inner.clone(), id.clone()));
            }
        }
    }
    for id in names(&inner.data_directory)? {
        if !ids.contains(&id) {
            let (owned, inner) = (id.clone(), inner.clone());
            work.clear(&id, blocking(move || clean_up_unknown(&inner, &owned)));
        }
    }
    work.wait().await;
    Ok(())
}

/// What is done about the tasks that were found, of each on its own.
struct Recoveries<'a> {
    inner: &'a Arc<Inner>,
    turns: Arc<Semaphore>,
    /// One for each that goes on.
    ends: JoinSet<()>,
}

impl<'a> Recoveries<'a> {
    fn new(inner: &'a Arc<Inner>) -> Self {
        Self {
            inner,
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            ends: JoinSet::new(),
        }
    }

    /// Goes on for as long as the runtime is there, whoever waits for it.
    fn add(&mut self, id: &str, work: impl Future<Output = Result<()>> + Send + 'static) {
        let (turns, id) = (self.turns.clone(), id.to_owned());
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        self.inner.spawn(async move {
            let _turn = turns.acquire_owned().await;
            if let Err(error) = work.await {
                tracing::error!(task = id, "could not recover: {}", error.chain());
            }
            drop(ended);
        });
        self.ends.spawn(async move { drop(end.await) });
    }

    /// The same for what removes all that is there of a task.
    fn clear(&mut self, id: &str, work: impl Future<Output = Result<()>> + Send + 'static) {
        let (inner, owned) = (self.inner.clone(), id.to_owned());
        let began = owned.clone();
        inner.clearing.send_modify(|ids| {
            ids.insert(began);
        });
        self.add(id, async move {
            let done = work.await;
            inner.clearing.send_modify(|ids| {
                ids.remove(&owned);
            });
            done
        });
    }

    async fn wait(mut self) {
        let all = async { while self.ends.join_next().await.is_some() {} };
        if timeout(START_WAIT, all).await.is_err() {
            tracing::warn!(
                tasks = self.ends.len(),
                "supervisors do not answer yet; the start goes on without them"
            );
        }
    }
}

fn look_at(inner: &Arc<Inner>, id: &str, order: Order, work: &mut Recoveries<'_>) {
    let status = inner.files(id).read_status();
    let status = status.unwrap_or_else(|| first_status(&order.spec));
    let stopped = status.state == TaskState::Stopped;
    let Some(requests) = inner.enter(status, order.cgroup.clone()) else {
        return;
    };
    if stopped {
        inner.wake(id);
    } else {
        work.add(id, take_up(inner.clone(), id.to_owned(), order, requests));
    }
}

/// Goes on listening to a task, or says that it is lost.
async fn take_up(
    inner: Arc<Inner>,
    id: String,
    order: Order,
    requests: mpsc::Receiver<Request>,
) -> Result<()> {
    match reach(&inner, &id, &order).await? {
        Shim::Lives(connection) => {
            inner.spawn_follower(id.clone(), *connection, requests);
            inner.wake(&id);
        }
        Shim::Gone(claim) => {
            let files = inner.files(&id);
            inner.learn(record_loss(files.clone(), order, None).await);
            // A shim that was just being started either finds the task ended, or has recorded itself
            // before that was written.
            drop(claim);
            if let Some(mut late) = Life::find(&files)? {
                late.kill().await;
            }
        }
    }
    Ok(())
}

enum Shim {
    Lives(Box<Connection>),
    /// And none can begin while the claim is held, if it could be had.
    Gone(Option<Claim>),
}

/// Finds out whether a task has a shim. One that was just being started, or is just ending, gets
/// time to do so; one that lives but does not answer is killed. That the order is claimed does not
/// say that the shim lives: what it has forked may have the claim too.
async fn reach(inner: &Inner, id: &str, order: &Order) -> Result<Shim> {
    let files = inner.files(id);
    let deadline = Instant::now() + SILENCE_MAX;
    while Instant::now() < deadline {
        if let Some(claim) = files.claim(Wait::No)? {
            return Ok(Shim::Gone(Some(claim)));
        }
        let recorded = files.identity().exists();
        if recorded && Life::find(&files)?.is_none() {
            return Ok(Shim::Gone(None));
        }
        let connection = Connection::to_living(files.clone(), order.clone());
        if let Ok(Ok(living)) = timeout_at(deadline, connection).await {
            return Ok(Shim::Lives(Box::new(living)));
        }
        sleep(LOOK_AGAIN).await;
    }
    tracing::warn!(task = id, "its supervisor does not answer, and is killed");
    if let Some(mut silent) = Life::find(&files)? {
        silent.kill().await;
    }
    Ok(Shim::Gone(None))
}

/// A build's step is nothing without the build.
async fn abandon_step(inner: Arc<Inner>, id: String, order: Order) -> Result<()> {
    let files = inner.files(&id);
    let deadline = Instant::now() + SILENCE_MAX;
    let claim = loop {
        if let Some(mut shim) = Life::find(&files)? {
            shim.kill().await;
        }
        let recorded = files.identity().exists();
        match files.claim(Wait::No)? {
            Some(claim) => break Some(claim),
            None if recorded || Instant::now() > deadline => break None,
            None => sleep(LOOK_AGAIN).await,
        }
    };
    clean_up_task(files, order).await?;
    let erased = erase_alone(inner, id).await;
    drop(claim);
    erased
}

async fn erase_alone(inner: Arc<Inner>, id: String) -> Result<()> {
    blocking(move || erase(&inner, &id)).await
}

/// Removes everything of a task that does not run. Nothing there is a success.
pub(super) fn erase(inner: &Inner, id: &str) -> Result<(), Failure> {
    kill_recorded(&inner.files(id));
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
