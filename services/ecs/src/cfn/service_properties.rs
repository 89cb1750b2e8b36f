//! What a template may say of a service.

use cloud::Property;

const ALARMS: &[Property] = &[
    Property::texts("AlarmNames").required(),
    Property::flag("Enable").required(),
    Property::flag("Rollback").required(),
];
const BREAKER: &[Property] = &[
    Property::flag("Enable").required(),
    Property::flag("ResetOnHealthyTask"),
    Property::flag("Rollback").required(),
    Property::object("ThresholdConfiguration").members(&[
        Property::text("Type").required(),
        Property::number("Value").required(),
    ]),
];

const AWSVPC: &[Property] = &[
    Property::text("AssignPublicIp"),
    Property::texts("SecurityGroups"),
    Property::texts("Subnets"),
];

pub const PROPERTIES: &[Property] = &[
    Property::text("AvailabilityZoneRebalancing"),
    Property::objects("CapacityProviderStrategy").members(&[
        Property::number("Base"),
        Property::text("CapacityProvider"),
        Property::number("Weight"),
    ]),
    Property::text("Cluster").replaces(),
    Property::object("DeploymentConfiguration").members(&[
        Property::object("Alarms").members(ALARMS),
        Property::object("DeploymentCircuitBreaker").members(BREAKER),
        Property::number("MaximumPercent"),
        Property::number("MinimumHealthyPercent"),
        Property::text("Strategy"),
    ]),
    Property::object("DeploymentController").members(&[Property::text("Type")]),
    Property::number("DesiredCount"),
    Property::flag("EnableECSManagedTags"),
    Property::flag("EnableExecuteCommand"),
    Property::object("ForceNewDeployment").members(&[
        Property::flag("EnableForceNewDeployment").required(),
        Property::text("ForceNewDeploymentNonce"),
    ]),
    Property::number("HealthCheckGracePeriodSeconds"),
    Property::text("LaunchType").replaces(),
    Property::objects("LoadBalancers").members(&[
        Property::text("ContainerName"),
        Property::number("ContainerPort"),
        Property::text("TargetGroupArn"),
    ]),
    Property::object("NetworkConfiguration")
        .members(&[Property::object("AwsvpcConfiguration").members(AWSVPC)]),
    Property::objects("PlacementConstraints").members(&[
        Property::text("Expression"),
        Property::text("Type").required(),
    ]),
    Property::objects("PlacementStrategies")
        .members(&[Property::text("Field"), Property::text("Type").required()]),
    Property::text("PlatformVersion"),
    Property::text("PropagateTags"),
    Property::text("Role").replaces(),
    Property::text("SchedulingStrategy").replaces(),
    Property::text("ServiceName").names(),
    Property::objects("Tags"),
    Property::text("TaskDefinition"),
];
