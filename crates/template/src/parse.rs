//! Text into a [`Template`].

use std::collections::BTreeMap;

use crate::error::{Result, TemplateError};
use crate::limits::{
    DESCRIPTION_BYTES_MAX, MAPPINGS_MAX, OUTPUTS_MAX, PARAMETERS_MAX, RESOURCES_MAX, RULES_MAX,
    TEMPLATE_BYTES_MAX,
};
use crate::node::{Content, Key, Node};
use crate::parameter::Parameter;
use crate::rules::Rule;
use crate::section::{self, entries};
use crate::value::{Cursor, Place};
use crate::{Branches, Graph, Resource, Template, function, json, transform, validate, yaml};

/// The one version there is.
const FORMAT_VERSION: &str = "2010-09-09";

impl Template {
    /// Reads a template and checks all that can be checked without parameters.
    pub fn parse(text: &str) -> Result<Template> {
        let template = Self::parse_sections(&read(text)?)?;
        validate::check(&template)?;
        Ok(template)
    }

    /// Each resource with what may have to exist before it, whatever the conditions decide.
    pub fn possible_dependencies(&self) -> Graph {
        let needs = |it: &Resource| validate::needs(self, it, Branches::Both);
        let resources = self.resources.iter();
        resources.map(|(id, it)| (id.clone(), needs(it))).collect()
    }

    fn parse_sections(root: &Node) -> Result<Template> {
        let Content::Map(sections) = &root.content else {
            return Err(TemplateError::format(root.span, "unsupported structure."));
        };
        let section = |name: &str| sections.iter().find(|(key, _)| key.text == name);
        let transforms = transform::named(root)?;
        refuse_unknown_sections(sections, &transforms)?;
        let is_extended = transforms.iter().any(|it| it == transform::EXTENSIONS);
        let named = Members { is_extended };
        let template = Template {
            format_version: format_version(section("AWSTemplateFormatVersion"))?,
            description: description(section("Description"))?,
            transforms,
            metadata: section("Metadata").map(|(_, node)| node.to_json()),
            parameters: named.read(
                section("Parameters"),
                "Parameter",
                PARAMETERS_MAX,
                |_, name, node| Parameter::parse(name, node),
            )?,
            rules: named.read(section("Rules"), "Rule", RULES_MAX, Rule::parse)?,
            mappings: named.read(
                section("Mappings"),
                "Mapping",
                MAPPINGS_MAX,
                |_, name, node| section::mapping(name, node),
            )?,
            conditions: named.read(
                section("Conditions"),
                "Condition",
                usize::MAX,
                |cursor, _, node| {
                    cursor.place = Place::Condition;
                    function::condition(node, cursor)
                },
            )?,
            resources: named.read(
                section("Resources"),
                "Resource",
                RESOURCES_MAX,
                section::resource,
            )?,
            outputs: named.read(section("Outputs"), "Output", OUTPUTS_MAX, section::output)?,
        };
        if template.resources.is_empty() {
            return Err(TemplateError::format(
                section("Resources").map_or(root.span, |(key, _)| key.span),
                "At least one Resources member must be defined.",
            ));
        }
        Ok(template)
    }
}

pub fn read(text: &str) -> Result<Node> {
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err(TemplateError::new(format!(
            "Template format error: the template has {} bytes, at most {TEMPLATE_BYTES_MAX} are allowed",
            text.len()
        )));
    }
    if json::looks_like_json(text) {
        json::read(text)
    } else {
        yaml::read(text)
    }
}

fn refuse_unknown_sections(sections: &[(Key, Node)], transforms: &[String]) -> Result<()> {
    const KNOWN: [&str; 10] = [
        "AWSTemplateFormatVersion",
        "Transform",
        "Description",
        "Metadata",
        "Parameters",
        "Rules",
        "Mappings",
        "Conditions",
        "Resources",
        "Outputs",
    ];
    if let Some((key, _)) = sections.iter().find(|(key, _)| key.text == "Hooks") {
        return Err(TemplateError::unsupported(key.span, "the section Hooks"));
    }
    // Defaults of resources that only the serverless transform knows.
    let has_globals = transforms.iter().any(|it| it == transform::SERVERLESS);
    let is_known =
        |key: &Key| KNOWN.contains(&key.text.as_str()) || (has_globals && key.text == "Globals");
    let unknown: Vec<&Key> = (sections.iter())
        .map(|(key, _)| key)
        .filter(|key| !is_known(key))
        .collect();
    let Some(first) = unknown.first() else {
        return Ok(());
    };
    let names: Vec<&str> = unknown.iter().map(|key| key.text.as_str()).collect();
    Err(TemplateError::new(format!(
        "Invalid template property or properties [{}]",
        names.join(", ")
    ))
    .at(first.span))
}

fn format_version(section: Option<&(Key, Node)>) -> Result<Option<String>> {
    let Some((key, node)) = section else {
        return Ok(None);
    };
    match node.scalar_text() {
        Some(version) if version == FORMAT_VERSION => Ok(Some(version)),
        other => Err(TemplateError::format(
            key.span,
            format!(
                "{} is not a supported value for AWSTemplateFormatVersion.",
                other.unwrap_or_default()
            ),
        )),
    }
}

fn description(section: Option<&(Key, Node)>) -> Result<Option<String>> {
    let Some((key, node)) = section else {
        return Ok(None);
    };
    let text = node
        .scalar_text()
        .ok_or_else(|| TemplateError::format(key.span, "The Description must be a String"))?;
    if text.len() > DESCRIPTION_BYTES_MAX {
        return Err(TemplateError::format(
            key.span,
            format!("'Description' length is greater than {DESCRIPTION_BYTES_MAX}."),
        ));
    }
    Ok(Some(text))
}

/// Reads sections whose members have names.
struct Members {
    is_extended: bool,
}

impl Members {
    fn read<T>(
        &self,
        section: Option<&(Key, Node)>,
        kind: &str,
        count_max: usize,
        mut read: impl FnMut(&mut Cursor, &Key, &Node) -> Result<T>,
    ) -> Result<BTreeMap<String, T>> {
        let Some((section_key, node)) = section else {
            return Ok(BTreeMap::new());
        };
        let mut cursor = Cursor::new(&section_key.text, Place::Value);
        cursor.is_extended = self.is_extended;
        cursor.refuse_null(node)?;
        let members = entries(node).ok_or_else(|| {
            let message = match section_key.text.as_str() {
                "Resources" => "Any Resources member must be an object.".to_owned(),
                name => format!("The {name} section must be an object"),
            };
            TemplateError::format(section_key.span, message)
        })?;
        if members.len() > count_max {
            return Err(TemplateError::format(
                section_key.span,
                format!(
                    "Number of {}, {}, is greater than maximum allowed, {count_max}",
                    section_key.text.to_lowercase(),
                    members.len()
                ),
            ));
        }
        let mut out = BTreeMap::new();
        for (key, node) in members {
            section::check_name(kind, key)?;
            let member = cursor.within(&key.text, |cursor| {
                cursor.refuse_null(node)?;
                read(cursor, key, node)
            })?;
            out.insert(key.text.clone(), member);
        }
        Ok(out)
    }
}
