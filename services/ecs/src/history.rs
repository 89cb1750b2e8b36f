//! What is over, kept apart from what lives, and how long it is.
//!
//! Inactive revisions of task definitions are kept for good, as on AWS ("remain discoverable in your account
//! indefinitely"). Stopped tasks are shown for two hours, where AWS promises one at least, and then forgotten by a
//! sweep that takes some at a time, in the order in which they stopped.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, Records, StoreError};
use serde::{Deserialize, Serialize};

use crate::names::is_active;
use crate::record::Definition;
use crate::task_record::{StoppedTask, Task, TaskPlace};

pub const KIND: &str = "ecs.history";
pub const KEY: &str = "all";
/// AWS shows them "for at least one hour". Not paced: nobody wants to lose sooner what tells why a task
/// stopped.
const STOPPED_KEPT_MS: i64 = 2 * 60 * 60 * 1000;
/// Records that one transaction moves or forgets: others do not wait for long.
const AT_ONCE: usize = 100;

/// A revision that is not active any more, under the key that it had.
#[derive(Serialize, Deserialize)]
pub struct PastDefinition(pub Definition);

impl Record for PastDefinition {
    const KIND: &'static str = "ecs.past-task-definition";
    fn key(&self) -> String {
        self.0.key()
    }
}

/// A stopped task's place in the order of forgetting.
#[derive(Serialize, Deserialize)]
pub struct Stopped {
    at_ms: i64,
    id: String,
    task: String,
}

impl Record for Stopped {
    const KIND: &'static str = "ecs.stopped-order";
    fn key(&self) -> String {
        format!("{:020}/{}", self.at_ms, self.id)
    }
}

/// Says that records of older versions are where they belong.
#[derive(Serialize, Deserialize)]
struct Moved {}

impl Record for Moved {
    const KIND: &'static str = "ecs.history-moved";
    fn key(&self) -> String {
        KEY.to_owned()
    }
}

/// A revision, active or not.
pub fn revision(tx: &Records<'_>, key: &str) -> Result<Option<Definition>, Error> {
    match tx.get::<Definition>(key)? {
        Some(found) => Ok(Some(found)),
        None => Ok(tx.get::<PastDefinition>(key)?.map(|it| it.0)),
    }
}

/// Keeps a revision where its status says.
pub fn put_revision(tx: &Records<'_>, definition: Definition) -> Result<Definition, Error> {
    if is_active(&definition) {
        tx.put(&definition)?;
        return Ok(definition);
    }
    tx.delete::<Definition>(&definition.key())?;
    let past = PastDefinition(definition);
    tx.put(&past)?;
    Ok(past.0)
}

/// The newest active revision of a family.
pub fn newest(tx: &Records<'_>, region: &str, family: &str) -> Result<Option<Definition>, Error> {
    let prefix = format!("{region}/{family}:");
    let mut before: Option<String> = None;
    loop {
        let found = tx.page_back::<Definition>(&prefix, before.as_deref(), 1)?;
        let Some(found) = found.into_iter().next() else {
            return Ok(None);
        };
        if is_active(&found) {
            return Ok(Some(found));
        }
        // One of an older version that was not moved yet.
        before = Some(found.key());
    }
}

/// The task is history from now on.
pub fn put_stopped(tx: &Records<'_>, task: &Task) -> Result<(), Error> {
    tx.put(&StoppedTask(task.clone()))?;
    tx.put(&Stopped {
        at_ms: task.stopped_ms.unwrap_or_default().max(0),
        id: task.id.clone(),
        task: task.live_key(),
    })
}

/// One reconciler of one key: moves what older versions kept elsewhere, and forgets what is too old.
pub struct HistoryReconciler;

#[async_trait]
impl Reconciler for HistoryReconciler {
    fn kind(&self) -> &'static str {
        KIND
    }
    fn keys(&self, _: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![KEY.to_owned()])
    }
    fn region(&self, _: &str) -> String {
        String::new()
    }

    async fn reconcile(&self, cx: Cx, _: &str) -> Result<Next, converge::Error> {
        if cx.read(|tx| tx.get::<Moved>(KEY))?.is_none() {
            move_definitions(&cx).await?;
            move_tasks(&cx).await?;
            cx.write(|tx| tx.put(&Moved {}))?;
        }
        loop {
            let now_ms = cx.clock().now_ms();
            match cx.write(|tx| forget_some(tx, now_ms))? {
                Sweep::Some => tokio::task::yield_now().await,
                Sweep::Until(next_ms) => {
                    let pause_ms = u64::try_from(next_ms - now_ms).unwrap_or_default();
                    return Ok(Next::After(Duration::from_millis(pause_ms)));
                }
                Sweep::Over => return Ok(Next::Idle),
            }
        }
    }
}

async fn move_definitions(cx: &Cx) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let keys = cx.read(|tx| tx.page_keys::<Definition>("", &after, AT_ONCE))?;
        let Some(last) = keys.last() else {
            return Ok(());
        };
        after.clone_from(last);
        cx.write(|tx| {
            for key in &keys {
                // One that cannot be read stays where it is.
                let found = tx.readable::<Definition>(key)?.into_iter();
                for it in found.filter(|it| it.key() == *key && !is_active(it)) {
                    put_revision(tx, it)?;
                }
            }
            Ok(())
        })?;
        tokio::task::yield_now().await;
    }
}

async fn move_tasks(cx: &Cx) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let keys = cx.read(|tx| tx.page_keys::<StoppedTask>("", &after, AT_ONCE))?;
        let Some(last) = keys.last() else {
            return Ok(());
        };
        after.clone_from(last);
        cx.write(|tx| {
            for key in &keys {
                for StoppedTask(task) in tx.readable(key)? {
                    put_stopped(tx, &task)?;
                }
            }
            Ok(())
        })?;
        tokio::task::yield_now().await;
    }
}

enum Sweep {
    /// There may be more to forget.
    Some,
    /// The next one is to be forgotten then.
    Until(i64),
    Over,
}

fn forget_some(tx: &Records<'_>, now_ms: i64) -> Result<Sweep, Error> {
    let due_ms = |key: &str| {
        let at_ms: i64 = key.split('/').next().and_then(|it| it.parse().ok())?;
        Some(at_ms + STOPPED_KEPT_MS)
    };
    let keys = tx.page_keys::<Stopped>("", "", AT_ONCE)?;
    let Some(first) = keys.first() else {
        return Ok(Sweep::Over);
    };
    if let Some(due_ms) = due_ms(first).filter(|it| *it > now_ms) {
        return Ok(Sweep::Until(due_ms));
    }
    let is_due = |key: &&String| due_ms(key).is_none_or(|it| it <= now_ms);
    for key in keys.iter().filter(is_due) {
        // One that cannot be read goes alone; what it leads to stays.
        for it in tx.readable::<Stopped>(key)? {
            tx.delete::<StoppedTask>(&it.task)?;
            tx.delete::<TaskPlace>(&it.id)?;
        }
        tx.delete::<Stopped>(key)?;
    }
    Ok(Sweep::Some)
}
