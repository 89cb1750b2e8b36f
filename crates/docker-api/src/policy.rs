//! What a socket's users may ask for.

use crate::answer::Refusal;

/// Who speaks at a socket: the machine's owner, who may do everything; or a build, which is not
/// trusted with the machine. A build gets no host path, no privilege, no namespace and no port of the
/// host, and what the owner made (containers, volumes, networks) is not there for it. Images are
/// shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Owner,
    Build,
}

impl Policy {
    pub fn allow(self, what: &str) -> Result<(), Refusal> {
        match self {
            Self::Owner => Ok(()),
            Self::Build => Err(Refusal::forbidden(format!(
                "{what}: not allowed inside a build"
            ))),
        }
    }

    /// Whether something that was made by a build, or not, is there for it.
    pub fn sees(self, of_build: bool) -> bool {
        self == Self::Owner || of_build
    }

    pub fn is_build(self) -> bool {
        self == Self::Build
    }
}
