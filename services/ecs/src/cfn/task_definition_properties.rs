//! What a template may say of a task definition.

use cloud::Property;

const PAIR: &[Property] = &[Property::text("Name"), Property::text("Value")];

const HEALTH_CHECK: &[Property] = &[
    Property::texts("Command"),
    Property::number("Interval"),
    Property::number("Retries"),
    Property::number("StartPeriod"),
    Property::number("Timeout"),
];

const PORT_MAPPING: &[Property] = &[
    Property::text("AppProtocol"),
    Property::number("ContainerPort"),
    Property::number("HostPort"),
    Property::text("Name"),
    Property::text("Protocol"),
];

const CONTAINER: &[Property] = &[
    Property::texts("Command"),
    Property::number("Cpu"),
    Property::objects("DependsOn")
        .members(&[Property::text("Condition"), Property::text("ContainerName")]),
    Property::texts("DnsSearchDomains"),
    Property::texts("DnsServers"),
    Property::object("DockerLabels"),
    Property::texts("EntryPoint"),
    Property::objects("Environment").members(PAIR),
    Property::flag("Essential"),
    Property::objects("ExtraHosts")
        .members(&[Property::text("Hostname"), Property::text("IpAddress")]),
    Property::object("HealthCheck").members(HEALTH_CHECK),
    Property::text("Hostname"),
    Property::text("Image").required(),
    Property::texts("Links"),
    Property::object("LinuxParameters").members(&[
        Property::object("Capabilities")
            .members(&[Property::texts("Add"), Property::texts("Drop")]),
        Property::flag("InitProcessEnabled"),
    ]),
    Property::object("LogConfiguration").members(&[
        Property::text("LogDriver").required(),
        Property::object("Options"),
    ]),
    Property::number("Memory"),
    Property::number("MemoryReservation"),
    Property::objects("MountPoints").members(&[
        Property::text("ContainerPath"),
        Property::flag("ReadOnly"),
        Property::text("SourceVolume"),
    ]),
    Property::text("Name").required(),
    Property::objects("PortMappings").members(PORT_MAPPING),
    Property::flag("Privileged"),
    Property::flag("ReadonlyRootFilesystem"),
    Property::object("RepositoryCredentials").members(&[Property::text("CredentialsParameter")]),
    Property::objects("Secrets").members(&[
        Property::text("Name").required(),
        Property::text("ValueFrom").required(),
    ]),
    Property::number("StartTimeout"),
    Property::number("StopTimeout"),
    Property::objects("Ulimits").members(&[
        Property::number("HardLimit"),
        Property::text("Name"),
        Property::number("SoftLimit"),
    ]),
    Property::text("User"),
    Property::text("VersionConsistency"),
    Property::objects("VolumesFrom").members(&[
        Property::flag("ReadOnly"),
        Property::text("SourceContainer"),
    ]),
    Property::text("WorkingDirectory"),
];

pub const PROPERTIES: &[Property] = &[
    Property::objects("ContainerDefinitions")
        .replaces()
        .members(CONTAINER),
    Property::text("Cpu").replaces(),
    Property::object("EphemeralStorage")
        .replaces()
        .members(&[Property::number("SizeInGiB")]),
    Property::text("ExecutionRoleArn").replaces(),
    Property::text("Family").replaces(),
    Property::text("Memory").replaces(),
    Property::text("NetworkMode").replaces(),
    Property::objects("PlacementConstraints")
        .replaces()
        .members(&[
            Property::text("Expression"),
            Property::text("Type").required(),
        ]),
    Property::texts("RequiresCompatibilities").replaces(),
    Property::object("RuntimePlatform").replaces().members(&[
        Property::text("CpuArchitecture"),
        Property::text("OperatingSystemFamily"),
    ]),
    Property::objects("Tags"),
    Property::text("TaskRoleArn").replaces(),
    Property::objects("Volumes").replaces().members(&[
        Property::object("DockerVolumeConfiguration").members(&[
            Property::flag("Autoprovision"),
            Property::text("Driver"),
            Property::object("DriverOpts"),
            Property::object("Labels"),
            Property::text("Scope"),
        ]),
        Property::object("Host"),
        Property::text("Name"),
    ]),
];
