//! GetLogEvents: one stream, page by page, either way.

use cloud::{Cx, Error, Record};
use engine::{LogEvent, LogQuery};
use shapes::logs::{GetLogEventsInput, GetLogEventsOutput, OutputLogEvent};

use crate::names::{engine_error, find_either, invalid};
use crate::put::EVENT_OVERHEAD_BYTES;

/// The API reference of `GetLogEvents`: as many events as fit in 1 MB, and at most 10,000.
pub const PAGE_EVENTS_MAX: usize = 10_000;
pub const PAGE_BYTES_MAX: usize = 1_048_576;

/// Where a page begins or ends: a way to go and an offset in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// At this offset and after.
    Forward(u64),
    /// Before this offset.
    Backward(u64),
}

impl Token {
    fn parse(text: &str) -> Result<Self, Error> {
        let bad = || invalid("The specified nextToken is invalid.");
        let rest = text.strip_suffix("/s").ok_or_else(bad)?;
        let (way, offset) = rest.split_once('/').ok_or_else(bad)?;
        let offset = offset.parse().map_err(|_| bad())?;
        match way {
            "f" => Ok(Self::Forward(offset)),
            "b" => Ok(Self::Backward(offset)),
            _ => Err(bad()),
        }
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (way, offset) = match self {
            Self::Forward(offset) => ('f', offset),
            Self::Backward(offset) => ('b', offset),
        };
        write!(f, "{way}/{offset:056}/s")
    }
}

pub async fn get_log_events(cx: Cx, input: GetLogEventsInput) -> Result<GetLogEventsOutput, Error> {
    let group = find_either(
        &cx,
        input.log_group_name.as_deref(),
        input.log_group_identifier.as_deref(),
    )?;
    let token = input.next_token.as_deref().map(Token::parse).transpose()?;
    let (backward, offset) = match token {
        Some(Token::Forward(offset)) => (false, Some(offset)),
        Some(Token::Backward(offset)) => (true, Some(offset)),
        None => (input.start_from_head != Some(true), None),
    };
    let limit = input.limit.and_then(|it| usize::try_from(it).ok());
    let query = LogQuery {
        from_ms: input.start_time,
        until_ms: input.end_time,
        offset,
        backward,
        limit: limit.unwrap_or(PAGE_EVENTS_MAX).clamp(1, PAGE_EVENTS_MAX),
    };
    let logs = &cx.engine().logs;
    let mut events = logs
        .read(&group.key(), &input.log_stream_name, &query)
        .await
        .map_err(engine_error)?;
    keep_a_page(&mut events, backward);
    let (forward, back) = ends(&events, offset);
    Ok(GetLogEventsOutput {
        events: Some(events.into_iter().map(shown).collect()),
        next_forward_token: Some(Token::Forward(forward).to_string()),
        next_backward_token: Some(Token::Backward(back).to_string()),
    })
}

/// Drops what does not fit into an answer, at the end that the next page begins with.
fn keep_a_page(events: &mut Vec<LogEvent>, backward: bool) {
    let mut room = PAGE_BYTES_MAX;
    let mut fits = |it: &&LogEvent| {
        let bytes = it.message.len() + EVENT_OVERHEAD_BYTES;
        let enough = bytes <= room;
        room = room.saturating_sub(bytes);
        enough
    };
    if backward {
        // One event is always given, or a reader would never get past it.
        let count = events.iter().rev().take_while(&mut fits).count().max(1);
        events.drain(..events.len().saturating_sub(count));
    } else {
        let count = events.iter().take_while(&mut fits).count().max(1);
        events.truncate(count);
    }
}

/// The offsets at which reading goes on, forward and backward. Where nothing was found they stay
/// what they were: a caller who gets its own token back has reached the end.
fn ends(events: &[LogEvent], offset: Option<u64>) -> (u64, u64) {
    match (events.first(), events.last()) {
        // Within the last event's line: the next one is meant.
        (Some(first), Some(last)) => (last.offset + 1, first.offset),
        // From no token: all that is to come lies forward of the beginning.
        _ => (offset.unwrap_or(0), offset.unwrap_or(0)),
    }
}

fn shown(event: LogEvent) -> OutputLogEvent {
    OutputLogEvent {
        timestamp: Some(event.timestamp_ms),
        message: Some(event.message),
        ingestion_time: Some(event.ingested_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_what_they_were() {
        for token in [Token::Forward(0), Token::Backward(u64::MAX)] {
            assert_eq!(Token::parse(&token.to_string()).unwrap(), token);
        }
        for wrong in ["", "f/1", "x/1/s", "f/-1/s", "f//s"] {
            assert!(Token::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_page_of_long_events_keeps_the_end_that_was_asked_for() {
        let event = |offset: u64, bytes: usize| LogEvent {
            timestamp_ms: 0,
            ingested_ms: 0,
            message: "m".repeat(bytes),
            offset,
        };
        let kept = |sizes: &[usize], backward| {
            let mut events: Vec<LogEvent> =
                (0..).zip(sizes).map(|(at, it)| event(at, *it)).collect();
            keep_a_page(&mut events, backward);
            events.iter().map(|it| it.offset).collect::<Vec<_>>()
        };
        let half = PAGE_BYTES_MAX / 2;
        assert_eq!(kept(&[half, half, 1], false), [0]);
        assert_eq!(kept(&[half, half, 1], true), [1, 2]);
        assert_eq!(kept(&[PAGE_BYTES_MAX, 1], false), [0]);
        assert_eq!(kept(&[1, PAGE_BYTES_MAX], true), [1]);
        assert_eq!(kept(&[], true), [] as [u64; 0]);
    }
}
