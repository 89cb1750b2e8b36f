//! FilterLogEvents: all streams of a group, merged by time.
//!
//! Streams need not be in order of time, so each page looks at every event that may belong to it and
//! keeps the first ones. A token names the last event that was given.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use cloud::{Cx, Error, Record, token_hex};
use engine::{LogEvent, LogQuery};
use shapes::logs::{
    FilterLogEventsInput, FilterLogEventsOutput, FilteredLogEvent, SearchedLogStream,
};

use crate::events::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use crate::names::{engine_error, find_either, invalid};
use crate::pattern::Pattern;
use crate::put::EVENT_OVERHEAD_BYTES;

/// Events that are read from a stream at once.
const READ_EVENTS: usize = 1000;

/// An event's place in the answer: by time, then by stream and line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    timestamp_ms: i64,
    stream: String,
    offset: u64,
}

impl Place {
    fn token(&self) -> String {
        format!("{}/{}/{}", self.timestamp_ms, self.offset, self.stream)
    }

    fn parse(token: &str) -> Result<Self, Error> {
        let bad = || invalid("The specified nextToken is invalid.");
        let mut parts = token.splitn(3, '/');
        let mut part = || parts.next().ok_or_else(bad);
        Ok(Self {
            timestamp_ms: part()?.parse().map_err(|_| bad())?,
            offset: part()?.parse().map_err(|_| bad())?,
            stream: part()?.to_owned(),
        })
    }

    /// 56 digits, as AWS's ids have: time, stream, line.
    fn event_id(&self) -> String {
        let stream = u64::from_str_radix(&token_hex(&self.stream, "log stream", 16), 16);
        format!(
            "{:020}{:020}{:016}",
            self.timestamp_ms.max(0),
            stream.unwrap_or(0),
            self.offset
        )
    }
}

struct Found {
    place: Place,
    event: LogEvent,
}

impl Found {
    fn bytes(&self) -> usize {
        self.event.message.len() + EVENT_OVERHEAD_BYTES
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}
impl Eq for Found {}
impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Found {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}

/// The first events of all that are offered, as many as an answer takes.
struct Page {
    limit: usize,
    /// The last one on top.
    kept: BinaryHeap<Found>,
    bytes: usize,
    /// The first place that had no room: nothing from here on belongs to the page.
    end: Option<Place>,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BinaryHeap::new(),
            bytes: 0,
            end: None,
        }
    }

    fn offer(&mut self, found: Found) {
        if self.end.as_ref().is_some_and(|end| found.place >= *end) {
            return;
        }
        self.bytes += found.bytes();
        self.kept.push(found);
        while self.kept.len() > self.limit || (self.bytes > PAGE_BYTES_MAX && self.kept.len() > 1) {
            let Some(last) = self.kept.pop() else { return };
            self.bytes -= last.bytes();
            self.end = Some(last.place);
        }
    }

    /// The events in order, and the token for those that had no room.
    fn finish(self) -> (Vec<FilteredLogEvent>, Option<String>) {
        let found = self.kept.into_sorted_vec();
        let token = match (&self.end, found.last()) {
            (Some(_), Some(last)) => Some(last.place.token()),
            _ => None,
        };
        (found.into_iter().map(shown).collect(), token)
    }
}

fn shown(found: Found) -> FilteredLogEvent {
    FilteredLogEvent {
        event_id: Some(found.place.event_id()),
        log_stream_name: Some(found.place.stream),
        timestamp: Some(found.event.timestamp_ms),
        message: Some(found.event.message),
        ingestion_time: Some(found.event.ingested_ms),
    }
}

pub async fn filter_log_events(
    cx: Cx,
    input: FilterLogEventsInput,
) -> Result<FilterLogEventsOutput, Error> {
    let group = find_either(
        &cx,
        input.log_group_name.as_deref(),
        input.log_group_identifier.as_deref(),
    )?;
    let pattern = Pattern::parse(input.filter_pattern.as_deref().unwrap_or_default())?;
    let after = input.next_token.as_deref().map(Place::parse).transpose()?;
    let limit = input.limit.and_then(|it| usize::try_from(it).ok());
    let mut page = Page::new(limit.unwrap_or(PAGE_EVENTS_MAX).clamp(1, PAGE_EVENTS_MAX));
    let from_ms = match &after {
        Some(after) => Some(after.timestamp_ms.max(input.start_time.unwrap_or(i64::MIN))),
        None => input.start_time,
    };
    for stream in streams(&cx, &group.key(), &input).await? {
        let query = LogQuery {
            from_ms,
            // This operation's end is within the range.
            until_ms: input.end_time.map(|it| it.saturating_add(1)),
            offset: None,
            backward: false,
            limit: READ_EVENTS,
        };
        read_stream(&cx, &group.key(), &stream, query, |event| {
            let place = Place {
                timestamp_ms: event.timestamp_ms,
                stream: stream.clone(),
                offset: event.offset,
            };
            let wanted = after.as_ref().is_none_or(|after| place > *after);
            if wanted && pattern.matches(&event.message) {
                page.offer(Found { place, event });
            }
        })
        .await?;
    }
    let (events, next_token) = page.finish();
    Ok(FilterLogEventsOutput {
        events: Some(events),
        // AWS has answered an empty list since 2020: all streams are always searched.
        searched_log_streams: Some(Vec::<SearchedLogStream>::new()),
        next_token,
    })
}

/// The names of the streams to search.
async fn streams(cx: &Cx, group: &str, input: &FilterLogEventsInput) -> Result<Vec<String>, Error> {
    let prefix = input.log_stream_name_prefix.as_deref();
    let logs = &cx.engine().logs;
    if let Some(names) = &input.log_stream_names {
        if prefix.is_some() {
            return Err(invalid(
                "logStreamNames and logStreamNamePrefix are mutually exclusive parameters.",
            ));
        }
        for name in names {
            logs.stream_file(group, name).await.map_err(engine_error)?;
        }
        return Ok(names.clone());
    }
    let streams = logs.streams(group).await.map_err(engine_error)?;
    let wanted = streams
        .into_iter()
        .map(|it| it.name)
        .filter(|name| prefix.is_none_or(|prefix| name.starts_with(prefix)));
    Ok(wanted.collect())
}

/// Gives every event of a stream that the query asks for.
pub async fn read_stream(
    cx: &Cx,
    group: &str,
    stream: &str,
    mut query: LogQuery,
    mut each: impl FnMut(LogEvent),
) -> Result<(), Error> {
    loop {
        let events = match cx.engine().logs.read(group, stream, &query).await {
            Ok(events) => events,
            // It was deleted meanwhile.
            Err(error) if error.fault == engine::Fault::NotFound => return Ok(()),
            Err(error) => return Err(cloud::internal(error)),
        };
        let Some(last) = events.last() else {
            return Ok(());
        };
        query.offset = Some(last.offset + 1);
        events.into_iter().for_each(&mut each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(timestamp_ms: i64, stream: &str, offset: u64, bytes: usize) -> Found {
        let place = Place {
            timestamp_ms,
            stream: stream.into(),
            offset,
        };
        let event = LogEvent {
            timestamp_ms,
            ingested_ms: 0,
            message: "m".repeat(bytes),
            offset,
        };
        Found { place, event }
    }

    #[test]
    fn a_page_is_the_first_events_whatever_the_order_of_offers() {
        let half = PAGE_BYTES_MAX / 2;
        let mut page = Page::new(10);
        for (time, bytes) in [(5, 1), (3, half), (4, half), (2, 1), (6, 1)] {
            page.offer(found(time, "s", 0, bytes));
        }
        let (events, token) = page.finish();
        let times: Vec<_> = events.iter().filter_map(|it| it.timestamp).collect();
        // 4 had no room, so neither 5 nor 6 may come before it.
        assert_eq!(times, [2, 3]);
        assert_eq!(token.as_deref(), Some("3/0/s"));
    }

    #[test]
    fn places_are_told_apart_and_come_back_from_their_tokens() {
        let one = found(7, "a/b", 3, 0).place;
        assert_eq!(Place::parse(&one.token()).unwrap(), one);
        let other = found(7, "a/c", 3, 0).place;
        assert_ne!(one.event_id(), other.event_id());
        assert_eq!(one.event_id().len(), 56);
        assert!(Place::parse("x").is_err());
    }
}
