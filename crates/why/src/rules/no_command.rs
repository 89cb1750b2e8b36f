//! S27: neither the image nor the definition says what to start.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S27",
    name: "image-config",
    layer: Layer::Start,
    needs: &[Fact::Program],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let is_said = situation.stopped_reason().contains("no command specified");
    let container = match situation.is_ahead {
        true => (situation.containers.iter()).find(|it| it.image.says_nothing)?,
        false => situation.failed_container().filter(|_| is_said)?,
    };
    Some(
        Clue::observed(
            format!(
                "nothing says what container `{}` is to start",
                container.name
            ),
            "CannotStartContainerError: … no command specified",
        )
        .because(
            format!("image {}", container.image.name),
            "has neither ENTRYPOINT nor CMD, and the definition has no `command`",
        )
        .with_what_the_task_says(situation)
        .at(&container.image.place)
        .mend(Mend::template(
            "add CMD to the Dockerfile, or `command` to the container definition",
        )),
    )
}
