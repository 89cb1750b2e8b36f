//! Issuing what was requested, and renewing it before it expires.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, Record, StoreError, all_keys};

use crate::authority;
use crate::record::CertificateRecord;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// ACM User Guide, "Renewal for domains validated by DNS": "60 days prior to expiration".
const RENEWED_DAYS_BEFORE: i64 = 60;
/// A timer for longer is set anew.
const LOOK_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub struct IssuingReconciler;

#[async_trait]
impl Reconciler for IssuingReconciler {
    fn kind(&self) -> &'static str {
        CertificateRecord::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<CertificateRecord>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(record) = cx.read(|tx| tx.get::<CertificateRecord>(key))? else {
            return Ok(Next::Idle);
        };
        if record.is_imported {
            return Ok(Next::Idle);
        }
        let due_ms = match &record.issued {
            Some(issued) => issued.not_after_ms - RENEWED_DAYS_BEFORE * DAY_MS,
            None => i64::MIN,
        };
        let now_ms = cx.clock().now_ms();
        // What nobody uses is not renewed (ACM User Guide, "Managed certificate renewal").
        let is_wanted = |tx: &cloud::Records<'_>| {
            Ok(record.issued.is_none() || !cx.servers_with(tx, &record.arn())?.is_empty())
        };
        if now_ms >= due_ms && !cx.read(is_wanted)? {
            return Ok(Next::After(LOOK_MAX));
        }
        if now_ms >= due_ms {
            issue(&cx, record)?;
            return Ok(Next::After(LOOK_MAX));
        }
        let left = u64::try_from(due_ms - now_ms).unwrap_or(0);
        Ok(Next::After(Duration::from_millis(left).min(LOOK_MAX)))
    }
}

/// Has the authority issue a certificate, for the first time or anew. One that was changed meanwhile is left
/// alone: whoever changed it has woken its reconciler.
pub fn issue(cx: &Cx, before: CertificateRecord) -> Result<(), cloud::Error> {
    let issued = authority::issue(cx, &before.names, before.key_algorithm)?;
    cx.write(|tx| {
        let Some(mut record) = tx.get::<CertificateRecord>(&before.key())? else {
            return Ok(());
        };
        if record.issued == before.issued {
            record.renewed_ms = before.issued.as_ref().map(|_| issued.at_ms);
            record.issued = Some(issued);
            tx.put(&record)?;
        }
        Ok(())
    })
}
