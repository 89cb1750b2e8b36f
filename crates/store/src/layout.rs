//! The layout of the file and the key that goes with it: made, checked, and brought up from older ones
//! before anything else is done with the store.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::StoreError;
use crate::seal::Sealer;

/// A newer file is refused, an older one is migrated when it is opened. Since version 2 what records
/// say is sealed.
const VERSION: i64 = 2;
const SEALED_SINCE: i64 = 2;

/// Brings the file to this layout and answers what opens its records.
pub fn settle(connection: &mut Connection, key_file: &Path) -> Result<Sealer, StoreError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION {
        return Err(StoreError::Newer {
            found,
            known: VERSION,
        });
    }
    let sealer = match found {
        VERSION => its_own(connection, key_file)?,
        _ => match Sealer::read(key_file)? {
            Some(sealer) => sealer,
            None => Sealer::make(key_file)?,
        },
    };
    match found {
        VERSION => (),
        0 => create(connection, &sealer)?,
        _ => seal_all(connection, &sealer)?,
    }
    scrub(connection)?;
    Ok(sealer)
}

/// Whether what the records say is sealed already, in the layout that this file has.
pub fn is_sealed(connection: &Connection) -> Result<bool, StoreError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(found >= SEALED_SINCE)
}

/// What opens the records of a store that is not brought to this layout; None where they are not sealed.
pub fn sealer_of(connection: &Connection, key_file: &Path) -> Result<Option<Sealer>, StoreError> {
    match is_sealed(connection)? {
        true => its_own(connection, key_file).map(Some),
        false => Ok(None),
    }
}

/// The key that the store was sealed with, and no other.
fn its_own(connection: &Connection, key_file: &Path) -> Result<Sealer, StoreError> {
    let id: String = connection.query_row("SELECT key FROM seal", [], |row| row.get(0))?;
    let path = key_file.to_owned();
    match Sealer::read(key_file)? {
        Some(sealer) if sealer.id() == id => Ok(sealer),
        Some(other) => Err(StoreError::WrongKey {
            id,
            found: other.id(),
            path,
        }),
        None => Err(StoreError::KeyMissing { id, path }),
    }
}

const RECORDS: &str =
    "CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
         PRIMARY KEY (kind, key)) WITHOUT ROWID;";
/// One row: which key seals the store, and whether what was there before has been wiped out.
const SEAL: &str = "CREATE TABLE seal (key TEXT NOT NULL, scrubbed INTEGER NOT NULL);";

fn create(connection: &mut Connection, sealer: &Sealer) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(RECORDS)?;
    transaction.execute_batch(SEAL)?;
    transaction.execute_batch(
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;",
    )?;
    transaction.execute("INSERT INTO seal VALUES (?, 1)", params![sealer.id()])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

/// Seals every record of a store of version 1, all or none.
fn seal_all(connection: &mut Connection, sealer: &Sealer) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch("ALTER TABLE records RENAME TO open_records;")?;
    transaction.execute_batch(RECORDS)?;
    {
        let mut all = transaction.prepare("SELECT kind, key, value FROM open_records")?;
        let mut put = transaction.prepare("INSERT INTO records VALUES (?, ?, ?)")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, key): (String, String) = (row.get(0)?, row.get(1)?);
            let value: String = row.get(2)?;
            let sealed = sealer.seal(&kind, &key, value.as_bytes())?;
            put.execute(params![kind, key, sealed])?;
        }
    }
    transaction.execute_batch("DROP TABLE open_records;")?;
    transaction.execute_batch(SEAL)?;
    transaction.execute("INSERT INTO seal VALUES (?, 0)", params![sealer.id()])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    tracing::info!("the records of this store are sealed from now on");
    Ok(())
}

/// Wipes out what older layouts left in free pages and in the log. Repeated when it was cut short.
fn scrub(connection: &Connection) -> Result<(), StoreError> {
    let done: bool = connection.query_row("SELECT scrubbed FROM seal", [], |row| row.get(0))?;
    if done {
        return Ok(());
    }
    connection.execute_batch("VACUUM")?;
    let busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        // Somebody reads the file from outside; the next start tries again.
        tracing::warn!("the store's log cannot be wiped now: another program has the file open");
        return Ok(());
    }
    connection.execute("UPDATE seal SET scrubbed = 1", [])?;
    Ok(())
}
