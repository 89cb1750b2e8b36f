//! The store as handlers use it: its errors are already the caller's.

use std::collections::BTreeSet;

use store::{Record, Store, StoreError, Transaction};
use wire::Error;

use crate::internal;

/// An open transaction. See [`crate::Cx::read`] and [`crate::Cx::write`].
pub struct Records<'a>(&'a Transaction<'a>);

/// Either the body's own answer or the store's trouble.
enum Failure {
    Answer(Error),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Answer(error) => error,
            Failure::Store(error) => failed(error),
        }
    }
}

pub(crate) fn read<T>(
    store: &Store,
    body: impl FnOnce(&Records<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    Ok(store.read(|tx| body(&Records(tx)).map_err(Failure::Answer))?)
}

/// For what only shows: see [`Store::look`].
pub(crate) fn look<T>(
    store: &Store,
    body: impl FnOnce(&Records<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    Ok(store.look(|tx| body(&Records(tx)).map_err(Failure::Answer))?)
}

pub(crate) fn write<T>(
    store: &Store,
    body: impl FnOnce(&Records<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    Ok(store.write(|tx| body(&Records(tx)).map_err(Failure::Answer))?)
}

/// One record that cannot be read is named to who asks for it: it is theirs alone, and nobody else can
/// mend it.
fn failed(error: StoreError) -> Error {
    if !error.is_of_one_record() {
        return internal(error);
    }
    let message = format!("{error}; `neargate restore` puts back a copy of the records");
    Error {
        message,
        ..internal(error)
    }
}

impl Records<'_> {
    pub fn get<R: Record>(&self, key: &str) -> Result<Option<R>, Error> {
        self.0.get(key).map_err(failed)
    }
    pub fn put<R: Record>(&self, record: &R) -> Result<(), Error> {
        self.0.put(record).map_err(failed)
    }
    /// Whether there was such a record.
    pub fn delete<R: Record>(&self, key: &str) -> Result<bool, Error> {
        self.0.delete::<R>(key).map_err(failed)
    }
    /// Every record whose key begins with `prefix`, by key.
    pub fn list<R: Record>(&self, prefix: &str) -> Result<Vec<R>, Error> {
        self.0.list(prefix).map_err(failed)
    }
    /// The same without those that cannot be read, for who works on each for itself and removes nothing
    /// that it does not find.
    pub fn readable<R: Record>(&self, prefix: &str) -> Result<Vec<R>, Error> {
        self.0.readable(prefix).map_err(failed)
    }
    /// The same with the keys of the others, for who hands the whole on and says what of it is not known.
    pub fn readable_and_others<R: Record>(
        &self,
        prefix: &str,
    ) -> Result<(Vec<R>, Vec<String>), Error> {
        let found = self.readable::<R>(prefix)?;
        if self.count::<R>(prefix)? <= found.len() {
            return Ok((found, Vec::new()));
        }
        let known: BTreeSet<String> = found.iter().map(R::key).collect();
        let mut others = self.keys::<R>(prefix)?;
        others.retain(|it| !known.contains(it));
        Ok((found, others))
    }
    /// At most `limit` records whose key begins with `prefix` and comes after `after`, by key.
    pub fn page<R: Record>(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<R>, Error> {
        self.0.page(prefix, after, limit).map_err(failed)
    }
    /// At most `limit` records whose key begins with `prefix` and comes before `before`, the last one
    /// first. Without `before`, from the end.
    pub fn page_back<R: Record>(
        &self,
        prefix: &str,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<R>, Error> {
        self.0.page_back(prefix, before, limit).map_err(failed)
    }
    pub fn keys<R: Record>(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.0.keys::<R>(prefix).map_err(failed)
    }
    /// At most `limit` keys that begin with `prefix` and come after `after`, in their order.
    pub fn page_keys<R: Record>(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        (self.0.page_keys::<R>(prefix, after, limit)).map_err(failed)
    }
    /// How many records there are, without a look at any.
    pub fn count<R: Record>(&self, prefix: &str) -> Result<usize, Error> {
        self.0.count::<R>(prefix).map_err(failed)
    }
    /// The next number of a counter, from 1, never given twice.
    pub fn next(&self, counter: &str) -> Result<i64, Error> {
        self.0.next(counter).map_err(failed)
    }
}
