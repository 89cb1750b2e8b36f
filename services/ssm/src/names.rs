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
    invalid(format!("{what} is not supported by neargate"))
}

pub fn not_found(name: &str) -> Error {
    errors::ParameterNotFound.because(format!("Parameter {name} not found."))
}

/// A name that a parameter may get.
pub fn check_name(cx: &Cx, name: &str) -> Result<(), Error> {
    let plain = |it: char| it.is_ascii_alphanumeric() || "_.-/".contains(it);
    let first = name.trim_start_matches('/');
    let reserved = ["aws", "ssm"].iter().any(|it| {
        let start = first.get(..it.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(it))
    });
    let empty_part = name.ends_with('/') || name.contains("//");
    if !name.chars().all(plain) || reserved || first.is_empty() || empty_part {
        return Err(invalid(
            "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_",
        ));
    }
    if name.contains('/') && !name.starts_with('/') {
        return Err(invalid("Parameter name must be a fully qualified name."));
    }
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
    // An ARN says the same of `/a` and `a`.
    let path = format!("/{name}");
    let as_path = by_arn && tx.get::<ParameterRecord>(&cx.key(&path))?.is_some();
    let name = match as_path {
        true => path,
        false => name.to_owned(),
    };
    Ok(Named { name, selector })
}

pub fn find(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<ParameterRecord, Error> {
    tx.get(&cx.key(name))?.ok_or_else(|| not_found(name))
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
