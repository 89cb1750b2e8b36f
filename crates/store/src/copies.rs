//! Copies of the store, in `copies/` beside it: consistent, sealed as the store is, each whole or not there.
//!
//! A copy is made when the daemon starts, before anything is changed, and from time to time when something
//! was. SQLite writes it out of one state of the store (`VACUUM INTO`) while others go on writing; it is
//! renamed to its name when it is on disk. Names count up, so that their order does not depend on the
//! clock. Of copies that are made in quick succession (a daemon that starts again and again) the last one
//! is kept, so that those that are kept reach back.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::StoreError;
use crate::check::{self, Unfit};
use crate::connect::{self, PRIVATE, beside};
use crate::mark::sync_directory_of;

/// How often a copy should be made when something changed.
pub const COPY_EVERY: Duration = Duration::from_secs(15 * 60);
/// The newest copy and those before it: an hour, and a disk that holds the store five times.
const KEPT: usize = 4;
/// A copy that is younger than this gives way to the next one.
const APART: Duration = Duration::from_secs(10 * 60);

/// Whether so many bytes may be written to a directory.
pub type Room = Box<dyn Fn(&Path, u64) -> Result<(), NoRoom> + Send + Sync>;
type NoRoom = Box<dyn std::error::Error + Send + Sync>;

/// A copy that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCopy {
    pub path: PathBuf,
    pub bytes: u64,
    /// When what it holds was written, which is the time of its file.
    pub state_of: SystemTime,
    number: u64,
}

/// Where the copies of a store are.
pub fn directory(store: &Path) -> PathBuf {
    store.with_file_name("copies")
}

/// The copies of a store, the newest first.
pub fn all(store: &Path) -> io::Result<Vec<StoreCopy>> {
    let entries = match fs::read_dir(directory(store)) {
        Ok(it) => it,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(number_of) else {
            continue;
        };
        let metadata = entry.metadata()?;
        found.push(StoreCopy {
            path: entry.path(),
            bytes: metadata.len(),
            state_of: metadata.modified()?,
            number,
        });
    }
    found.sort_by_key(|it| std::cmp::Reverse(it.number));
    Ok(found)
}

/// The newest copy of a store.
pub fn newest(store: &Path) -> Result<PathBuf, StoreError> {
    let copies = directory(store);
    let found = all(store).map_err(|source| StoreError::File {
        path: copies.clone(),
        source,
    })?;
    let newest = found.into_iter().next().map(|it| it.path);
    Ok(newest.ok_or(Unfit::NoCopy(copies))?)
}

fn name_of(number: u64) -> String {
    format!("store-{number:08}.db")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("store-")?
        .strip_suffix(".db")?
        .parse()
        .ok()
}

/// Whether the store was written to since the state that its newest copy has.
pub fn is_due(store: &Path) -> bool {
    let Ok(copies) = all(store) else { return true };
    match (copies.first(), written(store)) {
        (Some(copy), Some(written)) => copy.state_of != written,
        _ => true,
    }
}

/// When the store was written to last.
fn written(store: &Path) -> Option<SystemTime> {
    [store.to_owned(), beside(store, "-wal")]
        .iter()
        .filter_map(|it| fs::metadata(it).and_then(|it| it.modified()).ok())
        .max()
}

/// Makes a copy of a store that is open, by a connection of its own, and lets old ones go.
pub fn make(store: &Path, room: Option<&Room>) -> Result<PathBuf, StoreError> {
    let copies = directory(store);
    let failed = |source| StoreError::File {
        path: copies.clone(),
        source,
    };
    let fresh = begin(&copies).map_err(failed)?;
    // Before it is read: what is written meanwhile may not be in the copy.
    let state_of = written(store).unwrap_or(SystemTime::UNIX_EPOCH);
    let outcome = write(store, &fresh, room);
    if outcome.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    outcome?;
    finish(store, &fresh, state_of).map_err(failed)
}

/// An empty file of the owner's. What a daemon left that died while it made a copy goes away.
fn begin(copies: &Path) -> io::Result<PathBuf> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(copies)?;
    let fresh = copies.join("store.new");
    for ending in ["", "-journal", "-wal"] {
        match fs::remove_file(beside(&fresh, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(&fresh)?;
    Ok(fresh)
}

fn write(store: &Path, fresh: &Path, room: Option<&Room>) -> Result<(), StoreError> {
    let connection = connect::writer(store)?;
    if let Some(room) = room {
        let copies = fresh.parent().unwrap_or(Path::new("/"));
        room(copies, check::bytes_of(&connection)?).map_err(StoreError::NoRoom)?;
    }
    connection.execute("VACUUM INTO ?", [fresh.to_string_lossy()])?;
    Ok(())
}

fn finish(store: &Path, fresh: &Path, state_of: SystemTime) -> io::Result<PathBuf> {
    let file = fs::OpenOptions::new().write(true).open(fresh)?;
    file.set_modified(state_of)?;
    file.sync_all()?;
    let before = all(store)?;
    let number = before.first().map_or(1, |it| it.number + 1);
    let path = fresh.with_file_name(name_of(number));
    fs::rename(fresh, &path)?;
    sync_directory_of(&path)?;
    for old in superseded(&before, SystemTime::now()) {
        fs::remove_file(&old.path)?;
    }
    Ok(path)
}

/// Which of the copies before the one that was made now go away.
fn superseded(before: &[StoreCopy], now: SystemTime) -> &[StoreCopy] {
    let is_young = |it: &StoreCopy| now.duration_since(it.state_of).is_ok_and(|age| age < APART);
    match before {
        [newest, ..] if before.len() <= KEPT && is_young(newest) => &before[..1],
        _ => before.get(KEPT - 1..).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the copies that are there after copies were made at these minutes.
    fn kept(minutes: &[u64]) -> Vec<u64> {
        let at = |minute: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(minute * 60);
        let mut there: Vec<StoreCopy> = Vec::new();
        for minute in minutes {
            let gone = superseded(&there, at(*minute)).to_vec();
            there.retain(|it| !gone.contains(it));
            let copy = StoreCopy {
                path: PathBuf::new(),
                bytes: 0,
                state_of: at(*minute),
                number: *minute,
            };
            there.insert(0, copy);
        }
        there.into_iter().map(|it| it.number).collect()
    }

    #[test]
    fn the_last_copies_are_kept() {
        assert_eq!(kept(&[15, 30]), [30, 15]);
        assert_eq!(kept(&[15, 30, 45, 60, 75, 90]), [90, 75, 60, 45]);
    }

    #[test]
    fn copies_in_quick_succession_do_not_drive_out_those_before() {
        assert_eq!(kept(&[15, 30, 45, 60, 61, 62, 63, 64]), [64, 45, 30, 15]);
        assert_eq!(kept(&[1, 2, 3, 4, 20]), [20, 4]);
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for number in [1, 12_345, 123_456_789] {
            assert_eq!(number_of(&name_of(number)), Some(number));
        }
        for other in ["store.new", "store-.db", "store-x.db", "store-1.db-wal"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
