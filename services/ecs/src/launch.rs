//! What a task and a service have in common: where and behind what they are to run, checked against
//! what is there.

use cloud::{Cx, Error};
use shapes::ec2::{self, DescribeSecurityGroupsInput, DescribeSubnetsInput};
use shapes::ecs::errors::{ClientException, InvalidParameterException};
use shapes::ecs::*;
use shapes::elbv2::DescribeTargetGroupsInput;

use crate::cluster::FARGATE_PROVIDERS;
use crate::fleet::check_platform_of_instances;
use crate::names::is_active;
use crate::place::Place;
use crate::placement::asked::network_mode;
use crate::record::{Cluster, Definition};
use crate::refuse::unsupported;

/// The newest Fargate platform, which `LATEST` stands for.
pub const PLATFORM_VERSION: &str = "1.4.0";
/// Quotas of `awsvpcConfiguration`.
const SUBNETS_MAX: usize = 16;
const GROUPS_MAX: usize = 5;
/// The quota "Target groups per service".
const TARGET_GROUPS_MAX: usize = 5;

pub fn invalid(message: impl Into<String>) -> Error {
    InvalidParameterException.because(message)
}

/// The launch type or the strategy that is in force: Fargate in one form or the other, or a cluster's own
/// instances.
pub fn choose_launch(
    cluster: &Cluster,
    launch_type: Option<LaunchType>,
    strategy: Option<Vec<CapacityProviderStrategyItem>>,
) -> Result<(Option<LaunchType>, Vec<CapacityProviderStrategyItem>), Error> {
    let strategy = strategy.unwrap_or_default();
    if launch_type.is_some() && !strategy.is_empty() {
        return Err(invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove \
             one and try again.",
        ));
    }
    match launch_type {
        Some(LaunchType::Fargate | LaunchType::Ec2) => return Ok((launch_type, Vec::new())),
        Some(other) => return Err(unsupported(format!("launchType {other}"))),
        None => (),
    }
    let strategy = if strategy.is_empty() {
        cluster.default_strategy.clone()
    } else {
        strategy
    };
    if strategy.is_empty() {
        return Ok((Some(LaunchType::Ec2), strategy));
    }
    for item in &strategy {
        // A cluster knows FARGATE only when it was put there, as on AWS.
        let known = FARGATE_PROVIDERS.contains(&item.capacity_provider.as_str());
        if !known || !cluster.capacity_providers.contains(&item.capacity_provider) {
            return Err(invalid(
                "The specified capacity provider strategy cannot contain a capacity provider that is \
                 not associated with the cluster. Associate the capacity provider with the cluster \
                 and try again.",
            ));
        }
    }
    Ok((None, strategy))
}

pub fn check_platform_version(given: Option<&str>) -> Result<String, Error> {
    match given {
        None | Some("" | "LATEST") => Ok("LATEST".into()),
        Some(PLATFORM_VERSION) => Ok(PLATFORM_VERSION.into()),
        Some(other) => Err(errors::PlatformUnknownException.because(format!(
            "The specified platform version does not exist: {other}"
        ))),
    }
}

/// The definition, if it may be run.
pub fn check_definition(found: Option<Definition>) -> Result<Definition, Error> {
    let definition = found.ok_or_else(|| ClientException.because("TaskDefinition not found."))?;
    if is_active(&definition) {
        Ok(definition)
    } else {
        Err(ClientException.because("TaskDefinition is inactive"))
    }
}

/// Whether tasks come to be on a cluster's instances.
pub fn is_on_instances(launch_type: Option<LaunchType>) -> bool {
    launch_type == Some(LaunchType::Ec2)
}

/// The platform that is in force, which instances have none of.
pub fn choose_platform(
    launch_type: Option<LaunchType>,
    given: Option<&str>,
) -> Result<String, Error> {
    if is_on_instances(launch_type) {
        return check_platform_of_instances(given).map(|()| String::new());
    }
    check_platform_version(given)
}

/// Whether a definition's tasks may be launched in this way.
pub fn check_fits(definition: &Definition, launch_type: Option<LaunchType>) -> Result<(), Error> {
    let wanted = match is_on_instances(launch_type) {
        true => Compatibility::Ec2,
        false => Compatibility::Fargate,
    };
    let able = definition.shape.compatibilities.as_deref();
    if !able.unwrap_or_default().contains(&wanted) {
        return Err(invalid(format!(
            "Task definition does not support launch_type {wanted}."
        )));
    }
    Ok(())
}

/// The same, and where they may be. The network that has
/// `awsvpc` alone is None for others.
pub async fn check_ground(
    cx: &Cx,
    definition: &Definition,
    launch_type: Option<LaunchType>,
    given: Option<NetworkConfiguration>,
) -> Result<(Option<NetworkConfiguration>, Vec<Place>), Error> {
    check_fits(definition, launch_type)?;
    let on_instances = is_on_instances(launch_type);
    let asked = given.filter(|it| it.awsvpc_configuration.is_some());
    if network_mode(definition) != NetworkMode::Awsvpc {
        return match asked {
            None => Ok((None, Vec::new())),
            Some(_) => Err(invalid(
                "Network Configuration is not valid for the given networkMode of this task definition.",
            )),
        };
    }
    let public = asked
        .as_ref()
        .and_then(|it| it.awsvpc_configuration.as_ref());
    if on_instances && public.is_some_and(|it| it.assign_public_ip == Some(AssignPublicIp::Enabled))
    {
        return Err(invalid(
            "Assign public IP is not supported for this launch type.",
        ));
    }
    let (network, places) = check_places(cx, asked).await?;
    Ok((Some(network), places))
}

/// Checks subnets and security groups with EC2, and fills in what AWS fills in. And the places that tasks of
/// it may be in.
async fn check_places(
    cx: &Cx,
    given: Option<NetworkConfiguration>,
) -> Result<(NetworkConfiguration, Vec<Place>), Error> {
    let mut network = given
        .and_then(|it| it.awsvpc_configuration)
        .ok_or_else(|| {
            invalid(
                "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
            )
        })?;
    if network.subnets.is_empty() {
        return Err(invalid("subnets can not be empty."));
    }
    if network.subnets.len() > SUBNETS_MAX {
        return Err(invalid("subnets can have at most 16 items."));
    }
    let groups = network.security_groups.get_or_insert_default().clone();
    if groups.len() > GROUPS_MAX {
        return Err(invalid("securityGroups can have at most 5 items."));
    }
    let found = describe_subnets(cx, &network.subnets).await?;
    let vpcs: Vec<String> = (found.iter())
        .map(|it| it.vpc_id.clone().unwrap_or_default())
        .collect();
    if vpcs.iter().any(|vpc| *vpc != vpcs[0]) {
        return Err(invalid("subnets must belong to the same VPC."));
    }
    for (group, vpc) in vpcs_of_groups(cx, &groups).await? {
        if Some(&vpc) != vpcs.first() {
            return Err(invalid(format!(
                "Security group {group} does not appear to belong to the same VPC as the input subnets."
            )));
        }
    }
    network
        .assign_public_ip
        .get_or_insert(AssignPublicIp::Disabled);
    let places = places(&network.subnets, &found);
    let network = NetworkConfiguration {
        awsvpc_configuration: Some(network),
    };
    Ok((network, places))
}

/// The places that tasks of such a network may be in, as they are now.
pub async fn places_of(cx: &Cx, network: &NetworkConfiguration) -> Result<Vec<Place>, Error> {
    let own = network.awsvpc_configuration.as_ref();
    let Some(own) = own.filter(|it| !it.subnets.is_empty()) else {
        return Ok(Vec::new());
    };
    let found = describe_subnets(cx, &own.subnets).await?;
    Ok(places(&own.subnets, &found))
}

/// The same where nothing but the names is known.
pub fn places_named(network: &NetworkConfiguration) -> Vec<Place> {
    let own = network.awsvpc_configuration.as_ref();
    own.map_or_else(Vec::new, |it| places(&it.subnets, &[]))
}

/// In the order in which they are named.
fn places(named: &[String], found: &[ec2::Subnet]) -> Vec<Place> {
    let place = |id: &String| {
        let subnet = found.iter().find(|it| it.subnet_id.as_ref() == Some(id));
        Place {
            subnet: id.clone(),
            zone: subnet
                .and_then(|it| it.availability_zone.clone())
                .unwrap_or_default(),
            free: subnet.and_then(|it| it.available_ip_address_count),
        }
    };
    named.iter().map(place).collect()
}

async fn describe_subnets(cx: &Cx, subnets: &[String]) -> Result<Vec<ec2::Subnet>, Error> {
    let asked = DescribeSubnetsInput {
        subnet_ids: Some(subnets.to_vec()),
        ..Default::default()
    };
    let answer = cx.call(asked).await.map_err(|error| {
        invalid(format!(
            "Error retrieving subnet information for [{}]: {} (ErrorCode: {})",
            subnets.join(", "),
            error.message,
            error.code
        ))
    })?;
    Ok(answer.subnets.unwrap_or_default())
}

async fn vpcs_of_groups(cx: &Cx, groups: &[String]) -> Result<Vec<(String, String)>, Error> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let asked = DescribeSecurityGroupsInput {
        group_ids: Some(groups.to_vec()),
        ..Default::default()
    };
    let answer = cx.call(asked).await.map_err(|error| {
        invalid(format!(
            "Error retrieving security group information for [{}]: {} (ErrorCode: {})",
            groups.join(", "),
            error.message,
            error.code
        ))
    })?;
    let found = answer.security_groups.unwrap_or_default();
    Ok((found.into_iter())
        .map(|it| {
            (
                it.group_id.unwrap_or_default(),
                it.vpc_id.unwrap_or_default(),
            )
        })
        .collect())
}

/// Checks a service's load balancers with its task definition and with Elastic Load Balancing.
pub async fn check_load_balancers(
    cx: &Cx,
    balancers: &[LoadBalancer],
    definition: &Definition,
) -> Result<(), Error> {
    if balancers.len() > TARGET_GROUPS_MAX {
        return Err(invalid("load balancers can have at most 5 items."));
    }
    for balancer in balancers {
        check_container_port(balancer, definition)?;
        check_target_group(cx, balancer, definition).await?;
    }
    Ok(())
}

fn check_container_port(balancer: &LoadBalancer, definition: &Definition) -> Result<(), Error> {
    let name = balancer.container_name.as_deref().unwrap_or_default();
    let port = balancer.container_port.unwrap_or_default();
    let containers = definition
        .shape
        .container_definitions
        .as_deref()
        .unwrap_or_default();
    let Some(container) = containers
        .iter()
        .find(|it| it.name.as_deref() == Some(name))
    else {
        return Err(invalid(format!(
            "The container {name} does not exist in the task definition."
        )));
    };
    let maps = |it: &PortMapping| it.container_port == Some(port);
    if container.port_mappings.iter().flatten().any(maps) {
        Ok(())
    } else {
        Err(invalid(format!(
            "The container {name} did not have a container port {port} defined."
        )))
    }
}

async fn check_target_group(
    cx: &Cx,
    balancer: &LoadBalancer,
    definition: &Definition,
) -> Result<(), Error> {
    let Some(arn) = balancer
        .target_group_arn
        .clone()
        .filter(|it| !it.is_empty())
    else {
        return Err(invalid("loadBalancers must name a targetGroupArn."));
    };
    let asked = DescribeTargetGroupsInput {
        target_group_arns: Some(vec![arn.clone()]),
        ..Default::default()
    };
    let answer = cx.call(asked).await.map_err(|error| {
        invalid(format!(
            "The target group with targetGroupArn {arn} could not be read: {}",
            error.message
        ))
    })?;
    let Some(group) = answer.target_groups.unwrap_or_default().into_iter().next() else {
        return Err(invalid(format!(
            "The target group with targetGroupArn {arn} does not exist."
        )));
    };
    let mode = network_mode(definition);
    let (fits, mode) = match mode {
        NetworkMode::Awsvpc => (shapes::elbv2::TargetTypeEnum::Ip, mode),
        _ => (shapes::elbv2::TargetTypeEnum::Instance, mode),
    };
    if group.target_type != Some(fits) {
        let kind = group
            .target_type
            .map(|it| it.as_str())
            .unwrap_or("instance");
        return Err(invalid(format!(
            "The provided target group {arn} has target type {kind}, which is incompatible with the \
             {mode} network mode specified in the task definition."
        )));
    }
    if group.load_balancer_arns.unwrap_or_default().is_empty() {
        return Err(invalid(format!(
            "The target group with targetGroupArn {arn} does not have an associated load balancer."
        )));
    }
    Ok(())
}
