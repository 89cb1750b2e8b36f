//! CloudFormation templates, with those that are nested in them: what would refuse them, and what they ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use cloudformation::{NESTED_DEPTH_MAX, NESTED_MAX, refusals_of_properties, refusals_of_template};
use serde_json::Value as Json;
use template::{
    Branches, Environment, Instance, KNOWN_AFTER_APPLY, Node, ParameterType, Scope, Span, Template,
    read_yaml, transform,
};
use why::Place;
use why::ahead::{Declared, DeclaredResource, reference};

use super::files::{member, members};
use super::outcome::{self, Outcome};
use super::{Part, Surroundings, files};

const NESTED: &str = "AWS::CloudFormation::Stack";

pub fn read(
    file: &Path,
    text: String,
    around: &Surroundings<'_>,
    outcome: &mut Outcome,
) -> Result<Vec<Part>> {
    outcome.looked(file.display().to_string());
    let mut work = Work {
        around,
        outcome,
        declared: Declared {
            region: around.region.to_owned(),
            account: around.account.to_owned(),
            ..Declared::default()
        },
        nested: 0,
    };
    let own = Source {
        file: file.to_owned(),
        text,
        prefix: String::new(),
        stack: stack_name(file),
        depth: 0,
    };
    // What is given for other templates of the same command is not this one's.
    work.unfold(&own, None);
    Ok(vec![Part::Declared(Box::new(work.declared))])
}

/// A name that the stack may get.
fn stack_name(file: &Path) -> String {
    let stem = file
        .file_stem()
        .map(|it| it.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name: String = stem
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() { it } else { '-' })
        .collect();
    match name.starts_with(|it: char| it.is_ascii_alphabetic()) {
        true => name,
        false => format!("stack-{name}"),
    }
}

struct Source {
    file: PathBuf,
    text: String,
    /// `Network/`, before the names of what is in it.
    prefix: String,
    stack: String,
    depth: usize,
}

struct Work<'a, 'b> {
    around: &'a Surroundings<'a>,
    outcome: &'b mut Outcome,
    declared: Declared,
    nested: usize,
}

/// Where things stand in the text that people wrote.
struct Places<'a> {
    file: &'a Path,
    /// Of what a transform made, only the names of resources are where they were.
    written: Option<BTreeMap<String, Span>>,
}

impl Places<'_> {
    fn of(&self, id: &str, span: Span) -> Place {
        match &self.written {
            None => outcome::place(self.file, Some(span)),
            Some(written) => outcome::place(self.file, written.get(id).copied()),
        }
    }
}

impl Work<'_, '_> {
    /// Adds what a template asks for, and answers its outputs. `given` are the values that the stack around it has for
    /// its parameters.
    fn unfold(
        &mut self,
        source: &Source,
        given: Option<&BTreeMap<String, String>>,
    ) -> BTreeMap<String, Json> {
        let none = BTreeMap::new();
        let file = source.file.as_path();
        let given = given.unwrap_or(self.around.parameters);
        let Some(processed) = self.transformed(source, given) else {
            return none;
        };
        let places = Places {
            file,
            written: processed.as_ref().map(|_| resources_of(&source.text)),
        };
        let text = processed.as_deref().unwrap_or(&source.text);
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                self.outcome.refused(file, &error, None);
                return none;
            }
        };
        let values = match self.values(&template, given, source) {
            Ok(values) => values,
            Err(error) => {
                self.outcome.refused(file, &error, None);
                return none;
            }
        };
        let instance = match template.instantiate(values, self.environment(source)) {
            Ok(instance) => instance,
            Err(error) => {
                self.outcome.refused(file, &error, None);
                return none;
            }
        };
        let branches = match instance.is_decided() {
            true => Branches::Chosen(&instance.conditions),
            false => Branches::Both,
        };
        for error in refusals_of_template(self.around.types, &template, branches) {
            self.outcome.refused(
                file,
                &error,
                places.written.as_ref().map(|_| outcome::place(file, None)),
            );
        }
        let scope = AheadScope {
            prefix: &source.prefix,
            nested: self.nested(&instance, source),
        };
        match instance.is_decided() {
            true => {
                for error in refusals_of_properties(self.around.types, &instance, &scope) {
                    self.outcome.refused(
                        file,
                        &error,
                        places.written.as_ref().map(|_| outcome::place(file, None)),
                    );
                }
            }
            false => self.outcome.not(format!(
                "parts of {} that depend on parameters without a value: give them by --parameter",
                file.display()
            )),
        }
        self.declare(&instance, &scope, source, &places);
        let outputs = instance.outputs(&scope).unwrap_or_default();
        (outputs.into_iter())
            .map(|it| (format!("Outputs.{}", it.name), Json::String(it.value)))
            .collect()
    }

    /// The text that transforms make of it, if they do; None when that cannot be known here.
    fn transformed(
        &mut self,
        source: &Source,
        given: &BTreeMap<String, String>,
    ) -> Option<Option<String>> {
        let file = source.file.as_path();
        let mut texts = given.clone();
        for (name, value) in [
            ("AWS::Region", self.around.region),
            ("AWS::AccountId", self.around.account),
            ("AWS::Partition", "aws"),
            ("AWS::URLSuffix", "amazonaws.com"),
        ] {
            texts.insert(name.to_owned(), value.to_owned());
        }
        let names = transform::Names { texts };
        match transform::included(&source.text, &names) {
            Ok(places) if places.is_empty() => {}
            Ok(places) => {
                self.outcome.not(format!(
                    "{}, which includes {}",
                    file.display(),
                    places.join(", ")
                ));
                return None;
            }
            // What is wrong with a template is told when it is read.
            Err(_) => return Some(None),
        }
        match transform::carry_out(&source.text, &names, &BTreeMap::new()) {
            Ok(processed) => Some(processed),
            Err(error) => {
                self.outcome.refused(file, &error, None);
                None
            }
        }
    }

    fn values(
        &mut self,
        template: &Template,
        given: &BTreeMap<String, String>,
        source: &Source,
    ) -> Result<template::ParameterValues, template::TemplateError> {
        // One command's parameters are for all of its templates.
        let mut given: BTreeMap<String, String> = match source.depth {
            0 => (given.iter())
                .filter(|(name, _)| template.parameters.contains_key(*name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            _ => given.clone(),
        };
        let mut stored = BTreeMap::new();
        for (name, parameter) in &template.parameters {
            if let ParameterType::Stored(_) = parameter.parameter_type {
                stored.insert(name.clone(), KNOWN_AFTER_APPLY.to_owned());
            }
            if parameter.default.is_some() || given.contains_key(name) {
                continue;
            }
            let first = parameter.allowed_values.as_ref().and_then(|it| it.first());
            let value = match first {
                Some(first) => {
                    self.outcome
                        .not(format!("other values of the parameter {name} than {first}"));
                    first.clone()
                }
                None => {
                    self.outcome
                        .not(format!("what depends on the value of the parameter {name}"));
                    KNOWN_AFTER_APPLY.to_owned()
                }
            };
            given.insert(name.clone(), value);
        }
        template.resolve_stored_parameters(&given, &stored)
    }

    fn environment(&self, source: &Source) -> Environment {
        Environment {
            account_id: self.around.account.to_owned(),
            region: self.around.region.to_owned(),
            partition: "aws".to_owned(),
            url_suffix: "amazonaws.com".to_owned(),
            stack_id: KNOWN_AFTER_APPLY.to_owned(),
            stack_name: source.stack.clone(),
            notification_arns: Vec::new(),
        }
    }

    /// The outputs of the stacks that are nested in one, by their names; each is known to those that come after it.
    fn nested(
        &mut self,
        instance: &Instance<'_>,
        source: &Source,
    ) -> BTreeMap<String, BTreeMap<String, Json>> {
        let mut done: BTreeMap<String, BTreeMap<String, Json>> = BTreeMap::new();
        let is_nested = |id: &String| {
            instance
                .resource(id)
                .is_some_and(|it| it.resource_type == NESTED)
        };
        for id in in_order(instance).into_iter().filter(is_nested) {
            let scope = AheadScope {
                prefix: &source.prefix,
                nested: std::mem::take(&mut done),
            };
            let evaluated = instance.properties(&id, &scope).ok().flatten();
            let asset = (instance.resource(&id))
                .and_then(|it| it.metadata.as_ref())
                .and_then(|it| instance.evaluate(it, &scope).ok().flatten());
            done = scope.nested;
            let (Some(evaluated), true) = (evaluated, source.depth < NESTED_DEPTH_MAX) else {
                continue;
            };
            let url = evaluated.value["TemplateURL"].as_str().unwrap_or_default();
            let asset = asset.as_ref().and_then(|it| it["aws:asset:path"].as_str());
            let Some(file) = beside(&source.file, asset, url) else {
                let place = evaluated.spans.of("TemplateURL");
                self.missing(&id, url, source, place);
                continue;
            };
            self.nested += 1;
            let Some(text) = files::text(&file)
                .ok()
                .filter(|_| self.nested <= NESTED_MAX)
            else {
                self.outcome
                    .not(format!("the nested template {}", file.display()));
                continue;
            };
            let inner = Source {
                file,
                text,
                prefix: format!("{}{id}/", source.prefix),
                stack: format!("{}-{id}", source.stack),
                depth: source.depth + 1,
            };
            let given = scalars(&evaluated.value["Parameters"]);
            let outputs = self.unfold(&inner, Some(&given));
            done.insert(id, outputs);
        }
        done
    }

    fn missing(&mut self, id: &str, url: &str, source: &Source, span: Option<Span>) {
        const ROW: why::rows::Row = why::rows::NESTED_MISSING;
        if url.contains("://") || url.contains(KNOWN_AFTER_APPLY) {
            let shown = url.replace(KNOWN_AFTER_APPLY, "…");
            self.outcome.not(format!(
                "the nested stack {id}, whose template {shown} is not beside it"
            ));
            return;
        }
        let cause = format!("the template `{url}` of the nested stack {id} is not there");
        let place = outcome::place(&source.file, span);
        let thing = format!("template {}", source.file.display());
        self.outcome
            .findings
            .push(outcome::finding(&ROW, thing, cause, place));
    }

    fn declare(
        &mut self,
        instance: &Instance<'_>,
        scope: &AheadScope<'_>,
        source: &Source,
        places: &Places<'_>,
    ) {
        let needs = instance.dependencies();
        for (id, resource) in instance.resources() {
            // What cannot be computed was told already.
            let Ok(Some(evaluated)) = instance.properties(id, scope) else {
                continue;
            };
            let own = |id: &String| format!("{}{id}", source.prefix);
            let spans = evaluated.spans.iter().filter(|(path, _)| !path.is_empty());
            let declared = DeclaredResource {
                kind: resource.resource_type.clone(),
                place: Some(places.of(id, resource.span)),
                places: spans
                    .map(|(path, span)| (path.to_owned(), places.of(id, span)))
                    .collect(),
                needs: needs.get(id).into_iter().flatten().map(own).collect(),
                properties: evaluated.value,
            };
            self.declared.resources.insert(own(id), declared);
        }
    }
}

/// Resources, each after what it needs.
fn in_order(instance: &Instance<'_>) -> Vec<String> {
    let mut left = instance.dependencies();
    let mut order = Vec::new();
    while let Some(id) = left
        .iter()
        .find(|(_, needs)| needs.iter().all(|it| !left.contains_key(it)))
        .map(|it| it.0.clone())
    {
        left.remove(&id);
        order.push(id);
    }
    order
}

/// The values of a nested stack's parameters: a list is joined.
fn scalars(parameters: &Json) -> BTreeMap<String, String> {
    cloudformation::parameters_of(parameters).unwrap_or_default()
}

/// The file that a nested template is, as far as it lies beside its parent: where the CDK says, at the path itself,
/// or at an end of the URL's path.
fn beside(parent: &Path, asset: Option<&str>, url: &str) -> Option<PathBuf> {
    let folder = parent.parent().unwrap_or(Path::new(""));
    let path = url.rsplit_once("://").map_or(url, |it| it.1);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let ends = (0..parts.len()).map(|at| parts[at..].join("/"));
    let is_plain = |it: &String| !it.is_empty() && !it.contains(KNOWN_AFTER_APPLY);
    let candidates = asset
        .map(str::to_owned)
        .into_iter()
        .chain(ends.filter(is_plain));
    candidates.map(|it| folder.join(it)).find(|it| it.is_file())
}

/// Where the resources of a template are named, before its transforms.
fn resources_of(text: &str) -> BTreeMap<String, Span> {
    let root: Option<Node> = read_yaml(text).ok();
    let resources = root.as_ref().and_then(|it| member(it, "Resources"));
    let all = resources.map(members).unwrap_or_default();
    all.iter()
        .map(|(key, _)| (key.text.clone(), key.span))
        .collect()
}

/// Answers with references to what will be.
struct AheadScope<'a> {
    prefix: &'a str,
    /// Outputs of nested stacks that are known.
    nested: BTreeMap<String, BTreeMap<String, Json>>,
}

impl Scope for AheadScope<'_> {
    fn reference(&self, id: &str) -> Result<Json, String> {
        Ok(reference(&format!("{}{id}", self.prefix), None).into())
    }

    fn attribute(&self, id: &str, attribute: &str) -> Result<Json, String> {
        if let Some(outputs) = self.nested.get(id)
            && attribute.starts_with("Outputs.")
        {
            return outputs.get(attribute).cloned().map_or_else(
                || {
                    let known: BTreeSet<&str> = outputs
                        .keys()
                        .map(|it| it.trim_start_matches("Outputs."))
                        .collect();
                    match known.is_empty() {
                        // It could not be read, which was told.
                        true => Ok(KNOWN_AFTER_APPLY.into()),
                        false => Err(format!(
                            "Template error: the nested stack {id} has no output {}",
                            attribute.trim_start_matches("Outputs.")
                        )),
                    }
                },
                Ok,
            );
        }
        Ok(reference(&format!("{}{id}", self.prefix), Some(attribute)).into())
    }

    /// Somebody may export it before it is needed.
    fn export(&self, _: &str) -> Result<Json, String> {
        Ok(KNOWN_AFTER_APPLY.into())
    }

    fn availability_zones(&self, region: &str) -> Result<Vec<String>, String> {
        Ok(ec2::zones_of(region))
    }
}
