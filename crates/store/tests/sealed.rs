//! What somebody finds who has the store's files and not its key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use store::{Record, Store, StoreError};

const HUSH: &str = "correct-horse-battery-staple";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Password {
    name: String,
    value: String,
}

impl Record for Password {
    const KIND: &'static str = "test.password";
    fn key(&self) -> String {
        format!("eu/{}", self.name)
    }
}

fn password(name: &str, value: &str) -> Password {
    Password {
        name: name.into(),
        value: value.into(),
    }
}

struct World {
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }
    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("store.db")
    }
    fn key(&self) -> std::path::PathBuf {
        self.directory.path().join("keys/store.key")
    }
    fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.file())
    }
    fn value(&self, name: &str) -> Option<String> {
        let found = self.open().unwrap();
        let found: Option<Password> = found
            .read(|tx| tx.get::<Password>(&format!("eu/{name}")))
            .unwrap();
        found.map(|it| it.value)
    }
    /// Whether any of the store's files holds the text, with or without a daemon that runs.
    fn tells(&self, text: &str) -> bool {
        let files = fs::read_dir(self.directory.path()).unwrap().flatten();
        let files: Vec<_> = files
            .map(|it| it.path())
            .filter(|it| it.is_file())
            .collect();
        assert!(files.contains(&self.file()));
        files.iter().any(|it| holds(it, text))
    }
}

fn holds(file: &Path, text: &str) -> bool {
    let bytes = fs::read(file).unwrap();
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
}

#[test]
fn the_files_of_a_store_do_not_tell_what_its_records_say() {
    let world = World::new();
    let store = world.open().unwrap();
    for name in ["a", "b"] {
        store.write(|tx| tx.put(&password(name, HUSH))).unwrap();
    }
    store.write(|tx| tx.delete::<Password>("eu/b")).unwrap();
    assert!(
        world.tells("test.password"),
        "the search finds what is there"
    );
    assert!(!world.tells(HUSH));
    drop(store);
    assert!(!world.tells(HUSH));
    assert_eq!(world.value("a").as_deref(), Some(HUSH));
    assert_eq!(world.value("b"), None);
}

#[test]
fn the_files_are_their_owner_s_alone() {
    let world = World::new();
    fs::write(world.file(), b"").unwrap();
    fs::set_permissions(world.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let store = world.open().unwrap();
    store.write(|tx| tx.put(&password("a", HUSH))).unwrap();
    for name in ["store.db", "store.db-wal", "store.mark", "keys/store.key"] {
        let file = world.directory.path().join(name);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_store_whose_key_is_missing_or_another_is_refused_by_its_name() {
    let world = World::new();
    let store = world.open().unwrap();
    store.write(|tx| tx.put(&password("a", HUSH))).unwrap();
    drop(store);
    let kept = world.directory.path().join("kept.key");
    fs::rename(world.key(), &kept).unwrap();
    let missing = world.open().err().expect("the key is missing");
    assert!(
        matches!(&missing, StoreError::KeyMissing { path, .. } if *path == world.key()),
        "{missing}"
    );
    assert!(!world.key().exists(), "no other key is made in its place");
    fs::write(world.key(), "ab".repeat(32)).unwrap();
    let wrong = world.open().err().expect("the key is another");
    assert!(matches!(wrong, StoreError::WrongKey { .. }), "{wrong}");
    let store = Store::open_with_key(&world.file(), &kept).unwrap();
    assert!(
        store
            .read(|tx| tx.get::<Password>("eu/a"))
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_record_that_was_moved_or_changed_in_the_file_is_refused_by_its_name() {
    let world = World::new();
    let store = world.open().unwrap();
    for (name, value) in [("low", "harmless"), ("high", HUSH)] {
        store.write(|tx| tx.put(&password(name, value))).unwrap();
    }
    drop(store);
    let raw = Connection::open(world.file()).unwrap();
    raw.execute(
        "UPDATE records SET value = (SELECT value FROM records WHERE key = 'eu/high')
         WHERE key = 'eu/low'",
        [],
    )
    .unwrap();
    drop(raw);
    let store = world.open().unwrap();
    let moved = store.read(|tx| tx.get::<Password>("eu/low"));
    let Err(StoreError::Sealed { kind, key }) = moved else {
        panic!("{moved:?}");
    };
    assert_eq!((kind, key.as_str()), ("test.password", "eu/low"));
    let listed = store.read(|tx| tx.list::<Password>("eu/"));
    assert!(matches!(listed, Err(StoreError::Sealed { .. })));
    let own = store.read(|tx| tx.get::<Password>("eu/high")).unwrap();
    assert_eq!(own.unwrap().value, HUSH);
}

/// As version 1 left it: open text, also in free pages and in the log.
fn older_store(world: &World) {
    let raw = Connection::open(world.file()).unwrap();
    raw.pragma_update(None, "journal_mode", "WAL").unwrap();
    raw.execute_batch(
        "CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
             PRIMARY KEY (kind, key)) WITHOUT ROWID;
         CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
         INSERT INTO counters VALUES ('revision', 41);
         PRAGMA user_version = 1;",
    )
    .unwrap();
    for number in 0..300 {
        let record = password(&format!("{number:03}"), &format!("{HUSH}-{number}"));
        raw.execute(
            "INSERT INTO records VALUES (?, ?, ?)",
            params![
                Password::KIND,
                record.key(),
                serde_json::to_string(&record).unwrap()
            ],
        )
        .unwrap();
    }
    raw.execute("DELETE FROM records WHERE key >= 'eu/200'", [])
        .unwrap();
}

#[test]
fn a_store_of_the_version_before_is_sealed_whole_when_it_is_opened() {
    let world = World::new();
    older_store(&world);
    assert!(world.tells(HUSH), "the search finds what is there");
    let store = world.open().unwrap();
    assert!(!world.tells(HUSH));
    let all: Vec<Password> = store.read(|tx| tx.list("eu/")).unwrap();
    assert_eq!(all.len(), 200);
    assert_eq!(all[7].value, format!("{HUSH}-7"));
    assert_eq!(store.write(|tx| tx.next("revision")).unwrap(), 42);
    drop(store);
    assert!(!world.tells(HUSH));
    assert_eq!(world.value("007"), Some(format!("{HUSH}-7")));
}

#[test]
fn wiping_out_what_was_open_is_repeated_when_it_was_cut_short() {
    let world = World::new();
    older_store(&world);
    drop(world.open().unwrap());
    let raw = Connection::open(world.file()).unwrap();
    // As if the first start had ended between sealing and wiping.
    raw.pragma_update(None, "secure_delete", false).unwrap();
    raw.execute_batch(&format!(
        "CREATE TABLE left_over (text); INSERT INTO left_over VALUES ('{HUSH}');
         DROP TABLE left_over; UPDATE seal SET scrubbed = 0;"
    ))
    .unwrap();
    drop(raw);
    assert!(world.tells(HUSH));
    let store = world.open().unwrap();
    assert!(!world.tells(HUSH));
    drop(store);
}
