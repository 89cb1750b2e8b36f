//! A file that brings along more than a store has is refused, at the start and in its place as a copy.

mod common;

use std::fs;

use common::{World, notes};
use rusqlite::Connection;
use store::{StoreError, Unfit, restore};

const TRIGGER: &str = "CREATE TRIGGER evil AFTER INSERT ON records BEGIN \
     DELETE FROM records WHERE key < NEW.key; END";

/// What is done to the file, and what is said of it.
const FOREIGN: &[(&str, &str)] = &[
    (TRIGGER, "the trigger `evil`"),
    (
        "CREATE VIEW evil AS SELECT * FROM records",
        "the view `evil`",
    ),
    (
        "ALTER TABLE records RENAME TO kept; CREATE VIEW records AS SELECT * FROM kept",
        "the table `kept`",
    ),
    (
        "CREATE INDEX evil ON records (abs(kind))",
        "the index `evil`",
    ),
    ("CREATE TABLE evil (it)", "the table `evil`"),
    (
        "ALTER TABLE records ADD COLUMN evil DEFAULT 1",
        "its table `records` is not as a store has it",
    ),
    (
        "DROP TABLE installation; CREATE TABLE installation (id TEXT DEFAULT (randomblob(9)))",
        "its table `installation` is not as a store has it",
    ),
    ("DROP TABLE counters", "it has no table `counters`"),
    (
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET name = 'sqlite_schema', \
         tbl_name = 'sqlite_schema', sql = 'CREATE TABLE sqlite_schema (it)' \
         WHERE name = 'counters'",
        "sqlite_schema",
    ),
];

#[test]
fn what_no_store_has_is_refused_at_the_start_and_as_a_copy() {
    let world = World::with_notes(3);
    for (change, says) in FOREIGN {
        let changed = world.as_left();
        let raw = Connection::open(changed.store()).unwrap();
        raw.execute_batch(change).unwrap();
        drop(raw);
        let before = fs::read(changed.store()).unwrap();
        let said = changed.refusal();
        assert!(
            said.contains("is damaged") && said.contains(says),
            "{change}: {said}"
        );
        assert!(said.contains(&changed.restore_command()), "{said}");
        assert_eq!(fs::read(changed.store()).unwrap(), before);

        let ours = world.as_left();
        let error = restore(&ours.store(), &ours.key(), &changed.store()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(says), "{change}: {said}");
        // Where to go on is told of this installation, not of where the copy lies.
        let list = format!("{} --list`", ours.restore_command());
        assert!(
            said.contains(&list) && !said.contains("start anew"),
            "{said}"
        );
        assert_eq!(notes(&ours.open().unwrap()).len(), 3);
    }
}

#[test]
fn a_file_of_an_unknown_layout_is_refused() {
    for version in [-1, i32::MIN, 3] {
        let world = World::with_notes(1);
        let raw = Connection::open(world.store()).unwrap();
        raw.pragma_update(None, "user_version", version).unwrap();
        drop(raw);
        let error = world.open().err().expect("it is refused");
        assert!(matches!(error, StoreError::Newer { .. }), "{error:?}");
    }
    let world = World::with_notes(1);
    let raw = Connection::open(world.store()).unwrap();
    raw.pragma_update(None, "user_version", 0).unwrap();
    drop(raw);
    assert!(world.refusal().contains("the table `records`"));
}

#[test]
fn an_empty_database_is_no_copy() {
    let world = World::with_notes(1);
    let file = world.at("empty.db");
    let empty = Connection::open(&file).unwrap();
    empty.execute_batch("VACUUM").unwrap();
    drop(empty);
    let error = restore(&world.store(), &world.key(), &file).unwrap_err();
    assert!(
        matches!(error, StoreError::Unfit(Unfit::Damaged { .. })),
        "{error:?}"
    );
}
