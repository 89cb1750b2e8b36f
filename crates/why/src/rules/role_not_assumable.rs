//! S18: the service may not become the role.

use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S18",
    name: "role-not-assumable",
    layer: Layer::Start,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation
        .stopped_reason()
        .contains("ECS was unable to assume the role")
    {
        return None;
    }
    Some(
        Clue::observed(
            "a role of the task does not exist, or does not trust ecs-tasks.amazonaws.com",
            "ECS was unable to assume the role '…' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions …",
        )
        .with_what_the_task_says(situation)
        .mend(Mend::template("let the role's trust policy allow sts:AssumeRole to `Service: ecs-tasks.amazonaws.com`")),
    )
}
