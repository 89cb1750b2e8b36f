//! The values of the parameters: what was given, the defaults, and whether they are allowed.

use std::collections::BTreeMap;

use crate::error::{Result, TemplateError};
use crate::evaluate::KNOWN_AFTER_APPLY;
use crate::limits::PARAMETER_VALUE_BYTES_MAX;
use crate::parameter::{Parameter, ParameterType};
use crate::pattern::Pattern;
use crate::template::Template;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterValue {
    Text(String),
    List(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedParameter {
    /// As it was given, or the default: what descriptions of the stack show.
    pub raw: String,
    pub value: ParameterValue,
    /// What is stored under the name that was given, for parameters of that kind.
    pub stored: Option<String>,
    /// The value must never be shown.
    pub no_echo: bool,
}

/// What AWS shows in place of a secret.
pub const MASK: &str = "****";

/// Every parameter of a template with its value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParameterValues(BTreeMap<String, ResolvedParameter>);

impl ParameterValues {
    pub fn get(&self, name: &str) -> Option<&ResolvedParameter> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &ResolvedParameter)> {
        self.0.iter()
    }

    /// The same parameters with every NoEcho value as `****`.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut masked = self.clone();
        for parameter in masked.0.values_mut().filter(|it| it.no_echo) {
            parameter.raw = MASK.to_owned();
            parameter.stored = parameter.stored.as_ref().map(|_| MASK.to_owned());
            parameter.value = match &parameter.value {
                ParameterValue::Text(_) => ParameterValue::Text(MASK.to_owned()),
                ParameterValue::List(_) => ParameterValue::List(vec![MASK.to_owned()]),
            };
        }
        masked
    }

    /// Treats the named parameters as NoEcho, whatever the template says.
    pub fn hide<'a>(&mut self, names: impl IntoIterator<Item = &'a String>) {
        for name in names {
            if let Some(parameter) = self.0.get_mut(name) {
                parameter.no_echo = true;
            }
        }
    }

    /// The values that no message may contain.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        (self.0.values().filter(|it| it.no_echo))
            .flat_map(|it| [Some(it.raw.as_str()), it.stored.as_deref()])
            .flatten()
    }
}

impl Template {
    /// Gives every parameter its value and checks it against its constraints.
    pub fn resolve_parameters(&self, given: &BTreeMap<String, String>) -> Result<ParameterValues> {
        self.resolve_stored_parameters(given, &BTreeMap::new())
    }

    /// The same, with what is stored under the names that were given for parameters of that kind.
    /// A value that is not known yet is taken without a check.
    pub fn resolve_stored_parameters(
        &self,
        given: &BTreeMap<String, String>,
        stored: &BTreeMap<String, String>,
    ) -> Result<ParameterValues> {
        let unknown: Vec<&str> = (given.keys())
            .filter(|name| !self.parameters.contains_key(*name))
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            return Err(TemplateError::new(format!(
                "Parameters: [{names}] do not exist in the template"
            )));
        }
        let missing: Vec<(&String, &Parameter)> = (self.parameters.iter())
            .filter(|(name, it)| it.default.is_none() && !given.contains_key(*name))
            .collect();
        if let Some((_, first)) = missing.first() {
            let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("Parameters: [{}] must have values", names.join(", "));
            return Err(TemplateError::new(message).at(first.span));
        }
        let mut values = BTreeMap::new();
        for (name, parameter) in &self.parameters {
            let raw = given.get(name).or(parameter.default.as_ref());
            let raw = raw.expect("a parameter without a value was refused above");
            let stored = match parameter.parameter_type {
                ParameterType::Stored(_) => Some(stored.get(name).cloned().ok_or_else(|| {
                    TemplateError::new(format!(
                        "Unable to fetch parameters [{raw}] from parameter store for this account."
                    ))
                    .at(parameter.span)
                })?),
                _ => None,
            };
            let value = resolve(name, parameter, raw, stored.as_deref())
                .map_err(|error| error.at(parameter.span))?;
            values.insert(
                name.clone(),
                ResolvedParameter {
                    raw: raw.clone(),
                    value,
                    stored,
                    no_echo: parameter.no_echo,
                },
            );
        }
        Ok(ParameterValues(values))
    }
}

fn resolve(
    name: &str,
    parameter: &Parameter,
    raw: &str,
    stored: Option<&str>,
) -> Result<ParameterValue> {
    if raw.contains(KNOWN_AFTER_APPLY) {
        return Ok(match parameter.parameter_type.is_list() {
            true => ParameterValue::List(vec![raw.to_owned()]),
            false => ParameterValue::Text(raw.to_owned()),
        });
    }
    if raw.len() > PARAMETER_VALUE_BYTES_MAX {
        return Err(TemplateError::new(format!(
            "Parameter '{name}' must contain at most {PARAMETER_VALUE_BYTES_MAX} bytes"
        )));
    }
    let is_list = parameter.parameter_type.is_list();
    if let Some(stored) = stored {
        // Constraints are about what is given: the name.
        check(name, parameter, raw)?;
        return Ok(match is_list {
            true => ParameterValue::List(split(stored)),
            false => ParameterValue::Text(stored.to_owned()),
        });
    }
    if !is_list {
        check(name, parameter, raw)?;
        return Ok(ParameterValue::Text(raw.to_owned()));
    }
    let items = split(raw);
    for item in &items {
        check(name, parameter, item)?;
    }
    Ok(ParameterValue::List(items))
}

/// Whether a default is one of the values that its parameter allows.
pub fn is_default_allowed(parameter: &Parameter) -> bool {
    let (Some(default), Some(allowed)) = (&parameter.default, &parameter.allowed_values) else {
        return true;
    };
    let items = match parameter.parameter_type.is_list() {
        true => split(default),
        false => vec![default.clone()],
    };
    items.iter().all(|it| allowed.contains(it))
}

/// A subnet list travels as the joined output of another stack and is a list again here.
fn split(raw: &str) -> Vec<String> {
    match raw {
        "" => Vec::new(),
        _ => raw.split(',').map(|it| it.trim().to_owned()).collect(),
    }
}

/// Checks a value, or one item of a list.
fn check(name: &str, parameter: &Parameter, value: &str) -> Result<()> {
    let Some(reason) = violation(parameter, value)? else {
        return Ok(());
    };
    Err(TemplateError::new(
        match &parameter.constraint_description {
            Some(description) => {
                format!("Parameter {name} failed to satisfy constraint: {description}")
            }
            None => format!("Parameter '{name}' must {reason}"),
        },
    ))
}

/// The first constraint that the value breaks, as the end of "Parameter 'X' must …".
fn violation(parameter: &Parameter, value: &str) -> Result<Option<String>> {
    let characters = value.chars().count() as u64;
    if parameter.parameter_type.is_number() {
        let Some(number) = value.trim().parse::<f64>().ok().filter(|it| it.is_finite()) else {
            return Ok(Some("be a number.".to_owned()));
        };
        if let Some(min) = parameter.value_min.filter(|min| number < *min) {
            return Ok(Some(format!("be a number not less than {min}")));
        }
        if let Some(max) = parameter.value_max.filter(|max| number > *max) {
            return Ok(Some(format!("be a number not greater than {max}")));
        }
    }
    if parameter
        .allowed_values
        .as_ref()
        .is_some_and(|allowed| !allowed.iter().any(|it| it == value))
    {
        return Ok(Some("be one of AllowedValues".to_owned()));
    }
    if let Some(min) = parameter.length_min.filter(|min| characters < *min) {
        return Ok(Some(format!("contain at least {min} characters")));
    }
    if let Some(max) = parameter.length_max.filter(|max| characters > *max) {
        return Ok(Some(format!("contain at most {max} characters")));
    }
    if let Some(pattern) = &parameter.allowed_pattern
        && !Pattern::new(pattern)?.matches(value)?
    {
        return Ok(Some(format!("match pattern {pattern}")));
    }
    Ok(None)
}
