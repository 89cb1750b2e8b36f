//! Putting a copy in the store's place, while nobody works on it.
//!
//! The copy is looked at first, whole, with the store's key. Then it is written out beside the store, and
//! what is there is moved aside, its log before itself: a log is never beside a store that it does not
//! belong to. Whoever ends in between finds a store that is missing, which is refused by name, and does it
//! again.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::StoreError;
use crate::check::{self, Found, Place};
use crate::connect::{self, PRIVATE, beside};
use crate::layout;
use crate::mark::{self, Mark};

/// What was put in the store's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub copy: PathBuf,
    pub records: u64,
    /// Of these, how many do not open: they were damaged when the copy was made.
    pub unreadable: usize,
    /// Where the files are that were there before, when there were any.
    pub replaced: Option<PathBuf>,
}

/// Puts a copy in the place of the store, which nobody has open. The store's own key must open it.
pub fn restore(path: &Path, key_file: &Path, copy: &Path) -> Result<Restored, StoreError> {
    let failed = |source| StoreError::File {
        path: path.to_owned(),
        source,
    };
    let looked = look(Place {
        path: copy,
        store: path,
        key_file,
    })?;
    let fresh = beside(path, ".new");
    write_out(copy, &fresh).map_err(failed)?;
    let replaced = move_aside(path).map_err(failed)?;
    match &looked.id {
        Some(id) => mark::write(
            path,
            &Mark {
                id: id.clone(),
                ended: None,
            },
        ),
        // One of an earlier version: it gets its id when it is opened.
        None => without(&mark::place(path)),
    }
    .map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)?;
    mark::sync_directory_of(path).map_err(failed)?;
    Ok(Restored {
        copy: copy.to_owned(),
        records: looked.records,
        unreadable: looked.unreadable,
        replaced,
    })
}

struct Looked {
    id: Option<String>,
    records: u64,
    unreadable: usize,
}

/// Whether a copy is whole and opens with the key.
fn look(place: Place<'_>) -> Result<Looked, StoreError> {
    let Place {
        path: copy,
        key_file,
        ..
    } = place;
    if check::before_opening(place, None)? == Found::Nothing {
        let missing = io::Error::new(io::ErrorKind::NotFound, "there is no copy of that name");
        return Err(StoreError::File {
            path: copy.to_owned(),
            source: missing,
        });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = place.judge(Connection::open_with_flags(copy, flags))?;
    connect::distrust(&connection)?;
    check::whole(&mut connection, place, None, Found::Left)?;
    if layout::is_empty(&connection)? {
        return Err(place.damaged("it has no records"));
    }
    let count = "SELECT count(*) FROM records";
    let records: i64 = place.judge(connection.query_row(count, [], |row| row.get(0)))?;
    let unreadable = match layout::sealer_of(&connection, key_file)? {
        Some(sealer) => check::records(&connection, place, &sealer)?,
        None => 0,
    };
    let id = place.judge(mark::id_in(&connection))?;
    Ok(Looked {
        id,
        records: records.unsigned_abs(),
        unreadable,
    })
}

fn write_out(copy: &Path, fresh: &Path) -> io::Result<()> {
    without(fresh)?;
    let mut options = fs::OpenOptions::new();
    let mut target = options
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(fresh)?;
    io::copy(&mut fs::File::open(copy)?, &mut target)?;
    target.sync_all()
}

/// Moves the store and its log to names of their own, and answers the store's.
fn move_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    let name = |number: u32| beside(path, &format!(".replaced-{number}"));
    let mut number = 1;
    while name(number).exists() || beside(&name(number), "-wal").exists() {
        number += 1;
    }
    let aside = name(number);
    let mut moved = false;
    // The index belongs to the log, and is made anew.
    without(&beside(path, "-shm"))?;
    for ending in ["-wal", ""] {
        match fs::rename(beside(path, ending), beside(&aside, ending)) {
            Ok(()) => moved = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(error),
        }
        mark::sync_directory_of(path)?;
    }
    Ok(moved.then_some(aside))
}

fn without(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
