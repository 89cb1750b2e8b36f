//! What a request gives to make a stack from.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use shapes::cloudformation::{Capability, Parameter, Tag};
use template::{Branches, Template};

use crate::check::{self, Required, invalid};
use crate::record::{Stack, Version};
use crate::scope::environment;

/// The members that CreateStack, UpdateStack and CreateChangeSet have in common.
#[derive(Default)]
pub struct Source {
    pub template_body: Option<String>,
    pub template_url: Option<String>,
    pub use_previous_template: bool,
    pub parameters: Vec<Parameter>,
    pub capabilities: Vec<Capability>,
    /// None keeps the tags that there are.
    pub tags: Option<Vec<Tag>>,
}

/// Reads the template of a request.
pub fn template_text(body: Option<String>, url: Option<&str>) -> Result<String, Error> {
    if let Some(url) = url {
        return Err(invalid(format!(
            "TemplateURL {url} is not supported by neargate: pass the template as TemplateBody"
        )));
    }
    let body =
        body.ok_or_else(|| invalid("Either Template URL or Template Body must be specified."))?;
    let max = template::limits::INLINE_TEMPLATE_BYTES_MAX;
    if body.len() > max {
        return Err(invalid(format!(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to {max}"
        )));
    }
    Ok(body)
}

impl Source {
    /// The version that the request describes; `previous` is what it may refer to.
    pub fn version(
        self,
        stack_key: &str,
        number: u64,
        previous: Option<&Version>,
    ) -> Result<Version, Error> {
        let template = match (self.use_previous_template, previous) {
            (true, Some(previous))
                if self.template_body.is_none() && self.template_url.is_none() =>
            {
                previous.template.clone()
            }
            (true, _) => return Err(invalid("The previous template cannot be used here.")),
            (false, _) => template_text(self.template_body, self.template_url.as_deref())?,
        };
        let mut parameters = BTreeMap::new();
        for parameter in self.parameters {
            let key = parameter
                .parameter_key
                .ok_or_else(|| invalid("Every parameter needs a ParameterKey."))?;
            let value = match (parameter.use_previous_value, parameter.parameter_value) {
                (Some(true), Some(_)) => {
                    return Err(invalid(format!(
                        "Invalid input for parameter key {key}. Cannot specify usePreviousValue as true and non empty value for a parameter"
                    )));
                }
                (Some(true), None) => match previous {
                    // A value that was a default stays whatever the default is.
                    Some(previous) => previous.parameters.get(&key).cloned(),
                    None => {
                        return Err(invalid(format!(
                            "Invalid input for parameter key {key}. Cannot specify usePreviousValue as true for a parameter key not in the previous template"
                        )));
                    }
                },
                (_, Some(value)) => Some(value),
                (_, None) => {
                    return Err(invalid(format!(
                        "Invalid input for parameter key {key}. Must specify a value or usePreviousValue"
                    )));
                }
            };
            if let Some(value) = value {
                parameters.insert(key, value);
            }
        }
        let tags = match self.tags {
            Some(tags) => tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            None => previous.map(|it| it.tags.clone()).unwrap_or_default(),
        };
        Ok(Version {
            stack: stack_key.to_owned(),
            number,
            template,
            parameters,
            tags,
            capabilities: self.capabilities,
        })
    }
}

/// Checks all that can be checked before anything is made, and hands on the parsed template.
pub fn accept(cx: &Cx, stack: &Stack, version: &Version) -> Result<Template, Error> {
    let template = Template::parse(&version.template).map_err(invalid)?;
    let values = template
        .resolve_parameters(&version.parameters)
        .map_err(invalid)?;
    let instance =
        (template.instantiate(values, environment(cx.account(), stack))).map_err(invalid)?;
    check::check(&cx.cloud, &template, Branches::Chosen(&instance.conditions))?;
    Required::of(&cx.cloud, &template).acknowledge(&version.capabilities)?;
    Ok(template)
}

/// Refuses by name what a request asks for and neargate lacks.
pub fn refuse(asked: &[(&str, bool)]) -> Result<(), Error> {
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        Some((name, _)) => Err(invalid(format!("{name} is not supported by neargate"))),
        None => Ok(()),
    }
}
