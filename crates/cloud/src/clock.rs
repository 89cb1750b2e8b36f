//! One clock for every wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
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

/// A machine's clock that is off by less was not set: it is slewed all the time, and between two of its
/// readings there is some time.
const SET_BY_MIN_MS: i64 = 1000;
/// Between the readings of two clocks that are compared there may be no more than this. There is more when
/// the process was stopped in between.
const READING_MAX: Duration = Duration::from_millis(100);
/// How often it is tried to read both at once.
const READINGS_MAX: u32 = 10;

/// What the machine says that the time is, in milliseconds since 1970.
pub type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Time for records and waits. It follows tokio's clock, so a test that pauses tokio's time drives
/// this one as well; and the machine's, which may be set, and which goes on while the machine sleeps:
/// [`Clock::follow`].
#[derive(Clone)]
pub struct Clock {
    pace: Pace,
    started: Instant,
    started_ms: i64,
    /// Not tokio's, which a test may drive: it goes as the machine's does, but is never set.
    steady: std::time::Instant,
    wall: WallClock,
    /// By how much the machine's clock was set since the start.
    set_by_ms: Arc<AtomicI64>,
}

/// One of the equal parts that time is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Milliseconds since 1970.
    pub begun_ms: i64,
    pub length_ms: i64,
    pub left: Duration,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?}, {} ms)", self.pace, self.now_ms())
    }
}

impl Clock {
    pub fn new(pace: Pace) -> Self {
        Self::by(pace, Arc::new(machine_ms))
    }

    /// One that follows another clock than the machine's.
    pub fn by(pace: Pace, wall: WallClock) -> Self {
        Self {
            pace,
            started: Instant::now(),
            started_ms: wall(),
            steady: std::time::Instant::now(),
            wall,
            set_by_ms: Arc::default(),
        }
    }

    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(0);
        let set_by = self.set_by_ms.load(Ordering::Relaxed);
        self.started_ms
            .saturating_add(elapsed)
            .saturating_add(set_by)
    }

    /// Looks whether the machine's clock was set, or whether the machine slept, and goes by it from here
    /// on. Answers by how much it went forward or back, where it did.
    pub fn follow(&self) -> Option<i64> {
        let found = self.set_by_now()?;
        let known = self.set_by_ms.load(Ordering::Relaxed);
        if found.abs_diff(known) < SET_BY_MIN_MS.unsigned_abs() {
            return None;
        }
        self.set_by_ms.store(found, Ordering::Relaxed);
        Some(found.saturating_sub(known))
    }

    /// None when it cannot be told now.
    fn set_by_now(&self) -> Option<i64> {
        for _ in 0..READINGS_MAX {
            let elapsed = self.steady.elapsed();
            let wall_ms = (self.wall)();
            if self.steady.elapsed().saturating_sub(elapsed) < READING_MAX {
                let elapsed = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
                return Some(wall_ms.saturating_sub(self.started_ms.saturating_add(elapsed)));
            }
        }
        None
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

    /// The interval of a documented length, paced, that it is now. All of one length begin at the same
    /// times, whoever asks.
    pub fn interval(&self, documented: Duration) -> Interval {
        let length_ms = i64::try_from(self.paced(documented).as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.now_ms();
        let begun_ms = now_ms.div_euclid(length_ms) * length_ms;
        Interval {
            begun_ms,
            length_ms,
            left: Duration::from_millis((begun_ms + length_ms - now_ms).unsigned_abs()),
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

fn machine_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn intervals_follow_each_other_without_a_gap() {
        let clock = Clock::new(Pace::Fast);
        let one = clock.interval(Duration::from_secs(60));
        assert_eq!(one.length_ms, 2000);
        assert_eq!(one.begun_ms % one.length_ms, 0);
        tokio::time::sleep(one.left).await;
        let next = clock.interval(Duration::from_secs(60));
        assert_eq!(next.begun_ms, one.begun_ms + one.length_ms);
    }

    /// The machine's clock is set, both ways, and slewed; a test's own time goes on beside it.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_followed() {
        const HOUR_MS: i64 = 3_600_000;
        let off = Arc::new(AtomicI64::new(0));
        let read = off.clone();
        let clock = Clock::by(
            Pace::Fast,
            Arc::new(move || machine_ms() + read.load(Ordering::Relaxed)),
        );
        let began = clock.now_ms();
        let after = |ms: i64| {
            let is = clock.now_ms() - began;
            assert!(is.abs_diff(ms) < 100, "{is} and not {ms}");
        };
        assert_eq!(clock.follow(), None);
        tokio::time::sleep(Duration::from_secs(7200)).await;
        assert_eq!(clock.follow(), None);
        after(2 * HOUR_MS);
        for (set_to, is_set, is) in [
            (HOUR_MS, true, HOUR_MS),
            (HOUR_MS, false, HOUR_MS),
            (HOUR_MS - 500, false, HOUR_MS),
            (-HOUR_MS, true, -HOUR_MS),
            (0, true, 0),
        ] {
            off.store(set_to, Ordering::Relaxed);
            assert_eq!(clock.follow().is_some(), is_set, "{set_to}");
            after(2 * HOUR_MS + is);
            // A copy is the same clock.
            assert!(clock.clone().now_ms().abs_diff(clock.now_ms()) < 100);
        }
    }

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
