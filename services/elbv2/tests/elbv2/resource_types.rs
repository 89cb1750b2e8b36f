//! The types that stacks may create: made, made again, read, changed, deleted, deleted again.

use std::time::Duration;

use cloud::{ResourceRequest, Stability};
use serde_json::{Value as Json, json};
use shapes::elbv2::*;

use crate::world::{World, fixed, forward, until};

fn request(logical_id: &str, properties: Json) -> ResourceRequest {
    testkit::request("web", logical_id, properties)
}

fn kind(world: &World, name: &str) -> std::sync::Arc<dyn cloud::ResourceType> {
    let name = format!("AWS::ElasticLoadBalancingV2::{name}");
    world.cloud.resource_type(&name).unwrap()
}

async fn settled(world: &World, name: &str, id: &str) -> Stability {
    loop {
        match kind(world, name).stability(&world.cx, id).await.unwrap() {
            Stability::Waiting(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            settled => return settled,
        }
    }
}

/// Creates twice with one token, waits until it is stable and reads every attribute.
async fn create(world: &World, name: &str, properties: Json) -> String {
    let (kind, request) = (kind(world, name), request(name, properties));
    let first = kind.create(&world.cx, &request).await.unwrap();
    assert_eq!(
        kind.create(&world.cx, &request).await.unwrap(),
        first,
        "{name}"
    );
    let id = first.physical_id;
    assert_eq!(settled(world, name, &id).await, Stability::Stable, "{name}");
    for attribute in kind.attributes() {
        let value = kind.attribute(&world.cx, &id, attribute).await.unwrap();
        assert!(!value.is_null(), "{name}.{attribute}");
    }
    let unknown = kind.attribute(&world.cx, &id, "Colour").await.unwrap_err();
    assert_eq!(unknown.message, "attribute Colour is not known");
    id
}

async fn update(world: &World, name: &str, id: &str, old: Json, new: Json) {
    for _ in 0..2 {
        let request = request(name, new.clone());
        kind(world, name)
            .update(&world.cx, id, &old, &request)
            .await
            .unwrap();
    }
    assert_eq!(settled(world, name, id).await, Stability::Stable, "{name}");
}

async fn delete(world: &World, name: &str, id: &str) {
    let kind = kind(world, name);
    kind.delete(&world.cx, id, &json!({})).await.unwrap();
    while kind.deleted(&world.cx, id).await.unwrap() != Stability::Stable {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    kind.delete(&world.cx, id, &json!({})).await.unwrap();
}

#[tokio::test]
async fn all_four_from_creation_to_deletion() {
    let world = World::new().await;
    let other = world.group(&world.vpc, "other").await;
    let balancer_properties = json!({"Subnets": world.subnets, "SecurityGroups": [world.group], "Scheme": "internet-facing",
        "LoadBalancerAttributes": [{"Key": "idle_timeout.timeout_seconds", "Value": 30}], "Tags": [{"Key": "a", "Value": "1"}]});
    let balancer = create(&world, "LoadBalancer", balancer_properties.clone()).await;
    let attribute = async |name: &str| {
        kind(&world, "LoadBalancer")
            .attribute(&world.cx, &balancer, name)
            .await
            .unwrap()
    };
    let name = attribute("LoadBalancerName").await;
    assert!(
        name.as_str().unwrap().starts_with("web-LoadBalancer-"),
        "{name}"
    );
    let full_name = attribute("LoadBalancerFullName").await;
    assert!(
        full_name
            .as_str()
            .unwrap()
            .starts_with("app/web-LoadBalancer-"),
        "{full_name}"
    );
    let mut changed = balancer_properties.clone();
    changed["SecurityGroups"] = json!([other]);
    changed["Tags"] = json!([]);
    update(
        &world,
        "LoadBalancer",
        &balancer,
        balancer_properties,
        changed,
    )
    .await;
    assert_eq!(attribute("SecurityGroups").await, json!([other]));
    let found = world
        .ok::<DescribeTagsInput>(json!({"ResourceArns": [balancer]}))
        .await;
    assert_eq!(
        found["TagDescriptions"][0]["Tags"],
        json!([{"Key": "stack", "Value": "web"}])
    );

    let group_properties = json!({"Port": "8080", "Protocol": "HTTP", "VpcId": world.vpc, "TargetType": "ip", "HealthCheckPath": "/up",
        "Matcher": {"HttpCode": 200}, "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}],
        "Targets": [{"Id": "10.0.1.10"}]});
    let group = create(&world, "TargetGroup", group_properties.clone()).await;
    let mut changed = group_properties.clone();
    changed["HealthCheckPath"] = json!("/down");
    changed["Targets"] = json!([{"Id": "10.0.1.11"}]);
    update(&world, "TargetGroup", &group, group_properties, changed).await;
    let only_new = || {
        let targets = world.targets();
        targets.len() == 1 && targets[0].address.to_string() == "10.0.1.11"
    };
    until("the targets are exchanged", only_new).await;

    let listener_properties = json!({"LoadBalancerArn": balancer, "Port": 80, "Protocol": "HTTP", "DefaultActions": [forward(&group)]});
    let listener = create(&world, "Listener", listener_properties.clone()).await;
    let mut changed = listener_properties.clone();
    changed["Port"] = json!("81");
    update(&world, "Listener", &listener, listener_properties, changed).await;
    let rule_properties = json!({"ListenerArn": listener, "Priority": "3", "Actions": [fixed("404")],
        "Conditions": [{"Field": "path-pattern", "Values": ["/a"]}]});
    let rule = create(&world, "ListenerRule", rule_properties.clone()).await;
    let mut changed = rule_properties.clone();
    changed["Priority"] = json!(4);
    changed["Conditions"] =
        json!([{"Field": "host-header", "HostHeaderConfig": {"Values": ["a.b"]}}]);
    update(&world, "ListenerRule", &rule, rule_properties, changed).await;
    let found = world
        .ok::<DescribeRulesInput>(json!({"RuleArns": [rule]}))
        .await;
    assert_eq!(found["Rules"][0]["Priority"], "4");
    assert_eq!(found["Rules"][0]["Conditions"][0]["Values"], json!(["a.b"]));

    // In use: tried again, not failed.
    let busy = kind(&world, "TargetGroup")
        .delete(&world.cx, &group, &json!({}))
        .await
        .unwrap_err();
    assert!(busy.retry, "{busy}");
    delete(&world, "ListenerRule", &rule).await;
    delete(&world, "Listener", &listener).await;
    delete(&world, "TargetGroup", &group).await;
    delete(&world, "LoadBalancer", &balancer).await;
    assert!(world.snapshot().balancers.is_empty());
    until("the machine has let go", || world.interfaces() == 0).await;
}

/// A listener whose port another program has does not become stable; the port is named. A listener
/// on a port whose number begins alike is none of it.
#[tokio::test]
async fn a_port_that_is_taken_fails_the_listener() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    world.sim.edge.set_port_taken(8080, true);
    for (port, fails) in [(8080, true), (80, false), (808, false)] {
        let properties = json!({"LoadBalancerArn": balancer, "Port": port, "Protocol": "HTTP", "DefaultActions": [fixed("200")]});
        let request = request(&format!("Listener{port}"), properties);
        let made = kind(&world, "Listener")
            .create(&world.cx, &request)
            .await
            .unwrap();
        match settled(&world, "Listener", &made.physical_id).await {
            Stability::Failed(reason) => {
                assert!(fails && reason.contains("port 8080 of"), "{port}: {reason}")
            }
            other => assert!(!fails && other == Stability::Stable, "{port}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn properties_of_the_wrong_form_are_named() {
    let world = World::new().await;
    let properties = json!({"Port": "http", "Protocol": "HTTP", "VpcId": world.vpc});
    let error = kind(&world, "TargetGroup")
        .create(&world.cx, &request("TargetGroup", properties))
        .await
        .unwrap_err();
    assert!(error.message.starts_with("Port: "), "{error}");
    let properties = json!({"Port": 80, "Protocol": "GOPHER", "VpcId": world.vpc});
    let error = kind(&world, "TargetGroup")
        .create(&world.cx, &request("TargetGroup", properties))
        .await
        .unwrap_err();
    assert!(
        error.message.starts_with("Protocol: ") && !error.retry,
        "{error}"
    );
}
