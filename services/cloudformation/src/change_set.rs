//! Change sets: what an update would do, kept until it is done or dropped.

use cloud::{Cx, Error, Record, Records};
use shapes::cloudformation::{
    self as api, ChangeSetStatus, ChangeSetType, ExecutionStatus, StackStatus, errors,
};
use wire::Timestamp;

use crate::asker::checked_role;
use crate::changes::{shown, without_values};
use crate::check::invalid;
use crate::describe::{shown_parameters, unless_empty};
use crate::lookup::{find, find_head, page, require, require_head, version_of};
use crate::record::{ChangeSet, OnFailure, Stack, Version};
use crate::source::{Source, require_types};
use crate::stack::{
    begin_creation, begin_update, draft, forget_change_sets, give_role, keep_capabilities,
    new_stack, new_uuid, on_failure, preview, require_unchanged, require_updatable,
};

const CHANGES_IN_A_PAGE: usize = 100;
/// The words that `aws cloudformation deploy` looks for.
const NO_CHANGES: &str = "The submitted information didn't contain changes. Submit different information to create a change set.";

pub async fn create_change_set(
    cx: Cx,
    input: api::CreateChangeSetInput,
) -> Result<api::CreateChangeSetOutput, Error> {
    if input.change_set_type == Some(ChangeSetType::Import) {
        return Err(api::MODEL.unsupported("ChangeSetType IMPORT"));
    }
    let is_creation = input.change_set_type == Some(ChangeSetType::Create);
    let (existing, previous) = cx.read(|tx| {
        let stack = find(&cx, tx, &input.stack_name)?;
        if is_creation && stack.as_ref().is_some_and(Stack::is_deleted) {
            return Err(invalid(format!(
                "Stack [{}] already exists and cannot be created again with the changeSet [{}].",
                input.stack_name, input.change_set_name
            )));
        }
        let stack = stack.filter(|it| !it.is_deleted());
        let version = stack
            .as_ref()
            .map(|it| version_of(tx, it))
            .transpose()?
            .flatten();
        Ok((stack, version))
    })?;
    let (stack, is_new) = match (existing, is_creation) {
        (None, true) => (new_stack(&cx, &input.stack_name)?, true),
        (None, false) => {
            return Err(invalid(format!(
                "Stack [{}] does not exist",
                input.stack_name
            )));
        }
        (Some(stack), true) if stack.status == StackStatus::ReviewInProgress => (stack, false),
        (Some(stack), true) => {
            return Err(invalid(format!(
                "Stack [{}] already exists and cannot be created again with the changeSet [{}].",
                stack.name, input.change_set_name
            )));
        }
        (Some(stack), false) => {
            require_updatable(&stack)?;
            (stack, false)
        }
    };
    let role_arn = checked_role(&cx, &stack.id, input.role_arn)?;
    let source = Source {
        template_body: input.template_body,
        template_url: input.template_url,
        use_previous_template: input.use_previous_template.unwrap_or(false),
        parameters: input.parameters.unwrap_or_default(),
        capabilities: input.capabilities.unwrap_or_default(),
        tags: input.tags,
    };
    let number = stack.versions + 1;
    let mut version = source
        .version(&cx, &stack.key(), number, previous.as_ref())
        .await?;
    let (template, changes) = preview(&cx, &stack, &version, previous.as_ref()).await?;
    require_types(&template, input.resource_types.as_deref())?;
    keep_capabilities(&mut version, previous.as_ref());
    let disable_rollback = input.deployment_config.and_then(|it| it.disable_rollback);
    let uuid = new_uuid(&cx, "change-set");
    let change_set = ChangeSet {
        stack: stack.key(),
        stack_id: stack.id.clone(),
        stack_name: stack.name.clone(),
        id: cx.arn(
            "cloudformation",
            &format!("changeSet/{}/{uuid}", input.change_set_name),
        ),
        name: input.change_set_name,
        description: input.description,
        is_creation,
        version,
        on_failure: match input.on_stack_failure {
            Some(api::OnStackFailure::DoNothing) => Some(OnFailure::DoNothing),
            Some(api::OnStackFailure::Rollback) => Some(OnFailure::Rollback),
            Some(api::OnStackFailure::Delete) => Some(OnFailure::Delete),
            None => disable_rollback.map(|it| on_failure(Some(it))),
        },
        include_nested_stacks: input.include_nested_stacks.unwrap_or(false),
        import_existing_resources: input.import_existing_resources.unwrap_or(false),
        created_ms: cx.clock().now_ms(),
        failure: (changes.is_empty() && !is_creation).then(|| NO_CHANGES.to_owned()),
        changes: changes.resources.iter().map(shown).collect(),
        executed_by: None,
        operations: stack.operations,
        role_arn,
        token: input.client_token,
    };
    if change_set.on_failure == Some(OnFailure::Delete) && !is_creation {
        return Err(invalid(
            "OnStackFailure DELETE is only possible for a change set of type CREATE",
        ));
    }
    cx.write(|tx| record(&cx, tx, stack, is_new, change_set))
}

fn record(
    cx: &Cx,
    tx: &Records<'_>,
    stack: Stack,
    is_new: bool,
    change_set: ChangeSet,
) -> Result<api::CreateChangeSetOutput, Error> {
    let answer = |it: &ChangeSet| api::CreateChangeSetOutput {
        id: Some(it.id.clone()),
        stack_id: Some(it.stack_id.clone()),
    };
    if let Some(other) = tx.get::<ChangeSet>(&change_set.key())? {
        if other.token.is_some() && other.token == change_set.token {
            return Ok(answer(&other));
        }
        // One that has been executed makes room: here a client that names them by the second may
        // come again within it.
        if other.executed_by.is_none() {
            return Err(errors::AlreadyExistsException
                .because(format!("ChangeSet {} already exists", change_set.name)));
        }
    }
    if is_new {
        if find_head(cx, tx, &stack.name)?.is_some() {
            return Err(errors::AlreadyExistsException
                .because(format!("Stack [{}] already exists", stack.name)));
        }
        let mut draft = draft(cx, tx, stack);
        draft.stack_status(StackStatus::ReviewInProgress, Some("User Initiated".into()))?;
        draft.save()?;
    } else {
        require_unchanged(&stack, &require_head(cx, tx, &stack.id)?)?;
    }
    tx.put(&change_set)?;
    Ok(answer(&change_set))
}

/// A change set by its id, or by its name and its stack's.
pub fn require_change_set(
    cx: &Cx,
    tx: &Records<'_>,
    name_or_id: &str,
    stack: Option<&str>,
) -> Result<ChangeSet, Error> {
    let not_found = || {
        errors::ChangeSetNotFoundException
            .because(format!("ChangeSet [{name_or_id}] does not exist"))
    };
    if name_or_id.starts_with("arn:") {
        // `…:changeSet/NAME/UUID`: only those of that name are looked at.
        let name = name_or_id.split('/').nth(1).unwrap_or_default();
        let end = format!("/{name}");
        let keys = tx.keys::<ChangeSet>(&cx.key(""))?.into_iter();
        for key in keys.filter(|it| it.ends_with(&end)) {
            let found = tx.get::<ChangeSet>(&key)?;
            if let Some(found) = found.filter(|it| it.id == name_or_id) {
                return Ok(found);
            }
        }
        return Err(not_found());
    }
    let stack = stack.ok_or_else(|| invalid("StackName is a required parameter."))?;
    let stack = find_head(cx, tx, stack)?
        .ok_or_else(|| invalid(format!("Stack [{stack}] does not exist")))?;
    tx.get(&format!("{}/{name_or_id}", stack.key()))?
        .ok_or_else(not_found)
}

fn execution_status(change_set: &ChangeSet, stack: &Stack) -> ExecutionStatus {
    let Some(number) = change_set.executed_by else {
        return match () {
            () if change_set.failure.is_some() => ExecutionStatus::Unavailable,
            () if change_set.operations != stack.operations => ExecutionStatus::Obsolete,
            () => ExecutionStatus::Available,
        };
    };
    if stack
        .operation
        .as_ref()
        .is_some_and(|it| it.number == number)
    {
        return ExecutionStatus::ExecuteInProgress;
    }
    // The stack goes on from here with other operations; what came of this one is known as long
    // as it is the last.
    match stack.status {
        _ if stack.operations != number => ExecutionStatus::ExecuteComplete,
        StackStatus::CreateComplete | StackStatus::UpdateComplete => {
            ExecutionStatus::ExecuteComplete
        }
        _ => ExecutionStatus::ExecuteFailed,
    }
}

fn status(change_set: &ChangeSet) -> ChangeSetStatus {
    match change_set.failure {
        Some(_) => ChangeSetStatus::Failed,
        None => ChangeSetStatus::CreateComplete,
    }
}

pub async fn describe_change_set(
    cx: Cx,
    input: api::DescribeChangeSetInput,
) -> Result<api::DescribeChangeSetOutput, Error> {
    let (change_set, stack) = cx.read(|tx| {
        let change_set =
            require_change_set(&cx, tx, &input.change_set_name, input.stack_name.as_deref())?;
        let stack = require_head(&cx, tx, &change_set.stack_id)?;
        Ok((change_set, stack))
    })?;
    let with_values = input.include_property_values == Some(true);
    let execution_status = execution_status(&change_set, &stack);
    let status = status(&change_set);
    let (changes, next_token) = page(
        change_set.changes,
        input.next_token.as_deref(),
        CHANGES_IN_A_PAGE,
    )?;
    let changes = match with_values {
        true => changes,
        false => changes.into_iter().map(without_values).collect(),
    };
    let parameters = shown_parameters(&change_set.version);
    let tags = crate::describe::shown_tags(&change_set.version);
    Ok(api::DescribeChangeSetOutput {
        change_set_name: Some(change_set.name),
        change_set_id: Some(change_set.id),
        stack_id: Some(change_set.stack_id),
        stack_name: Some(change_set.stack_name),
        description: change_set.description,
        parameters: unless_empty(parameters),
        creation_time: Some(Timestamp(change_set.created_ms as f64 / 1000.0)),
        execution_status: Some(execution_status),
        status: Some(status),
        status_reason: change_set.failure,
        capabilities: unless_empty(change_set.version.capabilities.clone()),
        tags: unless_empty(tags),
        notification_ar_ns: Some(Vec::new()),
        rollback_configuration: Some(api::RollbackConfiguration::default()),
        changes: Some(changes),
        include_nested_stacks: Some(change_set.include_nested_stacks),
        import_existing_resources: change_set.import_existing_resources.then_some(true),
        on_stack_failure: change_set.on_failure.map(|it| match it {
            OnFailure::DoNothing => api::OnStackFailure::DoNothing,
            OnFailure::Rollback => api::OnStackFailure::Rollback,
            OnFailure::Delete => api::OnStackFailure::Delete,
        }),
        next_token,
        ..Default::default()
    })
}

pub async fn list_change_sets(
    cx: Cx,
    input: api::ListChangeSetsInput,
) -> Result<api::ListChangeSetsOutput, Error> {
    cx.read(|tx| {
        let stack = find_head(&cx, tx, &input.stack_name)?;
        let stack =
            stack.ok_or_else(|| invalid(format!("Stack [{}] does not exist", input.stack_name)))?;
        let all: Vec<ChangeSet> = tx.list(&format!("{}/", stack.key()))?;
        let summaries = (all.into_iter())
            .filter(|it| it.executed_by.is_none())
            .map(|it| api::ChangeSetSummary {
                include_nested_stacks: Some(it.include_nested_stacks),
                execution_status: Some(execution_status(&it, &stack)),
                status: Some(status(&it)),
                stack_id: Some(it.stack_id),
                stack_name: Some(it.stack_name),
                change_set_id: Some(it.id),
                change_set_name: Some(it.name),
                status_reason: it.failure,
                creation_time: Some(Timestamp(it.created_ms as f64 / 1000.0)),
                description: it.description,
                ..Default::default()
            })
            .collect();
        let (summaries, next_token) =
            page(summaries, input.next_token.as_deref(), CHANGES_IN_A_PAGE)?;
        Ok(api::ListChangeSetsOutput {
            summaries: Some(summaries),
            next_token,
        })
    })
}

pub async fn delete_change_set(
    cx: Cx,
    input: api::DeleteChangeSetInput,
) -> Result<api::DeleteChangeSetOutput, Error> {
    cx.write(|tx| {
        let found =
            require_change_set(&cx, tx, &input.change_set_name, input.stack_name.as_deref());
        match found {
            Ok(change_set) => {
                tx.delete::<ChangeSet>(&change_set.key())?;
            }
            // Deleting what is not there succeeds.
            Err(error) if error.is(errors::ChangeSetNotFoundException) => {}
            Err(error) => return Err(error),
        }
        Ok(api::DeleteChangeSetOutput {})
    })
}

pub async fn execute_change_set(
    cx: Cx,
    input: api::ExecuteChangeSetInput,
) -> Result<api::ExecuteChangeSetOutput, Error> {
    let (change_set, stack) = cx.read(|tx| {
        let change_set =
            require_change_set(&cx, tx, &input.change_set_name, input.stack_name.as_deref())?;
        let stack = require(&cx, tx, &change_set.stack_id)?;
        Ok((change_set, stack))
    })?;
    if input.client_request_token.is_some()
        && change_set.executed_by.is_some()
        && stack.update_token == input.client_request_token
    {
        return Ok(api::ExecuteChangeSetOutput {});
    }
    let execution = execution_status(&change_set, &stack);
    if execution != ExecutionStatus::Available {
        return Err(errors::InvalidChangeSetStatusException.because(format!(
            "ChangeSet [{}] cannot be executed in its current status of [{}] with execution status [{execution}]",
            change_set.id,
            status(&change_set)
        )));
    }
    cx.write(|tx| {
        let fresh = require(&cx, tx, &stack.id)?;
        require_unchanged(&stack, &fresh)?;
        let mut draft = draft(&cx, tx, fresh);
        let version = Version {
            number: draft.stack.versions + 1,
            ..change_set.version.clone()
        };
        let failure = change_set
            .on_failure
            .unwrap_or(on_failure(input.disable_rollback));
        draft.stack.change_set_id = Some(change_set.id.clone());
        give_role(&mut draft, change_set.role_arn.clone());
        draft.stack.retain_except_on_create = input.retain_except_on_create.unwrap_or(false);
        if change_set.is_creation {
            draft.stack.create_token = input.client_request_token;
            draft.stack.updated_ms = Some(draft.now_ms);
            draft.stack.disable_rollback = failure == OnFailure::DoNothing;
            begin_creation(&mut draft, &version, failure)?;
        } else {
            begin_update(&mut draft, &version, failure, input.client_request_token)?;
        }
        // The others were computed against a stack that is no more.
        forget_change_sets(tx, &draft.stack)?;
        tx.put(&ChangeSet {
            executed_by: Some(draft.stack.operations),
            ..change_set
        })?;
        tx.put(&version)?;
        draft.save()?;
        Ok(api::ExecuteChangeSetOutput {})
    })
}
