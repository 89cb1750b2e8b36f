//! S15: the execution role may not read a secret.

use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;
use crate::texts::denied_action;

pub const RULE: Rule = Rule {
    id: "S15",
    name: "secret-permission",
    layer: Layer::Start,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation.secret_failed() {
        return None;
    }
    let action = denied_action(situation.stopped_reason())?;
    Some(
        Clue::observed(
            format!("the task's execution role may not read what the task is given: {action} is denied"),
            "ResourceInitializationError: unable to pull secrets or registry auth: … AccessDeniedException",
        )
        .because_of_the_execution_role(situation, action)
        .mend(Mend::template(format!("allow {action} on the secret's ARN in a policy of the execution role"))),
    )
}
