//! Scaling activities: what was done, and why.

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::application_autoscaling::*;
use wire::Timestamp;

use crate::target::{TargetRecord, check_known, page};

/// AWS tells of the last six weeks (the API reference of `DescribeScalingActivities`).
const KEPT_MS: i64 = 42 * 24 * 3_600_000;
/// Of one target: with the fast pace there can be many.
const KEPT: usize = 200;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivityRecord {
    pub region: String,
    pub id: String,
    pub resource_id: String,
    /// Given in order.
    pub number: i64,
    pub to: i32,
    pub description: String,
    pub cause: String,
    pub start_ms: i64,
    pub end_ms: Option<i64>,
    pub status: ScalingActivityStatusCode,
    pub message: Option<String>,
    pub not_scaled: Option<NotScaledReason>,
}

impl Record for ActivityRecord {
    const KIND: &'static str = "application-autoscaling.activity";
    fn key(&self) -> String {
        let Self {
            region,
            resource_id,
            number,
            ..
        } = self;
        format!("{region}/{resource_id}/{number:012}")
    }
}

impl ActivityRecord {
    pub fn is_open(&self) -> bool {
        self.end_ms.is_none()
    }

    pub fn end(&mut self, status: ScalingActivityStatusCode, message: String, now_ms: i64) {
        self.status = status;
        self.message = Some(message);
        self.end_ms = Some(now_ms);
    }

    fn shown(self) -> ScalingActivity {
        let time = |ms: i64| Timestamp(ms as f64 / 1000.0);
        ScalingActivity {
            activity_id: self.id,
            service_namespace: ServiceNamespace::Ecs,
            resource_id: self.resource_id,
            scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
            description: self.description,
            cause: self.cause,
            start_time: time(self.start_ms),
            end_time: self.end_ms.map(time),
            status_code: self.status,
            status_message: self.message,
            details: None,
            not_scaled_reasons: self.not_scaled.map(|it| vec![it]),
        }
    }
}

/// The target's activities, the oldest first.
pub fn of_target(tx: &Records<'_>, target: &TargetRecord) -> Result<Vec<ActivityRecord>, Error> {
    tx.list(&format!("{}/", target.key()))
}

/// Writes one down, and forgets the oldest.
pub fn add(
    tx: &Records<'_>,
    target: &TargetRecord,
    activity: &ActivityRecord,
) -> Result<(), Error> {
    tx.put(activity)?;
    let keys = tx.keys::<ActivityRecord>(&format!("{}/", target.key()))?;
    for key in &keys[..keys.len().saturating_sub(KEPT)] {
        tx.delete::<ActivityRecord>(key)?;
    }
    Ok(())
}

pub async fn describe_scaling_activities(
    cx: Cx,
    input: DescribeScalingActivitiesInput,
) -> Result<DescribeScalingActivitiesOutput, Error> {
    check_known(input.service_namespace, input.scalable_dimension)?;
    let prefix = match &input.resource_id {
        Some(id) => cx.key(&format!("{id}/")),
        None => cx.key(""),
    };
    let mut all = cx.read(|tx| tx.list::<ActivityRecord>(&prefix))?;
    let since_ms = cx.clock().now_ms() - KEPT_MS;
    let not_scaled = input.include_not_scaled_activities.unwrap_or(false);
    all.retain(|it| it.start_ms >= since_ms && (not_scaled || it.not_scaled.is_none()));
    // The newest first: names of a page are sorted, so that they count down.
    let keyed = all
        .into_iter()
        .map(|it| (format!("{:020}", i64::MAX - it.number), it));
    let token = input.next_token.as_deref();
    let (all, next_token) = page(
        keyed.collect(),
        |it: &(String, _)| &it.0,
        token,
        input.max_results,
    );
    Ok(DescribeScalingActivitiesOutput {
        scaling_activities: Some(all.into_iter().map(|(_, it)| it.shown()).collect()),
        next_token,
    })
}
