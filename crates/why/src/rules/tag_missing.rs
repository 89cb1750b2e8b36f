//! I2: the repository has no such tag.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::nearest::nearest;
use crate::report::Mend;

/// More tags than these are not listed.
const TAGS_SHOWN_MAX: usize = 5;

pub const RULE: Rule = Rule {
    id: "I2",
    name: "tag-missing",
    layer: Layer::Image,
    needs: &[Fact::Image],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation.pull_failed() {
        return None;
    }
    if let Some(clue) = of_a_repository_to_come(situation) {
        return Some(clue);
    }
    let (container, here) = situation.containers.iter().find_map(|it| {
        let here = it.image.here.as_ref()?;
        (here.has_repository && !here.has_tag).then_some((it, here))
    })?;
    let shown: Vec<&str> = here
        .tags
        .iter()
        .take(TAGS_SHOWN_MAX)
        .map(String::as_str)
        .collect();
    let seen = match (shown.is_empty(), nearest(&here.tag, &here.tags)) {
        (true, _) => "has no tagged image at all: nothing was pushed yet".to_owned(),
        (false, Some(near)) => format!("has {} (nearest: `{near}`)", shown.join(", ")),
        (false, None) => format!("has {}", shown.join(", ")),
    };
    Some(
        Clue::observed(
            format!(
                "the image `{}:{}` of container `{}` was never pushed: the repository has no such tag",
                here.repository, here.tag, container.name
            ),
            "CannotPullContainerError: pull image manifest has been retried … failed to resolve ref …: not found",
        )
        .because(format!("repository {}", here.repository), seen)
        .with_what_the_task_says(situation)
        .at(&container.image.place)
        .mend(Mend::environment("push the image under that tag").by(format!("docker push {}", container.image.name)))
        .mend(Mend::template("or name a tag that is there in the task definition")),
    )
}

/// What makes the repository and the service in one go starts tasks before anybody can push.
fn of_a_repository_to_come(situation: &Situation) -> Option<Clue> {
    let wanted = situation.service.as_ref().is_none_or(|it| it.desired > 0);
    let container = (situation.containers.iter()).find(|it| it.image.is_of.is_some() && wanted)?;
    let repository = container.image.is_of.as_deref().unwrap_or_default();
    Some(
        Clue::observed(
            format!(
                "container `{}` takes its image from the repository {repository}, which is made together with it and is empty when the first task starts",
                container.name
            ),
            "CannotPullContainerError: … not found, and the service does not become stable",
        )
        .because(format!("repository {repository}"), "is made by the same file")
        .warns()
        .at(&container.image.place)
        .mend(Mend::template("make the repository in a stack of its own and push to it before the service is made, or begin with `DesiredCount: 0`")),
    )
}
