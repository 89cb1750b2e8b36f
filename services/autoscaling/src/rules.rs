//! What a group may be, and AWS's words for what it may not.

use cloud::{Cx, Error};
use shapes::autoscaling::{
    LaunchTemplateSpecification, MODEL, MixedInstancesPolicy, TrafficSourceIdentifier,
};
use shapes::ec2::{
    DescribeAvailabilityZonesInput, DescribeLaunchTemplateVersionsInput, DescribeSubnetsInput,
    Filter,
};
use shapes::elbv2::{DescribeTargetGroupsInput, TargetTypeEnum};

use crate::record::{ConfigurationRecord, GroupRecord, Launch, Place};
use crate::{rights, victims};

pub fn invalid(message: impl Into<String>) -> Error {
    wire::codes::ValidationError.because(message)
}

/// The sizes are in order, as AWS words it.
pub fn check_sizes(group: &GroupRecord) -> Result<(), Error> {
    let GroupRecord {
        min, max, desired, ..
    } = group;
    if *min < 0 || *max < 0 || *desired < 0 {
        return Err(invalid("Size must be greater than or equal to zero"));
    }
    if max < min {
        return Err(invalid(
            "Max bound must be greater than or equal to min bound",
        ));
    }
    if desired < min {
        return Err(invalid(
            "Desired capacity must be greater than or equal to min bound",
        ));
    }
    if desired > max {
        return Err(invalid(
            "Desired capacity must be less than or equal to max bound",
        ));
    }
    Ok(())
}

pub fn check_settings(group: &GroupRecord) -> Result<(), Error> {
    if group.default_cooldown < 0 || group.grace_s < 0 {
        return Err(invalid(
            "Cooldown and HealthCheckGracePeriod must not be negative",
        ));
    }
    for kind in group.health_check_type.split(',') {
        match kind {
            "EC2" | "ELB" => (),
            "EBS" | "VPC_LATTICE" => {
                return Err(MODEL.unsupported(format!("HealthCheckType {kind}")));
            }
            _ => {
                return Err(invalid(format!(
                    "Invalid Health Check Type provided for AutoScalingGroup: {kind}"
                )));
            }
        }
    }
    for policy in &group.termination_policies {
        if !victims::POLICIES.contains(&policy.as_str()) {
            return Err(invalid(format!(
                "Termination policy {policy} is not valid; neargate calls no functions of AWS Lambda for it"
            )));
        }
    }
    Ok(())
}

/// One of the ways to say what is launched, and what it names is there.
pub async fn check_launch(cx: &Cx, launch: &Launch) -> Result<(), Error> {
    let ways = [
        launch.configuration.is_some(),
        launch.template.is_some(),
        launch.mixed.is_some(),
    ];
    if ways.iter().filter(|it| **it).count() != 1 {
        return Err(invalid(
            "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.",
        ));
    }
    if let Some(name) = &launch.configuration {
        let found = cx.read(|tx| tx.get::<ConfigurationRecord>(&cx.key(name)))?;
        if found.is_none() {
            return Err(invalid(format!(
                "Launch configuration name not found - Launch configuration {name} not found"
            )));
        }
    }
    if let Some(template) = &launch.template {
        check_template(cx, template, true).await?;
    }
    match &launch.mixed {
        Some(mixed) => check_mixed(cx, mixed).await,
        None => Ok(()),
    }
}

async fn check_mixed(cx: &Cx, mixed: &MixedInstancesPolicy) -> Result<(), Error> {
    let template = mixed.launch_template.as_ref();
    let Some(base) = template.and_then(|it| it.launch_template_specification.as_ref()) else {
        return Err(invalid(
            "The MixedInstancesPolicy must have a launch template",
        ));
    };
    let overrides = template
        .and_then(|it| it.overrides.as_deref())
        .unwrap_or_default();
    let typed = !overrides.is_empty() && overrides.iter().all(|it| it.instance_type.is_some());
    check_template(cx, base, !typed).await?;
    let weighted = overrides
        .iter()
        .filter(|it| it.weighted_capacity.is_some())
        .count();
    if weighted != 0 && weighted != overrides.len() {
        return Err(invalid(
            "WeightedCapacity must be specified for all of the overrides or for none of them",
        ));
    }
    const WEIGHTS: std::ops::RangeInclusive<i32> = 1..=999;
    for it in overrides {
        let weight = it.weighted_capacity.as_ref().map(|it| it.parse::<i32>());
        if weight.is_some_and(|it| !it.is_ok_and(|it| WEIGHTS.contains(&it))) {
            return Err(invalid("WeightedCapacity must be a number from 1 to 999"));
        }
        if let Some(own) = &it.launch_template_specification {
            check_template(cx, own, it.instance_type.is_none()).await?;
        }
    }
    check_distribution(mixed)
}

fn check_distribution(mixed: &MixedInstancesPolicy) -> Result<(), Error> {
    let Some(it) = &mixed.instances_distribution else {
        return Ok(());
    };
    let one_of = |name: &str, given: Option<&String>, known: &[&str]| match given {
        Some(given) if !given.is_empty() && !known.contains(&given.as_str()) => {
            Err(invalid(format!("{given} is not a valid value of {name}")))
        }
        _ => Ok(()),
    };
    let strategy = it.on_demand_allocation_strategy.as_ref();
    one_of(
        "OnDemandAllocationStrategy",
        strategy,
        &["lowest-price", "prioritized"],
    )?;
    let spot = &[
        "capacity-optimized",
        "capacity-optimized-prioritized",
        "lowest-price",
        "price-capacity-optimized",
    ];
    one_of(
        "SpotAllocationStrategy",
        it.spot_allocation_strategy.as_ref(),
        spot,
    )?;
    let percentage = it.on_demand_percentage_above_base_capacity;
    if percentage.is_some_and(|it| !(0..=100).contains(&it)) {
        return Err(invalid(
            "OnDemandPercentageAboveBaseCapacity must be between 0 and 100",
        ));
    }
    match it.on_demand_base_capacity {
        Some(base) if base < 0 => Err(invalid("OnDemandBaseCapacity must not be negative")),
        _ => Ok(()),
    }
}

/// The version that a specification stands for now.
pub async fn template_version(
    cx: &Cx,
    given: &LaunchTemplateSpecification,
) -> Result<shapes::ec2::LaunchTemplateVersion, Error> {
    let version = given.version.clone().filter(|it| !it.is_empty());
    let input = DescribeLaunchTemplateVersionsInput {
        launch_template_id: given.launch_template_id.clone(),
        launch_template_name: given
            .launch_template_name
            .clone()
            .filter(|_| given.launch_template_id.is_none()),
        versions: Some(vec![version.unwrap_or_else(|| "$Default".to_owned())]),
        ..Default::default()
    };
    let found = cx
        .call(input)
        .await
        .map_err(|error| invalid(error.message))?;
    let found = found.launch_template_versions.unwrap_or_default();
    let found = found.into_iter().next();
    found.ok_or_else(|| invalid("The launch template has no such version"))
}

async fn check_template(
    cx: &Cx,
    given: &LaunchTemplateSpecification,
    needs_type: bool,
) -> Result<(), Error> {
    if given.launch_template_id.is_none() && given.launch_template_name.is_none() {
        return Err(invalid(
            "Valid requests must contain either launchTemplateId or LaunchTemplateName",
        ));
    }
    let version = template_version(cx, given).await?;
    let data = version.launch_template_data.clone().unwrap_or_default();
    if data.image_id.is_none() {
        return Err(invalid(
            "You must use a valid fully-formed launch template. The request must contain the parameter ImageId",
        ));
    }
    if needs_type && data.instance_type.is_none() {
        return Err(invalid(
            "You must use a valid fully-formed launch template. The request must contain the parameter InstanceType",
        ));
    }
    rights::to_launch(cx, &version).await
}

/// The specification as it is kept: with the id and the name of the template, whichever was given.
pub async fn named_template(
    cx: &Cx,
    given: LaunchTemplateSpecification,
) -> Result<LaunchTemplateSpecification, Error> {
    let found = template_version(cx, &given).await?;
    Ok(LaunchTemplateSpecification {
        launch_template_id: found.launch_template_id,
        launch_template_name: found.launch_template_name,
        version: given
            .version
            .filter(|it| !it.is_empty())
            .or(Some("$Default".to_owned())),
    })
}

/// Where instances go: the subnets that are given, or the zones.
pub async fn places(
    cx: &Cx,
    zones: Option<&Vec<String>>,
    subnets: Option<&str>,
) -> Result<Vec<Place>, Error> {
    let listed = subnets.unwrap_or_default().split(',').map(str::trim);
    let ids: Vec<String> = listed
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect();
    let zones = zones.map(Vec::as_slice).unwrap_or_default();
    if ids.is_empty() && zones.is_empty() {
        return Err(invalid(
            "At least one Availability Zone or VPC Subnet is required.",
        ));
    }
    if ids.is_empty() {
        return of_zones(cx, zones).await;
    }
    let input = DescribeSubnetsInput {
        filters: Some(vec![Filter {
            name: Some("subnet-id".to_owned()),
            values: Some(ids.clone()),
        }]),
        ..Default::default()
    };
    let found = cx.call(input).await?.subnets.unwrap_or_default();
    let mut places = Vec::new();
    for id in ids {
        let subnet = found.iter().find(|it| it.subnet_id.as_ref() == Some(&id));
        let Some(zone) = subnet.and_then(|it| it.availability_zone.clone()) else {
            return Err(invalid(format!("The subnet ID '{id}' does not exist")));
        };
        if !zones.is_empty() && !zones.contains(&zone) {
            return Err(invalid(
                "The availability zones of the specified subnets and the AutoScalingGroup do not match",
            ));
        }
        places.push(Place {
            zone,
            subnet: Some(id),
        });
    }
    let vpc = |it: &shapes::ec2::Subnet| it.vpc_id.clone();
    if found.windows(2).any(|it| vpc(&it[0]) != vpc(&it[1])) {
        return Err(invalid("You can specify only subnets of one VPC"));
    }
    Ok(places)
}

async fn of_zones(cx: &Cx, zones: &[String]) -> Result<Vec<Place>, Error> {
    let known = cx.call(DescribeAvailabilityZonesInput::default()).await?;
    let known = known.availability_zones.unwrap_or_default();
    for zone in zones {
        if !known.iter().any(|it| it.zone_name.as_ref() == Some(zone)) {
            return Err(invalid(format!(
                "One or more availability zones are invalid: {zone}"
            )));
        }
    }
    // A zone's default subnet: without one nothing can be launched there.
    let input = DescribeSubnetsInput {
        filters: Some(vec![Filter {
            name: Some("default-for-az".to_owned()),
            values: Some(vec!["true".to_owned()]),
        }]),
        ..Default::default()
    };
    let found = cx.call(input).await?.subnets.unwrap_or_default();
    let place = |zone: &String| {
        let mut there = found
            .iter()
            .filter(|it| it.availability_zone.as_ref() == Some(zone));
        match there.next() {
            Some(subnet) => Ok(Place {
                zone: zone.clone(),
                subnet: subnet.subnet_id.clone(),
            }),
            None => Err(invalid(format!(
                "No default subnet for availability zone: '{zone}'. Specify VPCZoneIdentifier instead."
            ))),
        }
    };
    zones.iter().map(place).collect()
}

/// Target groups that instances can be registered with.
pub async fn check_target_groups(cx: &Cx, arns: &[String]) -> Result<(), Error> {
    for arn in arns {
        let input = DescribeTargetGroupsInput {
            target_group_arns: Some(vec![arn.clone()]),
            ..Default::default()
        };
        let found = cx.call(input).await.map_err(|_| {
            invalid(
                "Provided Target Groups may not be valid. Please ensure they exist and try again.",
            )
        })?;
        let found = found.target_groups.unwrap_or_default();
        if found
            .iter()
            .any(|it| it.target_type != Some(TargetTypeEnum::Instance))
        {
            return Err(invalid(format!(
                "Provided Target Group '{arn}' has an invalid target type. Target groups of Auto Scaling groups have the target type instance."
            )));
        }
    }
    Ok(())
}

/// The target groups among traffic sources: there are no others here.
pub fn target_groups_of(sources: &[TrafficSourceIdentifier]) -> Result<Vec<String>, Error> {
    let arn = |it: &TrafficSourceIdentifier| match it.r#type.as_deref() {
        None | Some("elbv2") if it.identifier.contains(":targetgroup/") => {
            Ok(it.identifier.clone())
        }
        kind => Err(MODEL.unsupported(format!(
            "a traffic source of the type {}",
            kind.unwrap_or("elb")
        ))),
    };
    sources.iter().map(arn).collect()
}
