//! Logs: append-only streams of timed lines, in files that the shim writes to directly, so that no
//! line waits for the daemon and none is held in memory.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Changes, Result};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    pub timestamp_ms: i64,
    pub ingested_ms: i64,
    pub message: String,
    /// Byte offset of the event in its stream: with the stream's name it identifies the event, and
    /// reading goes on from it.
    pub offset: u64,
}

/// A stream's file holds one event a line: `<timestamp_ms> <ingested_ms> <message>\n`, where the
/// message has `\` as `\\`, a line feed as `\n` and a carriage return as `\r`.
pub fn format_log_line(timestamp_ms: i64, ingested_ms: i64, message: &str) -> String {
    let mut line = format!("{timestamp_ms} {ingested_ms} ");
    for c in message.chars() {
        match c {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

/// The inverse of [`format_log_line`], for a line without its line feed. None when it is malformed.
pub fn parse_log_line(line: &str, offset: u64) -> Option<LogEvent> {
    let mut parts = line.splitn(3, ' ');
    let timestamp_ms = parts.next()?.parse().ok()?;
    let ingested_ms = parts.next()?.parse().ok()?;
    let mut message = String::with_capacity(line.len());
    let mut chars = parts.next()?.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                'n' => message.push('\n'),
                'r' => message.push('\r'),
                c => message.push(c),
            },
            c => message.push(c),
        }
    }
    Some(LogEvent {
        timestamp_ms,
        ingested_ms,
        message,
        offset,
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    pub name: String,
    pub created_ms: i64,
    pub first_event_ms: Option<i64>,
    pub last_event_ms: Option<i64>,
    pub stored_bytes: u64,
}

/// Which events to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    /// Inclusive.
    pub from_ms: Option<i64>,
    /// Exclusive.
    pub until_ms: Option<i64>,
    /// Go on from this offset (forward: at or after; backward: before).
    pub offset: Option<u64>,
    pub backward: bool,
    pub limit: usize,
}

/// `group` is any text (region and name); the implementation maps it to a safe path.
/// What one stream may hold on the disk. A program that writes more is not held up; its log says how
/// much of its output is missing.
pub const LOG_STREAM_BYTES_MAX: u64 = 10 << 30;

#[async_trait]
pub trait Logs: Send + Sync {
    async fn create_stream(&self, group: &str, stream: &str) -> Result<()>;
    /// The file to append to; the stream must exist.
    async fn stream_file(&self, group: &str, stream: &str) -> Result<PathBuf>;
    async fn streams(&self, group: &str) -> Result<Vec<StreamInfo>>;
    async fn append(&self, group: &str, stream: &str, events: &[(i64, String)]) -> Result<()>;
    /// Events in file order (backward: the newest page, still oldest first).
    async fn read(&self, group: &str, stream: &str, query: &LogQuery) -> Result<Vec<LogEvent>>;
    async fn delete_stream(&self, group: &str, stream: &str) -> Result<()>;
    async fn delete_group(&self, group: &str) -> Result<()>;
    /// Removes events older than this from the group's streams.
    async fn expire(&self, group: &str, before_ms: i64) -> Result<()>;
    /// Groups that got new events.
    fn changes(&self) -> Changes;
}
