//! Makes a scalable target's policies act: gathers facts, lets [`scaling::decide()`] decide, writes the
//! activity down, and carries it out.
//!
//! Woken by the target's own record and by every change of an alarm ([`AlarmFollower`]). While an
//! alarm stays as it is, it is looked at again every (paced) minute, as AWS's alarms call their
//! policies again.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use scaling::{Decision, Facts, Kind, LastOut, PolicyFact, decide};
use shapes::application_autoscaling::{NotScaledReason, ScalingActivityStatusCode as Status};
use shapes::cloudwatch::MetricAlarm;
use shapes::ecs::{DescribeServicesInput, Service, UpdateServiceInput};

use crate::activity::{self, ActivityRecord};
use crate::policy::{PolicyRecord, uuid};
use crate::target::TargetRecord;

/// How often an alarm that goes on calls its policies again.
const AGAIN: Duration = Duration::from_secs(60);
/// How soon to look whether a service has reached its new count.
const FULFIL_LOOK: Duration = Duration::from_millis(250);
/// A service that has not reached its count after this time is not waited for any longer. Never
/// compressed: programs start no faster.
const FULFIL_TIME_MS: i64 = 10 * 60_000;
/// The default of ECS services for both cooldowns ("TargetTrackingScalingPolicyConfiguration").
const COOLDOWN_S: i32 = 300;
/// A metric takes this long to tell of a change: no cooldown is shorter.
const COOLDOWN_MIN_S: i32 = 120;

pub const FOLLOWER: &str = "application-autoscaling.alarms";
pub const FOLLOWER_KEY: &str = "all";

/// Some alarm changed: every target is looked at.
pub struct AlarmFollower;

#[async_trait]
impl Reconciler for AlarmFollower {
    fn kind(&self) -> &'static str {
        FOLLOWER
    }
    fn keys(&self, _: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
    fn region(&self, _: &str) -> String {
        String::new()
    }
    async fn reconcile(&self, cx: Cx, _: &str) -> Result<Next, converge::Error> {
        for key in cx.read(|tx| tx.keys::<TargetRecord>(""))? {
            cx.cloud.converge.wake(TargetRecord::KIND, key);
        }
        Ok(Next::Idle)
    }
}

pub struct TargetReconciler;

#[async_trait]
impl Reconciler for TargetReconciler {
    fn kind(&self) -> &'static str {
        TargetRecord::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<TargetRecord>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some((target, policies, activities)) = cx.read(|tx| {
            let Some(target) = tx.get::<TargetRecord>(key)? else {
                return Ok(None);
            };
            let policies = tx.list::<PolicyRecord>(&format!("{key}/"))?;
            let activities = activity::of_target(tx, &target)?;
            Ok(Some((target, policies, activities)))
        })?
        else {
            return Ok(Next::Idle);
        };
        let Some(service) = service(&cx, &target).await? else {
            return Ok(Next::Idle);
        };
        let open = activities.iter().rev().find(|it| it.is_open());
        if let Some(open) = open
            && carry_on(&cx, open, &service).await?
        {
            // Its record has changed, and this key is not woken by that.
            return Ok(Next::After(Duration::ZERO));
        }
        let mut policy_facts = Vec::new();
        for policy in policies.iter().filter(|it| !it.deleting) {
            let alarms = scaling::alarms::that_name(&cx, &policy.arn()).await?;
            policy_facts.push(policy_fact(&cx, policy, &alarms));
        }
        let active = policy_facts.iter().any(|it| !it.active.is_empty());
        let facts = facts(&cx, &target, &service, policy_facts, open.is_some());
        let scaled = match decide(&facts) {
            Decision::Nothing => false,
            Decision::Scale { to, from, cause } => {
                scale(&cx, &target, &facts, Change { to, from, cause })?;
                true
            }
            Decision::NotScaled { code, cause } => {
                not_scaled(&cx, &target, &facts, code, cause)?;
                false
            }
        };
        if !scaled && target.bounds_set {
            settle_bounds(&cx, &target)?;
        }
        Ok(match (scaled, open.is_some(), active) {
            (true, ..) => Next::After(Duration::ZERO),
            (_, true, _) => Next::After(FULFIL_LOOK),
            (_, _, true) => Next::After(cx.clock().paced(AGAIN)),
            _ => Next::Idle,
        })
    }
}

/// The service, while it is active.
async fn service(cx: &Cx, target: &TargetRecord) -> Result<Option<Service>, Error> {
    let Some((cluster, name)) = target.service() else {
        return Ok(None);
    };
    let input = DescribeServicesInput {
        cluster: Some(cluster.to_owned()),
        services: vec![name.to_owned()],
        ..Default::default()
    };
    let found = match cx.call(input).await {
        Ok(output) => output.services.unwrap_or_default(),
        Err(error) if error.is(shapes::ecs::errors::ClusterNotFoundException) => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut active = (found.into_iter()).filter(|it| it.status.as_deref() == Some("ACTIVE"));
    Ok(active.next())
}

/// One step with an activity that is under way. Returns whether there is news.
async fn carry_on(cx: &Cx, activity: &ActivityRecord, service: &Service) -> Result<bool, Error> {
    let now_ms = cx.clock().now_ms();
    let mut next = activity.clone();
    let to = activity.to;
    let desired = service.desired_count.unwrap_or_default();
    let running = service.running_count.unwrap_or_default();
    let pending = service.pending_count.unwrap_or_default();
    if activity.status == Status::Pending {
        let input = UpdateServiceInput {
            cluster: service.cluster_arn.clone(),
            service: service.service_name.clone().unwrap_or_default(),
            desired_count: Some(to),
            ..Default::default()
        };
        match cx.call(input).await {
            Ok(_) => {
                next.status = Status::InProgress;
                next.message = Some(format!(
                    "Successfully set desired count to {to}. Waiting for change to be fulfilled by ecs."
                ));
            }
            Err(error) => {
                let why = format!("Failed to set desired count to {to}. Reason: {error}");
                next.end(Status::Failed, why, now_ms);
            }
        }
    } else if desired != to {
        let why = format!("Desired count was set to {desired} since.");
        next.end(Status::Overridden, why, now_ms);
    } else if running == to && pending == 0 {
        let done = format!(
            "Successfully set desired count to {to}. Change successfully fulfilled by ecs."
        );
        next.end(Status::Successful, done, now_ms);
    } else if now_ms > activity.start_ms + FULFIL_TIME_MS {
        let why = format!(
            "Successfully set desired count to {to}. Found {running} of {to} tasks running after ten minutes."
        );
        next.end(Status::Unfulfilled, why, now_ms);
    } else {
        return Ok(false);
    }
    cx.write(|tx| match tx.get::<ActivityRecord>(&next.key())? {
        Some(known) if known == *activity => tx.put(&next),
        _ => Ok(()),
    })?;
    Ok(true)
}

fn policy_fact(cx: &Cx, policy: &PolicyRecord, alarms: &[MetricAlarm]) -> PolicyFact {
    let arn = policy.arn();
    let active = (alarms.iter())
        .filter_map(|it| scaling::alarms::active(it, &arn))
        .collect();
    let ms = |seconds: Option<i32>| {
        let seconds = seconds.unwrap_or(COOLDOWN_S).max(COOLDOWN_MIN_S);
        let cooldown = Duration::from_secs(u64::from(seconds.unsigned_abs()));
        i64::try_from(cx.clock().paced_ms(cooldown)).unwrap_or(i64::MAX)
    };
    let kind = match (&policy.tracking, &policy.step) {
        (Some(tracking), _) => Kind::Tracking {
            target: tracking.target_value,
            may_scale_in: tracking.disable_scale_in != Some(true),
            high: policy.alarm_high(),
            low: policy.alarm_low(),
            out_cooldown_ms: ms(tracking.scale_out_cooldown),
            in_cooldown_ms: ms(tracking.scale_in_cooldown),
        },
        (None, step) => {
            let step = step.clone().unwrap_or_default();
            Kind::Step {
                adjustment: step.adjustment_type.unwrap_or_default(),
                steps: step.step_adjustments.unwrap_or_default(),
                least: step.min_adjustment_magnitude,
                cooldown_ms: ms(step.cooldown),
            }
        }
    };
    PolicyFact {
        name: policy.name.clone(),
        active,
        kind,
    }
}

fn facts(
    cx: &Cx,
    target: &TargetRecord,
    service: &Service,
    policies: Vec<PolicyFact>,
    busy: bool,
) -> Facts {
    let suspended = |flag: Option<bool>| flag == Some(true);
    Facts {
        now_ms: cx.clock().now_ms(),
        current: service.desired_count.unwrap_or_default(),
        min: target.min_capacity,
        max: target.max_capacity,
        out_suspended: suspended(target.suspended.dynamic_scaling_out_suspended),
        in_suspended: suspended(target.suspended.dynamic_scaling_in_suspended),
        bounds_set: target.bounds_set,
        busy,
        last_out: target.last_out_ms.map(|at_ms| LastOut {
            at_ms,
            from: target.last_out_from,
        }),
        last_in_ms: target.last_in_ms,
        policies,
    }
}

struct Change {
    to: i32,
    from: i32,
    cause: String,
}

/// Writes the decision down; it is carried out from there.
fn scale(cx: &Cx, target: &TargetRecord, facts: &Facts, change: Change) -> Result<(), Error> {
    let now_ms = facts.now_ms;
    let Change { to, from, cause } = change;
    cx.write(|tx| {
        let Some(mut record) = tx.get::<TargetRecord>(&target.key())? else {
            return Ok(());
        };
        if record != *target {
            return Ok(());
        }
        record.bounds_set = false;
        if to > facts.current {
            record.last_out_ms = Some(now_ms);
            record.last_out_from = from;
            // What was added ends the waiting for what was taken away.
            record.last_in_ms = None;
        } else {
            record.last_in_ms = Some(now_ms);
        }
        tx.put(&record)?;
        for mut open in activity::of_target(tx, target)? {
            if open.is_open() {
                let why = format!("Desired count is set to {to} instead.");
                open.end(Status::Overridden, why, now_ms);
                tx.put(&open)?;
            }
        }
        let new = ActivityRecord {
            region: target.region.clone(),
            id: uuid(),
            resource_id: target.resource_id.clone(),
            number: tx.next(ActivityRecord::KIND)?,
            to,
            description: format!("Setting desired count to {to}."),
            cause,
            start_ms: now_ms,
            end_ms: None,
            status: Status::Pending,
            message: None,
            not_scaled: None,
        };
        activity::add(tx, target, &new)
    })
}

/// Says once why an alarm was not followed; not again until something else is said.
fn not_scaled(
    cx: &Cx,
    target: &TargetRecord,
    facts: &Facts,
    code: &'static str,
    cause: String,
) -> Result<(), Error> {
    let reason = NotScaledReason {
        code: code.to_owned(),
        max_capacity: (code == scaling::AT_MAX).then_some(facts.max),
        min_capacity: (code == scaling::AT_MIN).then_some(facts.min),
        current_capacity: Some(facts.current),
    };
    let said = |it: &ActivityRecord| it.cause == cause && it.not_scaled.as_ref() == Some(&reason);
    let known = cx.read(|tx| activity::of_target(tx, target))?;
    if known.last().is_some_and(said) {
        return Ok(());
    }
    let now_ms = facts.now_ms;
    cx.write(|tx| {
        let new = ActivityRecord {
            region: target.region.clone(),
            id: uuid(),
            resource_id: target.resource_id.clone(),
            number: tx.next(ActivityRecord::KIND)?,
            to: facts.current,
            description: "Attempting to scale due to alarm triggered".into(),
            cause,
            start_ms: now_ms,
            end_ms: Some(now_ms),
            status: Status::Failed,
            message: Some(format!("Did not scale: {code}")),
            not_scaled: Some(reason),
        };
        activity::add(tx, target, &new)
    })
}

fn settle_bounds(cx: &Cx, target: &TargetRecord) -> Result<(), Error> {
    cx.write(|tx| match tx.get::<TargetRecord>(&target.key())? {
        Some(mut record) if record == *target => {
            record.bounds_set = false;
            tx.put(&record)
        }
        _ => Ok(()),
    })
}
