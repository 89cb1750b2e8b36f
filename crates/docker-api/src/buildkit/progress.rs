//! What a build's client is told while it goes on, in BuildKit's form: steps that begin and end, what they
//! have got done, and what they say. All of it is kept until the build is over, since a client may begin to
//! listen late; how much a step says is bounded as BuildKit bounds it.

use std::sync::{Arc, Mutex, MutexGuard};

use buildkit::messages::{
    StatusResponse, Timestamp, Vertex, VertexLog, VertexStatus, VertexWarning,
};
use tokio::sync::Notify;

use crate::disk::random_id;

/// Output of one step that is passed on.
const STEP_BYTES_MAX: usize = 2 << 20;
/// Output of all steps of one build, which is kept until its end, with what each line takes besides.
const BUILD_BYTES_MAX: usize = 32 << 20;
const LINE_BYTES: usize = 256;
/// Where output goes that is told from errors. Here both come as one.
const STDOUT: i64 = 1;

#[derive(Clone, Default)]
pub struct Progress(Arc<Kept>);

#[derive(Default)]
struct Kept {
    told: Mutex<Told>,
    changed: Notify,
}

#[derive(Default)]
struct Told {
    all: Vec<StatusResponse>,
    log_bytes: usize,
    is_over: bool,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0
            .told
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    fn tell(&self, response: StatusResponse) {
        self.lock().all.push(response);
        self.0.changed.notify_waiters();
    }

    /// A step begins.
    pub fn begin(&self, name: impl Into<String>) -> Step {
        let vertex = Vertex {
            digest: format!("sha256:{}", random_id()),
            name: name.into(),
            started: Some(Timestamp::now()),
            ..Vertex::default()
        };
        self.tell(StatusResponse {
            vertexes: vec![vertex.clone()],
            ..StatusResponse::default()
        });
        Step {
            progress: self.clone(),
            vertex,
            log_bytes: 0,
        }
    }

    /// Something of what was asked for is not done, and that changes nothing of the image.
    pub fn warn(&self, text: &str) {
        let step = self.begin(format!("[internal] {text}"));
        self.tell(StatusResponse {
            warnings: vec![VertexWarning {
                vertex: step.vertex.digest.clone(),
                level: 1,
                short: text.as_bytes().to_vec(),
            }],
            ..StatusResponse::default()
        });
        step.end(None);
    }

    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// The build is over. Nothing is told afterwards.
    pub fn end(&self) {
        self.lock().is_over = true;
        self.0.changed.notify_waiters();
    }

    /// What was told after the first `known`; None when that is all there will ever be.
    pub async fn after(&self, known: usize) -> Option<Vec<StatusResponse>> {
        loop {
            let changed = self.0.changed.notified();
            {
                let told = self.lock();
                if told.all.len() > known {
                    return Some(told.all[known..].to_vec());
                }
                if told.is_over {
                    return None;
                }
            }
            changed.await;
        }
    }
}

/// A step that goes on. One that is dropped before its end was given up.
pub struct Step {
    progress: Progress,
    vertex: Vertex,
    log_bytes: usize,
}

impl Step {
    fn told(&self) {
        self.progress.tell(StatusResponse {
            vertexes: vec![self.vertex.clone()],
            ..StatusResponse::default()
        });
    }

    pub fn is_cached(&mut self) {
        self.vertex.cached = true;
    }

    /// Part of it has got so far.
    pub fn part(&self, name: &str, bytes: u64, is_over: bool) {
        let now = Some(Timestamp::now());
        self.progress.tell(StatusResponse {
            statuses: vec![VertexStatus {
                id: name.to_owned(),
                vertex: self.vertex.digest.clone(),
                current: bytes as i64,
                timestamp: now,
                started: self.vertex.started,
                completed: now.filter(|_| is_over),
                ..VertexStatus::default()
            }],
            ..StatusResponse::default()
        });
    }

    pub fn log(&mut self, line: &str) {
        if self.log_bytes > STEP_BYTES_MAX {
            return;
        }
        self.log_bytes += line.len() + 1;
        let total = {
            let mut told = self.progress.lock();
            told.log_bytes += line.len() + LINE_BYTES;
            told.log_bytes
        };
        let text = match self.log_bytes > STEP_BYTES_MAX || total > BUILD_BYTES_MAX {
            true => {
                self.log_bytes = STEP_BYTES_MAX + 1;
                "[output clipped, log limit 2MiB reached]\n".to_owned()
            }
            false => format!("{line}\n"),
        };
        self.progress.tell(StatusResponse {
            logs: vec![VertexLog {
                vertex: self.vertex.digest.clone(),
                timestamp: Some(Timestamp::now()),
                stream: STDOUT,
                bytes: text.into_bytes(),
            }],
            ..StatusResponse::default()
        });
    }

    pub fn end(mut self, error: Option<String>) {
        self.complete(error.unwrap_or_default());
    }

    fn complete(&mut self, error: String) {
        self.vertex.completed = Some(Timestamp::now());
        self.vertex.error = error;
        self.told();
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.vertex.completed.is_none() {
            self.complete("context canceled".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_late_hears_all_of_it() {
        let progress = Progress::default();
        let mut step = progress.begin("[1/1] RUN x");
        step.log("hi");
        step.is_cached();
        step.end(None);
        drop(progress.begin("given up"));
        progress.end();
        let told = progress.after(0).await.unwrap();
        assert_eq!(told[0].vertexes[0].name, "[1/1] RUN x");
        assert_eq!(told[1].logs[0].bytes, b"hi\n");
        let end = &told[2].vertexes[0];
        assert!(end.cached && end.completed.is_some() && end.error.is_empty());
        assert_eq!(told[4].vertexes[0].error, "context canceled");
        assert!(progress.after(told.len()).await.is_none());
    }

    #[tokio::test]
    async fn a_step_says_no_more_than_is_kept() {
        let progress = Progress::default();
        let mut step = progress.begin("x");
        let line = "x".repeat(1 << 20);
        (0..10).for_each(|_| step.log(&line));
        let told = progress.after(1).await.unwrap();
        let last = &told.last().unwrap().logs[0].bytes;
        assert_eq!(told.len(), 2);
        assert!(last.starts_with(b"[output clipped"));
    }
}
