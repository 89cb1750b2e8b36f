//! Templates are made, get another default, and go.

use cloud::{Cx, Error};
use shapes::ec2::*;

use super::data;
use super::record::{self, TemplateRecord, VersionRecord};
use crate::errors::{
    InvalidLaunchTemplateNameAlreadyExists, InvalidLaunchTemplateNameMalformed,
    LaunchTemplateLimitExceeded, MissingParameter,
};
use crate::tags;

/// Of one region (EC2 User Guide, "Launch template limits").
const TEMPLATES_MAX: usize = 5000;

pub async fn create_launch_template(
    cx: Cx,
    input: CreateLaunchTemplateInput,
) -> Result<CreateLaunchTemplateOutput, Error> {
    let name = input.launch_template_name;
    if !record::is_name(&name) {
        return Err(InvalidLaunchTemplateNameMalformed.because(
            "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _.",
        ));
    }
    if input.launch_template_data == RequestLaunchTemplateData::default() {
        return Err(
            MissingParameter.because("The request must contain the parameter LaunchTemplateData")
        );
    }
    let data = data::kept(input.launch_template_data)?;
    let tags = tags::specified(
        input.tag_specifications.as_ref(),
        ResourceType::LaunchTemplate,
    )?;
    let named = input.client_token.as_ref().filter(|_| cx.token.is_none());
    let naming = named.map_or_else(|| cx.clone(), |it| cx.with_token(it.as_str()));
    let id = naming.new_id("lt-", 17);
    cx.write(|tx| {
        if let Some(there) = tx.get::<TemplateRecord>(&cx.key(&id))? {
            return Ok(CreateLaunchTemplateOutput {
                launch_template: Some(there.shown()),
                warning: None,
            });
        }
        if record::by_name(&cx, tx, &name)?.is_some() {
            return Err(InvalidLaunchTemplateNameAlreadyExists
                .because("Launch template name already in use."));
        }
        if tx.count::<TemplateRecord>(&cx.key(""))? >= TEMPLATES_MAX {
            return Err(LaunchTemplateLimitExceeded.because(format!(
                "You have reached the limit of {TEMPLATES_MAX} launch templates."
            )));
        }
        let template = TemplateRecord {
            id: id.clone(),
            region: cx.region.clone(),
            name,
            created_ms: cx.clock().now_ms(),
            created_by: cx.caller.arn(cx.account()),
            default_version: 1,
            latest_version: 1,
            shown_latest: None,
            tags,
        };
        tx.put(&template)?;
        tx.put(&VersionRecord {
            template: id,
            region: cx.region.clone(),
            number: 1,
            description: input.version_description.filter(|it| !it.is_empty()),
            created_ms: template.created_ms,
            created_by: template.created_by.clone(),
            client_token: None,
            data,
        })?;
        Ok(CreateLaunchTemplateOutput {
            launch_template: Some(template.shown()),
            warning: None,
        })
    })
}

pub async fn modify_launch_template(
    cx: Cx,
    input: ModifyLaunchTemplateInput,
) -> Result<ModifyLaunchTemplateOutput, Error> {
    let (id, name) = (
        input.launch_template_id.as_deref(),
        input.launch_template_name.as_deref(),
    );
    cx.write(|tx| {
        let mut template = record::find(&cx, tx, id, name)?;
        let Some(wanted) = input.default_version.as_deref() else {
            return Err(MissingParameter
                .because("The request must contain the parameter SetDefaultVersion"));
        };
        template.default_version = record::version(tx, &template, Some(wanted))?.number;
        tx.put(&template)?;
        Ok(ModifyLaunchTemplateOutput {
            launch_template: Some(template.shown()),
        })
    })
}

pub async fn delete_launch_template(
    cx: Cx,
    input: DeleteLaunchTemplateInput,
) -> Result<DeleteLaunchTemplateOutput, Error> {
    let (id, name) = (
        input.launch_template_id.as_deref(),
        input.launch_template_name.as_deref(),
    );
    cx.write(|tx| {
        let template = record::find(&cx, tx, id, name)?;
        for key in tx.keys::<VersionRecord>(&template.versions())? {
            tx.delete::<VersionRecord>(&key)?;
        }
        tx.delete::<TemplateRecord>(&cx.key(&template.id))?;
        Ok(DeleteLaunchTemplateOutput {
            launch_template: Some(template.shown()),
        })
    })
}
