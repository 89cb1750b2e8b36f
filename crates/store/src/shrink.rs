//! Gives the disk back what a store does not need any more: a file of SQLite stays as large as it ever was,
//! since pages of deleted rows are only used again.
//!
//! Pages can be given back one by one where the file knows who refers to each (`auto_vacuum`), which it has
//! to from its beginning; one that does not is written anew when it is opened, once most of it is free. A
//! commit takes a few with it, so that nobody waits for all. What is kept is far more than the reserve
//! ([`crate::reserve`]) and than what comes and goes every day.

use rusqlite::Connection;

use crate::StoreError;

/// So much that is free stays in the file: pages that are given back only to be asked for again soon wear
/// the disk.
const KEPT_BYTES: i64 = 16 << 20;
/// And half of the file, for the same reason.
const KEPT_PARTS: i64 = 2;
/// What one commit gives back: it takes about as long as the commit itself.
const PAGES_AT_ONCE: u32 = 64;
/// `auto_vacuum = INCREMENTAL`.
const INCREMENTAL: i64 = 2;

/// Before anything is made in a file.
pub fn prepare_new(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?)
}

/// Whether much of the file is free.
pub fn is_due(connection: &Connection) -> Result<bool, StoreError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let page = number("page_size")?;
    let free = number("freelist_count")?.saturating_mul(page);
    let size = number("page_count")?.saturating_mul(page);
    Ok(free > KEPT_BYTES && free > size / KEPT_PARTS)
}

/// Writes a file of before anew that is mostly free. It takes as long as what is in it is large.
pub fn renew(connection: &Connection) -> Result<(), StoreError> {
    let kind: i64 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if kind == INCREMENTAL || !is_due(connection)? {
        return Ok(());
    }
    prepare_new(connection)?;
    connection.execute_batch("VACUUM")?;
    Ok(())
}

/// Gives some pages back. Answers whether there are more. The file itself becomes shorter when the log is
/// next written to it.
pub fn step(connection: &Connection) -> Result<bool, StoreError> {
    if !is_due(connection)? {
        return Ok(false);
    }
    let pages =
        connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0))?;
    // A row for each page.
    let mut statement =
        connection.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    let left = connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0))?;
    // A file of before gives nothing back, and need not be asked again.
    Ok(left < pages)
}
