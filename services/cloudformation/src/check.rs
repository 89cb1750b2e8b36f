//! What neargate can build of a template, found before anything is made: resource types, their
//! properties and attributes, and the capabilities that have to be acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;

use cloud::{Cloud, Error, Property, ResourceType, ResourceTypes};
use serde_json::Value as Json;
use shapes::cloudformation::{Capability, errors::InsufficientCapabilitiesException};
use template::{
    Branches, DeletionPolicy, Function, KNOWN_AFTER_APPLY, Kind, Piece, Resource, Span, Template,
    TemplateError, Value, WrittenPolicy,
};

/// A template or its parameters are wrong: `ValidationError`.
pub fn invalid(error: impl std::fmt::Display) -> Error {
    wire::codes::ValidationError.because(error.to_string())
}

/// Checks every resource of the template. `branches` are those that will be built.
pub fn check(
    types: &dyn ResourceTypes,
    template: &Template,
    branches: Branches<'_>,
) -> Result<(), Error> {
    let first = refusals(types, template, branches).into_iter().next();
    first.map_or(Ok(()), |it| Err(invalid(it)))
}

/// Everything that stands in the way of building the template, whatever its properties are.
pub fn refusals(
    types: &dyn ResourceTypes,
    template: &Template,
    branches: Branches<'_>,
) -> Vec<TemplateError> {
    let mut wrong = Vec::new();
    for (id, resource) in &template.resources {
        if !is_left_out(branches, resource.condition.as_ref()) {
            check_resource(types, template, id, resource, branches, &mut wrong);
        }
    }
    for output in template.outputs.values() {
        if !is_left_out(branches, output.condition.as_ref()) {
            check_attributes(types, template, &output.value, branches, &mut wrong);
        }
    }
    wrong
}

fn is_left_out(branches: Branches<'_>, condition: Option<&(String, Span)>) -> bool {
    match (branches, condition) {
        // What is not decided yet is not refused yet.
        (Branches::Chosen(decided), Some((name, _))) => decided.get(name) != Some(&true),
        _ => false,
    }
}

fn unsupported(what: impl std::fmt::Display, span: Span) -> TemplateError {
    TemplateError::new(format!(
        "Template error: {what} ({span}) is not supported by neargate"
    ))
}

fn unknown_type(name: &str) -> String {
    if name.starts_with("Custom::") || name == "AWS::CloudFormation::CustomResource" {
        return format!(
            "custom resource {name}, which a Lambda function or an SNS topic would have to make,"
        );
    }
    format!("resource type {name}")
}

fn check_resource(
    types: &dyn ResourceTypes,
    template: &Template,
    id: &str,
    resource: &Resource,
    branches: Branches<'_>,
    wrong: &mut Vec<TemplateError>,
) {
    let name = &resource.resource_type;
    let Some(resource_type) = types.named(name) else {
        wrong.push(unsupported(unknown_type(name), resource.type_span));
        return;
    };
    let takes_signals = resource_type.takes_signals();
    let place = Place { id, name, branches };
    // AWS passes over an `UpdatePolicy` of a type that has none.
    if let (Some(policy), Some(table)) = (&resource.update_policy, resource_type.update_policy()) {
        place.check(policy, table, "", wrong);
    }
    if let Some(policy) = resource.creation_policy.as_ref().filter(|_| !takes_signals) {
        wrong.push(unsupported(
            format!("CreationPolicy of {id} ({name})"),
            policy.span,
        ));
    }
    if let Kind::Map(entries) = &resource.properties.kind {
        let has = |name: &str| entries.iter().any(|(key, _)| key.text == name);
        if name == "AWS::CloudFormation::WaitCondition"
            && !has("Handle")
            && resource.creation_policy.is_none()
        {
            let message =
                format!("Template error: {id} ({name}) needs a Handle or a CreationPolicy");
            wrong.push(TemplateError::new(message).at(resource.span));
        }
        // An empty table stands for anything further down, and for nothing here.
        if let Some((key, _)) = entries.first()
            && resource_type.properties().is_empty()
        {
            let what = format!("property {} of {id} ({name})", key.text);
            wrong.push(unsupported(what, key.span));
        }
    }
    let snapshot = WrittenPolicy::Literal(DeletionPolicy::Snapshot);
    if resource.deletion_policy == snapshot || resource.update_replace_policy == snapshot {
        wrong.push(unsupported(
            format!("a snapshot of {id} ({name})"),
            resource.span,
        ));
    }
    place.check(&resource.properties, resource_type.properties(), "", wrong);
    for value in resource.values() {
        check_attributes(types, template, value, branches, wrong);
    }
}

/// The resource whose properties are checked.
struct Place<'a> {
    id: &'a str,
    name: &'a str,
    branches: Branches<'a>,
}

impl Place<'_> {
    /// Every written property must be known, every required one written. What a function computes
    /// is left to the service.
    fn check(&self, value: &Value, known: &[Property], path: &str, wrong: &mut Vec<TemplateError>) {
        if known.is_empty() {
            return;
        }
        match &value.kind {
            Kind::Map(entries) => {
                for (key, value) in entries {
                    let Some(property) = known.iter().find(|it| it.name == key.text) else {
                        if !may_be_absent(value, self.branches) {
                            let (id, name) = (self.id, self.name);
                            let what = format!("property {path}{} of {id} ({name})", key.text);
                            wrong.push(unsupported(what, key.span));
                        }
                        continue;
                    };
                    let path = format!("{path}{}.", key.text);
                    self.check(value, property.members, &path, wrong);
                }
                let missing = known.iter().filter(|it| {
                    it.required && !entries.iter().any(|(key, _)| key.text == it.name)
                });
                for property in missing {
                    let message = format!(
                        "Template error: property {path}{} of {} ({}) is required",
                        property.name, self.id, self.name
                    );
                    wrong.push(TemplateError::new(message).at(value.span));
                }
            }
            Kind::List(items) => {
                for item in items {
                    self.check(item, known, path, wrong);
                }
            }
            Kind::Function(function) => {
                if let Function::If { .. } = &**function {
                    for argument in function.arguments(self.branches) {
                        self.check(argument, known, path, wrong);
                    }
                }
            }
            Kind::Text(_) | Kind::Number(_) | Kind::Bool(_) => {}
        }
    }
}

/// Whether the value is `AWS::NoValue`, or could be for all that is known of the conditions.
fn may_be_absent(value: &Value, branches: Branches<'_>) -> bool {
    match &value.kind {
        Kind::Function(function) => match &**function {
            Function::Ref(name) => name == "AWS::NoValue",
            Function::If { .. } => {
                (function.arguments(branches).into_iter()).any(|it| may_be_absent(it, branches))
            }
            _ => false,
        },
        _ => false,
    }
}

fn check_attributes(
    types: &dyn ResourceTypes,
    template: &Template,
    value: &Value,
    branches: Branches<'_>,
    wrong: &mut Vec<TemplateError>,
) {
    value.functions(branches, &mut |function, span| {
        let mut check = |id: &str, attribute: &str| {
            let known = (template.resources.get(id))
                .and_then(|it| types.named(&it.resource_type))
                .is_none_or(|it| it.has_attribute(attribute));
            if !known {
                let message = format!("Template error: resource {id} does not support attribute type {attribute} in Fn::GetAtt");
                wrong.push(TemplateError::new(message).at(span));
            }
        };
        match function {
            Function::GetAtt { resource, attribute } => {
                if let Some(attribute) = attribute.literal_text() {
                    check(resource, &attribute);
                }
            }
            Function::Sub { pieces, variables } => {
                for piece in pieces {
                    if let Piece::Attribute(id, attribute) = piece
                        && !variables.iter().any(|(key, _)| key.text == format!("{id}.{attribute}"))
                    {
                        check(id, attribute);
                    }
                }
            }
            _ => {}
        }
    });
}

/// What has to be acknowledged, and which types of resources ask for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Required {
    pub capabilities: BTreeSet<Capability>,
    pub types: BTreeSet<String>,
}

impl Required {
    pub fn of(cloud: &Cloud, template: &Template) -> Self {
        let mut required = Self::default();
        for resource in template.resources.values() {
            let capability = (cloud.resource_type(&resource.resource_type))
                .and_then(|it: Arc<dyn ResourceType>| it.capability(&outline(&resource.properties)))
                .and_then(|it| it.parse().ok());
            if let Some(capability) = capability {
                required.capabilities.insert(capability);
                required.types.insert(resource.resource_type.clone());
            }
        }
        required.keep_the_stronger();
        required
    }

    /// Asks for what `other` asks for as well.
    pub fn add(&mut self, other: Self) {
        self.capabilities.extend(other.capabilities);
        self.types.extend(other.types);
        self.keep_the_stronger();
    }

    /// The stronger capability says it all.
    fn keep_the_stronger(&mut self) {
        if self.capabilities.contains(&Capability::CapabilityNamedIam) {
            self.capabilities.remove(&Capability::CapabilityIam);
        }
    }

    pub fn reason(&self) -> Option<String> {
        let types: Vec<&str> = self.types.iter().map(String::as_str).collect();
        (!types.is_empty()).then(|| {
            format!(
                "The following resource(s) require capabilities: [{}]",
                types.join(", ")
            )
        })
    }

    /// Refuses a request that does not acknowledge what it makes.
    pub fn acknowledge(&self, given: &[Capability]) -> Result<(), Error> {
        let covers = |required: &Capability| {
            given.contains(required)
                || (*required == Capability::CapabilityIam
                    && given.contains(&Capability::CapabilityNamedIam))
        };
        let missing: Vec<&str> = (self.capabilities.iter())
            .filter(|it| !covers(it))
            .map(|it| it.as_str())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(InsufficientCapabilitiesException
            .because(format!("Requires capabilities : [{}]", missing.join(", "))))
    }
}

/// The form of a value, with a placeholder for everything that has to be computed.
fn outline(value: &Value) -> Json {
    match &value.kind {
        Kind::Text(text) => text.as_str().into(),
        Kind::Number(number) => number.clone().into(),
        Kind::Bool(it) => (*it).into(),
        Kind::List(items) => items.iter().map(outline).collect(),
        Kind::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, it)| (key.text.clone(), outline(it)))
                .collect(),
        ),
        Kind::Function(_) => KNOWN_AFTER_APPLY.into(),
    }
}
