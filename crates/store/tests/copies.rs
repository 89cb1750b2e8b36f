//! Copies of a store, and going back to one.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{World, notes, put};
use rusqlite::Connection;
use store::{Store, StoreError, Unfit, copies, newest_copy, restore};

/// Set for the process that a test kills.
const TO_BE_KILLED: &str = "NEARGATE_TEST_TO_BE_KILLED";

/// As the daemon does.
fn open_copied(world: &World) -> Store {
    Store::open_copied(&world.store(), &world.key(), Box::new(|_, _| Ok(()))).unwrap()
}

fn restore_newest(world: &World) -> store::Restored {
    let copy = newest_copy(&world.store()).unwrap();
    restore(&world.store(), &world.key(), &copy).unwrap()
}

#[test]
fn a_copy_is_made_at_the_start_and_put_back_into_a_lost_store_s_place() {
    let world = World::with_notes(200);
    let store = open_copied(&world);
    put(&store, 200..210);
    drop(store);
    let copy = newest_copy(&world.store()).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(copy.clone()), mode(world.at("copies"))),
        (0o600, 0o700)
    );
    for damage in [b"".as_slice(), b"SQLite format 3\0and then nothing"] {
        let world = world.as_left();
        fs::write(world.store(), damage).unwrap();
        let said = world.refusal();
        assert!(said.contains("puts the newest copy"), "{said}");
        assert!(said.contains(&world.restore_command()), "{said}");
        let restored = restore_newest(&world);
        assert_eq!((restored.records, restored.unreadable), (200, 0));
        assert_eq!(fs::read(restored.replaced.unwrap()).unwrap(), damage);
        let store = open_copied(&world);
        assert_eq!(notes(&store).len(), 200);
        put(&store, 300..301);
        drop(store);
        assert_eq!(notes(&world.open().unwrap()).len(), 201);
    }
}

/// A log beside another store than its own would be written over it.
#[test]
fn what_was_there_is_moved_aside_with_its_log() {
    let world = World::with_notes(3);
    let store = open_copied(&world);
    put(&store, 3..5);
    let world = world.as_left();
    let log = fs::read(world.at("store.db-wal")).unwrap();
    assert!(!log.is_empty());
    let restored = restore_newest(&world);
    assert_eq!(restored.replaced, Some(world.at("store.db.replaced-1")));
    assert_eq!(fs::read(world.at("store.db.replaced-1-wal")).unwrap(), log);
    assert_eq!(notes(&world.open().unwrap()).len(), 3);
    assert_eq!(
        restore_newest(&world).replaced,
        Some(world.at("store.db.replaced-2"))
    );
}

#[test]
fn a_copy_is_made_when_something_changed_and_not_otherwise() {
    let world = World::with_notes(3);
    let store = open_copied(&world);
    assert_eq!(copies(&world.store()).unwrap().len(), 1);
    // Times of files are as fine as the kernel's ticks.
    std::thread::sleep(Duration::from_millis(20));
    put(&store, 3..5);
    let copy = store.copy().unwrap().expect("something changed");
    assert_eq!(store.copy().unwrap(), None);
    std::thread::sleep(Duration::from_millis(20));
    put(&store, 5..6);
    let later = store.copy().unwrap().expect("something changed");
    // It takes the place of one that is so young.
    assert!(!copy.exists() && later.exists());
    restore(&world.as_left().store(), &world.key(), &later).unwrap();
}

#[test]
fn no_copy_is_made_where_there_is_no_room_and_the_store_is_opened_all_the_same() {
    let world = World::with_notes(3);
    let full = || -> store::Room { Box::new(|_, _| Err("the disk is full".into())) };
    let store = Store::open_copied(&world.store(), &world.key(), full()).unwrap();
    let error = store.copy().unwrap_err();
    assert!(matches!(error, StoreError::NoRoom(_)), "{error:?}");
    assert_eq!(fs::read_dir(world.at("copies")).unwrap().count(), 0);
    put(&store, 3..4);
    drop(store);
    let error = newest_copy(&world.store()).unwrap_err();
    assert!(matches!(error, StoreError::Unfit(Unfit::NoCopy(_))));
}

/// In the layout of before, what records say could be read in a copy.
#[test]
fn a_store_that_is_not_sealed_yet_is_not_copied() {
    let world = World::new();
    let raw = Connection::open(world.store()).unwrap();
    raw.execute_batch(
        "CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
             PRIMARY KEY (kind, key)) WITHOUT ROWID;
         CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(raw);
    drop(open_copied(&world));
    assert_eq!(copies(&world.store()).unwrap(), []);
}

#[test]
fn a_copy_that_is_damaged_or_of_another_key_is_not_put_anywhere() {
    let world = World::with_notes(3);
    drop(open_copied(&world));
    let before = fs::read(world.store()).unwrap();
    let copy = newest_copy(&world.store()).unwrap();
    let whole = fs::read(&copy).unwrap();
    fs::write(&copy, &whole[..whole.len() / 2]).unwrap();
    let cut = restore(&world.store(), &world.key(), &copy).unwrap_err();
    assert!(
        matches!(cut, StoreError::Unfit(Unfit::Damaged { .. })),
        "{cut:?}"
    );
    let other = World::with_notes(3);
    let foreign = restore(&world.store(), &world.key(), &other.store()).unwrap_err();
    assert!(
        matches!(foreign, StoreError::WrongKey { .. }),
        "{foreign:?}"
    );
    let none = restore(&world.store(), &world.key(), &world.at("nothing")).unwrap_err();
    assert!(matches!(none, StoreError::File { .. }), "{none:?}");
    assert_eq!(fs::read(world.store()).unwrap(), before);
}

/// Not a test: writes and copies until it is killed.
#[test]
fn writes_and_copies_until_it_is_killed() {
    let Some(directory) = std::env::var_os(TO_BE_KILLED) else {
        return;
    };
    let path = std::path::Path::new(&directory).join("store.db");
    let key = path.with_file_name("keys").join("store.key");
    let store = Store::open_copied(&path, &key, Box::new(|_, _| Ok(()))).unwrap();
    for number in 0.. {
        put(&store, number..number + 50);
        store.copy().unwrap();
    }
}

#[test]
fn whoever_is_killed_while_it_copies_leaves_whole_copies_and_nothing_in_the_way() {
    let world = World::with_notes(2000);
    drop(open_copied(&world));
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_and_copies_until_it_is_killed"])
            .env(TO_BE_KILLED, world.directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60 + 17 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        for copy in copies(&world.store()).unwrap() {
            let elsewhere = World::new();
            let restored = restore(&elsewhere.store(), &world.key(), &copy.path).unwrap();
            assert!(restored.records >= 2000 && restored.unreadable == 0);
        }
        assert!(notes(&world.open().unwrap()).len() >= 2000);
    }
    restore_newest(&world);
    assert!(notes(&open_copied(&world)).len() >= 2000);
    assert!(!world.at("copies/store.new").exists());
}
