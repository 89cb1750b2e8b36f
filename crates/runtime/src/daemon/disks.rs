//! Which disk a task gets: one of a bounded size, as far as this machine can make them.

use std::path::Path;

use engine::{EngineError, Result, TaskDisk};
use tokio::sync::OnceCell;

use super::blocking;
use crate::disk;

/// What is known of the machine's disks.
#[derive(Default)]
pub(super) struct Disks {
    /// Why none can be made, found out with the first task that wants one.
    lack: OnceCell<Option<String>>,
}

impl Disks {
    /// What a task gets of what is wanted. Nobody gets more than the machine's disk has to give: one
    /// task that fills its disk must not fill the machine's.
    pub async fn of_task(
        &self,
        directory: &Path,
        wanted: Option<TaskDisk>,
    ) -> Result<Option<TaskDisk>> {
        let Some(mut wanted) = wanted else {
            return Ok(None);
        };
        let room = engine::room_in(directory)?;
        if wanted.asked_for && wanted.bytes > room.to_give() {
            return Err(EngineError::no_space(format_args!(
                "{} was asked for, and the disk of `{}` has {} to give",
                engine::bytes_in_words(wanted.bytes),
                directory.display(),
                engine::bytes_in_words(room.to_give()),
            )));
        }
        if wanted.bytes < disk::BYTES_MIN || wanted.bytes > disk::BYTES_MAX {
            return Err(EngineError::invalid(format!(
                "a disk has {} to {}, not {} bytes",
                engine::bytes_in_words(disk::BYTES_MIN),
                engine::bytes_in_words(disk::BYTES_MAX),
                wanted.bytes
            )));
        }
        room.check("a task that begins")?;
        wanted.bytes = wanted.bytes.min(room.to_give()).max(disk::BYTES_MIN);
        match self.lack().await {
            None => Ok(Some(wanted)),
            Some(lack) if wanted.asked_for => Err(EngineError::machine(format!(
                "this machine cannot bound a disk (`neargate doctor` says more): {lack}"
            ))),
            Some(_) => Ok(None),
        }
    }

    async fn lack(&self) -> Option<&str> {
        let looked = self.lack.get_or_init(|| async {
            let lack = blocking(|| Ok(disk::probe().err())).await.ok().flatten();
            lack.map(|failure| {
                tracing::warn!("what tasks write is not bounded on this machine: {failure}");
                failure.0
            })
        });
        looked.await.as_deref()
    }
}
