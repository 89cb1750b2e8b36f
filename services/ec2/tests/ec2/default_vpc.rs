//! The VPC that every account has in every region.

use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::{World, ask, text, texts, until};

async fn vpcs(world: &World) -> Vec<Json> {
    let found = world.ok::<DescribeVpcsInput>(json!({})).await;
    found["vpcSet"].as_array().unwrap().clone()
}

#[tokio::test]
async fn it_is_there_for_who_looks() {
    let world = World::untouched();
    let filters = json!([{"Name": "is-default", "Values": ["true"]}]);
    let found = world
        .ok::<DescribeVpcsInput>(json!({"Filters": filters}))
        .await;
    let vpc = &found["vpcSet"][0];
    assert_eq!(
        (&vpc["cidrBlock"], &vpc["isDefault"]),
        (&json!("172.31.0.0/16"), &json!(true))
    );
    let id = text(&vpc["vpcId"]);
    let hostnames = json!({"VpcId": id, "Attribute": "enableDnsHostnames"});
    let found = world.ok::<DescribeVpcAttributeInput>(hostnames).await;
    assert_eq!(found["enableDnsHostnames"]["value"], true);

    let found = world.ok::<DescribeSubnetsInput>(json!({})).await;
    let subnets = &found["subnetSet"];
    assert_eq!(
        texts(subnets, "availabilityZone")
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>(),
        ["us-east-1a", "us-east-1b", "us-east-1c"]
            .map(str::to_owned)
            .into()
    );
    for subnet in subnets.as_array().unwrap() {
        assert_eq!(subnet["defaultForAz"], true);
        assert_eq!(subnet["mapPublicIpOnLaunch"], true);
        assert_eq!(subnet["availableIpAddressCount"], 4091);
    }
    let gateways = world.ok::<DescribeInternetGatewaysInput>(json!({})).await;
    let gateway = &gateways["internetGatewaySet"][0];
    assert_eq!(gateway["attachmentSet"][0]["vpcId"], json!(id));
    let tables = world.ok::<DescribeRouteTablesInput>(json!({})).await;
    let routes = &tables["routeTableSet"][0]["routeSet"];
    assert_eq!(
        texts(routes, "destinationCidrBlock"),
        ["172.31.0.0/16", "0.0.0.0/0"]
    );
    assert_eq!(routes[1]["gatewayId"], gateway["internetGatewayId"]);
    let acls = world.ok::<DescribeNetworkAclsInput>(json!({})).await;
    let held = acls["networkAclSet"][0]["associationSet"]
        .as_array()
        .unwrap();
    assert_eq!(held.len(), 3);
    let attributes = world.ok::<DescribeAccountAttributesInput>(json!({})).await;
    assert!(attributes.to_string().contains(&id), "{attributes}");
    // It is the one that is meant where none is named.
    let input = json!({"GroupName": "web", "Description": "d"});
    let group = text(&world.ok::<CreateSecurityGroupInput>(input).await["groupId"]);
    let found = (world.ok::<DescribeSecurityGroupsInput>(json!({"GroupIds": [group]}))).await;
    assert_eq!(found["securityGroupInfo"][0]["vpcId"], json!(id));
    assert_eq!(vpcs(&world).await.len(), 1);
}

#[tokio::test]
async fn who_names_something_else_does_not_make_it() {
    let world = World::untouched();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    world
        .ok::<DescribeVpcsInput>(json!({"VpcIds": [vpc]}))
        .await;
    world
        .ok::<DescribeSubnetsInput>(json!({"SubnetIds": [subnet]}))
        .await;
    world.default_group(&vpc).await;
    let own = json!({"Filters": [{"Name": "vpc-id", "Values": [vpc]}]});
    world.ok::<DescribeRouteTablesInput>(own.clone()).await;
    world.ok::<DescribeNetworkAclsInput>(own).await;
    let everything = world.ok::<DescribeTagsInput>(json!({})).await;
    assert_eq!(everything["tagSet"], json!([]));
    // Whoever makes it be there by a call that may be repeated is answered with its own.
    let cx = world.cx.with_token("t");
    let input = json!({"GroupName": "web", "Description": "d"});
    let first = ask::<CreateSecurityGroupInput>(&cx, input.clone())
        .await
        .unwrap();
    assert_eq!(
        ask::<CreateSecurityGroupInput>(&cx, input).await.unwrap(),
        first
    );
    assert_eq!(vpcs(&world).await.len(), 2);
}

async fn delete(world: &World, id: &str) {
    let own = json!({"Filters": [{"Name": "vpc-id", "Values": [id]}]});
    let subnets = world.ok::<DescribeSubnetsInput>(own).await;
    for subnet in texts(&subnets["subnetSet"], "subnetId") {
        let input = json!({"SubnetId": subnet});
        world.ok::<DeleteSubnetInput>(input).await;
    }
    let own = json!({"Filters": [{"Name": "attachment.vpc-id", "Values": [id]}]});
    let gateways = world.ok::<DescribeInternetGatewaysInput>(own).await;
    let gateway = &gateways["internetGatewaySet"][0]["internetGatewayId"];
    let both = json!({"InternetGatewayId": gateway, "VpcId": id});
    world.ok::<DetachInternetGatewayInput>(both).await;
    let input = json!({"InternetGatewayId": gateway});
    world.ok::<DeleteInternetGatewayInput>(input).await;
    world.ok::<DeleteVpcInput>(json!({"VpcId": id})).await;
}

#[tokio::test]
async fn what_is_deleted_stays_so_until_it_is_asked_for() {
    let world = World::untouched();
    let there = "A Default VPC already exists for this account in this region.";
    (world.refused::<CreateDefaultVpcInput>(json!({}), "DefaultVpcAlreadyExists", there)).await;
    let id = text(&vpcs(&world).await[0]["vpcId"]);
    delete(&world, &id).await;
    assert_eq!(vpcs(&world).await, [] as [Json; 0]);
    let zone = json!({"AvailabilityZone": "us-east-1b"});
    let none = "No default VPC exists for this account in this region.";
    (world.refused::<CreateDefaultSubnetInput>(zone.clone(), "DefaultVpcDoesNotExist", none)).await;

    let made = world.ok::<CreateDefaultVpcInput>(json!({})).await;
    assert_ne!(made["vpc"]["vpcId"], json!(id));
    let found = world.ok::<DescribeSubnetsInput>(json!({})).await;
    let second = found["subnetSet"].as_array().unwrap().iter();
    let second = second
        .clone()
        .find(|it| it["availabilityZone"] == "us-east-1b")
        .unwrap();
    let there = format!(
        "'{}' is already the default subnet in us-east-1b",
        text(&second["subnetId"])
    );
    (world.refused::<CreateDefaultSubnetInput>(
        zone.clone(),
        "DefaultSubnetAlreadyExistsInAvailabilityZone",
        &there,
    ))
    .await;
    let input = json!({"SubnetId": second["subnetId"]});
    world.ok::<DeleteSubnetInput>(input).await;
    let again = world.ok::<CreateDefaultSubnetInput>(zone).await;
    assert_eq!(again["subnet"]["cidrBlock"], second["cidrBlock"]);
    assert_eq!(again["subnet"]["defaultForAz"], true);
}

/// Regions that are only looked at cost no namespace.
#[tokio::test]
async fn the_machine_hears_of_it_with_its_first_interface() {
    let world = World::untouched();
    tokio::spawn(world.cloud.clone().run());
    let id = text(&vpcs(&world).await[0]["vpcId"]);
    let other = world.vpc("10.0.0.0/16").await;
    until("the other is there", || world.in_engine(&other).is_some()).await;
    assert_eq!(world.in_engine(&id), None);
    let found = world.ok::<DescribeSubnetsInput>(json!({})).await;
    let subnets = found["subnetSet"].as_array().unwrap().iter();
    let own = subnets.clone().find(|it| it["vpcId"] == json!(id)).unwrap();
    let interface = world.interface(&text(&own["subnetId"]), &[]).await;
    until("it is attached", || world.attached(&interface).is_some()).await;
    assert_eq!(world.in_engine(&id).unwrap().subnets.len(), 3);
    // From now on it is a network like any other.
    let input = json!({"GroupName": "web", "Description": "d"});
    let group = text(&world.ok::<CreateSecurityGroupInput>(input).await["groupId"]);
    until("its parts are told", || {
        world
            .in_engine(&id)
            .unwrap()
            .groups
            .iter()
            .any(|it| it.id == group)
    })
    .await;
}
