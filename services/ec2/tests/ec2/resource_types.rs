//! The types that stacks may create: made, made again, read, changed, deleted, deleted again.

use cloud::{ResourceRequest, Stability};
use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::{World, text, texts};

fn request(logical_id: &str, properties: Json) -> ResourceRequest {
    testkit::request("web", logical_id, properties)
}

/// Creates twice with one token; checks that every attribute has a value and that others have none.
async fn create(world: &World, name: &str, properties: Json) -> String {
    let kind = world
        .cloud
        .resource_type(&format!("AWS::EC2::{name}"))
        .unwrap();
    let request = request(name, properties);
    let first = kind.create(&world.cx, &request).await.unwrap();
    assert_eq!(
        kind.create(&world.cx, &request).await.unwrap(),
        first,
        "{name}"
    );
    assert_eq!(
        kind.stability(&world.cx, &first.physical_id).await,
        Ok(Stability::Stable)
    );
    for attribute in kind.attributes() {
        let value = kind
            .attribute(&world.cx, &first.physical_id, attribute)
            .await
            .unwrap();
        assert!(!value.is_null(), "{name}.{attribute}");
    }
    let unknown = kind
        .attribute(&world.cx, &first.physical_id, "Colour")
        .await
        .unwrap_err();
    assert_eq!(unknown.message, "attribute Colour is not known");
    first.physical_id
}

async fn attribute(world: &World, name: &str, id: &str, attribute: &str) -> Json {
    let kind = world
        .cloud
        .resource_type(&format!("AWS::EC2::{name}"))
        .unwrap();
    kind.attribute(&world.cx, id, attribute).await.unwrap()
}

async fn update(world: &World, name: &str, id: &str, old: Json, new: Json) {
    let kind = world
        .cloud
        .resource_type(&format!("AWS::EC2::{name}"))
        .unwrap();
    let mut request = request(name, new);
    request.token.push_str("/update");
    for _ in 0..2 {
        kind.update(&world.cx, id, &old, &request).await.unwrap();
    }
}

/// Deletes until it is gone, and once more.
async fn delete(world: &World, name: &str, id: &str, properties: Json) {
    let kind = world
        .cloud
        .resource_type(&format!("AWS::EC2::{name}"))
        .unwrap();
    kind.delete(&world.cx, id, &properties).await.unwrap();
    while kind.deleted(&world.cx, id).await.unwrap() != Stability::Stable {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    kind.delete(&world.cx, id, &properties).await.unwrap();
}

fn tags(pairs: &[(&str, &str)]) -> Json {
    pairs
        .iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect()
}

#[tokio::test]
async fn all_ten_from_creation_to_deletion() {
    let world = World::new();
    let vpc_properties = json!({"CidrBlock": "10.0.0.0/16", "EnableDnsHostnames": "true", "InstanceTenancy": "default", "Tags": tags(&[("Name", "n"), ("old", "1")])});
    let vpc = create(&world, "VPC", vpc_properties.clone()).await;
    assert_eq!(
        attribute(&world, "VPC", &vpc, "CidrBlock").await,
        "10.0.0.0/16"
    );
    assert_eq!(
        attribute(&world, "VPC", &vpc, "DefaultSecurityGroup").await,
        json!(world.default_group(&vpc).await)
    );
    let changed = json!({"CidrBlock": "10.0.0.0/16", "EnableDnsSupport": false, "Tags": tags(&[("Name", "m")])});
    update(&world, "VPC", &vpc, vpc_properties, changed.clone()).await;
    let found = world.ok::<DescribeVpcsInput>(json!({})).await;
    assert_eq!(
        found["vpcSet"][0]["tagSet"],
        json!([{"key": "Name", "value": "m"}, {"key": "stack", "value": "web"}])
    );
    let support = json!({"VpcId": vpc, "Attribute": "enableDnsSupport"});
    let found = world.ok::<DescribeVpcAttributeInput>(support).await;
    assert_eq!(found["enableDnsSupport"]["value"], false);

    let subnet_properties = json!({"VpcId": vpc, "CidrBlock": "10.0.1.0/24", "AvailabilityZone": "us-east-1b", "MapPublicIpOnLaunch": true});
    let subnet = create(&world, "Subnet", subnet_properties.clone()).await;
    assert_eq!(
        attribute(&world, "Subnet", &subnet, "AvailabilityZone").await,
        "us-east-1b"
    );
    assert_eq!(
        attribute(&world, "Subnet", &subnet, "VpcId").await,
        json!(vpc)
    );
    let mut private = subnet_properties.clone();
    private["MapPublicIpOnLaunch"] = json!("false");
    update(
        &world,
        "Subnet",
        &subnet,
        subnet_properties,
        private.clone(),
    )
    .await;
    let found = world.ok::<DescribeSubnetsInput>(json!({})).await;
    assert_eq!(found["subnetSet"][0]["mapPublicIpOnLaunch"], false);

    let gateway = create(&world, "InternetGateway", json!({})).await;
    update(
        &world,
        "InternetGateway",
        &gateway,
        json!({}),
        json!({"Tags": tags(&[("a", "b")])}),
    )
    .await;
    let attachment_properties = json!({"VpcId": vpc, "InternetGatewayId": gateway});
    let attachment = create(
        &world,
        "VPCGatewayAttachment",
        attachment_properties.clone(),
    )
    .await;
    assert_eq!(attachment, format!("IGW|{vpc}"));
    let table = create(&world, "RouteTable", json!({"VpcId": vpc})).await;
    update(
        &world,
        "RouteTable",
        &table,
        json!({"VpcId": vpc}),
        json!({"VpcId": vpc, "Tags": tags(&[("a", "b")])}),
    )
    .await;
    let route_properties =
        json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway});
    let route = create(&world, "Route", route_properties.clone()).await;
    assert_eq!(route, format!("{table}|0.0.0.0/0"));
    update(
        &world,
        "Route",
        &route,
        route_properties.clone(),
        route_properties.clone(),
    )
    .await;
    let association_properties = json!({"RouteTableId": table, "SubnetId": subnet});
    let association = create(
        &world,
        "SubnetRouteTableAssociation",
        association_properties.clone(),
    )
    .await;
    assert!(association.starts_with("rtbassoc-"), "{association}");

    let group_properties = json!({"GroupDescription": "d", "VpcId": vpc, "SecurityGroupIngress": [
        {"IpProtocol": "tcp", "FromPort": "80", "ToPort": 80, "CidrIp": "0.0.0.0/0"},
        {"IpProtocol": -1, "CidrIp": "10.0.0.0/8", "Description": "inside"},
    ]});
    let group = create(&world, "SecurityGroup", group_properties.clone()).await;
    let described = async || {
        let found = world
            .ok::<DescribeSecurityGroupsInput>(json!({"GroupIds": [group]}))
            .await;
        found["securityGroupInfo"][0].clone()
    };
    let found = described().await;
    let name = text(&found["groupName"]);
    assert!(name.starts_with("web-SecurityGroup-"), "{name}");
    assert_eq!(texts(&found["ipPermissions"], "ipProtocol"), ["-1", "tcp"]);
    assert_eq!(
        texts(&found["ipPermissionsEgress"][0]["ipRanges"], "cidrIp"),
        ["0.0.0.0/0"]
    );
    let changed = json!({"GroupDescription": "d", "VpcId": vpc,
        "SecurityGroupIngress": [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "0.0.0.0/0"}],
        "SecurityGroupEgress": [{"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "CidrIp": "0.0.0.0/0"}],
    });
    update(
        &world,
        "SecurityGroup",
        &group,
        group_properties,
        changed.clone(),
    )
    .await;
    let found = described().await;
    assert_eq!(found["ipPermissions"][0]["fromPort"], 443);
    assert_eq!(texts(&found["ipPermissions"], "ipProtocol"), ["tcp"]);
    assert_eq!(texts(&found["ipPermissionsEgress"], "ipProtocol"), ["udp"]);
    // None given means everything out, as it does at creation.
    let mut open = changed.clone();
    open.as_object_mut().unwrap().remove("SecurityGroupEgress");
    update(&world, "SecurityGroup", &group, changed, open).await;
    assert_eq!(
        texts(&described().await["ipPermissionsEgress"], "ipProtocol"),
        ["-1"]
    );

    let own = |source: &str| json!({"GroupId": group, "IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, source: group});
    let ingress = create(&world, "SecurityGroupIngress", own("SourceSecurityGroupId")).await;
    let egress = create(
        &world,
        "SecurityGroupEgress",
        own("DestinationSecurityGroupId"),
    )
    .await;
    assert!(ingress.starts_with("sgr-") && egress.starts_with("sgr-"));
    let rules = json!({"SecurityGroupRuleIds": [ingress, egress]});
    world.ok::<DescribeSecurityGroupRulesInput>(rules).await;

    // The network cannot go yet: that is tried again, not failed.
    let kind = world.cloud.resource_type("AWS::EC2::VPC").unwrap();
    assert!(
        kind.delete(&world.cx, &vpc, &json!({}))
            .await
            .unwrap_err()
            .retry
    );

    delete(
        &world,
        "SecurityGroupIngress",
        &ingress,
        own("SourceSecurityGroupId"),
    )
    .await;
    delete(
        &world,
        "SecurityGroupEgress",
        &egress,
        own("DestinationSecurityGroupId"),
    )
    .await;
    delete(&world, "SecurityGroup", &group, json!({})).await;
    delete(
        &world,
        "SubnetRouteTableAssociation",
        &association,
        association_properties,
    )
    .await;
    delete(&world, "Route", &route, route_properties).await;
    delete(&world, "RouteTable", &table, json!({})).await;
    delete(
        &world,
        "VPCGatewayAttachment",
        &attachment,
        attachment_properties,
    )
    .await;
    delete(&world, "InternetGateway", &gateway, json!({})).await;
    delete(&world, "Subnet", &subnet, private).await;
    delete(&world, "VPC", &vpc, json!({})).await;
    assert_eq!(world.in_engine(&vpc), None);
}

#[tokio::test]
async fn dhcp_options_from_creation_to_deletion() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let properties = json!({"DomainName": "example.com", "DomainNameServers": ["AmazonProvidedDNS"], "NetbiosNodeType": 2});
    let options = create(&world, "DHCPOptions", properties.clone()).await;
    let both = json!({"DhcpOptionsId": options, "VpcId": vpc});
    let association = create(&world, "VPCDHCPOptionsAssociation", both.clone()).await;
    let used = async || {
        let found = world
            .ok::<DescribeVpcsInput>(json!({"VpcIds": [vpc]}))
            .await;
        text(&found["vpcSet"][0]["dhcpOptionsId"])
    };
    assert_eq!(used().await, options);
    delete(&world, "VPCDHCPOptionsAssociation", &association, both).await;
    assert_ne!(used().await, options);
    delete(&world, "DHCPOptions", &options, properties).await;
}

#[tokio::test]
async fn network_acls_from_creation_to_deletion() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let own = attribute(&world, "VPC", &vpc, "DefaultNetworkAcl").await;
    let first = attribute(&world, "Subnet", &subnet, "NetworkAclAssociationId").await;
    let acl = create(&world, "NetworkAcl", json!({"VpcId": vpc})).await;
    assert_ne!(json!(acl), own);
    let entry_properties = json!({"NetworkAclId": acl, "RuleNumber": 100, "Protocol": "6", "RuleAction": "allow",
        "Egress": true, "CidrBlock": "0.0.0.0/0", "PortRange": {"From": "80", "To": 80}});
    let entry = create(&world, "NetworkAclEntry", entry_properties.clone()).await;
    assert_eq!(entry, format!("{acl}|egress|100"));
    let mut denied = entry_properties.clone();
    denied["RuleAction"] = json!("deny");
    update(
        &world,
        "NetworkAclEntry",
        &entry,
        entry_properties,
        denied.clone(),
    )
    .await;
    let described = async || {
        let input = json!({"NetworkAclIds": [acl]});
        let found = world.ok::<DescribeNetworkAclsInput>(input).await;
        found["networkAclSet"][0].clone()
    };
    let found = described().await;
    assert_eq!(found["entrySet"][0]["ruleAction"], "deny");
    assert_eq!(found["entrySet"][0]["portRange"]["from"], 80);
    let both = json!({"NetworkAclId": acl, "SubnetId": subnet});
    let association = create(&world, "SubnetNetworkAclAssociation", both.clone()).await;
    assert_ne!(json!(association), first);
    assert_eq!(
        attribute(&world, "Subnet", &subnet, "NetworkAclAssociationId").await,
        json!(association)
    );
    delete(&world, "SubnetNetworkAclAssociation", &association, both).await;
    assert_eq!(described().await["associationSet"], json!([]));
    delete(&world, "NetworkAclEntry", &entry, denied).await;
    delete(&world, "NetworkAcl", &acl, json!({"VpcId": vpc})).await;
}

/// A deleted network is gone for its stack only when the machine has let go of it.
#[tokio::test]
async fn a_network_is_deleted_when_the_machine_has_let_go() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16").await;
    let kind = world.cloud.resource_type("AWS::EC2::VPC").unwrap();
    world.hold_on(true);
    kind.delete(&world.cx, &vpc, &json!({})).await.unwrap();
    let waiting = Stability::Waiting("the network is being removed".into());
    assert_eq!(kind.deleted(&world.cx, &vpc).await, Ok(waiting));
    world.hold_on(false);
    while kind.deleted(&world.cx, &vpc).await.unwrap() != Stability::Stable {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn properties_that_cannot_be_carried_out() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let group = world.group(&vpc, "web").await;
    for (name, properties, expected) in [
        (
            "VPC",
            json!({"CidrBlock": "10.0.0.0/16", "InstanceTenancy": "shared"}),
            "InstanceTenancy is not valid",
        ),
        (
            "VPC",
            json!({"CidrBlock": ["10.0.0.0/16"]}),
            "Property CidrBlock must be text",
        ),
        (
            "SecurityGroup",
            json!({"GroupDescription": "d", "VpcId": vpc, "SecurityGroupIngress": {}}),
            "Property SecurityGroupIngress must be a list",
        ),
        (
            "SecurityGroup",
            json!({"GroupDescription": "d", "VpcId": vpc, "SecurityGroupIngress": [{"IpProtocol": "tcp", "FromPort": "http", "CidrIp": "0.0.0.0/0"}]}),
            "FromPort `http` is not a port",
        ),
        (
            "SecurityGroupIngress",
            json!({"GroupId": group, "IpProtocol": "-1"}),
            "Resource handler returned message: \"Either 'ipPermissions' or 'securityGroupRuleIds' should be provided. (Status Code: 400, Error Code: MissingParameter)\"",
        ),
    ] {
        let kind = world
            .cloud
            .resource_type(&format!("AWS::EC2::{name}"))
            .unwrap();
        let error = kind
            .create(&world.cx, &request(name, properties))
            .await
            .unwrap_err();
        assert_eq!((error.message.as_str(), error.retry), (expected, false));
    }
}

#[tokio::test]
async fn a_rule_whose_description_alone_differs_is_the_same_rule() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16").await;
    let with = |out: &str, into: &str| {
        json!({
            "GroupDescription": "d", "VpcId": vpc,
            "SecurityGroupEgress": [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0", "Description": out}],
            "SecurityGroupIngress": [{"IpProtocol": "TCP", "FromPort": 80, "ToPort": 80, "CidrIp": "10.0.0.0/8", "Description": into}],
        })
    };
    let before = with("Allow all outbound traffic by default", "one");
    let id = create(&world, "SecurityGroup", before.clone()).await;
    let told = async |egress: bool| -> Vec<(String, String)> {
        let input = json!({"Filters": [{"Name": "group-id", "Values": [id]}]});
        let found = world.ok::<DescribeSecurityGroupRulesInput>(input).await;
        let rules = found["securityGroupRuleSet"].as_array().unwrap().iter();
        rules
            .filter(|it| it["isEgress"] == egress)
            .map(|it| (text(&it["cidrIpv4"]), text(&it["description"])))
            .collect()
    };
    let rule = |range: &str, why: &str| vec![(range.to_owned(), why.to_owned())];
    let all_out = "Allow all outbound traffic by default";
    assert_eq!(told(true).await, rule("0.0.0.0/0", all_out));
    let mut after = with("all", "two");
    after["SecurityGroupIngress"][0]["IpProtocol"] = json!("tcp");
    update(&world, "SecurityGroup", &id, before, after.clone()).await;
    assert_eq!(told(true).await, rule("0.0.0.0/0", "all"));
    assert_eq!(told(false).await, rule("10.0.0.0/8", "two"));
    // A protocol by its number, and ports where they mean nothing.
    let other = |rule: Json| {
        let mut other = after.clone();
        other["SecurityGroupIngress"] = json!([rule]);
        other
    };
    let numbered = other(json!({
        "IpProtocol": "50", "FromPort": 1, "ToPort": 2, "CidrIp": "10.0.0.0/8", "Description": "two",
    }));
    let bare = other(json!({"IpProtocol": "50", "CidrIp": "10.0.0.0/8", "Description": "three"}));
    update(&world, "SecurityGroup", &id, after, numbered.clone()).await;
    update(&world, "SecurityGroup", &id, numbered, bare).await;
    assert_eq!(told(false).await, rule("10.0.0.0/8", "three"));
}

#[tokio::test]
async fn an_instance_from_creation_to_deletion() {
    let world = World::new();
    world.sim.images.add("ami/debian-12");
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let name = json!({"Filters": [{"Name": "name", "Values": ["debian-12-amd64-*"]}]});
    let found = world.ok::<DescribeImagesInput>(name).await;
    let image = text(&found["imagesSet"][0]["imageId"]);
    let public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFjuqlBeu6CUv/Wk0lR+rwdx2XKRQOKHbNFZJxOuOVIN";
    let key = json!({"KeyName": "own", "PublicKeyMaterial": public});
    assert_eq!(create(&world, "KeyPair", key.clone()).await, "own");

    let kind = world.cloud.resource_type("AWS::EC2::Instance").unwrap();
    assert!(kind.takes_signals());
    let properties = |kind: &str, data: &str| {
        json!({
            "ImageId": image, "InstanceType": kind, "KeyName": "own",
            "UserData": data, "Tags": tags(&[("Name", "web")]),
            "NetworkInterfaces": [{"DeviceIndex": "0", "SubnetId": subnet}],
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": "9"}}],
        })
    };
    let first = properties("t3.micro", "");
    let made = kind
        .create(&world.cx, &request("Web", first.clone()))
        .await
        .unwrap();
    let again = kind.create(&world.cx, &request("Web", first.clone())).await;
    assert_eq!(again.unwrap(), made);
    let id = made.physical_id;
    let stable = async || {
        while kind.stability(&world.cx, &id).await.unwrap() != Stability::Stable {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    stable().await;
    for name in kind.attributes() {
        let value = kind.attribute(&world.cx, &id, name).await.unwrap();
        assert!(value.is_string(), "{name}");
    }
    let address = attribute(&world, "Instance", &id, "PrivateIp").await;
    assert!(text(&address).starts_with("10.0.1."));
    let shown = async || {
        let input = json!({"InstanceIds": [id]});
        let found = world.ok::<DescribeInstancesInput>(input).await;
        found["reservationSet"][0]["instancesSet"][0].clone()
    };
    assert_eq!(shown().await["keyName"], "own");

    // What needs it to be stopped stops it and starts it again, and it stays the same.
    let second = properties("t3.nano", "IyEvYmluL3NoCnRydWUK");
    let mut change = request("Web", second.clone());
    change.token.push_str("/update");
    loop {
        match kind.update(&world.cx, &id, &first, &change).await {
            Ok(()) => break,
            Err(error) => assert!(error.retry, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    stable().await;
    kind.update(&world.cx, &id, &first, &change).await.unwrap();
    assert_eq!(shown().await["instanceType"], "t3.nano");
    assert_eq!(
        attribute(&world, "Instance", &id, "PrivateIp").await,
        address
    );
    let spot = json!({"NetworkInterfaces": [{"DeviceIndex": "0", "Ipv6AddressCount": 2}]});
    assert!(kind.refuse(&spot).unwrap_err().contains("Ipv6AddressCount"));

    delete(&world, "Instance", &id, second).await;
    delete(&world, "KeyPair", "own", key).await;
}
