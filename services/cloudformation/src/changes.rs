//! What a new version would change: computed ahead, with what is not known yet left open.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cloud, Property};
use shapes::cloudformation::{
    AttributeChangeType, Change, ChangeAction, ChangeSource, ChangeType, EvaluationType,
    PolicyAction, Replacement, RequiresRecreation, ResourceAttribute, ResourceChange,
    ResourceChangeDetail, ResourceTargetDefinition,
};
use template::TemplateError;

use crate::diff::{Difference, differences};
use crate::record::{Instance, Policy, Stack};
use crate::scope::{StackScope, Surroundings};

/// The change of one resource.
pub struct Planned {
    pub id: String,
    pub resource_type: String,
    pub physical_id: Option<String>,
    pub kind: Kind,
}

pub enum Kind {
    Add,
    Modify {
        replacement: Replacement,
        differences: Vec<Difference>,
        has_new_tags: bool,
        /// Nothing of its own changes, but what it is made from may have: a nested stack.
        is_automatic: bool,
        update_replace_policy: Policy,
    },
    Remove {
        policy: Policy,
    },
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

pub fn changes(
    cloud: &Cloud,
    stack: &Stack,
    target: &template::Instance<'_>,
    tags: &BTreeMap<String, String>,
    around: &Surroundings,
) -> Result<Changes, TemplateError> {
    let table = |name: &str| -> &'static [Property] {
        cloud.resource_type(name).map_or(&[], |it| it.properties())
    };
    let is_stack = |name: &str| cloud.resource_type(name).is_some_and(|it| it.is_stack());
    let mut unknown = BTreeSet::new();
    let mut changing = BTreeSet::new();
    let mut resources = Vec::new();
    for id in order(&target.dependencies()) {
        let Some(resource) = target.resource(&id) else {
            continue;
        };
        let resource_type = resource.resource_type.clone();
        let current = stack.resources.get(&id).and_then(|it| it.current.as_ref());
        let Some(current) = current else {
            unknown.insert(id.clone());
            resources.push(Planned {
                id,
                resource_type,
                physical_id: None,
                kind: Kind::Add,
            });
            continue;
        };
        let scope = StackScope::ahead(stack, around, &unknown, &changing);
        let evaluated = target.properties(&id, &scope)?;
        let after = evaluated.map_or(serde_json::Value::Null, |it| it.value);
        let differences = differences(table(&resource_type), &current.goal.properties, &after);
        let has_new_tags = current.goal.tags != *tags;
        let replacement = if current.resource_type != resource_type {
            Replacement::True
        } else {
            replacement(&differences)
        };
        let is_same = differences.is_empty() && !has_new_tags && replacement == Replacement::False;
        let is_stack = is_stack(&resource_type);
        if is_same && !is_stack {
            continue;
        }
        if is_stack {
            changing.insert(id.clone());
        }
        if replacement != Replacement::False {
            unknown.insert(id.clone());
        }
        resources.push(Planned {
            id,
            resource_type,
            physical_id: Some(current.physical_id.clone()),
            kind: Kind::Modify {
                replacement,
                differences,
                has_new_tags,
                is_automatic: is_same,
                update_replace_policy: resource.update_replace_policy.into(),
            },
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
        })
    }));
    let outputs = target.outputs(&StackScope::ahead(stack, around, &unknown, &changing))?;
    let has_new_outputs = outputs.len() != stack.outputs.len()
        || outputs.iter().any(|it| {
            !(stack.outputs.iter()).any(|old| {
                old.key == it.name
                    && old.value == it.value
                    && old.description == it.description
                    && old.export == it.export_name
            })
        });
    Ok(Changes {
        resources,
        has_new_outputs,
    })
}

fn replacement(differences: &[Difference]) -> Replacement {
    let replacing = || differences.iter().filter(|it| it.needs_replacement);
    if replacing().any(|it| !it.is_dynamic) {
        Replacement::True
    } else if replacing().next().is_some() {
        Replacement::Conditional
    } else {
        Replacement::False
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

/// A change as DescribeChangeSet shows it.
pub fn shown(planned: &Planned) -> Change {
    let base = ResourceChange {
        logical_resource_id: Some(planned.id.clone()),
        physical_resource_id: planned.physical_id.clone(),
        resource_type: Some(planned.resource_type.clone()),
        ..Default::default()
    };
    let change = match &planned.kind {
        Kind::Add => ResourceChange {
            action: Some(ChangeAction::Add),
            scope: Some(Vec::new()),
            details: Some(Vec::new()),
            ..base
        },
        Kind::Remove { policy } => ResourceChange {
            action: Some(ChangeAction::Remove),
            policy_action: Some(match policy {
                Policy::Delete => PolicyAction::Delete,
                Policy::Retain | Policy::RetainExceptOnCreate => PolicyAction::Retain,
            }),
            scope: Some(Vec::new()),
            details: Some(Vec::new()),
            ..base
        },
        Kind::Modify {
            replacement,
            differences,
            has_new_tags,
            is_automatic,
            update_replace_policy,
        } => {
            let is_replaced = *replacement == Replacement::True;
            let mut scope = Vec::new();
            if !differences.is_empty() || *is_automatic {
                scope.push(ResourceAttribute::Properties);
            }
            if *has_new_tags {
                scope.push(ResourceAttribute::Tags);
            }
            ResourceChange {
                action: Some(ChangeAction::Modify),
                replacement: Some(*replacement),
                policy_action: is_replaced.then_some(match update_replace_policy {
                    Policy::Delete => PolicyAction::ReplaceAndDelete,
                    Policy::Retain | Policy::RetainExceptOnCreate => PolicyAction::ReplaceAndRetain,
                }),
                scope: Some(scope),
                details: Some(
                    (differences.iter().map(detail))
                        .chain(has_new_tags.then(tags_detail))
                        .chain(is_automatic.then(automatic_detail))
                        .collect(),
                ),
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

fn detail(difference: &Difference) -> ResourceChangeDetail {
    let change = match (&difference.before, &difference.after) {
        (None, _) => AttributeChangeType::Add,
        (_, None) => AttributeChangeType::Remove,
        _ => AttributeChangeType::Modify,
    };
    ResourceChangeDetail {
        target: Some(ResourceTargetDefinition {
            attribute: Some(ResourceAttribute::Properties),
            name: Some(difference.name.clone()),
            path: Some(format!("/Properties/{}", difference.name)),
            attribute_change_type: Some(change),
            requires_recreation: Some(
                match (difference.needs_replacement, difference.is_dynamic) {
                    (false, _) => RequiresRecreation::Never,
                    (true, false) => RequiresRecreation::Always,
                    (true, true) => RequiresRecreation::Conditionally,
                },
            ),
            ..Default::default()
        }),
        evaluation: Some(if difference.is_dynamic {
            EvaluationType::Dynamic
        } else {
            EvaluationType::Static
        }),
        change_source: Some(if difference.is_dynamic {
            ChangeSource::ResourceReference
        } else {
            ChangeSource::DirectModification
        }),
        ..Default::default()
    }
}
