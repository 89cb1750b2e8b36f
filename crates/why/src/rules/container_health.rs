//! R7: the container's own health check fails.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "R7",
    name: "container-health",
    layer: Layer::Running,
    needs: &[Fact::Program],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if let Some(clue) = ahead(situation) {
        return Some(clue);
    }
    let container = (situation.containers.iter()).find(|it| it.health == "UNHEALTHY")?;
    let command = container.health_command.join(" ");
    Some(
        Clue::observed(
            format!("the health check of container `{}` fails: {command}", container.name),
            "Task failed container health checks",
        )
        .because(format!("container {}", container.name), "is UNHEALTHY".to_owned())
        .mend(Mend::template("run the command in the container: it has to end with 0, and what it starts (`curl`?) has to be in the image")
            .by("aws ecs execute-command … --command \"…\" --interactive"))
        .mend(Mend::template("if the program only needs longer to start, raise `startPeriod`")),
    )
}

fn ahead(situation: &Situation) -> Option<Clue> {
    let mut containers = situation.containers.iter();
    let (container, program) = containers.find_map(|it| {
        Some((
            it,
            it.lacks_for_health
                .as_deref()
                .filter(|_| situation.is_ahead)?,
        ))
    })?;
    Some(
        Clue::observed(
            format!(
                "the health check of container `{}` runs `{program}`, which its image does not have",
                container.name
            ),
            "Task failed container health checks",
        )
        .because(format!("image {}", container.image.name), format!("has no `{program}` in its PATH"))
        .because(
            format!("container {}", container.name),
            format!("is checked by `{}`", container.health_command.join(" ")),
        )
        .at(&container.place)
        .mend(Mend::template(format!("install `{program}` in the image, or check with what it has (its own program, `wget`, a shell's `test`)"))),
    )
}
