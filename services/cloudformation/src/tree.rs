//! Looking ahead into nested stacks: what can be known to be wrong in any of them is found before
//! anything of the tree is made.
//!
//! A nested stack whose URL is only known while its parent is built is checked when its turn comes,
//! and so are values and conditions that come from resources: those it cannot be refused for here.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;

use cloud::{Cx, Error};
use serde_json::Value as Json;
use template::{
    Branches, Environment, Instance, KNOWN_AFTER_APPLY, ParameterType, Template,
    is_known_after_apply,
};

use crate::check::{self, Required, invalid};
use crate::reconcile::{surroundings, zones};
use crate::record::{STACK_TYPE, Stack, Version};
use crate::scope::{StackScope, Surroundings};
use crate::source::fetch;
use crate::{forms, transforms};

/// How deep stacks may nest: a template that nests itself would nest for ever. The deepest tree seen
/// in the wild has three levels.
pub const DEPTH_MAX: usize = 8;
/// How many nested stacks of a tree are looked into beforehand: templates that each nest the next
/// one many times would otherwise be read without end.
pub const LOOKED_INTO_MAX: usize = 100;

/// A nested stack that a template asks for.
struct Child {
    id: String,
    url: String,
    parameters: BTreeMap<String, String>,
}

/// What a tree's walk carries along.
struct Walk<'a> {
    cx: &'a Cx,
    stack: &'a Stack,
    around: Surroundings,
    required: &'a mut Required,
    looked_into: usize,
}

pub async fn look_ahead(
    cx: &Cx,
    stack: &Stack,
    version: &Version,
    instance: &Instance<'_>,
    required: &mut Required,
) -> Result<(), Error> {
    if !(instance.resources()).any(|(_, it)| it.resource_type == STACK_TYPE) {
        return Ok(());
    }
    let mut around = surroundings(cx, Some(version)).await?;
    if around.zones.is_empty() {
        // What is nested may ask for them where its parent does not.
        around.zones = zones(cx).await?;
    }
    let children = children(stack, &around, instance);
    let mut walk = Walk {
        cx,
        stack,
        around,
        required,
        looked_into: 0,
    };
    for child in children {
        enter(&mut walk, child, depth(cx, stack)? + 1).await?;
    }
    Ok(())
}

/// How many stacks there are above this one.
pub fn depth(cx: &Cx, stack: &Stack) -> Result<usize, Error> {
    let mut depth = 0;
    let mut parent = stack.nested.as_ref().map(|it| it.parent.clone());
    while let Some(key) = parent.filter(|_| depth <= DEPTH_MAX) {
        depth += 1;
        let above = cx.read(|tx| crate::kept::head(tx, &key))?;
        parent = above.and_then(|it| Some(it.nested?.parent));
    }
    Ok(depth)
}

/// The nested stacks whose URL is known. What cannot be computed yet is left to the building.
fn children(stack: &Stack, around: &Surroundings, instance: &Instance<'_>) -> Vec<Child> {
    let unknown: BTreeSet<String> = instance.resources().map(|(id, _)| id.clone()).collect();
    let scope = StackScope::ahead(stack, around, &unknown, &unknown);
    (instance.resources())
        .filter(|(_, it)| it.resource_type == STACK_TYPE)
        .filter_map(|(id, _)| {
            let properties = instance.properties(id, &scope).ok()??.value;
            let url = properties["TemplateURL"].as_str()?.to_owned();
            let parameters = parameters(&properties["Parameters"]).ok()?;
            let is_known = !is_known_after_apply(&properties["TemplateURL"]);
            is_known.then(|| Child {
                id: id.clone(),
                url,
                parameters,
            })
        })
        .collect()
}

/// The parameters of a nested stack, as its template takes them: a list is joined.
pub fn parameters(value: &Json) -> Result<BTreeMap<String, String>, String> {
    let no_parameters = serde_json::Map::new();
    let given = match value {
        Json::Null => &no_parameters,
        Json::Object(given) => given,
        _ => return Err("Parameters must be a map".into()),
    };
    (given.iter())
        .map(|(name, value)| {
            let text = match value {
                Json::Array(items) => {
                    let items: Option<Vec<String>> = items.iter().map(scalar).collect();
                    items.map(|it| it.join(","))
                }
                one => scalar(one),
            };
            let text = text.ok_or_else(|| {
                format!("Value of property Parameters must be an object with String (or simple type) properties: {name}")
            })?;
            Ok((name.clone(), text))
        })
        .collect()
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(it) => Some(it.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

fn enter<'a>(
    walk: &'a mut Walk<'_>,
    child: Child,
    depth: usize,
) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>> {
    Box::pin(async move {
        if depth > DEPTH_MAX {
            return Err(too_deep());
        }
        walk.looked_into += 1;
        if walk.looked_into > LOOKED_INTO_MAX {
            return Ok(());
        }
        let told = |error: &dyn std::fmt::Display| {
            invalid(format!(
                "Embedded stack {} ({}): {error}",
                child.id, child.url
            ))
        };
        let text = match fetch(walk.cx, &child.url).await {
            Ok(text) => text,
            Err(error) if error.status >= 500 => return Err(error),
            Err(error) => return Err(told(&error.message)),
        };
        let names = transforms::names(walk.cx, &child.parameters);
        let processed = transforms::processed(walk.cx, &text, &names).await;
        let text = processed
            .map_err(|error| told(&error.message))?
            .unwrap_or(text);
        let children = {
            let template = Template::parse(&text).map_err(|error| told(&error))?;
            let unknown_names = (template.parameters.iter())
                .filter(|(_, it)| matches!(it.parameter_type, ParameterType::Stored(_)))
                .map(|(name, _)| (name.clone(), KNOWN_AFTER_APPLY.to_owned()))
                .collect();
            let values = (template.resolve_stored_parameters(&child.parameters, &unknown_names))
                .map_err(|error| told(&error))?;
            let instance =
                (template.instantiate(values, environment(walk))).map_err(|error| told(&error))?;
            let conditions = Branches::Chosen(&instance.conditions);
            check::check(&*walk.cx.cloud, &template, conditions)
                .map_err(|error| told(&error.message))?;
            if instance.is_decided() {
                forms::check_all(walk.cx, walk.stack, &instance, &walk.around)
                    .map_err(|error| told(&error))?;
            }
            walk.required.add(Required::of(&walk.cx.cloud, &template));
            children(walk.stack, &walk.around, &instance)
        };
        for child in children {
            enter(walk, child, depth + 1).await?;
        }
        Ok(())
    })
}

pub fn too_deep() -> Error {
    invalid(format!(
        "Stacks are nested more than {DEPTH_MAX} deep, which is not supported by neargate"
    ))
}

fn environment(walk: &Walk<'_>) -> Environment {
    Environment {
        stack_id: KNOWN_AFTER_APPLY.into(),
        stack_name: KNOWN_AFTER_APPLY.into(),
        ..crate::scope::environment(walk.cx.account(), walk.stack)
    }
}
