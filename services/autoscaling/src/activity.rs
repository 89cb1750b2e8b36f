//! Scaling activities: what was done with an instance, and why.

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::autoscaling::*;
use wire::Timestamp;

use crate::page::{MAX_OF_ACTIVITIES, page};
use crate::record::{self, GroupRecord, InstanceRecord};

/// Of one group: with the fast pace there can be many.
const KEPT: usize = 200;
const DONE: i32 = 100;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivityRecord {
    pub region: String,
    pub group: String,
    pub group_arn: String,
    /// Given in order.
    pub number: i64,
    pub id: String,
    pub description: String,
    pub cause: String,
    pub start_ms: i64,
    pub end_ms: Option<i64>,
    pub status: ScalingActivityStatusCode,
    pub message: Option<String>,
    pub progress: i32,
    pub details: String,
}

impl Record for ActivityRecord {
    const KIND: &'static str = "autoscaling.activity";
    fn key(&self) -> String {
        format!("{}/{}/{:012}", self.region, self.group, self.number)
    }
}

impl ActivityRecord {
    pub fn shown(self) -> Activity {
        let time = |ms: i64| Timestamp(ms as f64 / 1000.0);
        Activity {
            activity_id: self.id,
            auto_scaling_group_name: self.group,
            description: Some(self.description),
            cause: self.cause,
            start_time: time(self.start_ms),
            end_time: self.end_ms.map(time),
            status_code: self.status,
            status_message: self.message,
            progress: Some(self.progress),
            details: Some(self.details),
            auto_scaling_group_state: None,
            auto_scaling_group_arn: Some(self.group_arn),
        }
    }
}

/// Begins one for an instance, which has it under way from now on.
pub fn begin(
    cx: &Cx,
    tx: &Records<'_>,
    group: &mut GroupRecord,
    instance: &mut InstanceRecord,
    (description, cause): (String, String),
) -> Result<ActivityRecord, Error> {
    if let Some(number) = instance.activity.take() {
        finish(cx, tx, group, number, Outcome::Overtaken)?;
    }
    let zone = serde_json::json!({
        "Availability Zone": instance.place.zone,
        "Subnet ID": instance.place.subnet,
    });
    let activity = ActivityRecord {
        region: group.region.clone(),
        group: group.name.clone(),
        group_arn: group.arn(),
        number: group.next_activity,
        id: cloud::dashed(&cloud::random_hex(32)),
        description,
        cause,
        start_ms: cx.clock().now_ms(),
        end_ms: None,
        status: ScalingActivityStatusCode::InProgress,
        message: None,
        progress: 0,
        details: zone.to_string(),
    };
    group.next_activity += 1;
    instance.activity = Some(activity.number);
    tx.put(&activity)?;
    let keys = tx.keys::<ActivityRecord>(&group.prefix())?;
    for key in &keys[..keys.len().saturating_sub(KEPT)] {
        tx.delete::<ActivityRecord>(key)?;
    }
    Ok(activity)
}

/// How one ends.
pub enum Outcome {
    Done,
    /// Something else was begun with its instance.
    Overtaken,
    Failed(String),
}

pub fn finish(
    cx: &Cx,
    tx: &Records<'_>,
    group: &GroupRecord,
    number: i64,
    outcome: Outcome,
) -> Result<(), Error> {
    change(tx, group, number, |it| {
        it.end_ms = Some(cx.clock().now_ms());
        it.progress = DONE;
        match outcome {
            Outcome::Done => it.status = ScalingActivityStatusCode::Successful,
            Outcome::Overtaken => it.status = ScalingActivityStatusCode::Cancelled,
            Outcome::Failed(why) => {
                it.status = ScalingActivityStatusCode::Failed;
                it.description = format!("{}.  Status Reason: {why}", it.description);
                it.message = Some(why);
            }
        }
    })
}

/// Changes one that is under way.
pub fn change(
    tx: &Records<'_>,
    group: &GroupRecord,
    number: i64,
    edit: impl FnOnce(&mut ActivityRecord),
) -> Result<(), Error> {
    let key = format!("{}{number:012}", group.prefix());
    let found = tx.get::<ActivityRecord>(&key)?;
    let Some(mut activity) = found.filter(|it| it.end_ms.is_none()) else {
        return Ok(());
    };
    let before = activity.clone();
    edit(&mut activity);
    match activity == before {
        true => Ok(()),
        false => tx.put(&activity),
    }
}

pub async fn describe_scaling_activities(
    cx: Cx,
    input: DescribeScalingActivitiesInput,
) -> Result<DescribeScalingActivitiesOutput, Error> {
    let mut all = cx.read(|tx| match &input.auto_scaling_group_name {
        Some(name) => {
            let group = record::group(&cx, tx, name)?;
            tx.list::<ActivityRecord>(&group.prefix())
        }
        None => tx.list::<ActivityRecord>(&cx.key("")),
    })?;
    if let Some(ids) = &input.activity_ids {
        all.retain(|it| ids.contains(&it.id));
    }
    // The newest first: names of a page are sorted, so that they count down.
    let keyed = (all.into_iter())
        .map(|it| {
            let order = (i64::MAX - it.start_ms, i64::MAX - it.number);
            (format!("{:020}/{:020}/{}", order.0, order.1, it.group), it)
        })
        .collect();
    let token = input.next_token.as_deref();
    let (all, next_token) = page(keyed, token, input.max_records, MAX_OF_ACTIVITIES)?;
    Ok(DescribeScalingActivitiesOutput {
        activities: all.into_iter().map(ActivityRecord::shown).collect(),
        next_token,
    })
}
