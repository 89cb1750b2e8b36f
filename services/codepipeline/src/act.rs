//! Carries one action out: the reconciler of action runs. Each look does what is next and writes down
//! what came of it; when the action is over, its execution learns of it in the same transaction, and
//! the pipeline is woken.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, Records, StoreError};
use shapes::codepipeline::{ActionCategory, ActionExecutionStatus};

use crate::actions::{self, Progress, Session, Trouble};
use crate::record::{ActionRun, Execution, Failure, Pipeline, SourceWatch};

pub struct ActionReconciler;

#[async_trait]
impl Reconciler for ActionReconciler {
    fn kind(&self) -> &'static str {
        ActionRun::KIND
    }

    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        cloud.store.read(|tx| {
            let all = tx.readable::<ActionRun>("")?;
            let running = all.into_iter().filter(ActionRun::is_running);
            Ok(running.map(|it| it.key()).collect())
        })
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let found = cx.read(|tx| tx.get::<ActionRun>(key))?;
        let Some(run) = found.filter(ActionRun::is_running) else {
            return Ok(Next::Idle);
        };
        let mut now = run.clone();
        let driven = match session(&cx, &run) {
            Ok(session) => actions::drive(&session, &mut now).await,
            Err(trouble) => Err(trouble),
        };
        let progress = match driven {
            Ok(progress) => progress,
            Err(Trouble::Failure(failure)) => Progress::Failed(failure),
            Err(Trouble::Again(error)) => return Err(error.into()),
        };
        let wait = match progress {
            Progress::Waits(wait) => Some(wait),
            Progress::Succeeded => {
                now.status = ActionExecutionStatus::Succeeded;
                None
            }
            Progress::Failed(failure) => {
                now.status = ActionExecutionStatus::Failed;
                now.failure = Some(failure);
                None
            }
        };
        learn(&cx, &run, now)?;
        if wait.is_none() {
            cx.cloud.converge.wake(Pipeline::KIND, run.pipeline_key());
        }
        Ok(wait.map_or(Next::Idle, Next::After))
    }
}

/// The context of everything that is done for an action: in whose name, where, and the token by which
/// a repeated call is known.
fn session(cx: &Cx, run: &ActionRun) -> Result<Session, Trouble> {
    let (cx, name) = (cx.with_token(&run.id), &run.execution_id);
    let Some(own) = &run.declared.role_arn else {
        return Session::of_pipeline(cx, &run.pipeline, &run.role_arn, name);
    };
    let pipeline = cx.read(|tx| tx.get::<Pipeline>(&run.pipeline_key()))?;
    let role = pipeline.map(|it| it.declaration.role_arn);
    let role = role.unwrap_or_default();
    Session::of_pipeline(cx, &run.pipeline, &role, name)?.of_action(own)
}

fn learn(cx: &Cx, before: &ActionRun, mut now: ActionRun) -> Result<(), Error> {
    if *before == now {
        return Ok(());
    }
    now.updated_ms = cx.clock().now_ms();
    cx.write(|tx| {
        // It may have been abandoned, or approved, while it was looked at.
        let stored = tx.get::<ActionRun>(&now.key())?;
        if stored.as_ref() != Some(before) {
            return Ok(());
        }
        if now.status == ActionExecutionStatus::Succeeded {
            give_out(tx, &now)?;
        }
        tx.put(&now)
    })
}

/// What an action that succeeded leaves to its execution: artifacts, variables, its revision.
pub fn give_out(tx: &Records<'_>, run: &ActionRun) -> Result<(), Error> {
    let Some(mut execution) = tx.get::<Execution>(&run.execution_key())? else {
        return Ok(());
    };
    for (name, location) in &run.outputs {
        execution.artifacts.insert(name.clone(), location.clone());
    }
    if let Some(namespace) = &run.declared.namespace {
        let variables = run.variables.clone();
        execution.namespaces.insert(namespace.clone(), variables);
    }
    if let Some(revision) = &run.revision {
        execution
            .revisions
            .retain(|it| it.action != revision.action);
        execution.revisions.push(revision.clone());
    }
    tx.put(&execution)?;
    note_seen(tx, run)
}

/// A source's newest revision is under way: the watcher need not start another execution for it.
fn note_seen(tx: &Records<'_>, run: &ActionRun) -> Result<(), Error> {
    let is_source = run.declared.action_type_id.category == ActionCategory::Source;
    let (Some(revision), true, None) = (&run.revision, is_source, &run.revision_override) else {
        return Ok(());
    };
    let Some(mut watch) = tx.get::<SourceWatch>(&run.pipeline_key())? else {
        return Ok(());
    };
    let branch = actions::branch(run).unwrap_or_default().to_owned();
    let seen = watch.seen.entry(run.declared.name.clone()).or_default();
    if seen.insert(branch, revision.id.clone()).as_ref() != Some(&revision.id) {
        tx.put(&watch)?;
    }
    Ok(())
}

/// How long an action that waits for somebody else's work is left alone. What it waits for is on this
/// machine, and asking is cheap.
pub const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A failure in the words of the job workers.
pub fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure {
        code: code.into(),
        message: message.into(),
    }
}
