//! Who has a group launch instances needs the rights to launch them, and hands the instances' role to EC2 (User
//! Guide, "Control Amazon EC2 launch template usage in Auto Scaling groups").

use cloud::Need;
use cloud::{Cx, Error, Touched};
use shapes::ec2::{LaunchTemplateSpecification, LaunchTemplateVersion, RunInstancesInput};
use shapes::iam::GetInstanceProfileInput;

use crate::rules::invalid;

/// Whom the calls that follow from a request are said to come by.
const VIA: &str = "autoscaling.amazonaws.com";
/// Whom the role of instances is handed to.
pub const PRINCIPAL: &str = "ec2.amazonaws.com";

/// Whether the caller may hand over the role of this profile, named by its name or ARN.
pub async fn to_pass(cx: &Cx, profile: &str) -> Result<(), Error> {
    let name = profile.rsplit('/').next().unwrap_or_default();
    let input = GetInstanceProfileInput {
        instance_profile_name: name.to_owned(),
    };
    let found = match cx.call(input).await {
        Ok(found) => found.instance_profile,
        Err(error) if error.status >= 500 => return Err(error),
        Err(_) => return Err(invalid(format!("Invalid IamInstanceProfile: {profile}"))),
    };
    for role in &found.roles {
        let passed = Touched::named(role.arn.clone());
        cx.authorize_one("autoscaling", Need::pass_role(passed, PRINCIPAL))?;
    }
    Ok(())
}

/// Whether the caller may launch by this version of a template.
pub async fn to_launch(cx: &Cx, version: &LaunchTemplateVersion) -> Result<(), Error> {
    if !cx.caller.is_asked_about() {
        return Ok(());
    }
    let data = version.launch_template_data.clone().unwrap_or_default();
    let input = RunInstancesInput {
        min_count: 1,
        max_count: 1,
        dry_run: Some(true),
        launch_template: Some(LaunchTemplateSpecification {
            launch_template_id: version.launch_template_id.clone(),
            version: version.version_number.map(|it| it.to_string()),
            ..Default::default()
        }),
        ..Default::default()
    };
    match cx.in_the_callers_name(VIA).call(input).await {
        Err(error) if error.code == "DryRunOperation" => {}
        Err(error) if error.status >= 500 => return Err(error),
        _ => {
            return Err(invalid(format!(
                "You are not authorized to use launch template: {}",
                version.launch_template_id.as_deref().unwrap_or_default()
            )));
        }
    }
    let profile = data.iam_instance_profile.and_then(|it| it.arn.or(it.name));
    match profile {
        Some(profile) => to_pass(cx, &profile).await,
        None => Ok(()),
    }
}
