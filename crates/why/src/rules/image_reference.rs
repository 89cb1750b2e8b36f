//! I9: what the task definition names is not an image's name.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "I9",
    name: "invalid-reference",
    layer: Layer::Image,
    needs: &[Fact::Image],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let wrong = (situation.containers.iter()).find(|it| {
        let is_known = !it.image.name.is_empty() && it.image.is_of.is_none();
        is_known && it.image.name.parse::<engine::ImageName>().is_err()
    });
    let reason = situation.stopped_reason();
    let is_said = reason.contains("invalid reference format");
    if !(is_said || situation.is_ahead && wrong.is_some()) {
        return None;
    }
    let name = wrong.map_or("…", |it| it.image.name.as_str());
    Some(
        Clue::observed(
            format!("`{name}` is not the name of an image"),
            "CannotPullContainerError: invalid reference format",
        )
        .with_what_the_task_says(situation)
        .at(&wrong.and_then(|it| it.image.place.clone()))
        .mend(Mend::template(
            "write it as `REPOSITORY:TAG`, in lower case and without a scheme such as `https://`",
        )),
    )
}
