//! Waiting for what must come true, and no longer than that.

use std::time::{Duration, Instant};

/// What takes well under a second on a free machine may take this long while other tests share two
/// cores with it.
pub const PATIENCE: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks until `look` finds something. Panics with what it saw last.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, look)
}

#[track_caller]
pub fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let began = Instant::now();
    loop {
        let seen = match look() {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        if began.elapsed() > patience {
            panic!(
                "{what}: not within {} s; last seen: {seen}",
                patience.as_secs()
            );
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
