//! What a template may say of a task definition.

use cloud::Property;

const fn new(name: &'static str) -> Property {
    Property::new(name)
}

const PAIR: &[Property] = &[new("Name"), new("Value")];

const HEALTH_CHECK: &[Property] = &[
    new("Command"),
    new("Interval"),
    new("Retries"),
    new("StartPeriod"),
    new("Timeout"),
];

const PORT_MAPPING: &[Property] = &[
    new("AppProtocol"),
    new("ContainerPort"),
    new("HostPort"),
    new("Name"),
    new("Protocol"),
];

const CONTAINER: &[Property] = &[
    new("Command"),
    new("Cpu"),
    new("DependsOn").members(&[new("Condition"), new("ContainerName")]),
    new("DockerLabels"),
    new("EntryPoint"),
    new("Environment").members(PAIR),
    new("Essential"),
    new("HealthCheck").members(HEALTH_CHECK),
    new("Image").required(),
    new("LinuxParameters").members(&[
        new("Capabilities").members(&[new("Add"), new("Drop")]),
        new("InitProcessEnabled"),
    ]),
    new("LogConfiguration").members(&[new("LogDriver").required(), new("Options")]),
    new("Memory"),
    new("MemoryReservation"),
    new("MountPoints").members(&[new("ContainerPath"), new("ReadOnly"), new("SourceVolume")]),
    new("Name").required(),
    new("PortMappings").members(PORT_MAPPING),
    new("Privileged"),
    new("ReadonlyRootFilesystem"),
    new("RepositoryCredentials").members(&[new("CredentialsParameter")]),
    new("Secrets").members(&[new("Name").required(), new("ValueFrom").required()]),
    new("StartTimeout"),
    new("StopTimeout"),
    new("Ulimits").members(&[new("HardLimit"), new("Name"), new("SoftLimit")]),
    new("User"),
    new("VersionConsistency"),
    new("WorkingDirectory"),
];

pub const PROPERTIES: &[Property] = &[
    new("ContainerDefinitions").replaces().members(CONTAINER),
    new("Cpu").replaces(),
    new("EphemeralStorage")
        .replaces()
        .members(&[new("SizeInGiB")]),
    new("ExecutionRoleArn").replaces(),
    new("Family").replaces(),
    new("Memory").replaces(),
    new("NetworkMode").replaces(),
    new("RequiresCompatibilities").replaces(),
    new("RuntimePlatform")
        .replaces()
        .members(&[new("CpuArchitecture"), new("OperatingSystemFamily")]),
    new("Tags"),
    new("TaskRoleArn").replaces(),
    new("Volumes")
        .replaces()
        .members(&[new("Host"), new("Name")]),
];
