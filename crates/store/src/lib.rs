//! Typed records in one SQLite file: what the daemon knows, and nothing else knows.
//!
//! A record is a serde type with a kind and a key. Everything an operation changes is changed in one
//! transaction ([`Store::write`]) that is on disk before it returns; who registered with
//! [`Store::on_commit`] is then told which keys changed, and no more than that. Nothing here waits
//! for anything but the disk, so calls are made directly from asynchronous code.
//!
//! What a record says is sealed ([`seal`]) with a key that lies in another file: a copy of the store
//! tells kinds and keys of records, and nothing else. No service has to think of it.

mod error;
mod layout;
mod reserve;
mod seal;
mod transaction;
mod work;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

pub use error::StoreError;
pub use transaction::{Record, Transaction};
pub use work::Work;

use seal::Sealer;

/// Readers beside the writer. Reads are short; four keep two cores busy.
const READERS: usize = 4;
/// The store's files are its owner's alone.
const PRIVATE: u32 = 0o600;

/// One record that a transaction wrote or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    pub kind: &'static str,
    pub key: String,
}

type Listener = Box<dyn Fn(&[Change]) + Send + Sync>;

pub struct Store {
    sealer: Sealer,
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
    next_reader: std::sync::atomic::AtomicUsize,
    listener: OnceLock<Listener>,
    commits: std::sync::atomic::AtomicU64,
    counters: work::Counters,
}

impl Store {
    /// Opens or creates the file, with the key in `keys/` beside it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with_key(path, &key_beside(path))
    }

    /// Opens or creates the file, with the key in another one. A key is made for a store that has
    /// none; where the store's own is missing or another one is found, nothing is opened.
    pub fn open_with_key(path: &Path, key_file: &Path) -> Result<Self, StoreError> {
        make_private(path)?;
        let mut writer = Connection::open(path)?;
        prepare(&writer)?;
        let sealer = layout::settle(&mut writer, key_file)?;
        fill_reserve(&writer);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let readers = (0..READERS)
            .map(|_| {
                let reader = Connection::open_with_flags(path, flags)?;
                reader.busy_timeout(Duration::from_secs(5))?;
                Ok(Mutex::new(reader))
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self {
            sealer,
            writer: Mutex::new(writer),
            readers,
            next_reader: Default::default(),
            listener: OnceLock::new(),
            commits: Default::default(),
            counters: Default::default(),
        })
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
        let turn = self
            .next_reader
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let reader = lock(&self.readers[turn % self.readers.len()]);
        let transaction = reader.unchecked_transaction().map_err(StoreError::from)?;
        body(&Transaction::new(
            &transaction,
            &self.sealer,
            &self.counters,
        ))
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
            let transaction = Transaction::new(&raw, &self.sealer, &self.counters);
            let answer = body(&transaction)?;
            let changes = transaction.into_changes();
            raw.commit().map_err(StoreError::from)?;
            let commits = self
                .commits
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if commits % reserve::LOOK_EVERY == reserve::LOOK_EVERY - 1 {
                fill_reserve(&writer);
            }
            (answer, changes)
        };
        if let (Some(listener), false) = (self.listener.get(), changes.is_empty()) {
            listener(&changes);
        }
        Ok(answer)
    }
}

/// A poisoned lock means that a body panicked; its transaction was rolled back when it was dropped.
fn lock(mutex: &Mutex<Connection>) -> std::sync::MutexGuard<'_, Connection> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A store without its reserve is better than none.
fn fill_reserve(connection: &Connection) {
    if let Err(error) = reserve::fill(connection) {
        tracing::warn!(%error, "the store has no room in reserve");
    }
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What is deleted or replaced is overwritten in the file.
    connection.pragma_update(None, "secure_delete", true)?;
    // FULL: an answer that was given survives a power cut, not only a crash of the daemon.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Where the key of a store lies when nobody says where.
fn key_beside(path: &Path) -> PathBuf {
    path.with_file_name("keys").join("store.key")
}

/// SQLite gives the files beside the store (its log, its index of that) the store's own mode.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(path)
        .and_then(|it| it.set_permissions(std::fs::Permissions::from_mode(PRIVATE)));
    let failed = |source| StoreError::File {
        path: path.to_owned(),
        source,
    };
    made.map_err(failed)?;
    // Those that an earlier version left open.
    for ending in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        let private = std::fs::Permissions::from_mode(PRIVATE);
        match std::fs::set_permissions(&beside, private) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
    }
    Ok(())
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
