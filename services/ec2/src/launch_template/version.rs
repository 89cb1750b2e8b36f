//! Versions are made and go; none is ever changed.

use cloud::{Cx, Error};
use shapes::ec2::*;

use super::data;
use super::record::{self, TemplateRecord, VersionRecord};
use crate::errors::{
    InvalidParameterCombination, LaunchTemplateVersionLimitExceeded, MissingParameter,
};

/// Of one template (EC2 User Guide, "Launch template limits").
const VERSIONS_MAX: usize = 10_000;
/// In one request (EC2 API reference, "DeleteLaunchTemplateVersions").
const DELETED_MAX: usize = 200;

pub async fn create_launch_template_version(
    cx: Cx,
    input: CreateLaunchTemplateVersionInput,
) -> Result<CreateLaunchTemplateVersionOutput, Error> {
    let given = input.launch_template_data;
    if given == RequestLaunchTemplateData::default() && input.source_version.is_none() {
        return Err(
            MissingParameter.because("The request must contain the parameter LaunchTemplateData")
        );
    }
    let data = data::kept(given)?;
    let client_token = cx.token.clone().or(input.client_token);
    let (id, name) = (
        input.launch_template_id.as_deref(),
        input.launch_template_name.as_deref(),
    );
    cx.write(|tx| {
        let mut template = record::find(&cx, tx, id, name)?;
        if client_token.is_some()
            && let Some(there) = made_by(tx, &template, &client_token)?
        {
            return Ok(CreateLaunchTemplateVersionOutput {
                launch_template_version: Some(there.shown(&template)),
                warning: None,
            });
        }
        if tx.count::<VersionRecord>(&template.versions())? >= VERSIONS_MAX {
            return Err(LaunchTemplateVersionLimitExceeded.because(format!(
                "You have reached the limit of {VERSIONS_MAX} versions for this launch template."
            )));
        }
        let data = match input.source_version.as_deref() {
            Some(source) => data::over(data, record::version(tx, &template, Some(source))?.data),
            None => data,
        };
        template.latest_version += 1;
        template.shown_latest = None;
        let version = VersionRecord {
            template: template.id.clone(),
            region: cx.region.clone(),
            number: template.latest_version,
            description: input.version_description.filter(|it| !it.is_empty()),
            created_ms: cx.clock().now_ms(),
            created_by: cx.caller.arn(cx.account()),
            client_token,
            data,
        };
        tx.put(&template)?;
        tx.put(&version)?;
        Ok(CreateLaunchTemplateVersionOutput {
            launch_template_version: Some(version.shown(&template)),
            warning: None,
        })
    })
}

fn made_by(
    tx: &cloud::Records<'_>,
    template: &TemplateRecord,
    token: &Option<String>,
) -> Result<Option<VersionRecord>, Error> {
    let all = tx.list::<VersionRecord>(&template.versions())?;
    Ok(all.into_iter().find(|it| it.client_token == *token))
}

/// The default is none of those that may go; what is not there is answered beside what went.
pub async fn delete_launch_template_versions(
    cx: Cx,
    input: DeleteLaunchTemplateVersionsInput,
) -> Result<DeleteLaunchTemplateVersionsOutput, Error> {
    if input.versions.len() > DELETED_MAX {
        return Err(InvalidParameterCombination.because(format!(
            "At most {DELETED_MAX} versions can be deleted by one request"
        )));
    }
    let (id, name) = (
        input.launch_template_id.as_deref(),
        input.launch_template_name.as_deref(),
    );
    cx.write(|tx| {
        let mut template = record::find(&cx, tx, id, name)?;
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for given in &input.versions {
            let failed = |number, code, message| DeleteLaunchTemplateVersionsResponseErrorItem {
                launch_template_id: Some(template.id.clone()),
                launch_template_name: Some(template.name.clone()),
                version_number: number,
                response_error: Some(ResponseError {
                    code: Some(code),
                    message: Some(message),
                }),
            };
            match record::version(tx, &template, Some(given)) {
                Ok(it) if it.number == template.default_version => kept.push(failed(
                    Some(it.number),
                    LaunchTemplateErrorCode::UnexpectedError,
                    "The default version of a launch template cannot be deleted; set another default first.".to_owned(),
                )),
                Ok(it) => {
                    tx.delete::<VersionRecord>(&format!("{}{:010}", template.versions(), it.number))?;
                    gone.push(DeleteLaunchTemplateVersionsResponseSuccessItem {
                        launch_template_id: Some(template.id.clone()),
                        launch_template_name: Some(template.name.clone()),
                        version_number: Some(it.number),
                    });
                }
                Err(error) => kept.push(failed(
                    given.parse().ok(),
                    LaunchTemplateErrorCode::LaunchTemplateVersionDoesNotExist,
                    error.message,
                )),
            }
        }
        let left = tx.list::<VersionRecord>(&template.versions())?;
        if let Some(last) = left.last() {
            template.shown_latest = (last.number != template.latest_version).then_some(last.number);
            tx.put(&template)?;
        }
        Ok(DeleteLaunchTemplateVersionsOutput {
            successfully_deleted_launch_template_versions: Some(gone),
            unsuccessfully_deleted_launch_template_versions: Some(kept),
        })
    })
}
