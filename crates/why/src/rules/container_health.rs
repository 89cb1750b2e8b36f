//! R7: the container's own health check fails.

use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "R7",
    name: "container-health",
    layer: Layer::Running,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
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
