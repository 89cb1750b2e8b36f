//! Interfaces that somebody makes for themselves: their state and their addresses. And what rules are told by.

use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::{World, ask, text, texts};

fn addresses(interface: &Json) -> Vec<String> {
    texts(&interface["privateIpAddressesSet"], "privateIpAddress")
}

#[tokio::test]
async fn an_interface_of_nobodys_is_available_and_has_the_addresses_it_is_given() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.0.0/24").await;
    let client = world.client();
    let two = json!([
        {"PrivateIpAddress": "10.0.0.9", "Primary": false},
        {"PrivateIpAddress": "10.0.0.10", "Primary": true}
    ]);
    let input = json!({"SubnetId": subnet, "PrivateIpAddresses": two});
    let made = ask::<CreateNetworkInterfaceInput>(&client, input)
        .await
        .unwrap();
    let made = &made["networkInterface"];
    assert_eq!(made["status"], "available");
    assert_eq!(made["attachment"], Json::Null);
    assert_eq!(made["requesterManaged"], false);
    assert_eq!(addresses(made), ["10.0.0.10", "10.0.0.9"]);
    let id = text(&made["networkInterfaceId"]);

    let more = json!({"NetworkInterfaceId": id, "SecondaryPrivateIpAddressCount": 2});
    let given = ask::<AssignPrivateIpAddressesInput>(&client, more)
        .await
        .unwrap();
    assert_eq!(
        given["assignedPrivateIpAddressesSet"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let taken = json!({"NetworkInterfaceId": id, "PrivateIpAddresses": ["10.0.0.9"]});
    let refused = ask::<AssignPrivateIpAddressesInput>(&client, taken.clone()).await;
    assert_eq!(refused.unwrap_err().0, "InvalidIPAddress.InUse");
    ask::<UnassignPrivateIpAddressesInput>(&client, taken.clone())
        .await
        .unwrap();
    let refused = ask::<UnassignPrivateIpAddressesInput>(&client, taken).await;
    assert_eq!(refused.unwrap_err().0, "InvalidParameterValue");
    let found = world
        .ok::<DescribeNetworkInterfacesInput>(json!({"NetworkInterfaceIds": [id]}))
        .await;
    assert_eq!(addresses(&found["networkInterfaceSet"][0]).len(), 3);
    // The one that was given back is somebody else's now, and none of the others can be.
    let again = json!({"SubnetId": subnet, "PrivateIpAddress": "10.0.0.9"});
    world.ok::<CreateNetworkInterfaceInput>(again).await;
    let delete = json!({"NetworkInterfaceId": id});
    ask::<DeleteNetworkInterfaceInput>(&client, delete)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_service_holds_is_in_use_and_its_own() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.0.0/24").await;
    let id = world.interface(&subnet, &[]).await;
    let found = world
        .ok::<DescribeNetworkInterfacesInput>(json!({"NetworkInterfaceIds": [id]}))
        .await;
    let found = &found["networkInterfaceSet"][0];
    assert_eq!(found["status"], "in-use");
    assert_eq!(found["attachment"]["status"], "attached");
    let client = world.client();
    let delete = json!({"NetworkInterfaceId": id});
    let refused = ask::<DeleteNetworkInterfaceInput>(&client, delete)
        .await
        .unwrap_err();
    assert_eq!(
        refused.1,
        format!("Network interface '{id}' is currently in use.")
    );
    let more = json!({"NetworkInterfaceId": id, "SecondaryPrivateIpAddressCount": 1});
    let refused = ask::<AssignPrivateIpAddressesInput>(&client, more)
        .await
        .unwrap_err();
    assert_eq!(refused.0, "UnsupportedOperation");
}

#[tokio::test]
async fn rules_have_tags_and_descriptions_of_their_own() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let group = world.group(&vpc, "web").await;
    let rules = json!([{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "one"}]}]);
    let input = json!({"GroupId": group, "IpPermissions": rules});
    let made = world.ok::<AuthorizeSecurityGroupIngressInput>(input).await;
    let id = text(&made["securityGroupRuleSet"][0]["securityGroupRuleId"]);
    let tag = json!({"Resources": [id], "Tags": [{"Key": "a", "Value": "b"}]});
    world.ok::<CreateTagsInput>(tag.clone()).await;
    let anew = json!([{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "two"}]}]);
    let input = json!({"GroupId": group, "IpPermissions": anew});
    world
        .ok::<UpdateSecurityGroupRuleDescriptionsIngressInput>(input)
        .await;
    let found = world
        .ok::<DescribeSecurityGroupRulesInput>(
            json!({"Filters": [{"Name": "tag:a", "Values": ["b"]}]}),
        )
        .await;
    let found = &found["securityGroupRuleSet"];
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["description"], "two");
    let tags = world.ok::<DescribeTagsInput>(json!({})).await;
    assert_eq!(tags["tagSet"][0]["resourceType"], "security-group-rule");
    world.ok::<DeleteTagsInput>(tag).await;
    assert_eq!(
        world.ok::<DescribeTagsInput>(json!({})).await["tagSet"],
        json!([])
    );
    let none = json!({"Resources": ["sgr-0123456789abcdef0"], "Tags": [{"Key": "a"}]});
    let why = "The security group rule ID 'sgr-0123456789abcdef0' does not exist";
    world
        .refused::<CreateTagsInput>(none, "InvalidSecurityGroupRuleId.NotFound", why)
        .await;
}

#[tokio::test]
async fn regions_zones_and_attributes_are_told() {
    let world = World::unmoving();
    let one = world
        .ok::<DescribeRegionsInput>(json!({"RegionNames": ["ap-east-1"]}))
        .await;
    assert_eq!(one["regionInfo"][0]["optInStatus"], "not-opted-in");
    let usual = world.ok::<DescribeRegionsInput>(json!({})).await["regionInfo"]
        .as_array()
        .unwrap()
        .len();
    let all = world
        .ok::<DescribeRegionsInput>(json!({"AllRegions": true}))
        .await;
    assert!(all["regionInfo"].as_array().unwrap().len() > usual);
    let zones = world.ok::<DescribeAvailabilityZonesInput>(json!({})).await;
    let zone = &zones["availabilityZoneInfo"][0];
    assert_eq!(zone["groupName"], "us-east-1-zg-1");
    assert_eq!(zone["groupLongName"], "US East (N. Virginia) 1");
    assert_eq!(zone["messageSet"], json!([]));
    let told = world.ok::<DescribeAccountAttributesInput>(json!({})).await;
    assert_eq!(told["accountAttributeSet"].as_array().unwrap().len(), 6);
    let other = world
        .ask::<DescribeRegionsInput>(json!({"RegionNames": ["cn-north-1"]}))
        .await;
    assert_eq!(other.unwrap_err().0, "InvalidParameterValue");
}
