//! I7: the image is looked for in another region's registry.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::{Basis, Mend};

pub const RULE: Rule = Rule {
    id: "I7",
    name: "wrong-region-uri",
    layer: Layer::Image,
    needs: &[Fact::Image],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation.pull_failed() {
        return None;
    }
    let (container, region) = situation.containers.iter().find_map(|it| {
        let region = it.image.region.as_ref()?;
        let is_missing = it.image.here.as_ref().is_some_and(|it| !it.has_tag);
        (is_missing && *region != situation.region).then_some((it, region))
    })?;
    Some(
        Clue::observed(
            format!(
                "container `{}` takes its image from the registry in {region}, the task runs in {}, and the image is not there",
                container.name, situation.region
            ),
            "CannotPullContainerError: … not found",
        )
        .on(Basis::Derived)
        .because(format!("image {}", container.image.name), format!("is looked for in {region}"))
        .with_what_the_task_says(situation)
        .at(&container.image.place)
        .mend(Mend::template("name the registry of the task's own region, for example by `AWS::Region`")),
    )
}
