//! I12: a tag that never moves, and that every build is pushed under.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "I12",
    name: "immutable-tag",
    layer: Layer::Image,
    needs: &[Fact::Image, Fact::Definition],
    find,
};

const SAYS: &str = "tag is immutable";

fn find(situation: &Situation) -> Option<Clue> {
    let pushed = |it: &&String| it.contains(SAYS) || it.contains("ImageTagAlreadyExistsException");
    let printed = situation
        .build
        .as_ref()
        .and_then(|it| it.printed.iter().find(pushed));
    let says = "ImageTagAlreadyExistsException: The image tag … already exists in the … repository and cannot be overwritten because the tag is immutable";
    if let (Some(build), Some(line)) = (&situation.build, printed) {
        let cause = format!(
            "the build of project {} pushes a tag that is there already, to a repository whose tags never move",
            build.project
        );
        let clue =
            Clue::observed(cause, says).because(format!("build {}", build.id), line.trim_end());
        return Some(clue.mend(Mend::template("push a tag of its own for each build, as `$CODEBUILD_RESOLVED_SOURCE_VERSION`, or make the repository MUTABLE")));
    }
    let container = (situation.containers.iter()).find(|it| {
        let is_moving = it.image.name.ends_with(":latest");
        situation.is_ahead && it.image.is_immutable && is_moving
    })?;
    let repository = container.image.is_of.as_deref().unwrap_or_default();
    Some(
        Clue::observed(
            format!(
                "container `{}` runs the tag `latest` of the repository {repository}, whose tags never move: the second push of it is refused",
                container.name
            ),
            says,
        )
        .because(format!("repository {repository}"), "its ImageTagMutability is IMMUTABLE")
        .warns()
        .at(&container.image.place)
        .mend(Mend::template("run a tag of its own for each build, or make the repository MUTABLE")),
    )
}
