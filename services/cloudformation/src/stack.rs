//! Making and changing stacks: each handler checks, records, and answers.

use std::collections::BTreeSet;

use cloud::{Cx, Error, Records};
use shapes::cloudformation::{self as api, StackStatus, errors};
use template::Template;

use crate::asker::{Asker, checked_role};
use crate::changes::{Changes, Comparison, changes};
use crate::check::invalid;
use crate::event::Draft;
use crate::finish::enter;
use crate::kept;
use crate::lookup::{does_not_exist, find, find_head, require, version_of};
use crate::policy;
use crate::reconcile::surroundings;
use crate::record::{ChangeSet, OnFailure, Operation, Phase, Stack, Version};
use crate::resources::Resources;
use crate::scope::environment;
use crate::source::{Source, accept, acknowledge_transforms, require_types};

const STACK_NAME_CHARACTERS_MAX: usize = 128;

pub async fn create_stack(
    cx: Cx,
    input: api::CreateStackInput,
) -> Result<api::CreateStackOutput, Error> {
    let disable_rollback =
        (input.disable_rollback).or(input.deployment_config.and_then(|it| it.disable_rollback));
    if input.disable_rollback.is_some() && input.on_failure.is_some() {
        return Err(invalid(
            "You can specify either DisableRollback or OnFailure, but not both.",
        ));
    }
    let on_failure = match (input.on_failure, disable_rollback) {
        (Some(api::OnFailure::DoNothing), _) | (None, Some(true)) => OnFailure::DoNothing,
        (Some(api::OnFailure::Delete), _) => OnFailure::Delete,
        _ => OnFailure::Rollback,
    };
    let mut stack = new_stack(&cx, &input.stack_name)?;
    stack.disable_rollback = on_failure == OnFailure::DoNothing;
    stack.retain_except_on_create = input.retain_except_on_create.unwrap_or(false);
    stack.termination_protection = input.enable_termination_protection.unwrap_or(false);
    stack.timeout_minutes = input.timeout_in_minutes;
    stack.create_token = input.client_request_token;
    stack.policy = policy::given(&cx, input.stack_policy_body, input.stack_policy_url).await?;
    stack.role_arn = checked_role(&cx, &stack.id, input.role_arn)?;
    let source = Source {
        template_body: input.template_body,
        template_url: input.template_url,
        parameters: input.parameters.unwrap_or_default(),
        capabilities: input.capabilities.unwrap_or_default(),
        tags: Some(input.tags.unwrap_or_default()),
        ..Source::default()
    };
    match cx.read(|tx| find_head(&cx, tx, &stack.name))? {
        // Nothing but a change set was made of it so far: it becomes this stack.
        Some(existing) if existing.status == StackStatus::ReviewInProgress => {
            stack = in_place_of(existing, stack);
        }
        Some(existing) => return already_there(&stack, existing),
        None => {}
    }
    let version = source
        .version(&cx, &stack.key(), stack.versions + 1, None)
        .await?;
    let template = accept(&cx, &stack, &version).await?;
    require_types(&template, input.resource_types.as_deref())?;
    acknowledge_transforms(&version, &template)?;
    cx.write(|tx| {
        match find_head(&cx, tx, &stack.name)? {
            Some(existing)
                if existing.id == stack.id && existing.status == StackStatus::ReviewInProgress =>
            {
                stack.saves = existing.saves;
                stack.events = existing.events;
                forget_change_sets(tx, &stack)?;
            }
            Some(existing) => return already_there(&stack, existing),
            None => {}
        }
        let mut draft = draft(&cx, tx, stack);
        begin_creation(&mut draft, &version, on_failure)?;
        tx.put(&version)?;
        Ok(api::CreateStackOutput {
            stack_id: Some(draft.save()?.id),
            ..Default::default()
        })
    })
}

/// A stack that is asked for by the name of one in review has its id.
fn in_place_of(existing: Stack, wanted: Stack) -> Stack {
    Stack {
        id: existing.id,
        uuid: existing.uuid,
        created_ms: existing.created_ms,
        versions: existing.versions,
        operations: existing.operations,
        events: existing.events,
        saves: existing.saves,
        ..wanted
    }
}

/// What was computed against a stack that is no more.
pub fn forget_change_sets(tx: &Records<'_>, stack: &Stack) -> Result<(), Error> {
    for key in tx.keys::<ChangeSet>(&format!("{}/", stack.key()))? {
        tx.delete::<ChangeSet>(&key)?;
    }
    Ok(())
}

/// A repeated request gets the answer of the first one.
fn already_there(wanted: &Stack, existing: Stack) -> Result<api::CreateStackOutput, Error> {
    if wanted.create_token.is_some() && existing.create_token == wanted.create_token {
        return Ok(api::CreateStackOutput {
            stack_id: Some(existing.id),
            ..Default::default()
        });
    }
    Err(errors::AlreadyExistsException.because(format!("Stack [{}] already exists", existing.name)))
}

pub fn draft<'a>(cx: &Cx, tx: &'a Records<'a>, stack: Stack) -> Draft<'a> {
    Draft {
        stack,
        tx,
        now_ms: cx.clock().now_ms(),
        secrets: Vec::new(),
        asked_by: Asker::of(cx),
    }
}

/// A stack that nothing has been done to.
pub fn new_stack(cx: &Cx, name: &str) -> Result<Stack, Error> {
    let is_name = name.len() <= STACK_NAME_CHARACTERS_MAX
        && name.starts_with(|it: char| it.is_ascii_alphabetic())
        && name
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || it == '-');
    if !is_name {
        return Err(invalid(format!(
            "1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
        )));
    }
    let uuid = new_uuid(cx, "stack");
    Ok(Stack {
        region: cx.region.clone(),
        name: name.to_owned(),
        id: cx.arn("cloudformation", &format!("stack/{name}/{uuid}")),
        uuid,
        status: StackStatus::ReviewInProgress,
        status_reason: None,
        created_ms: cx.clock().now_ms(),
        updated_ms: None,
        deleted_ms: None,
        version: None,
        versions: 0,
        operation: None,
        operations: 0,
        resources: Resources::none(),
        outputs: Vec::new(),
        imports: BTreeSet::new(),
        termination_protection: false,
        policy: None,
        disable_rollback: false,
        retain_except_on_create: false,
        timeout_minutes: None,
        change_set_id: None,
        events: 0,
        create_token: None,
        update_token: None,
        nested: None,
        drift: None,
        role_arn: None,
        asked_by: None,
        saves: 0,
    })
}

pub fn new_uuid(cx: &Cx, what: &str) -> String {
    cloud::dashed(&cx.new_id(what, 32)[what.len()..])
}

pub fn begin(
    draft: &mut Draft<'_>,
    phase: Phase,
    target: u64,
    on_failure: OnFailure,
    token: Option<String>,
) {
    draft.stack.operations += 1;
    draft.stack.asked_by = draft.asked_by.clone();
    draft.stack.operation = Some(Operation {
        number: draft.stack.operations,
        phase,
        target,
        on_failure,
        began_ms: draft.now_ms,
        deadline_ms: None,
        failure: None,
        retain: BTreeSet::new(),
        token,
        is_part: false,
        is_held: false,
        is_undone: false,
        policy: None,
    });
    enter(draft, phase);
}

/// The stack is to be made from its first version.
pub fn begin_creation(
    draft: &mut Draft<'_>,
    version: &Version,
    on_failure: OnFailure,
) -> Result<(), Error> {
    draft.stack.version = Some(version.number);
    draft.stack.versions = version.number;
    let token = draft.stack.create_token.clone();
    begin(draft, Phase::Create, version.number, on_failure, token);
    let minutes = draft.stack.timeout_minutes.map(i64::from);
    if let Some(operation) = &mut draft.stack.operation {
        operation.deadline_ms = minutes.map(|it| operation.began_ms + it * 60_000);
    }
    draft.stack_status(StackStatus::CreateInProgress, Some("User Initiated".into()))
}

/// The stack is to become what `version` says.
pub fn begin_update(
    draft: &mut Draft<'_>,
    version: &Version,
    on_failure: OnFailure,
    token: Option<String>,
) -> Result<(), Error> {
    draft.stack.versions = version.number;
    draft.stack.updated_ms = Some(draft.now_ms);
    draft.stack.disable_rollback = on_failure == OnFailure::DoNothing;
    draft.stack.update_token = token.clone();
    begin(draft, Phase::Update, version.number, on_failure, token);
    draft.stack_status(StackStatus::UpdateInProgress, Some("User Initiated".into()))
}

pub fn require_updatable(stack: &Stack) -> Result<(), Error> {
    match stack.status {
        StackStatus::CreateComplete
        | StackStatus::UpdateComplete
        | StackStatus::UpdateRollbackComplete
        | StackStatus::UpdateFailed => Ok(()),
        status => Err(invalid(format!(
            "Stack:{} is in {status} state and can not be updated.",
            stack.id
        ))),
    }
}

pub async fn update_stack(
    cx: Cx,
    input: api::UpdateStackInput,
) -> Result<api::UpdateStackOutput, Error> {
    let disable_rollback =
        (input.disable_rollback).or(input.deployment_config.and_then(|it| it.disable_rollback));
    let new_policy = policy::given(&cx, input.stack_policy_body, input.stack_policy_url).await?;
    let policy_once = policy::given(
        &cx,
        input.stack_policy_during_update_body,
        input.stack_policy_during_update_url,
    )
    .await?;
    let token = input.client_request_token;
    let (stack, previous) = cx.read(|tx| {
        let stack = find(&cx, tx, &input.stack_name)?.filter(|it| !it.is_deleted());
        let stack =
            stack.ok_or_else(|| invalid(format!("Stack [{}] does not exist", input.stack_name)))?;
        let version = version_of(tx, &stack)?;
        Ok((stack, version))
    })?;
    let answer = || api::UpdateStackOutput {
        stack_id: Some(stack.id.clone()),
        ..Default::default()
    };
    if token.is_some() && stack.update_token == token {
        return Ok(answer());
    }
    require_updatable(&stack)?;
    let role = checked_role(&cx, &stack.id, input.role_arn)?;
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
    acknowledge_transforms(&version, &template)?;
    keep_capabilities(&mut version, previous.as_ref());
    let is_same_policy = new_policy.is_none() || new_policy == stack.policy;
    if changes.is_empty() && stack.status != StackStatus::UpdateFailed && is_same_policy {
        return Err(invalid("No updates are to be performed."));
    }
    let on_failure = on_failure(disable_rollback);
    cx.write(|tx| {
        let fresh = require(&cx, tx, &stack.id)?;
        require_unchanged(&stack, &fresh)?;
        let mut draft = draft(&cx, tx, fresh);
        if let Some(policy) = new_policy {
            draft.stack.policy = Some(policy);
        }
        give_role(&mut draft, role);
        draft.stack.retain_except_on_create = input.retain_except_on_create.unwrap_or(false);
        draft.stack.change_set_id = None;
        begin_update(&mut draft, &version, on_failure, token)?;
        if let Some(operation) = &mut draft.stack.operation {
            operation.policy = policy_once;
        }
        tx.put(&version)?;
        draft.save()?;
        Ok(answer())
    })
}

/// A stack keeps what was acknowledged until something else is.
pub fn keep_capabilities(version: &mut Version, previous: Option<&Version>) {
    if version.capabilities.is_empty() {
        version.capabilities = previous
            .map(|it| it.capabilities.clone())
            .unwrap_or_default();
    }
}

/// A stack keeps its role until it is given another.
pub fn give_role(draft: &mut Draft<'_>, role: Option<String>) {
    if role.is_some() {
        draft.stack.role_arn = role;
    }
}

pub fn on_failure(disable_rollback: Option<bool>) -> OnFailure {
    match disable_rollback {
        Some(true) => OnFailure::DoNothing,
        _ => OnFailure::Rollback,
    }
}

/// Between the check of a request and its record, nothing else may have begun.
pub fn require_unchanged(checked: &Stack, fresh: &Stack) -> Result<(), Error> {
    if checked.operations == fresh.operations && checked.status == fresh.status {
        return Ok(());
    }
    Err(invalid(format!(
        "Stack:{} is in {} state and can not be updated.",
        fresh.id, fresh.status
    )))
}

/// Checks a new version of a stack, and says what it would change. Hands on the parsed template.
pub async fn preview(
    cx: &Cx,
    stack: &Stack,
    version: &Version,
    previous: Option<&Version>,
) -> Result<(Template, Changes), Error> {
    let template = accept(cx, stack, version).await?;
    let around = surroundings(cx, Some(version)).await?;
    let values = version.values(&template).map_err(invalid)?;
    let target = template
        .instantiate(values, environment(cx.account(), stack))
        .map_err(invalid)?;
    require_same_types(stack, &target)?;
    // What an older version of this program took, this one may not.
    let before = previous.and_then(|it| Some((Template::parse(&it.template).ok()?, it)));
    let before = before.and_then(|(template, it)| Some((it.values(&template).ok()?, template)));
    let before = before.as_ref().and_then(|(values, template)| {
        (template.instantiate(values.clone(), environment(cx.account(), stack))).ok()
    });
    let comparison = Comparison {
        stack,
        previous: before.as_ref(),
        target: &target,
        tags: &version.tags,
        around: &around,
    };
    let changes = changes(&cx.cloud, &comparison).map_err(invalid)?;
    drop(target);
    Ok((template, changes))
}

/// A logical id is of one type for as long as it is there.
fn require_same_types(stack: &Stack, target: &template::Instance<'_>) -> Result<(), Error> {
    let others: Vec<&str> = (target.resources())
        .filter(|(id, resource)| {
            let current = stack.resources.get(id).and_then(|it| it.current.as_ref());
            current.is_some_and(|it| it.resource_type != resource.resource_type)
        })
        .map(|(id, _)| id.as_str())
        .collect();
    match others.is_empty() {
        true => Ok(()),
        false => Err(invalid(format!(
            "Update of resource type is not permitted. The new template modifies resource type of the following resources: [{}]",
            others.join(", ")
        ))),
    }
}

pub async fn update_termination_protection(
    cx: Cx,
    input: api::UpdateTerminationProtectionInput,
) -> Result<api::UpdateTerminationProtectionOutput, Error> {
    cx.write(|tx| {
        let stack = find_head(&cx, tx, &input.stack_name)?.filter(|it| !it.is_deleted());
        let mut stack = stack.ok_or_else(|| does_not_exist(&input.stack_name))?;
        if let Some(nested) = &stack.nested {
            return Err(invalid(format!(
                "Termination protection of the nested stack [{}] is set on its root stack {}",
                stack.name, nested.root_id
            )));
        }
        stack.termination_protection = input.enable_termination_protection;
        Ok(api::UpdateTerminationProtectionOutput {
            stack_id: Some(kept::save(tx, stack)?.id),
        })
    })
}
