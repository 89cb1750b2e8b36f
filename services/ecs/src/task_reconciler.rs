//! What makes a task's record real: from its interface to its containers, and back.
//!
//! ```text
//! PROVISIONING → PENDING → ACTIVATING → RUNNING → DEACTIVATING → STOPPING → DEPROVISIONING → STOPPED
//!  interface      images,    targets                targets        SIGTERM    interface
//!                 logs,      registered             drain                     deleted
//!                 start
//! ```
//!
//! A task that ends by itself, or cannot be started, goes straight to DEPROVISIONING.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, all_keys};
use engine::{StopReason, TaskState, TaskStatus};
use shapes::ec2::{DeleteNetworkInterfaceInput, DescribeNetworkInterfacesInput, Filter};
use shapes::ecs::{HealthStatus, TaskStopCode};

use crate::bridge;
use crate::history;
use crate::instance_record::ContainerInstance;
use crate::ledger;
use crate::names::find_definition;
use crate::record::Service;
use crate::targets;
use crate::task_record::{Failure, Phase, Registration, Stop, Task, TaskPlace};
use crate::task_start::{self, CannotStart};

/// The engine announces what changes; this only guards against an announcement that was missed
/// while something is under way.
const GUARD: Duration = Duration::from_secs(2);
/// Polls grow with the time that was waited, from the first to the second.
const POLL_MIN: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(250);
/// AWS gives an interface so long to be attached.
const ATTACH_TIMEOUT_MS: i64 = 180_000;
/// A way out that is not there after so long is missing: far more than the machine needs, and far
/// less than AWS takes to give up.
const ROUTE_SETTLE_MS: i64 = 2000;

pub struct TaskReconciler;

#[async_trait]
impl Reconciler for TaskReconciler {
    fn kind(&self) -> &'static str {
        <Task as cloud::Record>::KIND
    }

    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, store::StoreError> {
        all_keys::<Task>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(mut task) = cx.read(|tx| tx.get::<Task>(key))? else {
            return Ok(Next::Idle);
        };
        loop {
            let phase = task.phase;
            let next = advance(&cx, &mut task).await;
            if task.phase == Phase::Stopped {
                archive(&cx, task)?;
                return Ok(Next::Idle);
            }
            // What was learnt is kept even when the next step went wrong.
            let quick = matches!(next, Ok(Progress::On)) && !is_landmark(task.phase);
            if !quick {
                commit(&cx, &mut task)?;
            }
            match next? {
                Progress::On => debug_assert_ne!(phase, task.phase, "a step leads on"),
                Progress::Wait(next) => return Ok(next),
            }
        }
    }
}

/// The engine's id of a task is its own id.
pub fn keys_of_engine_task(cloud: &Cloud, id: &str) -> Vec<(&'static str, String)> {
    let place = cloud.store.read(|tx| tx.get::<TaskPlace>(id));
    let key = place.ok().flatten().map(|it| it.key);
    key.into_iter()
        .map(|key| (<Task as cloud::Record>::KIND, key))
        .collect()
}

/// Phases whose start is written down before the work goes on: others are passed in an instant, and
/// can be begun anew after a crash.
fn is_landmark(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Running | Phase::Deactivating | Phase::Stopping | Phase::Deprovisioning
    )
}

enum Progress {
    /// The task is in its next phase.
    On,
    Wait(Next),
}

async fn advance(cx: &Cx, task: &mut Task) -> Result<Progress, converge::Error> {
    match task.phase {
        Phase::Provisioning => provision(cx, task).await,
        Phase::Pending => start(cx, task).await,
        Phase::Activating => activate(cx, task).await,
        Phase::Running => watch(cx, task).await,
        Phase::Deactivating => deactivate(cx, task).await,
        Phase::Stopping => stop(cx, task).await,
        Phase::Deprovisioning | Phase::Stopped => deprovision(cx, task).await,
    }
}

fn on(task: &mut Task, phase: Phase) -> Progress {
    task.phase = phase;
    Progress::On
}

/// Looks again soon, and later when it has taken long already.
fn poll(cx: &Cx, since_ms: i64) -> Progress {
    let waited = Duration::from_millis(u64::try_from(cx.clock().now_ms() - since_ms).unwrap_or(0));
    Progress::Wait(Next::After((waited / 8).clamp(POLL_MIN, POLL_MAX)))
}

fn never(cx: &Cx, task: &mut Task, reason: CannotStart) -> Progress {
    let stop = Stop {
        code: TaskStopCode::TaskFailedToStart,
        reason: reason.0,
        failure: Failure::Ended,
    };
    task.ask_to_stop(stop, cx.clock().now_ms());
    on(task, Phase::Deprovisioning)
}

async fn provision(cx: &Cx, task: &mut Task) -> Result<Progress, converge::Error> {
    if task.stop.is_some() {
        return Ok(on(task, Phase::Deprovisioning));
    }
    let interface = match &task.interface {
        Some(interface) => interface.clone(),
        None => match task_start::make_interface(cx, task).await? {
            Ok(interface) => interface,
            Err(reason) => return Ok(never(cx, task, reason)),
        },
    };
    task.zone.clone_from(&interface.zone);
    task.interface = Some(interface.clone());
    if task_start::is_attached(cx, &interface).await? {
        task.connected_ms = Some(cx.clock().now_ms());
        return Ok(on(task, Phase::Pending));
    }
    if cx.clock().now_ms() - task.created_ms > ATTACH_TIMEOUT_MS {
        let reason = "Timeout waiting for network interface provisioning to complete.";
        return Ok(never(cx, task, CannotStart(reason.into())));
    }
    Ok(poll(cx, task.created_ms))
}

async fn start(cx: &Cx, task: &mut Task) -> Result<Progress, converge::Error> {
    let mut status = cx.engine().tasks.status(&task.id).await?;
    if status.is_none() {
        if task.stop.is_some() {
            return Ok(on(task, Phase::Deprovisioning));
        }
        let Some(definition) = cx.read(|tx| find_definition(cx, tx, &task.definition))? else {
            let reason = "TaskDefinition not found.".to_owned();
            return Ok(never(cx, task, CannotStart(reason)));
        };
        if let Some(gone) = instance_gone(cx, task)? {
            return Ok(never(cx, task, gone));
        }
        if !task_start::has_way_out(cx, task).await? {
            // The interface, its public address and its routes are put in force one after another.
            let waited_ms = cx.clock().now_ms() - task.connected_ms.unwrap_or(task.created_ms);
            if waited_ms < ROUTE_SETTLE_MS {
                return Ok(poll(cx, cx.clock().now_ms() - waited_ms));
            }
            return Ok(never(cx, task, task_start::no_way_out(task, &definition)));
        }
        if !task_start::images_at_hand(cx, &definition).await {
            // Pulling takes a while: the task is seen to be PENDING meanwhile.
            commit(cx, task)?;
        }
        if let Err(reason) = task_start::start(cx, task, &definition).await? {
            return Ok(never(cx, task, reason));
        }
        status = cx.engine().tasks.status(&task.id).await?;
    }
    let Some(status) = status else {
        return Ok(Progress::Wait(Next::After(POLL_MIN)));
    };
    observe(task, &status, cx.clock().now_ms());
    match status.state {
        TaskState::Stopped => Ok(ended(cx, task, Some(&status))),
        _ if task.stop.is_some() => Ok(on(task, Phase::Stopping)),
        TaskState::Running => Ok(on(task, Phase::Activating)),
        TaskState::Starting | TaskState::Stopping => Ok(Progress::Wait(Next::After(GUARD))),
    }
}

async fn activate(cx: &Cx, task: &mut Task) -> Result<Progress, converge::Error> {
    if task.stop.is_some() {
        return Ok(on(task, Phase::Deactivating));
    }
    if task.registration == Registration::Never && !task.targets.is_empty() {
        if let Err(error) = targets::register(cx, task).await {
            let failed = |target: &str| {
                format!(
                    "failed to register targets in (target-group {target}) with (error {error})"
                )
            };
            tell(cx, task, |service, now_ms, target| {
                service.say_once(now_ms, &failed(target))
            })?;
            return Err(error.into());
        }
        task.registration = Registration::Registered;
        tell(cx, task, |service, now_ms, target| {
            service.say(
                now_ms,
                &format!("registered 1 targets in (target-group {target})"),
            );
        })?;
    }
    task.started_ms.get_or_insert(cx.clock().now_ms());
    Ok(on(task, Phase::Running))
}

/// Lets the task's service say something of each of the task's target groups.
fn tell(cx: &Cx, task: &Task, say: impl Fn(&mut Service, i64, &str)) -> Result<(), Error> {
    let Some(key) = ledger::service_key(task) else {
        return Ok(());
    };
    cx.write(|tx| {
        if let Some(mut service) = tx.get::<Service>(&key)? {
            for target in &task.targets {
                say(&mut service, cx.clock().now_ms(), &target.group);
            }
            tx.put(&service)?;
        }
        Ok(())
    })
}

async fn watch(cx: &Cx, task: &mut Task) -> Result<Progress, converge::Error> {
    let status = cx.engine().tasks.status(&task.id).await?;
    if let Some(status) = &status {
        observe(task, status, cx.clock().now_ms());
    }
    match &status {
        Some(status) if status.state != TaskState::Stopped => match task.stop {
            Some(_) => Ok(on(task, Phase::Deactivating)),
            None => {
                // A daemon that has just begun has no doors open.
                task_start::open_door(cx, task).await?;
                Ok(Progress::Wait(Next::Idle))
            }
        },
        stopped => Ok(ended(cx, task, stopped.as_ref())),
    }
}

async fn deactivate(cx: &Cx, task: &mut Task) -> Result<Progress, converge::Error> {
    let status = cx.engine().tasks.status(&task.id).await?;
    if status
        .as_ref()
        .is_none_or(|it| it.state == TaskState::Stopped)
    {
        return Ok(ended(cx, task, status.as_ref()));
    }
    if task.registration == Registration::Registered {
        leave_targets(cx, task).await?;
    }
    if task.registration == Registration::Draining {
        if !targets::drained(cx, task).await? {
            return Ok(poll(cx, task.stopping_ms.unwrap_or(task.created_ms)));
        }
        task.registration = Registration::Gone;
    }
    Ok(on(task, Phase::Stopping))
}

async fn leave_targets(cx: &Cx, task: &mut Task) -> Result<(), converge::Error> {
    targets::deregister(cx, task).await?;
    task.registration = Registration::Draining;
    tell(cx, task, |service, now_ms, target| {
        service.say(
            now_ms,
            &format!("deregistered 1 targets in (target-group {target})"),
        );
    })?;
    Ok(())
}

async fn stop(cx: &Cx, task: &mut Task) -> Result<Progress, converge::Error> {
    let status = cx.engine().tasks.status(&task.id).await?;
    if let Some(status) = &status {
        observe(task, status, cx.clock().now_ms());
    }
    match status {
        None => Ok(on(task, Phase::Deprovisioning)),
        Some(status) if status.state == TaskState::Stopped => Ok(ended(cx, task, Some(&status))),
        Some(status) => {
            if status.state != TaskState::Stopping {
                let reason = task
                    .stop
                    .as_ref()
                    .map(|it| it.reason.clone())
                    .unwrap_or_default();
                cx.engine().tasks.stop(&task.id, &reason).await?;
                let now = cx.engine().tasks.status(&task.id).await?;
                if now.is_none_or(|it| it.state == TaskState::Stopped) {
                    return Ok(poll(cx, cx.clock().now_ms()));
                }
            }
            Ok(Progress::Wait(Next::After(GUARD)))
        }
    }
}

/// A task that is not on its instance yet cannot get there once that is gone.
fn instance_gone(cx: &Cx, task: &Task) -> Result<Option<CannotStart>, Error> {
    let Some(placed) = &task.placed else {
        return Ok(None);
    };
    let key = ContainerInstance::key_of(&task.region, &task.cluster, &placed.instance);
    let found = cx.read(|tx| tx.get::<ContainerInstance>(&key))?;
    Ok(match found {
        Some(_) => None,
        None => Some(CannotStart(format!(
            "Container instance {} is not registered any more.",
            placed.instance
        ))),
    })
}

/// Nothing of the task runs any more.
fn ended(cx: &Cx, task: &mut Task, status: Option<&TaskStatus>) -> Progress {
    let now_ms = cx.clock().now_ms();
    task.execution_stopped_ms = status.and_then(|it| it.stopped_at_ms).or(Some(now_ms));
    let reason = status.map_or(Some(&StopReason::SupervisorLost), |it| it.reason.as_ref());
    let (code, text) = stop_words(reason);
    task.ask_to_stop(
        Stop {
            code,
            reason: text,
            failure: Failure::Ended,
        },
        now_ms,
    );
    if let Some(StopReason::CannotStart { container, message }) = reason
        && let Some(own) = task.containers.iter_mut().find(|it| it.name == *container)
    {
        own.reason
            .get_or_insert_with(|| format!("CannotStartContainerError: {message}"));
    }
    on(task, Phase::Deprovisioning)
}

fn stop_words(reason: Option<&StopReason>) -> (TaskStopCode, String) {
    match reason {
        Some(StopReason::CannotStart { container, message }) => (
            TaskStopCode::TaskFailedToStart,
            format!("CannotStartContainerError: container {container}: {message}"),
        ),
        Some(StopReason::DependencyFailed { container, message }) => (
            TaskStopCode::TaskFailedToStart,
            format!("Task failed to start: container {container}: {message}"),
        ),
        Some(StopReason::SupervisorLost) => (
            TaskStopCode::InfrastructureHealth,
            "The supervisor of the task was lost.".to_owned(),
        ),
        Some(StopReason::EssentialContainerExited { .. }) | None => (
            TaskStopCode::EssentialContainerExited,
            "Essential container in task exited".to_owned(),
        ),
        Some(StopReason::Requested(text)) => (TaskStopCode::UserInitiated, text.clone()),
    }
}

/// Takes over what the machine says of the containers.
fn observe(task: &mut Task, status: &TaskStatus, now_ms: i64) {
    // The machine's clock may have been set: nothing starts before it was asked for, and nothing that
    // has started will have in some hours only, which the scheduler would wait for.
    let started_ms = status.started_at_ms.map(|it| it.max(task.created_ms));
    task.started_ms = task.started_ms.or(started_ms).map(|it| it.min(now_ms));
    for seen in &status.containers {
        let Some(own) = task.containers.iter_mut().find(|it| it.name == seen.name) else {
            continue;
        };
        own.status = Some(match seen.state {
            engine::ContainerState::Pending => Phase::Pending,
            engine::ContainerState::Running => Phase::Running,
            engine::ContainerState::Stopped => Phase::Stopped,
        });
        own.exit_code = seen.exit_code;
        let never_ran = seen.state == engine::ContainerState::Stopped && seen.exit_code.is_none();
        let reason = seen.reason.clone().map(|it| match never_ran {
            true => format!("CannotStartContainerError: {it}"),
            false => it,
        });
        own.reason = reason.or(own.reason.take());
        own.health = match seen.health {
            engine::Health::Unknown => HealthStatus::Unknown,
            engine::Health::Healthy => HealthStatus::Healthy,
            engine::Health::Unhealthy => HealthStatus::Unhealthy,
        };
    }
}

async fn deprovision(cx: &Cx, task: &mut Task) -> Result<Progress, converge::Error> {
    // A task that died by itself is still a target: requests must not go there any longer.
    if task.registration == Registration::Registered {
        leave_targets(cx, task).await?;
    }
    cx.engine().tasks.remove(&task.id).await?;
    bridge::unplug(cx, task).await?;
    for id in interfaces_of(cx, task).await? {
        cx.engine().inside.close(&id);
        let input = DeleteNetworkInterfaceInput {
            network_interface_id: id,
            ..Default::default()
        };
        match cx.call(input).await {
            Err(error) if error.code == "InvalidNetworkInterfaceID.NotFound" => (),
            other => {
                other?;
            }
        }
    }
    for container in &mut task.containers {
        container.status = Some(Phase::Stopped);
    }
    task.execution_stopped_ms.get_or_insert(cx.clock().now_ms());
    task.stopped_ms = Some(cx.clock().now_ms());
    Ok(on(task, Phase::Stopped))
}

/// The task's interface, or the one that was made just before a crash kept it from being recorded.
async fn interfaces_of(cx: &Cx, task: &Task) -> Result<Vec<String>, Error> {
    if let Some(interface) = &task.interface {
        return Ok(vec![interface.id.clone()]);
    }
    if !task.is_apart() {
        return Ok(Vec::new());
    }
    let filter = Filter {
        name: Some("description".into()),
        values: Some(vec![task_start::interface_description(cx, task)]),
    };
    let input = DescribeNetworkInterfacesInput {
        filters: Some(vec![filter]),
        ..Default::default()
    };
    let found = cx.call(input).await?.network_interfaces.unwrap_or_default();
    Ok(found
        .into_iter()
        .filter_map(|it| it.network_interface_id)
        .collect())
}

/// Takes over what others wrote meanwhile: a wish to stop, tags, a first sign of health.
fn adopt(task: &mut Task, fresh: &Task) {
    if let Some(stop) = &fresh.stop {
        task.stop = Some(stop.clone());
        task.stopping_ms = fresh.stopping_ms;
    }
    task.tags.clone_from(&fresh.tags);
    task.was_healthy = fresh.was_healthy;
    task.version = fresh.version;
}

fn commit(cx: &Cx, task: &mut Task) -> Result<(), Error> {
    let changed = cx.write(|tx| {
        let Some(fresh) = tx.get::<Task>(&task.live_key())? else {
            return Ok(false);
        };
        adopt(task, &fresh);
        let changed = *task != fresh;
        if changed {
            task.version += 1;
            tx.put(task)?;
        }
        Ok(changed)
    })?;
    if changed {
        wake_service(cx, task);
    }
    Ok(())
}

/// The task becomes history, and its service learns how it ended, in one transaction.
fn archive(cx: &Cx, mut task: Task) -> Result<(), Error> {
    cx.write(|tx| {
        let key = task.live_key();
        if let Some(fresh) = tx.get::<Task>(&key)? {
            adopt(&mut task, &fresh);
            task.version += 1;
        }
        tx.delete::<Task>(&key)?;
        history::put_stopped(tx, &task)?;
        if let Some(key) = ledger::service_key(&task)
            && let Some(mut service) = tx.get::<Service>(&key)?
        {
            ledger::task_ended(&mut service, &task, cx.clock());
            tx.put(&service)?;
        }
        Ok(())
    })?;
    wake_service(cx, &task);
    if task.placed.is_some() {
        // Its instance has room again.
        crate::container_instance::wake_services(cx, &task.cluster)?;
    }
    Ok(())
}

fn wake_service(cx: &Cx, task: &Task) {
    if let Some(key) = ledger::service_key(task) {
        cx.cloud
            .converge
            .wake(<Service as cloud::Record>::KIND, key);
    }
}
