//! In which order things can be deleted, and when they are gone.

use serde_json::json;
use shapes::ec2::*;

use crate::world::{World, text, until};

#[tokio::test]
async fn every_order_but_the_right_one_is_refused() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let gateway = world.gateway().await;
    let table = world.table(&vpc).await;
    let (group, peer) = (
        world.group(&vpc, "web").await,
        world.group(&vpc, "peer").await,
    );
    let attach = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    world.ok::<AttachInternetGatewayInput>(attach.clone()).await;
    let associated = world
        .ok::<AssociateRouteTableInput>(json!({"RouteTableId": table, "SubnetId": subnet}))
        .await;
    let rule = json!({"GroupId": peer, "IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]});
    world
        .ok::<AuthorizeSecurityGroupIngressInput>(rule.clone())
        .await;
    let interface = world.interface(&subnet, &[&group]).await;
    world
        .ok::<ModifyNetworkInterfaceAttributeInput>(
            json!({"NetworkInterfaceId": interface, "AssociatePublicIpAddress": true}),
        )
        .await;
    until("the interface is attached", || {
        world.attached(&interface).is_some_and(|it| it.public)
    })
    .await;

    let has =
        |what: &str, id: &str| format!("The {what} '{id}' has dependencies and cannot be deleted.");
    let code = "DependencyViolation";
    let dependent = format!("resource {group} has a dependent object");
    let vpc_input = json!({"VpcId": vpc});
    let group_input = json!({"GroupId": group});
    let refuse_vpc = async || {
        world
            .refused::<DeleteVpcInput>(vpc_input.clone(), code, &has("vpc", &vpc))
            .await
    };

    refuse_vpc().await;
    world
        .refused::<DeleteSubnetInput>(json!({"SubnetId": subnet}), code, &has("subnet", &subnet))
        .await;
    world
        .refused::<DeleteInternetGatewayInput>(
            json!({"InternetGatewayId": gateway}),
            code,
            &has("internetGateway", &gateway),
        )
        .await;
    world.refused::<DetachInternetGatewayInput>(attach.clone(), code, &format!("Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.")).await;
    world
        .refused::<DeleteRouteTableInput>(
            json!({"RouteTableId": table}),
            code,
            &has("routeTable", &table),
        )
        .await;
    world
        .refused::<DeleteSecurityGroupInput>(group_input.clone(), code, &dependent)
        .await;

    world
        .ok::<DeleteNetworkInterfaceInput>(json!({"NetworkInterfaceId": interface}))
        .await;
    // A rule of the other group still names it.
    world
        .refused::<DeleteSecurityGroupInput>(group_input.clone(), code, &dependent)
        .await;
    world.ok::<RevokeSecurityGroupIngressInput>(rule).await;
    world.ok::<DeleteSecurityGroupInput>(group_input).await;
    refuse_vpc().await;
    world
        .ok::<DeleteSecurityGroupInput>(json!({"GroupId": peer}))
        .await;
    refuse_vpc().await;
    world
        .ok::<DisassociateRouteTableInput>(json!({"AssociationId": associated["associationId"]}))
        .await;
    world
        .ok::<DeleteRouteTableInput>(json!({"RouteTableId": table}))
        .await;
    refuse_vpc().await;
    world
        .ok::<DeleteSubnetInput>(json!({"SubnetId": subnet}))
        .await;
    refuse_vpc().await;
    world.ok::<DetachInternetGatewayInput>(attach).await;
    world
        .ok::<DeleteInternetGatewayInput>(json!({"InternetGatewayId": gateway}))
        .await;
    world.ok::<DeleteVpcInput>(vpc_input).await;
    until("the network is gone", || world.in_engine(&vpc).is_none()).await;
    until("the interface is gone", || {
        world.attached(&interface).is_none()
    })
    .await;
    // Nothing is left in the store, the VPC's own table and group included.
    for count in [
        world.ok::<DescribeSecurityGroupsInput>(json!({})).await["securityGroupInfo"].clone(),
        world.ok::<DescribeRouteTablesInput>(json!({})).await["routeTableSet"].clone(),
        world.ok::<DescribeTagsInput>(json!({})).await["tagSet"].clone(),
    ] {
        assert_eq!(count, json!([]));
    }
}

/// The main route table cannot be deleted, and neither can one that a subnet follows.
#[tokio::test]
async fn the_main_table_stays() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let found = world.ok::<DescribeRouteTablesInput>(json!({})).await;
    let main = text(&found["routeTableSet"][0]["routeTableId"]);
    let message = format!("The routeTable '{main}' has dependencies and cannot be deleted.");
    world
        .refused::<DeleteRouteTableInput>(
            json!({"RouteTableId": main}),
            "DependencyViolation",
            &message,
        )
        .await;
    world.ok::<DeleteVpcInput>(json!({"VpcId": vpc})).await;
}

/// The machine is slow to let go: to callers the interface is gone at once, its address is not given
/// to another, its group and subnet may be deleted, and in the end all of it is gone.
#[tokio::test]
async fn a_subnet_and_a_group_may_go_right_after_their_interface() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/28").await;
    let group = world.group(&vpc, "web").await;
    let input = json!({"SubnetId": subnet, "Groups": [group], "PrivateIpAddress": "10.0.1.5"});
    let made = world.ok::<CreateNetworkInterfaceInput>(input.clone()).await;
    let interface = text(&made["networkInterface"]["networkInterfaceId"]);
    until("it is attached", || world.attached(&interface).is_some()).await;

    world.hold_on(true);
    let gone = json!({"NetworkInterfaceId": interface});
    world.ok::<DeleteNetworkInterfaceInput>(gone.clone()).await;
    let (code, _) = world
        .ask::<DeleteNetworkInterfaceInput>(gone)
        .await
        .unwrap_err();
    assert_eq!(code, "InvalidNetworkInterfaceID.NotFound");
    let found = world.ok::<DescribeNetworkInterfacesInput>(json!({})).await;
    assert_eq!(found["networkInterfaceSet"], json!([]));
    let (code, _) = world
        .ask::<CreateNetworkInterfaceInput>(input)
        .await
        .unwrap_err();
    assert_eq!(code, "InvalidIPAddress.InUse");
    world
        .ok::<DeleteSecurityGroupInput>(json!({"GroupId": group}))
        .await;
    world
        .ok::<DeleteSubnetInput>(json!({"SubnetId": subnet}))
        .await;

    // The machine refuses to lose them while the interface is there, and keeps what it has.
    let before = world
        .sim
        .network
        .applied
        .load(std::sync::atomic::Ordering::SeqCst);
    let again = || {
        world
            .sim
            .network
            .applied
            .load(std::sync::atomic::Ordering::SeqCst)
            > before + 1
    };
    until("the network is applied again and again", again).await;
    let kept = world.in_engine(&vpc).unwrap();
    assert!(kept.subnets.iter().any(|it| it.id == subnet));

    world.hold_on(false);
    until("the interface is let go", || {
        world.attached(&interface).is_none()
    })
    .await;
    let clean = || {
        let spec = world.in_engine(&vpc).unwrap();
        spec.subnets.is_empty() && !spec.groups.iter().any(|it| it.id == group)
    };
    until("the subnet and the group are gone", clean).await;
    // The address is free again, in a subnet of the same range.
    let subnet = world.subnet(&vpc, "10.0.1.0/28").await;
    let input = json!({"SubnetId": subnet, "PrivateIpAddress": "10.0.1.5"});
    let made = world.ok::<CreateNetworkInterfaceInput>(input).await;
    let interface = text(&made["networkInterface"]["networkInterfaceId"]);
    until("the next one is attached", || {
        world.attached(&interface).is_some()
    })
    .await;
}
