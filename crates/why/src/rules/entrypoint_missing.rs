//! S1: the program that the image starts is not in it.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S1",
    name: "entrypoint-missing",
    layer: Layer::Start,
    needs: &[Fact::Program],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (container, program, why) = situation.not_started(|why, found| {
        let is_missing = why.contains("no such file") || why.contains("not found in $PATH");
        is_missing && !found.is_some_and(|it| it.is_there)
    })?;
    Some(
        Clue::observed(
            format!("the image of container `{}` has no `{program}`, which is what it is to start", container.name),
            format!("CannotStartContainerError: … exec: \"{program}\": stat {program}: no such file or directory"),
        )
        .because(format!("image {}", container.image.name), format!("`{program}` was looked for in it: {why}"))
        .with_what_the_task_says(situation)
        .at(&container.image.place)
        .mend(Mend::template(format!("COPY `{program}` into the image, or correct ENTRYPOINT, CMD or the definition's `command`; a program without a slash is looked for in the image's PATH"))),
    )
}
