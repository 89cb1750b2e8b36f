//! Deployment by CloudFormation: stacks made, changed, deleted, and by change sets.

use std::collections::BTreeMap;

use shapes::cloudformation::*;

use super::stack_input::{self, StackInput};
use super::{JOB_FAILED, PERMISSION, Progress, Session, Trouble, artifacts};
use crate::act::{LOOK_AGAIN, failure};
use crate::record::{ActionRun, StackStep, Work};
use crate::roles;

/// Who assumes a stack's role.
const PRINCIPAL: &str = "cloudformation.amazonaws.com";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    CreateUpdate,
    ReplaceOnFailure,
    DeleteOnly,
    ChangeSetReplace,
    ChangeSetExecute,
}

const MODES: &[(&str, Mode)] = &[
    ("CREATE_UPDATE", Mode::CreateUpdate),
    ("REPLACE_ON_FAILURE", Mode::ReplaceOnFailure),
    ("DELETE_ONLY", Mode::DeleteOnly),
    ("CHANGE_SET_REPLACE", Mode::ChangeSetReplace),
    ("CHANGE_SET_EXECUTE", Mode::ChangeSetExecute),
];

fn mode(text: &str) -> Result<Mode, String> {
    let found = MODES.iter().find(|it| it.0 == text);
    found
        .map(|it| it.1)
        .ok_or_else(|| format!("ActionMode '{text}' is not known"))
}

/// What can be known of a configuration before it is used.
pub fn check(settings: &BTreeMap<String, String>) -> Result<(), String> {
    let given = |name: &str| {
        let found = settings.get(name).map(String::as_str);
        found.filter(|it| !it.contains("#{"))
    };
    let mode = given("ActionMode").map(mode).transpose()?;
    let needs: &[&str] = match mode {
        Some(Mode::CreateUpdate | Mode::ReplaceOnFailure) => &["TemplatePath", "RoleArn"],
        Some(Mode::ChangeSetReplace) => &["TemplatePath", "ChangeSetName", "RoleArn"],
        Some(Mode::ChangeSetExecute) => &["ChangeSetName"],
        Some(Mode::DeleteOnly) => &["RoleArn"],
        None => &[],
    };
    if let Some(missing) = needs.iter().find(|it| !settings.contains_key(**it)) {
        return Err(format!("{missing} is required for this ActionMode"));
    }
    given("Capabilities")
        .map(stack_input::capabilities)
        .transpose()?;
    given("ParameterOverrides")
        .map(stack_input::overrides_of)
        .transpose()?;
    Ok(())
}

pub async fn drive(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    match run.work.clone() {
        Work::Stack { id, step } => match step {
            StackStep::Clearing => match find(cx, &id).await? {
                Some(stack) if stack.stack_status != StackStatus::DeleteComplete => {
                    deleting(&stack)
                }
                _ => create(cx, run).await,
            },
            StackStep::Deleting => match find(cx, &id).await? {
                Some(stack) if stack.stack_status != StackStatus::DeleteComplete => {
                    deleting(&stack)
                }
                _ => Ok(Progress::Succeeded),
            },
            StackStep::Changing => changing(cx, run, &id).await,
            StackStep::Proposing(change_set) => proposing(cx, run, &change_set).await,
        },
        _ => begin(cx, run).await,
    }
}

async fn begin(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    if let Some(role) = run.setting("RoleArn")
        && let Err(doubt) = roles::check(&cx.as_service(PRINCIPAL), role)?
    {
        return Err(Trouble::Failure(failure(PERMISSION, doubt)));
    }
    let name = run.required("StackName").to_owned();
    let stack = find(cx, &name).await?;
    match mode(run.required("ActionMode")).map_err(Trouble::configuration)? {
        Mode::CreateUpdate => match stack {
            Some(stack) if stack.stack_status != StackStatus::ReviewInProgress => {
                update(cx, run, &stack).await
            }
            _ => create(cx, run).await,
        },
        Mode::ReplaceOnFailure => match stack {
            Some(stack) if has_failed(stack.stack_status) => {
                delete(cx, run, &name).await?;
                wait(run, &stack, StackStep::Clearing)
            }
            Some(stack) if stack.stack_status != StackStatus::ReviewInProgress => {
                update(cx, run, &stack).await
            }
            _ => create(cx, run).await,
        },
        Mode::DeleteOnly => match stack {
            Some(stack) => {
                delete(cx, run, &name).await?;
                wait(run, &stack, StackStep::Deleting)
            }
            None => Ok(Progress::Succeeded),
        },
        Mode::ChangeSetReplace => propose(cx, run, stack).await,
        Mode::ChangeSetExecute => execute(cx, run, stack).await,
    }
}

fn has_failed(status: StackStatus) -> bool {
    matches!(
        status,
        StackStatus::CreateFailed
            | StackStatus::RollbackComplete
            | StackStatus::RollbackFailed
            | StackStatus::DeleteFailed
            | StackStatus::UpdateFailed
            | StackStatus::UpdateRollbackFailed
    )
}

async fn find(cx: &Session, name: &str) -> Result<Option<Stack>, Trouble> {
    let input = DescribeStacksInput {
        stack_name: Some(name.to_owned()),
        ..Default::default()
    };
    match cx.call(input).await {
        Ok(answer) => Ok(answer.stacks.unwrap_or_default().into_iter().next()),
        // This is how CloudFormation says that there is none.
        Err(error) if error.message.contains("does not exist") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn wait(run: &mut ActionRun, stack: &Stack, step: StackStep) -> Result<Progress, Trouble> {
    let id = stack.stack_id.clone();
    let id = id.unwrap_or_else(|| stack.stack_name.clone());
    wait_for(run, id, step)
}

fn wait_for(run: &mut ActionRun, id: String, step: StackStep) -> Result<Progress, Trouble> {
    run.external_id = Some(id.clone());
    run.work = Work::Stack { id, step };
    Ok(Progress::Waits(LOOK_AGAIN))
}

async fn create(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    let StackInput {
        template,
        parameters,
        tags,
        policy,
        capabilities,
    } = stack_input::read(cx, run).await?;
    let input = CreateStackInput {
        role_arn: run.setting("RoleArn").map(str::to_owned),
        stack_name: run.required("StackName").to_owned(),
        template_body: Some(template),
        parameters: Some(parameters),
        tags: Some(tags),
        stack_policy_body: policy,
        capabilities: Some(capabilities),
        client_request_token: Some(run.id.clone()),
        ..Default::default()
    };
    let id = cx.call(input).await?.stack_id.unwrap_or_default();
    wait_for(run, id, StackStep::Changing)
}

async fn update(cx: &Session, run: &mut ActionRun, stack: &Stack) -> Result<Progress, Trouble> {
    let StackInput {
        template,
        parameters,
        tags,
        policy,
        capabilities,
    } = stack_input::read(cx, run).await?;
    let input = UpdateStackInput {
        role_arn: run.setting("RoleArn").map(str::to_owned),
        stack_name: run.required("StackName").to_owned(),
        template_body: Some(template),
        parameters: Some(parameters),
        tags: (!tags.is_empty()).then_some(tags),
        stack_policy_body: policy,
        capabilities: Some(capabilities),
        client_request_token: Some(run.id.clone()),
        ..Default::default()
    };
    match cx.call(input).await {
        Ok(_) => wait(run, stack, StackStep::Changing),
        Err(error) if error.message.contains("No updates are to be performed") => {
            give_out(cx, run, stack).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn delete(cx: &Session, run: &ActionRun, name: &str) -> Result<(), Trouble> {
    let input = DeleteStackInput {
        role_arn: run.setting("RoleArn").map(str::to_owned),
        stack_name: name.to_owned(),
        client_request_token: Some(run.id.clone()),
        ..Default::default()
    };
    cx.call(input).await?;
    Ok(())
}

fn deleting(stack: &Stack) -> Result<Progress, Trouble> {
    match stack.stack_status {
        StackStatus::DeleteFailed => Err(Trouble::failed(format!(
            "The stack {} could not be deleted: {}",
            stack.stack_name,
            stack.stack_status_reason.as_deref().unwrap_or_default()
        ))),
        _ => Ok(Progress::Waits(LOOK_AGAIN)),
    }
}

async fn changing(cx: &Session, run: &mut ActionRun, id: &str) -> Result<Progress, Trouble> {
    let stack = find(cx, id).await?;
    let stack = stack.ok_or_else(|| Trouble::failed(format!("The stack {id} is gone")))?;
    let status = stack.stack_status;
    run.summary = Some(format!("Stack {} is {}", stack.stack_name, status.as_str()));
    match status {
        StackStatus::CreateComplete | StackStatus::UpdateComplete => {
            give_out(cx, run, &stack).await
        }
        _ if status.as_str().ends_with("IN_PROGRESS") => Ok(Progress::Waits(LOOK_AGAIN)),
        _ => {
            let why = first_failure(cx, id, run.started_ms).await?;
            let why = why.or(stack.stack_status_reason).unwrap_or_default();
            let state = status.as_str();
            let message = format!("Stack operation failed: the stack is {state}. Reason: {why}");
            Ok(Progress::Failed(failure(JOB_FAILED, message)))
        }
    }
}

/// The resource that failed first, of what happened since then.
async fn first_failure(cx: &Session, id: &str, since_ms: i64) -> Result<Option<String>, Trouble> {
    let input = DescribeStackEventsInput {
        stack_name: id.to_owned(),
        ..Default::default()
    };
    // For the reason alone: a role that may change a stack need not be let read its events.
    let events = (**cx).call(input).await?.stack_events.unwrap_or_default();
    let failed = events.into_iter().rev().find(|it| {
        it.timestamp.0 * 1000.0 >= since_ms as f64
            && it
                .resource_status
                .as_deref()
                .is_some_and(|it| it.ends_with("_FAILED"))
    });
    Ok(failed.map(|it| {
        let name = it.logical_resource_id.unwrap_or_default();
        format!("{name}: {}", it.resource_status_reason.unwrap_or_default())
    }))
}

async fn propose(
    cx: &Session,
    run: &mut ActionRun,
    stack: Option<Stack>,
) -> Result<Progress, Trouble> {
    let StackInput {
        template,
        parameters,
        tags,
        capabilities,
        ..
    } = stack_input::read(cx, run).await?;
    let (name, change_set) = (
        run.required("StackName").to_owned(),
        run.required("ChangeSetName").to_owned(),
    );
    // A stack that is still to be made has change sets as well.
    let exists = stack.is_some();
    let is_new = stack.is_none_or(|it| it.stack_status == StackStatus::ReviewInProgress);
    if exists {
        let input = DeleteChangeSetInput {
            change_set_name: change_set.clone(),
            stack_name: Some(name.clone()),
        };
        match cx.call(input).await {
            Err(error) if !error.is(errors::ChangeSetNotFoundException) => return Err(error.into()),
            _ => (),
        }
    }
    let input = CreateChangeSetInput {
        role_arn: run.setting("RoleArn").map(str::to_owned),
        stack_name: name,
        template_body: Some(template),
        parameters: Some(parameters),
        tags: (!tags.is_empty()).then_some(tags),
        capabilities: Some(capabilities),
        change_set_name: change_set,
        change_set_type: Some(match is_new {
            true => ChangeSetType::Create,
            false => ChangeSetType::Update,
        }),
        ..Default::default()
    };
    let made = cx.call(input).await?;
    let change_set = made.id.unwrap_or_default();
    let stack = made.stack_id.unwrap_or_default();
    wait_for(run, stack, StackStep::Proposing(change_set))
}

/// A change set that changes nothing is no failure: executing it does nothing, too.
fn changes_nothing(answer: &DescribeChangeSetOutput) -> bool {
    let reason = answer.status_reason.as_deref().unwrap_or_default();
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

async fn proposing(cx: &Session, run: &mut ActionRun, id: &str) -> Result<Progress, Trouble> {
    let input = DescribeChangeSetInput {
        change_set_name: id.to_owned(),
        ..Default::default()
    };
    let answer = cx.call(input).await?;
    let reason = answer.status_reason.clone().unwrap_or_default();
    match answer.status {
        Some(ChangeSetStatus::CreateComplete) => {
            run.summary = Some(format!("The change set {id} was created"));
            Ok(Progress::Succeeded)
        }
        Some(ChangeSetStatus::Failed) if changes_nothing(&answer) => {
            run.summary = Some(reason);
            Ok(Progress::Succeeded)
        }
        Some(ChangeSetStatus::Failed) => Ok(Progress::Failed(failure(
            JOB_FAILED,
            format!("The change set could not be created: {reason}"),
        ))),
        _ => Ok(Progress::Waits(LOOK_AGAIN)),
    }
}

async fn execute(
    cx: &Session,
    run: &mut ActionRun,
    stack: Option<Stack>,
) -> Result<Progress, Trouble> {
    let name = run.required("StackName").to_owned();
    let change_set_name = run.required("ChangeSetName").to_owned();
    let stack =
        stack.ok_or_else(|| Trouble::configuration(format!("Stack [{name}] does not exist")))?;
    let input = DescribeChangeSetInput {
        change_set_name: change_set_name.clone(),
        stack_name: Some(name.clone()),
        ..Default::default()
    };
    let proposed = match cx.call(input).await {
        // Executed before the daemon was lost, it is gone.
        Err(error)
            if error.is(errors::ChangeSetNotFoundException) && changed_since(&stack, run) =>
        {
            return wait(run, &stack, StackStep::Changing);
        }
        other => other?,
    };
    if proposed.status == Some(ChangeSetStatus::Failed) && changes_nothing(&proposed) {
        run.summary = proposed.status_reason;
        return Ok(Progress::Succeeded);
    }
    // Asked again after a crash it is being executed, or was.
    let available = proposed.execution_status == Some(ExecutionStatus::Available);
    if available {
        let input = ExecuteChangeSetInput {
            change_set_name,
            stack_name: Some(name),
            client_request_token: Some(run.id.clone()),
            ..Default::default()
        };
        cx.call(input).await?;
    }
    wait(run, &stack, StackStep::Changing)
}

fn changed_since(stack: &Stack, run: &ActionRun) -> bool {
    let changed = stack.last_updated_time.unwrap_or(stack.creation_time);
    changed.0 * 1000.0 >= run.started_ms as f64
}

/// The stack's outputs, as variables and, when one is asked for, as a file.
async fn give_out(cx: &Session, run: &mut ActionRun, stack: &Stack) -> Result<Progress, Trouble> {
    let outputs = stack.outputs.iter().flatten();
    let outputs = outputs.filter_map(|it| Some((it.output_key.clone()?, it.output_value.clone()?)));
    run.variables = outputs.collect();
    run.variables
        .insert("StackName".into(), stack.stack_name.clone());
    let file = run.setting("OutputFileName").map(str::to_owned);
    if let (Some(file), Some((_, target))) = (file, run.outputs.first().cloned()) {
        let mut outputs = run.variables.clone();
        outputs.remove("StackName");
        let content = serde_json::json!(outputs).to_string();
        artifacts::write_file(cx, run, &target, &file, content.as_bytes()).await?;
    } else {
        // Nothing was written there.
        run.outputs.clear();
    }
    Ok(Progress::Succeeded)
}
