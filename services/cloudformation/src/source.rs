//! What a request gives to make a stack from.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use shapes::cloudformation::{
    Capability, Parameter, Tag, errors::InsufficientCapabilitiesException,
};
use shapes::s3;
use template::{Branches, ParameterValues, Template, TemplateError};

use crate::check::{self, Required, invalid};
use crate::location::Location;
use crate::permissions::PRINCIPAL;
use crate::record::{Stack, Version};
use crate::scope::environment;
use crate::{forms, lookups, transforms, tree};

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
pub async fn template_text(
    cx: &Cx,
    body: Option<String>,
    url: Option<&str>,
) -> Result<String, Error> {
    let body = match (body, url) {
        (Some(_), Some(_)) => {
            return Err(invalid(
                "Both Template URL and Template Body cannot be specified.",
            ));
        }
        (None, Some(url)) => return fetch(cx, url).await,
        (body, None) => {
            body.ok_or_else(|| invalid("Either Template URL or Template Body must be specified."))?
        }
    };
    let max = template::limits::INLINE_TEMPLATE_BYTES_MAX;
    if body.len() > max {
        return Err(invalid(format!(
            "1 validation error detected: Value '{body}' at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to {max}"
        )));
    }
    Ok(body)
}

/// Reads a template out of a bucket, in the name of whoever asks: what they may not read, no template
/// shows them.
pub async fn fetch(cx: &Cx, url: &str) -> Result<String, Error> {
    let location = Location::parse(url, &cx.engine().access.api).map_err(invalid)?;
    let place = format!("{}/{}", location.bucket, location.key);
    let answer = cx
        .in_the_callers_name(PRINCIPAL)
        .call(s3::GetObjectInput {
            bucket: location.bucket,
            key: location.key,
            version_id: location.version_id,
            ..Default::default()
        })
        .await;
    let answer = answer.map_err(|error| match error.status {
        500.. => error,
        _ => invalid(format!("S3 error: {} ({place})", error.message)),
    })?;
    let bytes = answer.body.unwrap_or_default().0;
    let max = template::limits::TEMPLATE_BYTES_MAX;
    if bytes.len() > max {
        return Err(invalid(format!(
            "Template may not exceed {max} bytes in size: {place}"
        )));
    }
    String::from_utf8(bytes)
        .map_err(|_| invalid(format!("Template format error: {place} is not UTF-8 text")))
}

impl Source {
    /// The version that the request describes, with everything that it names looked up; `previous`
    /// is what it may refer to.
    pub async fn version(
        self,
        cx: &Cx,
        stack_key: &str,
        number: u64,
        previous: Option<&Version>,
    ) -> Result<Version, Error> {
        let template = match (self.use_previous_template, previous) {
            (true, Some(previous))
                if self.template_body.is_none() && self.template_url.is_none() =>
            {
                let original = previous.original.as_ref();
                original.unwrap_or(&previous.template).clone()
            }
            (true, _) => return Err(invalid("The previous template cannot be used here.")),
            (false, _) => {
                template_text(cx, self.template_body, self.template_url.as_deref()).await?
            }
        };
        let parameters = given(self.parameters, previous)?;
        let tags = match self.tags {
            Some(tags) => tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            None => previous.map(|it| it.tags.clone()).unwrap_or_default(),
        };
        let mut version = Version {
            stack: stack_key.to_owned(),
            number,
            template,
            original: None,
            parameters,
            stored: BTreeMap::new(),
            hidden: Default::default(),
            tags,
            capabilities: self.capabilities,
        };
        transforms::carry_out(cx, &mut version).await?;
        lookups::complete(cx, &mut version).await?;
        Ok(version)
    }
}

fn given(
    parameters: Vec<Parameter>,
    previous: Option<&Version>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut given = BTreeMap::new();
    for parameter in parameters {
        let key = parameter
            .parameter_key
            .ok_or_else(|| invalid("Every parameter needs a ParameterKey."))?;
        let value = match (parameter.use_previous_value, parameter.parameter_value) {
            (Some(true), Some(value)) if !value.is_empty() => {
                return Err(invalid(format!(
                    "Invalid input for parameter key {key}. Cannot specify usePreviousValue as true and non empty value for a parameter"
                )));
            }
            (Some(true), _) => match previous {
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
            given.insert(key, value);
        }
    }
    Ok(given)
}

impl Version {
    /// The values of the template's parameters.
    pub fn values(&self, template: &Template) -> Result<ParameterValues, TemplateError> {
        let mut values = template.resolve_stored_parameters(&self.parameters, &self.stored)?;
        values.hide(&self.hidden);
        Ok(values)
    }
}

/// Checks all that can be checked before anything is made, nested stacks included, and hands on the
/// parsed template.
pub async fn accept(cx: &Cx, stack: &Stack, version: &Version) -> Result<Template, Error> {
    let template = Template::parse(&version.template).map_err(invalid)?;
    let values = version.values(&template).map_err(invalid)?;
    let instance =
        (template.instantiate(values, environment(cx.account(), stack))).map_err(invalid)?;
    check::check(
        &*cx.cloud,
        &template,
        Branches::Chosen(&instance.conditions),
    )?;
    forms::check(cx, stack, version, &instance).await?;
    let mut required = Required::of(&cx.cloud, &template);
    tree::look_ahead(cx, stack, version, &instance, &mut required).await?;
    required.acknowledge(&version.capabilities)?;
    drop(instance);
    Ok(template)
}

/// Refuses a template with resources of types that the request does not speak of.
pub fn require_types(template: &Template, allowed: Option<&[String]>) -> Result<(), Error> {
    let Some(allowed) = allowed else {
        return Ok(());
    };
    let is_allowed = |name: &str| (allowed.iter()).any(|it| base::glob::matches_stars(it, name));
    let other = (template.resources.values()).find(|it| !is_allowed(&it.resource_type));
    match other {
        None => Ok(()),
        Some(resource) => Err(invalid(format!(
            "Resource type {} is not allowed by parameter ResourceTypes [{}]",
            resource.resource_type,
            allowed.join(", ")
        ))),
    }
}

/// What a transform makes of a template has to be acknowledged where nobody looks at it beforehand.
pub fn acknowledge_transforms(version: &Version, template: &Template) -> Result<(), Error> {
    let is_acknowledged = version
        .capabilities
        .contains(&Capability::CapabilityAutoExpand);
    match template.transforms.is_empty() || is_acknowledged {
        true => Ok(()),
        false => Err(InsufficientCapabilitiesException
            .because("Requires capabilities : [CAPABILITY_AUTO_EXPAND]")),
    }
}
