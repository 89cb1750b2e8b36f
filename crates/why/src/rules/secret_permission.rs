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
    let reason = situation.stopped_reason();
    let is_secret = ["secret from asm", "secrets from ssm"]
        .iter()
        .any(|it| reason.contains(it));

    if !is_secret {
        return None;
    }
    let action = denied_action(reason)?;
    let role = situation
        .task
        .as_ref()?
        .execution_role
        .clone()
        .unwrap_or_default();
    Some(
        Clue::observed(
            format!("the task's execution role may not read what the task is given: {action} is denied"),
            "ResourceInitializationError: unable to pull secrets or registry auth: … AccessDeniedException",
        )
        .because(format!("execution role {role}"), format!("was asked for {action} and has no right to it"))
        .with_what_the_task_says(situation)
        .mend(Mend::template(format!("allow {action} on the secret's ARN in a policy of the execution role"))),
    )
}
