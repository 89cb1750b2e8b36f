//! Condition keys, and which of them the operations have (service authorization reference of EC2).
//! `ec2:ResourceTag/…` is not among them: it follows from the tags of what is touched.

pub const REGION: &str = "ec2:Region";
pub const CREATE_ACTION: &str = "ec2:CreateAction";
pub const VPC: &str = "ec2:Vpc";
pub const VPC_ID: &str = "ec2:VpcID";
pub const TENANCY: &str = "ec2:Tenancy";
pub const SUBNET: &str = "ec2:Subnet";
pub const SUBNET_ID: &str = "ec2:SubnetID";
pub const ZONE: &str = "ec2:AvailabilityZone";
pub const ZONE_ID: &str = "ec2:AvailabilityZoneId";
pub const GATEWAY_ID: &str = "ec2:InternetGatewayID";
pub const TABLE_ID: &str = "ec2:RouteTableID";
pub const ACL_ID: &str = "ec2:NetworkAclID";
pub const DHCP_ID: &str = "ec2:DhcpOptionsID";
pub const GROUP_ID: &str = "ec2:SecurityGroupID";
pub const INTERFACE_ID: &str = "ec2:NetworkInterfaceID";
pub const ALLOCATION_ID: &str = "ec2:AllocationId";
pub const PUBLIC_ADDRESS: &str = "ec2:PublicIpAddress";
pub const DOMAIN: &str = "ec2:Domain";
/// Services of AWS that manage resources for their users; there is none here.
pub const OPERATOR: &str = "ec2:ManagedResourceOperator";

/// By which template a launch is, and whether all that it touches is the template's.
pub const LAUNCH_TEMPLATE: &str = "ec2:LaunchTemplate";
pub const OF_TEMPLATE_ALONE: &str = "ec2:IsLaunchTemplateResource";

type Names = &'static [&'static str];

pub const OF_NEW_VPC: Names = &[REGION, VPC_ID, POOL, POOL_6];
pub const OF_VPC: Names = &[REGION, TENANCY, VPC_ID];
pub const OF_NEW_SUBNET: Names = &[REGION, SUBNET_ID, TENANCY, VPC_ID, POOL, POOL_6];
pub const OF_SUBNET: Names = &[ZONE, ZONE_ID, REGION, SUBNET_ID, VPC];
pub const OF_CHANGED_VPC: Names = &[ATTRIBUTE, REGION, TENANCY, VPC_ID];
pub const OF_CHANGED_SUBNET: Names = &[ATTRIBUTE, ZONE, ZONE_ID, REGION, SUBNET_ID, VPC];
pub const OF_GATEWAY: Names = &[GATEWAY_ID, REGION];
pub const OF_ATTACHMENT: Names = &[GATEWAY_ID, REGION, TENANCY, VPC_ID];
pub const OF_NEW_TABLE: Names = &[REGION, TABLE_ID, TENANCY, VPC_ID];
pub const OF_TABLE: Names = &[REGION, TABLE_ID, VPC];
pub const OF_DHCP: Names = &[DHCP_ID, REGION];
pub const OF_ASSOCIATED_DHCP: Names = &[DHCP_ID, REGION, TENANCY, VPC_ID];
pub const OF_NEW_ACL: Names = &[ACL_ID, REGION, TENANCY, VPC_ID];
pub const OF_ACL: Names = &[ACL_ID, REGION, VPC];
pub const OF_MOVED_ACL: Names = &[ZONE, ZONE_ID, ACL_ID, REGION, SUBNET_ID, VPC];
pub const OF_ASSOCIATION: Names = &[ZONE, ZONE_ID, GATEWAY_ID, REGION, TABLE_ID, SUBNET_ID, VPC];
pub const OF_NEW_GROUP: Names = &[REGION, GROUP_ID, TENANCY, VPC_ID];
pub const OF_GROUP: Names = &[REGION, GROUP_ID, VPC];
pub const OF_NEW_INTERFACE: Names = &[
    ZONE,
    ZONE_ID,
    INTERFACE_ID,
    REGION,
    GROUP_ID,
    SUBNET_ID,
    VPC,
];
pub const OF_TEMPLATE: Names = &[OPERATOR, REGION];
pub const OF_CHANGED_TEMPLATE: Names = &[ATTRIBUTE, OPERATOR, REGION];
pub const OF_INTERFACE: Names = &[ZONE, OPERATOR, INTERFACE_ID, REGION, SUBNET, VPC];
pub const OF_CHANGED_INTERFACE: Names = &[
    ZONE,
    ZONE_ID,
    OPERATOR,
    INTERFACE_ID,
    REGION,
    GROUP_ID,
    SUBNET,
    VPC,
    ATTRIBUTE,
];
pub const OF_ADDRESS: Names = &[ALLOCATION_ID, DOMAIN, PUBLIC_ADDRESS, REGION];
pub const OF_ASSOCIATED_ADDRESS: Names = &[
    ALLOCATION_ID,
    ZONE,
    ZONE_ID,
    DOMAIN,
    OPERATOR,
    INTERFACE_ID,
    PUBLIC_ADDRESS,
    REGION,
    SUBNET,
    VPC,
];
pub const OF_DISASSOCIATED_ADDRESS: Names = &[
    ALLOCATION_ID,
    ZONE,
    DOMAIN,
    OPERATOR,
    INTERFACE_ID,
    PUBLIC_ADDRESS,
    REGION,
    SUBNET,
    VPC,
];
pub const OF_NEW_NAT_GATEWAY: Names = &[
    ALLOCATION_ID,
    ZONE,
    ZONE_ID,
    DOMAIN,
    PUBLIC_ADDRESS,
    REGION,
    SUBNET_ID,
    TENANCY,
    VPC,
    VPC_ID,
    POOL,
    POOL_6,
];

/// All that `ec2:CreateTags` has, on whatever is tagged. What is tagged has its own by itself, and the others
/// are of things that it is not, most of which are not here: instances, volumes, transit gateways.
pub const OF_ANYTHING: Names = &[
    "ec2:AccepterVpc",
    "ec2:AllocationId",
    "ec2:AuthenticationType",
    "ec2:AuthorizedUser",
    "ec2:AutoPlacement",
    "ec2:AvailabilityZone",
    "ec2:AvailabilityZoneId",
    "ec2:ClientRootCertificateChainArn",
    "ec2:CloudwatchLogGroupArn",
    "ec2:CloudwatchLogStreamArn",
    "ec2:CpuOptionsAmdSevSnp",
    "ec2:CreateAction",
    "ec2:DPDTimeoutSeconds",
    "ec2:DhcpOptionsID",
    "ec2:DirectoryArn",
    "ec2:Domain",
    "ec2:EbsOptimized",
    "ec2:ElasticGpuType",
    "ec2:Encrypted",
    "ec2:GatewayType",
    "ec2:HostRecovery",
    "ec2:IKEVersions",
    "ec2:ImageID",
    "ec2:ImageType",
    "ec2:InsideTunnelCidr",
    "ec2:InsideTunnelIpv6Cidr",
    "ec2:InstanceAutoRecovery",
    "ec2:InstanceBandwidthWeighting",
    "ec2:InstanceID",
    "ec2:InstanceMarketType",
    "ec2:InstanceMetadataTags",
    "ec2:InstanceProfile",
    "ec2:InstanceType",
    "ec2:InternetGatewayID",
    "ec2:IpamPrefixListResolverTargetId",
    "ec2:KeyPairName",
    "ec2:KeyPairType",
    "ec2:ManagedResourceOperator",
    "ec2:MetadataHttpEndpoint",
    "ec2:MetadataHttpPutResponseHopLimit",
    "ec2:MetadataHttpTokens",
    "ec2:NetworkAclID",
    "ec2:NetworkInterfaceID",
    "ec2:Owner",
    "ec2:ParentSnapshot",
    "ec2:ParentVolume",
    "ec2:Permission",
    "ec2:Phase1DHGroup",
    "ec2:Phase1EncryptionAlgorithms",
    "ec2:Phase1IntegrityAlgorithms",
    "ec2:Phase1LifetimeSeconds",
    "ec2:Phase2DHGroup",
    "ec2:Phase2EncryptionAlgorithms",
    "ec2:Phase2IntegrityAlgorithms",
    "ec2:Phase2LifetimeSeconds",
    "ec2:PlacementGroup",
    "ec2:PlacementGroupName",
    "ec2:PlacementGroupStrategy",
    "ec2:ProductCode",
    "ec2:Public",
    "ec2:PublicIpAddress",
    "ec2:Quantity",
    "ec2:Region",
    "ec2:RekeyFuzzPercentage",
    "ec2:RekeyMarginTimeSeconds",
    "ec2:ReplayWindowSizePackets",
    "ec2:RequesterVpc",
    "ec2:ReservedInstancesOfferingType",
    "ec2:RootDeviceType",
    "ec2:RouteTableID",
    "ec2:RoutingType",
    "ec2:SamlProviderArn",
    "ec2:SecurityGroupID",
    "ec2:ServerCertificateArn",
    "ec2:SnapshotID",
    "ec2:SnapshotTime",
    "ec2:Subnet",
    "ec2:SubnetID",
    "ec2:Tenancy",
    "ec2:VolumeID",
    "ec2:VolumeInitializationRate",
    "ec2:VolumeIops",
    "ec2:VolumeSize",
    "ec2:VolumeThroughput",
    "ec2:VolumeType",
    "ec2:Vpc",
    "ec2:VpcID",
    "ec2:VpcPeeringConnectionID",
    "ec2:VpceMultiRegion",
    "ec2:VpceServiceRegion",
    "ec2:VpceSupportedRegion",
    "ec2:transitGatewayAttachmentId",
    "ec2:transitGatewayConnectPeerId",
    "ec2:transitGatewayId",
    "ec2:transitGatewayMeteringPolicyId",
    "ec2:transitGatewayMulticastDomainId",
    "ec2:transitGatewayPolicyTableId",
    "ec2:transitGatewayRouteTableAnnouncementId",
    "ec2:transitGatewayRouteTableId",
];

/// Of an instance, which an address and an interface may have on AWS, and not here.
pub const OF_INSTANCE: Names = &[
    "ec2:CpuOptionsAmdSevSnp",
    "ec2:EbsOptimized",
    "ec2:InstanceAutoRecovery",
    "ec2:InstanceBandwidthWeighting",
    "ec2:InstanceID",
    "ec2:InstanceMarketType",
    "ec2:InstanceMetadataTags",
    "ec2:InstanceProfile",
    "ec2:InstanceType",
    "ec2:MetadataHttpEndpoint",
    "ec2:MetadataHttpPutResponseHopLimit",
    "ec2:MetadataHttpTokens",
    "ec2:PlacementGroup",
    "ec2:ProductCode",
    "ec2:RootDeviceType",
    "ec2:Tenancy",
];

/// The pools that addresses are taken out of.
pub const POOL: &str = "ec2:Ipv4IpamPoolId";
pub const POOL_6: &str = "ec2:Ipv6IpamPoolId";
/// Which attribute of something is changed.
pub const ATTRIBUTE: &str = "ec2:Attribute";

pub const NEW_PROFILE: &str = "ec2:NewInstanceProfile";
pub const KEY_NAME: &str = "ec2:KeyPairName";
pub const KEY_TYPE: &str = "ec2:KeyPairType";

/// What an instance has by itself: see [`OF_INSTANCE`].
pub const INSTANCE_ID: &str = "ec2:InstanceID";
pub const INSTANCE_TYPE: &str = "ec2:InstanceType";
pub const INSTANCE_PROFILE: &str = "ec2:InstanceProfile";
pub const MARKET_TYPE: &str = "ec2:InstanceMarketType";
pub const METADATA_TAGS: &str = "ec2:InstanceMetadataTags";
pub const METADATA_ENDPOINT: &str = "ec2:MetadataHttpEndpoint";
pub const METADATA_HOPS: &str = "ec2:MetadataHttpPutResponseHopLimit";
pub const METADATA_TOKENS: &str = "ec2:MetadataHttpTokens";
pub const EBS_OPTIMIZED: &str = "ec2:EbsOptimized";
pub const ROOT_DEVICE: &str = "ec2:RootDeviceType";
pub const AUTO_RECOVERY: &str = "ec2:InstanceAutoRecovery";
pub const PUBLIC_ON_LAUNCH: &str = "ec2:AssociatePublicIpAddress";
pub const ENCRYPTED: &str = "ec2:Encrypted";
pub const IMAGE_TYPE: &str = "ec2:ImageType";
pub const OWNER: &str = "ec2:Owner";
pub const IS_PUBLIC: &str = "ec2:Public";
pub const PARENT_SNAPSHOT: &str = "ec2:ParentSnapshot";
pub const VOLUME_SIZE: &str = "ec2:VolumeSize";
pub const VOLUME_TYPE: &str = "ec2:VolumeType";

macro_rules! of_instance {
    ($name:ident: $($more:expr),*) => {
        pub const $name: Names = &[
            ZONE, ZONE_ID, "ec2:CpuOptionsAmdSevSnp", EBS_OPTIMIZED, "ec2:InstanceBandwidthWeighting",
            INSTANCE_ID, MARKET_TYPE, INSTANCE_PROFILE, INSTANCE_TYPE, OPERATOR, METADATA_ENDPOINT,
            METADATA_HOPS, METADATA_TOKENS, "ec2:PlacementGroup", REGION, ROOT_DEVICE, TENANCY, $($more),*
        ];
    };
}

of_instance!(OF_STARTED:);
of_instance!(OF_STOPPED: AUTO_RECOVERY, METADATA_TAGS);
of_instance!(OF_ONE_INSTANCE: AUTO_RECOVERY, METADATA_TAGS, "ec2:ProductCode");
of_instance!(OF_NEW_PROFILE: AUTO_RECOVERY, METADATA_TAGS, "ec2:ProductCode", NEW_PROFILE);
of_instance!(OF_CHANGED_METADATA: AUTO_RECOVERY, METADATA_TAGS, "ec2:ProductCode", ATTRIBUTE);
of_instance!(OF_CHANGED_INSTANCE: AUTO_RECOVERY, METADATA_TAGS, "ec2:ProductCode", ATTRIBUTE, ENCRYPTED,
    PARENT_SNAPSHOT, GROUP_ID, VPC, VOLUME_SIZE, VOLUME_TYPE, "ec2:VolumeID", "ec2:VolumeIops",
    "ec2:VolumeThroughput", "ec2:VolumeInitializationRate");
of_instance!(OF_NEW_INSTANCE: AUTO_RECOVERY, METADATA_TAGS, "ec2:ProductCode", PUBLIC_ON_LAUNCH,
    "ec2:AuthorizedService", "ec2:ElasticGpuType", ENCRYPTED, "ec2:ImageID", IMAGE_TYPE,
    OF_TEMPLATE_ALONE, KEY_NAME, KEY_TYPE, LAUNCH_TEMPLATE, INTERFACE_ID, OWNER,
    PARENT_SNAPSHOT, "ec2:ParentVolume", "ec2:PlacementGroupName", "ec2:PlacementGroupStrategy", IS_PUBLIC,
    GROUP_ID, "ec2:SnapshotID", "ec2:SnapshotTime", SUBNET, SUBNET_ID, "ec2:VolumeID",
    "ec2:VolumeInitializationRate", "ec2:VolumeIops", VOLUME_SIZE, "ec2:VolumeThroughput", VOLUME_TYPE, VPC);

pub const OF_NEW_KEY: Names = &[KEY_TYPE, REGION];
pub const OF_KEY: Names = &[KEY_NAME, KEY_TYPE, REGION];
