//! `store.mark`: a small file that says that there is a store beside it, which one, and how it was left.
//!
//! Without it a store that was lost looks like one that was never made. The installation's id is in both,
//! so that a store of somebody else is not taken for this one.
//!
//! What a clean end leaves is the size and the time of the store's file. It needs not be taken back when
//! the store is opened: whatever is written changes the file or leaves a log beside it, so that after any
//! other end the mark does not match.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::check::Unfit;
use crate::connect::{PRIVATE, beside};
use crate::{StoreError, schema, seal};

/// A mark is some hundred bytes; what is longer is another file.
const MARK_BYTES_MAX: u64 = 4096;
const ID_BYTES: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The installation that the store belongs to.
    pub id: String,
    /// The file as a clean end left it.
    pub ended: Option<Print>,
}

/// Another size or time means that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    pub bytes: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Print {
    /// None when there is something in the log that is not in the file yet.
    pub fn of(store: &Path) -> io::Result<Option<Self>> {
        if size(&beside(store, "-wal"))?.is_some_and(|it| it > 0) {
            return Ok(None);
        }
        let found = fs::metadata(store)?;
        Ok(Some(Self {
            bytes: found.len(),
            modified_s: found.mtime(),
            modified_ns: found.mtime_nsec(),
        }))
    }
}

/// None when there is no such file.
pub fn size(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(it) => Ok(Some(it.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn place(store: &Path) -> PathBuf {
    store.with_extension("mark")
}

/// Whether there is, or was, a store.
pub fn is_there(store: &Path) -> bool {
    place(store).exists()
}

pub fn read(store: &Path) -> Result<Option<Mark>, StoreError> {
    let path = place(store);
    let file = match fs::File::open(&path) {
        Ok(it) => it,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::File { path, source }),
    };
    let mut text = Vec::new();
    match file.take(MARK_BYTES_MAX).read_to_end(&mut text) {
        Ok(_) => (),
        Err(source) => return Err(StoreError::File { path, source }),
    }
    let mark = serde_json::from_slice(&text);
    Ok(Some(mark.map_err(|_| Unfit::Mark { mark: path })?))
}

/// Written beside and renamed, so that a crash leaves a whole mark, this one or the one before.
pub fn write(store: &Path, mark: &Mark) -> io::Result<()> {
    let path = place(store);
    let fresh = path.with_extension("mark.new");
    let text = serde_json::to_vec(mark).map_err(io::Error::other)?;
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE)
        .open(&fresh)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    sync_directory_of(&path)
}

/// What was renamed in the directory of a file is so after a power cut.
pub fn sync_directory_of(file: &Path) -> io::Result<()> {
    fs::File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// The installation that a store says it belongs to; None in one of an earlier version.
pub fn id_in(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let has_one = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'installation'";
    let there = connection.query_row(has_one, [], |_| Ok(())).optional()?;
    match there {
        Some(()) => connection
            .query_row("SELECT id FROM installation", [], |row| row.get(0))
            .optional(),
        None => Ok(None),
    }
}

/// Gives a store that has none an id, and a mark to one that has none. A crash between leaves the id,
/// and the next start makes the mark.
pub fn settle(
    connection: &Connection,
    store: &Path,
    known: Option<&Mark>,
) -> Result<String, StoreError> {
    let id = match id_in(connection)? {
        Some(id) => id,
        None => {
            let id = fresh_id()?;
            let transaction = connection.unchecked_transaction()?;
            transaction.execute_batch("DROP TABLE IF EXISTS installation")?;
            transaction.execute_batch(schema::INSTALLATION)?;
            transaction.execute("INSERT INTO installation VALUES (?)", [&id])?;
            transaction.commit()?;
            id
        }
    };
    if known.is_none() {
        let mark = Mark {
            id: id.clone(),
            ended: None,
        };
        if let Err(error) = write(store, &mark) {
            // On a full disk: a store without its mark is better than none.
            tracing::warn!(%error, "the store's mark cannot be written; the next start tries again");
        }
    }
    Ok(id)
}

fn fresh_id() -> Result<String, StoreError> {
    let mut id = [0; ID_BYTES];
    let filled = SystemRandom::new().fill(&mut id);
    filled.map_err(|_| StoreError::Cryptography)?;
    Ok(seal::hex(&id))
}
