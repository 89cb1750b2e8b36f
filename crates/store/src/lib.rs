//! Typed records in one SQLite file: what the daemon knows, and nothing else knows.
//!
//! A record is a serde type with a kind and a key. Everything an operation changes is changed in one
//! transaction ([`Store::write`]) that is on disk before it returns; who registered with
//! [`Store::on_commit`] is then told which keys changed, and no more than that. Nothing here waits
//! for anything but the disk, so calls are made directly from asynchronous code.
//!
//! What a record says is sealed ([`seal`]) with a key that lies in another file: a copy of the store
//! tells kinds and keys of records, and nothing else. No service has to think of it.
//!
//! What may become of a file on a disk is met before anything is changed: a store that was lost, damaged
//! or taken from elsewhere is refused with what to do ([`check`], [`mark`]); there are copies to go back
//! to ([`copies`], [`restore`]); and one record that cannot be read stops its own thing alone
//! ([`unreadable`]).

mod check;
mod connect;
mod copies;
mod error;
mod layout;
mod mark;
mod reserve;
mod restore;
mod schema;
mod seal;
mod shrink;
mod transaction;
mod unreadable;
mod work;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use rusqlite::Connection;

pub use check::Unfit;
pub use copies::{
    COPY_EVERY, Room, StoreCopy, all as copies, directory as place_of_copies, newest as newest_copy,
};
pub use error::StoreError;
pub use mark::is_there as is_marked;
pub use restore::{Restored, restore};
pub use transaction::{Record, Transaction};
pub use work::Work;

use check::{Found, Place};
use mark::{Mark, Print};
use seal::Sealer;
use unreadable::{Scan, Told};

/// What the log keeps of the disk when it is begun anew: twice of what the reserve takes in it.
const LOG_BYTES_KEPT: i64 = 8 << 20;
/// Readers beside the writer. Reads are short; four keep two cores busy.
const READERS: usize = 4;

/// One record that a transaction wrote or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    pub kind: &'static str,
    pub key: String,
}

type Listener = Box<dyn Fn(&[Change]) + Send + Sync>;

pub struct Store {
    path: PathBuf,
    /// The installation that it belongs to.
    id: String,
    sealer: Sealer,
    told: Told,
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
    next_reader: std::sync::atomic::AtomicUsize,
    listener: OnceLock<Listener>,
    commits: std::sync::atomic::AtomicU64,
    /// Whether commits give free pages back: there is much that is free.
    shrinks: std::sync::atomic::AtomicBool,
    counters: work::Counters,
    /// Asked before a copy is made; none are made by themselves where there is nobody to ask.
    room: Option<Room>,
    copying: Mutex<()>,
}

impl Store {
    /// Opens or creates the file, with the key in `keys/` beside it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with_key(path, &key_beside(path))
    }

    /// Opens or creates the file, with the key in another one. A key is made for a store that has
    /// none; where the store's own is missing or another one is found, nothing is opened. Nor is a store
    /// that was lost or damaged ([`check`]).
    pub fn open_with_key(path: &Path, key_file: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, key_file, None)
    }

    /// The same, with copies beside the store ([`copies`]): one is made before anything is changed, when
    /// there is room for it.
    pub fn open_copied(path: &Path, key_file: &Path, room: Room) -> Result<Self, StoreError> {
        Self::open_with(path, key_file, Some(room))
    }

    fn open_with(path: &Path, key_file: &Path, room: Option<Room>) -> Result<Self, StoreError> {
        let place = Place {
            path,
            store: path,
            key_file,
        };
        let known = mark::read(path)?;
        let found = check::before_opening(place, known.as_ref())?;
        connect::make_private(path)?;
        let mut writer = connect::writer(path)?;
        if found != Found::Nothing {
            check::whole(&mut writer, place, known.as_ref(), found)?;
            if room.is_some() && layout::is_sealed(&writer)? && copies::is_due(path) {
                told_of(copies::make(path, room.as_ref()));
            }
        }
        if found == Found::Nothing {
            shrink::prepare_new(&writer)?;
        }
        prepare(&writer)?;
        connect::remove_index(path)?;
        let sealer = layout::settle(&mut writer, key_file)?;
        if found == Found::Left {
            check::records(&writer, place, &sealer)?;
        }
        let id = mark::settle(&writer, path, known.as_ref())?;
        told_of_shrinking(shrink::renew(&writer));
        fill_reserve(&writer, path);
        let shrinks = told_of_shrinking(shrink::is_due(&writer));
        let readers = (0..READERS).map(|_| connect::reader(path).map(Mutex::new));
        let readers = readers.collect::<Result<_, StoreError>>()?;
        Ok(Self {
            path: path.to_owned(),
            id,
            sealer,
            told: Told::default(),
            writer: Mutex::new(writer),
            readers,
            next_reader: Default::default(),
            listener: OnceLock::new(),
            commits: Default::default(),
            shrinks: shrinks.into(),
            counters: Default::default(),
            room,
            copying: Mutex::default(),
        })
    }

    /// Makes a copy when something changed since the last one, and says where. It takes as long as the
    /// store is large; others read and write meanwhile.
    pub fn copy(&self) -> Result<Option<PathBuf>, StoreError> {
        let _one = (self.copying.lock()).unwrap_or_else(std::sync::PoisonError::into_inner);
        match copies::is_due(&self.path) {
            true => copies::make(&self.path, self.room.as_ref()).map(Some),
            false => Ok(None),
        }
    }

    /// Leaves the file whole and marks it so, for the next start to take it as it is. Whoever writes
    /// afterwards may: then it is looked at again.
    pub fn end(&self) {
        let writer = lock(&self.writer);
        let emptied = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        let marked = match emptied {
            Ok(false) => Print::of(&self.path).and_then(|ended| {
                let id = self.id.clone();
                mark::write(&self.path, &Mark { id, ended })
            }),
            // Somebody reads, or the disk is full: the next start looks at all of it.
            _ => return,
        };
        if let Err(error) = marked {
            tracing::warn!(%error, "the next start checks the whole store: its mark cannot be written");
        }
    }

    /// Whoever wants to know which keys changed, after each commit. There is one listener.
    pub fn on_commit(&self, listener: impl Fn(&[Change]) + Send + Sync + 'static) {
        let fresh = self.listener.set(Box::new(listener)).is_ok();
        assert!(fresh, "a store has one listener, set at start-up");
    }

    /// What has been done since the store was opened.
    pub fn work(&self) -> Work {
        self.counters.work()
    }

    /// Runs `body` over a consistent state. Writing in it is an error.
    pub fn read<T, E: From<StoreError>>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run(Scan::Whole, body)
    }

    /// As [`Self::read`], for what is shown and decides nothing: scans go on without records that cannot
    /// be read ([`unreadable`]).
    pub fn look<T, E: From<StoreError>>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run(Scan::Others, body)
    }

    fn run<T, E: From<StoreError>>(
        &self,
        scan: Scan,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let turn = self
            .next_reader
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let reader = lock(&self.readers[turn % self.readers.len()]);
        let transaction = reader.unchecked_transaction().map_err(StoreError::from)?;
        let reading = self.reading(scan);
        body(&Transaction::new(&transaction, reading, &self.counters))
    }

    /// Runs `body` and commits what it wrote, or nothing when it answers an error. Durable when this
    /// returns.
    pub fn write<T, E: From<StoreError>>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (answer, changes) = {
            let writer = lock(&self.writer);
            let raw = rusqlite::Transaction::new_unchecked(
                &writer,
                rusqlite::TransactionBehavior::Immediate,
            )
            .map_err(StoreError::from)?;
            let reading = self.reading(Scan::Whole);
            let transaction = Transaction::new(&raw, reading, &self.counters);
            let answer = body(&transaction)?;
            let changes = transaction.into_changes();
            raw.commit().map_err(StoreError::from)?;
            let commits = self
                .commits
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.look_after(&writer, commits);
            (answer, changes)
        };
        if let (Some(listener), false) = (self.listener.get(), changes.is_empty()) {
            listener(&changes);
        }
        Ok(answer)
    }

    /// Keeps the file as large as it should be, now and then.
    fn look_after(&self, writer: &Connection, commits: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        if commits % reserve::LOOK_EVERY == reserve::LOOK_EVERY - 1 {
            fill_reserve(writer, &self.path);
            (self.shrinks).store(told_of_shrinking(shrink::is_due(writer)), Relaxed);
        }
        if self.shrinks.load(Relaxed) {
            (self.shrinks).store(told_of_shrinking(shrink::step(writer)), Relaxed);
        }
    }

    fn reading(&self, scan: Scan) -> Reading<'_> {
        Reading {
            sealer: &self.sealer,
            told: &self.told,
            scan,
        }
    }
}

/// How the records of a transaction are read.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    sealer: &'a Sealer,
    told: &'a Told,
    scan: Scan,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.end();
    }
}

/// A poisoned lock means that a body panicked; its transaction was rolled back when it was dropped.
fn lock(mutex: &Mutex<Connection>) -> std::sync::MutexGuard<'_, Connection> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A store without a copy is better than none.
fn told_of(copied: Result<PathBuf, StoreError>) {
    if let Err(error) = copied {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, cause, "the records are not copied");
    }
}

/// A store without its reserve is better than none.
fn fill_reserve(connection: &Connection, path: &Path) {
    if let Err(error) = reserve::fill(connection, path) {
        tracing::warn!(%error, "the store has no room in reserve");
    }
}

/// A store that is larger than it need be is better than none.
fn told_of_shrinking<T: Default>(done: Result<T, StoreError>) -> T {
    done.unwrap_or_else(|error| {
        tracing::warn!(%error, "the store does not give back what is free in it");
        T::default()
    })
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connect::keep_little(connection)?;
    // One large transaction leaves no large log behind.
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    // What is deleted or replaced is overwritten in the file.
    connection.pragma_update(None, "secure_delete", true)?;
    // FULL: an answer that was given survives a power cut, not only a crash of the daemon.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Where the key of a store lies when nobody says where.
pub fn key_beside(path: &Path) -> PathBuf {
    path.with_file_name("keys").join("store.key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::sync::Arc;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Cluster {
        name: String,
        size: u32,
    }
    impl Record for Cluster {
        const KIND: &'static str = "test.cluster";
        fn key(&self) -> String {
            format!("eu/{}", self.name)
        }
    }

    fn open() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store.db")).unwrap();
        (dir, store)
    }

    fn cluster(name: &str) -> Cluster {
        Cluster {
            name: name.into(),
            size: 1,
        }
    }

    #[test]
    fn what_was_written_is_read_after_opening_again() {
        let (dir, store) = open();
        store.write(|tx| tx.put(&cluster("a"))).unwrap();
        drop(store);
        let store = Store::open(&dir.path().join("store.db")).unwrap();
        assert_eq!(
            store.read(|tx| tx.get::<Cluster>("eu/a")).unwrap(),
            Some(cluster("a"))
        );
    }

    #[test]
    fn an_error_undoes_everything_and_tells_nobody() {
        let (_dir, store) = open();
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        store.on_commit(move |changes| sink.lock().unwrap().extend_from_slice(changes));
        let outcome: Result<(), StoreError> = store.write(|tx| {
            tx.put(&cluster("a"))?;
            Err(StoreError::Newer { found: 0, known: 0 })
        });
        assert!(outcome.is_err());
        assert_eq!(store.read(|tx| tx.get::<Cluster>("eu/a")).unwrap(), None);
        assert!(told.lock().unwrap().is_empty());
        store.write(|tx| tx.put(&cluster("b"))).unwrap();
        assert_eq!(
            told.lock().unwrap().as_slice(),
            [Change {
                kind: "test.cluster",
                key: "eu/b".into()
            }]
        );
    }

    #[test]
    fn a_prefix_selects_its_keys_and_no_neighbours() {
        let (_dir, store) = open();
        for name in ["a", "ab", "b"] {
            store.write(|tx| tx.put(&cluster(name))).unwrap();
        }
        let names = |prefix: &str| -> Vec<String> {
            let found: Vec<Cluster> = store.read(|tx| tx.list(prefix)).unwrap();
            found.into_iter().map(|it| it.name).collect()
        };
        assert_eq!(names("eu/"), ["a", "ab", "b"]);
        assert_eq!(names("eu/a"), ["a", "ab"]);
        assert_eq!(names("us/"), [""; 0]);
    }

    #[test]
    fn writing_in_a_read_is_refused() {
        let (_dir, store) = open();
        assert!(store.read(|tx| tx.put(&cluster("a"))).is_err());
    }

    #[test]
    fn counters_never_give_a_number_twice() {
        let (_dir, store) = open();
        let next = || store.write(|tx| tx.next("revision")).unwrap();
        assert_eq!([next(), next(), next()], [1, 2, 3]);
    }
}
