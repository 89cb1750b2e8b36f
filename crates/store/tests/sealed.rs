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
    /// The same files elsewhere.
    fn as_left(&self) -> Self {
        let other = Self::new();
        fs::create_dir_all(other.key().parent().unwrap()).unwrap();
        for directory in ["", "keys"] {
            let from = self.directory.path().join(directory);
            for entry in fs::read_dir(from).into_iter().flatten() {
                let file = entry.unwrap().path();
                if file.is_file() {
                    let name = file.strip_prefix(self.directory.path()).unwrap();
                    fs::copy(&file, other.directory.path().join(name)).unwrap();
                }
            }
        }
        other
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

/// A store of before, and one that was forged, have the same form.
#[test]
fn a_store_that_is_not_sealed_is_refused_where_records_were_sealed() {
    let forged = World::new();
    older_store(&forged);
    let forged = forged.file();
    let world = World::new();
    let store = world.open().unwrap();
    store.write(|tx| tx.put(&password("a", HUSH))).unwrap();
    drop(store);
    for (lost, tells) in [("", "store.key"), ("keys/store.key", "store.mark")] {
        let world = world.as_left();
        if !lost.is_empty() {
            fs::remove_file(world.directory.path().join(lost)).unwrap();
        }
        let before = fs::read(world.file()).unwrap();
        let restored = store::restore(&world.file(), &world.key(), &forged).unwrap_err();
        assert_is_unsealed(&restored, &forged, tells);
        assert_eq!(fs::read(world.file()).unwrap(), before);
        // In the place of the store, as somebody wrote it.
        fs::copy(&forged, world.file()).unwrap();
        let opened = world.open().err().expect("it is refused");
        assert_is_unsealed(&opened, &world.file(), tells);
        assert!(holds(&world.file(), HUSH), "nothing of it was changed");
    }
}

fn assert_is_unsealed(error: &StoreError, file: &Path, by: &str) {
    let said = error.to_string();
    assert!(
        said.contains(&format!("in `{}` are not sealed", file.display())),
        "{said}"
    );
    assert!(said.contains(&format!("{by}` tells")), "{said}");
}

#[test]
fn a_value_that_is_not_sealed_is_not_read_in_a_store_that_is() {
    let world = World::new();
    drop(world.open().unwrap());
    let open = serde_json::to_string(&password("a", HUSH)).unwrap();
    let raw = Connection::open(world.file()).unwrap();
    for value in [&open as &dyn rusqlite::ToSql, &open.as_bytes()] {
        raw.execute(
            "INSERT OR REPLACE INTO records VALUES ('test.password', 'eu/a', ?)",
            [value],
        )
        .unwrap();
        let store = world.as_left().open().unwrap();
        let read = store.read(|tx| tx.get::<Password>("eu/a"));
        assert!(read.is_err(), "{read:?}");
    }
    raw.execute_batch("DELETE FROM records; DELETE FROM seal;")
        .unwrap();
    drop(raw);
    let said = world.open().err().expect("it is refused").to_string();
    assert!(said.contains("with which key it is sealed"), "{said}");
}

/// What a start leaves that was cut short, at each of its steps.
#[test]
fn a_start_that_was_cut_short_while_it_sealed_a_store_is_gone_on_with() {
    let provisional = |world: &World| world.key().with_file_name("store.key.provisional");
    let opens = |world: &World, why: &str| {
        assert_eq!(world.value("007"), Some(format!("{HUSH}-7")), "{why}");
        assert!(
            world.key().exists() && !provisional(world).exists(),
            "{why}"
        );
        assert!(!world.tells(HUSH), "{why}");
        assert_eq!(world.value("008"), Some(format!("{HUSH}-8")), "{why}");
    };
    // While the key was written, and when it had been.
    let begun = World::new();
    older_store(&begun);
    fs::create_dir(begun.key().parent().unwrap()).unwrap();
    fs::write(begun.key().with_file_name("store.key.new"), "ab").unwrap();
    opens(&begun.as_left(), "a key half written");
    fs::write(provisional(&begun), "ab".repeat(32)).unwrap();
    opens(&begun.as_left(), "a key and an open store");

    // When the records were sealed: the key has its name, or not yet; all is wiped, or not yet.
    let sealed = World::new();
    older_store(&sealed);
    drop(sealed.open().unwrap());
    fs::remove_file(sealed.directory.path().join("store.mark")).unwrap();
    let raw = Connection::open(sealed.file()).unwrap();
    raw.execute_batch("DROP TABLE installation").unwrap();
    for scrubbed in [1, 0] {
        raw.execute("UPDATE seal SET scrubbed = ?", [scrubbed])
            .unwrap();
        opens(&sealed.as_left(), "a key with its name");
        let world = sealed.as_left();
        fs::rename(world.key(), provisional(&world)).unwrap();
        opens(&world, "a sealed store and a provisional key");
    }

    // The same of a store that is made: nothing in the file, or its head alone.
    let fresh = World::new();
    fs::create_dir(fresh.key().parent().unwrap()).unwrap();
    fs::write(provisional(&fresh), "ab".repeat(32)).unwrap();
    let begun = Connection::open(fresh.file()).unwrap();
    begun.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(begun);
    assert_eq!(fresh.value("a"), None);
    assert!(fresh.key().exists() && !provisional(&fresh).exists());
}

/// A provisional key is nobody's but that store's which is sealed with it.
#[test]
fn a_provisional_key_does_not_stand_for_another() {
    let world = World::new();
    drop(world.open().unwrap());
    fs::remove_file(world.key()).unwrap();
    let other = world.key().with_file_name("store.key.provisional");
    fs::write(&other, "ab".repeat(32)).unwrap();
    let missing = world.open().err().expect("the key is missing");
    assert!(matches!(missing, StoreError::KeyMissing { .. }));
    assert!(other.exists() && !world.key().exists());
}
