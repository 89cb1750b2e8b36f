//! What AWS has and this build has not: refused by name, in AWS's form, before anything is made.

use cloud::Error;
use shapes::ecs::errors::UnsupportedFeatureException;

/// The error for a feature that is not built.
pub fn unsupported(what: impl std::fmt::Display) -> Error {
    UnsupportedFeatureException.because(format!("{what} is not supported by neargate."))
}

/// Refuses a member that is given. An empty list or map asks for nothing and is let pass.
pub fn refuse<T: wire::Value>(what: &str, member: &Option<T>) -> Result<(), Error> {
    match member.as_ref().map(wire::Value::get) {
        None | Some(wire::Node::Null) => Ok(()),
        Some(wire::Node::List(items)) if items.is_empty() => Ok(()),
        Some(wire::Node::Map(members) | wire::Node::Dict(members)) if members.is_empty() => Ok(()),
        Some(wire::Node::Bool(false)) => Ok(()),
        Some(_) => Err(unsupported(what)),
    }
}
