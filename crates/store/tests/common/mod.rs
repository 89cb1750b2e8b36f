//! A store of notes, and what may become of its files.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use store::{Record, Store, StoreError};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub number: u32,
    pub text: String,
}

impl Record for Note {
    const KIND: &'static str = "test.note";
    fn key(&self) -> String {
        key(self.number)
    }
}

pub fn key(number: u32) -> String {
    format!("eu/{number:04}")
}

pub fn note(number: u32) -> Note {
    Note {
        number,
        text: format!("what note {number} says, ").repeat(10),
    }
}

pub struct World {
    pub directory: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }
    /// One whose store has so many notes and was ended.
    pub fn with_notes(count: u32) -> Self {
        let world = Self::new();
        let store = world.open().unwrap();
        put(&store, 0..count);
        world
    }
    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
    pub fn store(&self) -> PathBuf {
        self.at("store.db")
    }
    pub fn key(&self) -> PathBuf {
        self.at("keys/store.key")
    }
    pub fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.store())
    }
    /// The same files as a crash at this moment would leave them, elsewhere.
    pub fn as_left(&self) -> Self {
        let other = Self::new();
        copy_all(self.directory.path(), other.directory.path());
        other
    }
    /// What the store is refused with.
    pub fn refusal(&self) -> String {
        match self.open() {
            Err(StoreError::Unfit(error)) => error.to_string(),
            Err(error) => panic!("another error: {error:?}"),
            Ok(_) => panic!("it is opened"),
        }
    }
    pub fn restore_command(&self) -> String {
        format!(
            "`neargate restore --state {}",
            self.directory.path().display()
        )
    }
}

pub fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn put(store: &Store, numbers: std::ops::Range<u32>) {
    store
        .write(|tx| numbers.into_iter().try_for_each(|it| tx.put(&note(it))))
        .unwrap();
}

pub fn notes(store: &Store) -> Vec<Note> {
    store.read(|tx| tx.list("")).unwrap()
}
