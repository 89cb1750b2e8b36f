//! Whether the workers still do something: each takes in a number now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::worker::Command;

pub struct Pulse {
    workers: Vec<(mpsc::UnboundedSender<Command>, Arc<AtomicU64>)>,
    beats: u64,
}

impl Pulse {
    pub fn new(workers: Vec<mpsc::UnboundedSender<Command>>) -> Self {
        let workers = workers.into_iter().map(|it| (it, Arc::default()));
        Self {
            workers: workers.collect(),
            beats: 0,
        }
    }

    /// Begins another beat. Returns how many the slowest worker has not taken in.
    pub fn beat(&mut self) -> u64 {
        let seen = self.workers.iter().map(|it| it.1.load(Ordering::Relaxed));
        let behind = self.beats - seen.min().unwrap_or(self.beats);
        self.beats += 1;
        for (worker, pulse) in &self.workers {
            let _ = worker.send(Command::Beat {
                count: self.beats,
                pulse: Arc::clone(pulse),
            });
        }
        behind
    }
}
