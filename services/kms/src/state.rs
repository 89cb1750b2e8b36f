//! Whether a key may be used, and when it is gone.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use shapes::kms::*;

use crate::find::{invalid, not_pending, own_key};
use crate::record::{KeyRecord, State, date};
use crate::rotation::{self, DAY_MS};

/// AWS's default and highest, and its lowest.
const WINDOW_DAYS: i32 = 30;
const WINDOW_DAYS_MIN: i32 = 7;

fn set(cx: &Cx, id: &str, state: State, action: &str) -> Result<(), Error> {
    cx.write(|tx| {
        let mut key = own_key(cx, tx, id, action)?;
        not_pending(&key)?;
        key.state = state;
        tx.put(&key)
    })
}

pub async fn enable_key(cx: Cx, input: EnableKeyInput) -> Result<EnableKeyOutput, Error> {
    set(&cx, &input.key_id, State::Enabled, "EnableKey")?;
    Ok(EnableKeyOutput {})
}

pub async fn disable_key(cx: Cx, input: DisableKeyInput) -> Result<DisableKeyOutput, Error> {
    set(&cx, &input.key_id, State::Disabled, "DisableKey")?;
    Ok(DisableKeyOutput {})
}

pub async fn schedule_key_deletion(
    cx: Cx,
    input: ScheduleKeyDeletionInput,
) -> Result<ScheduleKeyDeletionOutput, Error> {
    let days = input.pending_window_in_days.unwrap_or(WINDOW_DAYS);
    if !(WINDOW_DAYS_MIN..=WINDOW_DAYS).contains(&days) {
        return Err(invalid(format!(
            "PendingWindowInDays must be between {WINDOW_DAYS_MIN} and {WINDOW_DAYS} days (inclusive)."
        )));
    }
    cx.write(|tx| {
        let mut key = own_key(&cx, tx, &input.key_id, "ScheduleKeyDeletion")?;
        not_pending(&key)?;
        let gone_ms = cx.clock().now_ms() + i64::from(days) * DAY_MS;
        key.state = State::PendingDeletion { gone_ms };
        tx.put(&key)?;
        Ok(ScheduleKeyDeletionOutput {
            key_id: Some(key.arn()),
            deletion_date: date(gone_ms),
            key_state: key.state_shown(),
            pending_window_in_days: Some(days),
        })
    })
}

pub async fn cancel_key_deletion(
    cx: Cx,
    input: CancelKeyDeletionInput,
) -> Result<CancelKeyDeletionOutput, Error> {
    cx.write(|tx| {
        let mut key = own_key(&cx, tx, &input.key_id, "CancelKeyDeletion")?;
        if !matches!(key.state, State::PendingDeletion { .. }) {
            return Err(errors::KMSInvalidStateException
                .because(format!("{} is not pending deletion.", key.arn())));
        }
        // As on AWS: who wants to use it again says so.
        key.state = State::Disabled;
        tx.put(&key)?;
        Ok(CancelKeyDeletionOutput {
            key_id: Some(key.arn()),
        })
    })
}

/// Erases keys whose window has closed, and rotates those whose period is over.
pub struct KeyReconciler;

#[async_trait]
impl Reconciler for KeyReconciler {
    fn kind(&self) -> &'static str {
        KeyRecord::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<KeyRecord>(cloud)
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        // Most keys wait for nothing: they are read, and nothing is written.
        let found = cx.read(|tx| tx.get::<KeyRecord>(key))?;
        let waits = found.is_some_and(|it| {
            it.rotation.is_some() || matches!(it.state, State::PendingDeletion { .. })
        });
        if !waits {
            return Ok(Next::Idle);
        }
        let left = cx.write(|tx| {
            let Some(mut key) = tx.get::<KeyRecord>(key)? else {
                return Ok(None);
            };
            let State::PendingDeletion { gone_ms } = key.state else {
                return rotation::due(&cx, tx, &mut key);
            };
            let left = gone_ms - cx.clock().now_ms();
            if left > 0 {
                return Ok(Some(left));
            }
            key.erase(tx)?;
            Ok(None)
        })?;
        let left = left.and_then(|it| u64::try_from(it).ok());
        Ok(left.map_or(Next::Idle, |ms| Next::After(Duration::from_millis(ms))))
    }
}
