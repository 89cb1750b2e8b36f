//! How much the store has done: what an operation costs, told without a clock. Tests use it to see that
//! a cost does not grow with what is kept.

use std::sync::atomic::{AtomicU64, Ordering};

/// Since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Records that were opened and decoded.
    pub read: u64,
    /// Keys that were listed.
    pub listed: u64,
    /// Records that were written or deleted.
    pub written: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    read: AtomicU64,
    listed: AtomicU64,
    written: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn listed(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.listed.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn work(&self) -> Work {
        Work {
            read: self.read.load(Ordering::Relaxed),
            listed: self.listed.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
        }
    }
}

impl std::ops::Sub for Work {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self {
            read: self.read - before.read,
            listed: self.listed - before.listed,
            written: self.written - before.written,
        }
    }
}

impl Work {
    pub fn total(self) -> u64 {
        self.read + self.listed + self.written
    }
}
