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
use crate::{Template, function, json, validate, yaml};

/// The one version there is.
const FORMAT_VERSION: &str = "2010-09-09";

impl Template {
    /// Reads a template and checks all that can be checked without parameters.
    pub fn parse(text: &str) -> Result<Template> {
        let template = Self::parse_sections(&read(text)?)?;
        validate::check(&template)?;
        Ok(template)
    }

    fn parse_sections(root: &Node) -> Result<Template> {
        let Content::Map(sections) = &root.content else {
            return Err(TemplateError::format(root.span, "unsupported structure."));
        };
        refuse_unknown_sections(sections)?;
        let section = |name: &str| sections.iter().find(|(key, _)| key.text == name);
        let template = Template {
            format_version: format_version(section("AWSTemplateFormatVersion"))?,
            description: description(section("Description"))?,
            metadata: section("Metadata").map(|(_, node)| node.to_json()),
            parameters: named(
                section("Parameters"),
                "Parameter",
                PARAMETERS_MAX,
                |_, name, node| Parameter::parse(name, node),
            )?,
            rules: named(section("Rules"), "Rule", RULES_MAX, Rule::parse)?,
            mappings: named(
                section("Mappings"),
                "Mapping",
                MAPPINGS_MAX,
                |_, name, node| section::mapping(name, node),
            )?,
            conditions: named(
                section("Conditions"),
                "Condition",
                usize::MAX,
                |cursor, _, node| {
                    cursor.place = Place::Condition;
                    function::condition(node, cursor)
                },
            )?,
            resources: named(
                section("Resources"),
                "Resource",
                RESOURCES_MAX,
                section::resource,
            )?,
            outputs: named(section("Outputs"), "Output", OUTPUTS_MAX, section::output)?,
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

fn read(text: &str) -> Result<Node> {
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

fn refuse_unknown_sections(sections: &[(Key, Node)]) -> Result<()> {
    const KNOWN: [&str; 9] = [
        "AWSTemplateFormatVersion",
        "Description",
        "Metadata",
        "Parameters",
        "Rules",
        "Mappings",
        "Conditions",
        "Resources",
        "Outputs",
    ];
    const UNSUPPORTED: [&str; 2] = ["Transform", "Hooks"];
    for (key, node) in sections {
        if UNSUPPORTED.contains(&key.text.as_str()) {
            // By its name: `AWS::LanguageExtensions` is another matter than somebody's macro.
            let names: Vec<String> = match &node.content {
                Content::List(items) => items.iter().filter_map(Node::scalar_text).collect(),
                _ => node.scalar_text().into_iter().collect(),
            };
            let what = match names.is_empty() {
                true => format!("the section {}", key.text),
                false => format!("the section {} ({})", key.text, names.join(", ")),
            };
            return Err(TemplateError::unsupported(key.span, what));
        }
    }
    let unknown: Vec<&Key> = (sections.iter())
        .map(|(key, _)| key)
        .filter(|key| !KNOWN.contains(&key.text.as_str()))
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
        _ => Err(TemplateError::format(
            key.span,
            format!(
                "unsupported value for AWSTemplateFormatVersion, only {FORMAT_VERSION} is known"
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

/// Reads a section whose members have names.
fn named<T>(
    section: Option<&(Key, Node)>,
    kind: &str,
    count_max: usize,
    mut read: impl FnMut(&mut Cursor, &Key, &Node) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    let Some((section_key, node)) = section else {
        return Ok(BTreeMap::new());
    };
    let mut cursor = Cursor::new(&section_key.text, Place::Value);
    cursor.refuse_null(node)?;
    let members = entries(node).ok_or_else(|| {
        TemplateError::format(
            section_key.span,
            format!("The {} section must be an object", section_key.text),
        )
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
