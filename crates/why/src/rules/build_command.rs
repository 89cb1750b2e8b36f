//! B4: a command of a build failed.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;
use crate::texts::commands_lines;

pub const RULE: Rule = Rule {
    id: "B4",
    name: "command-failed",
    layer: Layer::Running,
    needs: &[Fact::Build],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let build = (situation.build.as_ref()).filter(|it| it.code == "COMMAND_EXECUTION_ERROR")?;
    Some(
        Clue::observed(
            format!(
                "a command in phase {} of the build of project {} failed: {}",
                build.phase, build.project, build.message
            ),
            format!("COMMAND_EXECUTION_ERROR: {}", build.message),
        )
        .because(
            format!("build {}", build.id),
            commands_lines(&build.printed),
        )
        .mend(Mend::template(
            "mend what the command says; the whole output is in the build's log group",
        )),
    )
}
