//! The layout of the file and the key that goes with it: made, checked, and brought up from older ones
//! before anything else is done with the store.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use crate::check::{Place, Unfit};
use crate::seal::{self, Sealer};
use crate::{StoreError, mark, schema};

/// A newer file is refused, an older one is migrated when it is opened. Since version 2 what records
/// say is sealed.
const VERSION: i64 = 2;
const SEALED_SINCE: i64 = 2;
/// Of a file in which nothing has been made.
const EMPTY: i64 = 0;

/// Brings the file to this layout and answers what opens its records. The file was looked at:
/// [`may_be_used`].
///
/// The key of a store that has none is made under a provisional name, and gets its own when the store is
/// sealed with it: a key of that name says that the records of this installation *are* sealed, and that a
/// store which is not is somebody else's. Whoever ends in between leaves a provisional key, and the next
/// start goes on with it.
pub fn settle(connection: &mut Connection, key_file: &Path) -> Result<Sealer, StoreError> {
    let sealer = match known_version(connection)? {
        VERSION => its_own(connection, key_file)?,
        found => {
            let sealer = match Sealer::read(key_file)? {
                // Of a store that there was, or made by the owner for this one.
                Some(sealer) if found == EMPTY => sealer,
                _ => Sealer::provisional(key_file)?,
            };
            match found {
                EMPTY => create(connection, &sealer)?,
                _ => seal_all(connection, &sealer)?,
            }
            sealer
        }
    };
    seal::establish(key_file, &sealer)?;
    scrub(connection)?;
    Ok(sealer)
}

/// The layout of the file, which this version knows.
fn known_version(connection: &Connection) -> Result<i64, StoreError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        EMPTY..=VERSION => Ok(found),
        _ => Err(StoreError::Newer {
            found,
            known: VERSION,
        }),
    }
}

/// Whether the file has what its layout has, and nothing else; and whether it is sealed where the
/// records of this installation are. The file itself is not believed about that: whoever can write to it,
/// or have it put back, could give it records of any content in the layout of before.
pub fn may_be_used(connection: &Connection, place: Place<'_>) -> Result<(), StoreError> {
    // A file that is cut or overwritten says so here first.
    let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    place.judge(version)?;
    let version = known_version(connection)?;
    if let Some(what) = place.judge(schema::difference(connection, version))? {
        return Err(place.damaged(what));
    }
    match version {
        EMPTY => return Ok(()),
        SEALED_SINCE.. => {
            let rows = connection.query_row("SELECT count(*) FROM seal", [], |row| row.get(0));
            return match place.judge::<i64>(rows)? {
                1 => Ok(()),
                _ => Err(place.damaged("it does not say with which key it is sealed")),
            };
        }
        _ => (),
    }
    let mark = mark::place(place.store);
    let tells = [place.key_file.to_owned(), mark];
    let told = tells.into_iter().find(|it| it.symlink_metadata().is_ok());
    match told {
        Some(by) => Err(Unfit::Unsealed {
            path: place.path.to_owned(),
            by,
            advice: place.advice_on_unsealed(),
        }
        .into()),
        None => Ok(()),
    }
}

/// Whether nothing was ever made in the file.
pub fn is_empty(connection: &Connection) -> Result<bool, StoreError> {
    Ok(known_version(connection)? == EMPTY)
}

/// Whether what the records say is sealed already, in the layout that this file has.
pub fn is_sealed(connection: &Connection) -> Result<bool, StoreError> {
    Ok(known_version(connection)? >= SEALED_SINCE)
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
    let id = connection.query_row("SELECT key FROM seal", [], |row| row.get(0));
    let id: String = id.optional()?.unwrap_or_default();
    let path = key_file.to_owned();
    let found = match Sealer::read(key_file)? {
        Some(sealer) => Some(sealer),
        // The start that sealed the store was cut short.
        None => Sealer::read(&seal::provisional(key_file))?.filter(|it| it.id() == id),
    };
    match found {
        Some(sealer) if sealer.id() == id => Ok(sealer),
        Some(other) => Err(StoreError::WrongKey {
            id,
            found: other.id(),
            path,
        }),
        None => Err(StoreError::KeyMissing { id, path }),
    }
}

fn create(connection: &mut Connection, sealer: &Sealer) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    for table in [schema::RECORDS, schema::SEAL, schema::COUNTERS] {
        transaction.execute_batch(table)?;
    }
    transaction.execute("INSERT INTO seal VALUES (?, 1)", params![sealer.id()])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

/// Seals every record of a store of version 1, all or none.
fn seal_all(connection: &mut Connection, sealer: &Sealer) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch("ALTER TABLE records RENAME TO open_records;")?;
    transaction.execute_batch(schema::RECORDS)?;
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
    transaction.execute_batch(schema::SEAL)?;
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
