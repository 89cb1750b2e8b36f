//! What to do next in a stack's operation: pure, from what is known of each resource.
//!
//! Every phase is the same question asked of every resource: *is it as this phase wants it, and if
//! not, may something be done about it now?* All steps of one plan may be done in any order.

use std::collections::{BTreeSet, HashSet};

use cloud::Property;
use serde_json::Value as Json;

use crate::ahead::Ahead;
use crate::diff::differences;
use crate::policy;
use crate::record::{Action, Before, Goal, Outcome, Phase, Policy, Resource, Stack, Stage, Work};
use crate::scope::{StackScope, Surroundings};
use crate::signal;

/// What a plan needs beside the record.
pub struct View<'a> {
    /// The template that is being built. None in phases that only undo.
    pub target: Option<&'a template::Instance<'a>>,
    /// The way through it. None in phases that do not build.
    pub ahead: Option<&'a Ahead>,
    pub tags: &'a std::collections::BTreeMap<String, String>,
    pub around: &'a Surroundings,
    pub table: &'a dyn Fn(&str) -> &'static [Property],
    /// Whether resources of a type are stacks themselves.
    pub is_stack: &'a dyn Fn(&str) -> bool,
    pub now_ms: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Notes the work with its event, then does it.
    Start {
        id: String,
        work: Box<Work>,
        imports: BTreeSet<String>,
    },
    /// Makes the call of work that is noted already.
    Apply { id: String },
    /// Looks whether applied work has become true.
    Poll { id: String },
    /// Gives up applied work because something else failed.
    Cancel { id: String },
    /// Nothing has to change; policies and needs are noted.
    Settle { id: String, goal: Option<Box<Goal>> },
    /// Takes the instance back that an update replaced.
    TakeBack { id: String },
    /// Lets a nested stack clean up what the operation replaced in it.
    Release { id: String },
    /// Does nothing to the resource, which fails the operation.
    Deny { id: String, reason: String },
    /// Leaves an instance alone for good.
    Skip { id: String, physical_id: String },
    /// The whole operation fails.
    Fail { reason: String },
    /// The phase is over.
    Finish,
}

pub fn plan(stack: &Stack, view: &View<'_>) -> Vec<Step> {
    let Some(operation) = &stack.operation else {
        return Vec::new();
    };
    if operation.is_held {
        return Vec::new();
    }
    let steps = match operation.phase {
        Phase::Create | Phase::Update => build(stack, view),
        Phase::UpdateRollback => bring_back(stack, view),
        Phase::Rollback | Phase::Delete | Phase::UpdateCleanup | Phase::RollbackCleanup => {
            remove(stack, view)
        }
    };
    match steps {
        None => vec![Step::Finish],
        Some(steps) => steps,
    }
}

/// Has the operation failed, so that nothing new is begun?
pub fn is_failing(stack: &Stack) -> bool {
    let failure = stack.operation.as_ref().and_then(|it| it.failure.as_ref());
    failure.is_some()
        || stack
            .resources
            .values()
            .any(|it| it.outcome == Some(Outcome::Failed))
}

/// Work under way goes on.
fn go_on(stack: &Stack) -> Vec<Step> {
    (stack.resources.iter())
        .filter_map(|(id, resource)| {
            let work = resource.work.as_ref()?;
            Some(go_on_with(id, work))
        })
        .collect()
}

fn go_on_with(id: &str, work: &Work) -> Step {
    let id = id.to_owned();
    match work.stage {
        Stage::Started => Step::Apply { id },
        Stage::Applied => Step::Poll { id },
    }
}

/// Work under way ends: what may have been begun is begun again, so that what it made is known, and
/// what is begun is given up.
fn wind_up(stack: &Stack) -> Vec<Step> {
    (stack.resources.iter())
        .filter_map(|(id, resource)| {
            let (id, work) = (id.clone(), resource.work.as_ref()?);
            match (work.action, work.stage) {
                (Action::Delete, _) => None,
                (_, Stage::Started) => Some(Step::Apply { id }),
                (_, Stage::Applied) => Some(Step::Cancel { id }),
            }
        })
        .collect()
}

/// Steps towards the target, or nothing when it is reached or given up.
fn build(stack: &Stack, view: &View<'_>) -> Option<Vec<Step>> {
    if is_failing(stack) {
        return some_steps(wind_up(stack));
    }
    let (Some(target), Some(ahead)) = (view.target, view.ahead) else {
        return Some(vec![Step::Fail {
            reason: "the template of the stack is lost".into(),
        }]);
    };
    let deadline = stack.operation.as_ref().and_then(|it| it.deadline_ms);
    if deadline.is_some_and(|it| view.now_ms >= it) {
        let reason = "Stack creation time exceeded the specified timeout.".into();
        return Some(vec![Step::Fail { reason }]);
    }
    if ahead.is_over() {
        return None;
    }
    let mut steps = denied_removals(stack, target);
    if !steps.is_empty() {
        return Some(steps);
    }
    for (id, needs) in ahead.open() {
        let resource = stack.resources.get(id);
        if let Some(work) = resource.and_then(|it| it.work.as_ref()) {
            steps.push(go_on_with(id, work));
            continue;
        }
        match decide(stack, view, target, id, needs) {
            Ok(step) => steps.push(step),
            Err(reason) => return Some(vec![Step::Fail { reason }]),
        }
    }
    Some(steps)
}

/// What is left out goes once everything else is done: whether it may is asked before.
fn denied_removals(stack: &Stack, target: &template::Instance<'_>) -> Vec<Step> {
    if policy::of_operation(stack).is_none() {
        return Vec::new();
    }
    (stack.resources.iter())
        .filter(|(id, _)| target.resource(id).is_none())
        .filter_map(|(id, resource)| {
            let current = resource.current.as_ref()?;
            let reason = policy::denied(stack, "Update:Delete", id, &current.resource_type)?;
            let id = id.clone();
            Some(Step::Deny { id, reason })
        })
        .collect()
}

/// Why a resource may not be changed or replaced.
fn denied(stack: &Stack, view: &View<'_>, id: &str, action: Action, goal: &Goal) -> Option<String> {
    let current = stack.resources.get(id)?.current.as_ref()?;
    let update = match action {
        Action::Replace => "Update:Replace",
        _ => "Update:Modify",
    };
    if let Some(reason) = policy::denied(stack, update, id, &current.resource_type) {
        return Some(reason);
    }
    if action != Action::Replace {
        return None;
    }
    let name = (view.table)(&current.resource_type)
        .iter()
        .find(|it| it.is_name)?
        .name;
    let kept = current.goal.properties.get(name)?.as_str()?;
    (goal.properties.get(name)?.as_str()? == kept).then(|| {
        format!(
            "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename {kept} and update the stack again."
        )
    })
}

fn some_steps(steps: Vec<Step>) -> Option<Vec<Step>> {
    if steps.is_empty() { None } else { Some(steps) }
}

/// What has to be done to a resource whose needs are there.
fn decide(
    stack: &Stack,
    view: &View<'_>,
    target: &template::Instance<'_>,
    id: &str,
    needs: &BTreeSet<String>,
) -> Result<Step, String> {
    let scope = StackScope::new(stack, view.around);
    let goal = goal(target, view.tags, id, needs, &scope)?;
    let wanted = &target
        .resource(id)
        .ok_or("the resource is not in the template")?
        .resource_type;
    let current = stack.resources.get(id).and_then(|it| it.current.as_ref());
    let action = match current {
        None => Action::Create,
        Some(current) if current.resource_type != *wanted => Action::Replace,
        Some(current) => {
            let changes = differences(
                (view.table)(wanted),
                &current.goal.properties,
                &goal.properties,
            );
            if changes.iter().any(|it| it.needs_replacement) {
                Action::Replace
            } else if !changes.is_empty()
                || current.goal.tags != goal.tags
                || (view.is_stack)(wanted)
            {
                Action::Update
            } else {
                let goal = Some(Box::new(goal));
                return Ok(Step::Settle {
                    id: id.to_owned(),
                    goal,
                });
            }
        }
    };
    if let Some(reason) = denied(stack, view, id, action, &goal) {
        let id = id.to_owned();
        return Ok(Step::Deny { id, reason });
    }
    let physical_id = match action {
        Action::Update => current.map(|it| it.physical_id.clone()),
        _ => None,
    };
    let work = work(stack, id, action, wanted, goal, physical_id, view.now_ms);
    let imports = scope.imports.into_inner();
    Ok(Step::Start {
        id: id.to_owned(),
        work: Box::new(work),
        imports,
    })
}

fn goal(
    target: &template::Instance<'_>,
    tags: &std::collections::BTreeMap<String, String>,
    id: &str,
    needs: &BTreeSet<String>,
    scope: &StackScope<'_>,
) -> Result<Goal, String> {
    let properties = |instance: &template::Instance<'_>| {
        let evaluated = instance
            .properties(id, scope)
            .map_err(|error| error.to_string())?;
        Ok::<Json, String>(evaluated.map_or(Json::Null, |it| it.value))
    };
    let resource = target
        .resource(id)
        .ok_or("the resource is not in the template")?;
    let signals = match &resource.creation_policy {
        None => None,
        Some(policy) => match target.evaluate(policy, scope) {
            Ok(Some(policy)) => signal::policy(&policy)?,
            Ok(None) => None,
            Err(error) => return Err(error.to_string()),
        },
    };
    let update_policy = match &resource.update_policy {
        None => None,
        Some(policy) => (target.evaluate(policy, scope)).map_err(|error| error.to_string())?,
    };
    Ok(Goal {
        signals,
        update_policy: update_policy.unwrap_or(Json::Null),
        properties: properties(target)?,
        shown: properties(&target.masked())?,
        tags: tags.clone(),
        needs: needs.clone(),
        deletion_policy: target.policies(id).deletion.unwrap_or_default().into(),
        update_replace_policy: (target.policies(id).update_replace)
            .unwrap_or_default()
            .into(),
    })
}

fn work(
    stack: &Stack,
    id: &str,
    action: Action,
    resource_type: &str,
    goal: Goal,
    physical_id: Option<String>,
    now_ms: i64,
) -> Work {
    // A resource is worked on at most once in each phase of an operation, except that deletions
    // are told apart by what they delete.
    let (number, phase) =
        (stack.operation.as_ref()).map_or((0, Phase::Create), |it| (it.number, it.phase));
    let what = physical_id.as_deref().unwrap_or_default();
    Work {
        action,
        token: format!("{}/{number}/{phase:?}/{id}/{what}", stack.uuid),
        resource_type: resource_type.to_owned(),
        goal,
        physical_id,
        stage: Stage::Started,
        began_ms: now_ms,
    }
}

/// Steps back to what was before the update.
fn bring_back(stack: &Stack, view: &View<'_>) -> Option<Vec<Step>> {
    let waits = |resource: &Resource| {
        matches!(resource.before, Before::Was(_)) && resource.outcome.is_none()
    };
    let mut steps = go_on(stack);
    if is_failing(stack) {
        return some_steps(steps);
    }
    for (id, resource) in stack.resources.iter() {
        let Before::Was(was) = &resource.before else {
            continue;
        };
        if resource.work.is_some() || !waits(resource) {
            continue;
        }
        let is_free = (was.goal.needs.iter())
            .all(|it| it == id || !stack.resources.get(it).is_some_and(waits));
        if !is_free {
            continue;
        }
        steps.push(match &resource.current {
            Some(current)
                if current.physical_id == was.physical_id
                    && is_same(&current.goal, &was.goal)
                    && !(view.is_stack)(&was.resource_type) =>
            {
                Step::Settle {
                    id: id.clone(),
                    goal: Some(Box::new(was.goal.clone())),
                }
            }
            Some(current) if current.physical_id == was.physical_id => {
                let physical_id = Some(was.physical_id.clone());
                let restore = work(
                    stack,
                    id,
                    Action::Restore,
                    &was.resource_type,
                    was.goal.clone(),
                    physical_id,
                    view.now_ms,
                );
                Step::Start {
                    id: id.clone(),
                    work: Box::new(restore),
                    imports: BTreeSet::new(),
                }
            }
            _ => Step::TakeBack { id: id.clone() },
        });
    }
    some_steps(steps)
}

fn is_same(one: &Goal, other: &Goal) -> bool {
    one.properties == other.properties && one.tags == other.tags
}

/// An instance that a phase wants gone, or a nested stack that has to clean up.
struct Doomed<'a> {
    id: &'a String,
    instance: &'a crate::record::Instance,
    /// What has to stay as long as it is there: of now, and of before.
    needs: [Option<&'a BTreeSet<String>>; 2],
    is_kept: bool,
    has_failed: bool,
    is_release: bool,
}

/// Steps to remove what this phase wants gone: nothing goes while something that needs it is there.
fn remove(stack: &Stack, view: &View<'_>) -> Option<Vec<Step>> {
    let winding_up = wind_up(stack);
    if !winding_up.is_empty() {
        return Some(winding_up);
    }
    let mut doomed = doomed(stack, view);
    doomed.extend(releases(stack, view));
    let needed = Needed::by(&doomed);
    let mut steps = go_on(stack);
    for it in &doomed {
        let has_work = stack
            .resources
            .get(it.id)
            .is_some_and(|it| it.work.is_some());
        if has_work || it.has_failed {
            continue;
        }
        if it.is_kept {
            let physical_id = it.instance.physical_id.clone();
            steps.push(Step::Skip {
                id: it.id.clone(),
                physical_id,
            });
        } else if !needed.holds(it) {
            steps.push(removal(stack, it, view.now_ms));
        }
    }
    // Two updates that each failed half-way can leave instances that need each other.
    if steps.is_empty() {
        let has_failed = doomed.iter().any(|it| it.has_failed);
        let next = doomed.iter().find(|it| it.is_release || !has_failed);
        steps.extend(next.map(|it| removal(stack, it, view.now_ms)));
    }
    // One deletion at a time for each logical id: the record has room for one work.
    let mut seen = BTreeSet::new();
    steps.retain(|step| match step {
        Step::Start { id, .. } => seen.insert(id.clone()),
        _ => true,
    });
    some_steps(steps)
}

/// What is needed by others that are still there.
struct Needed<'a> {
    by_any: HashSet<&'a String>,
    by_unfailed: HashSet<&'a String>,
}

impl<'a> Needed<'a> {
    fn by(doomed: &[Doomed<'a>]) -> Self {
        let mut needed = Self {
            by_any: HashSet::new(),
            by_unfailed: HashSet::new(),
        };
        for it in doomed.iter().filter(|it| !it.is_kept) {
            let needs = it.needs.iter().flatten().flat_map(|it| it.iter());
            for need in needs.filter(|need| *need != it.id) {
                needed.by_any.insert(need);
                if !it.has_failed {
                    needed.by_unfailed.insert(need);
                }
            }
        }
        needed
    }

    /// A nested stack cleans up in the end, whatever else has failed.
    fn holds(&self, it: &Doomed<'_>) -> bool {
        match it.is_release {
            true => self.by_unfailed.contains(it.id),
            false => self.by_any.contains(it.id),
        }
    }
}

fn removal(stack: &Stack, it: &Doomed<'_>, now_ms: i64) -> Step {
    match it.is_release {
        true => Step::Release { id: it.id.clone() },
        false => delete_step(stack, it, now_ms),
    }
}

/// Nested stacks that hold what this operation replaced in them. What they hold may need what they
/// needed before as well as what they need now.
fn releases<'a>(stack: &'a Stack, view: &View<'_>) -> Vec<Doomed<'a>> {
    let phase = stack.operation.as_ref().map(|it| it.phase);
    if !matches!(phase, Some(Phase::UpdateCleanup | Phase::RollbackCleanup)) {
        return Vec::new();
    }
    let stays = |id: &String| {
        phase == Some(Phase::RollbackCleanup)
            || view.target.is_none_or(|it| it.resource(id).is_some())
    };
    (stack.resources.iter())
        .filter(|(id, resource)| stays(id) && resource.outcome.is_none())
        .filter_map(|(id, resource)| {
            let instance = resource.current.as_ref()?;
            let Before::Was(was) = &resource.before else {
                return None;
            };
            (view.is_stack)(&instance.resource_type).then_some(Doomed {
                id,
                instance,
                needs: [Some(&instance.goal.needs), Some(&was.goal.needs)],
                is_kept: false,
                has_failed: false,
                is_release: true,
            })
        })
        .collect()
}

fn delete_step(stack: &Stack, it: &Doomed<'_>, now_ms: i64) -> Step {
    let physical_id = Some(it.instance.physical_id.clone());
    let goal = it.instance.goal.clone();
    let delete = work(
        stack,
        it.id,
        Action::Delete,
        &it.instance.resource_type,
        goal,
        physical_id,
        now_ms,
    );
    Step::Start {
        id: it.id.clone(),
        work: Box::new(delete),
        imports: BTreeSet::new(),
    }
}

fn doomed<'a>(stack: &'a Stack, view: &View<'_>) -> Vec<Doomed<'a>> {
    let Some(operation) = &stack.operation else {
        return Vec::new();
    };
    let mut doomed = Vec::new();
    for (id, resource) in stack.resources.iter() {
        let goes = match operation.phase {
            Phase::Rollback | Phase::Delete => true,
            Phase::UpdateCleanup => view.target.is_some_and(|it| it.resource(id).is_none()),
            Phase::RollbackCleanup => resource.before == Before::Absent,
            Phase::Create | Phase::Update | Phase::UpdateRollback => false,
        };
        // The first creation is being undone, so `RetainExceptOnCreate` does not hold.
        let is_undone = operation.is_undone
            || matches!(operation.phase, Phase::Rollback | Phase::RollbackCleanup);
        let is_kept = |policy: Policy| match policy {
            Policy::Delete => false,
            Policy::Retain => !(is_undone && stack.retain_except_on_create),
            Policy::RetainExceptOnCreate => !is_undone,
        };
        if let Some(instance) = resource.current.as_ref().filter(|_| goes) {
            doomed.push(Doomed {
                id,
                instance,
                needs: [Some(&instance.goal.needs), None],
                is_kept: is_kept(instance.goal.deletion_policy) || operation.retain.contains(id),
                has_failed: resource.outcome == Some(Outcome::Failed),
                is_release: false,
            });
        }
        doomed.extend(resource.leftovers.iter().map(|it| Doomed {
            id,
            instance: &it.instance,
            needs: [Some(&it.instance.goal.needs), None],
            is_kept: is_kept(it.policy) || operation.retain.contains(id),
            has_failed: it.failed,
            is_release: false,
        }));
    }
    doomed
}
