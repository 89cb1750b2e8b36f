//! What is handed to the edge.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cloud::{Clock, Pace};
use engine::{Action, Condition, GroupRule, Peer, Protocol};
use serde_json::json;
use shapes::{ec2, elbv2::*};

use crate::world::{World, fixed, forward, text, until};

#[tokio::test]
async fn a_balancer_with_everything() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let (a, b) = (world.target_group("a").await, world.target_group("b").await);
    let redirect = json!({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_302", "Host": "example.com", "Path": "/new#{path}"}});
    let listener = world.listener_to(&balancer, 80, redirect).await;
    let weighted = json!({"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": a, "Weight": 3}, {"TargetGroupArn": b, "Weight": 0}],
        "TargetGroupStickinessConfig": {"Enabled": true, "DurationSeconds": 60}}});
    let rules = [
        (
            20,
            json!([{"Field": "host-header", "Values": ["*.example.com"]}, {"Field": "path-pattern", "Values": ["/api/*"]}]),
            weighted,
        ),
        (
            10,
            json!([{"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}}]),
            fixed("403"),
        ),
    ];
    for (priority, conditions, action) in rules {
        let input = json!({"ListenerArn": listener, "Priority": priority, "Conditions": conditions, "Actions": [action]});
        world.ok::<CreateRuleInput>(input).await;
    }
    let attributes = json!([{"Key": "stickiness.enabled", "Value": "true"}, {"Key": "stickiness.lb_cookie.duration_seconds", "Value": "30"}]);
    world
        .ok::<ModifyTargetGroupAttributesInput>(
            json!({"TargetGroupArn": a, "Attributes": attributes}),
        )
        .await;
    let targets = json!([{"Id": "10.0.1.10"}, {"Id": "10.0.2.10", "Port": 9000}]);
    world
        .ok::<RegisterTargetsInput>(json!({"TargetGroupArn": a, "Targets": targets}))
        .await;
    let is_last = || {
        world
            .snapshot()
            .target_groups
            .iter()
            .any(|it| it.targets.len() == 2)
    };
    until("the last change is served", is_last).await;

    let snapshot = world.snapshot();
    let served = &snapshot.balancers[0];
    let found = world.ok::<DescribeLoadBalancersInput>(json!({})).await;
    assert_eq!(served.host, text(&found["LoadBalancers"][0]["DNSName"]));
    assert_eq!(served.interfaces.len(), 2);
    assert_eq!(served.idle_timeout_ms, 60_000);
    assert!(!served.internal);
    let [listener] = &served.listeners[..] else {
        panic!("{served:?}")
    };
    let key = |arn: &str| format!("us-east-1/{}", arn.split(':').nth(5).unwrap());
    let expected = [
        (
            vec![Condition::Method(vec!["PUT".into()])],
            Action::Fixed {
                status: 403,
                content_type: "text/plain".into(),
                body: "here".into(),
            },
        ),
        (
            vec![
                Condition::Host(vec!["*.example.com".into()]),
                Condition::Path(vec!["/api/*".into()]),
            ],
            Action::Forward {
                groups: vec![(key(&a), 3), (key(&b), 0)],
                stickiness_ms: Some(60_000),
            },
        ),
        (
            vec![],
            Action::Redirect {
                status: 302,
                protocol: None,
                host: Some("example.com".into()),
                port: None,
                path: Some("/new#{path}".into()),
                query: None,
            },
        ),
    ];
    let rules: Vec<_> = listener
        .rules
        .iter()
        .map(|it| (it.conditions.clone(), it.action.clone()))
        .collect();
    assert_eq!((listener.port, rules), (80, expected.to_vec()));
    let group = snapshot
        .target_groups
        .iter()
        .find(|it| it.id == key(&a))
        .unwrap();
    assert_eq!(
        group.stickiness,
        Some(engine::Stickiness::ByBalancer { lasts_ms: 30_000 })
    );
    let places: Vec<_> = group
        .targets
        .iter()
        .map(|it| format!("{}:{}", it.address, it.port))
        .collect();
    assert_eq!(places, ["10.0.1.10:8080", "10.0.2.10:9000"]);
    // Thirty seconds are one, two probes decide, and only 200 is well.
    let check = &group.health_check;
    assert_eq!(
        (
            check.interval_ms,
            check.unhealthy_threshold,
            check.matcher.clone()
        ),
        (1000, 2, vec![(200, 200)])
    );
}

#[tokio::test]
async fn what_the_security_groups_let_in_follows_at_once() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let port = |port| GroupRule {
        protocol: Protocol::Tcp {
            from: port,
            to: port,
        },
        peer: Peer::Range("0.0.0.0/0".parse().unwrap()),
    };
    let ingress = || world.snapshot().balancers[0].ingress.clone();
    until("the group is known", || ingress() == [port(80)]).await;
    let open = json!([{"IpProtocol": "tcp", "FromPort": 81, "ToPort": 81, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]);
    world
        .ok::<ec2::AuthorizeSecurityGroupIngressInput>(
            json!({"GroupId": world.group, "IpPermissions": open}),
        )
        .await;
    until("the new rule is known", || {
        ingress() == [port(80), port(81)]
    })
    .await;
    let other = world.group(&world.vpc, "other").await;
    // The balancer serves on while its interfaces get the other group.
    let served = || world.snapshot().balancers.len() == 1;
    world
        .ok::<SetSecurityGroupsInput>(
            json!({"LoadBalancerArn": balancer, "SecurityGroups": [other]}),
        )
        .await;
    assert_eq!(world.state(&balancer).await["Code"], "active");
    until("the other group is known", || {
        assert!(
            served(),
            "the balancer is not served while its groups change"
        );
        ingress().is_empty()
    })
    .await;
    let groups = || {
        let interfaces = world.sim.network.interfaces.lock().unwrap();
        interfaces
            .values()
            .all(|it| it.groups == [other.clone()] && it.public)
    };
    until("the interfaces are in it", groups).await;
}

#[tokio::test]
async fn an_internal_balancer_has_private_interfaces() {
    let world = World::new().await;
    let input = json!({"Name": "web", "Subnets": world.subnets, "Scheme": "internal"});
    let made = world.ok::<CreateLoadBalancerInput>(input).await["LoadBalancers"][0].clone();
    assert!(text(&made["DNSName"]).starts_with("internal-web-"));
    world
        .until_state(&text(&made["LoadBalancerArn"]), "active")
        .await;
    until("it is served", || {
        world.snapshot().balancers.iter().any(|it| it.internal)
    })
    .await;
    assert!(
        world
            .sim
            .network
            .interfaces
            .lock()
            .unwrap()
            .values()
            .all(|it| !it.public)
    );
}

/// A port that another program has is named, on the balancer that wants it and no other, and is taken
/// when it becomes free.
#[tokio::test]
async fn a_port_that_is_taken() {
    let world = World::new().await;
    let (web, other) = (world.balancer("web").await, world.balancer("other").await);
    world.sim.edge.set_port_taken(8080, true);
    world.listener(&web, 8080).await;
    world.listener(&other, 80).await;
    world.until_state(&web, "active_impaired").await;
    let reason = text(&world.state(&web).await["Reason"]);
    assert!(reason.contains("port 8080 of"), "{reason}");
    assert_eq!(world.state(&other).await["Code"], "active");
    world.sim.edge.set_port_taken(8080, false);
    world.until_state(&web, "active").await;
}

#[tokio::test]
async fn draining_ends_when_nothing_is_in_flight_and_is_seen_for_its_whole_time() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let group = world.target_group("tg").await;
    world.listener_to(&balancer, 80, forward(&group)).await;
    let targets = json!([{"Id": "10.0.1.10"}, {"Id": "10.0.1.11"}]);
    world
        .ok::<RegisterTargetsInput>(json!({"TargetGroupArn": group, "Targets": targets}))
        .await;
    let state = async |id: &str| {
        let found = world
            .ok::<DescribeTargetHealthInput>(
                json!({"TargetGroupArn": group, "Targets": [{"Id": id}]}),
            )
            .await;
        found["TargetHealthDescriptions"][0]["TargetHealth"].clone()
    };
    world.sim.edge.set_in_flight(2);
    // Another port of the same address is another target.
    let elsewhere = json!({"TargetGroupArn": group, "Targets": [{"Id": "10.0.1.10", "Port": 1}]});
    world.ok::<DeregisterTargetsInput>(elsewhere).await;
    let one = json!({"TargetGroupArn": group, "Targets": [{"Id": "10.0.1.10"}]});
    world.ok::<DeregisterTargetsInput>(one.clone()).await;
    let draining = || {
        world
            .targets()
            .iter()
            .filter(|it| it.draining_until_ms.is_some())
            .count()
    };
    until("it drains", || draining() == 1).await;
    assert_eq!(
        state("10.0.1.10").await["Reason"],
        "Target.DeregistrationInProgress"
    );
    assert_eq!(state("10.0.1.11").await["State"], "healthy");
    // Registered again it is in service again.
    world.ok::<RegisterTargetsInput>(one.clone()).await;
    until("it drains no more", || draining() == 0).await;
    assert_eq!(state("10.0.1.10").await["State"], "healthy");
    world.ok::<DeregisterTargetsInput>(one).await;
    until("it drains again", || draining() == 1).await;
    world.sim.edge.set_in_flight(0);
    until("it is gone", || world.targets().len() == 1).await;
    let health = state("10.0.1.10").await;
    assert_eq!(
        (&health["State"], &health["Reason"]),
        (&json!("unused"), &json!("Target.NotRegistered"))
    );
    // Whoever asks from outside sees it drain for its whole time.
    let seen = async || {
        let all = json!({"TargetGroupArn": group});
        let found = (world.cx)
            .serve_json("elasticloadbalancing", "DescribeTargetHealth", all)
            .await
            .unwrap();
        let all = found["TargetHealthDescriptions"].as_array().unwrap();
        let states = all.iter().map(|it| text(&it["TargetHealth"]["State"]));
        states.collect::<Vec<_>>()
    };
    assert_eq!(seen().await, ["draining", "healthy"]);
    // And then no more.
    let short = json!([{"Key": "deregistration_delay.timeout_seconds", "Value": "1"}]);
    let input = json!({"TargetGroupArn": group, "Attributes": short});
    world.ok::<ModifyTargetGroupAttributesInput>(input).await;
    let again = json!({"TargetGroupArn": group, "Targets": [{"Id": "10.0.1.10"}]});
    world.ok::<RegisterTargetsInput>(again.clone()).await;
    until("it is back", || world.targets().len() == 2).await;
    world.ok::<DeregisterTargetsInput>(again).await;
    let start = std::time::Instant::now();
    while seen().await != ["healthy"] {
        assert!(start.elapsed().as_secs() < 20, "it drains for ever");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A record as a later version might have written it.
#[derive(serde::Serialize, serde::Deserialize)]
struct Strange<const KIND: usize> {
    key: String,
}

const KINDS: [&str; 3] = [
    "elbv2.load-balancer",
    "elbv2.listener",
    "elbv2.target-group",
];

impl<const KIND: usize> cloud::Record for Strange<KIND> {
    const KIND: &'static str = KINDS[KIND];
    fn key(&self) -> String {
        self.key.clone()
    }
}

/// What one record says that cannot be read is not known: what was served of it is served on, and
/// everything else changes as it is told.
#[tokio::test]
async fn what_cannot_be_read_is_served_as_it_was() {
    let world = World::new().await;
    let (one, two) = (world.balancer("one").await, world.balancer("two").await);
    let (a, b) = (world.target_group("a").await, world.target_group("b").await);
    let listener = world.listener_to(&one, 80, forward(&a)).await;
    world.listener_to(&two, 81, forward(&b)).await;
    until("both are served", || {
        let served = world.snapshot().balancers;
        served.len() == 2 && served.iter().all(|it| it.listeners.len() == 1)
    })
    .await;
    let mut before = world.snapshot();
    let key = |arn: &str| {
        let resource = arn.split(':').nth(5).unwrap();
        let name = resource.trim_start_matches("loadbalancer/");
        format!("us-east-1/{}", name.trim_start_matches("listener/"))
    };
    let spoil = |kind: usize, arn: &str| {
        let key = key(arn);
        let spoiled = world.cx.write(|tx| match kind {
            0 => tx.put(&Strange::<0> { key }),
            1 => tx.put(&Strange::<1> { key }),
            _ => tx.put(&Strange::<2> { key }),
        });
        spoiled.unwrap();
    };
    for (round, (kind, arn)) in [(1, &listener), (2, &a), (0, &one)].into_iter().enumerate() {
        spoil(kind, arn);
        // Something else changes, and is served.
        let port = 90 + round as u16;
        world.listener(&two, port).await;
        until("the other balancer has its listener", || {
            let served = world.snapshot().balancers;
            let other = served.iter().find(|it| it.id == key(&two)).unwrap();
            other.listeners.iter().any(|it| it.port == port)
        })
        .await;
        let now = world.snapshot();
        let of = |all: &engine::Snapshot| {
            let served = all.balancers.iter().find(|it| it.id == key(&one)).cloned();
            let group = all
                .target_groups
                .iter()
                .find(|it| it.id == key(&a))
                .cloned();
            (served, group)
        };
        assert_eq!(of(&now), of(&before), "{}", KINDS[kind]);
        before = now;
    }
}

/// An interface that is in the records and not on the machine holds back its own balancer, and says so.
#[tokio::test]
async fn a_balancer_whose_interface_is_not_there_waits_alone() {
    let world = World::new().await;
    let (one, two) = (world.balancer("one").await, world.balancer("two").await);
    let three = world.balancer("three").await;
    world.listener(&one, 80).await;
    let key = |arn: &str| {
        let resource = arn.split(':').nth(5).unwrap();
        format!("us-east-1/{}", resource.trim_start_matches("loadbalancer/"))
    };
    let (one_key, two_key) = (key(&one), key(&two));
    let served = |key: &str| {
        let served = world.snapshot().balancers.into_iter();
        served.into_iter().find(|it| it.id == key)
    };
    let ports = |key: &str| {
        let listeners = served(key).map(|it| it.listeners).unwrap_or_default();
        let mut ports: Vec<u16> = listeners.iter().map(|it| it.port).collect();
        ports.sort_unstable();
        ports
    };
    until("it is served", || ports(&one_key) == [80]).await;
    let interface = served(&one_key).unwrap().interfaces[0].clone();
    let interfaces = &world.sim.network.interfaces;
    let taken = interfaces.lock().unwrap().remove(&interface).unwrap();

    world.listener(&one, 81).await;
    world.listener(&two, 82).await;
    until("the other has its listener", || ports(&two_key) == [82]).await;
    // One that goes is let go of as well.
    let input = json!({"LoadBalancerArn": three});
    world.ok::<DeleteLoadBalancerInput>(input).await;
    until("the third one is gone", || world.interfaces() == 3).await;
    assert_eq!(ports(&one_key), [80]);
    assert_eq!(world.state(&one).await["Code"], "active");
    let applied = || {
        let read = world.cx.read(|tx| tx.get::<Applied>("all"));
        read.unwrap().unwrap()
    };
    assert_eq!(applied().waiting, std::slice::from_ref(&one_key));

    interfaces.lock().unwrap().insert(interface, taken);
    until("it is served whole", || ports(&one_key) == [80, 81]).await;
    until("nothing waits", || applied().waiting.is_empty()).await;
}

/// What the edge took, as it is stored.
#[derive(serde::Serialize, serde::Deserialize)]
struct Applied {
    waiting: Vec<String>,
}

impl cloud::Record for Applied {
    const KIND: &'static str = "elbv2.edge-applied";
    fn key(&self) -> String {
        "all".into()
    }
}

/// A drain's end is a time in a record: after the clock was set back, that would be far off.
#[tokio::test]
async fn a_drain_takes_no_longer_when_the_clock_is_set_back() {
    let off = Arc::new(AtomicI64::new(0));
    let (machine, read) = (Clock::new(Pace::Fast), off.clone());
    let wall = move || machine.now_ms() + read.load(Ordering::Relaxed);
    let world = World::by(Clock::by(Pace::Fast, Arc::new(wall))).await;
    let balancer = world.balancer("web").await;
    let group = world.target_group("tg").await;
    world.listener_to(&balancer, 80, forward(&group)).await;
    let delay = json!([{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}]);
    let input = json!({"TargetGroupArn": group, "Attributes": delay});
    world.ok::<ModifyTargetGroupAttributesInput>(input).await;
    let one = json!({"TargetGroupArn": group, "Targets": [{"Id": "10.0.1.10"}]});
    world.ok::<RegisterTargetsInput>(one.clone()).await;
    until("it is registered", || world.targets().len() == 1).await;
    world.sim.edge.set_in_flight(1);
    world.ok::<DeregisterTargetsInput>(one).await;
    let drains = || (world.targets().iter()).any(|it| it.draining_until_ms.is_some());
    until("it drains", drains).await;
    off.store(-3_600_000, Ordering::Relaxed);
    world.cloud.look_at_clock();
    until("it is gone", || world.targets().is_empty()).await;
}
