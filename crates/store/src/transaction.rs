//! What can be done inside a transaction.

use std::cell::RefCell;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::seal::Sealer;
use crate::{Change, StoreError};

/// A type that is stored. Keys are paths (`<region>/<name>`), so that a prefix selects a group.
pub trait Record: Serialize + DeserializeOwned {
    /// `<service>.<what>`, unique, never changed once released.
    const KIND: &'static str;
    fn key(&self) -> String;
}

pub struct Transaction<'a> {
    connection: &'a Connection,
    sealer: &'a Sealer,
    changes: RefCell<Vec<Change>>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(connection: &'a Connection, sealer: &'a Sealer) -> Self {
        Self {
            connection,
            sealer,
            changes: RefCell::default(),
        }
    }

    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes.into_inner()
    }

    pub fn get<R: Record>(&self, key: &str) -> Result<Option<R>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT value FROM records WHERE kind = ? AND key = ?")?;
        let sealed: Option<Vec<u8>> = statement
            .query_row(params![R::KIND, key], |row| row.get(0))
            .optional()?;
        sealed.map(|it| self.decode(key, it)).transpose()
    }

    pub fn put<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        let key = record.key();
        let text = serde_json::to_vec(record).map_err(|source| StoreError::Record {
            kind: R::KIND,
            key: key.clone(),
            source,
        })?;
        let sealed = self.sealer.seal(R::KIND, &key, &text)?;
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO records (kind, key, value) VALUES (?, ?, ?)
             ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
        )?;
        statement.execute(params![R::KIND, key, sealed])?;
        self.changed(R::KIND, key);
        Ok(())
    }

    /// Whether there was such a record.
    pub fn delete<R: Record>(&self, key: &str) -> Result<bool, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("DELETE FROM records WHERE kind = ? AND key = ?")?;
        let gone = statement.execute(params![R::KIND, key])? > 0;
        if gone {
            self.changed(R::KIND, key.to_owned());
        }
        Ok(gone)
    }

    /// Every record whose key begins with `prefix`, by key.
    pub fn list<R: Record>(&self, prefix: &str) -> Result<Vec<R>, StoreError> {
        self.page(prefix, "", usize::MAX)
    }

    /// At most `limit` records whose key begins with `prefix` and comes after `after`, by key.
    pub fn page<R: Record>(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key, value FROM records WHERE kind = ? AND key >= ? AND key < ? AND key > ?
             ORDER BY key LIMIT ?",
        )?;
        // The greatest character ends the range: no key holds it.
        let end = format!("{prefix}\u{10FFFF}");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![R::KIND, prefix, end, after, limit])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (key, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            found.push(self.decode(&key, sealed)?);
        }
        Ok(found)
    }

    /// The keys alone, where the records are not wanted.
    pub fn keys<R: Record>(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key FROM records WHERE kind = ? AND key >= ? AND key < ? ORDER BY key",
        )?;
        let rows = statement.query_map(
            params![R::KIND, prefix, format!("{prefix}\u{10FFFF}")],
            |row| row.get(0),
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The next number of a counter, from 1, never given twice.
    pub fn next(&self, counter: &str) -> Result<i64, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO counters (name, value) VALUES (?, 1)
             ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        )?;
        Ok(statement.query_row(params![counter], |row| row.get(0))?)
    }

    fn changed(&self, kind: &'static str, key: String) {
        let change = Change { kind, key };
        let mut changes = self.changes.borrow_mut();
        if !changes.contains(&change) {
            changes.push(change);
        }
    }

    fn decode<R: Record>(&self, key: &str, sealed: Vec<u8>) -> Result<R, StoreError> {
        let opened = self.sealer.open(R::KIND, key, sealed);
        let text = opened.map_err(|_| StoreError::Sealed {
            kind: R::KIND,
            key: key.to_owned(),
        })?;
        serde_json::from_slice(&text).map_err(|source| StoreError::Record {
            kind: R::KIND,
            key: key.to_owned(),
            source,
        })
    }
}
