//! Looks at an alarm's metric and writes its state down.
//!
//! **Pace.** What neargate samples itself (the namespaces `AWS/…`) it samples every paced minute, so
//! with the fast pace an alarm's period of 60 s over such a metric covers two seconds of the clock on
//! the wall, and a sum over it is told as what the same rate would have come to in 60 s: thresholds
//! mean the same at both paces. What programs put themselves they put at their own pace: periods over
//! other namespaces are as long as they say. They are looked at every paced minute all the same, and
//! the period that is under way counts as soon as what it has is too much already.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use serde_json::json;
use shapes::application_autoscaling::{DescribeScalingPoliciesInput, ServiceNamespace};
use shapes::cloudwatch::StateValue;
use wire::Timestamp;

use crate::alarm::Alarm;
use crate::alarm_rules::{Watched, watched};
use crate::chunk::{Windows, floor, read};
use crate::evaluate::{LOOK_BACK, Point, Verdict};
use crate::history::{self, NewState, Ran};
use crate::math::{Line, Value};
use crate::queries::{Asked, evaluate};

/// AWS looks at an alarm once a minute, and every ten seconds at one with a shorter period (User
/// Guide, "Alarm evaluation").
const LOOK: Duration = Duration::from_secs(60);
const LOOK_CLOSELY: Duration = Duration::from_secs(10);
/// While an alarm's actions go on, its newest datapoint is written down when it has changed by this
/// part of the threshold.
const CHANGE: f64 = 0.01;

pub struct AlarmReconciler;

#[async_trait]
impl Reconciler for AlarmReconciler {
    fn kind(&self) -> &'static str {
        Alarm::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<Alarm>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(alarm) = cx.read(|tx| tx.get::<Alarm>(key))? else {
            return Ok(Next::Idle);
        };
        let watched = watched(&alarm.given)?;
        let times = Times::of(&cx, &watched);
        if alarm.state_updated_ms > alarm.configured_ms && alarm.state_updated_ms >= times.due_ms {
            // It was looked at already, or set: until the next look that holds.
            return Ok(Next::After(times.next));
        }
        let points = points(&cx, &watched, &times)?;
        if let Some(verdict) = watched.rule.judge(&points) {
            note(&cx, &alarm, &watched, verdict).await?;
        }
        Ok(Next::After(times.next))
    }
}

/// The periods that are looked at.
struct Times {
    /// How long a period is by the clock on the wall.
    width_ms: i64,
    /// The end of the last one that is over.
    end_ms: i64,
    /// Whether the period after that is looked at, too.
    looks_ahead: bool,
    /// When the alarm was to be looked at.
    due_ms: i64,
    next: Duration,
}

impl Times {
    fn of(cx: &Cx, watched: &Watched) -> Self {
        let clock = cx.clock();
        let sampled = watched.is_sampled();
        let step = match watched.period_s {
            ..60 if !sampled => clock.paced(LOOK_CLOSELY),
            _ => clock.paced(LOOK),
        };
        let step_ms = millis(step).max(1000);
        let period = Duration::from_secs(watched.period_s.unsigned_abs());
        let width_ms = match sampled {
            // No sample is taken more often than this.
            true => millis(clock.paced(period)).max(step_ms),
            false => millis(period),
        };
        // Samples of a minute are there soon after its end, but not at once.
        let wait_ms = if sampled { step_ms / 4 } else { 0 };
        let now_ms = clock.now_ms();
        let begun_ms = floor(now_ms - wait_ms, step_ms);
        let end_ms = floor(begun_ms, width_ms);
        let next_ms = begun_ms + step_ms + wait_ms - now_ms;
        Self {
            width_ms,
            end_ms,
            looks_ahead: !sampled,
            due_ms: begun_ms + wait_ms,
            next: Duration::from_millis(next_ms.max(1).unsigned_abs()),
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The evaluation range, the newest first.
fn points(cx: &Cx, watched: &Watched, times: &Times) -> Result<Vec<Point>, Error> {
    let count = watched.rule.evaluation_periods + LOOK_BACK;
    let width_ms = times.width_ms;
    let from_ms = times.end_ms - width_ms * count as i64;
    let ahead = usize::from(times.looks_ahead);
    let to_ms = times.end_ms + width_ms * ahead as i64;
    let starts: Vec<i64> = (0..(count + ahead) as i64)
        .map(|it| from_ms + it * width_ms)
        .collect();
    let stretched = watched.period_s as f64 * 1000.0 / width_ms as f64;
    let values = cx.read(|tx| {
        let fetch = |asked: &Asked| -> Result<Line, Error> {
            let windows = Windows {
                from_ms,
                to_ms,
                width_ms,
            };
            let found = read(cx, tx, &asked.metric, asked.unit, windows)?;
            let scale = if asked.stat.is_total() {
                stretched
            } else {
                1.0
            };
            let told = found
                .iter()
                .filter_map(|(at, bucket)| Some((*at, asked.stat.of(bucket)? * scale)));
            Ok(told.collect())
        };
        evaluate(&watched.queries, &starts, fetch)
    })?;
    let value = |start: &i64| match values.get(&watched.counts)? {
        Value::Scalar(number) => Some(*number),
        Value::Line(line) => line.get(start).copied(),
        Value::Lines(lines) => lines.first()?.get(start).copied(),
    };
    let points = starts.iter().rev().map(|start| Point {
        start_ms: *start,
        value: value(start),
    });
    let too_much = |it: &Point| {
        watched.rule.is_above() && it.value.is_some_and(|it| watched.rule.breaches(it))
    };
    Ok(points
        .filter(|it| it.start_ms < times.end_ms || too_much(it))
        .collect())
}

async fn note(
    cx: &Cx,
    alarm: &Alarm,
    watched: &Watched,
    verdict: Verdict,
) -> Result<(), converge::Error> {
    let newest = verdict.decided.first().and_then(|it| it.value);
    let changed = alarm.state != verdict.state;
    if !changed && !matters(alarm, watched, newest) {
        return Ok(());
    }
    let ran = match changed {
        true => actions_of(cx, alarm, verdict.state).await?,
        false => Vec::new(),
    };
    cx.write(|tx| {
        // It may have been put anew, or set, meanwhile: then it is looked at again.
        let Some(mut record) = tx.get::<Alarm>(&alarm.key())?.filter(|it| it == alarm) else {
            return Ok(());
        };
        let now_ms = cx.clock().now_ms();
        let data = reason_data(alarm, watched, &verdict, now_ms);
        record.value = newest;
        let reason = match changed {
            true => verdict.reason.clone(),
            false => record.reason.clone(),
        };
        let new = NewState {
            state: verdict.state,
            reason,
            data: Some(data),
        };
        history::change_state(tx, &mut record, new, now_ms, &ran)
    })?;
    Ok(())
}

/// A state that goes on is worth a write only when its actions are to know the newest datapoint.
fn matters(alarm: &Alarm, watched: &Watched, newest: Option<f64>) -> bool {
    if !alarm.actions_enabled || alarm.actions(alarm.state).is_empty() {
        return false;
    }
    let change = watched.rule.threshold.abs() * CHANGE;
    match (alarm.value, newest) {
        (Some(before), Some(now)) => (now - before).abs() > change,
        (before, now) => before != now,
    }
}

/// Actions are scaling policies, which follow alarms' states by themselves: what is to be found out
/// here is whether they are there.
pub async fn actions_of(cx: &Cx, alarm: &Alarm, state: StateValue) -> Result<Vec<Ran>, Error> {
    let mut ran = Vec::new();
    if !alarm.actions_enabled || alarm.state == state {
        return Ok(ran);
    }
    for action in alarm.actions(state) {
        let name = action.rsplit_once(":policyName/").map(|it| it.1.to_owned());
        let found = cx
            .call(DescribeScalingPoliciesInput {
                service_namespace: ServiceNamespace::Ecs,
                policy_names: name.map(|it| vec![it]),
                ..Default::default()
            })
            .await;
        let there = found.map(|it| {
            let policies = it.scaling_policies.unwrap_or_default();
            policies.iter().any(|it| it.policy_arn == *action)
        });
        let failed = match there {
            Ok(true) => None,
            Ok(false) => Some("there is no such scaling policy".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        ran.push(Ran {
            action: action.clone(),
            failed,
        });
    }
    Ok(ran)
}

fn reason_data(alarm: &Alarm, watched: &Watched, verdict: &Verdict, now_ms: i64) -> String {
    let time = |ms: i64| {
        let iso = Timestamp((ms / 1000) as f64).to_string();
        format!("{}.{:03}+0000", iso.trim_end_matches('Z'), ms % 1000)
    };
    let oldest = verdict.decided.last().map(|it| time(it.start_ms));
    let values: Vec<f64> = verdict
        .decided
        .iter()
        .rev()
        .filter_map(|it| it.value)
        .collect();
    let points: Vec<_> = verdict
        .decided
        .iter()
        .map(|it| json!({"timestamp": time(it.start_ms), "value": it.value}))
        .collect();
    let statistic = alarm.given.statistic.map(|it| it.to_string());
    json!({
        "version": "1.0",
        "queryDate": time(now_ms),
        "startDate": oldest,
        "statistic": statistic.or(alarm.given.extended_statistic.clone()),
        "period": watched.period_s,
        "recentDatapoints": values,
        "threshold": watched.rule.threshold,
        "evaluatedDatapoints": points,
    })
    .to_string()
}
