//! ECS Exec: `ExecuteCommand` makes a session. The command runs once a client comes with the session's
//! token ([`crate::exec_session`]), as on AWS, where that is the plugin of Session Manager.

use cloud::{Caller, Cx, Error, Need, Needs};
use shapes::ecs::errors::{InvalidParameterException, TargetNotConnectedException};
use shapes::ecs::*;

use crate::exec_session::{self, Command, LogPlace};
use crate::launch::invalid;
use crate::names::{cluster_arn, find_cluster, find_definition, task_arn, task_id};
use crate::record::{self, Definition};
use crate::roles::{task_role, task_role_arn};
use crate::run_task::find_task;
use crate::task_record::{self, Phase, Task};

/// What a task's role needs ("Task IAM role permissions required for ECS Exec").
const CHANNEL_ACTIONS: [&str; 4] = [
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
];
/// AWS's words where a task has no agent, or none that runs.
const NO_AGENT: &str = "The execute command failed because execute command was not enabled when the \
    task was run or the execute command agent isn’t running. Wait and try again or run a new task with \
    execute command enabled and try again.";
const COMMAND_BYTES_MAX: usize = 8192;

pub async fn execute_command(
    cx: Cx,
    input: ExecuteCommandInput,
) -> Result<ExecuteCommandOutput, Error> {
    if !input.interactive {
        return Err(invalid("Interactive is the only mode supported currently."));
    }
    let argv = split(&input.command)?;
    let id = task_id(&cx, &input.task)?;
    let (cluster, task, definition) = cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let task = find_task(tx, &id)?
            .filter(|it| it.cluster == cluster.name)
            .ok_or_else(|| invalid("The referenced task was not found."))?;
        let definition = find_definition(&cx, tx, &task.definition)?;
        Ok((cluster, task, definition))
    })?;
    let definition = definition.ok_or_else(|| invalid("TaskDefinition not found."))?;
    let container = chosen(&task, input.container.as_deref())?;
    let runs = task.phase == Phase::Running && container.status == Some(Phase::Running);
    if !task.enable_execute_command || !runs {
        return Err(InvalidParameterException.because(NO_AGENT));
    }
    let role = connected_role(&cx, &task, &definition)?;
    let command = Command {
        region: cx.region.clone(),
        task: task.id.clone(),
        container: container.name.clone(),
        argv,
        log: log_place(&cluster, &definition, &container.name, role),
    };
    let session = exec_session::begin(&cx, command)?;
    let path = format!(
        "container/{}/{}/{}",
        task.cluster, task.id, container.arn_id
    );
    Ok(ExecuteCommandOutput {
        cluster_arn: Some(cluster_arn(&cx, &cluster.name)),
        container_arn: Some(cx.arn("ecs", &path)),
        container_name: Some(container.name.clone()),
        interactive: Some(true),
        session: Some(session),
        task_arn: Some(task_arn(&cx, &task.cluster, &task.id)),
    })
}

/// The words of a command: the agent splits them as a shell would, and runs the program without one.
fn split(command: &str) -> Result<Vec<String>, Error> {
    let is_short = command.len() <= COMMAND_BYTES_MAX && !command.contains('\0');
    let words = shlex::split(command).filter(|it| is_short && !it.is_empty());
    words.ok_or_else(|| {
        invalid(format!(
            "The command is empty, has a quote that is not closed, or is longer than {COMMAND_BYTES_MAX} bytes."
        ))
    })
}

fn chosen<'a>(task: &'a Task, named: Option<&str>) -> Result<&'a task_record::Container, Error> {
    match (named, &task.containers[..]) {
        (Some(name), all) => (all.iter().find(|it| it.name == name))
            .ok_or_else(|| invalid("The referenced container was not found.")),
        (None, [only]) => Ok(only),
        (None, _) => Err(invalid(
            "Container name is required when the task has more than one container.",
        )),
    }
}

/// The task's role, when it lets the agent speak to Session Manager: without, no client reaches it.
fn connected_role(cx: &Cx, task: &Task, definition: &Definition) -> Result<String, Error> {
    let unreached = |why: String| {
        TargetNotConnectedException.because(format!(
            "The execute command failed due to an internal error. Try again later. ({why})"
        ))
    };
    let Some(role_arn) = task_role_arn(cx, task, definition)? else {
        return Err(unreached("The task has no task role.".into()));
    };
    let role = Caller::AssumedRole {
        role_arn: role_arn.clone(),
        role_id: None,
        session_name: task.id.clone(),
        access_key: String::new(),
    };
    let needs = Needs {
        all: CHANNEL_ACTIONS.map(|it| Need::new(it, None)).to_vec(),
        ..Needs::default()
    };
    match cx.acting_as(role).authorize("ssmmessages", &needs) {
        Err(error) if error.status < 500 => Err(unreached(error.message)),
        other => other.map(|()| role_arn),
    }
}

/// Where the output is kept: with the logging `DEFAULT`, in the container's own log group.
fn log_place(
    cluster: &record::Cluster,
    definition: &Definition,
    container: &str,
    role: String,
) -> Option<LogPlace> {
    let configuration = cluster.configuration.as_ref();
    let exec = configuration.and_then(|it| it.execute_command_configuration.as_ref());
    if exec.and_then(|it| it.logging) == Some(ExecuteCommandLogging::None) {
        return None;
    }
    let all = definition.shape.container_definitions.iter().flatten();
    let own = all
        .into_iter()
        .find(|it| it.name.as_deref() == Some(container))?;
    let log = own.log_configuration.as_ref()?;
    let options = log.options.as_ref()?;
    Some(LogPlace {
        group: options.get("awslogs-group")?.clone(),
        region: options.get("awslogs-region")?.clone(),
        role,
    })
}

/// Tasks that commands are to be run in have a role of their own.
pub fn check_task_role(overrides: &TaskOverride, definition: &Definition) -> Result<(), Error> {
    check_role(overrides, definition, "task couldn't be started")
}

pub fn check_role_of_service(definition: &Definition) -> Result<(), Error> {
    check_role(
        &TaskOverride::default(),
        definition,
        "service couldn't be created",
    )
}

/// AWS's words ("Troubleshooting Amazon ECS Exec").
fn check_role(overrides: &TaskOverride, definition: &Definition, what: &str) -> Result<(), Error> {
    match task_role(overrides, definition) {
        Some(_) => Ok(()),
        None => Err(invalid(format!(
            "The {what} because a valid taskRoleArn is not being used. Specify a valid task role in \
             your task definition and try again."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_by_a_shell() {
        let words = |it: &str| split(it).map_err(|error| error.message);
        assert_eq!(
            words("/bin/sh -c 'echo \"a b\"'").unwrap(),
            ["/bin/sh", "-c", "echo \"a b\""]
        );
        for refused in [
            "",
            "  ",
            "sh -c 'x",
            "a\0b",
            &"x".repeat(COMMAND_BYTES_MAX + 1),
        ] {
            assert!(words(refused).is_err(), "{refused}");
        }
    }
}
