//! Slow start: a target that has just become healthy gets few requests at first, and more and more of
//! them until it gets as many as the others (ELB User Guide, "Slow start mode").

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::activity::now_ms;

/// A whole request's worth of credit.
const WHOLE: u32 = 1000;

#[derive(Debug, Default)]
pub struct Warmth {
    /// It is warmed up when it becomes healthy: one that was registered alone, or together with the
    /// first ones, is not.
    is_wanted: AtomicBool,
    /// When it became healthy; zero when it gets its whole share.
    since_ms: AtomicU64,
    /// Of its turns it lets pass until they add up to a whole one.
    credit: AtomicU32,
}

impl Warmth {
    pub fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// It is healthy.
    pub fn begin(&self) {
        if self.is_wanted.load(Ordering::Relaxed) {
            self.credit.store(0, Ordering::Relaxed);
            self.since_ms.store(now_ms(), Ordering::Relaxed);
        }
    }

    /// It was healthy and is not any more: it begins anew.
    pub fn lose(&self) {
        self.want();
        self.since_ms.store(0, Ordering::Relaxed);
    }

    pub fn is_growing(&self) -> bool {
        self.since_ms.load(Ordering::Relaxed) != 0
    }

    /// Whether this turn is one that it takes.
    pub fn takes_its_share(&self, duration_ms: u64) -> bool {
        self.takes_its_share_at(now_ms(), duration_ms)
    }

    fn takes_its_share_at(&self, now_ms: u64, duration_ms: u64) -> bool {
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        if since_ms == 0 {
            return true;
        }
        let passed_ms = now_ms.saturating_sub(since_ms);
        if passed_ms >= duration_ms {
            self.since_ms.store(0, Ordering::Relaxed);
            return true;
        }
        let share = passed_ms * u64::from(WHOLE) / duration_ms;
        let share = u32::try_from(share).unwrap_or(WHOLE).max(1);
        let credit = self.credit.fetch_add(share, Ordering::Relaxed) + share;
        if credit >= WHOLE {
            self.credit.fetch_sub(WHOLE, Ordering::Relaxed);
        }
        credit >= WHOLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(warmth: &Warmth, now_ms: u64) -> usize {
        let turns = 0..1000;
        turns
            .filter(|_| warmth.takes_its_share_at(now_ms, 100_000))
            .count()
    }

    #[test]
    fn the_share_grows_until_it_is_whole() {
        let warmth = Warmth::default();
        assert_eq!(taken(&warmth, 5_000), 1000);
        warmth.begin();
        assert!(!warmth.is_growing(), "nobody wanted it");
        warmth.want();
        warmth.since_ms.store(1_000, Ordering::Relaxed);
        assert_eq!(taken(&warmth, 1_000), 1);
        assert_eq!(taken(&warmth, 26_000), 250);
        assert_eq!(taken(&warmth, 76_000), 750);
        assert!(warmth.is_growing());
        assert_eq!(taken(&warmth, 101_000), 1000);
        assert!(!warmth.is_growing());
    }
}
