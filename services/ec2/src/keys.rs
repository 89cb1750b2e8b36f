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

type Names = &'static [&'static str];

pub const OF_NEW_VPC: Names = &[REGION, VPC_ID];
pub const OF_VPC: Names = &[REGION, TENANCY, VPC_ID];
pub const OF_NEW_SUBNET: Names = &[REGION, SUBNET_ID, TENANCY, VPC_ID];
pub const OF_SUBNET: Names = &[ZONE, ZONE_ID, REGION, SUBNET_ID, VPC];
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
];
pub const OF_TAGGED: Names = &[
    ALLOCATION_ID,
    ZONE,
    ZONE_ID,
    CREATE_ACTION,
    DHCP_ID,
    DOMAIN,
    GATEWAY_ID,
    OPERATOR,
    ACL_ID,
    INTERFACE_ID,
    PUBLIC_ADDRESS,
    REGION,
    TABLE_ID,
    GROUP_ID,
    SUBNET,
    SUBNET_ID,
    TENANCY,
    VPC,
    VPC_ID,
];
