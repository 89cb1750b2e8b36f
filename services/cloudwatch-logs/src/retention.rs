//! Retention: how long a group's events are kept.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use shapes::logs::{
    DeleteRetentionPolicyInput, DeleteRetentionPolicyOutput, PutRetentionPolicyInput,
    PutRetentionPolicyOutput,
};

use crate::group::Group;
use crate::names::{find, invalid};
use crate::put::DAY_MS;

/// The API reference of `PutRetentionPolicy`.
const VALUES: &[i32] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];
/// Retention is counted in days; looking once an hour is close enough.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

pub async fn put_retention_policy(
    cx: Cx,
    input: PutRetentionPolicyInput,
) -> Result<PutRetentionPolicyOutput, Error> {
    let days = input.retention_in_days;
    if !VALUES.contains(&days) {
        let values: Vec<String> = VALUES.iter().map(i32::to_string).collect();
        return Err(invalid(format!(
            "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
            values.join(", ")
        )));
    }
    set(&cx, &input.log_group_name, Some(days))?;
    Ok(PutRetentionPolicyOutput {})
}

pub async fn delete_retention_policy(
    cx: Cx,
    input: DeleteRetentionPolicyInput,
) -> Result<DeleteRetentionPolicyOutput, Error> {
    set(&cx, &input.log_group_name, None)?;
    Ok(DeleteRetentionPolicyOutput {})
}

fn set(cx: &Cx, name: &str, days: Option<i32>) -> Result<(), Error> {
    cx.write(|tx| {
        let mut group = find(cx, tx, name)?;
        group.retention_days = days;
        tx.put(&group)
    })
}

/// Removes events that are older than their group keeps them.
pub struct RetentionReconciler;

#[async_trait]
impl Reconciler for RetentionReconciler {
    fn kind(&self) -> &'static str {
        Group::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<Group>(cloud)
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let group: Option<Group> = cx.read(|tx| tx.get(key))?;
        let Some(days) = group.and_then(|it| it.retention_days) else {
            return Ok(Next::Idle);
        };
        let before_ms = cx.clock().now_ms() - i64::from(days) * DAY_MS;
        cx.engine().logs.expire(key, before_ms).await?;
        Ok(Next::After(LOOK_AGAIN))
    }
}
