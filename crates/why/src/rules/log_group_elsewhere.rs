//! S9: the log group is there, in another region.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S9",
    name: "log-group-in-other-region",
    layer: Layer::Start,
    needs: &[Fact::LogGroups],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (container, log) = situation.missing_log_group()?;
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
        .at(&log.place)
        .mend(Mend::template(format!(
            "set `awslogs-region` to {there}, or make the group in {}",
            log.region
        ))),
    )
}
