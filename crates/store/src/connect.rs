//! How the store's file is opened: by this process alone, and with nothing of it mapped into memory.
//!
//! SQLite keeps the index of its log in a file that all processes map (`-shm`). A page of such a file
//! that the disk has no room for ends the process that touches it with SIGBUS, and an error cannot be
//! answered: SQLite writes to each page before it maps it, which helps where a written block is there to
//! stay, and does not where files are copied on write (btrfs, ZFS), or where somebody cuts the file. One
//! process works on a store, so the index needs no file. `locking_mode=EXCLUSIVE` keeps it in memory as
//! well, but for one connection: the readers would have to wait for each other and for the writer's disk.
//! SQLite's `unix-excl` keeps it in the memory of the process, for all of its connections.
//!
//! The lock that this takes is POSIX's, which a process loses when it closes *any* descriptor of the file:
//! nothing here opens `store.db` by itself while a connection does. That only one daemon is there is the
//! matter of a lock of its own, beside the store.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::StoreError;

/// Connections of one process only, which share their index in memory.
const VFS: &str = "unix-excl";
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages that a connection keeps in memory, in KiB. What history leaves fills it once and is not asked for again;
/// what is worked on is small, and everything else comes out of the kernel's own cache, which is given back when
/// somebody needs it.
const CACHE_KIB: i64 = 512;
/// The store's files are its owner's alone.
pub const PRIVATE: u32 = 0o600;

pub fn writer(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(path, flags, VFS)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    distrust(&connection)?;
    Ok(connection)
}

/// Reads the file's schema: only a store that was looked over is asked this.
pub fn keep_little(connection: &Connection) -> Result<(), StoreError> {
    // A negative number is one of KiB (SQLite, "PRAGMA cache_size").
    Ok(connection.pragma_update(None, "cache_size", -CACHE_KIB)?)
}

/// Nothing that a file brings along is run, and nobody writes past SQLite's own ways, whatever the file
/// says (SQLite, "Defense Against The Dark Arts").
pub fn distrust(connection: &Connection) -> rusqlite::Result<()> {
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        connection.set_db_config(setting, on)?;
    }
    Ok(())
}

/// Opened as the writer's is, since a connection that is read-only locks the file in the way of other
/// processes; it refuses to write all the same.
pub fn reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = writer(path)?;
    keep_little(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// The file of this ending beside the store: its log, or what else there is.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    beside.into()
}

/// SQLite gives the files beside the store (its log) the store's own mode.
pub fn make_private(path: &Path) -> Result<(), StoreError> {
    let private = || std::fs::Permissions::from_mode(PRIVATE);
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(path)
        .and_then(|it| it.set_permissions(private()));
    let failed = |source| StoreError::File {
        path: path.to_owned(),
        source,
    };
    made.map_err(failed)?;
    // What an earlier version left open.
    match std::fs::set_permissions(beside(path, "-wal"), private()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// The index that an earlier version kept in a file. Nobody uses it when this process has the store.
pub fn remove_index(path: &Path) -> Result<(), StoreError> {
    let index = beside(path, "-shm");
    match std::fs::remove_file(&index) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(StoreError::File {
            path: index,
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Were the look at the schema ever to miss one.
    #[test]
    fn what_a_file_brings_along_is_not_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("any.db");
        let made = Connection::open(&path).unwrap();
        made.execute_batch(
            "CREATE TABLE a (it); CREATE TABLE b (it);
             CREATE TRIGGER evil AFTER INSERT ON a BEGIN INSERT INTO b VALUES (1); END;
             CREATE VIEW v AS SELECT * FROM a;",
        )
        .unwrap();
        drop(made);
        let connection = writer(&path).unwrap();
        connection.execute("INSERT INTO a VALUES (1)", []).unwrap();
        let count = |table: &str| {
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get::<_, i64>(0)
            })
        };
        assert_eq!((count("a").unwrap(), count("b").unwrap()), (1, 0));
        count("v").unwrap_err();
        connection
            .execute("UPDATE sqlite_master SET sql = ''", [])
            .unwrap_err();
    }
}
