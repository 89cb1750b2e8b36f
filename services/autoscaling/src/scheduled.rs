//! Scheduled actions: other sizes for a group, at a time or again and again.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};
use shapes::autoscaling::errors::LimitExceededFault;
use shapes::autoscaling::*;
use wire::Timestamp;

use crate::page::{MAX, page};
use crate::record::{self, GroupRecord, at};
use crate::rules::{check_sizes, invalid};

/// The clock of a machine that slept is behind its timers: none is set for longer.
const LOOK_AGAIN_MS: i64 = 60_000;
/// What was due while the daemon was stopped is still done so long after its time.
const LATE_MS: i64 = 10 * 60_000;
/// Of one group (Amazon EC2 Auto Scaling quotas).
const ACTIONS_MAX: usize = 125;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduledRecord {
    pub region: String,
    pub account: String,
    pub id: String,
    pub group: String,
    pub name: String,
    pub recurrence: Option<String>,
    pub zone: Option<String>,
    pub start_ms: Option<i64>,
    pub end_ms: Option<i64>,
    pub min: Option<i32>,
    pub max: Option<i32>,
    pub desired: Option<i32>,
    /// All that was due until then was done.
    pub done_ms: i64,
}

impl Record for ScheduledRecord {
    const KIND: &'static str = "autoscaling.scheduled-action";
    fn key(&self) -> String {
        format!("{}/{}/{}", self.region, self.group, self.name)
    }
}

/// Five fields, as Unix has them; and the zone by whose clock they are meant.
fn parse(recurrence: &str, zone: Option<&str>) -> Result<(Cron, Tz), Error> {
    let zone: Tz = (zone.unwrap_or("UTC").parse())
        .map_err(|_| invalid(format!("Invalid time zone: {}", zone.unwrap_or_default())))?;
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser.parse(recurrence);
    let cron =
        cron.map_err(|_| invalid(format!("Given recurrence string: {recurrence} is invalid")))?;
    Ok((cron, zone))
}

impl ScheduledRecord {
    fn next_ms(&self) -> Result<Option<i64>, Error> {
        let next = match &self.recurrence {
            None => self.start_ms.filter(|it| *it > self.done_ms),
            Some(recurrence) => {
                let (cron, zone) = parse(recurrence, self.zone.as_deref())?;
                let after_ms = self
                    .start_ms
                    .map_or(self.done_ms, |it| self.done_ms.max(it - 1));
                let after: Option<DateTime<Utc>> = Utc.timestamp_millis_opt(after_ms).single();
                let after = after.ok_or_else(|| invalid("The StartTime is out of range"))?;
                let found = cron.find_next_occurrence(&after.with_timezone(&zone), false);
                found.ok().map(|it| it.timestamp_millis())
            }
        };
        Ok(next.filter(|it| self.end_ms.is_none_or(|end| *it <= end)))
    }

    fn shown(self) -> ScheduledUpdateGroupAction {
        let time = |ms: i64| Timestamp(ms as f64 / 1000.0);
        let resource = format!(
            "scheduledUpdateGroupAction:{}:autoScalingGroupName/{}:scheduledActionName/{}",
            self.id, self.group, self.name
        );
        let next = self.next_ms().ok().flatten();
        ScheduledUpdateGroupAction {
            scheduled_action_arn: Some(cloud::arn(
                "autoscaling",
                &self.region,
                &self.account,
                &resource,
            )),
            time: next.or(self.start_ms).map(time),
            start_time: next.or(self.start_ms).map(time),
            end_time: self.end_ms.map(time),
            auto_scaling_group_name: Some(self.group),
            scheduled_action_name: Some(self.name),
            recurrence: self.recurrence,
            min_size: self.min,
            max_size: self.max,
            desired_capacity: self.desired,
            time_zone: self.zone,
        }
    }
}

fn put(cx: &Cx, group: &str, given: ScheduledUpdateGroupActionRequest) -> Result<(), Error> {
    // What a request leaves out of bounds and capacity is written as -1 by some clients.
    let size = |it: Option<i32>| it.filter(|it| *it >= 0);
    let ms = |it: Timestamp| (it.0 * 1000.0) as i64;
    let (min, max, desired) = (
        size(given.min_size),
        size(given.max_size),
        size(given.desired_capacity),
    );
    if min.or(max).or(desired).is_none() {
        return Err(invalid(
            "At least one of MinSize, MaxSize and DesiredCapacity is required",
        ));
    }
    if min.zip(max).is_some_and(|(min, max)| max < min) {
        return Err(invalid(
            "Max bound must be greater than or equal to min bound",
        ));
    }
    let recurrence = given.recurrence.filter(|it| !it.is_empty());
    let zone = given.time_zone.filter(|it| !it.is_empty());
    if let Some(recurrence) = &recurrence {
        parse(recurrence, zone.as_deref())?;
    }
    let now_ms = cx.clock().now_ms();
    let (start_ms, end_ms) = (given.start_time.map(ms), given.end_time.map(ms));
    if recurrence.is_none() && start_ms.is_none() {
        return Err(invalid("Either StartTime or Recurrence is required"));
    }
    if start_ms.is_some_and(|it| it <= now_ms) {
        return Err(invalid("Given start time is in the past"));
    }
    if start_ms.unwrap_or(now_ms) >= end_ms.unwrap_or(i64::MAX) {
        return Err(invalid(
            "End time must be after the start time and in the future",
        ));
    }
    cx.write(|tx| {
        let group = record::living_group(cx, tx, group)?;
        let key = format!("{}{}", group.prefix(), given.scheduled_action_name);
        let there = tx.get::<ScheduledRecord>(&key)?;
        if there.is_none() && tx.count::<ScheduledRecord>(&group.prefix())? >= ACTIONS_MAX {
            return Err(LimitExceededFault.because(format!(
                "There are {ACTIONS_MAX} scheduled actions for this AutoScalingGroup already"
            )));
        }
        tx.put(&ScheduledRecord {
            region: cx.region.clone(),
            account: cx.account().to_owned(),
            id: there.map_or_else(|| cloud::uuid(&cloud::random_hex(32)), |it| it.id),
            group: group.name,
            name: given.scheduled_action_name,
            recurrence,
            zone,
            start_ms,
            end_ms,
            min,
            max,
            desired,
            done_ms: now_ms,
        })
    })
}

pub async fn put_scheduled_action(
    cx: Cx,
    input: PutScheduledUpdateGroupActionInput,
) -> Result<PutScheduledUpdateGroupActionOutput, Error> {
    let given = ScheduledUpdateGroupActionRequest {
        scheduled_action_name: input.scheduled_action_name,
        // `Time` is the older name of `StartTime`.
        start_time: input.start_time.or(input.time),
        end_time: input.end_time,
        recurrence: input.recurrence,
        min_size: input.min_size,
        max_size: input.max_size,
        desired_capacity: input.desired_capacity,
        time_zone: input.time_zone,
    };
    put(&cx, &input.auto_scaling_group_name, given)?;
    Ok(PutScheduledUpdateGroupActionOutput {})
}

fn failed(name: String, error: Error) -> FailedScheduledUpdateGroupActionRequest {
    FailedScheduledUpdateGroupActionRequest {
        scheduled_action_name: name,
        error_code: Some(error.code.to_owned()),
        error_message: Some(error.message),
    }
}

pub async fn batch_put_scheduled_action(
    cx: Cx,
    input: BatchPutScheduledUpdateGroupActionInput,
) -> Result<BatchPutScheduledUpdateGroupActionOutput, Error> {
    cx.read(|tx| record::living_group(&cx, tx, &input.auto_scaling_group_name))?;
    let mut wrong = Vec::new();
    for given in input.scheduled_update_group_actions {
        let name = given.scheduled_action_name.clone();
        if let Err(error) = put(&cx, &input.auto_scaling_group_name, given) {
            wrong.push(failed(name, error));
        }
    }
    Ok(BatchPutScheduledUpdateGroupActionOutput {
        failed_scheduled_update_group_actions: Some(wrong),
    })
}

fn delete(cx: &Cx, group: &str, name: &str) -> Result<(), Error> {
    cx.write(|tx| {
        let group = record::group(cx, tx, group)?;
        match tx.delete::<ScheduledRecord>(&format!("{}{name}", group.prefix()))? {
            true => Ok(()),
            false => Err(invalid(format!("Scheduled action name not found: {name}"))),
        }
    })
}

pub async fn delete_scheduled_action(
    cx: Cx,
    input: DeleteScheduledActionInput,
) -> Result<DeleteScheduledActionOutput, Error> {
    delete(
        &cx,
        &input.auto_scaling_group_name,
        &input.scheduled_action_name,
    )?;
    Ok(DeleteScheduledActionOutput {})
}

pub async fn batch_delete_scheduled_action(
    cx: Cx,
    input: BatchDeleteScheduledActionInput,
) -> Result<BatchDeleteScheduledActionOutput, Error> {
    let mut wrong = Vec::new();
    for name in input.scheduled_action_names {
        if let Err(error) = delete(&cx, &input.auto_scaling_group_name, &name) {
            wrong.push(failed(name, error));
        }
    }
    Ok(BatchDeleteScheduledActionOutput {
        failed_scheduled_actions: Some(wrong),
    })
}

pub async fn describe_scheduled_actions(
    cx: Cx,
    input: DescribeScheduledActionsInput,
) -> Result<DescribeScheduledActionsOutput, Error> {
    let mut all = cx.read(|tx| match &input.auto_scaling_group_name {
        Some(name) => tx.list::<ScheduledRecord>(&record::group(&cx, tx, name)?.prefix()),
        None => tx.list::<ScheduledRecord>(&cx.key("")),
    })?;
    let names = input.scheduled_action_names.unwrap_or_default();
    all.retain(|it| names.is_empty() || names.contains(&it.name));
    let begins = |it: &ScheduledRecord| it.next_ms().ok().flatten().or(it.start_ms);
    let (from, to) = (input.start_time, input.end_time);
    all.retain(|it| {
        let at = begins(it).map(|it| it as f64 / 1000.0);
        from.is_none_or(|from| at.is_some_and(|at| at >= from.0))
            && to.is_none_or(|to| at.is_some_and(|at| at <= to.0))
    });
    let keyed = all.into_iter().map(|it| (it.key(), it)).collect();
    let token = input.next_token.as_deref();
    let (all, next_token) = page(keyed, token, input.max_records, MAX)?;
    Ok(DescribeScheduledActionsOutput {
        scheduled_update_group_actions: Some(all.into_iter().map(ScheduledRecord::shown).collect()),
        next_token,
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
        let Some(action) = cx.read(|tx| tx.get::<ScheduledRecord>(key))? else {
            return Ok(Next::Idle);
        };
        let now_ms = cx.clock().now_ms();
        let Some(next_ms) = action.next_ms()? else {
            // One that is over goes, as on AWS.
            cx.write(|tx| match tx.get::<ScheduledRecord>(key)? {
                Some(found) if found == action => tx.delete::<ScheduledRecord>(key).map(drop),
                _ => Ok(()),
            })?;
            return Ok(Next::Idle);
        };
        if next_ms > now_ms {
            let wait_ms = (next_ms - now_ms).min(LOOK_AGAIN_MS);
            return Ok(Next::After(Duration::from_millis(wait_ms.unsigned_abs())));
        }
        cx.write(|tx| {
            let Some(mut known) = tx.get::<ScheduledRecord>(key)?.filter(|it| *it == action) else {
                return Ok(());
            };
            known.done_ms = next_ms.max(now_ms - LATE_MS);
            tx.put(&known)?;
            let group = tx.get::<GroupRecord>(&format!("{}/{}", action.region, action.group))?;
            match group.filter(|it| !it.deleting && !it.suspends("ScheduledActions")) {
                Some(group) if now_ms - next_ms <= LATE_MS => match resized(group, &action, now_ms)
                {
                    Some(group) => tx.put(&group),
                    None => Ok(()),
                },
                _ => Ok(()),
            }
        })?;
        Ok(Next::After(Duration::ZERO))
    }
}

/// The group with the action's sizes, where they fit together.
fn resized(mut group: GroupRecord, action: &ScheduledRecord, now_ms: i64) -> Option<GroupRecord> {
    let old = group.desired;
    group.min = action.min.unwrap_or(group.min);
    group.max = action.max.unwrap_or(group.max);
    if group.max < group.min {
        return None;
    }
    group.desired = action
        .desired
        .unwrap_or(group.desired.clamp(group.min, group.max));
    check_sizes(&group).ok()?;
    if group.desired != old {
        group.cause = Some(format!(
            "At {} a scheduled action update of AutoScalingGroup constraints to min: {}, max: {}, desired: {} changing the desired capacity from {old} to {}.",
            at(now_ms),
            group.min,
            group.max,
            group.desired,
            group.desired
        ));
    }
    Some(group)
}
