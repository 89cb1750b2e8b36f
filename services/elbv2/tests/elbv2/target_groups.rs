//! Target groups and their targets.

use serde_json::{Value as Json, json};
use shapes::ec2;
use shapes::elbv2::*;

use crate::world::{World, ask, forward, text, until};

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
            "Health check interval must be greater than the timeout.",
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
            json!("TLS"),
            invalid,
            "the target group protocol 'TLS' is not supported by neargate",
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
            json!("TCP"),
            invalid,
            "a health check protocol other than HTTP and HTTPS is not supported by neargate",
        ),
        (
            "HealthCheckEnabled",
            json!(false),
            "ValidationError",
            "Health check enabled must be true for target groups with target type 'ip' or 'instance'",
        ),
        (
            "Name",
            json!("t_g"),
            "ValidationError",
            "Target group name 't_g' can only contain characters that are alphanumeric characters or hyphens(-)",
        ),
        (
            "HealthCheckPort",
            json!("http"),
            "ValidationError",
            "Health check port 'http' must be either an integer between 1 and 65535 or 'traffic-port'",
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
    let missing = group.replace("/tg/", "/gt/");
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

/// A target that nobody registered is there to be asked about: it is not in use.
#[tokio::test]
async fn targets_that_are_not_registered() {
    let world = World::new().await;
    let input = json!({"Name": "machines", "Protocol": "HTTP", "Port": 80, "VpcId": world.vpc, "HealthCheckPort": "81"});
    let made = world.ok::<CreateTargetGroupInput>(input).await;
    let machines = text(&made["TargetGroups"][0]["TargetGroupArn"]);
    let addresses = world.target_group("addresses").await;
    let unused = json!({"State": "unused", "Reason": "Target.NotRegistered", "Description": "Target is not registered to the target group"});
    for (group, target, port, check_port) in [
        (&machines, json!({"Id": "i-12345678901234567"}), 80, "81"),
        (&machines, json!({"Id": "i-1", "Port": 8}), 8, "81"),
        (&addresses, json!({"Id": "10.0.1.77"}), 8080, "8080"),
        (&addresses, json!({"Id": "10.0.1.77", "Port": 9}), 9, "9"),
    ] {
        let asked = json!({"TargetGroupArn": group, "Targets": [target]});
        let found = world.ok::<DescribeTargetHealthInput>(asked.clone()).await;
        let expect = json!({"Target": {"Id": target["Id"], "Port": port}, "HealthCheckPort": check_port, "TargetHealth": unused});
        assert_eq!(found["TargetHealthDescriptions"], json!([expect]));
        // It is deregistered already.
        world.ok::<DeregisterTargetsInput>(asked).await;
    }
    let none = json!({"TargetGroupArn": machines, "Targets": []});
    let found = world.ok::<DescribeTargetHealthInput>(none).await;
    assert_eq!(found["TargetHealthDescriptions"], json!([]));
    for (group, id, message) in [
        (
            &machines,
            "10.0.1.77",
            "Instance ID '10.0.1.77' is not valid",
        ),
        (
            &addresses,
            "i-1",
            "The IP address 'i-1' is not a valid IPv4 address",
        ),
    ] {
        let asked = json!({"TargetGroupArn": group, "Targets": [{"Id": id}]});
        world
            .refused::<DescribeTargetHealthInput>(asked.clone(), "ValidationError", message)
            .await;
        world
            .refused::<DeregisterTargetsInput>(asked, "ValidationError", message)
            .await;
    }
    let include = json!({"TargetGroupArn": machines, "Include": ["AnomalyDetection"]});
    let message = "the parameter Include is not supported by neargate";
    world
        .refused::<DescribeTargetHealthInput>(include, "InvalidConfigurationRequest", message)
        .await;
}

#[tokio::test]
async fn attributes_of_a_group() {
    let world = World::new().await;
    let group = world.target_group("tg").await;
    let set = async |pairs: &[(&str, &str)]| {
        let attributes: Vec<Json> = (pairs.iter())
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect();
        let input = json!({"TargetGroupArn": group, "Attributes": attributes});
        world.ask::<ModifyTargetGroupAttributesInput>(input).await
    };
    let (algorithm, slow) = (
        "load_balancing.algorithm.type",
        "slow_start.duration_seconds",
    );
    let (kind, cookie) = ("stickiness.type", "stickiness.app_cookie.cookie_name");
    let served = || world.snapshot().target_groups.into_iter().next();
    set(&[
        (slow, "30"),
        (kind, "app_cookie"),
        (cookie, "session"),
        ("stickiness.enabled", "true"),
        ("load_balancing.cross_zone.enabled", "true"),
    ])
    .await
    .unwrap();
    let sticky = engine::Stickiness::ByApplication {
        cookie: "session".into(),
        lasts_ms: 86_400_000,
    };
    until("the edge knows", || {
        served()
            .is_some_and(|it| it.slow_start_ms == 30_000 && it.stickiness == Some(sticky.clone()))
    })
    .await;
    let invalid = "InvalidConfigurationRequest";
    let reserved = "The cookie name 'AWSALBAPP-9' is not valid: names that begin with 'AWSALB' are reserved for the load balancer";
    for (pairs, code, message) in [
        (
            vec![(algorithm, "least_outstanding_requests")],
            invalid,
            "You cannot enable both slow start and least outstanding requests algorithm on a target group",
        ),
        (
            vec![(algorithm, "weighted_random")],
            invalid,
            "You cannot enable both slow start and weighted random algorithm on a target group",
        ),
        (vec![(cookie, "AWSALBAPP-9")], invalid, reserved),
        (
            vec![(cookie, "a b")],
            "ValidationError",
            "The value 'a b' is not valid for the attribute 'stickiness.app_cookie.cookie_name'",
        ),
        (
            vec![(cookie, "")],
            invalid,
            "You must specify 'stickiness.app_cookie.cookie_name' for stickiness of the type 'app_cookie'",
        ),
        (
            vec![(slow, "29")],
            "ValidationError",
            "The value '29' is not valid for the attribute 'slow_start.duration_seconds'",
        ),
        (
            vec![("load_balancing.algorithm.anomaly_mitigation", "on")],
            invalid,
            "the value 'on' of the attribute 'load_balancing.algorithm.anomaly_mitigation' is not supported by neargate",
        ),
        (
            vec![(
                "target_group_health.dns_failover.minimum_healthy_targets.count",
                "2",
            )],
            invalid,
            "the value '2' of the attribute 'target_group_health.dns_failover.minimum_healthy_targets.count' is not supported by neargate",
        ),
        (
            vec![(kind, "source_ip")],
            "ValidationError",
            "The value 'source_ip' is not valid for the attribute 'stickiness.type'",
        ),
    ] {
        let refused = set(&pairs).await.unwrap_err();
        assert_eq!(refused, (code.to_owned(), message.to_owned()));
    }
    for (value, expect) in [
        (
            "least_outstanding_requests",
            engine::Algorithm::LeastOutstanding,
        ),
        ("weighted_random", engine::Algorithm::Random),
        ("round_robin", engine::Algorithm::RoundRobin),
    ] {
        set(&[(slow, "0"), (algorithm, value)]).await.unwrap();
        until("the edge knows", || {
            served().is_some_and(|it| it.algorithm == expect)
        })
        .await;
    }
}

#[tokio::test]
async fn instances_and_private_addresses_are_targets() {
    let world = World::new().await;
    world.sim.images.add("ami/debian-12");
    let name = json!({"Filters": [{"Name": "name", "Values": ["debian-12-amd64-*"]}]});
    let image = world.ok::<ec2::DescribeImagesInput>(name).await;
    let run = json!({"ImageId": image["imagesSet"][0]["imageId"], "InstanceType": "t3.micro",
        "SubnetId": world.subnets[0], "MinCount": 1, "MaxCount": 1});
    let made = world.ok::<ec2::RunInstancesInput>(run).await;
    let id = text(&made["instancesSet"][0]["instanceId"]);
    let address = text(&made["instancesSet"][0]["privateIpAddress"]);
    let machines = json!({"Name": "machines", "Protocol": "HTTP", "Port": 80, "VpcId": world.vpc, "TargetType": "instance"});
    let machines = world.ok::<CreateTargetGroupInput>(machines).await;
    let machines = text(&machines["TargetGroups"][0]["TargetGroupArn"]);
    let asked = |id: &str| json!({"TargetGroupArn": machines, "Targets": [{"Id": id, "Port": 81}]});
    let mut answer = world.ask::<RegisterTargetsInput>(asked(&id)).await;
    for _ in 0..1000 {
        if answer.is_ok() {
            break;
        }
        // Until it runs, it is refused.
        assert!(
            answer
                .as_ref()
                .unwrap_err()
                .1
                .contains("not in a running state"),
            "{answer:?}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        answer = world.ask::<RegisterTargetsInput>(asked(&id)).await;
    }
    assert!(answer.is_ok(), "{answer:?}");
    let group = json!({"TargetGroupArn": machines});
    let found = world.ok::<DescribeTargetHealthInput>(group.clone()).await;
    let target = &found["TargetHealthDescriptions"][0]["Target"];
    assert_eq!(
        (&target["Id"], &target["Port"]),
        (&json!(id), &json!(81)),
        "{address}"
    );
    let served = || {
        let snapshot = world.sim.edge.snapshot.lock().unwrap();
        let groups = snapshot.target_groups.iter();
        groups.map(|it| it.targets.len()).sum::<usize>()
    };
    until("it is served", || served() == 1).await;
    // One that is stopped gets nothing, and says so; started again, it does.
    let ids = json!({"InstanceIds": [id]});
    world.ok::<ec2::StopInstancesInput>(ids.clone()).await;
    until("nothing is sent there", || served() == 0).await;
    let found = world.ok::<DescribeTargetHealthInput>(group.clone()).await;
    let health = &found["TargetHealthDescriptions"][0]["TargetHealth"];
    assert_eq!(health["State"], "unused");
    assert_eq!(health["Reason"], "Target.InvalidState");
    world.ok::<ec2::StartInstancesInput>(ids.clone()).await;
    until("it is served again", || served() == 1).await;
    world.ok::<ec2::TerminateInstancesInput>(ids).await;
    until("nothing is sent there", || served() == 0).await;
    world.ok::<DeregisterTargetsInput>(asked(&id)).await;
    let refused = world
        .ask::<RegisterTargetsInput>(asked("i-0123456789abcdef0"))
        .await;
    assert_eq!(refused.unwrap_err().0, "InvalidTarget");

    let addresses = world.target_group("addresses").await;
    for (address, is_taken) in [
        ("10.0.1.77", true),
        ("192.168.7.1", true),
        ("100.64.0.9", true),
        ("127.0.0.1", false),
        ("169.254.169.254", false),
        ("0.0.0.0", false),
        ("224.0.0.1", false),
        ("192.0.2.8", false),
        ("255.255.255.255", false),
    ] {
        let asked = json!({"TargetGroupArn": addresses, "Targets": [{"Id": address}]});
        let answer = world.ask::<RegisterTargetsInput>(asked).await;
        assert_eq!(answer.is_ok(), is_taken, "{address}: {answer:?}");
    }
}
