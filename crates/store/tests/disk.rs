//! What the store does to the disk, and what a full disk does to it.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};
use store::{Record, Store};

#[derive(Serialize, Deserialize)]
struct Note {
    number: u32,
    text: String,
}

impl Record for Note {
    const KIND: &'static str = "test.note";
    fn key(&self) -> String {
        format!("{:06}", self.number)
    }
}

fn note(number: u32) -> Note {
    Note {
        number,
        text: "x".repeat(1000),
    }
}

/// Runs a test with a disk of its own, of so many MiB, which goes with the thread.
fn on_a_disk(mib: u32, test: impl FnOnce(&Path) + Send) {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            let size = format!("size={mib}m");
            let kind = Some("tmpfs");
            mount(
                kind,
                directory.path(),
                kind,
                MsFlags::empty(),
                Some(size.as_str()),
            )
            .unwrap();
            test(directory.path());
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn fill(directory: &Path) {
    let mut file = fs::File::create(directory.join("filler")).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
}

#[test]
fn records_are_written_on_a_full_disk_and_none_is_lost() {
    on_a_disk(32, |disk| {
        let path = disk.join("store.db");
        let store = Store::open(&path).unwrap();
        store.write(|tx| tx.put(&note(0))).unwrap();
        fill(disk);
        for number in 1..=500 {
            store.write(|tx| tx.put(&note(number))).unwrap();
        }
        // Then it does not fit any more, and says so.
        let mut last = 500;
        let error = loop {
            match store.write(|tx| tx.put(&note(last + 1))) {
                Ok(()) => last += 1,
                Err(error) => break error,
            }
            assert!(last < 100_000, "the disk is not full");
        };
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        assert!(cause.is_some_and(|it| it.contains("full")), "{error:?}");
        drop(store);
        let store = Store::open(&path).unwrap();
        let notes: Vec<Note> = store.read(|tx| tx.list("")).unwrap();
        assert_eq!(notes.len() as u32, last + 1);
        // Room that is made is found.
        fs::remove_file(disk.join("filler")).unwrap();
        store.write(|tx| tx.put(&note(last + 1))).unwrap();
    });
}

/// A daemon may die at any point.
#[test]
fn a_reserve_that_was_cut_short_hinders_nobody() {
    on_a_disk(32, |disk| {
        let path = disk.join("store.db");
        drop(Store::open(&path).unwrap());
        let raw = rusqlite::Connection::open(&path).unwrap();
        let left =
            "CREATE TABLE reserve (bytes BLOB); INSERT INTO reserve VALUES (zeroblob(4194304));";
        raw.execute_batch(left).unwrap();
        drop(raw);
        let store = Store::open(&path).unwrap();
        fill(disk);
        for number in 0..100 {
            store.write(|tx| tx.put(&note(number))).unwrap();
        }
    });
}

const MIB: u64 = 1 << 20;

/// Notes of so many MiB come and go.
fn come_and_go(store: &Store, mib: u32) {
    let (of, text) = (mib * 16, "x".repeat(64 << 10));
    let large = (1_000_000..).take(of as usize);
    store
        .write(|tx| {
            large.clone().try_for_each(|number| {
                let text = text.clone();
                tx.put(&Note { number, text })
            })
        })
        .unwrap();
    store
        .write(|tx| {
            large.clone().try_for_each(|number| {
                let gone = tx.delete::<Note>(&note(number).key());
                gone.map(|it| assert!(it))
            })
        })
        .unwrap();
}

#[test]
fn a_store_that_was_large_becomes_small_and_keeps_its_reserve() {
    on_a_disk(256, |disk| {
        let path = disk.join("store.db");
        let size = |name: &str| fs::metadata(disk.join(name)).unwrap().len();
        let store = Store::open(&path).unwrap();
        store.write(|tx| tx.put(&note(0))).unwrap();
        come_and_go(&store, 48);
        // What is written from then on gives it back, a little each time.
        for round in 0..1500 {
            store.write(|tx| tx.put(&note(1 + round % 10))).unwrap();
        }
        let (file, log) = (size("store.db"), size("store.db-wal"));
        assert!(file < 40 * MIB && log <= 16 * MIB, "{file} and {log}");
        drop(store);
        let file = size("store.db");
        assert!((4 * MIB..24 * MIB).contains(&file), "{file}");

        // Room is kept for records, and all of them are there.
        let store = Store::open(&path).unwrap();
        let notes: Vec<Note> = store.read(|tx| tx.list("")).unwrap();
        assert_eq!(notes.len(), 11);
        fill(disk);
        for number in 0..500 {
            store.write(|tx| tx.put(&note(number))).unwrap();
        }
    });
}

#[test]
fn a_store_of_before_becomes_small_when_it_is_opened() {
    on_a_disk(256, |disk| {
        let path = disk.join("store.db");
        let raw = || rusqlite::Connection::open(&path).unwrap();
        let store = Store::open(&path).unwrap();
        store.write(|tx| tx.put(&note(0))).unwrap();
        drop(store);
        // As an earlier version made it.
        raw()
            .execute_batch("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM;")
            .unwrap();
        let size = || fs::metadata(&path).unwrap().len();
        let store = Store::open(&path).unwrap();
        come_and_go(&store, 48);
        for round in 0..1100 {
            store.write(|tx| tx.put(&note(1 + round % 10))).unwrap();
        }
        drop(store);
        assert!(size() > 48 * MIB, "{}", size());
        let store = Store::open(&path).unwrap();
        let notes: Vec<Note> = store.read(|tx| tx.list("")).unwrap();
        assert_eq!(notes.len(), 11);
        drop(store);
        assert!((4 * MIB..8 * MIB).contains(&size()), "{}", size());
        let kind = raw().pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0));
        assert_eq!(kind.unwrap(), 2);
    });
}

#[test]
fn the_store_s_files_are_the_owner_s_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let modes = || -> Vec<u32> {
        let files = ["store.db", "store.db-wal", "store.mark"];
        let mode = |name| fs::metadata(directory.path().join(name)).unwrap().mode() & 0o777;
        files.map(mode).to_vec()
    };
    let store = Store::open(&path).unwrap();
    store.write(|tx| tx.put(&note(0))).unwrap();
    assert_eq!(modes(), [0o600; 3]);
    // As an earlier version left it.
    for name in ["store.db", "store.db-wal"] {
        fs::set_permissions(directory.path().join(name), Permissions::from_mode(0o644)).unwrap();
    }
    let _second = Store::open(&path).unwrap();
    assert_eq!(modes(), [0o600; 3]);
}

/// A page of a mapped file that the disk has no room for ends a process, and no error can be answered.
#[test]
fn nothing_of_the_store_is_mapped_into_memory() {
    on_a_disk(32, |disk| {
        let path = disk.join("store.db");
        // As an earlier version left it.
        fs::write(disk.join("store.db-shm"), [0; 3]).unwrap();
        let store = Store::open(&path).unwrap();
        fill(disk);
        for number in 0..200 {
            store.write(|tx| tx.put(&note(number))).unwrap();
            let found: Vec<Note> = store.read(|tx| tx.list("")).unwrap();
            assert_eq!(found.len() as u32, number + 1);
        }
        assert!(!disk.join("store.db-shm").exists());
        let mapped = fs::read_to_string("/proc/self/maps").unwrap();
        let of_the_store = |it: &&str| it.contains(path.to_str().unwrap());
        assert_eq!(mapped.lines().find(of_the_store), None);
    });
}
