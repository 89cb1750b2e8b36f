//! Load balancers from creation to deletion.

use serde_json::{Value as Json, json};
use shapes::{ec2, elbv2::*};

use crate::world::{World, ask, text, texts, until};

#[tokio::test]
async fn from_creation_to_deletion() {
    let world = World::new().await;
    let input = json!({"Name": "Web", "Subnets": world.subnets, "SecurityGroups": [world.group]});
    let made = world.ok::<CreateLoadBalancerInput>(input).await["LoadBalancers"][0].clone();
    let arn = text(&made["LoadBalancerArn"]);
    assert!(
        arn.starts_with(
            "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/Web/"
        ),
        "{arn}"
    );
    assert_eq!(made["State"]["Code"], "provisioning");
    let host = text(&made["DNSName"]);
    assert!(
        host.starts_with("web-") && host.ends_with(".us-east-1.elb.localhost"),
        "{host}"
    );
    assert_eq!(
        texts(&made["AvailabilityZones"], "ZoneName"),
        ["us-east-1a", "us-east-1b"]
    );
    world.until_state(&arn, "active").await;
    until("each subnet has an interface", || world.interfaces() == 2).await;
    let found = world
        .ok::<ec2::DescribeNetworkInterfacesInput>(json!({}))
        .await;
    let interfaces = &found["networkInterfaceSet"];
    let name = arn.split_once("loadbalancer/").unwrap().1;
    assert_eq!(
        texts(interfaces, "description"),
        vec![format!("ELB {name}"); 2]
    );
    let mut subnets = texts(interfaces, "subnetId");
    subnets.sort();
    let mut expected = world.subnets.to_vec();
    expected.sort();
    assert_eq!(subnets, expected);
    // A subnet with a balancer in it stays.
    let (code, _) = world
        .ask::<ec2::DeleteSubnetInput>(json!({"SubnetId": world.subnets[0]}))
        .await
        .unwrap_err();
    assert_eq!(code, "DependencyViolation");

    let listener = world.listener(&arn, 80).await;
    let rule = world.rule(&listener, 1).await;
    world
        .ok::<DeleteLoadBalancerInput>(json!({"LoadBalancerArn": arn}))
        .await;
    until("its interfaces are gone", || world.interfaces() == 0).await;
    until("the edge has let go of it", || {
        world.snapshot().balancers.is_empty()
    })
    .await;
    for (code, found) in [
        (
            "LoadBalancerNotFound",
            world
                .ask::<DescribeLoadBalancersInput>(json!({"LoadBalancerArns": [arn]}))
                .await,
        ),
        (
            "ListenerNotFound",
            world
                .ask::<DescribeListenersInput>(json!({"ListenerArns": [listener]}))
                .await,
        ),
        (
            "LoadBalancerNotFound",
            world
                .ask::<DescribeListenersInput>(json!({"LoadBalancerArn": arn}))
                .await,
        ),
        (
            "RuleNotFound",
            world
                .ask::<DescribeRulesInput>(json!({"RuleArns": [rule]}))
                .await,
        ),
        (
            "RuleNotFound",
            world.ask::<ModifyRuleInput>(json!({"RuleArn": rule})).await,
        ),
    ] {
        assert_eq!(found.unwrap_err().0, code);
    }
    // Once more is success, and the name is free.
    world
        .ok::<DeleteLoadBalancerInput>(json!({"LoadBalancerArn": arn}))
        .await;
    let again = world.balancer("Web").await;
    assert_ne!(again, arn);
}

#[tokio::test]
async fn what_cannot_be_made() {
    let world = World::new().await;
    let same_zone = world.subnet(&world.vpc, "10.0.3.0/24", "us-east-1a").await;
    let other_vpc = world.vpc("10.1.0.0/16").await;
    let foreign = world.subnet(&other_vpc, "10.1.0.0/24", "us-east-1b").await;
    let foreign_group = world.group(&other_vpc, "edge").await;
    let [a, b] = &world.subnets;
    world.balancer("taken").await;
    let name = |name: &str, problem: &str| format!("The load balancer name '{name}' {problem}");
    let ends = "cannot begin or end with '-'";
    let invalid = "InvalidConfigurationRequest";
    let cases: Vec<(Json, &str, String)> = vec![
        (
            json!({"Name": "-web"}),
            "ValidationError",
            name("-web", ends),
        ),
        (
            json!({"Name": "web-"}),
            "ValidationError",
            name("web-", ends),
        ),
        (
            json!({"Name": "we_b"}),
            "ValidationError",
            name(
                "we_b",
                "can only contain characters that are alphanumeric characters and hyphens(-)",
            ),
        ),
        (
            json!({"Name": "a-name-of-thirty-three-characters"}),
            "ValidationError",
            name(
                "a-name-of-thirty-three-characters",
                "cannot be longer than '32' characters",
            ),
        ),
        (
            json!({"Name": "internal-web"}),
            "ValidationError",
            "The load balancer name 'internal-web' cannot begin with 'internal-'".into(),
        ),
        (
            json!({"Name": "taken", "Subnets": [a, b]}),
            "DuplicateLoadBalancerName",
            "A load balancer with the same name 'taken' exists, but with different settings".into(),
        ),
        (
            json!({"Name": "web"}),
            "ValidationError",
            "You must specify at least one subnet".into(),
        ),
        (
            json!({"Name": "web", "Subnets": [a]}),
            "ValidationError",
            "At least two subnets in two different Availability Zones must be specified".into(),
        ),
        (
            json!({"Name": "web", "Subnets": [a, same_zone]}),
            invalid,
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
                .into(),
        ),
        (
            json!({"Name": "web", "Subnets": [a, foreign]}),
            invalid,
            "All subnets must belong to the same VPC".into(),
        ),
        (
            json!({"Name": "web", "Subnets": [a, "subnet-1"]}),
            "SubnetNotFound",
            "The subnet ID 'subnet-1' does not exist".into(),
        ),
        (
            json!({"Name": "web", "Subnets": [a, b], "SecurityGroups": ["sg-1"]}),
            "InvalidSecurityGroup",
            "The security group 'sg-1' does not exist".into(),
        ),
        (
            json!({"Name": "web", "Subnets": [a, b], "SecurityGroups": [foreign_group]}),
            invalid,
            format!(
                "One or more security groups are invalid: '{foreign_group}' is not in VPC '{}'",
                world.vpc
            ),
        ),
        (
            json!({"Name": "web", "Subnets": [a, b], "Type": "network"}),
            invalid,
            "a load balancer of type 'network' is not supported by neargate".into(),
        ),
        (
            json!({"Name": "web", "Subnets": [a, b], "IpAddressType": "dualstack"}),
            invalid,
            "IPv6 is not supported by neargate".into(),
        ),
        (
            json!({"Name": "web", "SubnetMappings": [{"SubnetId": a, "AllocationId": "eipalloc-1"}]}),
            invalid,
            "the parameter SubnetMappings[0].AllocationId is not supported by neargate".into(),
        ),
        (
            json!({"Name": "web", "Subnets": [a], "SubnetMappings": [{"SubnetId": b}]}),
            "ValidationError",
            "You must specify either subnets or subnet mappings, but not both".into(),
        ),
        (
            json!({"Name": "web", "SubnetMappings": [{}]}),
            "ValidationError",
            "A subnet mapping needs a subnet ID".into(),
        ),
        (
            json!({"Name": "web", "Subnets": [a, b], "Tags": [{"Key": "a"}, {"Key": "a"}]}),
            "DuplicateTagKeys",
            "The tag key 'a' is given more than once".into(),
        ),
    ];
    for (input, code, message) in cases {
        world
            .refused::<CreateLoadBalancerInput>(input, code, &message)
            .await;
    }
}

#[tokio::test]
async fn a_repeated_creation_makes_one() {
    let world = World::new().await;
    let input = json!({"Name": "web", "Subnets": world.subnets});
    let cx = world.cx.with_token("t");
    let first = ask::<CreateLoadBalancerInput>(&cx, input.clone())
        .await
        .unwrap();
    let arn = text(&first["LoadBalancers"][0]["LoadBalancerArn"]);
    world.until_state(&arn, "active").await;
    let second = ask::<CreateLoadBalancerInput>(&cx, input.clone())
        .await
        .unwrap();
    assert_eq!(second["LoadBalancers"][0]["LoadBalancerArn"], json!(arn));
    let other = ask::<CreateLoadBalancerInput>(&world.cx.with_token("u"), input).await;
    assert_eq!(other.unwrap_err().0, "DuplicateLoadBalancerName");
    // Who asks once more for the same gets it, in whatever order the subnets are.
    let [a, b] = &world.subnets;
    let same = json!({"Name": "web", "Subnets": [b, a]});
    let again = world.ok::<CreateLoadBalancerInput>(same).await;
    assert_eq!(again["LoadBalancers"][0]["LoadBalancerArn"], json!(arn));
    assert_eq!(world.interfaces(), 2);
    // It got the VPC's own group.
    let group = &first["LoadBalancers"][0]["SecurityGroups"][0];
    let found = world
        .ok::<ec2::DescribeSecurityGroupsInput>(json!({"GroupIds": [group]}))
        .await;
    assert_eq!(found["securityGroupInfo"][0]["groupName"], "default");
}

#[tokio::test]
async fn regions_are_apart() {
    let world = World::new().await;
    let arn = world.balancer("web").await;
    let elsewhere = world.cx.in_region("eu-west-1");
    let found = ask::<DescribeLoadBalancersInput>(&elsewhere, json!({}))
        .await
        .unwrap();
    assert_eq!(found["LoadBalancers"], json!([]));
    let found =
        ask::<DescribeLoadBalancersInput>(&elsewhere, json!({"LoadBalancerArns": [arn]})).await;
    assert_eq!(found.unwrap_err().0, "LoadBalancerNotFound");
    let moved = arn.replace("us-east-1", "eu-west-1");
    let found =
        ask::<DescribeLoadBalancersInput>(&elsewhere, json!({"LoadBalancerArns": [moved]})).await;
    assert_eq!(found.unwrap_err().0, "LoadBalancerNotFound");
}

#[tokio::test]
async fn attributes() {
    let world = World::new().await;
    let arn = world.balancer("web").await;
    let set = |key: &str, value: &str| json!({"LoadBalancerArn": arn, "Attributes": [{"Key": key, "Value": value}]});
    for (key, value, code, message) in [
        (
            "colour",
            "red",
            "ValidationError",
            "The attribute key 'colour' is not recognized",
        ),
        (
            "access_logs.s3.enabled",
            "true",
            "InvalidConfigurationRequest",
            "The attribute 'access_logs.s3.bucket' must be specified when 'access_logs.s3.enabled' is 'true'",
        ),
        (
            "connection_logs.s3.enabled",
            "true",
            "InvalidConfigurationRequest",
            "the value 'true' of the attribute 'connection_logs.s3.enabled' is not supported by neargate",
        ),
        (
            "routing.http.desync_mitigation_mode",
            "strictest",
            "InvalidConfigurationRequest",
            "the value 'strictest' of the attribute 'routing.http.desync_mitigation_mode' is not supported by neargate",
        ),
        (
            "routing.http.desync_mitigation_mode",
            "lax",
            "ValidationError",
            "The value 'lax' is not valid for the attribute 'routing.http.desync_mitigation_mode'",
        ),
        (
            "routing.http.xff_header_processing.mode",
            "drop",
            "ValidationError",
            "The value 'drop' is not valid for the attribute 'routing.http.xff_header_processing.mode'",
        ),
        (
            "client_keep_alive.seconds",
            "59",
            "ValidationError",
            "The value '59' is not valid for the attribute 'client_keep_alive.seconds'",
        ),
        (
            "idle_timeout.timeout_seconds",
            "0",
            "ValidationError",
            "The value '0' is not valid for the attribute 'idle_timeout.timeout_seconds'",
        ),
        (
            "deletion_protection.enabled",
            "yes",
            "ValidationError",
            "The value 'yes' is not valid for the attribute 'deletion_protection.enabled'",
        ),
    ] {
        world
            .refused::<ModifyLoadBalancerAttributesInput>(set(key, value), code, message)
            .await;
    }
    // What is asked for as it is anyway is fine.
    world
        .ok::<ModifyLoadBalancerAttributesInput>(set("access_logs.s3.enabled", "false"))
        .await;
    world
        .ok::<ModifyLoadBalancerAttributesInput>(set("idle_timeout.timeout_seconds", "300"))
        .await;
    until("the edge knows", || {
        world.snapshot().balancers[0].idle_timeout_ms == 300_000
    })
    .await;
    // What concerns requests reaches the edge; what concerns TLS says nothing on a listener for HTTP.
    for (key, value) in [
        ("client_keep_alive.seconds", "60"),
        ("routing.http.drop_invalid_header_fields.enabled", "true"),
        ("routing.http.preserve_host_header.enabled", "true"),
        ("routing.http.xff_client_port.enabled", "true"),
        ("routing.http.xff_header_processing.mode", "remove"),
        (
            "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
            "true",
        ),
        ("routing.http2.enabled", "false"),
    ] {
        world
            .ok::<ModifyLoadBalancerAttributesInput>(set(key, value))
            .await;
    }
    let expect = engine::HttpSettings {
        client_keep_alive_ms: 60_000,
        drops_invalid_headers: true,
        preserves_host: true,
        forwarded_for: engine::ForwardedFor::Remove,
        forwards_client_port: true,
        tells_tls: true,
    };
    until("the edge knows them all", || {
        world.snapshot().balancers[0].http == expect
    })
    .await;

    world
        .ok::<ModifyLoadBalancerAttributesInput>(set("deletion_protection.enabled", "true"))
        .await;
    let message =
        format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled");
    world
        .refused::<DeleteLoadBalancerInput>(
            json!({"LoadBalancerArn": arn}),
            "OperationNotPermitted",
            &message,
        )
        .await;
    world
        .ok::<ModifyLoadBalancerAttributesInput>(set("deletion_protection.enabled", "false"))
        .await;
    world
        .ok::<DeleteLoadBalancerInput>(json!({"LoadBalancerArn": arn}))
        .await;
}

/// It serves all the while, and leaves no interface behind.
#[tokio::test]
async fn a_balancer_moves_to_other_subnets() {
    let world = World::new().await;
    let arn = world.balancer("web").await;
    world.listener(&arn, 80).await;
    let [a, b] = &world.subnets;
    let other = world.subnet(&world.vpc, "10.0.3.0/24", "us-east-1c").await;
    let input = json!({"LoadBalancerArn": arn, "Subnets": [b, other]});
    let moved = world.ok::<SetSubnetsInput>(input).await;
    assert_eq!(
        texts(&moved["AvailabilityZones"], "ZoneName"),
        ["us-east-1b", "us-east-1c"]
    );
    assert_eq!(world.state(&arn).await["Code"], "active");
    let mut expected = vec![b.clone(), other.clone()];
    expected.sort();
    until("the balancer has moved", || {
        let served = world.snapshot().balancers;
        assert!(!served[0].interfaces.is_empty(), "it serves all the while");
        let interfaces = world.sim.network.interfaces.lock().unwrap();
        let mut subnets: Vec<_> = interfaces.values().map(|it| it.subnet.clone()).collect();
        subnets.sort();
        subnets == expected && served[0].interfaces.len() == 2
    })
    .await;
    // Nothing is in the old one any more.
    world
        .ok::<ec2::DeleteSubnetInput>(json!({"SubnetId": a}))
        .await;
    let elsewhere = world.vpc("10.1.0.0/16").await;
    let far = [
        world.subnet(&elsewhere, "10.1.1.0/24", "us-east-1a").await,
        world.subnet(&elsewhere, "10.1.2.0/24", "us-east-1b").await,
    ];
    let message = format!(
        "The subnets must belong to the VPC '{}' of the load balancer",
        world.vpc
    );
    let input = json!({"LoadBalancerArn": arn, "Subnets": far});
    world
        .refused::<SetSubnetsInput>(input, "InvalidConfigurationRequest", &message)
        .await;
    let kept = json!({"LoadBalancerArn": arn, "IpAddressType": "ipv4"});
    let answer = world.ok::<SetIpAddressTypeInput>(kept).await;
    assert_eq!(answer["IpAddressType"], "ipv4");
    let other = json!({"LoadBalancerArn": arn, "IpAddressType": "dualstack"});
    let message = "IPv6 is not supported by neargate";
    world
        .refused::<SetIpAddressTypeInput>(other, "InvalidConfigurationRequest", message)
        .await;
    world
        .ok::<DeleteLoadBalancerInput>(json!({"LoadBalancerArn": arn}))
        .await;
    until("its interfaces are gone", || world.interfaces() == 0).await;
}

/// All there are, in pages: every one on one of them.
async fn pages<I: wire::Operation + Default>(world: &World, of: Json, list: &str) -> Vec<Json> {
    let mut all = Vec::new();
    let mut input = of;
    input["PageSize"] = json!(1);
    loop {
        let page = world.ok::<I>(input.clone()).await;
        let shown = page[list].as_array().unwrap();
        assert!(shown.len() <= 1, "{page}");
        all.extend(shown.iter().cloned());
        match page["NextMarker"].as_str() {
            Some(marker) => input["Marker"] = json!(marker),
            None => return all,
        }
    }
}

#[tokio::test]
async fn everything_comes_in_pages() {
    let world = World::new().await;
    let arn = world.balancer("one").await;
    world.balancer("two").await;
    for name in ["a", "b", "c"] {
        world.target_group(name).await;
    }
    let listener = world.listener(&arn, 80).await;
    world.listener(&arn, 81).await;
    for priority in [100, 20, 3] {
        world.rule(&listener, priority).await;
    }
    let of = |member: &str, arn: &str| json!({ member: arn });
    let names = |all: Vec<Json>, member: &str| {
        let all = all.iter().map(|it| text(&it[member]));
        all.collect::<Vec<_>>()
    };
    let found = pages::<DescribeLoadBalancersInput>(&world, json!({}), "LoadBalancers").await;
    assert_eq!(names(found, "LoadBalancerName"), ["one", "two"]);
    let found = pages::<DescribeTargetGroupsInput>(&world, json!({}), "TargetGroups").await;
    assert_eq!(names(found, "TargetGroupName"), ["a", "b", "c"]);
    let of_balancer = of("LoadBalancerArn", &arn);
    let found = pages::<DescribeListenersInput>(&world, of_balancer, "Listeners").await;
    assert_eq!(found.len(), 2);
    let of_listener = of("ListenerArn", &listener);
    let found = pages::<DescribeRulesInput>(&world, of_listener, "Rules").await;
    assert_eq!(names(found, "Priority"), ["3", "20", "100", "default"]);
    let marker = json!({"Marker": "garbage"});
    let refused = world.ask::<DescribeTargetGroupsInput>(marker.clone()).await;
    assert_eq!(refused.unwrap_err().0, "ValidationError");
    // Nor is the marker of another list one of this.
    let first = world
        .ok::<DescribeLoadBalancersInput>(json!({"PageSize": 1}))
        .await;
    let marker = json!({"Marker": first["NextMarker"]});
    let refused = world.ask::<DescribeTargetGroupsInput>(marker).await;
    assert_eq!(refused.unwrap_err().0, "ValidationError");
}

#[tokio::test]
async fn what_is_asked_for_and_not_there() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let group = world.target_group("tg").await;
    let listener = world.listener(&balancer, 80).await;
    let rule = world.rule(&listener, 1).await;
    // An empty list asks for nothing in particular.
    let all = world.ok::<DescribeLoadBalancersInput>(json!({"Names": [], "LoadBalancerArns": []}));
    assert_eq!(all.await["LoadBalancers"].as_array().unwrap().len(), 1);
    let all = world.ok::<DescribeTargetGroupsInput>(json!({"Names": [], "TargetGroupArns": []}));
    assert_eq!(all.await["TargetGroups"].as_array().unwrap().len(), 1);
    macro_rules! refused {
        ($($input:ident $more:tt => $code:literal, $message:expr;)*) => {
            $(world.refused::<$input>(json!($more), $code, &$message).await;)*
        };
    }
    let other = |arn: &str| format!("{}0000000000000000", &arn[..arn.len() - 16]);
    refused! {
        DescribeLoadBalancersInput {"Names": ["web", "x", "y"]} => "LoadBalancerNotFound", "Load balancers '[x, y]' not found";
        DescribeLoadBalancersInput {"LoadBalancerArns": [other(&balancer)]} => "LoadBalancerNotFound", "One or more load balancers not found";
        DescribeLoadBalancersInput {"LoadBalancerArns": ["web"]} => "ValidationError", "'web' is not a valid load balancer ARN";
        DescribeLoadBalancersInput {"LoadBalancerArns": [group]} => "ValidationError", format!("'{group}' is not a valid load balancer ARN");
        DescribeTargetGroupsInput {"Names": ["tg", "x"]} => "TargetGroupNotFound", "One or more target groups not found";
        DescribeTargetGroupsInput {"TargetGroupArns": [other(&group)]} => "TargetGroupNotFound", "One or more target groups not found";
        DescribeTargetGroupsInput {"LoadBalancerArn": other(&balancer)} => "LoadBalancerNotFound", format!("Load balancer '{}' not found", other(&balancer));
        DescribeListenersInput {"ListenerArns": [other(&listener)]} => "ListenerNotFound", "One or more listeners not found";
        DescribeListenersInput {"ListenerArns": []} => "ValidationError", "You must specify either listener ARNs or a load balancer ARN";
        DescribeRulesInput {"RuleArns": [other(&rule)]} => "RuleNotFound", "One or more rules not found";
        DescribeRulesInput {"RuleArns": [listener]} => "ValidationError", format!("'{listener}' is not a valid listener rule ARN");
        DescribeTargetHealthInput {"TargetGroupArn": "tg"} => "ValidationError", "'tg' is not a valid target group ARN";
        DeleteLoadBalancerInput {"LoadBalancerArn": "web"} => "ValidationError", "'web' is not a valid load balancer ARN";
        DescribeTagsInput {"ResourceArns": vec![balancer.clone(); 21]} => "ValidationError", "At most '20' resource ARNs can be specified in a request";
    }
}

#[tokio::test]
async fn tags_of_everything() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let listener = world.listener(&balancer, 80).await;
    let rule = world.rule(&listener, 1).await;
    let arns = [
        world.target_group("tg").await,
        balancer,
        rule,
        listener.clone(),
    ];
    let tags = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]);
    world
        .ok::<AddTagsInput>(json!({"ResourceArns": arns, "Tags": tags}))
        .await;
    world
        .ok::<RemoveTagsInput>(json!({"ResourceArns": arns, "TagKeys": ["a"]}))
        .await;
    let found = world
        .ok::<DescribeTagsInput>(json!({"ResourceArns": arns}))
        .await;
    for (at, arn) in arns.iter().enumerate() {
        let expected = json!({"ResourceArn": arn, "Tags": [{"Key": "b", "Value": "2"}]});
        assert_eq!(found["TagDescriptions"][at], expected);
    }
    let rules = world
        .ok::<DescribeRulesInput>(json!({"ListenerArn": listener}))
        .await;
    let default = &rules["Rules"][1]["RuleArn"];
    world
        .refused::<AddTagsInput>(
            json!({"ResourceArns": [default], "Tags": [{"Key": "a"}]}),
            "InvalidConfigurationRequest",
            "a tag of a default rule is not supported by neargate",
        )
        .await;
    let many: Vec<Json> = (0..51).map(|it| json!({"Key": it.to_string()})).collect();
    world
        .refused::<AddTagsInput>(
            json!({"ResourceArns": arns, "Tags": many}),
            "TooManyTags",
            "A resource has at most 50 tags",
        )
        .await;
}
