//! What an engine call can answer when it does not do what it was asked.

use std::fmt;

/// Whose fault an [`EngineError`] is, and so whether asking again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The thing asked for does not exist.
    NotFound,
    /// The request can never work as it stands.
    Invalid,
    /// It exists already in another form, or is in use.
    Conflict,
    /// Something outside could not be reached; asking again may help.
    Unreachable,
    /// The machine lacks something (a capability, space, a port).
    Machine,
}

pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// An engine call that failed. The message says what failed and stands on its own; the cause is in
/// `source`.
#[derive(Debug, thiserror::Error)]
pub struct EngineError {
    pub fault: Fault,
    pub message: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl EngineError {
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self {
            fault,
            message: message.into(),
            source: None,
        }
    }
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Fault::NotFound, message)
    }
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Fault::Invalid, message)
    }
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Fault::Conflict, message)
    }
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Fault::Unreachable, message)
    }
    pub fn machine(message: impl Into<String>) -> Self {
        Self::new(Fault::Machine, message)
    }
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
    /// The message and every cause below it, for a log line or a stop reason.
    pub fn chain(&self) -> String {
        let mut out = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            out.push_str(": ");
            out.push_str(&error.to_string());
            cause = error.source();
        }
        out
    }
}

impl From<std::io::Error> for EngineError {
    fn from(error: std::io::Error) -> Self {
        let fault = match error.kind() {
            std::io::ErrorKind::NotFound => Fault::NotFound,
            std::io::ErrorKind::AlreadyExists => Fault::Conflict,
            _ => Fault::Machine,
        };
        Self::new(fault, error.to_string())
    }
}
