//! What a template may say of a service.

use cloud::Property;

const fn new(name: &'static str) -> Property {
    Property::new(name)
}

const BREAKER: &[Property] = &[
    new("Enable").required(),
    new("ResetOnHealthyTask"),
    new("Rollback").required(),
    new("ThresholdConfiguration").members(&[new("Type").required(), new("Value").required()]),
];

const AWSVPC: &[Property] = &[new("AssignPublicIp"), new("SecurityGroups"), new("Subnets")];

pub const PROPERTIES: &[Property] = &[
    new("AvailabilityZoneRebalancing"),
    new("CapacityProviderStrategy").members(&[new("Base"), new("CapacityProvider"), new("Weight")]),
    new("Cluster").replaces(),
    new("DeploymentConfiguration").members(&[
        new("DeploymentCircuitBreaker").members(BREAKER),
        new("MaximumPercent"),
        new("MinimumHealthyPercent"),
        new("Strategy"),
    ]),
    new("DeploymentController").members(&[new("Type")]),
    new("DesiredCount"),
    new("EnableECSManagedTags"),
    new("EnableExecuteCommand"),
    new("ForceNewDeployment").members(&[
        new("EnableForceNewDeployment").required(),
        new("ForceNewDeploymentNonce"),
    ]),
    new("HealthCheckGracePeriodSeconds"),
    new("LaunchType").replaces(),
    new("LoadBalancers").members(&[
        new("ContainerName"),
        new("ContainerPort"),
        new("TargetGroupArn"),
    ]),
    new("NetworkConfiguration").members(&[new("AwsvpcConfiguration").members(AWSVPC)]),
    new("PlatformVersion"),
    new("PropagateTags"),
    new("Role").replaces(),
    new("SchedulingStrategy").replaces(),
    new("ServiceName").replaces(),
    new("Tags"),
    new("TaskDefinition"),
];
