//! A request that is repeated with its token gives the same and makes nothing twice.

use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::{World, ask};

async fn twice<I: wire::Operation + Default>(world: &World, input: Json) -> Json {
    let cx = world.cx.with_token(format!("token of {}", I::NAME));
    let first = ask::<I>(&cx, input.clone()).await.unwrap();
    let second = ask::<I>(&cx, input.clone()).await.unwrap();
    assert_eq!(first, second, "{} {input}", I::NAME);
    // Another token is another request: it makes another, or meets the first one's.
    let other = world.cx.with_token(format!("another {}", I::NAME));
    assert_ne!(
        ask::<I>(&other, input).await,
        Ok(first.clone()),
        "{}",
        I::NAME
    );
    first
}

#[tokio::test]
async fn every_creation_may_be_repeated() {
    let world = World::unmoving();
    let vpc = twice::<CreateVpcInput>(&world, json!({"CidrBlock": "10.0.0.0/16"})).await;
    let vpc = &vpc["vpc"]["vpcId"];
    let subnet = json!({"VpcId": vpc, "CidrBlock": "10.0.1.0/24"});
    let subnet = twice::<CreateSubnetInput>(&world, subnet).await;
    let subnet = &subnet["subnet"]["subnetId"];
    twice::<CreateInternetGatewayInput>(&world, json!({})).await;
    let table = twice::<CreateRouteTableInput>(&world, json!({"VpcId": vpc})).await;
    let table = &table["routeTable"]["routeTableId"];
    let group = json!({"VpcId": vpc, "GroupName": "web", "Description": "d"});
    twice::<CreateSecurityGroupInput>(&world, group).await;
    twice::<CreateNetworkInterfaceInput>(&world, json!({"SubnetId": subnet})).await;
    let associate = json!({"RouteTableId": table, "SubnetId": subnet});
    twice::<AssociateRouteTableInput>(&world, associate).await;
    for (count, found) in [
        (
            2,
            world.ok::<DescribeVpcsInput>(json!({})).await["vpcSet"].clone(),
        ),
        (
            1,
            world.ok::<DescribeSubnetsInput>(json!({})).await["subnetSet"].clone(),
        ),
        (
            2,
            world.ok::<DescribeInternetGatewaysInput>(json!({})).await["internetGatewaySet"]
                .clone(),
        ),
        // Each VPC's main one, and two that were made.
        (
            4,
            world.ok::<DescribeRouteTablesInput>(json!({})).await["routeTableSet"].clone(),
        ),
        // Each VPC's own, and one that was made.
        (
            3,
            world.ok::<DescribeSecurityGroupsInput>(json!({})).await["securityGroupInfo"].clone(),
        ),
        (
            2,
            world.ok::<DescribeNetworkInterfacesInput>(json!({})).await["networkInterfaceSet"]
                .clone(),
        ),
    ] {
        assert_eq!(found.as_array().unwrap().len(), count, "{found}");
    }
}

/// These have no id of their own: the same token meets what it made and is content.
#[tokio::test]
async fn attachments_routes_and_rules_may_be_repeated() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let gateway = world.gateway().await;
    let table = world.table(&vpc).await;
    let group = world.group(&vpc, "web").await;
    let cx = world.cx.with_token("t");
    let all = json!([{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]);
    let attach = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    let route =
        json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway});
    let rule = json!({"GroupId": group, "IpPermissions": all});
    let mut answers = vec![];
    for _ in 0..2 {
        ask::<AttachInternetGatewayInput>(&cx, attach.clone())
            .await
            .unwrap();
        ask::<CreateRouteInput>(&cx, route.clone()).await.unwrap();
        answers.push(
            ask::<AuthorizeSecurityGroupIngressInput>(&cx, rule.clone())
                .await
                .unwrap(),
        );
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_clients_own_token_serves_as_well() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let interface = json!({"SubnetId": subnet, "ClientToken": "mine"});
    let table = json!({"VpcId": vpc, "ClientToken": "mine"});
    assert_eq!(
        world
            .ok::<CreateNetworkInterfaceInput>(interface.clone())
            .await,
        world.ok::<CreateNetworkInterfaceInput>(interface).await
    );
    assert_eq!(
        world.ok::<CreateRouteTableInput>(table.clone()).await,
        world.ok::<CreateRouteTableInput>(table).await
    );
}
