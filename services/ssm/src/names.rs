//! How parameters are named, and found by what callers name.

use cloud::{Cx, Error, Records};
use shapes::ssm::errors;

use crate::record::{ParameterRecord, Version, no_version};

/// AWS's limits (Systems Manager quotas).
const LEVELS_MAX: usize = 15;
const ARN_LENGTH_MAX: usize = 1011;

pub fn invalid(message: impl Into<String>) -> Error {
    errors::ValidationException.because(message)
}

/// A feature that is not built.
pub fn unsupported(what: &str) -> Error {
    shapes::ssm::MODEL.unsupported(what)
}

/// AWS says nothing more; what is said here besides names what neargate has none of.
pub fn not_found(name: &str) -> Error {
    errors::ParameterNotFound.because(match is_public(name) {
        true => format!("AWS's public parameter {name} is not supported by neargate"),
        false => String::new(),
    })
}

/// AWS's own parameters: images of machines, regions, services.
pub fn is_public(name: &str) -> bool {
    name.starts_with("/aws/service/") || name == "/aws/service"
}

fn is_reserved(name: &str) -> bool {
    let first = name.trim_start_matches('/');
    ["aws", "ssm"].iter().any(|it| {
        let start = first.get(..it.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(it))
    })
}

fn malformed_name() -> Error {
    invalid(
        "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_",
    )
}

/// The form of names, also of those that nobody may give.
fn check_form(name: &str) -> Result<(), Error> {
    let plain = |it: char| it.is_ascii_alphanumeric() || "_.-/".contains(it);
    let first = name.trim_start_matches('/');
    let empty_part = name.ends_with('/') || name.contains("//");
    if !name.chars().all(plain) || first.is_empty() || empty_part {
        return Err(malformed_name());
    }
    match name.contains('/') && !name.starts_with('/') {
        true => Err(invalid("Parameter name must be a fully qualified name.")),
        false => Ok(()),
    }
}

/// A path that parameters may be looked for under.
pub fn check_path(path: &str) -> Result<(), Error> {
    let plain = |it: char| it.is_ascii_alphanumeric() || "_.-/".contains(it);
    if is_public(path.trim_end_matches('/')) {
        return Err(unsupported(&format!(
            "AWS's public parameters under {path}"
        )));
    }
    let is_path = path.starts_with('/') && !path.contains("//") && path.chars().all(plain);
    match is_path && !is_reserved(path) {
        true => Ok(()),
        false => Err(invalid(format!(
            "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\". It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). It must use only letters, numbers, or the following symbols: . (period), - (hyphen), _ (underscore). Special characters are not allowed. All sub-paths, if specified, must use the forward slash symbol \"/\". Valid example: /get/parameters2-/by1./path0_. ({path})"
        ))),
    }
}

/// A name that a parameter may get.
pub fn check_name(cx: &Cx, name: &str) -> Result<(), Error> {
    if is_reserved(name) {
        return Err(malformed_name());
    }
    check_form(name)?;
    let first = name.trim_start_matches('/');
    if first.split('/').count() > LEVELS_MAX {
        return Err(
            errors::HierarchyLevelLimitExceededException.because(format!(
                "Parameter hierarchies are limited to {LEVELS_MAX} levels"
            )),
        );
    }
    if crate::record::arn(cx, name).len() > ARN_LENGTH_MAX {
        return Err(invalid(format!(
            "Parameter name is too long: with the rest of its ARN it can have {ARN_LENGTH_MAX} characters"
        )));
    }
    Ok(())
}

/// What a caller names: a parameter, and of it a version or a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    /// `:3` or `:label`, as it was written.
    pub selector: Option<String>,
}

/// Reads `name`, `name:version`, `name:label`, and ARNs of the same.
pub fn parse(cx: &Cx, tx: &Records<'_>, text: &str) -> Result<Named, Error> {
    let own = cx.arn("ssm", "parameter/");
    let (rest, by_arn) = match text.strip_prefix(&own) {
        Some(rest) => (rest, true),
        None if text.starts_with("arn:") => return Err(not_found(text)),
        None => (text, false),
    };
    let (name, selector) = match rest.split_once(':') {
        Some((name, selector)) => (name, Some(format!(":{selector}"))),
        None => (rest, None),
    };
    let name = match by_arn {
        // An ARN says the same of `/a` and `a`, and its path begins with no slash.
        true => spelled(cx, tx, &format!("/{name}"))?,
        false => {
            check_form(name)?;
            spelled(cx, tx, name)?
        }
    };
    Ok(Named { name, selector })
}

/// A parameter, when it is there: `a` and `/a` are one, and so are `a/b` and `/a/b` in an ARN.
pub fn found(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<Option<ParameterRecord>, Error> {
    if let Some(found) = tx.get(&cx.key(name))? {
        return Ok(Some(found));
    }
    let other = match name.strip_prefix('/') {
        Some(rest) => rest.to_owned(),
        None => format!("/{name}"),
    };
    match other.trim_start_matches('/').contains('/') {
        true => Ok(None),
        false => tx.get(&cx.key(&other)),
    }
}

/// The name under which a parameter is kept. What is not there keeps the name that it was asked for by.
fn spelled(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<String, Error> {
    let found = found(cx, tx, name)?;
    Ok(found.map_or_else(|| name.to_owned(), |it| it.name))
}

pub fn find(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<ParameterRecord, Error> {
    found(cx, tx, name)?.ok_or_else(|| not_found(name))
}

/// The version that is named: without a selector the latest.
pub fn select(cx: &Cx, tx: &Records<'_>, named: &Named) -> Result<Version, Error> {
    let parameter = find(cx, tx, &named.name)?;
    let Some(selector) = &named.selector else {
        return parameter.latest(tx);
    };
    let selector = selector.trim_start_matches(':');
    if let Ok(number) = selector.parse::<i64>() {
        let found = parameter.version(tx, number)?;
        return found.ok_or_else(|| no_version(&named.name, number));
    }
    let versions = parameter.versions(tx)?;
    let found = versions.into_iter().find(|it| it.labels.contains(selector));
    found.ok_or_else(|| {
        errors::ParameterVersionNotFound.because(format!(
            "Systems Manager could not find label {selector} for parameter {}. Verify the label and try again.",
            named.name
        ))
    })
}
