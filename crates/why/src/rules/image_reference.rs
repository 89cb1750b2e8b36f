//! I9: what the task definition names is not an image's name.

use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "I9",
    name: "invalid-reference",
    layer: Layer::Image,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation
        .stopped_reason()
        .contains("invalid reference format")
    {
        return None;
    }
    let wrong = (situation.containers.iter())
        .find(|it| it.image.name.parse::<engine::ImageName>().is_err());
    let name = wrong.map_or("…", |it| it.image.name.as_str());
    Some(
        Clue::observed(
            format!("`{name}` is not the name of an image"),
            "CannotPullContainerError: invalid reference format",
        )
        .with_what_the_task_says(situation)
        .mend(Mend::template(
            "write it as `REPOSITORY:TAG`, in lower case and without a scheme such as `https://`",
        )),
    )
}
