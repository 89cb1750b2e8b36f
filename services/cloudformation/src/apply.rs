//! Doing a step. Every effect may be repeated: it carries the work's token, and what was learnt is
//! committed together with its events, so that a crash between the two only repeats the effect.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloud::{Cx, Error, Made, ResourceError, ResourceRequest, ResourceType, Stability};
use futures_util::FutureExt;
use serde_json::Value as Json;

use crate::asker::acting;
use crate::event::Draft;
use crate::plan::Step;
use crate::record::{Action, Phase, STACK_TYPE, Stack, Work};
use crate::secrets::{self, Resolved};
use crate::signal::{self, Tally};
use crate::{finish, kept, learn};

/// How long a resource may take to become stable; AWS gives up on an ECS service after three hours.
const STABILIZE_MAX: Duration = Duration::from_secs(3 * 60 * 60);
/// How long a call that asks to be repeated is repeated. A deletion may have to wait for what is
/// draining, so it gets as long as AWS gives a load balancer.
const RETRY_MAX: Duration = Duration::from_secs(60 * 60);

/// How services say that something still hangs on to what is to be deleted.
const STILL_IN_USE: [&str; 3] = [
    "Error Code: DependencyViolation",
    "Error Code: ResourceInUse",
    "Error Code: ClusterContains",
];

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something is known now that was not before: plan again.
    Moved,
    /// Look again in a while.
    Waiting,
}

/// Whether a change was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    Yes,
    /// The record is not any more what the step was planned for.
    No,
}

/// What a change of a stack's record is about: so much is read and written.
#[derive(Debug, Clone, Copy)]
enum About<'a> {
    Stack,
    Resource(&'a str),
    Everything,
}

/// What the steps of one plan share.
pub struct Run {
    pub cx: Cx,
    /// The key of the stack.
    pub key: String,
    /// Where the operation was when its steps were planned.
    pub place: Option<(u64, Phase)>,
    /// What no event may contain.
    pub secrets: Mutex<Vec<String>>,
    /// What was kept of the stack, change by change.
    pub kept: Mutex<Vec<Stack>>,
    /// The outputs, once everything that they read is there.
    pub outputs: finish::Computed,
}

impl Run {
    /// Changes the stack's record, unless something else has begun since the plan was made: a
    /// handler may have asked for the stack's deletion.
    fn commit(
        &self,
        about: About<'_>,
        body: impl FnOnce(&mut Draft<'_>) -> Result<(), Error>,
    ) -> Result<Committed, Error> {
        self.commit_if(about, |stack| place(stack) == self.place, body)
    }

    /// Changes a resource that is still being worked on with `work`'s token, whatever the stack
    /// is doing by now: what was learnt is true all the same.
    fn commit_work(
        &self,
        id: &str,
        work: &Work,
        body: impl FnOnce(&mut Draft<'_>) -> Result<(), Error>,
    ) -> Result<Progress, Error> {
        let token = |stack: &Stack| Some(work_of(stack, id)?.token.clone());
        let is_same = |stack: &Stack| token(stack).as_ref() == Some(&work.token);
        self.commit_if(About::Resource(id), is_same, body)?;
        Ok(Progress::Moved)
    }

    fn commit_if(
        &self,
        about: About<'_>,
        condition: impl FnOnce(&Stack) -> bool,
        body: impl FnOnce(&mut Draft<'_>) -> Result<(), Error>,
    ) -> Result<Committed, Error> {
        let now_ms = self.cx.clock().now_ms();
        let kept = self.cx.write(|tx| {
            let found = match about {
                About::Stack => kept::head(tx, &self.key)?,
                About::Resource(id) => kept::part(tx, &self.key, id)?,
                About::Everything => kept::whole(tx, &self.key)?,
            };
            let Some(stack) = found.filter(condition) else {
                return Ok(None);
            };
            let mut draft = Draft {
                // What one operation leads to is done for who asked for it.
                asked_by: stack.asked_by.clone(),
                stack,
                tx,
                now_ms,
                secrets: self.lock_secrets().clone(),
            };
            body(&mut draft)?;
            draft.save().map(Some)
        })?;
        let Some(stack) = kept else {
            return Ok(Committed::No);
        };
        (self.kept.lock().unwrap_or_else(PoisonError::into_inner)).push(stack);
        Ok(Committed::Yes)
    }

    fn lock_secrets(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The properties with the values of their dynamic references, which no event will contain. What
    /// is handed to a nested stack stays a reference: it is resolved where it is used.
    async fn resolved(
        &self,
        cx: &Cx,
        resource_type: &dyn ResourceType,
        properties: &Json,
    ) -> Result<Json, ResourceError> {
        if resource_type.is_stack() {
            return Ok(properties.clone());
        }
        let resolved = Resolved::of(cx, properties).await?;
        self.lock_secrets().extend(resolved.secrets());
        resolved.put_into(properties)
    }

    fn resource_type(&self, name: &str) -> Result<Arc<dyn ResourceType>, ResourceError> {
        (self.cx.cloud.resource_type(name)).ok_or_else(|| {
            ResourceError::new(format!("resource type {name} is not supported by neargate"))
        })
    }
}

/// Which operation a stack is in, and where in it.
pub fn place(stack: &Stack) -> Option<(u64, Phase)> {
    stack.operation.as_ref().map(|it| (it.number, it.phase))
}

pub async fn apply(run: &Run, stack: &Stack, step: Step) -> Result<Progress, Error> {
    match step {
        Step::Start { id, work, imports } => {
            return match run.commit(About::Resource(&id), |draft| {
                learn::started(draft, &id, &work, imports)
            })? {
                Committed::Yes => call(run, stack, &id, &work).await,
                Committed::No => Ok(Progress::Moved),
            };
        }
        Step::Apply { id } => {
            if let Some(work) = work_of(stack, &id) {
                return call(run, stack, &id, work).await;
            }
        }
        Step::Poll { id } => {
            if let Some(work) = work_of(stack, &id) {
                return poll(run, stack, &id, work).await;
            }
        }
        Step::Cancel { id } => {
            if let Some(work) = work_of(stack, &id) {
                run.commit_work(&id, work, |draft| learn::cancel(draft, &id, work))?;
            }
        }
        Step::Release { id } => return release(run, stack, &id).await,
        Step::Settle { id, goal } => {
            run.commit(About::Resource(&id), |draft| {
                learn::settle(draft, &id, goal);
                Ok(())
            })?;
        }
        Step::TakeBack { id } => {
            run.commit(About::Resource(&id), |draft| learn::take_back(draft, &id))?;
        }
        Step::Deny { id, reason } => {
            run.commit(About::Resource(&id), |draft| {
                learn::denied(draft, &id, reason)
            })?;
        }
        Step::Skip { id, physical_id } => {
            run.commit(About::Resource(&id), |draft| {
                learn::skip(draft, &id, &physical_id)
            })?;
        }
        Step::Fail { reason } => {
            run.commit(About::Stack, |draft| {
                if let Some(operation) = &mut draft.stack.operation {
                    operation.failure.get_or_insert(reason);
                }
                Ok(())
            })?;
        }
        Step::Finish => {
            let outputs = told(run, stack).await;
            run.commit(About::Everything, |draft| finish::finish(draft, &outputs))?;
        }
    }
    Ok(Progress::Moved)
}

/// The outputs as they are shown: with what their references to the Parameter Store stand for.
async fn told(run: &Run, stack: &Stack) -> finish::Computed {
    let (mut outputs, imports) = match run.outputs.clone()? {
        Ok(computed) => computed,
        Err(reason) => return Some(Err(reason)),
    };
    let cx = &match acting(&run.cx, stack) {
        Ok(cx) => cx,
        Err(error) => return Some(Err(error.message)),
    };
    for output in &mut outputs {
        match secrets::shown(cx, &output.value).await {
            Ok(None) => {}
            Ok(Some(value)) => output.written = Some(std::mem::replace(&mut output.value, value)),
            Err(error) => return Some(Err(error.message)),
        }
    }
    Some(Ok((outputs, imports)))
}

fn work_of<'a>(stack: &'a Stack, id: &str) -> Option<&'a Work> {
    stack.resources.get(id)?.work.as_ref()
}

/// Makes the call that the work is about.
async fn call(run: &Run, stack: &Stack, id: &str, work: &Work) -> Result<Progress, Error> {
    let made = Made::default();
    let outcome = match run.resource_type(&work.resource_type) {
        Ok(resource_type) => {
            let performed = perform(run, &*resource_type, stack, id, work, &made);
            guarded(&work.resource_type, performed).await
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(physical_id) => run.commit_work(id, work, |draft| {
            learn::applied(draft, id, work, physical_id)
        }),
        Err(error)
            if error.retry && !is_over(run, work, RETRY_MAX) && !is_pointless(stack, work) =>
        {
            Ok(Progress::Waiting)
        }
        Err(error) => run.commit_work(id, work, |draft| {
            learn::noted(draft, id, made.physical_id());
            learn::failed(draft, id, work, error.message)
        }),
    }
}

/// A panic in a resource type is a failure of the resource: whoever drives the stack goes on.
async fn guarded<T>(
    resource_type: &str,
    work: impl Future<Output = Result<T, ResourceError>>,
) -> Result<T, ResourceError> {
    let outcome = std::panic::AssertUnwindSafe(work).catch_unwind().await;
    outcome.unwrap_or_else(|panic| {
        let what = (panic.downcast_ref::<String>().map(String::as_str))
            .or(panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        tracing::error!(resource_type, what, "a resource type panicked");
        Err(ResourceError::new(format!(
            "Internal Failure: {resource_type} cannot do this ({what}); this is a fault of neargate"
        )))
    })
}

/// Brings properties to the form that their type says. What a property was before, or is when it is
/// deleted, was checked when it was made.
fn conformed(resource_type: &dyn ResourceType, properties: &mut Json) -> Result<(), ResourceError> {
    let checked = cloud::conform(resource_type.properties(), properties, &|_| false);
    checked.map_err(|it| ResourceError::new(it.to_string()))
}

/// Nothing is tried again for an operation that has failed already, except taking things away.
fn is_pointless(stack: &Stack, work: &Work) -> bool {
    work.action != Action::Delete && crate::plan::is_failing(stack)
}

fn is_over(run: &Run, work: &Work, documented_max: Duration) -> bool {
    let max_ms = i64::try_from(run.cx.clock().paced_ms(documented_max)).unwrap_or(i64::MAX);
    run.cx.clock().now_ms() - work.began_ms >= max_ms
}

async fn perform(
    run: &Run,
    resource_type: &dyn ResourceType,
    stack: &Stack,
    id: &str,
    work: &Work,
    made: &Made,
) -> Result<Option<String>, ResourceError> {
    let physical_id = work.physical_id.as_deref().unwrap_or_default();
    let mut request = request(stack, id, work, made);
    let cx = &acting(&run.cx, stack)?;
    if work.action != Action::Delete {
        request.properties = run.resolved(cx, resource_type, &request.properties).await?;
        conformed(resource_type, &mut request.properties).map_err(|error| ResourceError {
            message: format!(
                "Properties validation failed for resource {id} with message: [{}]",
                error.message
            ),
            ..error
        })?;
    }
    match work.action {
        Action::Create | Action::Replace => {
            let created = resource_type.create(cx, &request).await?;
            Ok(Some(created.physical_id))
        }
        Action::Update | Action::Restore => {
            let current = stack.resources.get(id).and_then(|it| it.current.as_ref());
            let old = current.map_or(Json::Null, |it| it.goal.properties.clone());
            // What a reference stood for may be gone by now: the text of it is different as well.
            let mut old = run.resolved(cx, resource_type, &old).await.unwrap_or(old);
            let _ = conformed(resource_type, &mut old);
            match work.action {
                Action::Restore => {
                    resource_type
                        .restore(cx, physical_id, &old, &request)
                        .await?
                }
                _ => {
                    resource_type
                        .update(cx, physical_id, &old, &request)
                        .await?
                }
            }
            Ok(Some(physical_id.to_owned()))
        }
        Action::Delete => {
            let mut properties = work.goal.properties.clone();
            let _ = conformed(resource_type, &mut properties);
            let deleted = resource_type.delete(cx, physical_id, &properties).await;
            deleted.map_err(|error| ResourceError {
                // What still hangs on to it is being deleted as well.
                retry: error.retry || STILL_IN_USE.iter().any(|it| error.message.contains(it)),
                ..error
            })?;
            Ok(Some(physical_id.to_owned()))
        }
    }
}

fn request(stack: &Stack, id: &str, work: &Work, made: &Made) -> ResourceRequest {
    let mut tags = work.goal.tags.clone();
    tags.insert("aws:cloudformation:stack-name".into(), stack.name.clone());
    tags.insert("aws:cloudformation:stack-id".into(), stack.id.clone());
    tags.insert("aws:cloudformation:logical-id".into(), id.to_owned());
    ResourceRequest {
        stack_name: stack.name.clone(),
        stack_id: stack.id.clone(),
        logical_id: id.to_owned(),
        token: work.token.clone(),
        properties: work.goal.properties.clone(),
        tags,
        update_policy: work.goal.update_policy.clone(),
        made: made.clone(),
    }
}

/// Lets a nested stack clean up. There is no way back from here, so whatever goes wrong with it is
/// the nested stack's own to tell.
async fn release(run: &Run, stack: &Stack, id: &str) -> Result<Progress, Error> {
    let current = stack.resources.get(id).and_then(|it| it.current.as_ref());
    let released = match current {
        Some(current) => match run.resource_type(&current.resource_type) {
            Ok(resource_type) => resource_type.release(&run.cx, &current.physical_id).await,
            Err(error) => Err(error),
        },
        None => Ok(Stability::Stable),
    };
    match released {
        Ok(Stability::Waiting(_)) => return Ok(Progress::Waiting),
        Err(error) if error.retry => return Ok(Progress::Waiting),
        Ok(_) => {}
        Err(error) => tracing::warn!(
            id,
            error = error.message,
            "a nested stack is not cleaned up"
        ),
    }
    run.commit(About::Resource(id), |draft| {
        learn::settle(draft, id, None);
        Ok(())
    })?;
    Ok(Progress::Moved)
}

/// Looks whether the work has become true.
async fn poll(run: &Run, stack: &Stack, id: &str, work: &Work) -> Result<Progress, Error> {
    let now_ms = run.cx.clock().now_ms();
    let tally = match (work.goal.signals, stack.resources.get(id)) {
        (Some(wanted), Some(resource))
            if matches!(work.action, Action::Create | Action::Replace) =>
        {
            signal::tally(wanted, resource, work.began_ms, now_ms)
        }
        _ => Tally::Enough,
    };
    let tally_failed = match &tally {
        Tally::Failed(reason) => Some(reason.clone()),
        _ => None,
    };
    if let Some(reason) = tally_failed {
        return run.commit_work(id, work, |draft| learn::failed(draft, id, work, reason));
    }
    let found = guarded(&work.resource_type, look(run, work)).await;
    let found = match found {
        Ok((Stability::Stable, attributes)) if work.action == Action::Update => {
            let ended = end_update(run, stack, id, work);
            let ended = guarded(&work.resource_type, ended).await;
            ended.map(|()| (Stability::Stable, attributes))
        }
        found => found,
    };
    match found {
        Ok((Stability::Stable, _)) if tally == Tally::Waiting => Ok(Progress::Waiting),
        Ok((Stability::Stable, attributes)) => {
            run.commit_work(id, work, |draft| learn::done(draft, id, work, attributes))
        }
        Ok((Stability::Failed(reason), _)) => {
            run.commit_work(id, work, |draft| learn::failed(draft, id, work, reason))
        }
        // A stack in a stack gives up by itself, and knows why: its resources have as long as any.
        Ok((Stability::Waiting(_), _)) if work.resource_type == STACK_TYPE => Ok(Progress::Waiting),
        Ok((Stability::Waiting(reason), _)) if is_over(run, work, STABILIZE_MAX) => {
            let reason = match reason.as_str() {
                "" => "Exceeded attempts to wait".to_owned(),
                _ => format!("Exceeded attempts to wait: {reason}"),
            };
            run.commit_work(id, work, |draft| learn::failed(draft, id, work, reason))
        }
        Ok((Stability::Waiting(_), _)) => Ok(Progress::Waiting),
        Err(error) if error.retry && !is_over(run, work, RETRY_MAX) => Ok(Progress::Waiting),
        Err(error) => run.commit_work(id, work, |draft| {
            learn::failed(draft, id, work, error.message)
        }),
    }
}

/// Ends what the update had begun for its time only.
async fn end_update(run: &Run, stack: &Stack, id: &str, work: &Work) -> Result<(), ResourceError> {
    let resource_type = run.resource_type(&work.resource_type)?;
    let physical_id = work.physical_id.as_deref().unwrap_or_default();
    let request = request(stack, id, work, &Made::default());
    resource_type.updated(&run.cx, physical_id, &request).await
}

async fn look(
    run: &Run,
    work: &Work,
) -> Result<(Stability, BTreeMap<String, Json>), ResourceError> {
    let resource_type = run.resource_type(&work.resource_type)?;
    let physical_id = work.physical_id.as_deref().unwrap_or_default();
    if work.action == Action::Delete {
        return Ok((
            resource_type.deleted(&run.cx, physical_id).await?,
            BTreeMap::new(),
        ));
    }
    let stability = resource_type.stability(&run.cx, physical_id).await?;
    let attributes = match stability {
        Stability::Stable => resource_type.attribute_values(&run.cx, physical_id).await?,
        _ => BTreeMap::new(),
    };
    Ok((stability, attributes))
}
