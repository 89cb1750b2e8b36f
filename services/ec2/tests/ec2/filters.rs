//! Filters and pages.

use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::{World, texts};

/// Every filter that an operation knows finds the one resource that there is by `*`, and nothing by
/// a value that it does not have.
async fn knows<I: wire::Operation + Default>(world: &World, list: &str, names: &[&str]) {
    for name in names {
        let input = |value: &str| json!({"Filters": [{"Name": name, "Values": [value]}]});
        let found = world.ok::<I>(input("*")).await;
        let count = found[list].as_array().map_or(0, Vec::len);
        assert!(count > 0, "{} {name}: {found}", I::NAME);
        let found = world.ok::<I>(input("no such thing")).await;
        assert_eq!(found[list], json!([]), "{} {name}", I::NAME);
    }
    let input = json!({"Filters": [{"Name": "shape", "Values": ["round"]}]});
    world
        .refused::<I>(
            input,
            "InvalidParameterValue",
            "The filter 'shape' is invalid",
        )
        .await;
}

#[tokio::test]
async fn every_filter_of_every_operation() {
    let world = World::unmoving();
    // An unknown filter is refused also when there is nothing to filter.
    knows::<DescribeVpcsInput>(&world, "vpcSet", &[]).await;
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let gateway = world.gateway().await;
    let both = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    world.ok::<AttachInternetGatewayInput>(both).await;
    let table = world.table(&vpc).await;
    world
        .ok::<CreateRouteInput>(json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}))
        .await;
    world
        .ok::<AssociateRouteTableInput>(json!({"RouteTableId": table, "SubnetId": subnet}))
        .await;
    let group = world.group(&vpc, "web").await;
    let interface = world.interface(&subnet, &[&group]).await;
    world
        .ok::<ModifyNetworkInterfaceAttributeInput>(
            json!({"NetworkInterfaceId": interface, "AssociatePublicIpAddress": true}),
        )
        .await;
    let ids = json!([vpc, subnet, gateway, table, group, interface]);
    world
        .ok::<CreateTagsInput>(json!({"Resources": ids, "Tags": [{"Key": "Name", "Value": "n"}]}))
        .await;
    let peer = json!([{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]);
    let ranges = json!([{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 81, "IpRanges": [{"CidrIp": "10.0.0.0/8"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]);
    world
        .ok::<AuthorizeSecurityGroupIngressInput>(
            json!({"GroupId": group, "IpPermissions": ranges}),
        )
        .await;
    let rule = json!({"GroupId": group, "IpPermissions": peer});
    world
        .ok::<AuthorizeSecurityGroupIngressInput>(rule.clone())
        .await;
    world.ok::<AuthorizeSecurityGroupEgressInput>(rule).await;

    let tagged = ["tag:Name", "tag-key", "owner-id"];
    let with = |names: &[&'static str]| [names, &tagged[..]].concat();
    let vpcs = with(&[
        "vpc-id",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "cidr-block-association.cidr-block",
        "state",
        "is-default",
        "isDefault",
        "dhcp-options-id",
    ]);
    knows::<DescribeVpcsInput>(&world, "vpcSet", &vpcs).await;
    let subnets = with(&[
        "subnet-id",
        "vpc-id",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "availability-zone",
        "availabilityZone",
        "availability-zone-id",
        "state",
        "default-for-az",
        "defaultForAz",
        "map-public-ip-on-launch",
        "enable-dns64",
        "ipv6-native",
        "map-customer-owned-ip-on-launch",
        "private-dns-name-options-on-launch.hostname-type",
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
    ]);
    knows::<DescribeSubnetsInput>(&world, "subnetSet", &subnets).await;
    let gateways = with(&[
        "internet-gateway-id",
        "attachment.vpc-id",
        "attachment.state",
    ]);
    knows::<DescribeInternetGatewaysInput>(&world, "internetGatewaySet", &gateways).await;
    let tables = with(&[
        "route-table-id",
        "association.route-table-id",
        "vpc-id",
        "association.main",
        "association.subnet-id",
        "association.route-table-association-id",
        "route.destination-cidr-block",
        "route.gateway-id",
    ]);
    knows::<DescribeRouteTablesInput>(&world, "routeTableSet", &tables).await;
    let groups = with(&[
        "group-id",
        "group-name",
        "vpc-id",
        "description",
        "ip-permission.group-id",
        "egress.ip-permission.group-id",
        "ip-permission.group-name",
        "egress.ip-permission.group-name",
        "ip-permission.user-id",
        "egress.ip-permission.user-id",
        "ip-permission.protocol",
        "egress.ip-permission.protocol",
        "ip-permission.from-port",
        "ip-permission.to-port",
        "ip-permission.cidr",
        "ip-permission.ipv6-cidr",
        "egress.ip-permission.cidr",
    ]);
    knows::<DescribeSecurityGroupsInput>(&world, "securityGroupInfo", &groups).await;
    let rules = ["security-group-rule-id"];
    knows::<DescribeSecurityGroupRulesInput>(&world, "securityGroupRuleSet", &rules).await;
    let interfaces = with(&[
        "network-interface-id",
        "vpc-id",
        "subnet-id",
        "group-id",
        "description",
        "availability-zone",
        "private-ip-address",
        "addresses.private-ip-address",
        "association.public-ip",
        "status",
        "attachment.instance-owner-id",
        "addresses.association.owner-id",
        "addresses.association.public-ip",
        "addresses.primary",
        "association.ip-owner-id",
        "attachment.attachment-id",
        "attachment.delete-on-termination",
        "attachment.device-index",
        "attachment.status",
        "availability-zone-id",
        "interface-type",
        "mac-address",
        "operator.managed",
        "private-dns-name",
        "requester-id",
        "requester-managed",
        "source-dest-check",
    ]);
    knows::<DescribeNetworkInterfacesInput>(&world, "networkInterfaceSet", &interfaces).await;
    let tags = ["key", "value", "resource-id", "resource-type"];
    knows::<DescribeTagsInput>(&world, "tagSet", &tags).await;
    let zones = [
        "zone-name",
        "zone-id",
        "region-name",
        "group-name",
        "group-long-name",
        "state",
        "opt-in-status",
        "zone-type",
    ];
    knows::<DescribeAvailabilityZonesInput>(&world, "availabilityZoneInfo", &zones).await;
    let regions = ["region-name", "endpoint", "opt-in-status"];
    knows::<DescribeRegionsInput>(&world, "regionInfo", &regions).await;
}

/// What nothing here has, a filter that AWS knows finds nothing by; what is not built is refused by name.
#[tokio::test]
async fn filters_of_what_nothing_has_find_nothing() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    world.interface(&subnet, &[]).await;
    let input = |name: &str| json!({"Filters": [{"Name": name, "Values": ["*"]}]});
    for name in ["ipv6-addresses.ipv6-address", "attachment.instance-id"] {
        let found = world
            .ok::<DescribeNetworkInterfacesInput>(input(name))
            .await;
        assert_eq!(found["networkInterfaceSet"], json!([]), "{name}");
    }
    for name in ["outpost-arn", "ipv6-cidr-block-association.state"] {
        let found = world.ok::<DescribeSubnetsInput>(input(name)).await;
        assert_eq!(found["subnetSet"], json!([]), "{name}");
    }
    let not = |name: &str| format!("the filter '{name}' is not supported by neargate");
    let name = "association.allocation-id";
    world
        .refused::<DescribeNetworkInterfacesInput>(input(name), "UnsupportedOperation", &not(name))
        .await;
    let bad = json!({"Filters": [{"Name": "group-id", "Values": ["foobar"]}]});
    let why = "The security group ID 'foobar' is malformed";
    world
        .refused::<DescribeSecurityGroupRulesInput>(bad, "InvalidGroupId.Malformed", why)
        .await;
}

#[tokio::test]
async fn filters_narrow_and_values_widen() {
    let world = World::unmoving();
    for (range, name) in [
        ("10.0.0.0/16", "web-a"),
        ("10.1.0.0/16", "web-b"),
        ("10.2.0.0/16", "db"),
    ] {
        let tags = json!([{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": name}]}]);
        world
            .ok::<CreateVpcInput>(json!({"CidrBlock": range, "TagSpecifications": tags}))
            .await;
    }
    let both = json!([{"Name": "tag:Name", "Values": ["web-?", "none"]}, {"Name": "cidr", "Values": ["10.1.*"]}]);
    for (filters, expected) in [
        (
            json!([{"Name": "tag:Name", "Values": ["web-a"]}]),
            vec!["10.0.0.0/16"],
        ),
        (
            json!([{"Name": "tag:Name", "Values": ["web-*"]}]),
            vec!["10.0.0.0/16", "10.1.0.0/16"],
        ),
        (
            json!([{"Name": "tag:Name", "Values": ["web-a", "db"]}]),
            vec!["10.0.0.0/16", "10.2.0.0/16"],
        ),
        (json!([{"Name": "tag:Other", "Values": ["*"]}]), vec![]),
        (
            json!([{"Name": "tag-key", "Values": ["N?me"]}]),
            vec!["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16"],
        ),
        (both, vec!["10.1.0.0/16"]),
        (json!([{"Name": "tag:Name", "Values": []}]), vec![]),
    ] {
        let found = world
            .ok::<DescribeVpcsInput>(json!({"Filters": filters}))
            .await;
        let mut ranges = texts(&found["vpcSet"], "cidrBlock");
        ranges.sort();
        assert_eq!(ranges, expected, "{filters}");
    }
}

/// Reads all pages; checks that none is greater than asked.
async fn pages<I: wire::Operation + Default>(world: &World, list: &str, id: &str) -> Vec<String> {
    let (mut all, mut token) = (vec![], Json::Null);
    loop {
        let found = world
            .ok::<I>(json!({"MaxResults": 5, "NextToken": token}))
            .await;
        let page = texts(&found[list], id);
        assert!(page.len() <= 5, "{} {found}", I::NAME);
        all.extend(page);
        token = found["nextToken"].clone();
        if token.is_null() {
            return all;
        }
    }
}

#[tokio::test]
async fn pages_give_everything_once() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    for number in 0..11 {
        let subnet = world.subnet(&vpc, &format!("10.0.{number}.0/24")).await;
        world.interface(&subnet, &[]).await;
        world.table(&vpc).await;
        world.gateway().await;
        world.group(&vpc, &format!("g{number}")).await;
        world.vpc("10.0.0.0/16").await;
        let tags = json!([{"Key": "Name", "Value": "n"}]);
        world
            .ok::<CreateTagsInput>(json!({"Resources": [subnet], "Tags": tags}))
            .await;
    }
    let mut counted = vec![
        (
            "vpcs",
            12,
            pages::<DescribeVpcsInput>(&world, "vpcSet", "vpcId").await,
        ),
        (
            "subnets",
            11,
            pages::<DescribeSubnetsInput>(&world, "subnetSet", "subnetId").await,
        ),
        (
            "gateways",
            11,
            pages::<DescribeInternetGatewaysInput>(
                &world,
                "internetGatewaySet",
                "internetGatewayId",
            )
            .await,
        ),
        (
            "tables",
            23,
            pages::<DescribeRouteTablesInput>(&world, "routeTableSet", "routeTableId").await,
        ),
        (
            "groups",
            23,
            pages::<DescribeSecurityGroupsInput>(&world, "securityGroupInfo", "groupId").await,
        ),
        (
            "rules",
            35,
            pages::<DescribeSecurityGroupRulesInput>(
                &world,
                "securityGroupRuleSet",
                "securityGroupRuleId",
            )
            .await,
        ),
        (
            "interfaces",
            11,
            pages::<DescribeNetworkInterfacesInput>(
                &world,
                "networkInterfaceSet",
                "networkInterfaceId",
            )
            .await,
        ),
        (
            "tags",
            11,
            pages::<DescribeTagsInput>(&world, "tagSet", "resourceId").await,
        ),
    ];
    for (what, count, ids) in &mut counted {
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), *count, "{what}");
    }
    let forged = json!({"MaxResults": 5, "NextToken": "x"});
    world
        .refused::<DescribeVpcsInput>(forged, "InvalidNextToken", "The token 'x' is invalid")
        .await;
}
