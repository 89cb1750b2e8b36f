//! AWS's error codes and messages.

use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::World;

const NONE: &str = "0123456789abcdef0";

macro_rules! refusals {
    ($world:ident; $($input:ident $json:tt => $code:literal, $message:expr;)*) => {
        $($world.refused::<$input>(json!($json), $code, &$message).await;)*
    };
}

#[tokio::test]
async fn what_does_not_exist() {
    let world = World::unmoving();
    let vpc = format!("vpc-{NONE}");
    let subnet = format!("subnet-{NONE}");
    let group = format!("sg-{NONE}");
    let gateway = format!("igw-{NONE}");
    let table = format!("rtb-{NONE}");
    let interface = format!("eni-{NONE}");
    let association = format!("rtbassoc-{NONE}");
    let rule = format!("sgr-{NONE}");
    let id = |what: &str, id: &str| format!("The {what} ID '{id}' does not exist");
    let sg = format!("The security group '{group}' does not exist");
    refusals! { world;
        DescribeVpcsInput { "VpcIds": [vpc] } => "InvalidVpcID.NotFound", id("vpc", &vpc);
        DeleteVpcInput { "VpcId": vpc } => "InvalidVpcID.NotFound", id("vpc", &vpc);
        ModifyVpcAttributeInput { "VpcId": vpc, "EnableDnsSupport": {"Value": true} } => "InvalidVpcID.NotFound", id("vpc", &vpc);
        DescribeVpcAttributeInput { "VpcId": vpc, "Attribute": "enableDnsSupport" } => "InvalidVpcID.NotFound", id("vpc", &vpc);
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "10.0.0.0/24" } => "InvalidVpcID.NotFound", id("vpc", &vpc);
        CreateRouteTableInput { "VpcId": vpc } => "InvalidVpcID.NotFound", id("vpc", &vpc);
        CreateSecurityGroupInput { "VpcId": vpc, "GroupName": "web", "Description": "d" } => "InvalidVpcID.NotFound", id("vpc", &vpc);
        DescribeSubnetsInput { "SubnetIds": [subnet] } => "InvalidSubnetID.NotFound", id("subnet", &subnet);
        DeleteSubnetInput { "SubnetId": subnet } => "InvalidSubnetID.NotFound", id("subnet", &subnet);
        ModifySubnetAttributeInput { "SubnetId": subnet } => "InvalidSubnetID.NotFound", id("subnet", &subnet);
        CreateNetworkInterfaceInput { "SubnetId": subnet } => "InvalidSubnetID.NotFound", id("subnet", &subnet);
        DescribeInternetGatewaysInput { "InternetGatewayIds": [gateway] } => "InvalidInternetGatewayID.NotFound", id("internetGateway", &gateway);
        AttachInternetGatewayInput { "InternetGatewayId": gateway, "VpcId": vpc } => "InvalidInternetGatewayID.NotFound", id("internetGateway", &gateway);
        DetachInternetGatewayInput { "InternetGatewayId": gateway, "VpcId": vpc } => "InvalidInternetGatewayID.NotFound", id("internetGateway", &gateway);
        DeleteInternetGatewayInput { "InternetGatewayId": gateway } => "InvalidInternetGatewayID.NotFound", id("internetGateway", &gateway);
        DescribeRouteTablesInput { "RouteTableIds": [table] } => "InvalidRouteTableID.NotFound", id("routeTable", &table);
        DeleteRouteTableInput { "RouteTableId": table } => "InvalidRouteTableID.NotFound", id("routeTable", &table);
        CreateRouteInput { "RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway } => "InvalidRouteTableID.NotFound", id("routeTable", &table);
        ReplaceRouteInput { "RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway } => "InvalidRouteTableID.NotFound", id("routeTable", &table);
        DeleteRouteInput { "RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0" } => "InvalidRouteTableID.NotFound", id("routeTable", &table);
        AssociateRouteTableInput { "RouteTableId": table, "SubnetId": subnet } => "InvalidRouteTableID.NotFound", id("routeTable", &table);
        DisassociateRouteTableInput { "AssociationId": association } => "InvalidAssociationID.NotFound", id("association", &association);
        ReplaceRouteTableAssociationInput { "AssociationId": association, "RouteTableId": table } => "InvalidAssociationID.NotFound", id("association", &association);
        DescribeSecurityGroupsInput { "GroupIds": [group] } => "InvalidGroup.NotFound", sg;
        DescribeSecurityGroupsInput { "GroupNames": ["web"] } => "InvalidGroup.NotFound", "The security group 'web' does not exist";
        DeleteSecurityGroupInput { "GroupId": group } => "InvalidGroup.NotFound", sg;
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}] } => "InvalidGroup.NotFound", sg;
        RevokeSecurityGroupEgressInput { "GroupId": group, "SecurityGroupRuleIds": [rule] } => "InvalidGroup.NotFound", sg;
        DescribeSecurityGroupRulesInput { "SecurityGroupRuleIds": [rule] } => "InvalidSecurityGroupRuleId.NotFound", format!("The security group rule ID '{rule}' does not exist");
        DescribeNetworkInterfacesInput { "NetworkInterfaceIds": [interface] } => "InvalidNetworkInterfaceID.NotFound", id("networkInterface", &interface);
        DeleteNetworkInterfaceInput { "NetworkInterfaceId": interface } => "InvalidNetworkInterfaceID.NotFound", id("networkInterface", &interface);
        ModifyNetworkInterfaceAttributeInput { "NetworkInterfaceId": interface } => "InvalidNetworkInterfaceID.NotFound", id("networkInterface", &interface);
        CreateTagsInput { "Resources": [vpc], "Tags": [{"Key": "a", "Value": "b"}] } => "InvalidVpcID.NotFound", id("vpc", &vpc);
        DeleteTagsInput { "Resources": [subnet] } => "InvalidSubnetID.NotFound", id("subnet", &subnet);
        CreateTagsInput { "Resources": ["web"], "Tags": [] } => "InvalidID", "The ID 'web' is not valid";
        DescribeAvailabilityZonesInput { "ZoneNames": ["us-east-1z"] } => "InvalidParameterValue", "Invalid availability zone: [us-east-1z]";
        DescribeRegionsInput { "RegionNames": ["mars-1"] } => "InvalidParameterValue", "Invalid region names: [mars-1]";
    }
}

#[tokio::test]
async fn ranges() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    world.subnet(&vpc, "10.0.1.0/24").await;
    let invalid = |text: &str| {
        format!(
            "Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        )
    };
    let zones = "us-east-1a, us-east-1b, us-east-1c";
    refusals! { world;
        CreateVpcInput {} => "MissingParameter", "The request must contain the parameter CidrBlock";
        CreateVpcInput { "CidrBlock": "ten" } => "InvalidParameterValue", invalid("ten");
        CreateVpcInput { "CidrBlock": "10.0.0.0/15" } => "InvalidVpc.Range", "The CIDR '10.0.0.0/15' is invalid.";
        CreateVpcInput { "CidrBlock": "10.0.0.0/29" } => "InvalidVpc.Range", "The CIDR '10.0.0.0/29' is invalid.";
        CreateSubnetInput { "VpcId": vpc } => "MissingParameter", "Either 'cidrBlock' or 'ipv6CidrBlock' should be provided.";
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "x" } => "InvalidParameterValue", invalid("x");
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "10.1.0.0/24" } => "InvalidSubnet.Range", "The CIDR '10.1.0.0/24' is invalid.";
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "10.0.0.0/29" } => "InvalidSubnet.Range", "The CIDR '10.0.0.0/29' is invalid.";
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "10.0.0.0/8" } => "InvalidSubnet.Range", "The CIDR '10.0.0.0/8' is invalid.";
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "10.0.1.0/24" } => "InvalidSubnet.Conflict", "The CIDR '10.0.1.0/24' conflicts with another subnet";
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "10.0.1.128/25" } => "InvalidSubnet.Conflict", "The CIDR '10.0.1.128/25' conflicts with another subnet";
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "10.0.0.0/20" } => "InvalidSubnet.Conflict", "The CIDR '10.0.0.0/20' conflicts with another subnet";
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "10.0.2.0/24", "AvailabilityZone": "eu-west-1a" } => "InvalidParameterValue",
            format!("Value (eu-west-1a) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: {zones}.");
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "10.0.2.0/24", "AvailabilityZoneId": "euw1-az1" } => "InvalidParameterValue",
            "Value (euw1-az1) for parameter availabilityZoneId is invalid. Subnets can currently only be created in the following availability zones: use1-az1, use1-az2, use1-az3.";
    }
}

#[tokio::test]
async fn gateways_and_routes() {
    let world = World::unmoving();
    let (vpc, other) = (
        world.vpc("10.0.0.0/16").await,
        world.vpc("10.1.0.0/16").await,
    );
    let (gateway, second) = (world.gateway().await, world.gateway().await);
    let table = world.table(&vpc).await;
    let other_table = world.table(&other).await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let attach = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    refusals! { world;
        DetachInternetGatewayInput { "InternetGatewayId": gateway, "VpcId": vpc } => "Gateway.NotAttached", format!("resource {gateway} is not attached to network {vpc}");
        CreateRouteInput { "RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway } => "InvalidParameterValue",
            format!("route table {table} and network gateway {gateway} belong to different networks");
    }
    world.ok::<AttachInternetGatewayInput>(attach).await;
    let route =
        json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway});
    world.ok::<CreateRouteInput>(route).await;
    let associated = world
        .ok::<AssociateRouteTableInput>(json!({"RouteTableId": table, "SubnetId": subnet}))
        .await;
    let association = crate::world::text(&associated["associationId"]);
    let described = world
        .ok::<DescribeRouteTablesInput>(json!({"Filters": [{"Name": "association.main", "Values": ["true"]}, {"Name": "vpc-id", "Values": [vpc]}]}))
        .await;
    let main = &described["routeTableSet"][0];
    let main_table = crate::world::text(&main["routeTableId"]);
    let main_association =
        crate::world::text(&main["associationSet"][0]["routeTableAssociationId"]);
    refusals! { world;
        AttachInternetGatewayInput { "InternetGatewayId": gateway, "VpcId": vpc } => "Resource.AlreadyAssociated", format!("resource {gateway} is already attached to network {vpc}");
        AttachInternetGatewayInput { "InternetGatewayId": gateway, "VpcId": other } => "Resource.AlreadyAssociated", format!("resource {gateway} is already attached to network {vpc}");
        AttachInternetGatewayInput { "InternetGatewayId": second, "VpcId": vpc } => "InvalidParameterValue", format!("Network {vpc} already has an internet gateway attached");
        DetachInternetGatewayInput { "InternetGatewayId": gateway, "VpcId": other } => "Gateway.NotAttached", format!("resource {gateway} is not attached to network {other}");
        CreateRouteInput { "RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway } => "RouteAlreadyExists", "The route identified by 0.0.0.0/0 already exists.";
        CreateRouteInput { "RouteTableId": table, "DestinationCidrBlock": "10.0.3.0/24", "GatewayId": gateway } => "InvalidParameterValue",
            "The destination CIDR block 10.0.3.0/24 is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance.";
        CreateRouteInput { "RouteTableId": table, "GatewayId": gateway } => "MissingParameter", "The request must contain the parameter DestinationCidrBlock";
        CreateRouteInput { "RouteTableId": table, "DestinationCidrBlock": "1.0.0.0/8" } => "MissingParameter", "The request must contain the parameter GatewayId";
        CreateRouteInput { "RouteTableId": table, "DestinationCidrBlock": "1.0.0.0/8", "NatGatewayId": "nat-1" } => "NatGatewayNotFound", "The Nat Gateway nat-1 was not found";
        CreateRouteInput { "RouteTableId": table, "DestinationCidrBlock": "1.0.0.0/8", "GatewayId": "vgw-1" } => "UnsupportedOperation", "a route to 'vgw-1' is not supported by neargate";
        ReplaceRouteInput { "RouteTableId": table, "DestinationCidrBlock": "1.0.0.0/8", "GatewayId": gateway } => "InvalidRoute.NotFound", format!("no route with destination-cidr-block 1.0.0.0/8 in route table {table}");
        DeleteRouteInput { "RouteTableId": table, "DestinationCidrBlock": "1.0.0.0/8" } => "InvalidRoute.NotFound", format!("no route with destination-cidr-block 1.0.0.0/8 in route table {table}");
        DeleteRouteInput { "RouteTableId": table, "DestinationCidrBlock": "10.0.0.0/16" } => "InvalidParameterValue", format!("cannot remove local route 10.0.0.0/16 in route table {table}");
        AssociateRouteTableInput { "RouteTableId": other_table, "SubnetId": subnet } => "InvalidParameterValue", format!("Route table {other_table} and subnet {subnet} belong to different networks");
        AssociateRouteTableInput { "RouteTableId": main_table, "SubnetId": subnet } => "Resource.AlreadyAssociated",
            format!("the specified association for route table {main_table} conflicts with an existing association");
        DisassociateRouteTableInput { "AssociationId": main_association } => "InvalidParameterValue", format!("cannot disassociate the main route table association {main_association}");
        ReplaceRouteTableAssociationInput { "AssociationId": association, "RouteTableId": other_table } => "InvalidParameterValue",
            format!("Route table {other_table} and route table {table} belong to different networks");
    }
}

#[tokio::test]
async fn groups_and_their_rules() {
    let world = World::unmoving();
    let (vpc, other) = (
        world.vpc("10.0.0.0/16").await,
        world.vpc("10.1.0.0/16").await,
    );
    let group = world.group(&vpc, "web").await;
    let foreign = world.group(&other, "web").await;
    let default = world.default_group(&vpc).await;
    let tcp = |from: i32, to: i32| json!([{"IpProtocol": "TCP", "FromPort": from, "ToPort": to, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]);
    let rule = json!({"GroupId": group, "IpPermissions": tcp(80, 9292)});
    world.ok::<AuthorizeSecurityGroupIngressInput>(rule).await;
    let icmp = |kind: i32, code: i32| json!([{"IpProtocol": "icmp", "FromPort": kind, "ToPort": code, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]);
    let peer = |id: &str| json!([{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": id}]}]);
    let nothing = "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.";
    refusals! { world;
        CreateSecurityGroupInput { "VpcId": vpc, "GroupName": "web", "Description": "d" } => "InvalidGroup.Duplicate", format!("The security group 'web' already exists for VPC '{vpc}'");
        CreateSecurityGroupInput { "VpcId": vpc, "GroupName": "default", "Description": "d" } => "InvalidParameterValue", "Cannot use reserved security group name: default";
        CreateSecurityGroupInput { "VpcId": vpc, "GroupName": "sg-web", "Description": "d" } => "InvalidParameterValue", "Cannot use reserved security group name: sg-web";
        CreateSecurityGroupInput { "GroupName": "web", "Description": "d" } => "VPCIdNotSpecified", "No default VPC for this user";
        DeleteSecurityGroupInput {} => "MissingParameter", "The request must contain the parameter GroupId";
        DeleteSecurityGroupInput { "GroupId": default } => "CannotDelete", format!("the specified group: \"{default}\" name: \"default\" cannot be deleted by a user");
        AuthorizeSecurityGroupIngressInput { "GroupId": group } => "MissingParameter", nothing;
        RevokeSecurityGroupIngressInput { "GroupId": group } => "MissingParameter", nothing;
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": tcp(80, 9292) } => "InvalidPermission.Duplicate",
            "the specified rule \"peer: 10.0.0.0/8, TCP, from port: 80, to port: 9292, ALLOW\" already exists";
        AuthorizeSecurityGroupEgressInput { "GroupId": group, "IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}] } => "InvalidPermission.Duplicate",
            "the specified rule \"peer: 0.0.0.0/0, -1, from port: -1, to port: -1, ALLOW\" already exists";
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": tcp(90, 80) } => "InvalidPermission.Malformed", "Invalid TCP port range (90 to 80)";
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": tcp(0, 65536) } => "InvalidPermission.Malformed", "Invalid TCP port range (0 to 65536)";
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": [{"IpProtocol": "tcp"}] } => "InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP.' for portRange.";
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": icmp(300, 0) } => "InvalidPermission.Malformed", "Invalid ICMP type and code (300:0)";
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": icmp(8, 256) } => "InvalidPermission.Malformed", "Invalid ICMP type and code (8:256)";
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": icmp(-1, 0) } => "InvalidPermission.Malformed", "Invalid ICMP type and code (-1:0)";
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": [{"IpProtocol": "http"}] } => "InvalidPermission.Malformed", "Unsupported IP protocol \"http\" - supported: [icmp, tcp, udp, icmpv6, all]";
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": [{"IpRanges": []}] } => "MissingParameter", "The request must contain the parameter ipProtocol";
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": peer("sg-00000000000000000") } => "InvalidGroup.NotFound", "The security group 'sg-00000000000000000' does not exist";
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": peer(&foreign) } => "InvalidGroup.NotFound",
            format!("You have specified two resources that belong to different networks: '{group}' and '{foreign}'.");
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": [{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-1"}]}] } => "UnsupportedOperation", "the parameter IpPermissions.1.PrefixListIds is not supported by neargate";
        RevokeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": tcp(81, 81) } => "InvalidPermission.NotFound", "The specified rule does not exist in this security group.";
        RevokeSecurityGroupEgressInput { "GroupId": group, "IpPermissions": tcp(80, 9292) } => "InvalidPermission.NotFound", "The specified rule does not exist in this security group.";
    }
    // Sixty rules and no more.
    let many: Vec<Json> = (1..60).map(|it| tcp(it, it)[0].clone()).collect();
    let input = json!({"GroupId": group, "IpPermissions": many});
    world.ok::<AuthorizeSecurityGroupIngressInput>(input).await;
    refusals! { world;
        AuthorizeSecurityGroupIngressInput { "GroupId": group, "IpPermissions": tcp(100, 100) } => "RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.";
    }
}

#[tokio::test]
async fn interfaces() {
    let world = World::unmoving();
    let (vpc, other) = (
        world.vpc("10.0.0.0/16").await,
        world.vpc("10.1.0.0/16").await,
    );
    let subnet = world.subnet(&vpc, "10.0.0.0/28").await;
    let foreign = world.default_group(&other).await;
    let ask = |address: &str| json!({"SubnetId": subnet, "PrivateIpAddress": address});
    world
        .ok::<CreateNetworkInterfaceInput>(ask("10.0.0.5"))
        .await;
    refusals! { world;
        CreateNetworkInterfaceInput { "SubnetId": subnet, "PrivateIpAddress": "10.0.0.5" } => "InvalidIPAddress.InUse", "Address 10.0.0.5 is in use.";
        CreateNetworkInterfaceInput { "SubnetId": subnet, "PrivateIpAddress": "10.0.0.3" } => "InvalidParameterValue", "Address 10.0.0.3 does not fall within the subnet's address range";
        CreateNetworkInterfaceInput { "SubnetId": subnet, "PrivateIpAddress": "10.0.1.5" } => "InvalidParameterValue", "Address 10.0.1.5 does not fall within the subnet's address range";
        CreateNetworkInterfaceInput { "SubnetId": subnet, "Groups": [foreign] } => "InvalidParameterValue",
            format!("You have specified two resources that belong to different networks: '{foreign}' and '{vpc}'.");
        CreateNetworkInterfaceInput { "SubnetId": subnet, "Ipv6AddressCount": 1 } => "UnsupportedOperation", "the parameter Ipv6AddressCount is not supported by neargate";
    }
    for _ in 0..10 {
        world.interface(&subnet, &[]).await;
    }
    let full = format!(
        "The specified subnet does not have enough free addresses to satisfy the request: {subnet}"
    );
    refusals! { world;
        CreateNetworkInterfaceInput { "SubnetId": subnet } => "InsufficientFreeAddressesInSubnet", full;
    }
}

#[tokio::test]
async fn tags() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let many: Vec<Json> = (0..51)
        .map(|it| json!({"Key": format!("k{it}"), "Value": ""}))
        .collect();
    refusals! { world;
        CreateVpcInput { "CidrBlock": "10.2.0.0/16", "TagSpecifications": [{"ResourceType": "subnet", "Tags": []}] } => "InvalidParameterValue", "'subnet' is not a valid taggable resource type for this operation.";
        CreateTagsInput { "Resources": [vpc], "Tags": many } => "TagLimitExceeded", "More than 50 tags specified";
        CreateTagsInput { "Resources": [vpc], "Tags": [{"Key": "", "Value": "x"}] } => "InvalidParameterValue", "Tag keys must have 1 to 128 characters.";
    }
}

/// Nothing is made by a request that was only tried, and a request that is not valid says so.
#[tokio::test]
async fn dry_runs() {
    let world = World::unmoving();
    let dry = |input: Json| world.cx.serve_json("ec2", "CreateVpc", input);
    let error = dry(json!({"CidrBlock": "10.0.0.0/16", "dryRun": true}))
        .await
        .unwrap_err();
    assert_eq!((error.code, error.status), ("DryRunOperation", 412));
    assert_eq!(
        error.message,
        "Request would have succeeded, but DryRun flag is set."
    );
    let found = world.ok::<DescribeVpcsInput>(json!({})).await;
    assert_eq!(found["vpcSet"], json!([]));
    dry(json!({"CidrBlock": "10.0.0.0/16", "dryRun": false}))
        .await
        .unwrap();
}

/// What a request asks for is done, or refused by its name.
#[tokio::test]
async fn what_is_asked_for_and_not_done() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.0.0/24").await;
    let not = |name: &str| format!("the parameter {name} is not supported by neargate");
    let two = json!([
        {"PrivateIpAddress": "10.0.0.10", "Primary": true},
        {"PrivateIpAddress": "10.0.0.11", "Primary": false}
    ]);
    refusals! { world;
        CreateVpcInput { "CidrBlock": "10.4.0.0/16", "VpcEncryptionControl": {"Mode": "enforce"} } => "UnsupportedOperation", not("VpcEncryptionControl");
        CreateVpcInput { "CidrBlock": "127.0.0.0/16" } => "InvalidVpc.Range", "The CIDR '127.0.0.0/16' is invalid.";
        CreateVpcInput { "CidrBlock": "169.254.0.0/16" } => "InvalidVpc.Range", "The CIDR '169.254.0.0/16' is invalid.";
        CreateVpcInput { "CidrBlock": "0.0.0.0/16" } => "InvalidVpc.Range", "The CIDR '0.0.0.0/16' is invalid.";
        CreateVpcInput { "CidrBlock": "239.0.0.0/24" } => "InvalidVpc.Range", "The CIDR '239.0.0.0/24' is invalid.";
        CreateSubnetInput { "VpcId": vpc, "CidrBlock": "10.0.1.0/24", "Ipv6Native": true } => "MissingParameter", "Either 'ipv6CidrBlock' or 'ipv6IpamPoolId' should be provided.";
        ModifySubnetAttributeInput { "SubnetId": subnet, "EnableResourceNameDnsARecordOnLaunch": {"Value": true} } => "UnsupportedOperation", not("EnableResourceNameDnsARecordOnLaunch with another value than 'false'");
        ModifySubnetAttributeInput { "SubnetId": subnet, "PrivateDnsHostnameTypeOnLaunch": "resource-name" } => "UnsupportedOperation", not("PrivateDnsHostnameTypeOnLaunch with another value than 'ip-name'");
        ModifySubnetAttributeInput { "SubnetId": subnet, "EnableLniAtDeviceIndex": 1 } => "UnsupportedOperation", not("EnableLniAtDeviceIndex");
        CreateNetworkInterfaceInput { "SubnetId": subnet, "Ipv4PrefixCount": 1 } => "UnsupportedOperation", not("Ipv4PrefixCount");
        CreateNetworkInterfaceInput { "SubnetId": subnet, "InterfaceType": "efa" } => "UnsupportedOperation", not("InterfaceType with another value than 'interface'");
        ModifyNetworkInterfaceAttributeInput { "NetworkInterfaceId": "eni-1", "SourceDestCheck": {"Value": false} } => "UnsupportedOperation", not("SourceDestCheck with another value than 'true'");
        CreateRouteInput { "RouteTableId": "rtb-1", "DestinationCidrBlock": "1.0.0.0/8", "TransitGatewayId": "tgw-1" } => "UnsupportedOperation", not("TransitGatewayId");
        CreateNetworkInterfaceInput { "SubnetId": subnet, "PrivateIpAddresses": two, "PrivateIpAddress": "10.0.0.12" } => "InvalidParameterCombination", "Only one primary private IP address can be specified.";
    }
    let as_it_is = json!({"SubnetId": subnet, "PrivateDnsHostnameTypeOnLaunch": "ip-name"});
    world.ok::<ModifySubnetAttributeInput>(as_it_is).await;
    let one = json!([{"PrivateIpAddress": "10.0.0.20", "Primary": true}]);
    let input = json!({"SubnetId": subnet, "PrivateIpAddresses": one});
    let made = world.ok::<CreateNetworkInterfaceInput>(input).await;
    let address = &made["networkInterface"]["privateIpAddress"];
    assert_eq!(address, "10.0.0.20");
}
