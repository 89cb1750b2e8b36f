//! Launch configurations: what launch templates were before there were any. None is ever changed.

use cloud::{Cx, Error, Record};
use shapes::autoscaling::errors::{AlreadyExistsFault, ResourceInUseFault};
use shapes::autoscaling::*;

use crate::page::{MAX, page};
use crate::record::{ConfigurationRecord, GroupRecord};
use crate::rights;
use crate::rules::invalid;

/// User data before it is encoded (API reference, "CreateLaunchConfiguration").
const USER_DATA_MAX: usize = 16 * 1024;

pub async fn create_launch_configuration(
    cx: Cx,
    input: CreateLaunchConfigurationInput,
) -> Result<CreateLaunchConfigurationOutput, Error> {
    check(&input)?;
    if let Some(profile) = input.iam_instance_profile.as_deref()
        && !profile.is_empty()
    {
        rights::to_pass(&cx, profile).await?;
    }
    let id = cloud::dashed(&cx.new_id("", 32));
    let new = ConfigurationRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        id,
        created_ms: cx.clock().now_ms(),
        given: input,
    };
    cx.write(|tx| {
        if let Some(there) = tx.get::<ConfigurationRecord>(&new.key())? {
            if cx.token.is_some() && there.id == new.id {
                return Ok(CreateLaunchConfigurationOutput {});
            }
            return Err(AlreadyExistsFault.because("Launch Configuration by this name already exists - A launch configuration already exists with the name"));
        }
        tx.put(&new)?;
        Ok(CreateLaunchConfigurationOutput {})
    })
}

fn check(input: &CreateLaunchConfigurationInput) -> Result<(), Error> {
    if input.image_id.as_ref().is_none_or(String::is_empty) {
        return Err(invalid(
            "Valid requests must contain either the InstanceID parameter or both the ImageId and InstanceType parameters.",
        ));
    }
    if input.instance_type.as_ref().is_none_or(String::is_empty) {
        return Err(invalid(
            "Valid requests must contain either the InstanceID parameter or both the ImageId and InstanceType parameters.",
        ));
    }
    if let Some(data) = &input.user_data {
        let decoded: Result<wire::Blob, _> =
            wire::from_json(serde_json::Value::from(data.as_str()));
        let decoded = decoded.map_err(|_| invalid("Invalid BASE64 encoding of user data"))?;
        if decoded.0.len() > USER_DATA_MAX {
            return Err(invalid("User data is limited to 16384 bytes"));
        }
    }
    match input.placement_tenancy.as_deref() {
        None | Some("" | "default") => (),
        Some(other) => return Err(MODEL.unsupported(format!("PlacementTenancy {other}"))),
    }
    let devices = input.block_device_mappings.iter().flatten();
    for ebs in devices.filter_map(|it| it.ebs.as_ref()) {
        let kind = ebs
            .volume_type
            .as_ref()
            .map(|it| it.parse::<shapes::ec2::VolumeType>());
        if kind.is_some_and(|it| it.is_err()) {
            return Err(invalid("Invalid volume type"));
        }
    }
    Ok(())
}

fn shown(it: ConfigurationRecord) -> LaunchConfiguration {
    let arn = it.arn();
    let given = it.given;
    LaunchConfiguration {
        launch_configuration_name: given.launch_configuration_name,
        launch_configuration_arn: Some(arn),
        image_id: given.image_id.unwrap_or_default(),
        key_name: Some(given.key_name.unwrap_or_default()),
        security_groups: Some(given.security_groups.unwrap_or_default()),
        classic_link_vpc_id: None,
        classic_link_vpc_security_groups: Some(Vec::new()),
        user_data: Some(given.user_data.unwrap_or_default()),
        instance_type: given.instance_type.unwrap_or_default(),
        kernel_id: Some(String::new()),
        ramdisk_id: Some(String::new()),
        block_device_mappings: Some(given.block_device_mappings.unwrap_or_default()),
        instance_monitoring: Some(given.instance_monitoring.unwrap_or(InstanceMonitoring {
            enabled: Some(true),
        })),
        spot_price: None,
        iam_instance_profile: given.iam_instance_profile,
        created_time: wire::Timestamp(it.created_ms as f64 / 1000.0),
        ebs_optimized: Some(given.ebs_optimized.unwrap_or(false)),
        associate_public_ip_address: given.associate_public_ip_address,
        placement_tenancy: given.placement_tenancy.filter(|it| !it.is_empty()),
        metadata_options: given.metadata_options,
    }
}

pub async fn describe_launch_configurations(
    cx: Cx,
    input: DescribeLaunchConfigurationsInput,
) -> Result<DescribeLaunchConfigurationsOutput, Error> {
    let mut all = cx.read(|tx| tx.list::<ConfigurationRecord>(&cx.key("")))?;
    if let Some(names) = input.launch_configuration_names.filter(|it| !it.is_empty()) {
        all.retain(|it| names.contains(&it.given.launch_configuration_name));
    }
    let keyed = all.into_iter().map(|it| (it.key(), it)).collect();
    let token = input.next_token.as_deref();
    let (all, next_token) = page(keyed, token, input.max_records, MAX)?;
    Ok(DescribeLaunchConfigurationsOutput {
        launch_configurations: all.into_iter().map(shown).collect(),
        next_token,
    })
}

pub async fn delete_launch_configuration(
    cx: Cx,
    input: DeleteLaunchConfigurationInput,
) -> Result<DeleteLaunchConfigurationOutput, Error> {
    let name = &input.launch_configuration_name;
    cx.write(|tx| {
        let groups = tx.list::<GroupRecord>(&cx.key(""))?;
        let user = groups.iter().find(|it| it.launch.configuration.as_ref() == Some(name));
        if let Some(group) = user {
            return Err(ResourceInUseFault.because(format!(
                "Cannot delete launch configuration {name} because it is attached to AutoScalingGroup {}",
                group.name
            )));
        }
        if !tx.delete::<ConfigurationRecord>(&cx.key(name))? {
            return Err(invalid(format!(
                "Launch configuration name not found - Launch configuration {name} not found"
            )));
        }
        Ok(DeleteLaunchConfigurationOutput {})
    })
}
