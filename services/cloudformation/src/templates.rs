//! What is said about templates, with and without a stack.

use std::collections::BTreeSet;

use cloud::{Cx, Error};
use shapes::cloudformation as api;
use template::{Branches, Template};

use crate::change_set::require_change_set;
use crate::check::{self, Required, invalid};
use crate::lookup::{find_head, version_of};
use crate::source::{refuse, template_text};

pub async fn get_template(
    cx: Cx,
    input: api::GetTemplateInput,
) -> Result<api::GetTemplateOutput, Error> {
    let template = cx.read(|tx| {
        if let Some(name) = &input.change_set_name {
            let change_set = require_change_set(&cx, tx, name, input.stack_name.as_deref())?;
            return Ok(change_set.version.template);
        }
        template_of(&cx, tx, input.stack_name.as_deref().unwrap_or_default())
    })?;
    Ok(api::GetTemplateOutput {
        template_body: Some(template),
        // Without transforms both stages are the same.
        stages_available: Some(vec![
            api::TemplateStage::Original,
            api::TemplateStage::Processed,
        ]),
    })
}

fn template_of(cx: &Cx, tx: &cloud::Records<'_>, name: &str) -> Result<String, Error> {
    let no_stack = || invalid(format!("Stack with id {name} does not exist"));
    let stack = find_head(cx, tx, name)?.ok_or_else(no_stack)?;
    let version = version_of(tx, &stack)?;
    Ok(version
        .ok_or_else(|| invalid(format!("Stack {name} has no template yet")))?
        .template)
}

pub async fn validate_template(
    cx: Cx,
    input: api::ValidateTemplateInput,
) -> Result<api::ValidateTemplateOutput, Error> {
    let text = template_text(&cx, input.template_body, input.template_url.as_deref()).await?;
    let template = Template::parse(&text).map_err(invalid)?;
    check::check(&cx.cloud, &template, Branches::Both)?;
    let required = Required::of(&cx.cloud, &template);
    let parameters = (template.parameters.iter())
        .map(|(name, it)| api::TemplateParameter {
            parameter_key: Some(name.clone()),
            default_value: it.default.clone(),
            no_echo: Some(it.no_echo),
            description: it.description.clone(),
        })
        .collect();
    Ok(api::ValidateTemplateOutput {
        parameters: Some(parameters),
        description: template.description,
        capabilities_reason: required.reason(),
        capabilities: Some(required.capabilities.into_iter().collect()),
        declared_transforms: Some(Vec::new()),
    })
}

pub async fn get_template_summary(
    cx: Cx,
    input: api::GetTemplateSummaryInput,
) -> Result<api::GetTemplateSummaryOutput, Error> {
    refuse(&[
        ("StackSetName", input.stack_set_name.is_some()),
        (
            "TemplateSummaryConfig",
            input.template_summary_config.is_some(),
        ),
    ])?;
    let text = match &input.stack_name {
        Some(name) => cx.read(|tx| template_of(&cx, tx, name))?,
        None => template_text(&cx, input.template_body, input.template_url.as_deref()).await?,
    };
    let template = Template::parse(&text).map_err(invalid)?;
    let required = Required::of(&cx.cloud, &template);
    let types: BTreeSet<String> = template
        .resources
        .values()
        .map(|it| it.resource_type.clone())
        .collect();
    let parameters = (template.parameters.iter())
        .map(|(name, it)| api::ParameterDeclaration {
            parameter_key: Some(name.clone()),
            default_value: it.default.clone(),
            parameter_type: Some(it.parameter_type.to_string()),
            no_echo: Some(it.no_echo),
            description: it.description.clone(),
            parameter_constraints: Some(api::ParameterConstraints {
                allowed_values: it.allowed_values.clone(),
            }),
        })
        .collect();
    Ok(api::GetTemplateSummaryOutput {
        parameters: Some(parameters),
        description: template.description,
        capabilities_reason: required.reason(),
        capabilities: Some(required.capabilities.into_iter().collect()),
        resource_types: Some(types.into_iter().collect()),
        version: template.format_version,
        metadata: template.metadata.map(|it| it.to_string()),
        declared_transforms: Some(Vec::new()),
        ..Default::default()
    })
}
