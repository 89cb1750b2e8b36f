//! The constants of a service, its error codes, and the table of all services.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Context;

use super::Wanted;
use super::model::Model;
use super::names::{snake, type_name};

/// `SERVICE` and `MODEL` of a service.
pub fn service_model(model: &Model, wanted: &Wanted) -> anyhow::Result<String> {
    let name = model.signing_name();
    Ok(format!(
        "/// The name by which requests are routed to the service.\npub const SERVICE: &str = {name:?};\n\n{}",
        model_constant(model, "MODEL", Some(wanted))?
    ))
}

fn model_constant(model: &Model, ident: &str, wanted: Option<&Wanted>) -> anyhow::Result<String> {
    let mut operations: Vec<&str> = model.operations.keys().map(String::as_str).collect();
    operations.sort_unstable();
    let names: String = operations
        .iter()
        .map(|name| format!("        {name:?},\n"))
        .collect();
    Ok(format!(
        "/// The service as the wire knows it.\npub const {ident}: wire::ServiceModel = wire::ServiceModel {{\n    \
         signing_name: {:?},\n    protocol: {},\n    api_version: {:?},\n    validation: {},\n    \
         constraints: {},\n    unbuilt: {},\n    unsigned: &{:?},\n    operations: &[\n{names}    ],\n}};\n\n",
        model.signing_name(),
        protocol(model)?,
        model.metadata.api_version,
        validation(model, wanted),
        constraints(model, wanted)?,
        unbuilt(model, wanted),
        unsigned(model),
    ))
}

fn protocol(model: &Model) -> anyhow::Result<String> {
    let metadata = &model.metadata;
    let namespace = || metadata.xml_namespace.as_ref().context("no XML namespace");
    let speaks = |protocol: &str| {
        metadata.protocol == protocol || metadata.protocols.iter().any(|it| it == protocol)
    };
    Ok(if speaks("json") {
        let version = metadata.json_version.as_deref().unwrap_or("1.0");
        let target = metadata
            .target_prefix
            .as_ref()
            .context("no target prefix")?;
        format!("wire::Protocol::Json {{ version: {version:?}, target_prefix: {target:?} }}")
    } else if speaks("query") {
        format!(
            "wire::Protocol::Query {{ xml_namespace: {:?} }}",
            namespace()?
        )
    } else if speaks("ec2") {
        format!(
            "wire::Protocol::Ec2 {{ xml_namespace: {:?} }}",
            namespace()?
        )
    } else if speaks("rest-xml") {
        match model.signing_name() {
            "s3" => "wire::Protocol::S3".into(),
            _ => "wire::Protocol::RestXml".into(),
        }
    } else if speaks("rest-json") {
        "wire::Protocol::RestJson".into()
    } else {
        anyhow::bail!("the protocol `{}` is not supported", metadata.protocol)
    })
}

/// What the service answers to what is valid and not built here.
fn unbuilt(model: &Model, wanted: Option<&Wanted>) -> String {
    match wanted.and_then(|it| it.unsupported.as_ref()) {
        Some(name) => error_code(model, name),
        None => validation(model, wanted),
    }
}

fn error_code(model: &Model, name: &str) -> String {
    match model.shapes.contains_key(name) {
        true => format!("errors::{name}"),
        false => format!("wire::codes::{name}"),
    }
}

/// What the service answers to input that its model forbids.
fn validation(model: &Model, wanted: Option<&Wanted>) -> String {
    if let Some(name) = wanted.and_then(|it| it.validation.as_ref()) {
        return error_code(model, name);
    }
    let is_json =
        model.metadata.protocols.iter().any(|it| it == "json") || model.metadata.protocol == "json";
    let modelled = ["ValidationException", "InvalidParameterException"]
        .into_iter()
        .find(|name| model.shapes.get(*name).is_some_and(|shape| shape.exception));
    match modelled {
        Some(name) if is_json && wanted.is_some() => format!("errors::{name}"),
        _ if is_json => "wire::codes::ValidationException".into(),
        _ if model.metadata.protocol == "ec2" => "wire::codes::InvalidParameterValue".into(),
        _ => "wire::codes::ValidationError".into(),
    }
}

/// The operations that nobody signs.
fn unsigned(model: &Model) -> Vec<&str> {
    let operations = model.operations.iter();
    operations
        .filter(|(_, it)| it.authtype.as_deref() == Some("none"))
        .map(|(name, _)| name.as_str())
        .collect()
}

/// How the service speaks of input that its model forbids.
fn constraints(model: &Model, wanted: Option<&Wanted>) -> anyhow::Result<String> {
    let Some(wanted) = wanted else {
        return Ok("wire::Constraints::USUAL".into());
    };
    let words = wanted.words.as_deref().unwrap_or("Value");
    let operations = match wanted.validation_by_operation {
        true => operations_with_codes(model, wanted),
        false => String::new(),
    };
    let members = match wanted.validation_by_member {
        true => members_with_codes(model, wanted)?,
        false => String::new(),
    };
    if words == "Value" && operations.is_empty() && members.is_empty() {
        return Ok("wire::Constraints::USUAL".into());
    }
    Ok(format!(
        "wire::Constraints {{ words: wire::Words::{words}, operations: &[{operations}], members: &[{members}] }}"
    ))
}

/// The built operations that declare `InvalidParameterException` and no `ValidationException`.
fn operations_with_codes(model: &Model, wanted: &Wanted) -> String {
    let declares = |name: &str, error: &str| {
        let operation = model.operations.get(name);
        operation.is_some_and(|it| it.errors.iter().any(|it| it.shape == error))
    };
    let (older, newer) = ("InvalidParameterException", "ValidationException");
    (wanted.operations.keys())
        .filter(|name| declares(name, older) || !declares(name, newer))
        .map(|name| format!("({name:?}, errors::{older}),"))
        .collect()
}

/// The members of the built operations' inputs for which there are `Invalid…Exception` or
/// `…RequiredException`, after their own name or their type's.
fn members_with_codes(model: &Model, wanted: &Wanted) -> anyhow::Result<String> {
    let mut found = std::collections::BTreeMap::new();
    let inputs = (wanted.operations.keys()).filter_map(|it| model.operations[it].input.as_ref());
    for name in model.reach(inputs.map(|it| it.shape.as_str()))? {
        for (member, of) in &model.shape(name)?.members.0 {
            let title = format!("{}{}", member[..1].to_uppercase(), &member[1..]);
            let kind = of.shape.trim_end_matches("Enum").trim_end_matches("Type");
            let exception = |name: String| {
                let is_one = model.shapes.get(&name).is_some_and(|it| it.exception);
                is_one.then(|| format!("Some(errors::{name})"))
            };
            let of_either = |write: fn(&str) -> String| {
                let code = exception(write(&title)).or_else(|| exception(write(kind)));
                code.unwrap_or_else(|| "None".into())
            };
            let missing = of_either(|it| format!("{it}RequiredException"));
            let unfit = of_either(|it| format!("Invalid{it}Exception"));
            if missing != "None" || unfit != "None" {
                found.insert(member.as_str(), format!(
                    "wire::OwnRefusal {{ member: {member:?}, missing: {missing}, unfit: {unfit} }},"
                ));
            }
        }
    }
    Ok(found.into_values().collect())
}

/// The error codes of a service, named after their shapes.
pub fn errors(model: &Model) -> String {
    let mut rows = String::new();
    for (name, shape) in model.shapes.iter().filter(|(_, shape)| shape.exception) {
        let code = shape
            .error
            .as_ref()
            .and_then(|it| it.code.as_ref())
            .unwrap_or(name);
        let status = shape.error.as_ref().and_then(|it| it.http_status_code);
        let status = status.unwrap_or(if shape.fault { 500 } else { 400 });
        let fault = if status >= 500 { "Receiver" } else { "Sender" };
        let ident = type_name(name);
        let capital = shape.members.0.iter().any(|(name, _)| name == "Message");
        let capital = match capital {
            true => ".with_capital_message()",
            false => "",
        };
        writeln!(
            rows,
            "    pub const {ident}: ErrorCode = ErrorCode::modelled({name:?}, {code:?}, {status}, Fault::{fault}){capital};"
        )
        .expect("writing to a string does not fail");
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "#[allow(non_upper_case_globals)]\npub mod errors {{\n    //! The errors of the service's operations.\n\n    \
         use wire::{{ErrorCode, Fault}};\n\n{rows}}}\n"
    )
}

/// `known.rs`: all services, built or not.
pub fn known(modules: &[&str], known: &[(&str, Model)]) -> anyhow::Result<String> {
    let mut out = String::from(
        "//! Generated by `cargo xtask codegen` from the models of botocore. Do not edit.\n//!\n\
         //! Every service whose operations are known by name, built or not.\n\n\
         /// All services.\npub const SERVICES: &[&wire::ServiceModel] = &[\n",
    );
    for module in modules {
        writeln!(out, "    &super::{module}::MODEL,")?;
    }
    for (name, _) in known {
        writeln!(out, "    &{},", snake(name).to_ascii_uppercase())?;
    }
    out.push_str("];\n\n");
    for (name, model) in known {
        let ident = snake(name).to_ascii_uppercase();
        out.push_str(
            &model_constant(model, &ident, None)
                .with_context(|| format!("the model of `{name}`"))?,
        );
    }
    Ok(out)
}

/// The table by which the tests reach every operation.
pub fn tested_operations<'a>(
    services: impl Iterator<Item = (&'a str, &'a BTreeMap<String, String>)>,
) -> anyhow::Result<String> {
    let mut out = String::from(
        "//! Generated by `cargo xtask codegen`. Do not edit.\n\nuse crate::Entry;\n\n\
         pub const OPERATIONS: &[Entry] = &[\n",
    );
    for (module, operations) in services {
        for name in operations.keys() {
            writeln!(
                out,
                "Entry::of::<shapes::{module}::{name}Input>(&shapes::{module}::MODEL, \"{module}\"),"
            )?;
        }
    }
    out.push_str("];\n");
    Ok(out)
}
