//! What reaches the machine.

use engine::{GroupRule, Peer, Protocol, RouteTarget};
use serde_json::json;
use shapes::ec2::*;

use crate::world::{World, text, until};

#[tokio::test]
async fn a_network_with_its_parts() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16").await;
    let (open, shut) = (
        world.subnet(&vpc, "10.0.1.0/24").await,
        world.subnet(&vpc, "10.0.2.0/24").await,
    );
    let gateway = world.gateway().await;
    let both = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    world.ok::<AttachInternetGatewayInput>(both.clone()).await;
    let table = world.table(&vpc).await;
    world
        .ok::<CreateRouteInput>(json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}))
        .await;
    world
        .ok::<AssociateRouteTableInput>(json!({"RouteTableId": table, "SubnetId": open}))
        .await;
    let (web, db) = (
        world.group(&vpc, "web").await,
        world.group(&vpc, "db").await,
    );
    let permissions = json!([
        {"IpProtocol": "TCP", "FromPort": 80, "ToPort": 9292, "UserIdGroupPairs": [{"GroupId": web}]},
        {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        {"IpProtocol": "50", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        // Nothing here speaks IPv6: no packet ever matches it.
        {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    ]);
    let input = json!({"GroupId": db, "IpPermissions": permissions});
    world.ok::<AuthorizeSecurityGroupIngressInput>(input).await;
    let everything = json!({"GroupId": db, "IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]});
    world.ok::<RevokeSecurityGroupEgressInput>(everything).await;

    let spec = || {
        world
            .in_engine(&vpc)
            .unwrap_or_else(|| panic!("no network"))
    };
    let group = |id: &str| spec().groups.into_iter().find(|it| it.id == *id);
    until("the last change is applied", || {
        world.in_engine(&vpc).is_some()
            && group(&db).is_some_and(|it| it.ingress.len() == 4 && it.egress.is_empty())
    })
    .await;
    let spec_now = spec();
    assert_eq!(spec_now.ranges, ["10.0.0.0/16".parse().unwrap()]);
    let subnet = |id: &str| {
        spec_now
            .subnets
            .iter()
            .find(|it| it.id == *id)
            .unwrap()
            .clone()
    };
    assert_eq!(subnet(&open).route_table, table);
    let main = subnet(&shut).route_table;
    assert_ne!(main, table);
    let any = || Peer::Range("0.0.0.0/0".parse().unwrap());
    let rule = |protocol, peer| GroupRule { protocol, peer };
    assert_eq!(
        group(&db).unwrap().ingress,
        [
            rule(
                Protocol::Tcp { from: 80, to: 9292 },
                Peer::Group(web.clone())
            ),
            rule(
                Protocol::Udp { from: 53, to: 53 },
                Peer::Range("10.0.0.0/8".parse().unwrap())
            ),
            rule(Protocol::Icmp, any()),
            rule(Protocol::Other(50), any()),
        ]
    );
    assert_eq!(group(&web).unwrap().egress, [rule(Protocol::All, any())]);
    // The VPC's own group lets its members in.
    let own = world.default_group(&vpc).await;
    assert_eq!(
        group(&own).unwrap().ingress,
        [rule(Protocol::All, Peer::Group(own.clone()))]
    );

    // A route to a gateway that is detached leads nowhere, and somewhere again with the next one.
    let target = || {
        spec()
            .route_tables
            .iter()
            .find(|it| it.id == table)
            .unwrap()
            .routes[0]
            .target
    };
    assert_eq!(target(), RouteTarget::InternetGateway);
    world.ok::<DetachInternetGatewayInput>(both.clone()).await;
    until("the route is a black hole", || {
        target() == RouteTarget::Blackhole
    })
    .await;
    world.ok::<AttachInternetGatewayInput>(both).await;
    until("the route leads out again", || {
        target() == RouteTarget::InternetGateway
    })
    .await;

    // Another main table takes the subnets that follow none of their own.
    let found = world
        .ok::<DescribeRouteTablesInput>(json!({"RouteTableIds": [main]}))
        .await;
    let association =
        text(&found["routeTableSet"][0]["associationSet"][0]["routeTableAssociationId"]);
    world
        .ok::<ReplaceRouteTableAssociationInput>(
            json!({"AssociationId": association, "RouteTableId": table}),
        )
        .await;
    until("both subnets follow it", || {
        spec().subnets.iter().all(|it| it.route_table == table)
    })
    .await;
}

#[tokio::test]
async fn interfaces_follow_their_records() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let group = world.group(&vpc, "web").await;
    let id = world.interface(&subnet, &[]).await;
    until("it is attached", || world.attached(&id).is_some()).await;
    let first = world.attached(&id).unwrap();
    assert_eq!(first.vpc, vpc);
    assert_eq!(first.subnet, subnet);
    assert_eq!(first.groups, [world.default_group(&vpc).await]);
    assert!(!first.public);
    let octets = first.address.octets();
    assert_eq!(
        first.mac,
        [2, 10, octets[0], octets[1], octets[2], octets[3]]
    );

    let change =
        json!({"NetworkInterfaceId": id, "Groups": [group], "AssociatePublicIpAddress": true});
    world
        .ok::<ModifyNetworkInterfaceAttributeInput>(change)
        .await;
    until("it is changed", || {
        world.attached(&id).is_some_and(|it| it.public)
    })
    .await;
    assert_eq!(world.attached(&id).unwrap().groups, [group]);
    let change = json!({"NetworkInterfaceId": id, "AssociatePublicIpAddress": false});
    world
        .ok::<ModifyNetworkInterfaceAttributeInput>(change)
        .await;
    until("it is private again", || {
        world.attached(&id).is_some_and(|it| !it.public)
    })
    .await;
}

/// Everything that was recorded before a restart is made real after it, and what was being deleted
/// goes.
#[tokio::test]
async fn recovery() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let doomed = world.vpc("10.1.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let (kept, gone) = (
        world.interface(&subnet, &[]).await,
        world.interface(&subnet, &[]).await,
    );
    world
        .ok::<DeleteNetworkInterfaceInput>(json!({"NetworkInterfaceId": gone}))
        .await;
    world.ok::<DeleteVpcInput>(json!({"VpcId": doomed})).await;
    assert_eq!(world.in_engine(&vpc), None);
    tokio::spawn(world.cloud.clone().run());
    until("the network is there", || world.in_engine(&vpc).is_some()).await;
    until("its interface is there", || world.attached(&kept).is_some()).await;
    assert_eq!(world.attached(&gone), None);
    assert_eq!(world.in_engine(&doomed), None);
}

/// A record as a later version might have written it.
#[derive(serde::Serialize, serde::Deserialize)]
struct Strange<const KIND: usize> {
    key: String,
}

const KINDS: [&str; 4] = [
    "ec2.route-table",
    "ec2.internet-gateway",
    "ec2.security-group",
    "ec2.subnet",
];

impl<const KIND: usize> cloud::Record for Strange<KIND> {
    const KIND: &'static str = KINDS[KIND];
    fn key(&self) -> String {
        self.key.clone()
    }
}

/// What one part of a network says that cannot be read is not known: it stays as it is on the machine, and
/// the region's networks go on following their records.
#[tokio::test]
async fn what_cannot_be_read_stays_as_it_is() {
    let world = World::new();
    let (vpc, other) = (
        world.vpc("10.0.0.0/16").await,
        world.vpc("10.1.0.0/16").await,
    );
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let gateway = world.gateway().await;
    let both = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    world.ok::<AttachInternetGatewayInput>(both).await;
    let (table, through) = (world.table(&vpc).await, world.table(&vpc).await);
    let route =
        json!({"RouteTableId": through, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway});
    world.ok::<CreateRouteInput>(route).await;
    let association = json!({"RouteTableId": table, "SubnetId": subnet});
    world.ok::<AssociateRouteTableInput>(association).await;
    let group = world.group(&vpc, "web").await;
    let changed = [
        (vpc.clone(), world.group(&vpc, "changed").await),
        (other.clone(), world.group(&other, "changed").await),
    ];
    until("all of it is on the machine", || {
        let known = world.in_engine(&vpc);
        let has = |it: engine::VpcSpec| it.groups.iter().any(|it| it.id == changed[0].1);
        known.is_some_and(has) && world.in_engine(&other).is_some()
    })
    .await;
    // Of the parts that stay.
    let parts = || {
        let mut known = world.in_engine(&vpc).unwrap();
        known.groups.retain(|it| it.id == group);
        known.subnets.sort_by(|a, b| a.id.cmp(&b.id));
        known.route_tables.sort_by(|a, b| a.id.cmp(&b.id));
        known
    };
    let before = parts();
    assert!(before.subnets.iter().any(|it| it.route_table == table));
    for (kind, id) in [&table, &gateway, &group, &subnet].into_iter().enumerate() {
        let key = format!("us-east-1/{id}");
        let spoiled = world.cx.write(|tx| match kind {
            0 => tx.put(&Strange::<0> { key }),
            1 => tx.put(&Strange::<1> { key }),
            2 => tx.put(&Strange::<2> { key }),
            _ => tx.put(&Strange::<3> { key }),
        });
        spoiled.unwrap();
        for (vpc, group) in &changed {
            let port = 100 + kind;
            let permissions = json!([{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]);
            let input = json!({"GroupId": group, "IpPermissions": permissions});
            world.ok::<AuthorizeSecurityGroupIngressInput>(input).await;
            until("the change is on the machine", || {
                let known = world.in_engine(vpc).unwrap();
                let group = known.groups.into_iter().find(|it| it.id == *group);
                group.is_some_and(|it| it.ingress.len() == kind + 1)
            })
            .await;
        }
        assert_eq!(parts(), before, "{}", KINDS[kind]);
        let known = world.in_engine(&other).unwrap();
        assert!(
            known.subnets.is_empty(),
            "nothing of the one is the other's"
        );
    }
}
