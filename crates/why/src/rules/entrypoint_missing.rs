//! S1: the program that the image starts is not in it.

use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;
use crate::texts::not_executed;

pub const RULE: Rule = Rule {
    id: "S1",
    name: "entrypoint-missing",
    layer: Layer::Start,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (program, why) = not_executed(situation.stopped_reason())?;
    let is_missing = why.contains("no such file") || why.contains("not found in $PATH");
    let container = situation.failed_container()?;
    let is_there = container
        .image
        .program
        .as_ref()
        .is_some_and(|it| it.is_there);
    if !is_missing || is_there {
        return None;
    }
    Some(
        Clue::observed(
            format!("the image of container `{}` has no `{program}`, which is what it is to start", container.name),
            format!("CannotStartContainerError: … exec: \"{program}\": stat {program}: no such file or directory"),
        )
        .because(format!("image {}", container.image.name), format!("`{program}` was looked for in it: {why}"))
        .with_what_the_task_says(situation)
        .mend(Mend::template(format!("COPY `{program}` into the image, or correct ENTRYPOINT, CMD or the definition's `command`; a program without a slash is looked for in the image's PATH"))),
    )
}
