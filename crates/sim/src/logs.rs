//! Log streams in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use engine::*;
use tokio::sync::broadcast;

pub struct SimLogs {
    streams: Mutex<BTreeMap<(String, String), Vec<LogEvent>>>,
    changes: broadcast::Sender<String>,
}

impl Default for SimLogs {
    fn default() -> Self {
        Self {
            streams: Mutex::default(),
            changes: broadcast::channel(64).0,
        }
    }
}

fn unknown(group: &str, stream: &str) -> EngineError {
    EngineError::not_found(format!("log stream `{stream}` of `{group}` does not exist"))
}

#[async_trait]
impl Logs for SimLogs {
    async fn create_stream(&self, group: &str, stream: &str) -> Result<()> {
        self.streams
            .lock()
            .expect("no panic")
            .entry((group.into(), stream.into()))
            .or_default();
        Ok(())
    }
    async fn stream_file(&self, group: &str, stream: &str) -> Result<PathBuf> {
        let streams = self.streams.lock().expect("no panic");
        if streams.contains_key(&(group.into(), stream.into())) {
            Ok(PathBuf::from("/sim/log"))
        } else {
            Err(unknown(group, stream))
        }
    }
    async fn streams(&self, group: &str) -> Result<Vec<StreamInfo>> {
        let streams = self.streams.lock().expect("no panic");
        let own = streams.iter().filter(|((it, _), _)| it == group);
        Ok(own
            .map(|((_, name), events)| StreamInfo {
                name: name.clone(),
                created_ms: 0,
                first_event_ms: events.iter().map(|it| it.timestamp_ms).min(),
                last_event_ms: events.iter().map(|it| it.timestamp_ms).max(),
                stored_bytes: events.iter().map(|it| it.message.len() as u64).sum(),
            })
            .collect())
    }
    async fn append(&self, group: &str, stream: &str, events: &[(i64, String)]) -> Result<()> {
        let mut streams = self.streams.lock().expect("no panic");
        let stored = streams
            .get_mut(&(group.into(), stream.into()))
            .ok_or_else(|| unknown(group, stream))?;
        for (timestamp_ms, message) in events {
            let offset = stored.len() as u64;
            stored.push(LogEvent {
                timestamp_ms: *timestamp_ms,
                ingested_ms: *timestamp_ms,
                message: message.clone(),
                offset,
            });
        }
        let _ = self.changes.send(group.into());
        Ok(())
    }
    async fn read(&self, group: &str, stream: &str, query: &LogQuery) -> Result<Vec<LogEvent>> {
        let streams = self.streams.lock().expect("no panic");
        let events = streams
            .get(&(group.into(), stream.into()))
            .ok_or_else(|| unknown(group, stream))?;
        let mut found: Vec<LogEvent> = events
            .iter()
            .filter(|it| query.from_ms.is_none_or(|from| it.timestamp_ms >= from))
            .filter(|it| query.until_ms.is_none_or(|until| it.timestamp_ms < until))
            .filter(|it| {
                query.offset.is_none_or(|at| {
                    if query.backward {
                        it.offset < at
                    } else {
                        it.offset >= at
                    }
                })
            })
            .cloned()
            .collect();
        if query.backward {
            let surplus = found.len().saturating_sub(query.limit);
            found.drain(..surplus);
        } else {
            found.truncate(query.limit);
        }
        Ok(found)
    }
    async fn delete_stream(&self, group: &str, stream: &str) -> Result<()> {
        self.streams
            .lock()
            .expect("no panic")
            .remove(&(group.into(), stream.into()));
        Ok(())
    }
    async fn delete_group(&self, group: &str) -> Result<()> {
        self.streams
            .lock()
            .expect("no panic")
            .retain(|(it, _), _| it != group);
        Ok(())
    }
    async fn expire(&self, group: &str, before_ms: i64) -> Result<()> {
        for ((it, _), events) in self.streams.lock().expect("no panic").iter_mut() {
            if it == group {
                events.retain(|event| event.timestamp_ms >= before_ms);
            }
        }
        Ok(())
    }
    fn changes(&self) -> Changes {
        self.changes.subscribe()
    }
}
