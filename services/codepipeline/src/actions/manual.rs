//! Approval by hand: the action waits until somebody answers with its token, or its time is over.

use std::time::Duration;

use super::{JOB_FAILED, Progress, Session};
use crate::act::failure;
use crate::record::{ActionRun, Work, new_uuid};

/// "Quotas in CodePipeline": an approval that nobody gives fails after seven days.
const TIMEOUT_MINUTES: i64 = 7 * 24 * 60;

pub fn drive(cx: &Session, run: &mut ActionRun) -> Progress {
    if !matches!(run.work, Work::Approval { .. }) {
        run.work = Work::Approval { token: new_uuid() };
        run.external_url = run.setting("ExternalEntityLink").map(str::to_owned);
        run.summary = run.setting("CustomData").map(str::to_owned);
    }
    let minutes = run
        .declared
        .timeout_in_minutes
        .map_or(TIMEOUT_MINUTES, i64::from);
    // People decide no faster because waits are compressed.
    let ends_ms = run.started_ms + minutes * 60_000;
    let left_ms = ends_ms - cx.clock().now_ms();
    match u64::try_from(left_ms) {
        Ok(left) if left > 0 => Progress::Waits(Duration::from_millis(left)),
        _ => Progress::Failed(failure(
            JOB_FAILED,
            "The approval action timed out: nobody has approved or rejected it.",
        )),
    }
}
