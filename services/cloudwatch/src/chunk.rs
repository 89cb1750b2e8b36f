//! Where data are kept.
//!
//! A chunk holds the buckets of one metric for a stretch of time. There are four tiers of chunks, as
//! AWS documents its retention: by the second for 3 hours, by the minute for 15 days, by 5 minutes
//! for 63 days, by the hour for 455 days. A datum is in exactly one chunk: what is too old for its
//! tier is folded into the next one ([`crate::retention`]), so that a reader adds up whatever
//! overlaps its range. Writing a datum rewrites one chunk, which is why the first tier's are short.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::cloudwatch::StandardUnit;

use crate::bucket::Bucket;
use crate::metric::{self, MetricId};

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;

pub struct Tier {
    /// How long one bucket is.
    pub bucket_s: i64,
    /// How long one chunk is.
    pub chunk_s: i64,
    /// How long data stay in this tier.
    pub kept_s: i64,
}

/// User Guide, "Metrics retention".
pub const TIERS: [Tier; 4] = [
    Tier {
        bucket_s: 1,
        chunk_s: 60,
        kept_s: 3 * HOUR_S,
    },
    Tier {
        bucket_s: 60,
        chunk_s: HOUR_S,
        kept_s: 15 * DAY_S,
    },
    Tier {
        bucket_s: 300,
        chunk_s: 6 * HOUR_S,
        kept_s: 63 * DAY_S,
    },
    Tier {
        bucket_s: HOUR_S,
        chunk_s: 3 * DAY_S,
        kept_s: 455 * DAY_S,
    },
];
pub const FINEST: usize = 0;
pub const MINUTES: usize = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    pub place: ChunkPlace,
    /// By their time in seconds since 1970.
    pub buckets: BTreeMap<i64, Bucket>,
}

/// The key of a chunk, in its parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChunkPlace {
    /// The key of the [`metric::Series`].
    pub series: String,
    pub tier: usize,
    pub start_s: i64,
}

impl ChunkPlace {
    pub fn at(series: &str, tier: usize, time_s: i64) -> Self {
        Self {
            series: series.to_owned(),
            tier,
            start_s: floor(time_s, TIERS[tier].chunk_s),
        }
    }

    pub fn key(&self) -> String {
        // Padded, so that chunks sort by time.
        format!("{}/{}/{:012}", self.series, self.tier, self.start_s)
    }

    pub fn parse(key: &str) -> Option<Self> {
        let (rest, start) = key.rsplit_once('/')?;
        let (series, tier) = rest.rsplit_once('/')?;
        let tier = tier.parse().ok().filter(|it| *it < TIERS.len())?;
        Some(Self {
            series: series.to_owned(),
            tier,
            start_s: start.parse().ok()?,
        })
    }

    pub fn end_s(&self) -> i64 {
        self.start_s + TIERS[self.tier].chunk_s
    }
}

impl Record for Chunk {
    const KIND: &'static str = "cloudwatch.chunk";
    fn key(&self) -> String {
        self.place.key()
    }
}

pub fn floor(value: i64, step: i64) -> i64 {
    value.div_euclid(step) * step
}

/// Chunks that are being changed in one transaction, each read and written once.
#[derive(Default)]
pub struct Changes(BTreeMap<ChunkPlace, BTreeMap<i64, Bucket>>);

impl Changes {
    pub fn add(&mut self, series: &str, tier: usize, time_s: i64, bucket: &Bucket) {
        let buckets = self
            .0
            .entry(ChunkPlace::at(series, tier, time_s))
            .or_default();
        put(buckets, floor(time_s, TIERS[tier].bucket_s), bucket);
    }

    pub fn write(self, tx: &Records<'_>) -> Result<(), Error> {
        for (place, more) in self.0 {
            let known: Option<Chunk> = tx.get(&place.key())?;
            let mut chunk = known.unwrap_or(Chunk {
                place,
                buckets: BTreeMap::new(),
            });
            for (time_s, bucket) in &more {
                put(&mut chunk.buckets, *time_s, bucket);
            }
            tx.put(&chunk)?;
        }
        Ok(())
    }
}

pub fn put(buckets: &mut BTreeMap<i64, Bucket>, at: i64, bucket: &Bucket) {
    match buckets.get_mut(&at) {
        Some(known) => known.add(bucket),
        None => {
            buckets.insert(at, bucket.clone());
        }
    }
}

/// What is to be read of a metric: buckets of `width_ms`, counted from `from_ms`, before `to_ms`.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    pub from_ms: i64,
    pub to_ms: i64,
    pub width_ms: i64,
}

/// A metric's data by the start of their window. A bucket belongs to the window that it begins in.
pub fn read(
    cx: &Cx,
    tx: &Records<'_>,
    id: &MetricId,
    unit: Option<StandardUnit>,
    windows: Windows,
) -> Result<BTreeMap<i64, Bucket>, Error> {
    let Windows {
        from_ms,
        to_ms,
        width_ms,
    } = windows;
    let mut found = BTreeMap::new();
    for series in metric::units(cx, tx, id, unit)? {
        let series = series.key();
        for (tier, shape) in TIERS.iter().enumerate() {
            let first = ChunkPlace::at(&series, tier, from_ms.div_euclid(1000));
            let prefix = format!("{series}/{tier}/");
            let count = (to_ms / 1000 - first.start_s) / shape.chunk_s + 1;
            // Chunks begin at whole seconds: the key of the second before is the last not wanted.
            let before = ChunkPlace {
                start_s: (first.start_s - 1).max(0),
                ..first
            };
            let count = usize::try_from(count).unwrap_or_default();
            for chunk in tx.page::<Chunk>(&prefix, &before.key(), count)? {
                for (time_s, bucket) in chunk.buckets {
                    let at = time_s * 1000;
                    if (from_ms..to_ms).contains(&at) {
                        put(&mut found, from_ms + floor(at - from_ms, width_ms), &bucket);
                    }
                }
            }
        }
    }
    Ok(found)
}
