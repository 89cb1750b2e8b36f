//! One clock for every wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// How AWS's waits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Compressed: see [`Clock::paced`].
    #[default]
    Fast,
    /// As AWS documents them.
    Real,
}

/// A fast second: AWS's 30 s health interval becomes one second.
const FAST_DIVISOR: u32 = 30;
/// No wait becomes shorter than this: a probe and a signal handler need some time.
const FAST_MIN: Duration = Duration::from_millis(200);
/// What the fast pace leaves a program for its start: the shortest that AWS's health checks can be
/// set to leave it (two probes that are five seconds apart), so that what starts in time there does
/// so here.
const FAST_PATIENCE: Duration = Duration::from_secs(10);

/// Time for records and waits. It follows tokio's clock, so a test that pauses tokio's time drives
/// this one as well.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pace: Pace,
    started: Instant,
    started_ms: i64,
}

impl Clock {
    pub fn new(pace: Pace) -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            pace,
            started: Instant::now(),
            started_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        }
    }

    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.started_ms + i64::try_from(self.started.elapsed().as_millis()).unwrap_or(0)
    }

    /// Seconds since 1970, as AWS's timestamps are sent.
    pub fn now(&self) -> f64 {
        self.now_ms() as f64 / 1000.0
    }

    /// How long a documented wait is here: itself with the real pace; a thirtieth, but never under
    /// 200 ms, with the fast one. A wait of nothing stays nothing.
    pub fn paced(&self, documented: Duration) -> Duration {
        match self.pace {
            Pace::Real => documented,
            Pace::Fast if documented.is_zero() => documented,
            Pace::Fast => (documented / FAST_DIVISOR).max(FAST_MIN).min(documented),
        }
    }

    /// How long failed checks say nothing of a program that has just been started, where AWS's own
    /// checks take `documented` to fail. A program starts no faster because waits are compressed.
    pub fn patience(&self, documented: Duration) -> Duration {
        match self.pace {
            Pace::Real => Duration::ZERO,
            Pace::Fast => documented.min(FAST_PATIENCE),
        }
    }

    pub fn paced_ms(&self, documented: Duration) -> u64 {
        u64::try_from(self.paced(documented).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_its_own_time_to_start() {
        let patience = |pace, seconds| {
            Clock::new(pace)
                .patience(Duration::from_secs(seconds))
                .as_secs()
        };
        assert_eq!(patience(Pace::Fast, 60), 10);
        assert_eq!(patience(Pace::Fast, 5), 5);
        // The checks themselves take their time.
        assert_eq!(patience(Pace::Real, 60), 0);
    }

    #[test]
    fn the_fast_pace_is_a_thirtieth_within_bounds() {
        let paced = |pace, seconds| {
            Clock::new(pace)
                .paced(Duration::from_secs_f64(seconds))
                .as_millis()
        };
        assert_eq!(paced(Pace::Real, 30.0), 30_000);
        assert_eq!(paced(Pace::Fast, 30.0), 1000);
        assert_eq!(paced(Pace::Fast, 5.0), 200);
        assert_eq!(paced(Pace::Fast, 0.1), 100);
        assert_eq!(paced(Pace::Fast, 0.0), 0);
    }
}
