//! S8: the log group does not exist.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S8",
    name: "log-group-missing",
    layer: Layer::Start,
    needs: &[Fact::LogGroups],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (container, log) = situation.missing_log_group()?;
    if !log.elsewhere.is_empty() {
        return None;
    }
    Some(
        Clue::observed(
            format!("the log group `{}` that container `{}` writes to does not exist in {}", log.group, container.name, log.region),
            "ResourceNotFoundException: The specified log group does not exist.",
        )
        .because(format!("log groups in {}", log.region), format!("there is no `{}`, and none of that name in another region", log.group))
        .with_what_the_task_says(situation)
        .at(&log.place)
        .mend(Mend::template("make the group in the template (AWS::Logs::LogGroup), and let the service depend on it")
            .by(format!("aws logs create-log-group --region {} --log-group-name {}", log.region, log.group)))
        .mend(Mend::template("or let the task make it: `awslogs-create-group: \"true\"`, and logs:CreateLogGroup for the execution role")),
    )
}
