//! Steps of the plan, carried out. Each looks at its record once more: what has changed meanwhile is looked at in
//! the next round.

use std::time::Duration;

use cloud::{Cx, Error, Record, Records};
use shapes::autoscaling::{LifecycleState, ScalingActivityStatusCode};
use shapes::ec2::TerminateInstancesInput;
use shapes::elbv2::{DeregisterTargetsInput, RegisterTargetsInput, TargetDescription};

use crate::activity::{self, Outcome};
use crate::hook;
use crate::launch::{self, Order};
use crate::plan::{Step, Why};
use crate::record::{GroupRecord, InstanceRecord, at};

/// How long launching waits after it failed; it doubles from there.
const RETRY_MIN: Duration = Duration::from_secs(15);
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);

/// Changes an instance and its group in one transaction, if both are there and the instance still is as it was.
fn change(
    cx: &Cx,
    group: &GroupRecord,
    serial: i64,
    edit: impl FnOnce(&Records<'_>, &mut GroupRecord, &mut InstanceRecord) -> Result<(), Error>,
) -> Result<(), Error> {
    cx.write(|tx| {
        let key = format!("{}{serial:012}", group.prefix());
        let found = tx.get::<InstanceRecord>(&key)?;
        let (Some(mut group), Some(mut instance)) = (tx.get::<GroupRecord>(&group.key())?, found)
        else {
            return Ok(());
        };
        let before = instance.clone();
        edit(tx, &mut group, &mut instance)?;
        if instance != before {
            tx.put(&instance)?;
        }
        tx.put(&group)
    })
}

fn load(cx: &Cx, group: &GroupRecord, serial: i64) -> Result<Option<InstanceRecord>, Error> {
    cx.read(|tx| tx.get(&format!("{}{serial:012}", group.prefix())))
}

pub async fn apply(cx: &Cx, group: &GroupRecord, step: Step) -> Result<(), Error> {
    match step {
        Step::Add { place, why } => add(cx, group, place, why),
        Step::Launch(serial) => launch(cx, group, serial).await,
        Step::Hold { serial, hook } => hook::hold(cx, group, serial, &hook),
        Step::Proceed(serial) => change(cx, group, serial, |_, _, it| {
            it.passed.extend(it.hook.take().map(|it| it.name));
            it.state = match it.state {
                LifecycleState::PendingWait => LifecycleState::PendingProceed,
                LifecycleState::TerminatingWait => LifecycleState::TerminatingProceed,
                other => other,
            };
            Ok(())
        }),
        Step::Serve(serial) => serve(cx, group, serial).await,
        Step::Abandon { serial, why } | Step::End { serial, why } => end(cx, group, serial, why),
        Step::Unhealthy { serial, why } => change(cx, group, serial, |_, _, it| {
            let word = match why {
                Why::BalancerHealth => "ELB",
                _ => "EC2",
            };
            it.unhealthy.get_or_insert_with(|| word.to_owned());
            Ok(())
        }),
        Step::Deregister(serial) => deregister(cx, group, serial).await,
        Step::Kill(serial) => kill(cx, group, serial).await,
        Step::Rest(serial) => change(cx, group, serial, |tx, group, it| {
            it.state = LifecycleState::Standby;
            finish(cx, tx, group, it, Outcome::Done)
        }),
        Step::Release(serial) | Step::Gone(serial) => gone(cx, group, serial),
    }
}

fn finish(
    cx: &Cx,
    tx: &Records<'_>,
    group: &GroupRecord,
    it: &mut InstanceRecord,
    outcome: Outcome,
) -> Result<(), Error> {
    match it.activity.take() {
        Some(number) => activity::finish(cx, tx, group, number, outcome),
        None => Ok(()),
    }
}

/// Causes in AWS's words.
fn cause(group: &GroupRecord, now_ms: i64, why: Why, launched: bool) -> String {
    let now = at(now_ms);
    let because = match why {
        Why::Capacity { from, to } if launched => format!(
            "an instance was started in response to a difference between desired and actual capacity, increasing the capacity from {from} to {to}."
        ),
        Why::Capacity { from, to } => format!(
            "an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from {from} to {to}."
        ),
        Why::Replacement => {
            "an instance was launched in response to an unhealthy instance needing to be replaced."
                .to_owned()
        }
        Why::Balance => "an instance was launched to aid in balancing the group's zones.".to_owned(),
        Why::Stopped => "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.".to_owned(),
        Why::BalancerHealth => "an instance was taken out of service in response to an ELB system health check failure.".to_owned(),
        Why::UserHealth => "an instance was taken out of service in response to a user health-check.".to_owned(),
        Why::Hook => "an instance was taken out of service in response to a lifecycle action that was abandoned.".to_owned(),
        Why::Deletion => "an instance was taken out of service in response to the deletion of its AutoScalingGroup.".to_owned(),
        Why::Refresh => "an instance was taken out of service in response to an instance refresh.".to_owned(),
        Why::Request => "an instance was taken out of service in response to a user request.".to_owned(),
    };
    let own = format!("At {now} {because}");
    match (&group.cause, why) {
        (Some(first), Why::Capacity { .. }) => format!("{first}  {own}"),
        _ => own,
    }
}

fn add(cx: &Cx, group: &GroupRecord, place: usize, why: Why) -> Result<(), Error> {
    cx.write(|tx| {
        let Some(mut group) = tx.get::<GroupRecord>(&group.key())? else {
            return Ok(());
        };
        let Some(place) = group.places.get(place).cloned() else {
            return Ok(());
        };
        let now_ms = cx.clock().now_ms();
        let mut new = InstanceRecord {
            region: group.region.clone(),
            group: group.name.clone(),
            serial: group.next_serial,
            token: cloud::uuid(&cloud::random_hex(32)),
            id: None,
            place,
            instance_type: None,
            image_id: None,
            weight: None,
            launched_by: Default::default(),
            state: LifecycleState::Pending,
            unhealthy: None,
            protected: group.protect_new,
            launched_ms: now_ms,
            in_service_ms: None,
            hook: None,
            passed: Vec::new(),
            deregistered: false,
            ended: false,
            activity: None,
        };
        group.next_serial += 1;
        if why == Why::Replacement {
            group.replacing -= 1;
        }
        let told = (
            "Launching a new EC2 instance".to_owned(),
            cause(&group, now_ms, why, true),
        );
        let begun = activity::begin(cx, tx, &mut group, &mut new, told)?;
        activity::change(tx, &group, begun.number, |it| {
            it.status = ScalingActivityStatusCode::WaitingForInstanceId;
        })?;
        tx.put(&new)?;
        tx.put(&group)
    })
}

async fn launch(cx: &Cx, group: &GroupRecord, serial: i64) -> Result<(), Error> {
    const HALF: i32 = 50;
    let Some(instance) = load(cx, group, serial)?.filter(|it| it.id.is_none()) else {
        return Ok(());
    };
    let launched = match launch::order(cx, group, &instance).await {
        Ok(Order {
            input,
            launched_by,
            weight,
        }) => {
            let made = cx.with_token(&*instance.token).call(input).await;
            made.map(|it| (it, launched_by, weight))
        }
        Err(error) => Err(error),
    };
    let (made, launched_by, weight) = match launched {
        Ok(it) => it,
        Err(error) => return failed(cx, group, serial, &error),
    };
    let Some(made) = made.instances.and_then(|it| it.into_iter().next()) else {
        return Ok(());
    };
    change(cx, group, serial, |tx, group, it| {
        it.id = made.instance_id;
        it.instance_type = made.instance_type;
        it.image_id = made.image_id;
        it.weight = weight;
        it.launched_by = launched_by;
        if let Some(zone) = made.placement.and_then(|it| it.availability_zone) {
            it.place.zone = zone;
        }
        group.failures = 0;
        group.failed_zone = None;
        let id = it.id.clone().unwrap_or_default();
        let Some(number) = it.activity else {
            return Ok(());
        };
        activity::change(tx, group, number, |activity| {
            activity.description = format!("Launching a new EC2 instance: {id}");
            activity.status = ScalingActivityStatusCode::PreInService;
            activity.progress = HALF;
        })
    })
}

/// Nothing was launched: its record goes, what went wrong is told, and it is tried again later.
fn failed(cx: &Cx, group: &GroupRecord, serial: i64, error: &Error) -> Result<(), Error> {
    cx.write(|tx| {
        let key = format!("{}{serial:012}", group.prefix());
        let found = tx.get::<InstanceRecord>(&key)?;
        let (Some(mut group), Some(mut instance)) = (tx.get::<GroupRecord>(&group.key())?, found)
        else {
            return Ok(());
        };
        let why = format!("{} Launching EC2 instance failed.", error.message);
        finish(cx, tx, &group, &mut instance, Outcome::Failed(why))?;
        tx.delete::<InstanceRecord>(&key)?;
        let delay = RETRY_MIN
            .saturating_mul(1 << group.failures.min(8))
            .min(RETRY_MAX);
        let delay_ms = i64::try_from(cx.clock().paced_ms(delay)).unwrap_or(i64::MAX);
        group.failures += 1;
        group.failed_zone = Some(instance.place.zone);
        group.retry_at_ms = cx.clock().now_ms().saturating_add(delay_ms);
        tx.put(&group)
    })
}

fn targets_of(it: &InstanceRecord) -> Vec<TargetDescription> {
    let target = |id: &String| TargetDescription {
        id: id.clone(),
        ..Default::default()
    };
    it.id.iter().map(target).collect()
}

async fn serve(cx: &Cx, group: &GroupRecord, serial: i64) -> Result<(), Error> {
    let Some(instance) = load(cx, group, serial)? else {
        return Ok(());
    };
    if !group.suspends("AddToLoadBalancer") {
        register(cx, &group.target_groups, targets_of(&instance)).await?;
    }
    change(cx, group, serial, |tx, group, it| {
        it.state = LifecycleState::InService;
        it.in_service_ms = Some(cx.clock().now_ms());
        it.hook = None;
        it.passed.clear();
        it.deregistered = false;
        finish(cx, tx, group, it, Outcome::Done)
    })
}

/// Registers targets with each group that is there.
pub async fn register(
    cx: &Cx,
    groups: &[String],
    targets: Vec<TargetDescription>,
) -> Result<(), Error> {
    for arn in groups.iter().filter(|_| !targets.is_empty()) {
        let input = RegisterTargetsInput {
            target_group_arn: arn.clone(),
            targets: targets.clone(),
        };
        if let Err(error) = cx.call(input).await
            && !error.is(shapes::elbv2::errors::TargetGroupNotFoundException)
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Takes targets out of each group that is there.
pub async fn unregister(
    cx: &Cx,
    groups: &[String],
    targets: Vec<TargetDescription>,
) -> Result<(), Error> {
    for arn in groups.iter().filter(|_| !targets.is_empty()) {
        let input = DeregisterTargetsInput {
            target_group_arn: arn.clone(),
            targets: targets.clone(),
        };
        if let Err(error) = cx.call(input).await
            && !error.is(shapes::elbv2::errors::TargetGroupNotFoundException)
            && !error.is(shapes::elbv2::errors::InvalidTargetException)
        {
            return Err(error);
        }
    }
    Ok(())
}

/// The targets of a group's instances that serve.
pub fn serving(instances: &[InstanceRecord]) -> Vec<TargetDescription> {
    let serve = instances
        .iter()
        .filter(|it| it.state == LifecycleState::InService);
    serve.flat_map(targets_of).collect()
}

fn end(cx: &Cx, group: &GroupRecord, serial: i64, why: Why) -> Result<(), Error> {
    change(cx, group, serial, |tx, group, it| {
        if it.is_terminating() {
            return Ok(());
        }
        let was_serving = it.counts();
        leave(cx, tx, group, it, why)?;
        let replaced = matches!(
            why,
            Why::Stopped | Why::BalancerHealth | Why::UserHealth | Why::Hook
        );
        if was_serving && replaced && !group.deleting {
            group.replacing += 1;
        }
        Ok(())
    })
}

/// An instance is on its way out from now on.
pub fn leave(
    cx: &Cx,
    tx: &Records<'_>,
    group: &mut GroupRecord,
    it: &mut InstanceRecord,
    why: Why,
) -> Result<activity::ActivityRecord, Error> {
    it.state = LifecycleState::Terminating;
    it.hook = None;
    it.passed.clear();
    let id = it.id.clone().unwrap_or_default();
    let now_ms = cx.clock().now_ms();
    let mut because = cause(group, now_ms, why, false);
    if matches!(why, Why::Capacity { .. }) {
        because = format!(
            "{because}  At {} instance {id} was selected for termination.",
            at(now_ms)
        );
    }
    let told = (format!("Terminating EC2 instance: {id}"), because);
    activity::begin(cx, tx, group, it, told)
}

async fn deregister(cx: &Cx, group: &GroupRecord, serial: i64) -> Result<(), Error> {
    let Some(instance) = load(cx, group, serial)? else {
        return Ok(());
    };
    unregister(cx, &group.target_groups, targets_of(&instance)).await?;
    change(cx, group, serial, |tx, group, it| {
        it.deregistered = true;
        let Some(number) = it.activity.filter(|_| !group.target_groups.is_empty()) else {
            return Ok(());
        };
        activity::change(tx, group, number, |it| {
            it.status = ScalingActivityStatusCode::WaitingForELBConnectionDraining;
        })
    })
}

async fn kill(cx: &Cx, group: &GroupRecord, serial: i64) -> Result<(), Error> {
    let Some(instance) = load(cx, group, serial)? else {
        return Ok(());
    };
    let input = TerminateInstancesInput {
        instance_ids: instance.id.iter().cloned().collect(),
        ..Default::default()
    };
    match cx.call(input).await {
        Err(error) if !error.code.starts_with("InvalidInstanceID") => return Err(error),
        _ => (),
    }
    change(cx, group, serial, |tx, group, it| {
        it.ended = true;
        it.hook = None;
        match it.activity {
            Some(number) => activity::change(tx, group, number, |it| {
                it.status = ScalingActivityStatusCode::InProgress;
            }),
            None => Ok(()),
        }
    })
}

fn gone(cx: &Cx, group: &GroupRecord, serial: i64) -> Result<(), Error> {
    cx.write(|tx| {
        let key = format!("{}{serial:012}", group.prefix());
        let Some(mut instance) = tx.get::<InstanceRecord>(&key)? else {
            return Ok(());
        };
        finish(cx, tx, group, &mut instance, Outcome::Done)?;
        tx.delete::<InstanceRecord>(&key).map(drop)
    })
}

/// Once there are as many as are wanted, the reason why there were others is history. Returns whether that is so
/// only now.
pub fn settle(cx: &Cx, group: &GroupRecord, instances: &[InstanceRecord]) -> Result<bool, Error> {
    let capacity: i32 = (instances.iter())
        .filter(|it| it.counts())
        .map(|it| it.units())
        .sum();
    let settled = capacity == group.desired && instances.iter().all(|it| it.is_settled());
    if !settled || group.cause.is_none() && group.replacing == 0 {
        return Ok(false);
    }
    cx.write(|tx| match tx.get::<GroupRecord>(&group.key())? {
        Some(mut found) if found == *group => {
            found.cause = None;
            found.replacing = 0;
            tx.put(&found)
        }
        _ => Ok(()),
    })?;
    Ok(true)
}
