//! What is said about templates, with and without a stack.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error};
use shapes::cloudformation as api;
use template::{Branches, KNOWN_AFTER_APPLY, ParameterType, Template, transform};

use crate::change_set::require_change_set;
use crate::check::{self, Required, invalid};
use crate::describe::unless_empty;
use crate::lookup::{find_head, version_of};
use crate::reconcile::zones;
use crate::record::Version;
use crate::scope::{Surroundings, environment};
use crate::source::template_text;
use crate::stack::new_stack;
use crate::{forms, transforms};

pub async fn get_template(
    cx: Cx,
    input: api::GetTemplateInput,
) -> Result<api::GetTemplateOutput, Error> {
    let version = cx.read(|tx| match (&input.change_set_name, &input.stack_name) {
        (Some(name), stack) => {
            let change_set = require_change_set(&cx, tx, name, stack.as_deref())?;
            Ok(Some(change_set.version))
        }
        (None, Some(name)) => version_named(&cx, tx, name),
        (None, None) => Err(invalid(
            "StackName is required if ChangeSetName is not specified.",
        )),
    })?;
    let text = version.map(|it| match (input.template_stage, it.original) {
        (Some(api::TemplateStage::Original), Some(original)) => original,
        (_, Some(_)) => transform::shown(&it.template),
        (_, None) => it.template,
    });
    Ok(api::GetTemplateOutput {
        // One that is in review has none yet.
        template_body: Some(text.unwrap_or_default()),
        stages_available: Some(vec![
            api::TemplateStage::Original,
            api::TemplateStage::Processed,
        ]),
    })
}

fn version_named(cx: &Cx, tx: &cloud::Records<'_>, name: &str) -> Result<Option<Version>, Error> {
    let no_stack = || invalid(format!("Stack with id {name} does not exist"));
    let stack = find_head(cx, tx, name)?.ok_or_else(no_stack)?;
    version_of(tx, &stack)
}

/// A template that nobody gave parameters for, after its transforms.
async fn processed(cx: &Cx, text: String) -> Result<Template, Error> {
    let names = transforms::names(cx, &BTreeMap::new());
    let processed = transforms::processed(cx, &text, &names).await?;
    Template::parse(&processed.unwrap_or(text)).map_err(invalid)
}

/// Whether the template could be made into a stack with the defaults of its parameters, where all have one.
async fn check_with_defaults(cx: &Cx, template: &Template) -> Result<(), Error> {
    let unknown = (template.parameters.iter())
        .filter(|(_, it)| matches!(it.parameter_type, ParameterType::Stored(_)))
        .map(|(name, _)| (name.clone(), KNOWN_AFTER_APPLY.to_owned()))
        .collect();
    if template.parameters.values().any(|it| it.default.is_none()) {
        return Ok(());
    }
    // A default that is no value is one that has to be given.
    let Ok(values) = template.resolve_stored_parameters(&BTreeMap::new(), &unknown) else {
        return Ok(());
    };
    let stack = new_stack(cx, "validated")?;
    let instance =
        (template.instantiate(values, environment(cx.account(), &stack))).map_err(invalid)?;
    if !instance.is_decided() {
        return Ok(());
    }
    check::check(&*cx.cloud, template, Branches::Chosen(&instance.conditions))?;
    // Exports that are not there are not known yet.
    let around = Surroundings {
        zones: zones(cx).await?,
        ..Default::default()
    };
    forms::check_all(cx, &stack, &instance, &around).map_err(invalid)
}

pub async fn validate_template(
    cx: Cx,
    input: api::ValidateTemplateInput,
) -> Result<api::ValidateTemplateOutput, Error> {
    let text = template_text(&cx, input.template_body, input.template_url.as_deref()).await?;
    let template = processed(&cx, text).await?;
    // With conditions, which branches are built is not known before there are parameters.
    if template.conditions.is_empty() {
        check::check(&*cx.cloud, &template, Branches::Both)?;
    }
    check_with_defaults(&cx, &template).await?;
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
        capabilities: unless_empty(required.capabilities.into_iter().collect()),
        declared_transforms: unless_empty(template.transforms),
    })
}

pub async fn get_template_summary(
    cx: Cx,
    input: api::GetTemplateSummaryInput,
) -> Result<api::GetTemplateSummaryOutput, Error> {
    let text = match &input.stack_name {
        Some(name) => {
            let version = cx.read(|tx| version_named(&cx, tx, name))?;
            let version = version.ok_or_else(|| {
                invalid("GetTemplateSummary cannot be called on REVIEW_IN_PROGRESS stacks.")
            })?;
            version.original.unwrap_or(version.template)
        }
        None => template_text(&cx, input.template_body, input.template_url.as_deref()).await?,
    };
    let template = processed(&cx, text).await?;
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
        capabilities: unless_empty(required.capabilities.into_iter().collect()),
        resource_types: Some(types.into_iter().collect()),
        version: template.format_version,
        metadata: template.metadata.map(|it| it.to_string()),
        declared_transforms: unless_empty(template.transforms),
        ..Default::default()
    })
}
