//! PutLogEvents: what a batch may be, and which of its events are taken.

use cloud::{Cx, Error, Record};
use shapes::logs::{
    EntityRejectionErrorType, InputLogEvent, PutLogEventsInput, PutLogEventsOutput,
    RejectedEntityInfo, RejectedLogEventsInfo,
};

use crate::names::{engine_error, find, invalid};

/// The API reference of `PutLogEvents`: a batch's bytes, counting 26 more for each event.
const BATCH_BYTES_MAX: usize = 1_048_576;
pub const EVENT_OVERHEAD_BYTES: usize = 26;
const BATCH_EVENTS_MAX: usize = 10_000;
const HOUR_MS: i64 = 60 * 60 * 1000;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// Events may be this much in the future.
const FUTURE_MS_MAX: i64 = 2 * HOUR_MS;
/// And this old, or as old as the group's retention lets them be.
const AGE_MS_MAX: i64 = 14 * DAY_MS;

pub async fn put_log_events(cx: Cx, input: PutLogEventsInput) -> Result<PutLogEventsOutput, Error> {
    check(&input.log_events)?;
    let group = cx.read(|tx| find(&cx, tx, &input.log_group_name))?;
    let now_ms = cx.clock().now_ms();
    let taken = Taken::of(&input.log_events, now_ms, group.retention_days);
    let events: Vec<(i64, String)> = input
        .log_events
        .into_iter()
        .skip(taken.from)
        .take(taken.until - taken.from)
        .map(|it| (it.timestamp, it.message))
        .collect();
    cx.engine()
        .logs
        .append(&group.key(), &input.log_stream_name, &events)
        .await
        .map_err(engine_error)?;
    Ok(PutLogEventsOutput {
        // AWS ignores these tokens and still sends one, which old agents ask for.
        next_sequence_token: Some(format!("{now_ms:056}")),
        rejected_log_events_info: taken.rejected,
        // Agents name the thing that logs; events are kept without.
        rejected_entity_info: input.entity.map(|_| RejectedEntityInfo {
            error_type: EntityRejectionErrorType::UnsupportedLogGroupType,
        }),
    })
}

fn check(events: &[InputLogEvent]) -> Result<(), Error> {
    if events.len() > BATCH_EVENTS_MAX {
        return Err(invalid(format!(
            "Log events in a single PutLogEvents request must be at most {BATCH_EVENTS_MAX}."
        )));
    }
    if events.iter().any(|it| it.message.is_empty()) {
        return Err(invalid("Log event message must not be empty."));
    }
    let bytes: usize = events
        .iter()
        .map(|it| it.message.len() + EVENT_OVERHEAD_BYTES)
        .sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(invalid(format!(
            "Upload too large: {bytes} bytes exceeds limit of {BATCH_BYTES_MAX}"
        )));
    }
    if !events.is_sorted_by_key(|it| it.timestamp) {
        return Err(invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    let (first, last) = (events.first(), events.last());
    let span = match (first, last) {
        (Some(first), Some(last)) => last.timestamp.saturating_sub(first.timestamp),
        _ => 0,
    };
    if span > DAY_MS {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    Ok(())
}

/// The events of a batch that are neither too old nor too new: a range, because they are in order.
#[derive(Debug, PartialEq)]
struct Taken {
    from: usize,
    until: usize,
    rejected: Option<RejectedLogEventsInfo>,
}

impl Taken {
    fn of(events: &[InputLogEvent], now_ms: i64, retention_days: Option<i32>) -> Self {
        let before = |limit_ms: i64| events.partition_point(|it| it.timestamp < limit_ms);
        let too_old = before(now_ms - AGE_MS_MAX);
        let expired = match retention_days {
            Some(days) => before(now_ms - i64::from(days) * DAY_MS),
            None => 0,
        };
        let until = before(now_ms + FUTURE_MS_MAX + 1);
        let from = too_old.max(expired).min(until);
        let index = |at: usize| i32::try_from(at).ok();
        let rejected = RejectedLogEventsInfo {
            too_new_log_event_start_index: (until < events.len()).then(|| index(until)).flatten(),
            too_old_log_event_end_index: (too_old > 0).then(|| index(too_old)).flatten(),
            expired_log_event_end_index: (expired > 0).then(|| index(expired)).flatten(),
        };
        let nothing = rejected == RejectedLogEventsInfo::default();
        Self {
            from,
            until,
            rejected: (!nothing).then_some(rejected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn events(timestamps: &[i64]) -> Vec<InputLogEvent> {
        let event = |&timestamp| InputLogEvent {
            timestamp,
            message: "m".into(),
        };
        timestamps.iter().map(event).collect()
    }

    #[test]
    fn batches_keep_within_awss_limits() {
        let long = InputLogEvent {
            timestamp: NOW,
            message: "m".repeat(BATCH_BYTES_MAX - EVENT_OVERHEAD_BYTES + 1),
        };
        let cases = [
            (events(&[NOW, NOW + 1]), None),
            (events(&[NOW + 1, NOW]), Some("chronological")),
            (events(&[NOW, NOW + DAY_MS]), None),
            (events(&[NOW, NOW + DAY_MS + 1]), Some("24 hours")),
            (
                events(&vec![NOW; BATCH_EVENTS_MAX + 1]),
                Some("at most 10000"),
            ),
            (vec![long], Some("Upload too large")),
        ];
        for (batch, expected) in cases {
            let outcome = check(&batch);
            match expected {
                None => assert_eq!(outcome, Ok(())),
                Some(words) => {
                    let error = outcome.unwrap_err();
                    assert_eq!(error.code, "InvalidParameterException");
                    assert!(error.message.contains(words), "{}", error.message);
                }
            }
        }
    }

    #[test]
    fn old_and_new_events_are_rejected_by_index() {
        let batch = events(&[
            NOW - 15 * DAY_MS,
            NOW - 14 * DAY_MS,
            NOW - 2 * DAY_MS,
            NOW,
            NOW + FUTURE_MS_MAX,
            NOW + FUTURE_MS_MAX + 1,
        ]);
        let all = Taken::of(&batch[3..5], NOW, Some(1));
        assert_eq!((all.from, all.until, all.rejected), (0, 2, None));
        let some = Taken::of(&batch, NOW, Some(3));
        assert_eq!((some.from, some.until), (2, 5));
        assert_eq!(
            some.rejected,
            Some(RejectedLogEventsInfo {
                too_old_log_event_end_index: Some(1),
                expired_log_event_end_index: Some(2),
                too_new_log_event_start_index: Some(5),
            })
        );
        let none = Taken::of(&batch[5..], NOW, None);
        assert_eq!((none.from, none.until), (0, 0));
    }
}
