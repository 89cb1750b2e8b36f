//! S10: the execution role may not write the log.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S10",
    name: "log-permission",
    layer: Layer::Start,
    needs: &[Fact::Roles],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let reason = situation.stopped_reason();
    let is_said =
        reason.contains("failed to create Cloudwatch log") && reason.contains("AccessDenied");
    let denied = situation.denied(|it| it.starts_with("logs:"));
    if !(is_said || situation.is_ahead && denied.is_some()) {
        return None;
    }
    let action = denied.unwrap_or("logs:CreateLogStream");
    Some(
        Clue::observed(
            format!("the task's execution role may not write the log: {action} is denied"),
            "failed to create Cloudwatch log stream: … AccessDeniedException",
        )
        .because_of_the_execution_role(situation, action)
        .mend(Mend::template(format!(
            "allow {action} on the log group, for example by AmazonECSTaskExecutionRolePolicy"
        ))),
    )
}
