//! Room that the store's file has inside itself, so that records can still be written when the disk
//! is full: what was asked for before goes on, and what makes room again can be recorded.
//!
//! Both of SQLite's files keep the blocks they once had: pages of deleted rows are used again, and the
//! log is written over from its beginning. So a large row, written once and deleted, is the reserve.

use std::path::Path;

use rusqlite::Connection;

use crate::connect::beside;
use crate::{StoreError, schema};

/// About a thousand records: one of more than some hundred bytes takes a page of its own.
const RESERVE_BYTES: i64 = 4 << 20;
/// The number of commits after which it is looked whether the reserve was used up.
pub const LOOK_EVERY: u64 = 1000;

/// Makes the reserve as large as it should be, in both files: an end empties the log. It fails when the disk
/// is full: then there is as much as there was, and nothing is left begun.
pub fn fill(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    // Left by a daemon that died between the two steps below.
    connection.execute_batch("DROP TABLE IF EXISTS reserve")?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let spare = number("freelist_count")? * number("page_size")?;
    let log = std::fs::metadata(beside(path, "-wal")).map_or(0, |it| it.len());
    let has_log = i64::try_from(log).is_ok_and(|it| it >= RESERVE_BYTES / 2);
    if spare >= RESERVE_BYTES / 2 && has_log {
        return Ok(());
    }
    // Rolled back when it is dropped before it is committed.
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(schema::RESERVE)?;
    transaction.execute("INSERT INTO reserve VALUES (zeroblob(?))", [RESERVE_BYTES])?;
    transaction.commit()?;
    connection.execute_batch("DROP TABLE reserve; PRAGMA wal_checkpoint(RESTART);")?;
    Ok(())
}
