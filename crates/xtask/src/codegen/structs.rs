//! One structure.

use std::fmt::Write;

use super::model::{ShapeRef, Unbuilt};
use super::names::{camel, field, snake};
use super::service::Service;

struct Field {
    attributes: Vec<String>,
    line: String,
}

/// How the names of a structure's members follow from the fields' names.
struct Style {
    pascal_names: bool,
    /// EC2 writes answers in its own case.
    camel_output: bool,
}

/// Writes the structure `rust_name` with the members of `shape`, or with none.
pub fn write(
    out: &mut String,
    service: &Service<'_>,
    rust_name: &str,
    shape: Option<&str>,
) -> anyhow::Result<()> {
    let Some(shape_name) = shape else {
        writeln!(
            out,
            "#[derive(Debug, Clone, Default, PartialEq, wire::Shape)]\npub struct {rust_name} {{}}\n"
        )?;
        return Ok(());
    };
    let shape = service.model.shape(shape_name)?;
    let members = &shape.members.0;
    let pascal = members
        .iter()
        .filter(|(name, _)| name.starts_with(|c: char| c.is_ascii_uppercase()))
        .count();
    let style = Style {
        pascal_names: pascal * 2 > members.len(),
        camel_output: service.model.metadata.protocol == "ec2",
    };
    let mut fields = Vec::new();
    for (name, member) in members {
        let required = shape.required.contains(name);
        fields.push(write_field(
            service, shape_name, &style, name, member, required,
        )?);
    }
    let secret = fields
        .iter()
        .any(|field| field.attributes.iter().any(|it| it == "sensitive"));
    let debug = if secret {
        "wire::DebugWithoutSecrets"
    } else {
        "Debug"
    };
    writeln!(
        out,
        "#[derive({debug}, Clone, Default, PartialEq, wire::Shape)]"
    )?;
    match (style.pascal_names, style.camel_output) {
        _ if members.is_empty() => (),
        (true, true) => writeln!(
            out,
            "#[aws(names = \"PascalCase\", output = \"camelCase\")]"
        )?,
        (true, false) => writeln!(out, "#[aws(names = \"PascalCase\")]")?,
        (false, _) => writeln!(out, "#[aws(names = \"camelCase\")]")?,
    }
    for member in &shape.unbuilt {
        writeln!(
            out,
            "#[aws(unbuilt({}))]",
            unbuilt_names(service, &style, member)
        )?;
    }
    writeln!(out, "pub struct {rust_name} {{")?;
    for field in fields {
        if !field.attributes.is_empty() {
            writeln!(out, "    #[aws({})]", field.attributes.join(", "))?;
        }
        writeln!(out, "    {}", field.line)?;
    }
    writeln!(out, "}}\n")?;
    Ok(())
}

fn write_field(
    service: &Service<'_>,
    holder: &str,
    style: &Style,
    name: &str,
    member: &ShapeRef,
    required: bool,
) -> anyhow::Result<Field> {
    let mut attributes = Vec::new();
    let derived = camel(&snake(name), style.pascal_names);
    if derived != name {
        attributes.push(format!("name = {name:?}"));
    }
    let (input, output) = match service.model.is_rest_xml() {
        true => (name.to_owned(), name.to_owned()),
        false => wire_names(style, name, member),
    };
    if input != name {
        attributes.push(format!("input = {input:?}"));
    }
    let derived_output = match style.camel_output && style.pascal_names {
        true => camel(&snake(name), false),
        false => name.to_owned(),
    };
    if output != derived_output {
        attributes.push(format!("output = {output:?}"));
    }
    if let Some(item) =
        own_item_name(service, style, &member.shape)?.filter(|_| !service.model.is_rest_xml())
    {
        attributes.push(format!("item = {item:?}"));
    }
    if let Some(limits) = service
        .limits
        .name_of(&member.shape)
        .filter(|_| service.inputs.contains(holder))
    {
        attributes.push(format!("limits = limits::{limits}"));
    }
    let listed = service
        .wanted
        .sensitive
        .iter()
        .any(|it| *it == format!("{holder}.{name}"));
    if listed || service.is_sensitive(&member.shape) {
        attributes.push("sensitive".into());
    }
    let keeps_empty = (service.wanted.empty.iter()).any(|it| *it == format!("{holder}.{name}"));
    if keeps_empty {
        attributes.push("keeps_empty".into());
    }
    let mut rust_type = service.rust_type(&member.shape)?;
    let target = service.model.shape(&member.shape)?;
    if target.kind == "structure"
        && !target.document
        && service.model.holds_itself(&member.shape)?
    {
        rust_type = format!("Box<{rust_type}>");
    }
    let rust_type = if required {
        rust_type
    } else {
        format!("Option<{rust_type}>")
    };
    Ok(Field {
        attributes,
        line: format!("pub {}: {rust_type},", field(name)),
    })
}

/// A member that is refused, as the derive reads it.
fn unbuilt_names(service: &Service<'_>, style: &Style, member: &Unbuilt) -> String {
    let name = &member.name;
    let (input, output) = match service.model.is_rest_xml() {
        true => (name.clone(), name.clone()),
        false => wire_names(style, name, &member.reference),
    };
    let mut text = format!("name = {name:?}");
    for (what, value) in [("input", input), ("output", output)] {
        if value != *name {
            text += &format!(", {what} = {value:?}");
        }
    }
    if let Some(only) = &member.only {
        text += &format!(", only = {only:?}");
    }
    text
}

/// The names of a member in requests and in answers.
fn wire_names(style: &Style, name: &str, member: &ShapeRef) -> (String, String) {
    let location = member.location_name.as_deref();
    if !style.camel_output {
        let name = location.unwrap_or(name).to_owned();
        return (name.clone(), name);
    }
    let input = match (&member.query_name, location) {
        (Some(query), _) => query.clone(),
        (None, Some(location)) => {
            format!("{}{}", location[..1].to_ascii_uppercase(), &location[1..])
        }
        (None, None) => name.to_owned(),
    };
    (input, location.unwrap_or(name).to_owned())
}

/// What the items of a list are called in answers, where it is not what the protocol calls them.
fn own_item_name<'a>(
    service: &Service<'a>,
    style: &Style,
    shape: &str,
) -> anyhow::Result<Option<&'a str>> {
    let Some(member) = &service.model.shape(shape)?.member else {
        return Ok(None);
    };
    let usual = if style.camel_output { "item" } else { "member" };
    Ok(member
        .location_name
        .as_deref()
        .filter(|name| *name != usual && service.outputs.contains(shape)))
}
