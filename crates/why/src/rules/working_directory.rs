//! S5: the working directory cannot be entered.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S5",
    name: "workdir",
    layer: Layer::Start,
    needs: &[Fact::StopReason],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let reason = situation.stopped_reason();
    let says = ["chdir to cwd", "working directory"]
        .iter()
        .any(|it| reason.contains(it));
    if !says {
        return None;
    }
    let container = situation.failed_container()?;
    Some(
        Clue::observed(
            format!("the working directory of container `{}` cannot be entered", container.name),
            "CannotStartContainerError: … chdir to cwd … failed",
        )
        .with_what_the_task_says(situation)
        .mend(Mend::template("correct WORKDIR or `workingDirectory`: it has to be a directory that the container's user may enter")),
    )
}
