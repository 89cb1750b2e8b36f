//! Condition keys that calls supply (service authorization reference, "Amazon EC2 Auto Scaling").

use cloud::ConditionKey;
use shapes::autoscaling::{
    CreateAutoScalingGroupInput, CreateLaunchConfigurationInput, LaunchTemplateSpecification,
    MixedInstancesPolicy, TrafficSourceIdentifier, UpdateAutoScalingGroupInput,
};

const RESERVATIONS: &str = "autoscaling:CapacityReservationIds";
const RESERVATION_GROUPS: &str = "autoscaling:CapacityReservationResourceGroupArns";
pub const FORCE_DELETE: &str = "autoscaling:ForceDelete";
pub const IMAGE: &str = "autoscaling:ImageId";
const TYPE: &str = "autoscaling:InstanceType";
const TYPES: &str = "autoscaling:InstanceTypes";
const CONFIGURATION: &str = "autoscaling:LaunchConfigurationName";
const VERSION_SPECIFIED: &str = "autoscaling:LaunchTemplateVersionSpecified";
const CLASSIC_BALANCERS: &str = "autoscaling:LoadBalancerNames";
const MAX_SIZE: &str = "autoscaling:MaxSize";
const MIN_SIZE: &str = "autoscaling:MinSize";
const ENDPOINT: &str = "autoscaling:MetadataHttpEndpoint";
const HOPS: &str = "autoscaling:MetadataHttpPutResponseHopLimit";
const TOKENS: &str = "autoscaling:MetadataHttpTokens";
const SPOT_PRICE: &str = "autoscaling:SpotPrice";
pub const TARGET_GROUPS: &str = "autoscaling:TargetGroupARNs";
pub const SOURCES: &str = "autoscaling:TrafficSourceIdentifiers";
const SUBNETS: &str = "autoscaling:VPCZoneIdentifiers";

pub const OF_SIZES: &[&str] = &[MAX_SIZE, MIN_SIZE];
pub const OF_CHANGED_GROUP: &[&str] = &[
    RESERVATIONS,
    RESERVATION_GROUPS,
    IMAGE,
    TYPES,
    CONFIGURATION,
    VERSION_SPECIFIED,
    MAX_SIZE,
    MIN_SIZE,
    SUBNETS,
];
pub const OF_NEW_GROUP: &[&str] = &[
    RESERVATIONS,
    RESERVATION_GROUPS,
    IMAGE,
    TYPES,
    CONFIGURATION,
    VERSION_SPECIFIED,
    CLASSIC_BALANCERS,
    MAX_SIZE,
    MIN_SIZE,
    TARGET_GROUPS,
    SOURCES,
    SUBNETS,
];
pub const OF_NEW_CONFIGURATION: &[&str] = &[IMAGE, TYPE, ENDPOINT, HOPS, TOKENS, SPOT_PRICE];

pub fn sizes(min: Option<i32>, max: Option<i32>) -> Vec<ConditionKey> {
    vec![
        ConditionKey::new(MIN_SIZE, min),
        ConditionKey::new(MAX_SIZE, max),
    ]
}

pub fn sources(given: &[TrafficSourceIdentifier]) -> ConditionKey {
    let identifiers = given.iter().map(|it| it.identifier.clone());
    ConditionKey::of_many(SOURCES, identifiers.collect())
}

/// What is launched: types are those that a mixed policy lists.
fn launched(
    configuration: Option<&String>,
    template: Option<&LaunchTemplateSpecification>,
    mixed: Option<&MixedInstancesPolicy>,
) -> Vec<ConditionKey> {
    let of_mixed = mixed.and_then(|it| it.launch_template.as_ref());
    let overrides = of_mixed.and_then(|it| it.overrides.as_ref());
    let types = (overrides.into_iter().flatten()).filter_map(|it| it.instance_type.clone());
    let base = of_mixed.and_then(|it| it.launch_template_specification.as_ref());
    let own = (overrides.into_iter().flatten())
        .filter_map(|it| it.launch_template_specification.as_ref());
    let mut templates = template.into_iter().chain(base).chain(own).peekable();
    let is_any = templates.peek().is_some();
    let is_number = |it: &LaunchTemplateSpecification| {
        (it.version.as_ref()).is_some_and(|it| !it.is_empty() && !it.starts_with('$'))
    };
    vec![
        ConditionKey::new(CONFIGURATION, configuration),
        ConditionKey::of_many(TYPES, types.collect()),
        ConditionKey::new(VERSION_SPECIFIED, is_any.then(|| templates.any(is_number))),
    ]
}

fn subnets(given: Option<&String>) -> ConditionKey {
    let all = given.map(String::as_str).unwrap_or_default().split(',');
    let all = all.map(str::trim).filter(|it| !it.is_empty());
    ConditionKey::of_many(SUBNETS, all.map(str::to_owned).collect())
}

pub fn of_new_group(it: &CreateAutoScalingGroupInput) -> Vec<ConditionKey> {
    let mut keys = launched(
        it.launch_configuration_name.as_ref(),
        it.launch_template.as_ref(),
        it.mixed_instances_policy.as_ref(),
    );
    keys.extend(sizes(Some(it.min_size), Some(it.max_size)));
    keys.push(subnets(it.vpc_zone_identifier.as_ref()));
    let groups = it.target_group_ar_ns.clone().unwrap_or_default();
    keys.push(ConditionKey::of_many(TARGET_GROUPS, groups));
    keys.push(sources(it.traffic_sources.as_deref().unwrap_or_default()));
    keys
}

pub fn of_changed_group(it: &UpdateAutoScalingGroupInput) -> Vec<ConditionKey> {
    let mut keys = launched(
        it.launch_configuration_name.as_ref(),
        it.launch_template.as_ref(),
        it.mixed_instances_policy.as_ref(),
    );
    keys.extend(sizes(it.min_size, it.max_size));
    keys.push(subnets(it.vpc_zone_identifier.as_ref()));
    keys
}

pub fn of_new_configuration(it: &CreateLaunchConfigurationInput) -> Vec<ConditionKey> {
    let metadata = it.metadata_options.as_ref();
    let endpoint = metadata.and_then(|it| it.http_endpoint.as_ref());
    let tokens = metadata.and_then(|it| it.http_tokens.as_ref());
    let hops = metadata.and_then(|it| it.http_put_response_hop_limit);
    vec![
        ConditionKey::new(IMAGE, it.image_id.as_ref()),
        ConditionKey::new(TYPE, it.instance_type.as_ref()),
        ConditionKey::new(ENDPOINT, endpoint.map(|it| it.as_str())),
        ConditionKey::new(HOPS, hops),
        ConditionKey::new(TOKENS, tokens.map(|it| it.as_str())),
    ]
}
