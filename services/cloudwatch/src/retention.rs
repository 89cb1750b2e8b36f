//! How long data are kept: what is too old for its tier is folded into the next, and at last dropped.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, Record, StoreError};
use serde::{Deserialize, Serialize};

use crate::chunk::{Changes, Chunk, ChunkPlace, TIERS};
use crate::history;
use crate::metric::Series;

/// Tiers are hours and days long; looking twice an hour is close enough.
const LOOK_AGAIN: Duration = Duration::from_secs(30 * 60);
/// Chunks of one transaction: others wait no longer than a moment for it.
const AT_ONCE: usize = 200;
const KEY: &str = "all";

/// There is no such record: the reconciler's one key wakes itself.
#[derive(Serialize, Deserialize)]
pub struct Retention;

impl Record for Retention {
    const KIND: &'static str = "cloudwatch.retention";
    fn key(&self) -> String {
        KEY.into()
    }
}

pub struct RetentionReconciler;

#[async_trait]
impl Reconciler for RetentionReconciler {
    fn kind(&self) -> &'static str {
        Retention::KIND
    }
    fn keys(&self, _: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![KEY.into()])
    }
    fn region(&self, _: &str) -> String {
        String::new()
    }

    async fn reconcile(&self, cx: Cx, _: &str) -> Result<Next, converge::Error> {
        let now_s = cx.clock().now_ms() / 1000;
        let old: Vec<ChunkPlace> = cx
            .read(|tx| tx.keys::<Chunk>(""))?
            .iter()
            .filter_map(|it| ChunkPlace::parse(it))
            .filter(|it| it.end_s() < now_s - TIERS[it.tier].kept_s)
            .collect();
        for places in old.chunks(AT_ONCE) {
            fold(&cx, places)?;
            tokio::task::yield_now().await;
        }
        drop_forgotten(&cx)?;
        history::expire(&cx)?;
        Ok(Next::After(LOOK_AGAIN))
    }
}

fn fold(cx: &Cx, places: &[ChunkPlace]) -> Result<(), converge::Error> {
    cx.write(|tx| {
        let mut changes = Changes::default();
        for place in places {
            let Some(chunk) = tx.get::<Chunk>(&place.key())? else {
                continue;
            };
            tx.delete::<Chunk>(&place.key())?;
            if place.tier + 1 < TIERS.len() {
                for (time_s, bucket) in &chunk.buckets {
                    changes.add(&place.series, place.tier + 1, *time_s, bucket);
                }
            }
        }
        changes.write(tx)
    })?;
    Ok(())
}

/// Metrics of which no datum is left.
fn drop_forgotten(cx: &Cx) -> Result<(), converge::Error> {
    let kept_ms = TIERS[TIERS.len() - 1].kept_s * 1000;
    let before_ms = cx.clock().now_ms() - kept_ms;
    let all = cx.read(|tx| tx.readable::<Series>(""))?;
    let forgotten: Vec<_> = all.iter().filter(|it| it.last_ms < before_ms).collect();
    if !forgotten.is_empty() {
        cx.write(|tx| {
            for series in forgotten {
                tx.delete::<Series>(&series.key())?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
