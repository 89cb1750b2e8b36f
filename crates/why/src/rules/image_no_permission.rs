//! I3: the execution role may not pull.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "I3",
    name: "image-no-permission",
    layer: Layer::Image,
    needs: &[Fact::Roles],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let action = situation.denied(|it| it.starts_with("ecr:"))?;
    let task = situation.task.as_ref()?;
    let role = task.execution_role.as_deref().unwrap_or("ROLE");
    let name = role.rsplit('/').next().unwrap_or_default();
    Some(
        Clue::observed(
            format!("the task's execution role may not pull the image: {action} is denied"),
            "… is not authorized to perform: ecr:… on resource … because no identity-based policy allows the … action",
        )
        .because_of_the_execution_role(situation, action)
        .mend(Mend::template("attach AmazonECSTaskExecutionRolePolicy to the execution role").by(format!(
            "aws iam attach-role-policy --role-name {name} --policy-arn arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
        ))),
    )
}
