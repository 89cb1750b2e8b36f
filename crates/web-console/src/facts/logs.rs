//! Lines of a log group: the end of all of its streams, or what a search over its history finds.
//!
//! The search is done here, where the lines are: text and regular expressions by a matcher whose time is linear in
//! what it reads, JSON by CloudWatch Logs' own patterns.

use cloud::{Cx, Error};
use regex::{Regex, RegexBuilder};
use serde::Serialize;
use shapes::logs::{
    DescribeLogStreamsInput, FilterLogEventsInput, FilteredLogEvent, GetLogEventsInput, OrderBy,
};
use wire::Timestamp;

use super::finder::log_groups;
use crate::asked::Asked;

/// Lines of a page.
const LINES_MAX: usize = 500;
/// Streams whose end is shown: the ones that were written to last.
const STREAMS_MAX: i32 = 40;
const LINES_OF_STREAM_MAX: i32 = 200;
/// What one request looks at: the next one goes on behind it.
const SCANNED_MAX: usize = 100_000;
/// A pattern's memory, once it is compiled.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Longer lines are shortened on the page: the file that is downloaded has all of them.
const LINE_CHARS_MAX: usize = 4000;
/// A line's JSON is unfolded up to this.
const JSON_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug, Clone, Serialize)]
pub struct LogsFacts {
    /// None: which groups there are.
    pub group: Option<String>,
    pub groups: Vec<String>,
    pub kind: Kind,
    /// A search, and not the end of the streams.
    pub is_searched: bool,
    pub streams: Vec<String>,
    pub lines: Vec<Line>,
    pub scanned: usize,
    /// Goes on behind what was looked at.
    pub next: Option<String>,
    /// Why a pattern is none.
    pub trouble: Option<String>,
    /// The same search for AWS's command line, where it can be said there.
    pub aws_pattern: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    #[default]
    Text,
    Regex,
    Json,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Regex => "regex",
            Self::Json => "json",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Unknown,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    pub fn class(self) -> &'static str {
        self.word().unwrap_or("plain")
    }

    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Debug => Some("debug"),
            Self::Info => Some("info"),
            Self::Warn => Some("warn"),
            Self::Error => Some("error"),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub id: String,
    pub at_ms: i64,
    pub stream: String,
    /// One of eight colours, which goes with the stream's name.
    pub colour: usize,
    pub level: Level,
    pub pieces: Vec<Piece>,
    pub json: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    Plain(String),
    Marked(String),
}

/// What is looked for.
struct Search {
    kind: Kind,
    pattern: Option<Regex>,
    /// CloudWatch Logs' own.
    filter: Option<String>,
    marks_only: bool,
    level: Option<Level>,
}

pub async fn gather(cx: &Cx, asked: &Asked) -> Result<LogsFacts, Error> {
    let mut facts = LogsFacts {
        group: asked.field("group").map(str::to_owned),
        groups: Vec::new(),
        kind: Kind::default(),
        is_searched: false,
        streams: Vec::new(),
        lines: Vec::new(),
        scanned: 0,
        next: None,
        trouble: None,
        aws_pattern: None,
    };
    let Some(group) = facts.group.clone() else {
        facts.groups = log_groups(cx).await?;
        return Ok(facts);
    };
    let search = match Search::read(asked) {
        Ok(search) => search,
        Err(trouble) => {
            facts.is_searched = true;
            facts.trouble = Some(trouble);
            return Ok(facts);
        }
    };
    facts.kind = search.kind;
    facts.aws_pattern = search.for_aws(asked.field("q"));
    let at = asked.field("at").map(from_words);
    if at == Some(None) {
        facts.is_searched = true;
        facts.trouble = Some("a time is written as 2026-12-01T10:00:00Z".to_owned());
        return Ok(facts);
    }
    facts.is_searched = search.is_one() || at.is_some() || asked.field("next").is_some();
    let stream = asked.field("stream");
    let looked = match facts.is_searched {
        true => {
            let from = Asking {
                group: &group,
                stream,
                from_ms: at.flatten(),
                next: asked.field("next"),
            };
            history(cx, &from, &search, &mut facts).await
        }
        false => end(cx, &group, stream, &mut facts).await,
    };
    match looked {
        // What was asked for is not there, or no pattern: the page says so, in the service's words.
        Err(error) if error.status < 500 => facts.trouble = Some(error.message),
        other => other?,
    }
    Ok(facts)
}

/// A time as people write it, with or without its end, which is the beginning of the day or hour then.
fn from_words(text: &str) -> Option<i64> {
    const DAY: &str = "0000-00-00T00:00:00Z";
    let rest = DAY.get(text.len()..).unwrap_or_default();
    let found = Timestamp::from_iso8601(&format!("{text}{rest}"));
    found.map(|it| (it.0 * 1000.0) as i64)
}

impl Search {
    fn read(asked: &Asked) -> Result<Self, String> {
        let kind = match asked.field("kind") {
            Some("regex") => Kind::Regex,
            Some("json") => Kind::Json,
            _ => Kind::Text,
        };
        let wanted = asked.field("q");
        let pattern = match kind {
            Kind::Json => None,
            Kind::Text => wanted.map(regex::escape),
            Kind::Regex => wanted.map(str::to_owned),
        };
        let compiled = pattern.map(|it| {
            RegexBuilder::new(&it)
                .case_insensitive(kind == Kind::Text)
                .size_limit(PATTERN_BYTES_MAX)
                .build()
        });
        Ok(Self {
            kind,
            pattern: compiled.transpose().map_err(|it| it.to_string())?,
            filter: (wanted.filter(|_| kind == Kind::Json)).map(str::to_owned),
            marks_only: asked.field("mark").is_some(),
            level: asked.field("level").and_then(named),
        })
    }

    /// Whether lines are left out, so that the end of each stream is not the end of what is shown.
    fn is_one(&self) -> bool {
        let filters = self.pattern.is_some() && !self.marks_only;
        filters || self.filter.is_some() || self.level.is_some() || self.pattern.is_some()
    }

    fn for_aws(&self, wanted: Option<&str>) -> Option<String> {
        let wanted = wanted?;
        match self.kind {
            Kind::Json => Some(wanted.to_owned()),
            Kind::Text => Some(format!("\"{}\"", wanted.replace('"', "\\\""))),
            Kind::Regex => Some(format!("%{wanted}%")),
        }
    }

    fn takes(&self, text: &str) -> bool {
        let is_level = self.level.is_none_or(|it| level(text) >= it);
        let is_match = self.pattern.as_ref().is_none_or(|it| it.is_match(text));
        is_level && (self.marks_only || is_match)
    }
}

fn named(word: &str) -> Option<Level> {
    match word {
        "debug" => Some(Level::Debug),
        "info" => Some(Level::Info),
        "warn" => Some(Level::Warn),
        "error" => Some(Level::Error),
        _ => None,
    }
}

/// What a line says of itself near its beginning, in the words that loggers use.
pub fn level(text: &str) -> Level {
    const HEAD_CHARS: usize = 200;
    let head: String = text
        .chars()
        .take(HEAD_CHARS)
        .collect::<String>()
        .to_lowercase();
    let words = head.split(|it: char| !it.is_ascii_alphanumeric());
    let known = words.filter_map(|word| match word {
        "error" | "err" | "fatal" | "critical" | "panic" | "exception" | "traceback" => {
            Some(Level::Error)
        }
        "warn" | "warning" => Some(Level::Warn),
        "info" | "notice" => Some(Level::Info),
        "debug" | "trace" => Some(Level::Debug),
        _ => None,
    });
    known.into_iter().next().unwrap_or(Level::Unknown)
}

/// Where a search begins.
struct Asking<'a> {
    group: &'a str,
    stream: Option<&'a str>,
    from_ms: Option<i64>,
    next: Option<&'a str>,
}

async fn history(
    cx: &Cx,
    from: &Asking<'_>,
    search: &Search,
    facts: &mut LogsFacts,
) -> Result<(), Error> {
    let mut next = from.next.map(str::to_owned);
    let mut found = Vec::new();
    loop {
        let page = cx.call(FilterLogEventsInput {
            log_group_name: Some(from.group.to_owned()),
            log_stream_names: from.stream.map(|it| vec![it.to_owned()]),
            start_time: from.from_ms,
            filter_pattern: search.filter.clone(),
            next_token: next,
            limit: Some(LINES_MAX as i32),
            ..Default::default()
        });
        let page = page.await?;
        let events = page.events.unwrap_or_default();
        facts.scanned += events.len();
        let text = |it: &FilteredLogEvent| it.message.clone().unwrap_or_default();
        found.extend(events.into_iter().filter(|it| search.takes(&text(it))));
        next = page.next_token;
        // A page is taken whole, so that none of it is lost between two requests.
        if next.is_none() || found.len() >= LINES_MAX || facts.scanned >= SCANNED_MAX {
            break;
        }
    }
    facts.next = next;
    show(found, search.pattern.as_ref(), facts);
    Ok(())
}

/// The end of the streams that were written to last, merged by time.
async fn end(
    cx: &Cx,
    group: &str,
    stream: Option<&str>,
    facts: &mut LogsFacts,
) -> Result<(), Error> {
    let streams = match stream {
        Some(stream) => vec![stream.to_owned()],
        None => {
            let asked = cx.call(DescribeLogStreamsInput {
                log_group_name: Some(group.to_owned()),
                order_by: Some(OrderBy::LastEventTime),
                descending: Some(true),
                limit: Some(STREAMS_MAX),
                ..Default::default()
            });
            let found = asked.await?.log_streams.unwrap_or_default();
            found
                .into_iter()
                .filter_map(|it| it.log_stream_name)
                .collect()
        }
    };
    let mut found = Vec::new();
    for stream in streams {
        let asked = cx.call(GetLogEventsInput {
            log_group_name: Some(group.to_owned()),
            log_stream_name: stream.clone(),
            limit: Some(LINES_OF_STREAM_MAX),
            start_from_head: Some(false),
            ..Default::default()
        });
        let events = asked.await?.events.unwrap_or_default();
        found.extend(events.into_iter().map(|it| FilteredLogEvent {
            log_stream_name: Some(stream.clone()),
            timestamp: it.timestamp,
            message: it.message,
            ingestion_time: it.ingestion_time,
            event_id: None,
        }));
    }
    found.sort_by_key(|it| it.timestamp);
    let from = found.len().saturating_sub(LINES_MAX);
    show(found.split_off(from), None, facts);
    Ok(())
}

fn show(found: Vec<FilteredLogEvent>, pattern: Option<&Regex>, facts: &mut LogsFacts) {
    let mut streams: Vec<String> = found
        .iter()
        .filter_map(|it| it.log_stream_name.clone())
        .collect();
    streams.sort();
    streams.dedup();
    let mut before: (String, i64, usize) = Default::default();
    for event in found {
        let stream = event.log_stream_name.unwrap_or_default();
        let at_ms = event.timestamp.unwrap_or_default();
        let colour = streams
            .iter()
            .position(|it| *it == stream)
            .unwrap_or_default();
        // The same for the same line, as long as it is shown, so that a page that is sent again keeps it.
        let same = before.0 == stream && before.1 == at_ms;
        before = (stream.clone(), at_ms, if same { before.2 + 1 } else { 0 });
        let text = event.message.unwrap_or_default();
        facts.lines.push(Line {
            id: format!("{at_ms}-{colour}-{}", before.2),
            at_ms,
            colour: colour % 8,
            stream: short(&stream),
            level: level(&text),
            json: unfolded(&text),
            pieces: pieces(text.trim_end(), pattern),
        });
    }
    facts.streams = streams;
}

/// `web/app/0123456789abcdef` is a task's, whose id begins tellingly enough.
fn short(stream: &str) -> String {
    const ID_CHARS: usize = 8;
    match stream.rsplit_once('/') {
        Some((rest, id)) => {
            let name = rest.rsplit('/').next().unwrap_or(rest);
            let id: String = id.chars().take(ID_CHARS).collect();
            format!("{name}/{id}")
        }
        None => stream.to_owned(),
    }
}

fn unfolded(text: &str) -> Option<String> {
    let is_one = text.starts_with('{') && text.len() <= JSON_BYTES_MAX;
    let value: serde_json::Value = is_one.then(|| serde_json::from_str(text).ok())??;
    serde_json::to_string_pretty(&value).ok()
}

fn pieces(text: &str, pattern: Option<&Regex>) -> Vec<Piece> {
    let text: String = match text.chars().count() > LINE_CHARS_MAX {
        true => text.chars().take(LINE_CHARS_MAX).chain(['…']).collect(),
        false => text.to_owned(),
    };
    let (mut found, mut at) = (Vec::new(), 0);
    let matches = pattern.into_iter().flat_map(|it| it.find_iter(&text));
    for it in matches.filter(|it| !it.is_empty()) {
        if it.start() > at {
            found.push(Piece::Plain(text[at..it.start()].to_owned()));
        }
        found.push(Piece::Marked(it.as_str().to_owned()));
        at = it.end();
    }
    if at < text.len() {
        found.push(Piece::Plain(text[at..].to_owned()));
    }
    found
}

/// The lines as a file.
pub fn as_text(facts: &LogsFacts) -> String {
    let mut text = String::new();
    for line in &facts.lines {
        let at = Timestamp(line.at_ms as f64 / 1000.0);
        text += &format!("{at} {} ", line.stream);
        for piece in &line.pieces {
            let (Piece::Plain(it) | Piece::Marked(it)) = piece;
            text += it;
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_is_marked_and_the_rest_is_kept() {
        let search = |q: &str| Search::read(&Asked::of(&format!("logs?group=g&{q}")));
        let found = search("q=b.").unwrap();
        assert!(
            !found.takes("abc") && found.takes("AB.C"),
            "text is no pattern"
        );
        let found = search("q=b%2B&kind=regex").unwrap();
        let shown = pieces("abbc <b>", found.pattern.as_ref());
        let marked = |it: &str| Piece::Marked(it.into());
        let plain = |it: &str| Piece::Plain(it.into());
        assert_eq!(
            shown,
            [
                plain("a"),
                marked("bb"),
                plain("c <"),
                marked("b"),
                plain(">")
            ]
        );
        assert!(search("q=%28&kind=regex").is_err(), "no pattern");
        assert!(
            search("q=%28%3F%3A%28a%7B1%2C1000%7D%29%7B1%2C1000%7D%29&kind=regex").is_err(),
            "too large"
        );
        assert!(search("q=x&mark=1").unwrap().takes("y"), "highlighted only");
        assert!(!search("level=warn").unwrap().takes("INFO up"));
        assert!(search("level=warn").unwrap().takes("{\"level\":\"error\"}"));
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(from_words("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(from_words("1970-01-02"), Some(86_400_000));
        assert_eq!(from_words("1970-01-02T00:01"), Some(86_460_000));
        assert_eq!(from_words("noon"), None);
    }
}
