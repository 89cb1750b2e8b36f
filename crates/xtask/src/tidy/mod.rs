//! `cargo xtask tidy`: the rules of the house that no compiler knows.
//!
//! A rule is a function from the [`House`] to its [`Violation`]s. Each says why it is there, in the
//! message that somebody reads who has just broken it. Nothing is compiled and no program is run:
//! manifests and sources are read as they are.

mod arrows;
mod house;
mod members;
mod papers;
mod sources;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::bail;

pub use house::{House, Member, Source};

/// One place that breaks one rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// From the root of the workspace.
    pub place: PathBuf,
    pub what: String,
    /// Why the rule is there, and what to do instead.
    pub why: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}\n    {}",
            self.place.display(),
            self.what,
            self.why
        )
    }
}

/// Every rule, by what it looks at.
const RULES: &[fn(&House) -> Vec<Violation>] = &[
    arrows::follow_the_house,
    arrows::keep_to_their_side,
    sources::speak_of_aws_above_the_engine_only,
    sources::reach_the_machine_through_the_engine,
    sources::stay_readable,
    sources::introduce_themselves,
    sources::allow_unsafe_where_the_kernel_is,
    sources::take_the_lints_of_the_workspace,
    sources::leave_arguments_and_environment_to_the_executable,
    members::are_answered_and_read,
    papers::name_the_commands_that_ci_runs,
    papers::map_every_crate,
    papers::name_files_that_are_there,
    papers::keep_their_markers,
];

/// Prints nothing and succeeds when the workspace at `root` keeps every rule.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let violations = check(&House::read(root)?);
    if violations.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = violations.iter().map(Violation::to_string).collect();
    bail!(
        "{} places break a rule of the house:\n\n{}",
        list.len(),
        list.join("\n\n")
    )
}

fn check(house: &House) -> Vec<Violation> {
    RULES.iter().flat_map(|rule| rule(house)).collect()
}
