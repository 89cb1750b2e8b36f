//! Waiting for what becomes true in its time, be it the machine's or paused time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks: short at first, since most things are there at once.
const STEP_MIN: Duration = Duration::from_millis(2);
/// In paused time every look is a step of the clock, and hours of steps cost time, too.
const STEP_MAX: Duration = Duration::from_millis(20);

/// Looks until something is there. None when it does not come.
pub async fn wait<T>(look: impl AsyncFn() -> Option<T>) -> Option<T> {
    let (start, mut step) = (Instant::now(), STEP_MIN);
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if start.elapsed() > PATIENCE {
            return None;
        }
        sleep(step).await;
        step = STEP_MAX.min(step * 5 / 4);
    }
}

/// Looks until `holds` says so.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let come = wait(async || holds().then_some(())).await;
    assert!(come.is_some(), "{what} does not come true");
}
