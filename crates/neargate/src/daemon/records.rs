//! The records: opened before anything is touched on the machine, copied while the daemon runs, put back
//! while none does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cloud::{Cloud, Store};
use engine::bytes_in_words;
use store::{Restored, Room, StoreCopy};

use super::lock;
use crate::config::Config;

const FILE: &str = "store.db";
/// What somebody made in the first minute can be made again.
const FIRST_COPY_AFTER: Duration = Duration::from_secs(60);

fn file(config: &Config) -> PathBuf {
    config.state.join(FILE)
}

fn key_file(config: &Config) -> PathBuf {
    let given = config.store_key.clone();
    given.unwrap_or_else(|| store::key_beside(&file(config)))
}

/// Whether there are, or were, records of this state directory.
pub fn were_there(config: &Config) -> bool {
    let file = file(config);
    file.exists() || store::is_marked(&file)
}

/// Opens the records, or says why not and what to do.
pub fn open(config: &Config) -> Result<Store> {
    Store::open_copied(&file(config), &key_file(config), room())
        .with_context(|| format!("cannot open the records in `{}`", config.state.display()))
}

/// A copy takes nothing of the room that is left to the records themselves.
fn room() -> Room {
    Box::new(|directory: &Path, bytes: u64| {
        let room = engine::room_in(directory)?;
        room.check("a copy of the records")?;
        match room.to_give() >= bytes {
            true => Ok(()),
            false => Err(format!(
                "no space left on device: the machine's disk has {} free, too little for a copy of \
                 the records of {}",
                bytes_in_words(room.free_bytes),
                bytes_in_words(bytes)
            )
            .into()),
        }
    })
}

/// Makes a copy from time to time, when something changed. A new store has its first one soon.
pub async fn keep_copies(cloud: Arc<Cloud>) {
    let mut wait = FIRST_COPY_AFTER;
    loop {
        tokio::time::sleep(wait).await;
        wait = store::COPY_EVERY;
        let of = cloud.clone();
        // It reads and writes all of the store.
        let copied = tokio::task::spawn_blocking(move || of.store.copy()).await;
        if let Ok(Err(error)) = copied {
            let error = anyhow::Error::from(error);
            tracing::warn!("the records are not copied: {error:#}");
        }
    }
}

/// The copies that there are, the newest first.
pub fn copies(config: &Config) -> Result<Vec<StoreCopy>> {
    store::copies(&file(config)).context("cannot list the copies of the records")
}

/// Puts a copy in the records' place: a file, the name of a copy, or the newest one.
pub fn restore(config: &Config, copy: Option<&Path>) -> Result<Restored> {
    ensure!(
        config.state.is_dir(),
        "there is no state directory at `{}`: name it with --state",
        config.state.display()
    );
    let _lock =
        lock::take(&config.state).context("records are put back while no daemon works on them")?;
    let file = file(config);
    let copy = match copy {
        Some(path) if path.exists() => path.to_owned(),
        Some(name) => store::place_of_copies(&file).join(name),
        None => store::newest_copy(&file)?,
    };
    Ok(store::restore(&file, &key_file(config), &copy)?)
}
