//! Whether the files are this installation's store, whole: looked at before anything is changed.
//!
//! After a clean end (see [`mark`]) the size, the schema and the id are enough. After any other end, or
//! when somebody touched the file, SQLite's `quick_check` walks through all of it, and every record is
//! opened. Both have their time: a store so large that it is not done by then is used as far as it was
//! looked at, since what is sealed cannot be read wrongly, and a page that is broken answers an error.
//!
//! A store that does not pass is refused, as it is: nothing of it is changed, moved or made anew. A single
//! record that does not open is no reason: see [`crate::unreadable`].

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use crate::connect::beside;
use crate::mark::{self, Mark, Print};
use crate::seal::Sealer;
use crate::{StoreError, copies, layout};

/// Neither of the two checks holds a start up for longer: the daemon answers nobody meanwhile.
const CHECK_TIME_MAX: Duration = Duration::from_secs(15);
/// SQLite asks whether to go on after so many of its instructions, some hundred microseconds.
const ASK_EVERY: i32 = 10_000;
/// More records that do not open are counted and not named.
const NAMED_MAX: usize = 100;
/// How every database of SQLite begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Why a store is not used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("the records' file `{}` is damaged: {what}. {advice}", path.display())]
    Damaged {
        path: PathBuf,
        what: String,
        advice: String,
    },
    #[error(
        "the records' file `{}` is missing, and it was there before. {advice}",
        path.display()
    )]
    Missing { path: PathBuf, advice: String },
    #[error("the records' file `{}` is empty, and it was not before. {advice}", path.display())]
    Emptied { path: PathBuf, advice: String },
    #[error(
        "the records' file `{}` is not the one that was here: it is {found}, and `{wanted}` was. \
         If it is meant to be used, remove `{}`. {advice}",
        path.display(),
        mark.display()
    )]
    Foreign {
        path: PathBuf,
        found: String,
        wanted: String,
        mark: PathBuf,
        advice: String,
    },
    #[error(
        "`{}` is damaged: it says which store lies beside it. If that is the right one, remove this \
         file",
        mark.display()
    )]
    Mark { mark: PathBuf },
    #[error(
        "the records in `{}` are not sealed, and those of this installation are: `{}` tells. \
         Nothing is read from it and nothing was changed. {advice}",
        path.display(),
        by.display()
    )]
    Unsealed {
        path: PathBuf,
        /// The store's key, or its mark.
        by: PathBuf,
        advice: String,
    },
    #[error("there is no copy of the records in `{}`", .0.display())]
    NoCopy(PathBuf),
}

/// Where a store's files are.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The file that is looked at.
    pub path: &'a Path,
    /// The store itself: the same file, unless that is a copy.
    pub store: &'a Path,
    pub key_file: &'a Path,
}

/// What lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// As a clean end left it.
    Ended,
    /// As a crash left it, or somebody.
    Left,
}

impl Place<'_> {
    fn advice(&self, anew: &str) -> String {
        match self.is_a_copy() {
            true => format!(
                "What is in the records' place was left as it is. `{} --list` shows the copies that \
                 there are",
                self.command()
            ),
            false => format!(
                "{}. To start anew, without any record, {anew}",
                self.how_to_go_back()
            ),
        }
    }

    /// What to do with a file of the layout of before. An earlier version made the key before it sealed
    /// the records, so that one of its starts, cut short, looks the same.
    pub fn advice_on_unsealed(&self) -> String {
        let cut_short = format!(
            "Only if the very start that began to seal them was cut short, and there never were \
             others, move `{}` away",
            self.key_file.display()
        );
        match self.is_a_copy() {
            true => self.advice(""),
            false => format!("{}. {cut_short}", self.how_to_go_back()),
        }
    }

    fn is_a_copy(&self) -> bool {
        self.path != self.store
    }

    fn how_to_go_back(&self) -> String {
        let copies = copies::directory(self.store);
        match copies::all(self.store) {
            Ok(found) if !found.is_empty() => format!(
                "`{}` puts the newest copy of `{}` in its place, and keeps what is there now beside \
                 it",
                self.command(),
                copies.display()
            ),
            _ => format!(
                "There is no copy in `{}`: `{} FILE` takes one that you have",
                copies.display(),
                self.command()
            ),
        }
    }

    /// What is to be typed for this store.
    fn command(&self) -> String {
        let state = self.store.parent().unwrap_or(Path::new("/"));
        let mut command = format!("neargate restore --state {}", state.display());
        if self.key_file != crate::key_beside(self.store) {
            command += &format!(" --store-key {}", self.key_file.display());
        }
        command
    }

    fn remove_the_mark(&self) -> String {
        format!("remove `{}`", mark::place(self.store).display())
    }

    pub fn damaged(&self, what: impl Into<String>) -> StoreError {
        let mark = mark::place(self.store);
        let anew = format!(
            "move `{}*` and `{}` away",
            self.path.display(),
            mark.display()
        );
        Unfit::Damaged {
            path: self.path.to_owned(),
            what: what.into(),
            advice: self.advice(&anew),
        }
        .into()
    }

    /// Tells damage from the rest of what SQLite may answer.
    pub fn judge<T>(&self, outcome: rusqlite::Result<T>) -> Result<T, StoreError> {
        outcome.map_err(|error| match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::SystemIoFailure
                | ErrorCode::Unknown,
            ) => self.damaged(format!("SQLite says \"{error}\"")),
            _ => error.into(),
        })
    }
}

/// What can be seen before the file is opened.
pub fn before_opening(place: Place<'_>, known: Option<&Mark>) -> Result<Found, StoreError> {
    let path = place.path;
    let failed = |source| StoreError::File {
        path: path.to_owned(),
        source,
    };
    let log = mark::size(&beside(path, "-wal")).map_err(failed)?;
    let was_there = known.is_some() || log.is_some_and(|it| it > 0);
    match mark::size(path).map_err(failed)? {
        None if was_there => {
            let advice = place.advice(&place.remove_the_mark());
            let path = path.to_owned();
            return Err(Unfit::Missing { path, advice }.into());
        }
        Some(0) if was_there => {
            let advice = place.advice(&place.remove_the_mark());
            let path = path.to_owned();
            return Err(Unfit::Emptied { path, advice }.into());
        }
        None | Some(0) => return Ok(Found::Nothing),
        Some(_) => (),
    }
    if !begins_well(path).map_err(failed)? {
        return Err(place.damaged("it does not begin as a database of SQLite does"));
    }
    let print = Print::of(path).map_err(failed)?;
    let ended = known.and_then(|it| it.ended.as_ref());
    Ok(match print {
        Some(print) if ended == Some(&print) => Found::Ended,
        _ => Found::Left,
    })
}

fn begins_well(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    let mut file = fs::File::open(path)?.take(MAGIC.len() as u64);
    file.read_to_end(&mut head)?;
    Ok(head == MAGIC)
}

/// What the file itself says, which is not changed by it, not even by its log.
pub fn whole(
    connection: &mut Connection,
    place: Place<'_>,
    known: Option<&Mark>,
    found: Found,
) -> Result<(), StoreError> {
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep_log, true)?;
    layout::may_be_used(connection, place)?;
    if found == Found::Left {
        quick_check(connection, place)?;
    }
    place.judge(size_is_right(connection, place))??;
    let id = place.judge(mark::id_in(connection))?;
    if let Some(known) = known.filter(|it| Some(&it.id) != id.as_ref()) {
        return Err(Unfit::Foreign {
            path: place.path.to_owned(),
            found: id.map_or("without an id".to_owned(), |it| format!("`{it}`")),
            wanted: known.id.clone(),
            mark: mark::place(place.store),
            advice: place.advice(&format!("move `{}*` away as well", place.path.display())),
        }
        .into());
    }
    connection.set_db_config(keep_log, false)?;
    Ok(())
}

/// How large the file is, as far as it knows.
pub fn bytes_of(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    Ok(u64::from(number("page_count")?) * u64::from(number("page_size")?))
}

/// SQLite takes the rest of a last page that was cut off for zeros.
fn size_is_right(
    connection: &Connection,
    place: Place<'_>,
) -> rusqlite::Result<Result<(), StoreError>> {
    let says = bytes_of(connection)?;
    Ok(match Print::of(place.path) {
        Ok(Some(print)) if print.bytes < says => {
            let has = print.bytes;
            Err(place.damaged(format!("it has {has} bytes of {says}: its end is missing")))
        }
        // What its log has may not be in the file yet.
        _ => Ok(()),
    })
}

fn quick_check(connection: &mut Connection, place: Place<'_>) -> Result<(), StoreError> {
    let until = Instant::now() + CHECK_TIME_MAX;
    connection.progress_handler(ASK_EVERY, Some(move || Instant::now() > until))?;
    let said: rusqlite::Result<String> =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    connection.progress_handler(ASK_EVERY, None::<fn() -> bool>)?;
    match said {
        Ok(said) if said == "ok" => Ok(()),
        Ok(said) => Err(place.damaged(format!("SQLite's check says \"{}\"", said.trim()))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            tracing::warn!(
                seconds = CHECK_TIME_MAX.as_secs(),
                "the store is large: its check was ended before it was done"
            );
            Ok(())
        }
        Err(error) => place.judge(Err(error)),
    }
}

/// Opens every record, and answers how many do not open. Each is told of.
pub fn records(
    connection: &Connection,
    place: Place<'_>,
    sealer: &Sealer,
) -> Result<usize, StoreError> {
    let mut damaged = 0;
    let mut look = || -> rusqlite::Result<()> {
        let until = Instant::now() + CHECK_TIME_MAX;
        let mut all = connection.prepare("SELECT kind, key, value FROM records")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            // What is not even text or bytes was changed as well.
            let kind: String = row.get(0).unwrap_or_default();
            let key: String = row.get(1).unwrap_or_default();
            let value: Vec<u8> = row.get(2).unwrap_or_default();
            if sealer.open(&kind, &key, value).is_err() {
                damaged += 1;
                if damaged <= NAMED_MAX {
                    tracing::error!(kind, key, "this record cannot be read: it was changed");
                }
            }
            if Instant::now() > until {
                tracing::warn!("the store is large: not every record was looked at");
                break;
            }
        }
        Ok(())
    };
    let outcome = look();
    place.judge(outcome)?;
    if damaged > 0 {
        tracing::error!(
            records = damaged,
            "some records cannot be read; what they say is not done and nothing of theirs is \
             removed. `{}` would put the newest copy back",
            place.command()
        );
    }
    Ok(damaged)
}
