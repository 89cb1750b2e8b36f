//! S15: the execution role may not read a secret.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S15",
    name: "secret-permission",
    layer: Layer::Start,
    needs: &[Fact::Roles],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation.is_ahead && !situation.secret_failed() {
        return None;
    }
    let is_reading = |it: &str| !it.starts_with("ecr:") && !it.starts_with("logs:");
    let action = situation.denied(is_reading)?;
    Some(
        Clue::observed(
            format!("the task's execution role may not read what the task is given: {action} is denied"),
            "ResourceInitializationError: unable to pull secrets or registry auth: … AccessDeniedException",
        )
        .because_of_the_execution_role(situation, action)
        .mend(Mend::template(format!("allow {action} on the secret's ARN in a policy of the execution role"))),
    )
}
