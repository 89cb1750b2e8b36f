//! The store through its port, with writers that are not the store.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::{Fault, LogEvent, LogQuery, Logs, format_log_line};

use crate::LogStore;

const GROUP: &str = "us-east-1 /ecs/../web";
const STREAM: &str = "web/site/1";

async fn store(root: &Path) -> LogStore {
    let store = LogStore::open(root.to_owned()).unwrap();
    store.create_stream(GROUP, STREAM).await.unwrap();
    store
}

async fn read(store: &LogStore, query: LogQuery) -> Vec<LogEvent> {
    store.read(GROUP, STREAM, &query).await.unwrap()
}

fn all() -> LogQuery {
    LogQuery {
        limit: 1000,
        ..LogQuery::default()
    }
}

fn messages(events: &[LogEvent]) -> Vec<&str> {
    events.iter().map(|event| event.message.as_str()).collect()
}

async fn numbered(store: &LogStore, count: i64) {
    let events: Vec<_> = (0..count).map(|n| (n * 10, format!("m{n}"))).collect();
    store.append(GROUP, STREAM, &events).await.unwrap();
}

#[tokio::test]
async fn what_is_written_is_read() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path()).await;
    let hard = ["two\nlines\r", "back\\slash \\n", "", "  spaces ", "ä€😀\0"];
    let events: Vec<_> = hard.iter().map(|text| (5, (*text).to_owned())).collect();
    store.append(GROUP, STREAM, &events).await.unwrap();
    let found = read(&store, all()).await;
    assert_eq!(messages(&found), hard);
    drop(store);
    let store = LogStore::open(root.path().to_owned()).unwrap();
    assert_eq!(read(&store, all()).await, found);
    let info = store.streams(GROUP).await.unwrap();
    assert_eq!(info.len(), 1);
    assert_eq!(info[0].name, STREAM);
    assert_eq!(
        (info[0].first_event_ms, info[0].last_event_ms),
        (Some(5), Some(5))
    );
    assert!(info[0].created_ms > 1_600_000_000_000);
    assert!(info[0].stored_bytes > 50);
}

#[tokio::test]
async fn pages_go_on_from_offsets_both_ways() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path()).await;
    numbered(&store, 10).await;
    let page = |offset, backward| LogQuery {
        offset,
        backward,
        limit: 4,
        ..LogQuery::default()
    };
    let mut forward = Vec::new();
    let mut offset = None;
    loop {
        let events = read(&store, page(offset, false)).await;
        let Some(last) = events.last() else { break };
        offset = Some(last.offset + 1);
        forward.extend(events);
    }
    assert_eq!(forward, read(&store, all()).await);
    assert_eq!(forward.len(), 10);
    let mut backward = Vec::new();
    let mut offset = None;
    loop {
        let events = read(&store, page(offset, true)).await;
        let Some(first) = events.first() else { break };
        offset = Some(first.offset);
        backward.splice(0..0, events);
    }
    assert_eq!(backward, forward);
    // At an event's own offset the event is included.
    let at = read(&store, page(Some(forward[3].offset), false)).await;
    assert_eq!(messages(&at), ["m3", "m4", "m5", "m6"]);
}

#[tokio::test]
async fn times_filter() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path()).await;
    numbered(&store, 10).await;
    for backward in [false, true] {
        let query = LogQuery {
            from_ms: Some(20),
            until_ms: Some(50),
            backward,
            ..all()
        };
        assert_eq!(messages(&read(&store, query).await), ["m2", "m3", "m4"]);
    }
    let none = LogQuery { limit: 0, ..all() };
    assert!(read(&store, none).await.is_empty());
}

#[tokio::test]
async fn a_torn_line_is_no_event_and_spoils_none() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path()).await;
    numbered(&store, 2).await;
    let path = store.stream_file(GROUP, STREAM).await.unwrap();
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(b"30 30 never fini").unwrap();
    for backward in [false, true] {
        let query = LogQuery { backward, ..all() };
        assert_eq!(messages(&read(&store, query).await), ["m0", "m1"]);
    }
    let after = [(40, "after".to_owned())];
    store.append(GROUP, STREAM, &after).await.unwrap();
    file.write_all(b"rubbish\n50 50 last\n").unwrap();
    let found = read(&store, all()).await;
    assert_eq!(messages(&found)[3..], ["after", "last"]);
    let query = LogQuery {
        backward: true,
        ..all()
    };
    assert_eq!(read(&store, query).await, found);
}

#[tokio::test]
async fn a_large_stream_is_read_from_its_end_at_once() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path()).await;
    let path = store.stream_file(GROUP, STREAM).await.unwrap();
    let mut file = std::io::BufWriter::new(File::create(path).unwrap());
    let padding = "x".repeat(200);
    let mut written = 0;
    let mut count = 0;
    while written < 50 << 20 {
        let line = format_log_line(count, count, &format!("{count} {padding}"));
        file.write_all(line.as_bytes()).unwrap();
        written += line.len();
        count += 1;
    }
    file.into_inner().unwrap();
    let query = LogQuery {
        backward: true,
        limit: 10,
        ..LogQuery::default()
    };
    // Whoever reads the whole file is slow every time; a busy machine is not.
    let (mut tail_took, mut streams_took) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        let begun = Instant::now();
        let tail = read(&store, query.clone()).await;
        tail_took = tail_took.min(begun.elapsed());
        let times: Vec<_> = tail.iter().map(|event| event.timestamp_ms).collect();
        assert_eq!(times, (count - 10..count).collect::<Vec<_>>());
        let begun = Instant::now();
        store.streams(GROUP).await.unwrap();
        streams_took = streams_took.min(begun.elapsed());
    }
    assert!(tail_took < Duration::from_millis(50), "{tail_took:?}");
    assert!(streams_took < Duration::from_millis(50), "{streams_took:?}");
}

#[tokio::test]
async fn a_line_without_end_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path()).await;
    numbered(&store, 1).await;
    let path = store.stream_file(GROUP, STREAM).await.unwrap();
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(&vec![b'7'; 5 << 20]).unwrap();
    file.write_all(b"\n9 9 after\n").unwrap();
    for backward in [false, true] {
        let query = LogQuery { backward, ..all() };
        assert_eq!(messages(&read(&store, query).await), ["m0", "after"]);
    }
}

#[tokio::test]
async fn what_expired_gives_its_space_back_and_moves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path()).await;
    let path = store.stream_file(GROUP, STREAM).await.unwrap();
    // A writer that holds the file open all the time.
    let mut writer = File::options().append(true).open(&path).unwrap();
    let padding = "x".repeat(1000);
    for n in 0..1000 {
        let line = format_log_line(n, n, &format!("{n} {padding}"));
        writer.write_all(line.as_bytes()).unwrap();
    }
    writer.sync_all().unwrap();
    let before = read(&store, all()).await;
    let blocks = std::fs::metadata(&path).unwrap().blocks();
    store.expire(GROUP, 900).await.unwrap();
    let after = read(&store, all()).await;
    assert_eq!(after, before[900..]);
    let backward = LogQuery {
        backward: true,
        ..all()
    };
    assert_eq!(read(&store, backward).await, after);
    assert!(std::fs::metadata(&path).unwrap().blocks() < blocks / 4);
    let info = store.streams(GROUP).await.unwrap();
    assert_eq!(info[0].first_event_ms, Some(900));
    assert!(info[0].stored_bytes < 110_000, "{}", info[0].stored_bytes);
    writer.write_all(b"2000 2000 later\n").unwrap();
    assert_eq!(read(&store, all()).await.len(), 101);
    store.expire(GROUP, 5000).await.unwrap();
    assert!(read(&store, all()).await.is_empty());
    store.expire(GROUP, 5000).await.unwrap();
    let last = [(6000, "new".to_owned())];
    store.append(GROUP, STREAM, &last).await.unwrap();
    assert_eq!(messages(&read(&store, all()).await), ["new"]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path()).await;
    let missing = store.read(GROUP, "other", &all()).await.unwrap_err();
    assert_eq!(missing.fault, Fault::NotFound);
    let missing = store.stream_file("other", STREAM).await.unwrap_err();
    assert_eq!(missing.fault, Fault::NotFound);
    assert!(store.append("other", STREAM, &[]).await.is_err());
    assert!(store.streams("other").await.unwrap().is_empty());
    store.create_stream(GROUP, STREAM).await.unwrap();
    store.delete_stream(GROUP, STREAM).await.unwrap();
    store.delete_stream(GROUP, STREAM).await.unwrap();
    assert!(store.streams(GROUP).await.unwrap().is_empty());
    store.delete_group(GROUP).await.unwrap();
    store.delete_group(GROUP).await.unwrap();
    let names: Vec<_> = std::fs::read_dir(root.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn names_stay_in_the_root() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("logs");
    let store = LogStore::open(root.clone()).unwrap();
    let names = ["..", ".", "../../x", "/etc", ".group", ".scratch", "a\0b"];
    let long = "é".repeat(512);
    for name in names.iter().chain([&long.as_str()]) {
        store.create_stream(name, name).await.unwrap();
        let found = store.streams(name).await.unwrap();
        assert_eq!(found[0].name, *name);
        let file = store.stream_file(name, name).await.unwrap();
        assert!(file.canonicalize().unwrap().starts_with(&root));
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(store.create_stream("", "a").await.is_err());
}

#[tokio::test]
async fn changes_name_the_group() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path()).await;
    let mut changes = store.changes();
    let mut second = store.changes();
    let path = store.stream_file(GROUP, STREAM).await.unwrap();
    let mut writer = File::options().append(true).open(&path).unwrap();
    let wait = Duration::from_secs(5);
    for _ in 0..2 {
        writer.write_all(b"1 1 x\n").unwrap();
        let told = tokio::time::timeout(wait, changes.recv()).await.unwrap();
        assert_eq!(told.unwrap(), GROUP);
        let told = tokio::time::timeout(wait, second.recv()).await.unwrap();
        assert_eq!(told.unwrap(), GROUP);
    }
    // A group that is made later is heard of too.
    store.create_stream("later", "s").await.unwrap();
    let event = [(1, "x".to_owned())];
    store.append("later", "s", &event).await.unwrap();
    loop {
        let told = tokio::time::timeout(wait, changes.recv()).await.unwrap();
        if told.unwrap() == "later" {
            break;
        }
    }
    // Whoever comes after everyone left is told again.
    drop((changes, second));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut again = store.changes();
    writer.write_all(b"1 1 x\n").unwrap();
    let told = tokio::time::timeout(wait, again.recv()).await.unwrap();
    assert_eq!(told.unwrap(), GROUP);
}
