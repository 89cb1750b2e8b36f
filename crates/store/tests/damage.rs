//! A store that was damaged or lost is refused with what to do, and nothing of it is changed; one record
//! that cannot be read stops its own thing alone.

mod common;

use std::fs;
use std::path::Path;

use common::{Note, World, key, note, notes, put};
use rusqlite::{Connection, params};
use store::{Store, StoreError};

const NOTES: u32 = 300;

/// What lies in a directory, by its name and contents. An empty log says nothing.
fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let files = entries.filter(|it| it.path().is_file());
    let mut all: Vec<_> = files
        .map(|it| {
            let name = it.file_name().to_string_lossy().into_owned();
            (name, fs::read(it.path()).unwrap())
        })
        .collect();
    all.retain(|it| !it.1.is_empty());
    all.sort();
    all
}

/// Lengths that cut a file in its head, at a page and beside one, and all along it.
fn cuts(bytes: u64) -> Vec<u64> {
    let mut cuts: Vec<u64> = (1..24).map(|part| bytes * part / 24).collect();
    cuts.extend([1, 15, 16, 99, 100, 511, 4095, 4096, 4097]);
    cuts.extend([bytes - 4096, bytes - 1]);
    cuts
}

fn cut(file: &Path, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.set_len(bytes).unwrap();
}

#[test]
fn a_store_that_was_cut_off_after_its_end_is_refused_as_it_is() {
    let world = World::with_notes(NOTES);
    let bytes = fs::metadata(world.store()).unwrap().len();
    for length in cuts(bytes) {
        let cut_off = world.as_left();
        cut(&cut_off.store(), length);
        let before = contents(cut_off.directory.path());
        let said = cut_off.refusal();
        assert!(
            said.contains(&format!("`{}` is damaged", cut_off.store().display())),
            "{said}"
        );
        assert!(said.contains(&cut_off.restore_command()), "{said}");
        let after = contents(cut_off.directory.path());
        assert!(before == after, "cut at {length}: the files were changed");
    }
}

#[test]
fn a_store_that_was_cut_off_in_a_crash_is_refused_or_whole() {
    let world = World::with_notes(NOTES);
    let store = world.open().unwrap();
    put(&store, NOTES..NOTES + 20);
    let crashed = world.as_left();
    let mut refused = 0;
    for length in cuts(fs::metadata(crashed.store()).unwrap().len()) {
        let cut_off = crashed.as_left();
        cut(&cut_off.store(), length);
        match cut_off.open() {
            // Its log had what was cut off.
            Ok(store) => assert_eq!(notes(&store).len() as u32, NOTES + 20),
            Err(StoreError::Unfit(_)) => refused += 1,
            Err(error) => panic!("cut at {length}: {error:?}"),
        }
    }
    assert!(refused > 20, "only {refused} were refused");
    // As the crash left it, it is opened.
    assert_eq!(notes(&crashed.open().unwrap()).len() as u32, NOTES + 20);
}

/// Changes a byte at many places; whatever is read then is what was written.
#[test]
fn a_changed_byte_is_refused_or_costs_one_page_and_is_never_read() {
    let world = World::with_notes(NOTES);
    let bytes = fs::read(world.store()).unwrap();
    let (mut refused, mut unreadable) = (0, 0);
    let mut place: u64 = 7;
    // Steps through the file without a pattern of its pages; and where pages that have notes begin, as what
    // they are is there.
    let anywhere = std::iter::repeat_with(|| {
        place = place
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((place >> 33) as usize % bytes.len(), place)
    });
    let pages = bytes.chunks(4096).enumerate();
    let with_notes = pages.filter(|it| it.1.windows(3).any(|it| it == b"eu/"));
    let heads = with_notes.take(10).map(|it| (it.0 * 4096, it.0 as u64));
    for (at, place) in anywhere.take(150).chain(heads) {
        let flipped = world.as_left();
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (place % 8);
        fs::write(flipped.store(), changed).unwrap();
        let store = match flipped.open() {
            Ok(store) => store,
            Err(StoreError::Unfit(_)) => {
                refused += 1;
                continue;
            }
            Err(StoreError::Newer { .. } | StoreError::WrongKey { .. }) => continue,
            Err(error) => panic!("byte {at}: {error:?}"),
        };
        let keys = store.read(|tx| tx.keys::<Note>("")).unwrap();
        let readable: Vec<Note> = store.read(|tx| tx.readable("")).unwrap();
        unreadable += keys.len() - readable.len();
        assert!(
            readable.iter().all(|it| *it == note(it.number)),
            "byte {at}"
        );
        assert!(readable.len() as u32 >= NOTES - 1, "byte {at}");
    }
    assert!(unreadable > 0 && refused > 0, "{unreadable} {refused}");
}

#[test]
fn a_store_that_was_emptied_or_deleted_does_not_begin_anew() {
    let world = World::with_notes(3);
    for (lost, says) in [(false, "is empty"), (true, "is missing")] {
        let world = world.as_left();
        match lost {
            true => fs::remove_file(world.store()).unwrap(),
            false => fs::write(world.store(), b"").unwrap(),
        }
        let said = world.refusal();
        assert!(said.contains(says), "{said}");
        assert!(said.contains(&world.restore_command()), "{said}");
        assert_eq!(world.store().exists(), !lost, "it was made anew");
        // What it says is what begins anew.
        let mark = world.at("store.mark");
        assert!(
            said.contains(&format!("remove `{}`", mark.display())),
            "{said}"
        );
        fs::remove_file(mark).unwrap();
        assert_eq!(notes(&world.open().unwrap()), []);
    }
}

/// Nothing but a log is left of a store of before the mark.
#[test]
fn a_log_without_its_store_is_not_thrown_away() {
    let world = World::new();
    let store = world.open().unwrap();
    put(&store, 0..3);
    let world = world.as_left();
    fs::remove_file(world.at("store.mark")).unwrap();
    fs::remove_file(world.store()).unwrap();
    assert!(world.refusal().contains("is missing"));
    assert!(world.at("store.db-wal").exists());
}

#[test]
fn the_store_of_another_installation_is_refused() {
    let (world, other) = (World::with_notes(3), World::with_notes(5));
    let ours = world.as_left();
    fs::copy(other.store(), ours.store()).unwrap();
    let said = ours.refusal();
    assert!(said.contains("is not the one that was here"), "{said}");
    // An empty database is another one, too.
    fs::remove_file(ours.store()).unwrap();
    let empty = Connection::open(ours.store()).unwrap();
    empty.execute_batch("VACUUM").unwrap();
    drop(empty);
    assert!(
        ours.refusal().contains("without an id"),
        "{}",
        ours.refusal()
    );
    // It says how it is used all the same.
    fs::copy(other.store(), ours.store()).unwrap();
    fs::copy(other.key(), ours.key()).unwrap();
    fs::remove_file(ours.at("store.mark")).unwrap();
    assert_eq!(notes(&ours.open().unwrap()).len(), 5);
}

#[test]
fn a_damaged_mark_is_refused_by_its_name() {
    let world = World::with_notes(3);
    fs::write(world.at("store.mark"), b"{").unwrap();
    assert!(world.refusal().contains("store.mark` is damaged"));
    fs::remove_file(world.at("store.mark")).unwrap();
    assert_eq!(notes(&world.open().unwrap()).len(), 3);
}

/// A store of before: it gets its id and its mark.
#[test]
fn a_store_without_id_and_mark_is_taken_in() {
    let world = World::with_notes(3);
    fs::remove_file(world.at("store.mark")).unwrap();
    let raw = Connection::open(world.store()).unwrap();
    raw.execute_batch("DROP TABLE installation").unwrap();
    drop(raw);
    assert_eq!(notes(&world.open().unwrap()).len(), 3);
    fs::write(world.store(), b"").unwrap();
    assert!(world.refusal().contains("is empty"));
}

/// Three notes, of which the second does not open.
fn with_a_damaged_record() -> (World, Store) {
    let world = World::with_notes(3);
    damage(&world, 1);
    let store = world.open().unwrap();
    (world, store)
}

fn damage(world: &World, number: u32) {
    let raw = Connection::open(world.store()).unwrap();
    let changed = "UPDATE records SET value = zeroblob(100) WHERE key = ?";
    assert_eq!(raw.execute(changed, params![key(number)]).unwrap(), 1);
}

fn is_of(error: &StoreError, number: u32) -> bool {
    matches!(error, StoreError::Sealed { kind: "test.note", key: it } if *it == key(number))
}

#[test]
fn one_record_that_cannot_be_read_leaves_the_others_to_who_looks() {
    let (_world, store) = with_a_damaged_record();
    let numbers = |found: Vec<Note>| -> Vec<u32> { found.iter().map(|it| it.number).collect() };
    let list = store.look(|tx| tx.list("")).unwrap();
    assert_eq!(numbers(list), [0, 2]);
    // A page is full although one of it cannot be read: who pages on would take it for the last.
    let page = store.look(|tx| tx.page("", "", 2)).unwrap();
    assert_eq!(numbers(page), [0, 2]);
    let back = store.look(|tx| tx.page_back("", None, 2)).unwrap();
    assert_eq!(numbers(back), [2, 0]);
    let rest = store.look(|tx| tx.page::<Note>("", &key(0), 1)).unwrap();
    assert_eq!(numbers(rest), [2]);
    let asked = store.look(|tx| tx.get::<Note>(&key(1))).unwrap_err();
    assert!(is_of(&asked, 1), "{asked:?}");
    // An empty answer would say that nothing is there.
    let only = store.look(|tx| tx.list::<Note>(&key(1))).unwrap_err();
    assert!(is_of(&only, 1), "{only:?}");
}

#[test]
fn one_record_that_cannot_be_read_is_not_absent_to_who_decides() {
    let (_world, store) = with_a_damaged_record();
    let read = store.read(|tx| tx.list::<Note>("")).unwrap_err();
    let written: Result<Vec<Note>, StoreError> = store.write(|tx| tx.list(""));
    for error in [read, written.unwrap_err()] {
        assert!(is_of(&error, 1), "{error:?}");
    }
    let keys = store.read(|tx| tx.keys::<Note>("")).unwrap();
    assert_eq!(keys, [key(0), key(1), key(2)]);
    let each: Vec<Note> = store.read(|tx| tx.readable("")).unwrap();
    assert_eq!(each, [note(0), note(2)]);
    // Its neighbours are written, and it goes when it is told to.
    put(&store, 2..4);
    assert!(store.write(|tx| tx.delete::<Note>(&key(1))).unwrap());
    assert_eq!(notes(&store).len(), 3);
}
