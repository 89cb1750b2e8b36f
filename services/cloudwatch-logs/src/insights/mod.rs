//! Queries of CloudWatch Logs Insights: recorded when they are asked for, and answered out of the stored streams
//! when their results are fetched.

mod evaluate;
mod syntax;

use cloud::{Cx, Error, Record, Records};
use engine::LogQuery;
use serde::{Deserialize, Serialize};
use shapes::logs::errors::{
    InvalidParameterException, LimitExceededException, MalformedQueryException,
    ResourceNotFoundException,
};
use shapes::logs::{
    DescribeQueriesInput, DescribeQueriesOutput, GetQueryResultsInput, GetQueryResultsOutput,
    QueryInfo, QueryLanguage, QueryStatistics, QueryStatus, ResultField, StartQueryInput,
    StartQueryOutput, StopQueryInput, StopQueryOutput,
};
use wire::Timestamp;

use self::evaluate::{Row, discover, finish, passes};
use crate::filter::read_stream;
use crate::group::Group;
use crate::names::{engine_error, find, group_name, invalid, unsupported};

/// AWS keeps results for a week.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;
/// Queries that are remembered; AWS has thirty at once per account.
const QUERIES_MAX: usize = 1000;
/// Groups of one query (the API reference of `StartQuery`).
const GROUPS_MAX: usize = 50;
/// AWS's default, and its most, of rows.
const LIMIT: usize = 10_000;
/// Rows that are held at once: what more events match is asked for more narrowly.
const ROWS_MAX: usize = 200_000;
/// What they may take in memory.
const ROWS_BYTES_MAX: usize = 256 * 1024 * 1024;
const READ_EVENTS: usize = 1000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InsightsQuery {
    region: String,
    id: String,
    groups: Vec<String>,
    text: String,
    from_ms: i64,
    /// It is within the range.
    until_ms: i64,
    limit: usize,
    created_ms: i64,
    cancelled: bool,
}

impl Record for InsightsQuery {
    const KIND: &'static str = "logs.query";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// `2026-11-30 18:00:00.000`, as queries write times.
fn time_text(ms: i64) -> String {
    // `2026-11-30T18:00:00Z`
    let second = Timestamp(ms.div_euclid(1000) as f64).to_string();
    let second = second.trim_end_matches('Z').replace('T', " ");
    format!("{second}.{:03}", ms.rem_euclid(1000))
}

fn malformed(why: &str) -> Error {
    MalformedQueryException.because(why)
}

/// The groups that are asked, by whichever of the members says so.
fn groups(cx: &Cx, input: &StartQueryInput) -> Result<Vec<String>, Error> {
    let names = match (
        &input.log_group_name,
        &input.log_group_names,
        &input.log_group_identifiers,
    ) {
        (Some(name), None, None) => vec![name.clone()],
        (None, Some(names), None) => names.clone(),
        (None, None, Some(ids)) => {
            let names = ids.iter().map(|it| group_name(cx, it));
            names.collect::<Result<_, _>>()?
        }
        _ => {
            return Err(InvalidParameterException.because(
                "Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given.",
            ));
        }
    };
    if names.is_empty() || names.len() > GROUPS_MAX {
        return Err(invalid(format!(
            "A query has 1 to {GROUPS_MAX} log groups."
        )));
    }
    cx.read(|tx| {
        let found = names.iter().map(|it| find(cx, tx, it).map(|it| it.name));
        found.collect()
    })
}

pub async fn start_query(cx: Cx, input: StartQueryInput) -> Result<StartQueryOutput, Error> {
    if let Some(other) = (input.query_language).filter(|it| *it != QueryLanguage::Cwli) {
        return Err(unsupported(format!("the query language {other}")));
    }
    syntax::parse(&input.query_string).map_err(|why| malformed(&why))?;
    // Seconds or, as consoles send them, milliseconds.
    let ms = |time: i64| match time.unsigned_abs() < 100_000_000_000 {
        true => time.saturating_mul(1000),
        false => time,
    };
    let (from_ms, until_ms) = (ms(input.start_time), ms(input.end_time));
    if from_ms > until_ms {
        return Err(invalid("The start time must not be after the end time."));
    }
    let id = cloud::uuid(&cx.new_id("", 32));
    let limit = input.limit.and_then(|it| usize::try_from(it).ok());
    let query = InsightsQuery {
        region: cx.region.clone(),
        id: id.clone(),
        groups: groups(&cx, &input)?,
        text: input.query_string,
        from_ms,
        until_ms,
        limit: limit.unwrap_or(LIMIT).clamp(1, LIMIT),
        created_ms: cx.clock().now_ms(),
        cancelled: false,
    };
    cx.write(|tx| {
        let known = tx.list::<InsightsQuery>(&cx.key(""))?;
        let is_old = |it: &&InsightsQuery| query.created_ms - it.created_ms > KEPT_MS;
        for old in known.iter().filter(is_old) {
            tx.delete::<InsightsQuery>(&old.key())?;
        }
        if known.len() >= QUERIES_MAX && !known.iter().any(|it| is_old(&it)) {
            return Err(LimitExceededException.because(format!(
                "{QUERIES_MAX} queries of the last week are remembered already."
            )));
        }
        tx.put(&query)
    })?;
    Ok(StartQueryOutput { query_id: Some(id) })
}

fn recorded(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<InsightsQuery, Error> {
    let found = tx.get::<InsightsQuery>(&cx.key(id))?;
    found.ok_or_else(|| {
        ResourceNotFoundException.because(format!("The specified query {id} does not exist."))
    })
}

#[derive(Default)]
struct Scanned {
    rows: Vec<Row>,
    rows_bytes: usize,
    records: usize,
    bytes: usize,
    is_too_much: bool,
}

/// Reads every event of the range and keeps those that the query's first filters let through.
async fn scan(
    cx: &Cx,
    query: &InsightsQuery,
    commands: &[syntax::Command],
) -> Result<Scanned, Error> {
    let mut scanned = Scanned::default();
    for name in &query.groups {
        let Some(group) = cx.read(|tx| tx.get::<Group>(&cx.key(name)))? else {
            continue;
        };
        let streams = cx.engine().logs.streams(&group.key()).await;
        for stream in streams.map_err(engine_error)? {
            let asked = LogQuery {
                from_ms: Some(query.from_ms),
                until_ms: Some(query.until_ms.saturating_add(1)),
                offset: None,
                backward: false,
                limit: READ_EVENTS,
            };
            read_stream(cx, &group.key(), &stream.name, asked, |event| {
                if scanned.is_too_much {
                    return;
                }
                scanned.records += 1;
                scanned.bytes += event.message.len();
                let mut row = Row {
                    timestamp_ms: event.timestamp_ms,
                    ..Row::default()
                };
                discover(&mut row, &event.message);
                let pointer = format!("{name}/{}/{}", stream.name, event.offset);
                for (field, value) in [
                    ("@timestamp", time_text(event.timestamp_ms)),
                    ("@ingestionTime", time_text(event.ingested_ms)),
                    ("@message", event.message),
                    ("@logStream", stream.name.clone()),
                    ("@log", format!("{}:{name}", cx.account())),
                    ("@ptr", pointer),
                ] {
                    row.fields.insert(field.to_owned(), value);
                }
                if !passes(commands, &mut row) {
                    return;
                }
                scanned.rows_bytes += row.bytes();
                scanned.rows.push(row);
                scanned.is_too_much =
                    scanned.rows.len() > ROWS_MAX || scanned.rows_bytes > ROWS_BYTES_MAX;
            })
            .await?;
            if scanned.is_too_much {
                return Ok(scanned);
            }
        }
    }
    Ok(scanned)
}

pub async fn get_query_results(
    cx: Cx,
    input: GetQueryResultsInput,
) -> Result<GetQueryResultsOutput, Error> {
    let query = cx.read(|tx| recorded(&cx, tx, &input.query_id))?;
    let answer = |status, results, statistics| GetQueryResultsOutput {
        query_language: Some(QueryLanguage::Cwli),
        results: Some(results),
        statistics: Some(statistics),
        status: Some(status),
        ..Default::default()
    };
    if query.cancelled {
        let nothing = QueryStatistics::default();
        return Ok(answer(QueryStatus::Cancelled, Vec::new(), nothing));
    }
    let commands = syntax::parse(&query.text).map_err(|why| malformed(&why))?;
    let scanned = scan(&cx, &query, &commands).await?;
    if scanned.is_too_much {
        return Err(unsupported(format!(
            "a query that holds more than {ROWS_MAX} events or {ROWS_BYTES_MAX} bytes at once: ask for a shorter time, or filter first; it"
        )));
    }
    let statistics = QueryStatistics {
        records_matched: Some(scanned.rows.len() as f64),
        records_scanned: Some(scanned.records as f64),
        bytes_scanned: Some(scanned.bytes as f64),
        ..Default::default()
    };
    let rows = finish(&commands, scanned.rows, query.limit);
    let field = |(field, value): (String, String)| ResultField {
        field: Some(field),
        value: Some(value),
    };
    let rows = rows.into_iter();
    let results = rows
        .map(|row| row.into_iter().map(field).collect())
        .collect();
    Ok(answer(QueryStatus::Complete, results, statistics))
}

pub async fn stop_query(cx: Cx, input: StopQueryInput) -> Result<StopQueryOutput, Error> {
    // It is answered when it is fetched: there is nothing under way that could be stopped.
    let stopped = cx.write(|tx| {
        let mut query = recorded(&cx, tx, &input.query_id)?;
        let stopped = !std::mem::replace(&mut query.cancelled, true);
        tx.put(&query)?;
        Ok(stopped)
    })?;
    Ok(StopQueryOutput {
        success: Some(stopped),
    })
}

pub async fn describe_queries(
    cx: Cx,
    input: DescribeQueriesInput,
) -> Result<DescribeQueriesOutput, Error> {
    let mut all = cx.read(|tx| tx.list::<InsightsQuery>(&cx.key("")))?;
    let status = |it: &InsightsQuery| match it.cancelled {
        true => QueryStatus::Cancelled,
        false => QueryStatus::Complete,
    };
    let group = input.log_group_name.as_ref();
    all.retain(|it| {
        group.is_none_or(|name| it.groups.contains(name))
            && input.status.is_none_or(|wanted| wanted == status(it))
    });
    all.sort_by_key(|it| std::cmp::Reverse((it.created_ms, it.id.clone())));
    let token = input.next_token.as_ref();
    let start = match token.map(|token| all.iter().position(|it| it.id == *token)) {
        None => 0,
        Some(Some(at)) => at + 1,
        Some(None) => return Err(invalid("The specified nextToken is invalid.")),
    };
    let count = input.max_results.and_then(|it| usize::try_from(it).ok());
    let count = count.unwrap_or(QUERIES_MAX).clamp(1, QUERIES_MAX);
    let page: Vec<&InsightsQuery> = all.iter().skip(start).take(count).collect();
    let more = all.len() > start + page.len();
    let next_token = page.last().filter(|_| more).map(|it| it.id.clone());
    let shown = page.into_iter().map(|it| QueryInfo {
        query_language: Some(QueryLanguage::Cwli),
        query_id: Some(it.id.clone()),
        query_string: Some(it.text.clone()),
        status: Some(status(it)),
        create_time: Some(it.created_ms),
        log_group_name: it.groups.first().cloned(),
        ..Default::default()
    });
    Ok(DescribeQueriesOutput {
        queries: Some(shown.collect()),
        next_token,
    })
}

/// The groups that a query asks.
pub fn groups_of(cx: &Cx, id: &str) -> Vec<String> {
    let found = cx.read(|tx| recorded(cx, tx, id));
    found.map(|it| it.groups).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_written_as_queries_write_them() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400_123, "2000-02-29 00:00:00.123"),
            (1_796_061_599_999, "2026-11-30 17:59:59.999"),
            (-1, "1969-12-31 23:59:59.999"),
        ] {
            assert_eq!(super::time_text(ms), text);
        }
    }
}
