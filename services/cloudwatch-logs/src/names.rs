//! How groups are named, and the errors that name them.

use cloud::{Cx, Error, Records};
use engine::{EngineError, Fault};
use shapes::logs::errors::{
    InvalidParameterException, ResourceNotFoundException, ValidationException,
};

use crate::group::Group;

pub fn invalid(message: impl Into<String>) -> Error {
    InvalidParameterException.because(message)
}

/// A feature that is not built.
pub fn unsupported(what: impl std::fmt::Display) -> Error {
    shapes::logs::MODEL.unsupported(what)
}

pub fn no_group() -> Error {
    ResourceNotFoundException.because("The specified log group does not exist.")
}

pub fn no_stream() -> Error {
    ResourceNotFoundException.because("The specified log stream does not exist.")
}

/// What the engine said about a stream.
pub fn engine_error(error: EngineError) -> Error {
    if error.fault == Fault::NotFound {
        no_stream()
    } else {
        cloud::internal(error)
    }
}

/// `arn:aws:logs:<region>:<account>:log-group:<name>`, as tags name a group.
pub fn group_arn(cx: &Cx, name: &str) -> String {
    cx.arn("logs", &format!("log-group:{name}"))
}

/// The name of the group that is given by name or by ARN.
pub fn group_name(cx: &Cx, identifier: &str) -> Result<String, Error> {
    if !identifier.starts_with("arn:") {
        return Ok(identifier.to_owned());
    }
    let own = group_arn(cx, "");
    let name = identifier.strip_prefix(&own).ok_or_else(no_group)?;
    Ok(name.strip_suffix(":*").unwrap_or(name).to_owned())
}

pub fn find(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<Group, Error> {
    tx.get(&cx.key(name))?.ok_or_else(no_group)
}

/// The group that one of two members names: both or neither is an error.
pub fn find_either(cx: &Cx, name: Option<&str>, identifier: Option<&str>) -> Result<Group, Error> {
    let name = match (name, identifier) {
        (Some(name), None) => name.to_owned(),
        (None, Some(identifier)) => group_name(cx, identifier)?,
        (Some(_), Some(_)) => {
            return Err(ValidationException
                .because("LogGroup name and LogGroup ARN are mutually exclusive parameters."));
        }
        (None, None) => {
            return Err(invalid(
                "Exactly one of logGroupName and logGroupIdentifier must be given.",
            ));
        }
    };
    cx.read(|tx| find(cx, tx, &name))
}

pub fn find_by_identifier(cx: &Cx, identifier: &str) -> Result<Group, Error> {
    let name = group_name(cx, identifier)?;
    cx.read(|tx| find(cx, tx, &name))
}
