//! Contents that nobody needs.
//!
//! Whoever ends a content's use records that in the same transaction; this removes the file, then
//! the record. What a crash left between a content and its record is looked for at start.

use std::collections::BTreeSet;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, Record, StoreError};

use crate::record::{Garbage, Object, Part, Version};

pub const KIND: &str = "s3.collector";
pub const KEY: &str = "global/contents";
/// Removed between two commits.
const BATCH: usize = 500;

pub struct Collector;

#[async_trait]
impl Reconciler for Collector {
    fn kind(&self) -> &'static str {
        KIND
    }
    fn keys(&self, _cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![KEY.to_owned()])
    }
    async fn reconcile(&self, cx: Cx, _key: &str) -> Result<Next, converge::Error> {
        settle_what_was_left(&cx).await?;
        loop {
            let garbage: Vec<Garbage> = cx.read(|tx| tx.page("", "", BATCH))?;
            if garbage.is_empty() {
                return Ok(Next::Idle);
            }
            for it in &garbage {
                cx.engine().objects.delete(&it.content).await?;
            }
            cx.write(|tx| {
                for it in &garbage {
                    tx.delete::<Garbage>(&it.key())?;
                }
                Ok(())
            })?;
        }
    }
}

/// Every record is looked at, once after a crash, and only when it left something.
async fn settle_what_was_left(cx: &Cx) -> Result<(), converge::Error> {
    let objects = &cx.engine().objects;
    let left: BTreeSet<String> = objects.unsettled().await?.into_iter().collect();
    if left.is_empty() {
        return Ok(());
    }
    let mut known = BTreeSet::new();
    let mut note = |content: &str| {
        if left.contains(content) {
            known.insert(content.to_owned());
        }
    };
    all::<Object>(cx, |it| note(&it.content))?;
    all::<Version>(cx, |it| {
        if let Some(object) = &it.object {
            note(&object.content);
        }
    })?;
    all::<Part>(cx, |it| note(&it.content))?;
    for content in &left {
        if known.contains(content) {
            objects.settle(content).await?;
        } else {
            objects.delete(content).await?;
        }
    }
    tracing::info!(
        kept = known.len(),
        removed = left.len() - known.len(),
        "settled contents that an earlier run left"
    );
    Ok(())
}

fn all<R: Record>(cx: &Cx, mut see: impl FnMut(&R)) -> Result<(), converge::Error> {
    let mut after = String::new();
    loop {
        let page: Vec<R> = cx.read(|tx| tx.page("", &after, BATCH))?;
        page.iter().for_each(&mut see);
        match page.last() {
            Some(last) if page.len() == BATCH => after = last.key(),
            _ => return Ok(()),
        }
    }
}
