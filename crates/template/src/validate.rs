//! What can be wrong between the sections, found before any parameter is known.

use std::collections::BTreeSet;

use crate::dynamic;
use crate::error::{Result, TemplateError};
use crate::function::Function;
use crate::graph::{self, Graph};
use crate::rules;
use crate::template::{Environment, Resource, Template};
use crate::value::{Branches, Kind, Value};
use crate::{Piece, Span};

pub fn check(template: &Template) -> Result<()> {
    check_names(template)?;
    check_conditions(template)?;
    rules::check(template)?;
    for (id, resource) in &template.resources {
        for value in resource.values() {
            check_value(template, value, "Resources")?;
        }
        for (name, span) in &resource.depends_on {
            if !template.resources.contains_key(name) || name == id {
                return Err(unresolved(name, *span, "Resources"));
            }
        }
        check_condition_name(template, resource.condition.as_ref(), "Resources")?;
    }
    for (name, output) in &template.outputs {
        check_value(template, &output.value, "Outputs")?;
        if let Some(export) = &output.export {
            check_value(template, &export.name, "Outputs")?;
            check_export_name(template, name, &export.name)?;
        }
        check_condition_name(template, output.condition.as_ref(), "Outputs")?;
    }
    // What stands in branches may never meet: only needs that always hold count here. The graph
    // with the chosen branches is checked again once the parameters are known.
    let graph = (template.resources.iter())
        .map(|(id, resource)| (id.clone(), needs(template, resource, Branches::Neither)))
        .collect();
    check_circle(template, &graph)
}

/// `Ref` must lead to one thing.
fn check_names(template: &Template) -> Result<()> {
    let twice = (template.resources.iter()).find(|(id, _)| template.parameters.contains_key(*id));
    match twice {
        None => Ok(()),
        Some((id, resource)) => Err(TemplateError::format(
            resource.span,
            format!("Duplicate logical name {id}: it is a parameter and a resource"),
        )),
    }
}

pub fn check_circle(template: &Template, graph: &Graph) -> Result<()> {
    let Some(circle) = graph::circle(graph) else {
        return Ok(());
    };
    let message = format!(
        "Circular dependency between resources: [{}]",
        circle.join(", ")
    );
    let error = TemplateError::new(message);
    Err(match template.resources.get(&circle[0]) {
        Some(resource) => error.at(resource.span),
        None => error,
    })
}

/// The resources that a resource needs.
pub fn needs(template: &Template, resource: &Resource, branches: Branches<'_>) -> BTreeSet<String> {
    let mut needs: BTreeSet<String> = resource
        .depends_on
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    for value in resource.values() {
        value.functions(branches, &mut |function, _| {
            let names = function
                .names()
                .into_iter()
                .filter(|name| template.resources.contains_key(*name));
            needs.extend(names.map(str::to_owned));
        });
    }
    needs
}

impl Resource {
    /// Everything in the resource that may compute.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        [
            Some(&self.properties),
            self.metadata.as_ref(),
            self.creation_policy.as_ref(),
            self.update_policy.as_ref(),
            self.deletion_policy.computed(),
            self.update_replace_policy.computed(),
        ]
        .into_iter()
        .flatten()
    }
}

pub fn unresolved(name: &str, span: Span, block: &str) -> TemplateError {
    let message =
        format!("Unresolved resource dependencies [{name}] in the {block} block of the template");
    match block {
        // AWS says it without the usual beginning there.
        "Outputs" => TemplateError::new(message).at(span),
        _ => TemplateError::format(span, message),
    }
}

fn check_condition_name(
    template: &Template,
    condition: Option<&(String, Span)>,
    block: &str,
) -> Result<()> {
    match condition {
        Some((name, span)) if !template.conditions.contains_key(name) => {
            Err(unresolved_condition(name, *span, block))
        }
        _ => Ok(()),
    }
}

fn unresolved_condition(name: &str, span: Span, block: &str) -> TemplateError {
    TemplateError::format(
        span,
        format!("Unresolved condition dependency {name} in the {block} block of the template"),
    )
}

fn check_conditions(template: &Template) -> Result<()> {
    let mut graph = Graph::new();
    for (name, value) in &template.conditions {
        let needs = graph.entry(name.clone()).or_default();
        let mut wrong = None;
        value.functions(Branches::Both, &mut |function, span| {
            match function {
                Function::Condition(other) if !template.conditions.contains_key(other) => {
                    wrong.get_or_insert(unresolved_condition(other, span, "Conditions"));
                }
                Function::Condition(other) => {
                    needs.insert(other.clone());
                }
                Function::FindInMap {
                    map, default: None, ..
                } => {
                    wrong = wrong.take().or(check_mapping(template, map).err());
                }
                _ => {}
            }
            for name in function.names() {
                if !is_parameter(template, name) {
                    wrong.get_or_insert(TemplateError::format(
                        span,
                        format!("Unresolved dependencies [{name}]. Cannot reference resources in the Conditions block of the template"),
                    ));
                }
            }
        });
        wrong.map_or(Ok(()), Err)?;
    }
    match graph::circle(&graph) {
        None => Ok(()),
        Some(circle) => {
            let span = template.conditions[&circle[0]].span;
            Err(TemplateError::meaning(
                span,
                format!(
                    "Circular dependency between conditions: [{}]",
                    circle.join(", ")
                ),
            ))
        }
    }
}

fn is_parameter(template: &Template, name: &str) -> bool {
    template.parameters.contains_key(name) || Environment::PSEUDO_PARAMETERS.contains(&name)
}

fn check_mapping(template: &Template, map: &Value) -> Result<()> {
    match map.literal_text() {
        Some(name) if !template.mappings.contains_key(&name) => Err(TemplateError::meaning(
            map.span,
            format!("Mapping named '{name}' is not present in the 'Mappings' section of template."),
        )),
        _ => Ok(()),
    }
}

fn check_value(template: &Template, value: &Value, block: &str) -> Result<()> {
    let mut wrong: Option<TemplateError> = None;
    value.walk(Branches::Both, &mut |value| {
        if wrong.is_none() {
            wrong = check_one(template, value, block).err();
        }
    });
    wrong.map_or(Ok(()), Err)
}

fn check_one(template: &Template, value: &Value, block: &str) -> Result<()> {
    let function = match &value.kind {
        Kind::Function(function) => function,
        Kind::Text(text) => return check_dynamic_references(text, value.span),
        _ => return Ok(()),
    };
    match &**function {
        Function::GetAtt { resource, .. } if !template.resources.contains_key(resource) => {
            return Err(TemplateError::meaning(
                value.span,
                format!("instance of Fn::GetAtt references undefined resource {resource}"),
            ));
        }
        Function::If { condition, .. } if !template.conditions.contains_key(condition) => {
            return Err(TemplateError::meaning(
                value.span,
                format!("unresolved condition dependency {condition} in Fn::If"),
            ));
        }
        Function::FindInMap {
            map, default: None, ..
        } => check_mapping(template, map)?,
        Function::Sub { pieces, .. } => {
            for piece in pieces {
                if let Piece::Literal(text) = piece {
                    check_dynamic_references(text, value.span)?;
                }
                if let Piece::Attribute(name, _) = piece
                    && function.names().contains(&name.as_str())
                    && !template.resources.contains_key(name)
                {
                    return Err(unresolved(name, value.span, block));
                }
            }
        }
        _ => {}
    }
    for name in function.names() {
        if !is_parameter(template, name) && !template.resources.contains_key(name) {
            return Err(unresolved(name, value.span, block));
        }
    }
    Ok(())
}

/// Who imports a value has to find it by a name that is known before anything is made.
fn check_export_name(template: &Template, output: &str, name: &Value) -> Result<()> {
    let mut wrong = None;
    name.functions(Branches::Both, &mut |function, span| {
        let is_computed_later = matches!(
            function,
            Function::GetAtt { .. } | Function::ImportValue(_) | Function::GetAzs(_)
        ) || (function.names().iter()).any(|it| template.resources.contains_key(*it));
        if is_computed_later {
            let message = format!(
                "Output {output} is malformed. The Name field of Export must not depend on any resources, imported values, or Fn::GetAZs."
            );
            wrong.get_or_insert(TemplateError::format(span, message));
        }
    });
    wrong.map_or(Ok(()), Err)
}

/// A secret that stays text would be a wrong password that looks right.
fn check_dynamic_references(text: &str, span: Span) -> Result<()> {
    for (_, rest) in text
        .match_indices(dynamic::BEGIN)
        .map(|(at, it)| text.split_at(at + it.len()))
    {
        match rest.split([':', '}']).next().unwrap_or_default() {
            "ssm" | "secretsmanager" => {}
            "ssm-secure" => {
                // AWS lets only some properties of other services' resources take them.
                return Err(TemplateError::new(
                    "SSM Secure reference is not supported in the properties of these resources",
                )
                .at(span));
            }
            service => {
                return Err(TemplateError::unsupported(
                    span,
                    format!("the dynamic reference {{{{resolve:{service}:…}}}}"),
                ));
            }
        }
    }
    Ok(())
}
