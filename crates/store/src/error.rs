//! Why the store could not do what it was asked.

use std::io;
use std::path::PathBuf;

use base::{Lack, causes};
use rusqlite::ErrorCode;

use crate::check::Unfit;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store's file cannot be used")]
    Sqlite(#[source] rusqlite::Error),
    #[error("the store's file cannot be used: {lack}")]
    Lacking {
        lack: Lack,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the store's file `{}` cannot be made", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("a record of kind `{kind}` with key `{key}` cannot be read or written")]
    Record {
        kind: &'static str,
        key: String,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "a record of kind `{kind}` with key `{key}` does not open with the store's key: it was \
         changed, or it was sealed for another place"
    )]
    Sealed { kind: &'static str, key: String },
    #[error(
        "the store was written by a newer version (layout {found}, this version knows {known})"
    )]
    Newer { found: i64, known: i64 },
    #[error("the key's file `{}` cannot be used", path.display())]
    KeyFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{}` is not a store's key: 64 hexadecimal digits are", .0.display())]
    KeyDamaged(PathBuf),
    #[error(
        "the store is sealed with the key `{id}`, and there is no key at `{}`: put it back, or \
         name its place with --store-key. Without it the records cannot be read by anybody",
        path.display()
    )]
    KeyMissing { id: String, path: PathBuf },
    #[error(
        "the store is sealed with the key `{id}`, and the key at `{}` is `{found}`: name the \
         right one with --store-key",
        path.display()
    )]
    WrongKey {
        id: String,
        found: String,
        path: PathBuf,
    },
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("no copy of the records is made")]
    NoRoom(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the machine gives no random numbers, or its cipher fails")]
    Cryptography,
}

impl StoreError {
    /// Whether it is one record alone that cannot be read.
    pub fn is_of_one_record(&self) -> bool {
        matches!(self, Self::Sealed { .. } | Self::Record { .. })
    }

    /// What there is none left of, where that is why.
    pub fn lack(&self) -> Option<Lack> {
        match self {
            Self::Lacking { lack, .. } => Some(*lack),
            other => causes(other).find_map(Lack::of_cause),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        match lack(&source) {
            Some(lack) => Self::Lacking { lack, source },
            None => Self::Sqlite(source),
        }
    }
}

/// SQLite has a code for a full disk, which it uses where it writes. For what else fails (a quota, making a
/// file or its shared memory) it says that input or output failed, and the kernel's own number for why is the
/// last one that this thread was told.
fn lack(error: &rusqlite::Error) -> Option<Lack> {
    match error.sqlite_error_code()? {
        ErrorCode::DiskFull => Some(Lack::Space),
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => {
            Lack::of_io(&io::Error::last_os_error())
        }
        _ => None,
    }
}
