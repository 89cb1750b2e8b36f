//! The port's trait over the files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use engine::{
    Changes, EngineError, LOG_STREAM_BYTES_MAX, LogEvent, LogQuery, Logs, Result, StreamInfo,
    bytes_in_words, check_room, format_log_line,
};
use nix::fcntl::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};

use crate::names::encode;
use crate::read;
use crate::watch::Watch;

const GROUP_FILE: &str = ".group";
const META: &str = "meta";
const LOG: &str = "log";
/// Half-written and half-removed things; no encoded name begins with a dot.
const SCRATCH: &str = ".scratch";

/// Log streams below one directory. Cheap to clone; every clone is the same store.
#[derive(Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    watch: Watch,
    scratch_count: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    name: String,
    created_ms: i64,
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

fn machine(
    doing: &str,
    path: &Path,
    error: impl std::error::Error + Send + Sync + 'static,
) -> EngineError {
    EngineError::machine(format!("cannot {doing} `{}`", path.display())).because(error)
}

fn no_stream(group: &str, stream: &str) -> EngineError {
    EngineError::not_found(format!("log stream `{stream}` of `{group}` does not exist"))
}

/// The name of the group that a directory belongs to.
pub fn group_name(directory: &Path) -> Option<String> {
    fs::read_to_string(directory.join(GROUP_FILE)).ok()
}

impl LogStore {
    /// Opens the directory, which only one process may do at a time (files may be appended to by
    /// others). What a crash left half done is removed.
    pub fn open(root: PathBuf) -> Result<Self> {
        let scratch = root.join(SCRATCH);
        match fs::remove_dir_all(&scratch) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(machine("remove", &scratch, e));
            }
            _ => {}
        }
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&scratch);
        made.map_err(|e| machine("create", &scratch, e))?;
        let inner = Inner {
            watch: Watch::new(root.clone()),
            root,
            scratch_count: AtomicU64::new(0),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.inner.clone();
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(error) => Err(EngineError::machine(format!(
                "work on the log store was cut short: {error}"
            ))),
        }
    }
}

impl Inner {
    fn scratch(&self) -> PathBuf {
        let count = self.scratch_count.fetch_add(1, Ordering::Relaxed);
        self.root.join(SCRATCH).join(count.to_string())
    }

    fn write_whole(&self, target: &Path, bytes: &[u8]) -> Result<()> {
        let scratch = self.scratch();
        let mut options = File::options();
        let opened = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&scratch);
        opened
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&scratch, target))
            .map_err(|e| machine("write", target, e))
    }

    fn directory(&self, group: &str) -> PathBuf {
        self.root.join(encode(group))
    }

    fn path(&self, group: &str, stream: &str, ending: &str) -> PathBuf {
        self.directory(group)
            .join(format!("{}.{ending}", encode(stream)))
    }

    fn create_stream(&self, group: &str, stream: &str) -> Result<()> {
        if group.is_empty() || stream.is_empty() {
            return Err(EngineError::invalid(
                "a log group and a log stream need a name",
            ));
        }
        let log = self.path(group, stream, LOG);
        if log.exists() {
            return Ok(());
        }
        self.create_group(group)?;
        let meta = Meta {
            name: stream.to_owned(),
            created_ms: now_ms(),
        };
        let json = serde_json::to_vec(&meta).expect("plain text and numbers are JSON");
        self.write_whole(&self.path(group, stream, META), &json)?;
        // Last, because it is what makes the stream exist.
        let mut options = File::options();
        let opened = options.append(true).create(true).mode(0o600).open(&log);
        opened.map(drop).map_err(|e| machine("create", &log, e))
    }

    /// The directory appears with its name in it, so whoever sees one can read the other.
    fn create_group(&self, group: &str) -> Result<()> {
        let directory = self.directory(group);
        if directory.is_dir() {
            return Ok(());
        }
        let making = self.scratch();
        let made = fs::DirBuilder::new().mode(0o700).create(&making);
        made.and_then(|()| fs::write(making.join(GROUP_FILE), group))
            .map_err(|e| machine("create", &making, e))?;
        match fs::rename(&making, &directory) {
            // Another one was faster.
            Err(_) if directory.is_dir() => Ok(()),
            result => result.map_err(|e| machine("create", &directory, e)),
        }
    }

    fn open_log(&self, group: &str, stream: &str, writable: bool) -> Result<File> {
        let path = self.path(group, stream, LOG);
        let opened = File::options().read(true).append(writable).open(&path);
        opened.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => no_stream(group, stream),
            _ => machine("open", &path, e),
        })
    }

    fn streams(&self, group: &str) -> Result<Vec<StreamInfo>> {
        let directory = self.directory(group);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(machine("read", &directory, e)),
        };
        let mut streams = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| machine("read", &directory, e))?.path();
            if path.extension().is_some_and(|ending| ending == META) {
                streams.extend(stream_info(&path)?);
            }
        }
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(streams)
    }

    fn append(&self, group: &str, stream: &str, events: &[(i64, String)]) -> Result<()> {
        let path = self.path(group, stream, LOG);
        let failed = |e: io::Error| machine("write", &path, e);
        let mut file = self.open_log(group, stream, true)?;
        check_room(&self.root, "a log")?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.blocks() * 512 > LOG_STREAM_BYTES_MAX {
            let most = bytes_in_words(LOG_STREAM_BYTES_MAX);
            return Err(EngineError::machine(format!(
                "the log stream `{stream}` of `{group}` holds {most} already, which is the most"
            )));
        }
        let mut text = String::new();
        // A writer that crashed within a line must not spoil the next event.
        let length = metadata.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1).map_err(failed)?;
        }
        if last != *b"\n" && last != [0] {
            text.push('\n');
        }
        let ingested_ms = now_ms();
        for (timestamp_ms, message) in events {
            text.push_str(&format_log_line(*timestamp_ms, ingested_ms, message));
        }
        file.write_all(text.as_bytes()).map_err(failed)
    }

    fn read(&self, group: &str, stream: &str, query: &LogQuery) -> Result<Vec<LogEvent>> {
        let file = self.open_log(group, stream, false)?;
        read::read(&file, query).map_err(|e| machine("read", &self.path(group, stream, LOG), e))
    }

    fn delete_stream(&self, group: &str, stream: &str) -> Result<()> {
        for ending in [LOG, META] {
            let path = self.path(group, stream, ending);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(machine("remove", &path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn delete_group(&self, group: &str) -> Result<()> {
        let directory = self.directory(group);
        let leaving = self.scratch();
        match fs::rename(&directory, &leaving) {
            Ok(()) => fs::remove_dir_all(&leaving).map_err(|e| machine("remove", &leaving, e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(machine("remove", &directory, e)),
        }
    }

    fn expire(&self, group: &str, before_ms: i64) -> Result<()> {
        for stream in self.streams(group)? {
            let path = self.path(group, &stream.name, LOG);
            // Deleted since the listing.
            let Ok(file) = File::options().read(true).write(true).open(&path) else {
                continue;
            };
            expire_front(&file, before_ms).map_err(|e| machine("expire", &path, e))?;
        }
        Ok(())
    }
}

/// Punches out every event before the first one that is young enough. Events are written in the
/// order in which they came, so one that is older than its neighbours goes when they go.
fn expire_front(file: &File, before_ms: i64) -> io::Result<()> {
    let mut kept_from = None;
    let mut seen_end = 0;
    read::lines_forward(file, 0, |line, offset| {
        if read::timestamp(line).is_some_and(|at| at >= before_ms) {
            kept_from = Some(offset);
        }
        seen_end = offset + line.len() as u64 + 1;
        kept_from.is_none()
    })?;
    let end = kept_from.unwrap_or(seen_end);
    if end == 0 {
        return Ok(());
    }
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let end = i64::try_from(end).map_err(io::Error::other)?;
    fallocate(file.as_fd(), flags, 0, end).map_err(io::Error::from)
}

fn stream_info(meta_path: &Path) -> Result<Option<StreamInfo>> {
    let log_path = meta_path.with_extension(LOG);
    let (Ok(json), Ok(file)) = (fs::read(meta_path), File::open(&log_path)) else {
        // Being made, or being deleted.
        return Ok(None);
    };
    let failed = |e: io::Error| machine("read", &log_path, e);
    let meta: Meta =
        serde_json::from_slice(&json).map_err(|e| machine("understand", meta_path, e))?;
    let (first, last) = read::ends(&file).map_err(failed)?;
    let start = read::data_start(&file).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok(Some(StreamInfo {
        name: meta.name,
        created_ms: meta.created_ms,
        first_event_ms: first.map(|event| event.timestamp_ms),
        last_event_ms: last.map(|event| event.timestamp_ms),
        stored_bytes: length.saturating_sub(start),
    }))
}

#[async_trait]
impl Logs for LogStore {
    async fn create_stream(&self, group: &str, stream: &str) -> Result<()> {
        let (group, stream) = (group.to_owned(), stream.to_owned());
        self.blocking(move |inner| inner.create_stream(&group, &stream))
            .await
    }

    async fn stream_file(&self, group: &str, stream: &str) -> Result<PathBuf> {
        let (group, stream) = (group.to_owned(), stream.to_owned());
        self.blocking(move |inner| {
            inner.open_log(&group, &stream, false)?;
            Ok(inner.path(&group, &stream, LOG))
        })
        .await
    }

    async fn streams(&self, group: &str) -> Result<Vec<StreamInfo>> {
        let group = group.to_owned();
        self.blocking(move |inner| inner.streams(&group)).await
    }

    async fn append(&self, group: &str, stream: &str, events: &[(i64, String)]) -> Result<()> {
        let (group, stream, events) = (group.to_owned(), stream.to_owned(), events.to_vec());
        self.blocking(move |inner| inner.append(&group, &stream, &events))
            .await
    }

    async fn read(&self, group: &str, stream: &str, query: &LogQuery) -> Result<Vec<LogEvent>> {
        let (group, stream, query) = (group.to_owned(), stream.to_owned(), query.clone());
        self.blocking(move |inner| inner.read(&group, &stream, &query))
            .await
    }

    async fn delete_stream(&self, group: &str, stream: &str) -> Result<()> {
        let (group, stream) = (group.to_owned(), stream.to_owned());
        self.blocking(move |inner| inner.delete_stream(&group, &stream))
            .await
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        let group = group.to_owned();
        self.blocking(move |inner| inner.delete_group(&group)).await
    }

    async fn expire(&self, group: &str, before_ms: i64) -> Result<()> {
        let group = group.to_owned();
        self.blocking(move |inner| inner.expire(&group, before_ms))
            .await
    }

    fn changes(&self) -> Changes {
        self.inner.watch.subscribe()
    }
}
