//! Stacks in stacks.
//!
//! A nested stack is an ordinary stack whose operations are begun by the stack that it is a resource
//! of. The two meet in the nested stack's record only: the parent notes there what it wants
//! ([`Wanted`]) and reads how far it has come.
//!
//! ```text
//! parent   Update ──────────────────────┬─> UpdateCleanup: release ──> done
//!            │ update                   │      │
//! nested   Update ──> UpdateCleanup, held ──> UpdateCleanup ──> done
//!                                       │
//!          (something else in the tree has failed)
//! parent                                └─> UpdateRollback: restore ──> RollbackCleanup: release
//! nested                UpdateRollback <───────────┘──> RollbackCleanup, held ──────> done
//! ```
//!
//! While it is *held*, everything that the update replaced is still there, so that a tree goes back
//! to exactly what it was. What one part of a tree would clean up, another may still use.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error, Records, ResourceError, ResourceRequest, Stability};
use serde_json::Value as Json;
use shapes::cloudformation::StackStatus;

use crate::check::invalid;
use crate::event::Draft;
use crate::finish::{in_use, publish_again};
use crate::kept;
use crate::lookup::{find, find_head, version_of};
use crate::record::{Nested, OnFailure, Operation, Output, Phase, Stack, Version, Wanted, Was};
use crate::source::{accept, fetch};
use crate::stack::{begin, begin_creation, begin_update, draft, new_stack, preview};
use crate::undo::{begin_deletion, resume_rollback};
use crate::{lookups, transforms, tree};

const NAME_CHARACTERS_MAX: usize = 128;

/// The stack that a request comes from, and what of its request is secret.
struct Parent {
    stack: Stack,
    version: Version,
    hidden: BTreeSet<String>,
}

fn parent(cx: &Cx, request: &ResourceRequest) -> Result<Parent, Error> {
    let lost = || invalid(format!("Stack [{}] does not exist", request.stack_id));
    cx.read(|tx| {
        let head = find_head(cx, tx, &request.stack_id)?.ok_or_else(lost)?;
        let stack = kept::part(tx, &head.key(), &request.logical_id)?.ok_or_else(lost)?;
        let target = (stack.operation.as_ref()).map(|it| Version::key_of(&stack.key(), it.target));
        let version = match target {
            Some(key) => tx.get(&key)?,
            None => None,
        };
        let version = version.or(version_of(tx, &stack)?).ok_or_else(lost)?;
        let shown = (stack.resources.get(&request.logical_id))
            .and_then(|it| Some(&it.work.as_ref()?.goal.shown["Parameters"]));
        let hidden = hidden(
            &request.properties["Parameters"],
            shown.unwrap_or(&Json::Null),
        );
        Ok(Parent {
            stack,
            version,
            hidden,
        })
    })
}

/// Parameters whose values come from a NoEcho parameter of the parent: their shown form differs.
fn hidden(given: &Json, shown: &Json) -> BTreeSet<String> {
    (given.as_object().into_iter().flatten())
        .filter(|(name, value)| shown.get(*name).is_some_and(|it| it != *value))
        .map(|(name, _)| name.clone())
        .collect()
}

/// The version that a request describes.
async fn version(
    cx: &Cx,
    request: &ResourceRequest,
    parent: &Parent,
    stack_key: &str,
    number: u64,
) -> Result<Version, Error> {
    let url = request.text("TemplateURL").unwrap_or_default();
    let mut tags = request.all_tags();
    // The parent's own place is not the nested stack's; that gets its own.
    tags.retain(|key, _| !key.starts_with("aws:"));
    let mut version = Version {
        stack: stack_key.to_owned(),
        number,
        template: fetch(cx, &url).await?,
        original: None,
        parameters: tree::parameters(&request.properties["Parameters"]).map_err(invalid)?,
        stored: BTreeMap::new(),
        hidden: parent.hidden.clone(),
        tags,
        capabilities: parent.version.capabilities.clone(),
    };
    transforms::carry_out(cx, &mut version).await?;
    lookups::complete(cx, &mut version).await?;
    Ok(version)
}

fn on_failure(parent: &Parent) -> OnFailure {
    match parent.stack.operation.as_ref().map(|it| it.on_failure) {
        Some(OnFailure::DoNothing) => OnFailure::DoNothing,
        _ => OnFailure::Rollback,
    }
}

/// Begins to make a nested stack, and answers its id.
pub async fn create(cx: &Cx, request: &ResourceRequest) -> Result<String, ResourceError> {
    let parent = parent(cx, request)?;
    let cx = cx.with_token(&request.token);
    let mut stack = new_stack(&cx, &request.generated_name(NAME_CHARACTERS_MAX))?;
    if cx.read(|tx| kept::head(tx, &stack.key()))?.is_some() {
        return Ok(stack.id);
    }
    let on_failure = on_failure(&parent);
    let root_id = parent.stack.nested.as_ref().map(|it| it.root_id.clone());
    stack.nested = Some(Nested {
        parent: parent.stack.key(),
        parent_id: parent.stack.id.clone(),
        root_id: root_id.unwrap_or_else(|| parent.stack.id.clone()),
        wanted: Wanted::Create,
        token: request.token.clone(),
        failure: None,
        was: None,
    });
    stack.disable_rollback = on_failure == OnFailure::DoNothing;
    stack.retain_except_on_create = parent.stack.retain_except_on_create;
    stack.timeout_minutes = timeout(request)?;
    if tree::depth(&cx, &stack)? > tree::DEPTH_MAX {
        return Err(tree::too_deep().into());
    }
    let version = version(&cx, request, &parent, &stack.key(), 1).await?;
    accept(&cx, &stack, &version).await?;
    Ok(cx.write(|tx| {
        let mut draft = draft(&cx, tx, stack);
        begin_creation(&mut draft, &version, on_failure)?;
        tx.put(&version)?;
        Ok(draft.save()?.id)
    })?)
}

fn timeout(request: &ResourceRequest) -> Result<Option<i32>, ResourceError> {
    let Some(text) = request.text("TimeoutInMinutes") else {
        return Ok(None);
    };
    let minutes = text.parse().ok().filter(|it| *it > 0);
    match minutes {
        Some(minutes) => Ok(Some(minutes)),
        None => Err(ResourceError::new(format!(
            "TimeoutInMinutes must be a number of minutes and is `{text}`"
        ))),
    }
}

fn read(cx: &Cx, id: &str) -> Result<Option<Stack>, Error> {
    cx.read(|tx| Ok(find_head(cx, tx, id)?.filter(|it| !it.is_deleted())))
}

fn require(cx: &Cx, id: &str) -> Result<(Stack, Nested), ResourceError> {
    let stack = read(cx, id)?;
    let nested = stack.and_then(|it| Some((it.clone(), it.nested?)));
    nested.ok_or_else(|| ResourceError::new(format!("Stack with id {id} does not exist")))
}

/// Begins to bring a nested stack to what the request says.
pub async fn update(cx: &Cx, id: &str, request: &ResourceRequest) -> Result<(), ResourceError> {
    let (head, nested) = require(cx, id)?;
    if nested.token == request.token {
        return Ok(());
    }
    let stack = cx.read(|tx| kept::completed(tx, head))?;
    let is_held = is_held(&stack);
    match stack.status {
        StackStatus::CreateComplete
        | StackStatus::UpdateComplete
        | StackStatus::UpdateRollbackComplete
        | StackStatus::UpdateFailed => {}
        _ if is_held => {}
        // Somebody is updating it beside its parent.
        status if status.as_str().ends_with("_IN_PROGRESS") => {
            return Err(ResourceError::retry(format!(
                "Stack:{id} is in {status} state and can not be updated."
            )));
        }
        status => {
            return Err(ResourceError::new(format!(
                "Stack:{id} is in {status} state and can not be updated."
            )));
        }
    }
    let parent = parent(cx, request)?;
    let previous = cx.read(|tx| version_of(tx, &stack))?;
    let number = stack.versions + 1;
    let version = version(cx, request, &parent, &stack.key(), number).await?;
    let (_, changes) = preview(cx, &stack, &version, previous.as_ref()).await?;
    let is_same = previous.as_ref().is_some_and(|it| {
        *it == Version {
            number: it.number,
            ..version.clone()
        }
    });
    let is_unchanged = is_same && changes.is_empty() && stack.status != StackStatus::UpdateFailed;
    let on_failure = on_failure(&parent);
    cx.write(|tx| {
        let fresh = find(cx, tx, id)?.unwrap_or_else(|| stack.clone());
        let mut draft = draft(cx, tx, fresh);
        if is_unchanged {
            // What it holds from an earlier update stays held.
            note(&mut draft, Wanted::Nothing, &request.token);
            return draft.save();
        }
        remember(&mut draft);
        note(&mut draft, Wanted::Update, &request.token);
        begin_update(&mut draft, &version, on_failure, None)?;
        mark_part(&mut draft);
        tx.put(&version)?;
        draft.save()
    })?;
    Ok(())
}

fn note(draft: &mut Draft<'_>, wanted: Wanted, token: &str) {
    if let Some(nested) = &mut draft.stack.nested {
        nested.wanted = wanted;
        nested.token = token.to_owned();
        nested.failure = None;
    }
}

/// Notes what the stack shows before the first update that may be taken back.
fn remember(draft: &mut Draft<'_>) {
    let stack = &mut draft.stack;
    let was = Was {
        version: stack.version,
        outputs: stack.outputs.clone(),
        imports: stack.imports.clone(),
    };
    if let Some(nested) = &mut stack.nested {
        nested.was.get_or_insert(was);
    }
}

/// The operation is part of the parent's: it cleans up when the parent does.
fn mark_part(draft: &mut Draft<'_>) {
    if let Some(operation) = &mut draft.stack.operation {
        operation.is_part = true;
    }
}

/// Takes an update back.
pub fn restore(cx: &Cx, id: &str, request: &ResourceRequest) -> Result<(), ResourceError> {
    let (stack, nested) = require(cx, id)?;
    if nested.token == request.token {
        return Ok(());
    }
    let held_after_update = is_held(&stack)
        && matches!(
            stack.operation,
            Some(Operation {
                phase: Phase::UpdateCleanup,
                ..
            })
        );
    cx.write(|tx| {
        let fresh = match find_head(cx, tx, id)? {
            Some(fresh) => fresh,
            None => stack,
        };
        let mut draft = draft(cx, tx, kept::completed(tx, fresh)?);
        note(&mut draft, Wanted::Restore, &request.token);
        match (draft.stack.status, draft.stack.operation.as_mut()) {
            (_, Some(operation)) if operation.phase == Phase::Update => {
                (operation.failure).get_or_insert("Rollback requested by the root stack.".into());
                operation.on_failure = OnFailure::Rollback;
                operation.is_part = true;
            }
            (_, Some(_)) if held_after_update => {
                let target = draft.stack.version.unwrap_or(0);
                begin(
                    &mut draft,
                    Phase::UpdateRollback,
                    target,
                    OnFailure::Rollback,
                    None,
                );
                mark_part(&mut draft);
                draft.stack_status(StackStatus::UpdateRollbackInProgress, None)?;
            }
            // It goes back already.
            (_, Some(_)) => {}
            (StackStatus::UpdateFailed | StackStatus::UpdateRollbackFailed, None) => {
                let stack = draft.stack.clone();
                let is_again = stack.status == StackStatus::UpdateRollbackFailed;
                resume_rollback(&mut draft, is_again, &BTreeSet::new(), None)?;
                mark_part(&mut draft);
            }
            // The update that failed had not come to it, or had nothing to do here.
            (_, None) => note(&mut draft, Wanted::Nothing, &request.token),
        }
        draft.save()
    })?;
    Ok(())
}

pub fn is_held(stack: &Stack) -> bool {
    stack.operation.as_ref().is_some_and(|it| it.is_held)
}

/// The parent does not take its update back any more.
pub fn release(cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
    let Some(stack) = read(cx, id)? else {
        return Ok(Stability::Stable);
    };
    match &stack.operation {
        None => Ok(Stability::Stable),
        Some(operation) if operation.is_held => {
            cx.write(|tx| {
                let Some(mut stack) = find_head(cx, tx, id)? else {
                    return Ok(());
                };
                if let Some(operation) = &mut stack.operation {
                    operation.is_held = false;
                    operation.is_part = false;
                }
                kept::save(tx, stack).map(drop)
            })?;
            Ok(Stability::Waiting(String::new()))
        }
        Some(_) => Ok(Stability::Waiting(String::new())),
    }
}

/// Begins to delete a nested stack.
pub fn delete(cx: &Cx, id: &str) -> Result<(), ResourceError> {
    let in_use = cx.write(|tx| {
        let Some(stack) = find(cx, tx, id)?.filter(|it| !it.is_deleted()) else {
            return Ok(None);
        };
        if stack.status == StackStatus::DeleteInProgress {
            return Ok(None);
        }
        let is_undone = is_undone(tx, &stack)?;
        let mut draft = draft(cx, tx, stack);
        let exports: Vec<String> = (draft.stack.outputs.iter())
            .filter_map(|it| it.export.clone())
            .collect();
        for export in &exports {
            if let Some(reason) = in_use(&draft, export, "deleted")? {
                let is_own = importers_are_related(&draft, export)?;
                return Ok(Some((reason, is_own)));
            }
        }
        begin_deletion(&mut draft, BTreeSet::new(), None)?;
        if let Some(operation) = &mut draft.stack.operation {
            operation.is_undone = is_undone;
        }
        draft.save()?;
        Ok(None)
    })?;
    match in_use {
        None => Ok(()),
        // What uses it goes with the same tree.
        Some((reason, true)) => Err(ResourceError::retry(reason)),
        Some((reason, false)) => Err(ResourceError::new(reason)),
    }
}

/// Whether the deletion undoes what a failed operation of the parent made.
fn is_undone(tx: &Records<'_>, stack: &Stack) -> Result<bool, Error> {
    let parent = match &stack.nested {
        Some(nested) => kept::head(tx, &nested.parent)?,
        None => None,
    };
    let operation = parent.and_then(|it| it.operation);
    Ok(operation.is_some_and(|it| {
        it.is_undone || matches!(it.phase, Phase::Rollback | Phase::RollbackCleanup)
    }))
}

/// Whether all stacks that use the export are of the same tree.
fn importers_are_related(draft: &Draft<'_>, export: &str) -> Result<bool, Error> {
    let root = |stack: &Stack| match &stack.nested {
        Some(nested) => nested.root_id.clone(),
        None => stack.id.clone(),
    };
    let own = root(&draft.stack);
    let stacks = kept::living(draft.tx, &draft.stack.region)?;
    Ok((stacks.iter())
        .filter(|it| it.imports.contains(export))
        .all(|it| root(it) == own))
}

/// How far a nested stack has come with what its parent wants of it.
pub fn stability(cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
    let (stack, nested) = require(cx, id)?;
    let status = stack.status;
    let failed = |verb: &str| {
        let reason = nested.failure.as_deref().or(stack.status_reason.as_deref());
        let reason = reason.unwrap_or_default().trim_end();
        let state = match verb {
            "created" => format!(": {reason}"),
            _ => format!(". Currently in {status} with reason: {reason}"),
        };
        Stability::Failed(format!(
            "Embedded stack {id} was not successfully {verb}{state}"
        ))
    };
    let waiting = || Stability::Waiting(format!("the embedded stack is in {status}"));
    Ok(match (nested.wanted, status) {
        (Wanted::Nothing, _) => Stability::Stable,
        (Wanted::Create, StackStatus::CreateInProgress) => waiting(),
        (
            Wanted::Create,
            StackStatus::RollbackInProgress
            | StackStatus::RollbackComplete
            | StackStatus::RollbackFailed
            | StackStatus::CreateFailed
            | StackStatus::DeleteInProgress
            | StackStatus::DeleteFailed,
        ) => failed("created"),
        (Wanted::Create, _) => Stability::Stable,
        (Wanted::Update, StackStatus::UpdateInProgress) => waiting(),
        (
            Wanted::Update,
            StackStatus::UpdateComplete | StackStatus::UpdateCompleteCleanupInProgress,
        ) => Stability::Stable,
        (Wanted::Update, _) => failed("updated"),
        (
            Wanted::Restore,
            StackStatus::UpdateInProgress | StackStatus::UpdateRollbackInProgress,
        ) => waiting(),
        (Wanted::Restore, StackStatus::UpdateRollbackCompleteCleanupInProgress) => {
            Stability::Stable
        }
        (Wanted::Restore, StackStatus::UpdateRollbackComplete) => Stability::Stable,
        (Wanted::Restore, _) => failed("rolled back"),
    })
}

pub fn deleted(cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
    Ok(match read(cx, id)? {
        None => Stability::Stable,
        Some(stack) if stack.status == StackStatus::DeleteFailed => {
            let reason = stack.status_reason.unwrap_or_default();
            let reason = reason.trim_end();
            Stability::Failed(format!(
                "Embedded stack {id} was not successfully deleted: {reason}"
            ))
        }
        Some(_) => Stability::Waiting(String::new()),
    })
}

pub fn outputs(cx: &Cx, id: &str) -> Result<Vec<Output>, ResourceError> {
    Ok(require(cx, id)?.0.outputs)
}

/// What the stack shows is again what it was before the update.
pub fn forget_update(draft: &mut Draft<'_>) -> Result<(), Error> {
    let Some(was) = draft.stack.nested.as_mut().and_then(|it| it.was.take()) else {
        return Ok(());
    };
    publish_again(draft, &was.outputs)?;
    draft.stack.version = was.version;
    draft.stack.outputs = was.outputs;
    draft.stack.imports = was.imports;
    Ok(())
}
