//! What an engine call can answer when it does not do what it was asked.

use std::error::Error;
use std::fmt;

use base::{Lack, causes};

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
    /// What there is none left of, where that is why it failed.
    pub lack: Option<Lack>,
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
            lack: None,
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
    /// There is no room left, in words that whoever asked may read: what is full, and what to do.
    pub fn no_space(what: impl fmt::Display) -> Self {
        Self {
            lack: Some(Lack::Space),
            ..Self::machine(format!("{}: {what}", Lack::Space))
        }
    }
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = source.into();
        self.lack = self.lack.or_else(|| lack_of(&*source));
        self.source = Some(source);
        self
    }
    /// What there is none left of, for who asked for what could not be done. The message of such an error
    /// names files of this machine, which are nobody else's business.
    pub fn lack_in_words(&self) -> Option<String> {
        match (self.lack?, &self.source) {
            (Lack::Space, None) => Some(self.message.clone()),
            (lack, _) => Some(lack_in_words(lack)),
        }
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
        let lack = lack_of(&error);
        let fault = match error.kind() {
            std::io::ErrorKind::NotFound => Fault::NotFound,
            std::io::ErrorKind::AlreadyExists => Fault::Conflict,
            _ => Fault::Machine,
        };
        let told = Self::new(fault, error.to_string());
        match lack {
            // The kernel's words say nothing of what to do, and so are the cause alone.
            Some(lack) => Self::machine(lack.to_string()).because(error),
            None => told,
        }
    }
}

/// What an error says that there is none left of, in any of its causes.
pub fn lack_of(error: &(dyn Error + 'static)) -> Option<Lack> {
    causes(error).find_map(|cause| {
        let of_engine = cause.downcast_ref::<EngineError>();
        let of_kernel = cause.downcast_ref::<rustix::io::Errno>();
        Lack::of_cause(cause)
            .or_else(|| of_engine.and_then(|it| it.lack))
            .or_else(|| of_kernel.and_then(|it| Lack::of_io(&(*it).into())))
    })
}

/// What there is none left of and what to do, for who may know no more of the machine.
pub fn lack_in_words(lack: Lack) -> String {
    let advice = match lack {
        Lack::Space => {
            "the disk that neargate keeps its data on is full, or its quota is used up; remove \
             images, logs, objects or other files from it, and try again"
        }
        Lack::Descriptors => {
            "neargate has as many as it may have, or the machine has; end tasks or connections, or \
             raise the limit (`neargate doctor` tells it), and try again"
        }
    };
    format!("{lack}: {advice}")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_lack_is_kept_on_the_way_up_and_told_without_the_file() {
        let full = || io::Error::from_raw_os_error(28);
        let wrapped = EngineError::machine("cannot write `/var/lib/secret`").because(full());
        assert_eq!(wrapped.lack, Some(Lack::Space));
        assert!(wrapped.chain().contains("/var/lib/secret"));
        let again = EngineError::invalid("no upload").because(io::Error::other(wrapped));
        for error in [again, full().into(), EngineError::no_space("none is left")] {
            let said = error.lack_in_words().unwrap();
            assert!(said.starts_with("No space left on device: "), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
        let other = EngineError::machine("no").because(io::Error::from_raw_os_error(5));
        assert_eq!(other.lack, None);
    }
}
