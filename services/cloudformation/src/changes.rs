//! What a new version would change: computed ahead, with what is not known yet left open.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cloud, Property};
use serde_json::Value as Json;
use shapes::cloudformation::{
    AttributeChangeType, Change, ChangeAction, ChangeSource, ChangeType, EvaluationType,
    PolicyAction, Replacement, RequiresRecreation, ResourceAttribute, ResourceChange,
    ResourceChangeDetail, ResourceTargetDefinition,
};
use template::{Branches, Function, Piece, TemplateError, Value};

use crate::diff::{Difference, differences};
use crate::record::{Instance, Policy, Stack};
use crate::scope::{StackScope, Surroundings};

/// The change of one resource.
pub struct Planned {
    pub id: String,
    pub resource_type: String,
    pub physical_id: Option<String>,
    pub kind: Kind,
    /// The resource before and after, as change sets show it: no secrets.
    pub before: Option<Json>,
    pub after: Option<Json>,
}

pub enum Kind {
    Add,
    Modify(Box<Modification>),
    Remove { policy: Policy },
}

pub struct Modification {
    pub replacement: Replacement,
    pub differences: Vec<(Difference, Vec<Cause>)>,
    pub has_new_tags: bool,
    /// Attributes beside the properties, with why they are others.
    pub attributes: Vec<(ResourceAttribute, Vec<Cause>)>,
    /// Nothing of its own changes, but what it is made from may have: a nested stack.
    pub is_automatic: bool,
    pub update_replace_policy: Policy,
}

/// Why something is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    Parameter(String),
    /// `Ref` of a resource that is made anew.
    Reference(String),
    /// `Resource.Attribute`, which may be another.
    Attribute(String),
}

/// Every change in the order in which it would be made, and whether an output changes.
pub struct Changes {
    pub resources: Vec<Planned>,
    pub has_new_outputs: bool,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && !self.has_new_outputs
    }
}

/// What is changed, and from what.
pub struct Comparison<'a> {
    pub stack: &'a Stack,
    /// What the stack was made from, where that can still be read.
    pub previous: Option<&'a template::Instance<'a>>,
    pub target: &'a template::Instance<'a>,
    pub tags: &'a BTreeMap<String, String>,
    pub around: &'a Surroundings,
}

pub fn changes(cloud: &Cloud, it: &Comparison<'_>) -> Result<Changes, TemplateError> {
    let (stack, target) = (it.stack, it.target);
    let shown = target.masked();
    let shown_before = it.previous.map(template::Instance::masked);
    let mut unknown = BTreeSet::new();
    let mut changing = BTreeSet::new();
    let mut resources = Vec::new();
    for id in order(&target.dependencies()) {
        let Some(resource) = target.resource(&id) else {
            continue;
        };
        let current = stack.resources.get(&id).and_then(|it| it.current.as_ref());
        let Some(current) = current else {
            unknown.insert(id.clone());
            let scope = StackScope::ahead(stack, it.around, &unknown, &changing);
            resources.push(Planned {
                after: Some(context(&shown, &id, &scope)?),
                before: None,
                id,
                resource_type: resource.resource_type.clone(),
                physical_id: None,
                kind: Kind::Add,
            });
            continue;
        };
        let Some(modification) = modification(cloud, it, &id, current, (&unknown, &changing))?
        else {
            continue;
        };
        let scope = StackScope::ahead(stack, it.around, &unknown, &changing);
        let after = context(&shown, &id, &scope)?;
        let before = match &shown_before {
            Some(previous) => before(previous, stack, it.around, &id, current),
            None => serde_json::json!({ "Properties": current.goal.shown }),
        };
        // Whether an attribute stays what it is, only the change itself tells.
        let is_changed = !modification.differences.is_empty() || modification.is_automatic;
        if is_changed {
            changing.insert(id.clone());
        }
        if modification.replacement != Replacement::False {
            unknown.insert(id.clone());
        }
        resources.push(Planned {
            id,
            resource_type: resource.resource_type.clone(),
            physical_id: Some(current.physical_id.clone()),
            kind: Kind::Modify(Box::new(modification)),
            before: Some(before),
            after: Some(after),
        });
    }
    let gone = (stack.resources.iter()).filter(|(id, _)| target.resource(id).is_none());
    resources.extend(gone.filter_map(|(id, resource)| {
        let current: &Instance = resource.current.as_ref()?;
        Some(Planned {
            id: id.clone(),
            resource_type: resource.resource_type.clone(),
            physical_id: Some(current.physical_id.clone()),
            kind: Kind::Remove {
                policy: current.goal.deletion_policy,
            },
            before: Some(serde_json::json!({ "Properties": current.goal.shown })),
            after: None,
        })
    }));
    let scope = StackScope::ahead(stack, it.around, &unknown, &changing);
    let outputs = target.outputs(&scope)?;
    let has_new_outputs = outputs.len() != stack.outputs.len()
        || outputs.iter().any(|it| {
            !(stack.outputs.iter()).any(|old| {
                old.key == it.name
                    && *old.written.as_ref().unwrap_or(&old.value) == it.value
                    && old.description == it.description
                    && old.export == it.export_name
            })
        });
    Ok(Changes {
        resources,
        has_new_outputs,
    })
}

/// How a resource that is there changes, if it does.
fn modification(
    cloud: &Cloud,
    it: &Comparison<'_>,
    id: &str,
    current: &Instance,
    (unknown, changing): (&BTreeSet<String>, &BTreeSet<String>),
) -> Result<Option<Modification>, TemplateError> {
    let Some(resource) = it.target.resource(id) else {
        return Ok(None);
    };
    let resource_type = cloud.resource_type(&resource.resource_type);
    let table: &[Property] = resource_type.as_ref().map_or(&[], |it| it.properties());
    let scope = StackScope::ahead(it.stack, it.around, unknown, changing);
    let evaluated = it.target.properties(id, &scope)?;
    let after = evaluated.map_or(Json::Null, |it| it.value);
    let why = |value: &Value| causes(it, value, unknown, changing);
    let differences: Vec<_> = differences(table, &current.goal.properties, &after)
        .into_iter()
        .map(|difference| {
            let value = property(resource, &difference.name);
            let causes = value.map(why).unwrap_or_default();
            (difference, causes)
        })
        .collect();
    let attributes = match it.previous {
        Some(previous) => attributes(it, previous, id, &scope, &why)?,
        None => Vec::new(),
    };
    let has_new_tags = current.goal.tags != *it.tags;
    let replacement = replacement(differences.iter().map(|it| &it.0));
    let is_same = differences.is_empty() && !has_new_tags && attributes.is_empty();
    let is_stack = resource_type.is_some_and(|it| it.is_stack());
    if is_same && !is_stack {
        return Ok(None);
    }
    let policies = it.target.policies(id);
    Ok(Some(Modification {
        replacement,
        differences,
        has_new_tags,
        attributes,
        is_automatic: is_same,
        update_replace_policy: policies.update_replace.unwrap_or_default().into(),
    }))
}

fn property<'a>(resource: &'a template::Resource, name: &str) -> Option<&'a Value> {
    let template::Kind::Map(entries) = &resource.properties.kind else {
        return None;
    };
    (entries.iter().find(|(key, _)| key.text == name)).map(|it| &it.1)
}

/// The attributes beside the properties that the template says otherwise than before.
fn attributes(
    it: &Comparison<'_>,
    previous: &template::Instance<'_>,
    id: &str,
    scope: &StackScope<'_>,
    why: &dyn Fn(&Value) -> Vec<Cause>,
) -> Result<Vec<(ResourceAttribute, Vec<Cause>)>, TemplateError> {
    let (Some(old), Some(new)) = (previous.resource(id), it.target.resource(id)) else {
        return Ok(Vec::new());
    };
    let mut changed = Vec::new();
    for (attribute, old, new) in [
        (ResourceAttribute::Metadata, &old.metadata, &new.metadata),
        (
            ResourceAttribute::CreationPolicy,
            &old.creation_policy,
            &new.creation_policy,
        ),
        (
            ResourceAttribute::UpdatePolicy,
            &old.update_policy,
            &new.update_policy,
        ),
    ] {
        let evaluate = |instance: &template::Instance<'_>, value: &Option<Value>| match value {
            Some(value) => instance.evaluate(value, scope),
            None => Ok(None),
        };
        // What can no longer be computed is another.
        let before = evaluate(previous, old).ok();
        if before != Some(evaluate(it.target, new)?) {
            changed.push((attribute, new.as_ref().map(why).unwrap_or_default()));
        }
    }
    let (before, after) = (previous.policies(id), it.target.policies(id));
    let computed = |written: &template::WrittenPolicy| written.computed().map(why);
    if before.deletion != after.deletion {
        let causes = computed(&new.deletion_policy).unwrap_or_default();
        changed.push((ResourceAttribute::DeletionPolicy, causes));
    }
    if before.update_replace != after.update_replace {
        let causes = computed(&new.update_replace_policy).unwrap_or_default();
        changed.push((ResourceAttribute::UpdateReplacePolicy, causes));
    }
    Ok(changed)
}

/// What a value is made from that is another than before.
fn causes(
    it: &Comparison<'_>,
    value: &Value,
    unknown: &BTreeSet<String>,
    changing: &BTreeSet<String>,
) -> Vec<Cause> {
    let is_new_parameter = |name: &str| {
        let after = it.target.parameters.get(name);
        let before = it.previous.and_then(|it| it.parameters.get(name));
        it.previous.is_some()
            && after.is_some()
            && before.map(|it| &it.value) != after.map(|it| &it.value)
    };
    let mut causes = Vec::new();
    let mut add = |cause: Cause| {
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    };
    let of_name = |name: &str| match () {
        () if is_new_parameter(name) => Some(Cause::Parameter(name.to_owned())),
        () if unknown.contains(name) => Some(Cause::Reference(name.to_owned())),
        () => None,
    };
    let of_attribute = |id: &str, attribute: &str| {
        (unknown.contains(id) || changing.contains(id))
            .then(|| Cause::Attribute(format!("{id}.{attribute}")))
    };
    value.functions(
        Branches::Chosen(&it.target.conditions),
        &mut |function, _| match function {
            Function::Ref(name) => of_name(name).into_iter().for_each(&mut add),
            Function::GetAtt {
                resource,
                attribute,
            } => {
                let attribute = attribute.literal_text().unwrap_or_default();
                of_attribute(resource, &attribute)
                    .into_iter()
                    .for_each(&mut add);
            }
            Function::Sub { pieces, .. } => {
                let names = function.names();
                for piece in pieces {
                    match piece {
                        Piece::Name(name) if names.contains(&name.as_str()) => {
                            of_name(name).into_iter().for_each(&mut add);
                        }
                        Piece::Attribute(id, attribute) if names.contains(&id.as_str()) => {
                            of_attribute(id, attribute).into_iter().for_each(&mut add);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        },
    );
    causes
}

/// A resource as a change set shows it.
fn context(
    instance: &template::Instance<'_>,
    id: &str,
    scope: &StackScope<'_>,
) -> Result<Json, TemplateError> {
    let mut shown = serde_json::Map::new();
    let properties = instance.properties(id, scope)?;
    let properties = properties.map(|it| it.value).unwrap_or_default();
    if properties.as_object().is_some_and(|it| !it.is_empty()) {
        shown.insert("Properties".into(), properties);
    }
    let policies = instance.policies(id);
    for (name, policy) in [
        ("DeletionPolicy", policies.deletion),
        ("UpdateReplacePolicy", policies.update_replace),
    ] {
        if let Some(policy) = policy {
            shown.insert(name.into(), format!("{policy:?}").into());
        }
    }
    if let Some(metadata) = instance.resource(id).and_then(|it| it.metadata.as_ref())
        && let Some(metadata) = instance.evaluate(metadata, scope)?
    {
        shown.insert("Metadata".into(), metadata);
    }
    Ok(Json::Object(shown))
}

/// The same of what is there: its properties are those that it was made with.
fn before(
    previous: &template::Instance<'_>,
    stack: &Stack,
    around: &Surroundings,
    id: &str,
    current: &Instance,
) -> Json {
    let scope = StackScope::new(stack, around);
    let mut shown =
        context(previous, id, &scope).unwrap_or_else(|_| Json::Object(serde_json::Map::new()));
    if (current.goal.shown.as_object()).is_some_and(|it| !it.is_empty()) {
        shown["Properties"] = current.goal.shown.clone();
    }
    shown
}

fn replacement<'a>(differences: impl Iterator<Item = &'a Difference>) -> Replacement {
    let replacing: Vec<&Difference> = differences.filter(|it| it.needs_replacement).collect();
    if replacing.iter().any(|it| !it.is_dynamic) {
        Replacement::True
    } else if replacing.is_empty() {
        Replacement::False
    } else {
        Replacement::Conditional
    }
}

/// The names of a graph without circles, needs first.
fn order(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut ordered: Vec<String> = Vec::new();
    let mut done: BTreeSet<&String> = BTreeSet::new();
    while done.len() < graph.len() {
        let free: Vec<&String> = (graph.iter())
            .filter(|(id, needs)| !done.contains(id) && needs.iter().all(|it| done.contains(it)))
            .map(|(id, _)| id)
            .collect();
        if free.is_empty() {
            break;
        }
        done.extend(free.iter().copied());
        ordered.extend(free.into_iter().cloned());
    }
    ordered
}

/// A change as DescribeChangeSet shows it, with the values that it shows to those who ask for them.
pub fn shown(planned: &Planned) -> Change {
    let text = |context: &Option<Json>| context.as_ref().map(Json::to_string);
    let base = ResourceChange {
        logical_resource_id: Some(planned.id.clone()),
        physical_resource_id: planned.physical_id.clone(),
        resource_type: Some(planned.resource_type.clone()),
        before_context: text(&planned.before),
        after_context: text(&planned.after),
        scope: Some(Vec::new()),
        details: Some(Vec::new()),
        ..Default::default()
    };
    let change = match &planned.kind {
        Kind::Add => ResourceChange {
            action: Some(ChangeAction::Add),
            ..base
        },
        Kind::Remove { policy } => ResourceChange {
            action: Some(ChangeAction::Remove),
            policy_action: Some(match policy {
                Policy::Delete => PolicyAction::Delete,
                Policy::Retain | Policy::RetainExceptOnCreate => PolicyAction::Retain,
            }),
            ..base
        },
        Kind::Modify(modification) => {
            let is_replaced = modification.replacement == Replacement::True;
            let policy_action = match modification.update_replace_policy {
                Policy::Delete => PolicyAction::ReplaceAndDelete,
                Policy::Retain | Policy::RetainExceptOnCreate => PolicyAction::ReplaceAndRetain,
            };
            ResourceChange {
                action: Some(ChangeAction::Modify),
                replacement: Some(modification.replacement),
                policy_action: is_replaced.then_some(policy_action),
                scope: Some(scope(modification)),
                details: Some(details(modification, planned)),
                ..base
            }
        }
    };
    Change {
        r#type: Some(ChangeType::Resource),
        resource_change: Some(change),
        ..Default::default()
    }
}

/// The same without those values.
pub fn without_values(mut change: Change) -> Change {
    if let Some(change) = &mut change.resource_change {
        (change.before_context, change.after_context) = (None, None);
        for detail in change.details.iter_mut().flatten() {
            if let Some(target) = &mut detail.target {
                (target.path, target.attribute_change_type) = (None, None);
                (target.before_value, target.after_value) = (None, None);
            }
        }
    }
    change
}

fn scope(modification: &Modification) -> Vec<ResourceAttribute> {
    let has_properties = !modification.differences.is_empty() || modification.is_automatic;
    let mut scope: Vec<ResourceAttribute> = (modification.attributes.iter())
        .map(|it| it.0)
        .chain(has_properties.then_some(ResourceAttribute::Properties))
        .chain(modification.has_new_tags.then_some(ResourceAttribute::Tags))
        .collect();
    scope.sort_by_key(|it| it.as_str());
    scope
}

fn details(modification: &Modification, planned: &Planned) -> Vec<ResourceChangeDetail> {
    let mut all = Vec::new();
    for (attribute, causes) in &modification.attributes {
        let name = attribute.as_str();
        let value = |context: &Option<Json>| Some(written(context.as_ref()?.get(name)?));
        let target = ResourceTargetDefinition {
            attribute: Some(*attribute),
            requires_recreation: Some(RequiresRecreation::Never),
            path: Some(format!("/{name}")),
            before_value: value(&planned.before),
            after_value: value(&planned.after),
            ..Default::default()
        };
        all.extend(detail(with_change_type(target), causes, false));
    }
    for (difference, causes) in &modification.differences {
        let name = difference.name.as_str();
        let value =
            |context: &Option<Json>| Some(written(context.as_ref()?.get("Properties")?.get(name)?));
        let target = ResourceTargetDefinition {
            attribute: Some(ResourceAttribute::Properties),
            name: Some(name.to_owned()),
            requires_recreation: Some(
                match (difference.needs_replacement, difference.is_dynamic) {
                    (false, _) => RequiresRecreation::Never,
                    (true, false) => RequiresRecreation::Always,
                    (true, true) => RequiresRecreation::Conditionally,
                },
            ),
            path: Some(format!("/Properties/{name}")),
            before_value: value(&planned.before),
            after_value: value(&planned.after),
            ..Default::default()
        };
        all.extend(detail(
            with_change_type(target),
            causes,
            difference.is_dynamic,
        ));
    }
    all.extend(modification.has_new_tags.then(tags_detail));
    all.extend(modification.is_automatic.then(automatic_detail));
    all
}

/// A value as change sets write it: a text as it is, anything else as JSON.
fn written(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn with_change_type(target: ResourceTargetDefinition) -> ResourceTargetDefinition {
    let change = match (&target.before_value, &target.after_value) {
        (None, _) => AttributeChangeType::Add,
        (_, None) => AttributeChangeType::Remove,
        _ => AttributeChangeType::Modify,
    };
    ResourceTargetDefinition {
        attribute_change_type: Some(change),
        ..target
    }
}

/// One detail for each cause. What parameters change is said to be changed in the template as well, since
/// it is the template that uses them.
fn detail(
    target: ResourceTargetDefinition,
    causes: &[Cause],
    is_dynamic: bool,
) -> Vec<ResourceChangeDetail> {
    let one = |evaluation, source, entity: Option<&String>| ResourceChangeDetail {
        target: Some(target.clone()),
        evaluation: Some(evaluation),
        change_source: Some(source),
        causing_entity: entity.cloned(),
    };
    let mut all: Vec<ResourceChangeDetail> = (causes.iter())
        .map(|cause| match cause {
            Cause::Parameter(name) => one(
                EvaluationType::Static,
                ChangeSource::ParameterReference,
                Some(name),
            ),
            Cause::Reference(id) => one(
                EvaluationType::Dynamic,
                ChangeSource::ResourceReference,
                Some(id),
            ),
            Cause::Attribute(path) => one(
                EvaluationType::Dynamic,
                ChangeSource::ResourceAttribute,
                Some(path),
            ),
        })
        .collect();
    let by_parameter = causes.iter().any(|it| matches!(it, Cause::Parameter(_)));
    if by_parameter || causes.is_empty() {
        let evaluation = match by_parameter || is_dynamic {
            true => EvaluationType::Dynamic,
            false => EvaluationType::Static,
        };
        all.push(one(evaluation, ChangeSource::DirectModification, None));
    }
    all
}

fn tags_detail() -> ResourceChangeDetail {
    ResourceChangeDetail {
        target: Some(ResourceTargetDefinition {
            attribute: Some(ResourceAttribute::Tags),
            requires_recreation: Some(RequiresRecreation::Never),
            ..Default::default()
        }),
        evaluation: Some(EvaluationType::Static),
        change_source: Some(ChangeSource::DirectModification),
        ..Default::default()
    }
}

/// A nested stack of which nothing changes here: its template may have.
fn automatic_detail() -> ResourceChangeDetail {
    ResourceChangeDetail {
        target: Some(ResourceTargetDefinition {
            attribute: Some(ResourceAttribute::Properties),
            requires_recreation: Some(RequiresRecreation::Never),
            ..Default::default()
        }),
        evaluation: Some(EvaluationType::Dynamic),
        change_source: Some(ChangeSource::Automatic),
        ..Default::default()
    }
}
