//! Roles that a task definition names: they must be there when a task is to run.

use cloud::{Cx, Error};
use shapes::iam::{GetRoleInput, errors};

use crate::record::Definition;

/// The first role that is not there, in AWS's words.
pub async fn missing_role(cx: &Cx, definition: &Definition) -> Result<Option<String>, Error> {
    let shape = &definition.shape;
    for role in [&shape.execution_role_arn, &shape.task_role_arn]
        .into_iter()
        .flatten()
    {
        // Roles are given by name or by ARN, which ends in the name.
        let name = role.rsplit('/').next().unwrap_or_default().to_owned();
        match cx.call(GetRoleInput { role_name: name }).await {
            Err(error) if error.is(errors::NoSuchEntityException) => {
                return Ok(Some(format!(
                    "ECS was unable to assume the role '{role}' that was provided for this task. \
                     Please verify that the role being passed has the proper trust relationship and \
                     permissions and that your IAM user has permissions to pass this role."
                )));
            }
            other => {
                other?;
            }
        }
    }
    Ok(None)
}
