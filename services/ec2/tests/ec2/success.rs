//! What operations answer when all is well.

use serde_json::json;
use shapes::ec2::*;

use crate::world::{World, ask, text, texts};

#[tokio::test]
async fn a_network_is_described_as_it_was_made() {
    let world = World::unmoving();
    let made = world
        .ok::<CreateVpcInput>(json!({"CidrBlock": "10.0.7.1/16", "TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "n"}]}]}))
        .await;
    let vpc = text(&made["vpc"]["vpcId"]);
    // The host part is cleared.
    assert_eq!(made["vpc"]["cidrBlock"], "10.0.0.0/16");
    assert_eq!(
        made["vpc"]["tagSet"],
        json!([{"key": "Name", "value": "n"}])
    );
    let found = world
        .ok::<DescribeVpcsInput>(json!({"VpcIds": [vpc]}))
        .await;
    assert_eq!(found["vpcSet"], json!([made["vpc"]]));

    for (attribute, before) in [("EnableDnsSupport", true), ("EnableDnsHostnames", false)] {
        let name = format!("{}{}", attribute[..1].to_lowercase(), &attribute[1..]);
        let asked = json!({"VpcId": vpc, "Attribute": name});
        let found = world.ok::<DescribeVpcAttributeInput>(asked.clone()).await;
        assert_eq!(found[&name], json!({"value": before}), "{attribute}");
        let change = json!({"VpcId": vpc, attribute: {"Value": !before}});
        world.ok::<ModifyVpcAttributeInput>(change).await;
        let found = world.ok::<DescribeVpcAttributeInput>(asked).await;
        assert_eq!(found[&name], json!({"value": !before}), "{attribute}");
    }

    let input = json!({"VpcId": vpc, "CidrBlock": "10.0.1.0/24", "AvailabilityZoneId": "use1-az2"});
    let made = world.ok::<CreateSubnetInput>(input).await;
    let subnet = text(&made["subnet"]["subnetId"]);
    assert_eq!(made["subnet"]["availabilityZone"], "us-east-1b");
    assert_eq!(made["subnet"]["availableIpAddressCount"], 251);
    world.interface(&subnet, &[]).await;
    let change = json!({"SubnetId": subnet, "MapPublicIpOnLaunch": {"Value": true}});
    world.ok::<ModifySubnetAttributeInput>(change).await;
    let found = world.ok::<DescribeSubnetsInput>(json!({})).await;
    assert_eq!(found["subnetSet"][0]["availableIpAddressCount"], 250);
    assert_eq!(found["subnetSet"][0]["mapPublicIpOnLaunch"], true);
}

#[tokio::test]
async fn a_gateways_attachment_is_available() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let gateway = world.gateway().await;
    let attachment = async || {
        let found = world.ok::<DescribeInternetGatewaysInput>(json!({})).await;
        found["internetGatewaySet"][0]["attachmentSet"].clone()
    };
    assert_eq!(attachment().await, json!([]));
    let both = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    world.ok::<AttachInternetGatewayInput>(both.clone()).await;
    assert_eq!(
        attachment().await,
        json!([{"state": "available", "vpcId": vpc}])
    );
    world.ok::<DetachInternetGatewayInput>(both).await;
    assert_eq!(attachment().await, json!([]));
}

#[tokio::test]
async fn routes_and_associations() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let gateway = world.gateway().await;
    let both = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    world.ok::<AttachInternetGatewayInput>(both.clone()).await;
    let table = world.table(&vpc).await;
    let route =
        json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway});
    world.ok::<CreateRouteInput>(route.clone()).await;
    world.ok::<ReplaceRouteInput>(route).await;
    let described = async || {
        let found = world
            .ok::<DescribeRouteTablesInput>(json!({"RouteTableIds": [table]}))
            .await;
        found["routeTableSet"][0].clone()
    };
    let routes = |table: &serde_json::Value| -> Vec<(String, String, String)> {
        let routes = table["routeSet"].as_array().unwrap().iter();
        routes
            .map(|it| {
                (
                    text(&it["destinationCidrBlock"]),
                    text(&it["gatewayId"]),
                    text(&it["state"]),
                )
            })
            .collect()
    };
    let local = ("10.0.0.0/16".into(), "local".into(), "active".into());
    let out = |state: &str| ("0.0.0.0/0".into(), gateway.clone(), state.into());
    assert_eq!(routes(&described().await), [local.clone(), out("active")]);
    world.ok::<DetachInternetGatewayInput>(both).await;
    assert_eq!(routes(&described().await), [local, out("blackhole")]);

    let associate = json!({"RouteTableId": table, "SubnetId": subnet});
    let made = world.ok::<AssociateRouteTableInput>(associate).await;
    let association = text(&made["associationId"]);
    assert_eq!(
        texts(&described().await["associationSet"], "subnetId"),
        std::slice::from_ref(&subnet)
    );
    let other = world.table(&vpc).await;
    let replace = json!({"AssociationId": association, "RouteTableId": other});
    let made = world.ok::<ReplaceRouteTableAssociationInput>(replace).await;
    assert_eq!(described().await["associationSet"], json!([]));
    let association = json!({"AssociationId": made["newAssociationId"]});
    world.ok::<DisassociateRouteTableInput>(association).await;

    // The main table is what subnets without an association follow, and can be another one.
    let mains = json!({"Filters": [{"Name": "association.main", "Values": ["true"]}]});
    let found = world.ok::<DescribeRouteTablesInput>(mains.clone()).await;
    let main = &found["routeTableSet"][0]["associationSet"][0]["routeTableAssociationId"];
    let replace = json!({"AssociationId": main, "RouteTableId": table});
    world.ok::<ReplaceRouteTableAssociationInput>(replace).await;
    let found = world.ok::<DescribeRouteTablesInput>(mains).await;
    assert_eq!(texts(&found["routeTableSet"], "routeTableId"), [table]);
}

#[tokio::test]
async fn rules_are_grouped_by_protocol_and_ports() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let group = world.group(&vpc, "web").await;
    let permission = json!({"IpProtocol": "6", "FromPort": 80, "ToPort": 80, "IpRanges": [
        {"CidrIp": "10.0.0.0/8", "Description": "inside"}, {"CidrIp": "192.168.0.0/16"},
    ], "UserIdGroupPairs": [{"GroupId": group}]});
    let input = json!({"GroupId": group, "IpPermissions": [permission]});
    let made = world.ok::<AuthorizeSecurityGroupIngressInput>(input).await;
    assert_eq!(made["return"], true);
    let rules = texts(&made["securityGroupRuleSet"], "securityGroupRuleId");
    assert_eq!(rules.len(), 3);
    let flat = json!({"GroupId": group, "IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "CidrIp": "0.0.0.0/0"});
    world
        .ok::<AuthorizeSecurityGroupIngressInput>(flat.clone())
        .await;
    let described = async || {
        let found = world
            .ok::<DescribeSecurityGroupsInput>(json!({"GroupIds": [group]}))
            .await;
        found["securityGroupInfo"][0].clone()
    };
    let found = described().await;
    assert_eq!(texts(&found["ipPermissions"], "ipProtocol"), ["tcp", "udp"]);
    let tcp = &found["ipPermissions"][0];
    assert_eq!(
        tcp["ipRanges"][0],
        json!({"cidrIp": "10.0.0.0/8", "description": "inside"})
    );
    assert_eq!(tcp["groups"][0]["groupId"], json!(group));
    assert_eq!(found["ipPermissionsEgress"][0]["ipProtocol"], "-1");

    world.ok::<RevokeSecurityGroupIngressInput>(flat).await;
    let input = json!({"GroupId": group, "SecurityGroupRuleIds": [rules[0]]});
    let revoked = world.ok::<RevokeSecurityGroupIngressInput>(input).await;
    assert_eq!(
        revoked["revokedSecurityGroupRuleSet"][0]["cidrIpv4"],
        "10.0.0.0/8"
    );
    let input = json!({"Filters": [{"Name": "group-id", "Values": [group]}]});
    let left = world.ok::<DescribeSecurityGroupRulesInput>(input).await;
    // Two of the ingress rules, and everything out.
    assert_eq!(left["securityGroupRuleSet"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn interfaces_have_addresses_groups_and_public_addresses() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let group = world.group(&vpc, "web").await;
    let input = json!({"SubnetId": subnet, "Description": "mine", "PrivateIpAddress": "10.0.1.77"});
    let made = world.ok::<CreateNetworkInterfaceInput>(input).await["networkInterface"].clone();
    let id = text(&made["networkInterfaceId"]);
    assert_eq!(made["privateIpAddress"], "10.0.1.77");
    assert_eq!(texts(&made["groupSet"], "groupName"), ["default"]);
    let change = json!({"NetworkInterfaceId": id, "Groups": [group], "Description": {"Value": "other"}, "AssociatePublicIpAddress": true});
    world
        .ok::<ModifyNetworkInterfaceAttributeInput>(change)
        .await;
    let found = world.ok::<DescribeNetworkInterfacesInput>(json!({})).await;
    let found = &found["networkInterfaceSet"][0];
    assert_eq!(texts(&found["groupSet"], "groupId"), [group]);
    assert_eq!(found["description"], "other");
    let public = text(&found["association"]["publicIp"]);
    assert!(public.starts_with("203.0.113."), "{public}");
}

#[tokio::test]
async fn tags_of_everything() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let ids = [
        world.group(&vpc, "web").await,
        world.gateway().await,
        world.table(&vpc).await,
        world.interface(&subnet, &[]).await,
        subnet,
        vpc,
    ];
    let tags = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]);
    world
        .ok::<CreateTagsInput>(json!({"Resources": ids, "Tags": tags}))
        .await;
    let found = world.ok::<DescribeTagsInput>(json!({})).await;
    assert_eq!(found["tagSet"].as_array().unwrap().len(), 2 * ids.len());
    // A value that differs keeps its tag; none given takes every value.
    let unwanted = json!([{"Key": "a", "Value": "x"}, {"Key": "b"}]);
    world
        .ok::<DeleteTagsInput>(json!({"Resources": ids, "Tags": unwanted}))
        .await;
    let found = world
        .ok::<DescribeTagsInput>(json!({"Filters": [{"Name": "key", "Values": ["a"]}]}))
        .await;
    let mut described = texts(&found["tagSet"], "resourceId");
    let mut ids = ids.to_vec();
    described.sort();
    ids.sort();
    assert_eq!(described, ids);
}

#[tokio::test]
async fn regions_zones_and_the_account() {
    let world = World::unmoving();
    let found = world
        .ok::<DescribeRegionsInput>(json!({"RegionNames": ["eu-west-1"]}))
        .await;
    let expected = json!([{"optInStatus": "opt-in-not-required", "regionName": "eu-west-1", "regionEndpoint": "ec2.eu-west-1.amazonaws.com"}]);
    assert_eq!(found["regionInfo"], expected);
    let found = world.ok::<DescribeAvailabilityZonesInput>(json!({})).await;
    let zones = texts(&found["availabilityZoneInfo"], "zoneName");
    assert_eq!(zones, ["us-east-1a", "us-east-1b", "us-east-1c"]);
    let found = world
        .ok::<DescribeAccountAttributesInput>(json!({"AttributeNames": ["default-vpc"]}))
        .await;
    assert_eq!(
        found["accountAttributeSet"],
        json!([{"attributeName": "default-vpc", "attributeValueSet": [{"attributeValue": "none"}]}])
    );
}

#[tokio::test]
async fn regions_are_apart() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let elsewhere = world.cx.in_region("eu-west-1");
    // Every region has a default one.
    let made = json!({"Filters": [{"Name": "is-default", "Values": ["false"]}]});
    let found = ask::<DescribeVpcsInput>(&elsewhere, made).await.unwrap();
    assert_eq!(found["vpcSet"], json!([]));
    let (code, _) = ask::<DeleteVpcInput>(&elsewhere, json!({"VpcId": vpc}))
        .await
        .unwrap_err();
    assert_eq!(code, "InvalidVpcID.NotFound");
}
