//! Target groups and their targets.

use serde_json::{Value as Json, json};
use shapes::elbv2::*;

use crate::world::{World, ask, forward, text};

#[tokio::test]
async fn defaults_and_changes() {
    let world = World::new().await;
    let arn = world.target_group("tg").await;
    let found = world
        .ok::<DescribeTargetGroupsInput>(json!({"Names": ["tg"]}))
        .await["TargetGroups"][0]
        .clone();
    for (member, value) in [
        ("HealthCheckProtocol", json!("HTTP")),
        ("HealthCheckPort", json!("traffic-port")),
        ("HealthCheckEnabled", json!(true)),
        ("HealthCheckIntervalSeconds", json!(30)),
        ("HealthCheckTimeoutSeconds", json!(5)),
        ("HealthyThresholdCount", json!(5)),
        ("UnhealthyThresholdCount", json!(2)),
        ("HealthCheckPath", json!("/")),
        ("Matcher", json!({"HttpCode": "200"})),
        ("ProtocolVersion", json!("HTTP1")),
        ("LoadBalancerArns", json!([])),
    ] {
        assert_eq!(found[member], value, "{member}");
    }
    let change = json!({"TargetGroupArn": arn, "HealthCheckPath": "/up", "Matcher": {"HttpCode": "200-299"}, "HealthCheckIntervalSeconds": 10});
    let changed = world.ok::<ModifyTargetGroupInput>(change).await["TargetGroups"][0].clone();
    assert_eq!(changed["HealthCheckPath"], "/up");
    assert_eq!(changed["HealthCheckTimeoutSeconds"], 5);
    let change = json!({"TargetGroupArn": arn, "HealthCheckIntervalSeconds": 5});
    world
        .refused::<ModifyTargetGroupInput>(
            change,
            "ValidationError",
            "Health check timeout must be smaller than the interval",
        )
        .await;
}

#[tokio::test]
async fn what_cannot_be_made() {
    let world = World::new().await;
    world.target_group("taken").await;
    let base = json!({"Name": "tg", "Protocol": "HTTP", "Port": 80, "VpcId": world.vpc, "TargetType": "ip"});
    let invalid = "InvalidConfigurationRequest";
    for (member, value, code, message) in [
        (
            "Name",
            json!("taken"),
            "DuplicateTargetGroupName",
            "A target group with the same name 'taken' exists, but with different settings",
        ),
        (
            "Protocol",
            Json::Null,
            "ValidationError",
            "A protocol must be specified",
        ),
        (
            "Protocol",
            json!("HTTPS"),
            invalid,
            "the target group protocol 'HTTPS' is not supported by neargate",
        ),
        (
            "Protocol",
            json!("TCP"),
            invalid,
            "the target group protocol 'TCP' is not supported by neargate",
        ),
        (
            "Port",
            Json::Null,
            "ValidationError",
            "A port must be specified",
        ),
        (
            "VpcId",
            Json::Null,
            "ValidationError",
            "A VPC ID must be specified",
        ),
        (
            "VpcId",
            json!("vpc-1"),
            "ValidationError",
            "The VPC ID 'vpc-1' is not found",
        ),
        (
            "TargetType",
            json!("lambda"),
            invalid,
            "the target type 'lambda' is not supported by neargate",
        ),
        (
            "ProtocolVersion",
            json!("GRPC"),
            invalid,
            "a protocol version other than HTTP1 is not supported by neargate",
        ),
        (
            "HealthCheckProtocol",
            json!("HTTPS"),
            invalid,
            "a health check protocol other than HTTP is not supported by neargate",
        ),
        (
            "HealthCheckEnabled",
            json!(false),
            "ValidationError",
            "Health check enabled must be true for target groups with target type 'ip' or 'instance'",
        ),
        (
            "HealthCheckPath",
            json!("up"),
            "ValidationError",
            "Health check path must begin with a '/' character",
        ),
        (
            "Matcher",
            json!({"HttpCode": "600"}),
            "ValidationError",
            "Health check matcher HTTP code '600' must be within '200-499' inclusive",
        ),
    ] {
        let mut input = base.clone();
        input[member] = value;
        world
            .refused::<CreateTargetGroupInput>(input, code, message)
            .await;
    }
}

#[tokio::test]
async fn a_repeated_creation_makes_one() {
    let world = World::new().await;
    let cx = world.cx.with_token("t");
    let input = json!({"Name": "tg", "Protocol": "HTTP", "Port": 80, "VpcId": world.vpc, "TargetType": "ip"});
    let first = ask::<CreateTargetGroupInput>(&cx, input.clone()).await;
    assert_eq!(
        ask::<CreateTargetGroupInput>(&cx, input.clone()).await,
        first
    );
    let other = ask::<CreateTargetGroupInput>(&world.cx.with_token("u"), input.clone()).await;
    assert_eq!(other.unwrap_err().0, "DuplicateTargetGroupName");
    // Who asks once more for the same gets it; as does Terraform, with an empty version.
    let mut same = input;
    same["ProtocolVersion"] = json!("");
    let again = world.ok::<CreateTargetGroupInput>(same.clone()).await;
    assert_eq!(again, first.unwrap());
    same["HealthCheckPath"] = json!("/other");
    let other = ask::<CreateTargetGroupInput>(&world.cx, same).await;
    assert_eq!(other.unwrap_err().0, "DuplicateTargetGroupName");
}

#[tokio::test]
async fn a_group_in_use_stays_and_belongs_to_one_balancer() {
    let world = World::new().await;
    let group = world.target_group("tg").await;
    let (first, second) = (world.balancer("one").await, world.balancer("two").await);
    let listener = world.listener_to(&first, 80, forward(&group)).await;
    // Another listener of the same balancer may use it too.
    let other = world.listener_to(&first, 81, forward(&group)).await;
    let found = world
        .ok::<DescribeTargetGroupsInput>(json!({"LoadBalancerArn": first}))
        .await;
    assert_eq!(found["TargetGroups"][0]["LoadBalancerArns"], json!([first]));
    let input = json!({"LoadBalancerArn": second, "Protocol": "HTTP", "Port": 80, "DefaultActions": [forward(&group)]});
    let limit = format!(
        "The following target groups cannot be associated with more than one load balancer: {group}"
    );
    world
        .refused::<CreateListenerInput>(input.clone(), "TargetGroupAssociationLimit", &limit)
        .await;
    let in_use = format!("Target group '{group}' is currently in use by a listener or a rule");
    let delete = json!({"TargetGroupArn": group});
    world
        .refused::<DeleteTargetGroupInput>(delete.clone(), "ResourceInUse", &in_use)
        .await;
    world
        .ok::<DeleteListenerInput>(json!({"ListenerArn": listener}))
        .await;
    world
        .refused::<DeleteTargetGroupInput>(delete.clone(), "ResourceInUse", &in_use)
        .await;
    world
        .ok::<DeleteListenerInput>(json!({"ListenerArn": other}))
        .await;
    // Free for the other one now.
    let made = world.ok::<CreateListenerInput>(input).await;
    let listener = text(&made["Listeners"][0]["ListenerArn"]);
    world
        .ok::<DeleteListenerInput>(json!({"ListenerArn": listener}))
        .await;
    world.ok::<DeleteTargetGroupInput>(delete.clone()).await;
    world.ok::<DeleteTargetGroupInput>(delete).await;
}

#[tokio::test]
async fn targets_that_cannot_be_registered() {
    let world = World::new().await;
    let group = world.target_group("tg").await;
    let register = |id: &str, port: Json| json!({"TargetGroupArn": group, "Targets": [{"Id": id, "Port": port}]});
    world
        .refused::<RegisterTargetsInput>(
            register("web", json!(80)),
            "ValidationError",
            "The IP address 'web' is not a valid IPv4 address",
        )
        .await;
    let missing = group.replace("tg", "gt");
    let message = format!("Target groups '{missing}' not found");
    world
        .refused::<DescribeTargetHealthInput>(
            json!({"TargetGroupArn": missing}),
            "TargetGroupNotFound",
            &message,
        )
        .await;
    let input = json!({"Name": "machines", "Protocol": "HTTP", "Port": 80, "VpcId": world.vpc});
    let made = world.ok::<CreateTargetGroupInput>(input).await;
    let machines = &made["TargetGroups"][0]["TargetGroupArn"];
    let input = json!({"TargetGroupArn": machines, "Targets": [{"Id": "i-1"}]});
    let message =
        "The following targets are not in a running state and cannot be registered: 'i-1'";
    world
        .refused::<RegisterTargetsInput>(input, "InvalidTarget", message)
        .await;
}
