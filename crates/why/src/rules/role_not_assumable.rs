//! S18: the service may not become the role.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S18",
    name: "role-not-assumable",
    layer: Layer::Start,
    needs: &[Fact::Roles],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let role = situation.task.as_ref().and_then(|it| it.role.as_ref());
    let role = role.filter(|it| situation.is_ahead && !(it.is_there && it.trusts_tasks));
    let reason = situation.stopped_reason();
    if role.is_none() && !reason.contains("ECS was unable to assume the role") {
        return None;
    }
    let mut clue =
        Clue::observed(
            "a role of the task does not exist, or does not trust ecs-tasks.amazonaws.com",
            "ECS was unable to assume the role '…' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions …",
        )
        .with_what_the_task_says(situation)
        .mend(Mend::template("let the role's trust policy allow sts:AssumeRole to `Service: ecs-tasks.amazonaws.com`"));
    if let Some(role) = role {
        let seen = match role.is_there {
            true => "its trust policy does not let ecs-tasks.amazonaws.com assume it",
            false => "there is no such role",
        };
        clue = clue
            .because(format!("role {}", role.name), seen)
            .at(&role.place);
    }
    Some(clue)
}
