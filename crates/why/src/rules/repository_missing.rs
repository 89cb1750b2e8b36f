//! I1: the registry has no such repository.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::{OwnImage, Situation};
use crate::nearest::nearest;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "I1",
    name: "repository-missing",
    layer: Layer::Image,
    needs: &[Fact::Image],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation.pull_failed() {
        return None;
    }
    let (container, here) = situation.containers.iter().find_map(|it| {
        let here = it.image.here.as_ref()?;
        (!here.has_repository).then_some((it, here))
    })?;
    let OwnImage {
        repository,
        repositories,
        tag,
        ..
    } = here;
    let near = match nearest(repository, repositories) {
        Some(near) => format!("there is none of that name; the nearest is `{near}`"),
        None => "there is none of that name".to_owned(),
    };
    Some(
        Clue::observed(
            format!("the repository `{repository}` that container `{}` takes its image from does not exist", container.name),
            "CannotPullContainerError: … repository … not found",
        )
        .because(format!("ECR repositories in {}", situation.region), near)
        .with_what_the_task_says(situation)
        .at(&container.image.place)
        .mend(Mend::environment(format!("make the repository and push `{tag}` to it")).by(format!(
            "aws ecr create-repository --repository-name {repository}"
        )))
        .mend(Mend::template("or correct the image's name in the task definition")),
    )
}
