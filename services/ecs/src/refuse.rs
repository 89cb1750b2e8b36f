//! What AWS has and this build has not: refused by name, in AWS's form, before anything is made.

use cloud::Error;

/// The error for a feature that is not built.
pub fn unsupported(what: impl std::fmt::Display) -> Error {
    shapes::ecs::MODEL.unsupported(what)
}
