//! Room on the machine's disk. Whoever writes what comes from outside asks before, so that a disk that
//! fills up is told early and by name, and the records, which ask nobody, can still be written.

use std::io;
use std::path::{Path, PathBuf};

use crate::{EngineError, Result};

/// What is left to the records and to whatever else the machine does: on a large disk this,
const RESERVE_BYTES_MAX: u64 = 1 << 30;
/// and on a small one this part of it.
const RESERVE_PART: u64 = 20;

/// A disk is short of room where less than this part of it is free, in percent: what nobody uses is given up,
/// long before anything is refused,
const SHORT_PERCENT: u64 = 15;
/// and of a large disk, less than this.
const SHORT_BYTES_MAX: u64 = 32 << 30;
/// How much is free when it is enough again: a third more, so that not every write makes it short.
const ENOUGH_PARTS: (u64, u64) = (4, 3);

/// Of files and folders, whatever is in them, so many are left as well, or the same part of a small disk's.
const RESERVE_FILES_MAX: u64 = 100_000;

/// How much a disk has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    pub total_bytes: u64,
    /// For who is not root as well, which leaves out what file systems keep back themselves.
    pub free_bytes: u64,
    /// How many files and folders there may be. 0 where only bytes bound them.
    pub total_files: u64,
    pub free_files: u64,
}

/// The room on the disk that a directory is on.
pub fn room_in(directory: &Path) -> Result<Room> {
    let found = rustix::fs::statvfs(directory).map_err(|error| {
        let message = format!(
            "cannot see how full the disk of `{}` is",
            directory.display()
        );
        EngineError::machine(message).because(error)
    })?;
    Ok(Room {
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_files: found.f_files,
        free_files: found.f_favail,
    })
}

/// Refuses when the disk that a directory is on has nothing left to give to `what`: an upload, a log.
pub fn check_room(directory: &Path, what: &str) -> Result<()> {
    room_in(directory)?.check(what)
}

impl Room {
    fn reserve_bytes(self) -> u64 {
        RESERVE_BYTES_MAX.min(self.total_bytes / RESERVE_PART)
    }

    /// What may still be written.
    pub fn to_give(self) -> u64 {
        self.free_bytes.saturating_sub(self.reserve_bytes())
    }

    fn short_bytes(self) -> u64 {
        SHORT_BYTES_MAX.min(self.total_bytes / 100 * SHORT_PERCENT)
    }

    /// Whether what nobody uses should make room.
    pub fn is_short(self) -> bool {
        self.free_bytes < self.short_bytes()
    }

    /// How much more should be free.
    pub fn lacks_bytes(self) -> u64 {
        let enough = self.short_bytes() / ENOUGH_PARTS.1 * ENOUGH_PARTS.0;
        enough.saturating_sub(self.free_bytes)
    }

    /// See [`check_room`].
    pub fn check(self, what: &str) -> Result<()> {
        let kept = RESERVE_FILES_MAX.min(self.total_files / RESERVE_PART);
        if self.free_files < kept {
            return Err(EngineError::no_space(format_args!(
                "the machine's disk has room for {} files, and {kept} are kept for its records, so there is \
                 none for {what}; remove images, logs or objects",
                self.free_files,
            )));
        }
        if self.to_give() > 0 {
            return Ok(());
        }
        Err(EngineError::no_space(format_args!(
            "the machine's disk has {} free, and {} are kept for its records, so there is none for \
             {what}; remove images, logs or objects",
            bytes_in_words(self.free_bytes),
            bytes_in_words(self.reserve_bytes()),
        )))
    }
}

/// Asks for room as something is written, not for each byte: others write meanwhile.
#[derive(Debug, Clone)]
pub struct RoomWatch {
    directory: PathBuf,
    what: &'static str,
    /// Written since it was asked last. None: never.
    unasked_bytes: Option<u64>,
}

/// What may be written before it is asked again: less than the reserve by far.
const UNASKED_BYTES_MAX: u64 = 4 << 20;

impl RoomWatch {
    /// For something that is written to the disk that a directory is on.
    pub fn new(directory: impl Into<PathBuf>, what: &'static str) -> Self {
        Self {
            directory: directory.into(),
            what,
            unasked_bytes: None,
        }
    }

    /// To be called before so many bytes are written.
    pub fn before(&mut self, bytes: usize) -> Result<()> {
        let unasked = self.unasked_bytes.map(|it| it.saturating_add(bytes as u64));
        if unasked.is_none_or(|it| it > UNASKED_BYTES_MAX) {
            check_room(&self.directory, self.what)?;
            self.unasked_bytes = Some(0);
        } else {
            self.unasked_bytes = unasked;
        }
        Ok(())
    }
}

/// A writer that asks for room before it writes.
#[derive(Debug)]
pub struct RoomyWriter<W> {
    pub inner: W,
    pub room: RoomWatch,
}

impl<W: io::Write> io::Write for RoomyWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.room.before(bytes.len()).map_err(io::Error::other)?;
        self.inner.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// `20 GiB`, `1.5 MiB`: with at most one digit after the point.
pub fn bytes_in_words(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let tenths = (value * 10.0).floor() / 10.0;
    format!("{tenths} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_reserve_is_not_given() {
        let large = Room {
            total_bytes: 250 * GIB,
            free_bytes: 3 * GIB / 2,
            ..Room::default()
        };
        assert_eq!(large.to_give(), GIB / 2);
        large.check("a log").unwrap();
        let small = Room {
            total_bytes: 10 * GIB,
            free_bytes: GIB / 2,
            ..Room::default()
        };
        let said = small.check("a log").unwrap_err().message;
        assert!(said.starts_with("No space left on device: the machine's disk has 512 MiB free"));
        assert!(said.contains("none for a log"), "{said}");
    }

    #[test]
    fn files_without_bytes_take_room_as_well() {
        let with = |free_files| Room {
            total_bytes: 250 * GIB,
            free_bytes: 100 * GIB,
            total_files: 16_000_000,
            free_files,
        };
        with(100_000).check("a build").unwrap();
        let said = with(99_999).check("a build").unwrap_err().message;
        assert!(
            said.starts_with(
                "No space left on device: the machine's disk has room for 99999 files"
            )
        );
        assert!(said.contains("none for a build"), "{said}");
    }

    #[test]
    fn a_disk_is_short_before_it_refuses_and_for_a_while() {
        let check = |total_gib: u64, free_gib: u64, is_short: bool, lacks_gib: u64| {
            let room = Room {
                total_bytes: total_gib * GIB,
                free_bytes: free_gib * GIB,
                ..Room::default()
            };
            let lacks = room.lacks_bytes().div_ceil(GIB);
            assert_eq!((room.is_short(), lacks), (is_short, lacks_gib), "{room:?}");
            assert!(room.is_short() || room.check("it").is_ok());
        };
        check(100, 14, true, 6);
        check(100, 15, false, 5);
        check(100, 20, false, 0);
        check(4000, 31, true, 12);
        check(4000, 43, false, 0);
    }

    #[test]
    fn sizes_are_said_in_words() {
        for (bytes, said) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (20 * GIB, "20 GiB"),
            (8 << 40, "8 TiB"),
        ] {
            assert_eq!(bytes_in_words(bytes), said);
        }
    }
}
