//! What is asked for is checked before anything is made.

use std::collections::HashSet;

use engine::{EngineError, Result, TaskSpec};

/// An id is part of file names and control group names.
const ID_BYTES_MAX: usize = 128;

pub(super) fn id(what: &str, text: &str) -> Result<()> {
    let valid = !text.is_empty()
        && text.len() <= ID_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if valid {
        Ok(())
    } else {
        Err(EngineError::invalid(format!(
            "{what} `{text}` is not made of letters, digits and `-`"
        )))
    }
}

pub(super) fn task(spec: &TaskSpec) -> Result<()> {
    id("the task's id", &spec.id)?;
    if spec.containers.is_empty() {
        return Err(EngineError::invalid(format!(
            "the task `{}` has no containers",
            spec.id
        )));
    }
    let mut names = HashSet::new();
    for container in &spec.containers {
        let name = &container.name;
        if !names.insert(name) {
            return Err(EngineError::invalid(format!(
                "two containers are named `{name}`"
            )));
        }
        if container.argv.is_empty() {
            return Err(EngineError::invalid(format!(
                "the container `{name}` has no command"
            )));
        }
    }
    Ok(())
}
