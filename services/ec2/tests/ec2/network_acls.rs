//! Network ACLs: what is recorded, and what the machine is told.

use cloud::Record;
use engine::{Decision, GuardEntry, GuardSpec, Passage, Protocol};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::{World, text, texts, until};

async fn acls(world: &World, filters: Json) -> Vec<Json> {
    let found = (world.ok::<DescribeNetworkAclsInput>(json!({"Filters": filters}))).await;
    found["networkAclSet"].as_array().unwrap().clone()
}

async fn own_acl(world: &World, vpc: &str) -> Json {
    let filters =
        json!([{"Name": "vpc-id", "Values": [vpc]}, {"Name": "default", "Values": ["true"]}]);
    let [own] = &acls(world, filters).await[..] else {
        panic!("there is not one")
    };
    own.clone()
}

async fn make(world: &World, vpc: &str) -> String {
    let made = world
        .ok::<CreateNetworkAclInput>(json!({"VpcId": vpc}))
        .await;
    text(&made["networkAcl"]["networkAclId"])
}

async fn association_of(world: &World, subnet: &str) -> (String, String) {
    let filters = json!([{"Name": "association.subnet-id", "Values": [subnet]}]);
    let found = acls(world, filters).await;
    let all = found[0]["associationSet"].as_array().unwrap();
    let own = all.iter().find(|it| it["subnetId"] == *subnet).unwrap();
    (
        text(&own["networkAclAssociationId"]),
        text(&own["networkAclId"]),
    )
}

async fn move_to(world: &World, subnet: &str, acl: &str) -> String {
    let (association, _) = association_of(world, subnet).await;
    let input = json!({"AssociationId": association, "NetworkAclId": acl});
    let moved = world.ok::<ReplaceNetworkAclAssociationInput>(input).await;
    text(&moved["newAssociationId"])
}

/// `100 allow -1 0.0.0.0/0`, of both ways one after the other.
fn told(acl: &Json) -> Vec<String> {
    let entries = acl["entrySet"].as_array().unwrap().iter();
    entries
        .map(|it| {
            let way = if it["egress"] == true { "out" } else { "in" };
            let ports = match &it["portRange"] {
                Json::Null => String::new(),
                range => format!(" {}-{}", range["from"], range["to"]),
            };
            let peer = it["cidrBlock"].as_str().or(it["ipv6CidrBlock"].as_str());
            format!(
                "{way} {} {} {}{ports} {}",
                it["ruleNumber"],
                text(&it["ruleAction"]),
                text(&it["protocol"]),
                peer.unwrap()
            )
        })
        .collect()
}

#[tokio::test]
async fn a_networks_own_lets_everything_pass_and_has_all_subnets_that_are_nowhere_else() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let (one, two) = (
        world.subnet(&vpc, "10.0.1.0/24").await,
        world.subnet(&vpc, "10.0.2.0/24").await,
    );
    let own = own_acl(&world, &vpc).await;
    assert_eq!(
        told(&own),
        [
            "in 100 allow -1 0.0.0.0/0",
            "out 100 allow -1 0.0.0.0/0",
            "in 32767 deny -1 0.0.0.0/0",
            "out 32767 deny -1 0.0.0.0/0"
        ]
    );
    let mut subnets = texts(&own["associationSet"], "subnetId");
    subnets.sort();
    let mut expected = vec![one.clone(), two.clone()];
    expected.sort();
    assert_eq!(subnets, expected);

    let other = make(&world, &vpc).await;
    let association = move_to(&world, &one, &other).await;
    assert_eq!(
        association_of(&world, &one).await,
        (association, other.clone())
    );
    assert_eq!(
        texts(&own_acl(&world, &vpc).await["associationSet"], "subnetId"),
        [two]
    );
    // A new one lets nothing pass.
    let filters = json!([{"Name": "network-acl-id", "Values": [other]}]);
    let last = ["in 32767 deny -1 0.0.0.0/0", "out 32767 deny -1 0.0.0.0/0"];
    assert_eq!(told(&acls(&world, filters).await[0]), last);

    let depends = format!("The networkAcl '{other}' has dependencies and cannot be deleted.");
    let input = json!({"NetworkAclId": other});
    world
        .refused::<DeleteNetworkAclInput>(input.clone(), "DependencyViolation", &depends)
        .await;
    world
        .ok::<DeleteSubnetInput>(json!({"SubnetId": one}))
        .await;
    let depends = format!("The vpc '{vpc}' has dependencies and cannot be deleted.");
    for subnet in texts(&own_acl(&world, &vpc).await["associationSet"], "subnetId") {
        world
            .ok::<DeleteSubnetInput>(json!({"SubnetId": subnet}))
            .await;
    }
    world
        .refused::<DeleteVpcInput>(json!({"VpcId": vpc}), "DependencyViolation", &depends)
        .await;
    world.ok::<DeleteNetworkAclInput>(input).await;
    world.ok::<DeleteVpcInput>(json!({"VpcId": vpc})).await;
    assert_eq!(acls(&world, json!([])).await, [] as [Json; 0]);
}

#[tokio::test]
async fn entries_come_and_go_and_are_read_back() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let acl = make(&world, &vpc).await;
    let entry = |number: i32, more: Json| {
        let mut entry = json!({"NetworkAclId": acl, "RuleNumber": number, "Egress": false, "RuleAction": "allow", "Protocol": "-1"});
        let more = more.as_object().unwrap().clone();
        entry.as_object_mut().unwrap().extend(more);
        entry
    };
    for (number, more) in [
        (200, json!({"CidrBlock": "10.1.2.3/16"})),
        (
            100,
            json!({"Protocol": "6", "PortRange": {"From": 80, "To": 443}, "CidrBlock": "0.0.0.0/0"}),
        ),
        (101, json!({"Ipv6CidrBlock": "::/0"})),
        (
            300,
            json!({"Egress": true, "RuleAction": "deny", "Protocol": "50", "CidrBlock": "0.0.0.0/0"}),
        ),
    ] {
        world
            .ok::<CreateNetworkAclEntryInput>(entry(number, more))
            .await;
    }
    let found = async || {
        let found = (world.ok::<DescribeNetworkAclsInput>(json!({"NetworkAclIds": [acl]}))).await;
        let mut told = told(&found["networkAclSet"][0]);
        told.retain(|it| !it.contains("32767"));
        told
    };
    assert_eq!(
        found().await,
        [
            "in 100 allow 6 80-443 0.0.0.0/0",
            "in 101 allow -1 ::/0",
            "in 200 allow -1 10.1.0.0/16",
            "out 300 deny 50 0.0.0.0/0",
        ]
    );
    let replaced = entry(
        100,
        json!({"RuleAction": "deny", "Protocol": "1", "IcmpTypeCode": {"Type": 8, "Code": -1}, "CidrBlock": "0.0.0.0/0"}),
    );
    world.ok::<ReplaceNetworkAclEntryInput>(replaced).await;
    let number = |number: i32| json!({"NetworkAclId": acl, "RuleNumber": number, "Egress": false});
    world.ok::<DeleteNetworkAclEntryInput>(number(200)).await;
    assert_eq!(
        found().await,
        [
            "in 100 deny 1 0.0.0.0/0",
            "in 101 allow -1 ::/0",
            "out 300 deny 50 0.0.0.0/0"
        ]
    );
    for (name, value) in [
        ("entry.icmp.type", "8"),
        ("entry.rule-number", "300"),
        ("entry.protocol", "50"),
        ("entry.ipv6-cidr", "::/0"),
    ] {
        let filters = json!([{"Name": name, "Values": [value]}]);
        assert_eq!(acls(&world, filters).await.len(), 1, "{name}");
    }

    let whole = json!({"CidrBlock": "0.0.0.0/0"});
    let there = "The network acl entry identified by 100 already exists.";
    let none = "The network acl entry identified by 200 does not exist.";
    let cases = [
        (
            entry(100, whole.clone()),
            "NetworkAclEntryAlreadyExists",
            there,
        ),
        (
            entry(32767, whole.clone()),
            "InvalidParameterValue",
            "Invalid rule number '32767': it must be from 1 to 32766",
        ),
        (
            entry(1, json!({})),
            "MissingParameter",
            "Either 'cidrBlock' or 'ipv6CidrBlock' should be provided.",
        ),
        (
            entry(
                1,
                json!({"CidrBlock": "10.0.0.0/8", "Ipv6CidrBlock": "::/0"}),
            ),
            "InvalidParameterCombination",
            "Only one of 'cidrBlock' and 'ipv6CidrBlock' can be provided.",
        ),
        (
            entry(1, json!({"CidrBlock": "0.0.0.0/0", "Protocol": "17"})),
            "MissingParameter",
            "The request must contain the parameter portRange",
        ),
        (
            entry(
                1,
                json!({"CidrBlock": "0.0.0.0/0", "Protocol": "6", "PortRange": {"From": 2, "To": 1}}),
            ),
            "InvalidParameterValue",
            "Invalid TCP/UDP port range (2:1)",
        ),
        (
            entry(1, json!({"CidrBlock": "0.0.0.0/0", "Protocol": "1"})),
            "MissingParameter",
            "The request must contain the parameter icmpTypeCode",
        ),
    ];
    for (input, code, message) in cases {
        world
            .refused::<CreateNetworkAclEntryInput>(input, code, message)
            .await;
    }
    world
        .refused::<DeleteNetworkAclEntryInput>(number(200), "InvalidNetworkAclEntry.NotFound", none)
        .await;
    world
        .refused::<ReplaceNetworkAclEntryInput>(
            entry(200, whole),
            "InvalidNetworkAclEntry.NotFound",
            none,
        )
        .await;
    let own = text(&own_acl(&world, &vpc).await["networkAclId"]);
    let refusal = format!("cannot delete default network ACL {own}");
    world
        .refused::<DeleteNetworkAclInput>(
            json!({"NetworkAclId": own}),
            "InvalidParameterValue",
            &refusal,
        )
        .await;
}

#[tokio::test]
async fn the_machine_is_told_what_each_subnet_lets_pass() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16").await;
    let (public, private) = (
        world.subnet(&vpc, "10.0.1.0/24").await,
        world.subnet(&vpc, "10.0.2.0/24").await,
    );
    until("the network is there", || world.in_engine(&vpc).is_some()).await;
    // What lets everything pass is nothing to tell of.
    assert_eq!(world.in_engine(&vpc).unwrap().guards, []);

    let acl = make(&world, &vpc).await;
    for (number, action, protocol) in [(20, "allow", "-1"), (10, "deny", "17")] {
        let input = json!({"NetworkAclId": acl, "RuleNumber": number, "Egress": false, "RuleAction": action,
            "Protocol": protocol, "PortRange": {"From": 53, "To": 53}, "CidrBlock": "0.0.0.0/0"});
        world.ok::<CreateNetworkAclEntryInput>(input).await;
    }
    move_to(&world, &public, &acl).await;
    // The private subnet goes out through a NAT gateway in the public one.
    let gateway = world.gateway().await;
    let both = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    world.ok::<AttachInternetGatewayInput>(both).await;
    let address = world.ok::<AllocateAddressInput>(json!({})).await;
    let input = json!({"SubnetId": public, "AllocationId": address["allocationId"]});
    let nat = world.ok::<CreateNatGatewayInput>(input).await;
    let table = world.table(&vpc).await;
    let route = json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": nat["natGateway"]["natGatewayId"]});
    world.ok::<CreateRouteInput>(route).await;
    let both = json!({"RouteTableId": table, "SubnetId": private});
    world.ok::<AssociateRouteTableInput>(both).await;

    let everywhere = "0.0.0.0/0".parse().unwrap();
    let entry = |decision, protocol| GuardEntry {
        decision,
        protocol,
        peer: everywhere,
    };
    let expected = GuardSpec {
        id: acl,
        subnets: vec![public],
        passages: vec![Passage {
            from: private,
            to: everywhere,
            but: vec![],
        }],
        ingress: vec![
            entry(Decision::Deny, Protocol::Udp { from: 53, to: 53 }),
            entry(Decision::Allow, Protocol::All),
        ],
        egress: vec![],
    };
    until("its guard stands there", || {
        world
            .in_engine(&vpc)
            .is_some_and(|it| it.guards == [expected.clone()])
    })
    .await;
}

/// The record of a network ACL, whatever is in it.
#[derive(Serialize, Deserialize)]
struct AclRecord {}

impl Record for AclRecord {
    const KIND: &'static str = "ec2.network-acl";
    fn key(&self) -> String {
        String::new()
    }
}

/// A VPC and a subnet of a time before there were any.
#[tokio::test]
async fn a_network_without_one_of_its_own_gets_it() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let own = own_acl(&world, &vpc).await;
    let key = world.cx.key(&text(&own["networkAclId"]));
    (world.cx.write(|tx| tx.delete::<AclRecord>(&key))).unwrap();
    assert_eq!(acls(&world, json!([])).await, [] as [Json; 0]);
    tokio::spawn(world.cloud.clone().run());
    let count = || world.cx.read(|tx| tx.count::<AclRecord>(&world.cx.key("")));
    until("it is there", || count().unwrap() == 1).await;
    assert_eq!(own_acl(&world, &vpc).await, own);
    assert_eq!(
        association_of(&world, &subnet).await.1,
        text(&own["networkAclId"])
    );
}
