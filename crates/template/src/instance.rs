//! A template with its parameters: what one stack is made from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::constraint::ParameterValues;
use crate::error::{Result, TemplateError};
use crate::evaluate::{Evaluator, KNOWN_AFTER_APPLY, NoScope, Scope};
use crate::graph::Graph;
use crate::limits::DEPTH_MAX;
use crate::node::Span;
use crate::rules;
use crate::spans::Spans;
use crate::template::{DeletionPolicy, Environment, Policies, Resource, Template, WrittenPolicy};
use crate::validate;
use crate::value::{Branches, Kind, Value};

#[derive(Debug, Clone)]
pub struct Instance<'a> {
    pub template: &'a Template,
    pub parameters: ParameterValues,
    pub environment: Environment,
    pub conditions: BTreeMap<String, bool>,
    /// By logical id.
    policies: BTreeMap<String, Policies>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct EvaluatedProperties {
    pub value: Json,
    pub spans: Spans,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluatedOutput {
    pub name: String,
    pub value: String,
    pub description: Option<String>,
    pub export_name: Option<String>,
}

impl Template {
    /// Decides the conditions and checks what they leave: references to resources that are left
    /// out, circles.
    pub fn instantiate(
        &self,
        parameters: ParameterValues,
        environment: Environment,
    ) -> Result<Instance<'_>> {
        let mut instance = Instance {
            template: self,
            parameters,
            environment,
            conditions: BTreeMap::new(),
            policies: BTreeMap::new(),
        };
        for name in self.conditions.keys() {
            instance.decide(name, 0)?;
        }
        if instance.drop_undecided() {
            // What they leave is checked once everything is known.
            return Ok(instance);
        }
        rules::enforce(&instance)?;
        instance.decide_policies()?;
        for (_, resource) in instance.resources() {
            for value in resource.values() {
                instance.check_references(value, "Resources")?;
            }
        }
        for output in self.outputs.values() {
            if instance.holds(output.condition.as_ref()) {
                instance.check_references(&output.value, "Outputs")?;
            }
        }
        validate::check_circle(self, &instance.dependencies())?;
        Ok(instance)
    }
}

impl<'a> Instance<'a> {
    fn decide(&mut self, name: &str, depth: usize) -> Result<()> {
        let value = &self.template.conditions[name];
        if self.conditions.contains_key(name) {
            return Ok(());
        }
        if depth > DEPTH_MAX {
            return Err(TemplateError::meaning(
                value.span,
                "conditions lead to conditions too often",
            ));
        }
        let mut needed = Vec::new();
        value.functions(Branches::Both, &mut |function, _| {
            if let crate::Function::Condition(other) = function {
                needed.push(other.clone());
            }
        });
        for other in needed {
            self.decide(&other, depth + 1)?;
        }
        let Kind::Function(function) = &value.kind else {
            return Err(TemplateError::meaning(
                value.span,
                "a condition was expected here",
            ));
        };
        let evaluator = Evaluator::new(self, &NoScope);
        let decided = evaluator.decide(function, value.span)?;
        self.conditions.insert(name.to_owned(), decided);
        Ok(())
    }

    fn decide_policies(&mut self) -> Result<()> {
        let decided = (self.resources())
            .map(|(id, resource)| {
                let policies = Policies {
                    deletion: self.policy("DeletionPolicy", &resource.deletion_policy)?,
                    update_replace: self
                        .policy("UpdateReplacePolicy", &resource.update_replace_policy)?,
                };
                Ok((id.clone(), policies))
            })
            .collect::<Result<_>>()?;
        self.policies = decided;
        Ok(())
    }

    fn policy(&self, attribute: &str, written: &WrittenPolicy) -> Result<Option<DeletionPolicy>> {
        let value = match written {
            WrittenPolicy::Absent => return Ok(None),
            WrittenPolicy::Literal(policy) => return Ok(Some(*policy)),
            WrittenPolicy::Computed(value) => value,
        };
        let wrong = |name: &str| {
            TemplateError::format(value.span, format!("Unrecognized {attribute} {name}"))
        };
        let name = match Evaluator::new(self, &NoScope).value(value)? {
            None => return Ok(None),
            Some(Json::String(name)) => name,
            Some(_) => return Err(wrong("")),
        };
        let policy = DeletionPolicy::named(&name).ok_or_else(|| wrong(&name))?;
        match (attribute, policy) {
            ("UpdateReplacePolicy", DeletionPolicy::RetainExceptOnCreate) => Err(wrong(&name)),
            _ => Ok(Some(policy)),
        }
    }

    /// What becomes of a resource when it leaves the stack, or makes room for another.
    pub fn policies(&self, id: &str) -> Policies {
        self.policies.get(id).copied().unwrap_or_default()
    }

    /// Whether every condition is decided, so that all of it can be computed.
    pub fn is_decided(&self) -> bool {
        self.conditions.len() == self.template.conditions.len()
    }

    /// Takes away the conditions that depend on a parameter that is not known yet. True if there
    /// was one.
    fn drop_undecided(&mut self) -> bool {
        let mut undecided: BTreeSet<String> = (self.parameters.iter())
            .filter(|(_, it)| {
                let stored = it.stored.as_deref().unwrap_or_default();
                [&it.raw, stored]
                    .iter()
                    .any(|it| it.contains(KNOWN_AFTER_APPLY))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if undecided.is_empty() {
            return false;
        }
        loop {
            let is_undecided = |value: &Value| {
                let mut found = false;
                value.functions(Branches::Both, &mut |function, _| {
                    found |= match function {
                        crate::Function::Condition(name) => undecided.contains(name),
                        function => function.names().iter().any(|it| undecided.contains(*it)),
                    };
                });
                found
            };
            let more: Vec<String> = (self.template.conditions.iter())
                .filter(|(name, value)| !undecided.contains(*name) && is_undecided(value))
                .map(|(name, _)| name.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            undecided.extend(more);
        }
        self.conditions.retain(|name, _| !undecided.contains(name));
        true
    }

    fn holds(&self, condition: Option<&(String, Span)>) -> bool {
        condition.is_none_or(|(name, _)| self.conditions.get(name).copied().unwrap_or(false))
    }

    /// The resources whose condition holds.
    pub fn resources(&self) -> impl Iterator<Item = (&'a String, &'a Resource)> {
        (self.template.resources.iter())
            .filter(|(_, resource)| self.holds(resource.condition.as_ref()))
    }

    /// A resource whose condition holds.
    pub fn resource(&self, id: &str) -> Option<&'a Resource> {
        (self.template.resources.get(id)).filter(|resource| self.holds(resource.condition.as_ref()))
    }

    pub(crate) fn require_resource(&self, id: &str, span: Span) -> Result<()> {
        match self.resource(id) {
            Some(_) => Ok(()),
            None => Err(validate::unresolved(id, span, "Resources")),
        }
    }

    fn check_references(&self, value: &Value, block: &str) -> Result<()> {
        let mut wrong = None;
        value.functions(Branches::Chosen(&self.conditions), &mut |function, span| {
            for name in function.names() {
                let is_resource = self.template.resources.contains_key(name);
                if is_resource && self.resource(name).is_none() {
                    wrong.get_or_insert(validate::unresolved(name, span, block));
                }
            }
        });
        wrong.map_or(Ok(()), Err)
    }

    /// Each resource with what has to exist before it. A `DependsOn` on a resource that is left
    /// out falls away.
    pub fn dependencies(&self) -> Graph {
        self.resources()
            .map(|(id, resource)| {
                let mut needs =
                    validate::needs(self.template, resource, Branches::Chosen(&self.conditions));
                needs.retain(|it| self.resource(it).is_some());
                (id.clone(), needs)
            })
            .collect()
    }

    /// The properties of a resource, computed. Nothing for a resource that is left out.
    pub fn properties(&self, id: &str, scope: &dyn Scope) -> Result<Option<EvaluatedProperties>> {
        let Some(resource) = self.resource(id) else {
            return Ok(None);
        };
        let mut spans = Spans::default();
        spans.insert("", resource.properties.span);
        let value = Evaluator::new(self, scope).with_spans(&resource.properties, "", &mut spans)?;
        let value = value.unwrap_or_else(|| Json::Object(serde_json::Map::new()));
        Ok(Some(EvaluatedProperties { value, spans }))
    }

    /// Any value of the template, computed: metadata, policies. Nothing for `AWS::NoValue`.
    pub fn evaluate(&self, value: &Value, scope: &dyn Scope) -> Result<Option<Json>> {
        Evaluator::new(self, scope).value(value)
    }

    /// The outputs whose condition holds.
    pub fn outputs(&self, scope: &dyn Scope) -> Result<Vec<EvaluatedOutput>> {
        let evaluator = Evaluator::new(self, scope);
        let text = |value: &Value| {
            let evaluated = evaluator.value(value)?;
            match evaluated {
                Some(Json::String(text)) => Ok(text),
                Some(Json::Number(number)) => Ok(number.to_string()),
                Some(Json::Bool(it)) => Ok(it.to_string()),
                _ => Err(TemplateError::format(
                    value.span,
                    "The Value field of every Outputs member must evaluate to a String.",
                )),
            }
        };
        (self.template.outputs.iter())
            .filter(|(_, output)| self.holds(output.condition.as_ref()))
            .map(|(name, output)| {
                Ok(EvaluatedOutput {
                    name: name.clone(),
                    value: text(&output.value)?,
                    description: output.description.clone(),
                    export_name: (output.export.as_ref())
                        .map(|export| export_name(name, &export.name, text(&export.name)?))
                        .transpose()?,
                })
            })
            .collect()
    }

    /// The same instance with `****` for every NoEcho parameter: what events and descriptions show.
    /// Conditions stay as they were decided with the true values.
    #[must_use]
    pub fn masked(&self) -> Instance<'a> {
        Instance {
            parameters: self.parameters.masked(),
            ..self.clone()
        }
    }
}

/// The name of an output's export, when it is one.
fn export_name(output: &str, written: &Value, name: String) -> Result<String> {
    let is_letter = |it: char| it.is_ascii_alphanumeric() || it == ':' || it == '-';
    if name.contains(KNOWN_AFTER_APPLY) || (!name.is_empty() && name.chars().all(is_letter)) {
        return Ok(name);
    }
    Err(TemplateError::format(
        written.span,
        format!(
            "Output {output} is malformed. The Name field of every Export member must be specified and consist only of alphanumeric characters, colons, or hyphens."
        ),
    ))
}
