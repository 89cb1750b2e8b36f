//! What a machine has only so much of. That there is none left is told from errors by their kind, never by
//! their words, through whatever they were wrapped in on their way.

use std::error::Error;
use std::{fmt, io};

/// What there is none left of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Room on a disk, or in what somebody may use of it.
    Space,
    /// Descriptors of open files, in this process or on the machine.
    Descriptors,
}

/// Linux's numbers, for which the standard library has no kinds: `ENFILE` and `EMFILE`.
const NO_DESCRIPTORS: [i32; 2] = [23, 24];

impl Lack {
    /// What an error of the operating system says there is none left of.
    pub fn of_io(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Space),
            _ => (error.raw_os_error())
                .filter(|it| NO_DESCRIPTORS.contains(it))
                .map(|_| Self::Descriptors),
        }
    }

    /// The same of one cause of an error: see [`causes`].
    pub fn of_cause(cause: &(dyn Error + 'static)) -> Option<Self> {
        cause.downcast_ref().and_then(Self::of_io)
    }
}

/// In the operating system's words, by which everybody knows it.
impl fmt::Display for Lack {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Space => "No space left on device",
            Self::Descriptors => "Too many open files",
        })
    }
}

/// An error and all that is below it, also what an `io::Error` was made of, which it does not name as its
/// source.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |it| below(*it))
}

fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_is_found_through_what_wraps_it() {
        let find = |error: io::Error| causes(&error).find_map(Lack::of_cause);
        let os = io::Error::from_raw_os_error;
        for (error, lack) in [
            (os(28), Some(Lack::Space)),
            (os(122), Some(Lack::Space)),
            (os(24), Some(Lack::Descriptors)),
            (os(23), Some(Lack::Descriptors)),
            (os(2), None),
            (io::Error::other("No space left on device"), None),
        ] {
            assert_eq!(find(error), lack);
        }
        let wrapped = io::Error::other(io::Error::other(os(28)));
        assert_eq!(find(wrapped), Some(Lack::Space));
    }
}
