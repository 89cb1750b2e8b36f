//! Roles of a task: its own and the one it is started with. Registering a definition checks no more than
//! that they are named, as on AWS; when a task is to run they must be there and trust it.

use cloud::{Cx, Error};
use shapes::ecs::TaskOverride;

use crate::record::Definition;
use crate::task_record::Task;

/// The role that a task's containers act with, as it is given: that of its overrides, or of its definition.
pub fn task_role<'a>(
    overrides: &'a TaskOverride,
    definition: &'a Definition,
) -> Option<&'a String> {
    let own = overrides.task_role_arn.as_ref();
    own.or(definition.shape.task_role_arn.as_ref())
        .filter(|it| !it.is_empty())
}

/// The role that a task is started with, as it is given.
pub fn execution_role<'a>(
    overrides: &'a TaskOverride,
    definition: &'a Definition,
) -> Option<&'a String> {
    let own = overrides.execution_role_arn.as_ref();
    own.or(definition.shape.execution_role_arn.as_ref())
        .filter(|it| !it.is_empty())
}

/// The ARN of the role that a task's containers act with.
pub fn task_role_arn(
    cx: &Cx,
    task: &Task,
    definition: &Definition,
) -> Result<Option<String>, Error> {
    let given = task_role(&task.overrides, definition);
    given.map(|it| cx.role_arn(it)).transpose()
}

/// The service that takes on a task's roles, and the name of its session before there is a task.
pub const PRINCIPAL: &str = "ecs-tasks.amazonaws.com";
const SESSION: &str = "task";

/// The first role that is not there, or does not trust ECS's tasks, in AWS's words.
pub fn unusable_role(
    cx: &Cx,
    overrides: &TaskOverride,
    definition: &Definition,
) -> Result<Option<String>, Error> {
    let roles = [
        execution_role(overrides, definition),
        task_role(overrides, definition),
    ];
    for role in roles.into_iter().flatten() {
        let tasks = cx.as_service_for(PRINCIPAL, cx.arn("ecs", "*"));
        let usable = match cx.find_role(role)? {
            Some(found) => tasks.may_assume(&found, SESSION)?,
            None => false,
        };
        if !usable {
            return Ok(Some(format!(
                "ECS was unable to assume the role '{role}' that was provided for this task. \
                 Please verify that the role being passed has the proper trust relationship and \
                 permissions and that your IAM user has permissions to pass this role."
            )));
        }
    }
    Ok(None)
}
