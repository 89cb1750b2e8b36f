//! What every resource of a template will be like, as far as it can be known before anything is made: what
//! cannot be computed, is not of the form that its type says, or will be refused, is refused now.

use std::collections::BTreeSet;

use cloud::{Cx, Error, ResourceTypes, conform};
use serde_json::Value as Json;
use template::dynamic::{self, Reference};
use template::{DeletionPolicy, Instance, KNOWN_AFTER_APPLY, Resource, Scope, TemplateError};

use crate::check::invalid;
use crate::reconcile::surroundings;
use crate::record::{Stack, Version};
use crate::scope::{StackScope, Surroundings};

pub async fn check(
    cx: &Cx,
    stack: &Stack,
    version: &Version,
    instance: &Instance<'_>,
) -> Result<(), Error> {
    // Which resources there are is not known before the stack around this one is built.
    if !instance.is_decided() {
        return Ok(());
    }
    let around = surroundings(cx, Some(version)).await?;
    check_all(cx, stack, instance, &around).map_err(invalid)
}

/// What stands in a text whose value is not known yet.
pub fn is_open(text: &str) -> bool {
    text.contains(KNOWN_AFTER_APPLY) || text.contains(dynamic::BEGIN)
}

/// AWS has parameters of its own, of images mostly. A template's parameters of a stored type find them; dynamic
/// references to them are not built.
fn refuse_public_parameters(properties: &Json) -> Result<(), String> {
    // What is malformed is told where it is resolved.
    for reference in dynamic::references(properties).unwrap_or_default() {
        if let Reference::Parameter { name, .. } = reference
            && is_public(&name)
        {
            return Err(format!("AWS's public parameter {name}"));
        }
    }
    Ok(())
}

/// Whether a parameter's name is one of those that AWS itself publishes.
pub fn is_public(name: &str) -> bool {
    name.starts_with("/aws/service/")
}

pub fn check_all(
    cx: &Cx,
    stack: &Stack,
    instance: &Instance<'_>,
    around: &Surroundings,
) -> Result<(), TemplateError> {
    let all: BTreeSet<String> = instance.resources().map(|(id, _)| id.clone()).collect();
    // Also of what is there already nobody knows whether it will be the same.
    let scope = StackScope::ahead(stack, around, &all, &all);
    let first = refusals(&*cx.cloud, instance, &scope).into_iter().next();
    first.map_or(Ok(()), Err)
}

/// Everything that cannot be computed, is not of its type's form, or will be refused. Of what does not exist
/// yet, the scope answers a text with [`KNOWN_AFTER_APPLY`] in it.
pub fn refusals(
    types: &dyn ResourceTypes,
    instance: &Instance<'_>,
    scope: &dyn Scope,
) -> Vec<TemplateError> {
    let mut wrong = Vec::new();
    for (id, resource) in instance.resources() {
        wrong.extend(check_one(types, instance, scope, id, resource).err());
    }
    wrong.extend(instance.outputs(scope).err());
    wrong
}

fn check_one(
    types: &dyn ResourceTypes,
    instance: &Instance<'_>,
    scope: &dyn Scope,
    id: &str,
    resource: &Resource,
) -> Result<(), TemplateError> {
    let name = &resource.resource_type;
    let policies = instance.policies(id);
    if [policies.deletion, policies.update_replace].contains(&Some(DeletionPolicy::Snapshot)) {
        return Err(TemplateError::unsupported(
            resource.span,
            format!("a snapshot of {id} ({name})"),
        ));
    }
    let Some(evaluated) = instance.properties(id, scope)? else {
        return Ok(());
    };
    let Some(resource_type) = types.named(name) else {
        return Ok(());
    };
    let mut properties = evaluated.value;
    let at = |path: &str| evaluated.spans.of(path).unwrap_or(resource.span);
    conform(resource_type.properties(), &mut properties, &is_open).map_err(|wrong| {
        let message =
            format!("Properties validation failed for resource {id} with message: [{wrong}]");
        TemplateError::new(message).at(at(&wrong.path.join(".")))
    })?;
    refuse_public_parameters(&properties)
        .map_err(|what| TemplateError::unsupported(at(""), what))?;
    let refused = |reason: String| {
        TemplateError::new(format!("Template error: {id} ({name}): {reason}")).at(at(""))
    };
    resource_type.refuse(&properties).map_err(refused)?;
    let policy = match &resource.update_policy {
        Some(policy) if resource_type.update_policy().is_some() => {
            instance.evaluate(policy, scope)?
        }
        _ => None,
    };
    let policy = policy.unwrap_or_default();
    resource_type.refuse_update_policy(&policy).map_err(refused)
}
