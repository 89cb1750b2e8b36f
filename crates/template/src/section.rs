//! The members of the sections: mappings, resources, outputs.

use std::collections::BTreeMap;

use crate::error::{Result, TemplateError};
use crate::limits::{MAPPING_ATTRIBUTES_MAX, NAME_CHARACTERS_MAX};
use crate::node::{Content, Key, Node, Scalar, Span, type_plain};
use crate::template::{
    DeletionPolicy, Export, Mapping, MappingValue, Output, Resource, WrittenPolicy,
};
use crate::value::{Cursor, Kind, Value};

pub fn entries(node: &Node) -> Option<&[(Key, Node)]> {
    match &node.content {
        Content::Map(entries) if node.tag.is_none() => Some(entries),
        _ => None,
    }
}

/// What stands under a name.
pub fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let found = entries(node)?.iter().find(|(key, _)| key.text == name)?;
    Some(&found.1)
}

pub fn check_name(kind: &str, key: &Key) -> Result<()> {
    let is_alphanumeric = key.text.chars().all(|it| it.is_ascii_alphanumeric());
    if !is_alphanumeric || key.text.is_empty() {
        return Err(TemplateError::format(
            key.span,
            format!("{kind} name {} is non alphanumeric.", key.text),
        ));
    }
    if key.text.len() > NAME_CHARACTERS_MAX {
        return Err(TemplateError::format(
            key.span,
            format!(
                "{kind} name {} is longer than {NAME_CHARACTERS_MAX} characters.",
                key.text
            ),
        ));
    }
    Ok(())
}

pub fn mapping(name: &Key, node: &Node) -> Result<Mapping> {
    let not_a_map = |key: &Key| {
        let message = format!("Every Mappings member {} must be a map", key.text);
        TemplateError::format(key.span, message)
    };
    let mut mapping = Mapping::new();
    let firsts = entries(node).ok_or_else(|| not_a_map(name))?;
    for (first, node) in firsts {
        let seconds = entries(node).ok_or_else(|| not_a_map(first))?;
        if seconds.len() > MAPPING_ATTRIBUTES_MAX || firsts.len() > MAPPING_ATTRIBUTES_MAX {
            return Err(TemplateError::format(
                first.span,
                format!(
                    "Number of mapping attributes is greater than maximum allowed, {MAPPING_ATTRIBUTES_MAX}"
                ),
            ));
        }
        let mut attributes = BTreeMap::new();
        for (second, node) in seconds {
            let value = match &node.content {
                _ if node.tag.is_some() => None,
                Content::List(items) => items
                    .iter()
                    .map(Node::scalar_text)
                    .collect::<Option<_>>()
                    .map(MappingValue::List),
                _ => node.scalar_text().map(MappingValue::Text),
            };
            let value = value.ok_or_else(|| {
                TemplateError::format(
                    second.span,
                    "Every Mappings attribute must be a String or a List.",
                )
            })?;
            insert(&mut attributes, second, value);
        }
        insert(&mut mapping, first, attributes);
    }
    Ok(mapping)
}

/// Adds to a mapping. A key that is written as a boolean is found by what it means as well: a function
/// that asks for it may write it so, too.
fn insert<T: Clone>(map: &mut BTreeMap<String, T>, key: &Key, value: T) {
    if let Scalar::Bool(it) = type_plain(&key.text) {
        map.entry(it.to_string()).or_insert_with(|| value.clone());
    }
    map.insert(key.text.clone(), value);
}

pub fn resource(cursor: &mut Cursor, key: &Key, node: &Node) -> Result<Resource> {
    let id = &key.text;
    let members = entries(node).ok_or_else(|| {
        TemplateError::format(key.span, "Any Resources member must be an object.")
    })?;
    let Some((_, type_node)) = members.iter().find(|(key, _)| key.text == "Type") else {
        return Err(TemplateError::format(
            key.span,
            format!("[/Resources/{id}] Every Resources object must contain a Type member."),
        ));
    };
    let resource_type = type_node
        .scalar_text()
        .filter(|it| !it.is_empty())
        .ok_or_else(|| {
            TemplateError::format(
                type_node.span,
                format!("[/Resources/{id}/Type] must be a String"),
            )
        })?;
    let mut resource = Resource {
        span: key.span,
        resource_type,
        type_span: type_node.span,
        properties: Value {
            span: key.span,
            kind: Kind::Map(Vec::new()),
        },
        depends_on: Vec::new(),
        condition: None,
        deletion_policy: WrittenPolicy::Absent,
        update_replace_policy: WrittenPolicy::Absent,
        creation_policy: None,
        update_policy: None,
        metadata: None,
    };
    for (member, node) in members {
        cursor.within(&member.text, |cursor| {
            cursor.refuse_null(node)?;
            resource_member(&mut resource, id, member, node, cursor)
        })?;
    }
    Ok(resource)
}

fn resource_member(
    resource: &mut Resource,
    id: &str,
    member: &Key,
    node: &Node,
    cursor: &mut Cursor,
) -> Result<()> {
    match member.text.as_str() {
        "Type" => {}
        "Properties" => {
            let properties = Value::parse(node, cursor)?;
            if !matches!(properties.kind, Kind::Map(_)) {
                return Err(TemplateError::format(
                    member.span,
                    format!(
                        "[/Resources/{id}/Properties] Any Properties member must be an object."
                    ),
                ));
            }
            resource.properties = properties;
        }
        "DependsOn" => resource.depends_on = depends_on(id, member, node)?,
        "Condition" => resource.condition = Some(condition_name(member, node)?),
        "DeletionPolicy" => {
            resource.deletion_policy = policy(member, node, cursor)?;
        }
        "UpdateReplacePolicy" => {
            resource.update_replace_policy = policy(member, node, cursor)?;
            let on_create = WrittenPolicy::Literal(DeletionPolicy::RetainExceptOnCreate);
            if resource.update_replace_policy == on_create {
                return Err(invalid_policy(member, node));
            }
        }
        "CreationPolicy" => resource.creation_policy = Some(Value::parse(node, cursor)?),
        "UpdatePolicy" => resource.update_policy = Some(Value::parse(node, cursor)?),
        "Metadata" => resource.metadata = Some(Value::parse(node, cursor)?),
        // For people: it says nothing about the resource.
        "Description" if node.scalar_text().is_some() => {}
        other => {
            return Err(TemplateError::new(format!(
                "Invalid template resource property '{other}'"
            ))
            .at(member.span));
        }
    }
    Ok(())
}

fn depends_on(id: &str, member: &Key, node: &Node) -> Result<Vec<(String, Span)>> {
    let one = |node: &Node| {
        let name = node.name();
        name.map(|it| (it, node.span)).ok_or_else(|| {
            TemplateError::format(
                member.span,
                format!("[/Resources/{id}] DependsOn must be a String or a list of Strings."),
            )
        })
    };
    match &node.content {
        Content::List(items) if node.tag.is_none() => items.iter().map(one).collect(),
        _ => Ok(vec![one(node)?]),
    }
}

fn condition_name(member: &Key, node: &Node) -> Result<(String, Span)> {
    node.name().map(|it| (it, node.span)).ok_or_else(|| {
        TemplateError::format(member.span, "Every Condition member must be a string.")
    })
}

fn policy(member: &Key, node: &Node, cursor: &mut Cursor) -> Result<WrittenPolicy> {
    if let Some(name) = node.scalar_text() {
        let policy = DeletionPolicy::named(&name);
        return (policy.map(WrittenPolicy::Literal)).ok_or_else(|| invalid_policy(member, node));
    }
    let value = Value::parse(node, cursor)?;
    match value.kind {
        Kind::Function(_) => Ok(WrittenPolicy::Computed(value)),
        _ => Err(invalid_policy(member, node)),
    }
}

fn invalid_policy(member: &Key, node: &Node) -> TemplateError {
    let name = node.scalar_text().unwrap_or_default();
    TemplateError::format(node.span, format!("Unrecognized {} {name}", member.text))
}

pub fn output(cursor: &mut Cursor, key: &Key, node: &Node) -> Result<Output> {
    let malformed = |span: Span, message: &str| TemplateError::format(span, message);
    let members = entries(node)
        .ok_or_else(|| malformed(key.span, "Every Outputs member must be an object"))?;
    let (mut value, mut description, mut export, mut condition) = (None, None, None, None);
    for (member, node) in members {
        cursor.within(&member.text, |cursor| {
            cursor.refuse_null(node)?;
            match member.text.as_str() {
                "Value" => value = Some(Value::parse(node, cursor)?),
                "Description" => {
                    let text = node.scalar_text();
                    description = Some(text.ok_or_else(|| {
                        malformed(member.span, "Every Outputs Description must be a String")
                    })?);
                }
                "Condition" => condition = Some(condition_name(member, node)?),
                "Export" => {
                    let Some([(name, node)]) = entries(node) else {
                        return Err(malformed(
                            member.span,
                            "Every Export must be an object with a Name",
                        ));
                    };
                    if name.text != "Name" {
                        return Err(malformed(
                            name.span,
                            "Every Export must be an object with a Name",
                        ));
                    }
                    export = Some(Export {
                        name: cursor.within("Name", |cursor| Value::parse(node, cursor))?,
                    });
                }
                other => {
                    return Err(TemplateError::new(format!(
                        "Invalid template output property '{other}'"
                    ))
                    .at(member.span));
                }
            }
            Ok(())
        })?;
    }
    let value = value
        .ok_or_else(|| malformed(key.span, "Every Outputs member must contain a Value object"))?;
    Ok(Output {
        span: key.span,
        value,
        description,
        export,
        condition,
    })
}
