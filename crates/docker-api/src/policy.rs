//! What an engine's users may ask for.

use crate::answer::Refusal;

/// Whose engine it is: the machine's owner's, who may do everything; or a build's, which is not trusted
/// with the machine and gets no host path, no device, no privilege, no namespace and no port of the host. That nobody
/// sees what another has made is no matter of policy: each has an engine of its own.
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
}
