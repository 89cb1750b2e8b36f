//! Ranges of keys: what a page holds, and that it costs what it holds.

use serde::{Deserialize, Serialize};
use store::{Record, Store, StoreError, Work};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Item(String);

impl Record for Item {
    const KIND: &'static str = "test.item";
    fn key(&self) -> String {
        self.0.clone()
    }
}

fn store_of(keys: impl IntoIterator<Item = String>) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store.db")).unwrap();
    let fill = |tx: &store::Transaction<'_>| keys.into_iter().try_for_each(|it| tx.put(&Item(it)));
    store.write::<(), StoreError>(fill).unwrap();
    (directory, store)
}

fn names(items: Vec<Item>) -> Vec<String> {
    items.into_iter().map(|it| it.0).collect()
}

#[test]
fn pages_lead_forwards_and_backwards_within_their_prefix() {
    let keys = ["a/1", "a/2", "a/2/x", "a/3", "b/1"];
    let (_directory, store) = store_of(keys.map(str::to_owned));
    let page = |prefix: &str, after: &str, limit| {
        let found = store.read(|tx| tx.page::<Item>(prefix, after, limit));
        let keys = store.read(|tx| tx.page_keys::<Item>(prefix, after, limit));
        let found = names(found.unwrap());
        assert_eq!(found, plain(keys));
        found
    };
    assert_eq!(page("a/", "", 2), ["a/1", "a/2"]);
    assert_eq!(page("a/", "a/2", 9), ["a/2/x", "a/3"]);
    assert_eq!(page("a/", "a/3", 9), [""; 0]);
    assert_eq!(page("b/", "a/9", 9), ["b/1"]);
    let back = |before: Option<&str>, limit| {
        let found = store.read(|tx| tx.page_back::<Item>("a/", before, limit));
        names(found.unwrap())
    };
    assert_eq!(back(None, 2), ["a/3", "a/2/x"]);
    assert_eq!(back(Some("a/2/x"), 9), ["a/2", "a/1"]);
    assert_eq!(back(Some("z"), 1), ["a/3"]);
    let count = store.read(|tx| tx.count::<Item>("a/"));
    assert_eq!(plain(count), 4);
}

fn plain<T>(outcome: Result<T, StoreError>) -> T {
    outcome.unwrap()
}

#[test]
fn work_is_counted_and_a_page_is_not_dearer_for_what_lies_around_it() {
    let work_of_a_page = |count: usize| {
        let (_directory, store) = store_of((0..count).map(|it| format!("a/{it:06}")));
        let before = store.work();
        let after = format!("a/{:06}", count - 3);
        let read = |tx: &store::Transaction<'_>| {
            let last = tx.page::<Item>("a/", &after, 10)?.len();
            let newest = tx.page_back::<Item>("a/", None, 3)?.len();
            let keys = tx.page_keys::<Item>("a/", "", 4)?.len();
            Ok::<_, StoreError>((last, newest, keys))
        };
        assert_eq!(store.read(read).unwrap(), (2, 3, 4));
        store.work() - before
    };
    let few = work_of_a_page(10);
    assert_eq!(
        few,
        Work {
            read: 5,
            listed: 4,
            written: 0
        }
    );
    assert_eq!(few, work_of_a_page(3000));
}

#[test]
fn the_file_is_no_larger_for_what_was_deleted() {
    const ROUND: usize = 300;
    let (directory, store) = store_of([]);
    let round = |number: usize| {
        let key = |it: usize| format!("{}/{number}/{it}", "k".repeat(400));
        let come =
            |tx: &store::Transaction<'_>| (0..ROUND).try_for_each(|it| tx.put(&Item(key(it))));
        store.write::<(), StoreError>(come).unwrap();
        let go = |tx: &store::Transaction<'_>| {
            (0..ROUND).try_for_each(|it| tx.delete::<Item>(&key(it)).map(|_| ()))
        };
        store.write::<(), StoreError>(go).unwrap();
        std::fs::metadata(directory.path().join("store.db"))
            .unwrap()
            .len()
    };
    let sizes: Vec<u64> = (0..60).map(round).collect();
    assert!(sizes[59] <= sizes[20], "{sizes:?}");
}
