//! S27: neither the image nor the definition says what to start.

use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S27",
    name: "image-config",
    layer: Layer::Start,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation.stopped_reason().contains("no command specified") {
        return None;
    }
    let container = situation.failed_container()?;
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
        .mend(Mend::template(
            "add CMD to the Dockerfile, or `command` to the container definition",
        )),
    )
}
