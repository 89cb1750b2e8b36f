//! S9: the log group is there, in another region.

use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S9",
    name: "log-group-in-other-region",
    layer: Layer::Start,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation
        .stopped_reason()
        .contains("The specified log group does not exist")
    {
        return None;
    }
    let (container, log) = (situation.containers.iter())
        .find_map(|it| Some((it, it.log.as_ref()?)).filter(|it| !it.1.is_there))?;
    let there = log.elsewhere.first()?;
    Some(
        Clue::observed(
            format!(
                "container `{}` writes to the log group `{}` in {}, and that group is in {}",
                container.name,
                log.group,
                log.region,
                log.elsewhere.join(", ")
            ),
            "ResourceNotFoundException: The specified log group does not exist.",
        )
        .because(
            "the task definition",
            format!("awslogs-region is {}", log.region),
        )
        .because(
            format!("log group {}", log.group),
            format!("is in {}", log.elsewhere.join(", ")),
        )
        .with_what_the_task_says(situation)
        .mend(Mend::template(format!(
            "set `awslogs-region` to {there}, or make the group in {}",
            log.region
        ))),
    )
}
