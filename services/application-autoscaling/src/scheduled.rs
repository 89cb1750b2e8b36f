//! Scheduled actions: new bounds for a target at a time.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use serde::{Deserialize, Serialize};
use shapes::application_autoscaling::*;
use wire::Timestamp;

use crate::policy::uuid;
use crate::schedule::{Schedule, parse};
use crate::target::{TargetRecord, check_known, find, invalid, page};

/// The clock of a machine that slept is behind its timers: none is set for longer.
const LOOK_AGAIN_MS: i64 = 60_000;
/// What was due while the daemon was stopped is still done so long after its time.
const LATE_MS: i64 = 10 * 60_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduledRecord {
    pub region: String,
    pub account: String,
    pub id: String,
    pub name: String,
    pub resource_id: String,
    pub schedule: String,
    pub timezone: Option<String>,
    pub start_ms: Option<i64>,
    pub end_ms: Option<i64>,
    pub action: ScalableTargetAction,
    pub created_ms: i64,
    /// All that was due until then was done.
    pub done_ms: i64,
}

impl Record for ScheduledRecord {
    const KIND: &'static str = "application-autoscaling.scheduled-action";
    fn key(&self) -> String {
        format!("{}/{}/{}", self.region, self.resource_id, self.name)
    }
}

impl ScheduledRecord {
    fn parsed(&self) -> Result<Schedule, Error> {
        parse(&self.schedule, self.timezone.as_deref()).map_err(invalid)
    }

    /// When it is due next. A rate counts from its start.
    fn next_ms(&self) -> Result<Option<i64>, Error> {
        let since_ms = self.start_ms.unwrap_or(self.created_ms);
        let after_ms = self
            .done_ms
            .max(self.start_ms.map_or(i64::MIN, |it| it - 1));
        let next = self.parsed()?.next(since_ms, after_ms);
        Ok(next.filter(|it| self.end_ms.is_none_or(|end| *it <= end)))
    }

    fn shown(self) -> ScheduledAction {
        let time = |ms: i64| Timestamp(ms as f64 / 1000.0);
        let resource = format!(
            "scheduledAction:{}:resource/ecs/{}:scheduledActionName/{}",
            self.id, self.resource_id, self.name
        );
        ScheduledAction {
            scheduled_action_arn: cloud::arn("autoscaling", &self.region, &self.account, &resource),
            scheduled_action_name: self.name,
            service_namespace: ServiceNamespace::Ecs,
            schedule: self.schedule,
            timezone: self.timezone,
            resource_id: self.resource_id,
            scalable_dimension: Some(ScalableDimension::EcsServiceDesiredCount),
            start_time: self.start_ms.map(time),
            end_time: self.end_ms.map(time),
            scalable_target_action: Some(self.action),
            creation_time: time(self.created_ms),
        }
    }
}

/// What is put again keeps what is not given.
pub async fn put_scheduled_action(
    cx: Cx,
    input: PutScheduledActionInput,
) -> Result<PutScheduledActionOutput, Error> {
    check_known(input.service_namespace, Some(input.scalable_dimension))?;
    let ms = |time: Timestamp| (time.0 * 1000.0) as i64;
    cx.write(|tx| {
        let target = find(&cx, tx, &input.resource_id)?;
        let now_ms = cx.clock().now_ms();
        let key = format!("{}/{}", target.key(), input.scheduled_action_name);
        let there: Option<ScheduledRecord> = tx.get(&key)?;
        let required = |name: &str| invalid(format!("{name} is required"));
        let before = |of: fn(&ScheduledRecord) -> Option<i64>| there.as_ref().and_then(of);
        let record = ScheduledRecord {
            region: cx.region.clone(),
            account: cx.account().to_owned(),
            id: there.as_ref().map_or_else(uuid, |it| it.id.clone()),
            schedule: (input.schedule.clone())
                .or_else(|| there.as_ref().map(|it| it.schedule.clone()))
                .ok_or_else(|| required("Schedule"))?,
            timezone: (input.timezone.clone())
                .or_else(|| there.as_ref().and_then(|it| it.timezone.clone())),
            start_ms: input.start_time.map(ms).or(before(|it| it.start_ms)),
            end_ms: input.end_time.map(ms).or(before(|it| it.end_ms)),
            action: (input.scalable_target_action.clone())
                .or_else(|| there.as_ref().map(|it| it.action.clone()))
                .ok_or_else(|| required("ScalableTargetAction"))?,
            created_ms: before(|it| Some(it.created_ms)).unwrap_or(now_ms),
            done_ms: now_ms,
            name: input.scheduled_action_name,
            resource_id: target.resource_id.clone(),
        };
        check(&record, now_ms)?;
        tx.put(&record)?;
        Ok(PutScheduledActionOutput {})
    })
}

fn check(record: &ScheduledRecord, now_ms: i64) -> Result<(), Error> {
    if let Schedule::At(at) = record.parsed()?
        && at <= now_ms
    {
        return Err(invalid(
            "The time of an at expression must be in the future",
        ));
    }
    if (record.start_ms.zip(record.end_ms)).is_some_and(|(start, end)| end <= start) {
        return Err(invalid("EndTime must be after StartTime"));
    }
    let ScalableTargetAction {
        min_capacity,
        max_capacity,
    } = record.action;
    if min_capacity.is_none() && max_capacity.is_none() {
        return Err(invalid(
            "ScalableTargetAction must have MinCapacity, MaxCapacity or both",
        ));
    }
    if min_capacity.is_some_and(|it| it < 0) || max_capacity.is_some_and(|it| it < 0) {
        return Err(invalid("Capacities must not be negative"));
    }
    match (min_capacity, max_capacity) {
        (Some(min), Some(max)) if max < min => Err(invalid(
            "Maximum capacity cannot be less than minimum capacity",
        )),
        _ => Ok(()),
    }
}

pub async fn describe_scheduled_actions(
    cx: Cx,
    input: DescribeScheduledActionsInput,
) -> Result<DescribeScheduledActionsOutput, Error> {
    check_known(input.service_namespace, input.scalable_dimension)?;
    let mut all = cx.read(|tx| tx.list::<ScheduledRecord>(&cx.key("")))?;
    all.retain(|it| {
        (input.resource_id.as_ref()).is_none_or(|id| it.resource_id == *id)
            && (input.scheduled_action_names.as_ref()).is_none_or(|names| names.contains(&it.name))
    });
    let keyed = all.into_iter().map(|it| (it.key(), it)).collect();
    let token = input.next_token.as_deref();
    let (all, next_token) = page(keyed, |it: &(String, _)| &it.0, token, input.max_results);
    Ok(DescribeScheduledActionsOutput {
        scheduled_actions: Some(all.into_iter().map(|(_, it)| it.shown()).collect()),
        next_token,
    })
}

pub async fn delete_scheduled_action(
    cx: Cx,
    input: DeleteScheduledActionInput,
) -> Result<DeleteScheduledActionOutput, Error> {
    check_known(input.service_namespace, Some(input.scalable_dimension))?;
    let name = &input.scheduled_action_name;
    let key = cx.key(&format!("{}/{name}", input.resource_id));
    cx.write(|tx| {
        if tx.delete::<ScheduledRecord>(&key)? {
            return Ok(DeleteScheduledActionOutput {});
        }
        Err(errors::ObjectNotFoundException.because(format!(
            "No scheduled action found for service namespace: ecs, resource ID: {}, scalable dimension: ecs:service:DesiredCount, scheduled action name: {name}",
            input.resource_id
        )))
    })
}

pub struct ScheduledReconciler;

#[async_trait]
impl Reconciler for ScheduledReconciler {
    fn kind(&self) -> &'static str {
        ScheduledRecord::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<ScheduledRecord>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(record) = cx.read(|tx| tx.get::<ScheduledRecord>(key))? else {
            return Ok(Next::Idle);
        };
        let now_ms = cx.clock().now_ms();
        let Some(next_ms) = record.next_ms()? else {
            return Ok(Next::Idle);
        };
        if next_ms > now_ms {
            let wait_ms = (next_ms - now_ms).min(LOOK_AGAIN_MS);
            return Ok(Next::After(Duration::from_millis(wait_ms.unsigned_abs())));
        }
        cx.write(|tx| {
            let Some(mut known) = tx.get::<ScheduledRecord>(key)?.filter(|it| *it == record) else {
                return Ok(());
            };
            known.done_ms = next_ms.max(now_ms - LATE_MS);
            tx.put(&known)?;
            let target_key = format!("{}/{}", record.region, record.resource_id);
            match tx.get::<TargetRecord>(&target_key)? {
                Some(target) if now_ms - next_ms <= LATE_MS => {
                    match bounded(target, &record.action) {
                        Some(target) => tx.put(&target),
                        None => Ok(()),
                    }
                }
                _ => Ok(()),
            }
        })?;
        Ok(Next::After(Duration::ZERO))
    }
}

/// The target with the action's bounds; one bound alone takes the other with it, as on AWS, so that
/// they stay in order.
fn bounded(mut target: TargetRecord, action: &ScalableTargetAction) -> Option<TargetRecord> {
    if target.suspended.scheduled_scaling_suspended == Some(true) {
        return None;
    }
    target.min_capacity = action.min_capacity.unwrap_or(target.min_capacity);
    target.max_capacity = action.max_capacity.unwrap_or(target.max_capacity);
    if target.min_capacity > target.max_capacity {
        match action.max_capacity {
            Some(max) => target.min_capacity = max,
            None => target.max_capacity = target.min_capacity,
        }
    }
    target.bounds_set = true;
    Some(target)
}
