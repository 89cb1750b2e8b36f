//! Finding repositories and revisions, and the errors that name them.

use cloud::{Cx, Error, Records};
use engine::{EngineError, Fault, GitSource};
use shapes::codecommit::errors;

use crate::repository::RepositoryRecord;

pub fn no_repository(name: &str) -> Error {
    errors::RepositoryDoesNotExistException.because(format!("{name} does not exist"))
}

pub fn find(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<RepositoryRecord, Error> {
    tx.get(&cx.key(name))?.ok_or_else(|| no_repository(name))
}

pub fn repository(cx: &Cx, name: &str) -> Result<RepositoryRecord, Error> {
    cx.read(|tx| find(cx, tx, name))
}

pub fn source(repository: &RepositoryRecord) -> GitSource {
    GitSource::Hosted(repository.id.clone())
}

/// A feature that is not built.
pub fn unsupported(what: &str) -> Error {
    shapes::codecommit::MODEL.unsupported(what)
}

pub fn no_branch(name: &str) -> Error {
    errors::BranchDoesNotExistException.because(format!("Branch {name} does not exist"))
}

/// Errors about a revision that somebody named.
pub fn no_revision(error: EngineError, specifier: &str) -> Error {
    match error.fault {
        Fault::NotFound => errors::CommitDoesNotExistException.because(format!(
            "Could not get the commit by specifier {specifier}: it does not exist"
        )),
        Fault::Invalid => errors::InvalidCommitException
            .because(format!("The commit specifier {specifier} is not valid")),
        _ => cloud::internal(error),
    }
}

/// `/a/b/` and `a/b` are the same path.
pub fn path(text: &str) -> &str {
    text.trim_matches('/')
}
