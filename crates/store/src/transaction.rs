//! What can be done inside a transaction.

use std::cell::RefCell;
use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::unreadable::Scan;
use crate::work::Counters;
use crate::{Change, Reading, StoreError};

/// A type that is stored. Keys are paths (`<region>/<name>`), so that a prefix selects a group.
pub trait Record: Serialize + DeserializeOwned {
    /// `<service>.<what>`, unique, never changed once released.
    const KIND: &'static str;
    fn key(&self) -> String;
}

pub struct Transaction<'a> {
    connection: &'a Connection,
    reading: Reading<'a>,
    counters: &'a Counters,
    changes: RefCell<Changes>,
}

/// How far records are read, and what becomes of those that cannot be.
struct Range {
    scan: Scan,
    from_the_beginning: bool,
    limit: usize,
}

/// What a transaction changed, each thing once, in the order of its first change.
#[derive(Default)]
struct Changes {
    ordered: Vec<Change>,
    seen: HashSet<Change>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        reading: Reading<'a>,
        counters: &'a Counters,
    ) -> Self {
        Self {
            connection,
            reading,
            counters,
            changes: RefCell::default(),
        }
    }

    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes.into_inner().ordered
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
        let sealed = self.reading.sealer.seal(R::KIND, &key, &text)?;
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO records (kind, key, value) VALUES (?, ?, ?)
             ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
        )?;
        statement.execute(params![R::KIND, key, sealed])?;
        self.counters.wrote();
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
            self.counters.wrote();
            self.changed(R::KIND, key.to_owned());
        }
        Ok(gone)
    }

    /// Every record whose key begins with `prefix`, by key.
    pub fn list<R: Record>(&self, prefix: &str) -> Result<Vec<R>, StoreError> {
        self.page(prefix, "", usize::MAX)
    }

    /// The same without those that cannot be read, for who works on each for itself and removes nothing
    /// that it does not find: see [`crate::unreadable`].
    pub fn readable<R: Record>(&self, prefix: &str) -> Result<Vec<R>, StoreError> {
        let all = Range {
            scan: Scan::Readable,
            from_the_beginning: true,
            limit: usize::MAX,
        };
        self.page_of(prefix, "", all)
    }

    /// At most `limit` records whose key begins with `prefix` and comes after `after`, by key.
    pub fn page<R: Record>(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let wanted = Range {
            scan: self.reading.scan,
            from_the_beginning: after.is_empty(),
            limit,
        };
        self.page_of(prefix, after, wanted)
    }

    fn page_of<R: Record>(
        &self,
        prefix: &str,
        after: &str,
        wanted: Range,
    ) -> Result<Vec<R>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key, value FROM records WHERE kind = ? AND key >= ? AND key < ?
             ORDER BY key",
        )?;
        let (begin, end) = (begin_of(prefix, after), end_of(prefix));
        let rows = statement.query(params![R::KIND, begin, end])?;
        self.decode_all(rows, wanted)
    }

    /// At most `limit` records whose key begins with `prefix` and comes before `before`, the last one
    /// first. Without `before`, from the end.
    pub fn page_back<R: Record>(
        &self,
        prefix: &str,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key, value FROM records WHERE kind = ? AND key >= ? AND key < ?
             ORDER BY key DESC",
        )?;
        let wanted = Range {
            scan: self.reading.scan,
            from_the_beginning: before.is_none(),
            limit,
        };
        let end = end_of(prefix);
        let end = before.filter(|it| **it < *end).unwrap_or(&end);
        let rows = statement.query(params![R::KIND, prefix, end])?;
        self.decode_all(rows, wanted)
    }

    /// The keys alone, where the records are not wanted.
    pub fn keys<R: Record>(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.page_keys::<R>(prefix, "", usize::MAX)
    }

    /// At most `limit` keys that begin with `prefix` and come after `after`, in their order.
    pub fn page_keys<R: Record>(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key FROM records WHERE kind = ? AND key >= ? AND key < ?
             ORDER BY key LIMIT ?",
        )?;
        let (begin, end) = (begin_of(prefix, after), end_of(prefix));
        let range = params![R::KIND, begin, end, at_most(limit)];
        let rows = statement.query_map(range, |row| row.get(0))?;
        let keys: Vec<String> = rows.collect::<Result<_, _>>()?;
        self.counters.listed(keys.len());
        Ok(keys)
    }

    /// How many records there are, without a look at any.
    pub fn count<R: Record>(&self, prefix: &str) -> Result<usize, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT count(*) FROM records WHERE kind = ? AND key >= ? AND key < ?",
        )?;
        let range = params![R::KIND, prefix, end_of(prefix)];
        let count: i64 = statement.query_row(range, |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
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
        if changes.seen.insert(change.clone()) {
            changes.ordered.push(change);
        }
    }

    /// Reads until as many are found as are wanted: what cannot be read does not count.
    fn decode_all<R: Record>(
        &self,
        mut rows: rusqlite::Rows<'_>,
        wanted: Range,
    ) -> Result<Vec<R>, StoreError> {
        let (mut found, mut unreadable) = (Vec::new(), None);
        while found.len() < wanted.limit
            && let Some(row) = rows.next()?
        {
            let (key, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            match self.decode(&key, sealed) {
                Ok(record) => found.push(record),
                Err(error) if wanted.scan != Scan::Whole && error.is_of_one_record() => {
                    self.reading.told.of(&error);
                    unreadable.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match unreadable {
            // Nothing at all, and not only nothing more.
            Some(error)
                if found.is_empty() && wanted.scan == Scan::Others && wanted.from_the_beginning =>
            {
                Err(error)
            }
            _ => Ok(found),
        }
    }

    fn decode<R: Record>(&self, key: &str, sealed: Vec<u8>) -> Result<R, StoreError> {
        self.counters.read();
        let opened = self.reading.sealer.open(R::KIND, key, sealed);
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

/// Where the keys that begin with `prefix` and come after `after` begin. One bound and not two: SQLite
/// seeks to one of them, and might look through every key from the other on.
fn begin_of(prefix: &str, after: &str) -> String {
    match after < prefix {
        true => prefix.to_owned(),
        // The first text after another one is that with the least character at its end.
        false => format!("{after}\0"),
    }
}

/// Where the keys that begin with `prefix` end: no key holds the greatest character.
fn end_of(prefix: &str) -> String {
    format!("{prefix}\u{10FFFF}")
}

fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
