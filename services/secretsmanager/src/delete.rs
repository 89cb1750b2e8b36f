//! Deleting secrets: they can be restored until their window closes.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use shapes::secretsmanager::*;

use crate::names::{bad_request, check_name, find_any, invalid, not_found};
use crate::record::{SecretRecord, date};
use crate::secret::suffix;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// AWS's default, and its bounds.
const WINDOW_DAYS: i64 = 30;
const WINDOW_DAYS_MIN: i64 = 7;

pub async fn delete_secret(cx: Cx, input: DeleteSecretInput) -> Result<DeleteSecretOutput, Error> {
    let force = input.force_delete_without_recovery == Some(true);
    let window = input.recovery_window_in_days;
    if force && window.is_some() {
        return Err(invalid(
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
        ));
    }
    let days = window.unwrap_or(WINDOW_DAYS);
    if !(WINDOW_DAYS_MIN..=WINDOW_DAYS).contains(&days) {
        return Err(invalid(format!(
            "The RecoveryWindowInDays value must be between {WINDOW_DAYS_MIN} and {WINDOW_DAYS} days (inclusive)."
        )));
    }
    let now = cx.clock().now_ms();
    cx.write(|tx| {
        let mut secret = match find_any(&cx, tx, &input.secret_id) {
            Ok(secret) => secret,
            // AWS answers success for what cannot be there any longer.
            Err(error) if force && error.is(errors::ResourceNotFoundException) => {
                let id = &input.secret_id;
                let arn = match id.starts_with("arn:") {
                    true => id.clone(),
                    false => {
                        check_name(id)?;
                        cx.arn("secretsmanager", &format!("secret:{id}-{}", suffix(&cx)))
                    }
                };
                return Ok(DeleteSecretOutput {
                    arn: Some(arn),
                    name: Some(id.clone()),
                    deletion_date: date(now),
                });
            }
            Err(error) => return Err(error),
        };
        if secret.gone_ms.is_some() && !force {
            return Err(bad_request(
                "You tried to perform the operation on a secret that's currently marked deleted.",
            ));
        }
        let gone_ms = if force { now } else { now + days * DAY_MS };
        if force {
            secret.erase(tx)?;
        } else {
            secret.deleted_ms = Some(now);
            secret.gone_ms = Some(gone_ms);
            tx.put(&secret)?;
        }
        Ok(DeleteSecretOutput {
            arn: Some(secret.arn()),
            name: Some(secret.name),
            deletion_date: date(gone_ms),
        })
    })
}

pub async fn restore_secret(
    cx: Cx,
    input: RestoreSecretInput,
) -> Result<RestoreSecretOutput, Error> {
    cx.write(|tx| {
        let mut secret = find_any(&cx, tx, &input.secret_id)?;
        if secret.gone_ms.is_some_and(|it| it <= cx.clock().now_ms()) {
            return Err(not_found());
        }
        secret.deleted_ms = None;
        secret.gone_ms = None;
        tx.put(&secret)?;
        Ok(RestoreSecretOutput {
            arn: Some(secret.arn()),
            name: Some(secret.name),
        })
    })
}

/// Erases secrets whose window has closed.
pub struct DeletionReconciler;

#[async_trait]
impl Reconciler for DeletionReconciler {
    fn kind(&self) -> &'static str {
        SecretRecord::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<SecretRecord>(cloud)
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let left = cx.write(|tx| {
            let Some(secret) = tx.get::<SecretRecord>(key)? else {
                return Ok(None);
            };
            let Some(gone_ms) = secret.gone_ms else {
                return Ok(None);
            };
            let left = gone_ms - cx.clock().now_ms();
            if left > 0 {
                return Ok(Some(left));
            }
            secret.erase(tx)?;
            Ok(None)
        })?;
        let left = left.and_then(|it| u64::try_from(it).ok());
        Ok(left.map_or(Next::Idle, |ms| Next::After(Duration::from_millis(ms))))
    }
}
