//! Errors inside the runtime: a sentence with its causes already in it, because it ends as the
//! reason why a task stopped.

use std::fmt;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why something could not be done, told for a person.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub String);

impl From<Failure> for engine::EngineError {
    fn from(failure: Failure) -> Self {
        Self::machine(failure.0)
    }
}

/// Adds what was being done to an error.
pub(crate) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure(format!("{}: {error}", what())))
    }
}

/// Says something in the log of this process, as far as it can be said: nobody goes down because the disk
/// that the log lies on is full, or whoever read it is gone.
macro_rules! note {
    ($($said:tt)*) => {{
        let mut out = std::io::stderr().lock();
        let _ = std::io::Write::write_fmt(&mut out, format_args!("{}\n", format_args!($($said)*)));
    }};
}
pub(crate) use note;
