//! Access logs: where they may be written, and what is.

use std::io::Read;

use engine::{AccessEntry, AccessedTarget};
use serde_json::{Value as Json, json};
use shapes::{elbv2::*, s3::*};

use crate::world::{World, texts, until};

/// A bucket with a policy for this principal on everything below this prefix.
async fn bucket(world: &World, name: &str, principal: Json, below: &str) {
    world.ok::<CreateBucketInput>(json!({"Bucket": name})).await;
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": principal,
        "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{name}/{below}*"),
    }]});
    let input = json!({"Bucket": name, "Policy": policy.to_string()});
    world.ok::<PutBucketPolicyInput>(input).await;
}

fn asked(arn: &str, pairs: &[(&str, &str)]) -> Json {
    let attributes: Vec<Json> = (pairs.iter())
        .map(|(key, value)| json!({"Key": format!("access_logs.s3.{key}"), "Value": value}))
        .collect();
    json!({"LoadBalancerArn": arn, "Attributes": attributes})
}

async fn keys(world: &World, bucket: &str) -> Vec<String> {
    let found = world
        .ok::<ListObjectsV2Input>(json!({"Bucket": bucket}))
        .await;
    match found["Contents"].is_null() {
        true => vec![],
        false => texts(&found["Contents"], "Key"),
    }
}

fn service() -> Json {
    json!({"Service": "logdelivery.elasticloadbalancing.amazonaws.com"})
}

#[tokio::test]
async fn what_the_buckets_policy_does_not_let_in_is_refused() {
    let world = World::new().await;
    let arn = world.balancer("web").await;
    bucket(&world, "logs", service(), "AWSLogs/000000000000/").await;
    bucket(&world, "other", json!({"AWS": "111111111111"}), "").await;
    let older = json!({"AWS": "arn:aws:iam::127311923021:root"});
    bucket(&world, "older", older, "logs/AWSLogs/000000000000/").await;
    let closed = json!({"Bucket": "closed"});
    world.ok::<CreateBucketInput>(closed).await;
    let denied = |bucket: &str| {
        format!("Access Denied for bucket: {bucket}. Please check S3bucket permission")
    };
    for (bucket, prefix, message) in [
        ("missing", "", denied("missing")),
        ("closed", "", denied("closed")),
        ("other", "", denied("other")),
        ("logs", "elsewhere", denied("logs")),
        ("older", "", denied("older")),
        (
            "logs",
            "AWSLogs",
            "The value 'AWSLogs' of the attribute 'access_logs.s3.prefix' must not contain 'AWSLogs'".into(),
        ),
    ] {
        let input = asked(&arn, &[("enabled", "true"), ("bucket", bucket), ("prefix", prefix)]);
        world
            .refused::<ModifyLoadBalancerAttributesInput>(
                input,
                "InvalidConfigurationRequest",
                &message,
            )
            .await;
    }
    assert!(keys(&world, "logs").await.is_empty());
    // Nothing of it was set.
    let found = world
        .ok::<DescribeLoadBalancerAttributesInput>(json!({"LoadBalancerArn": arn}))
        .await;
    let set = found["Attributes"].as_array().unwrap();
    let enabled = set.iter().find(|it| it["Key"] == "access_logs.s3.enabled");
    assert_eq!(enabled.unwrap()["Value"], "false");
    for (bucket, prefix, key) in [
        ("logs", "", "AWSLogs/000000000000/ELBAccessLogTestFile"),
        (
            "older",
            "logs",
            "logs/AWSLogs/000000000000/ELBAccessLogTestFile",
        ),
    ] {
        let input = asked(
            &arn,
            &[("enabled", "true"), ("bucket", bucket), ("prefix", prefix)],
        );
        world.ok::<ModifyLoadBalancerAttributesInput>(input).await;
        assert_eq!(keys(&world, bucket).await, [key]);
    }
}

#[tokio::test]
async fn requests_are_delivered_to_the_bucket() {
    let world = World::new().await;
    let arn = world.balancer("web").await;
    let group = world.target_group("tg").await;
    bucket(&world, "logs", service(), "mine/AWSLogs/000000000000/").await;
    let input = asked(
        &arn,
        &[("enabled", "true"), ("bucket", "logs"), ("prefix", "mine")],
    );
    world.ok::<ModifyLoadBalancerAttributesInput>(input).await;
    until("the edge logs", || {
        world.snapshot().balancers[0].logs_access
    })
    .await;
    let full_name = arn.split_once(":loadbalancer/").unwrap().1;
    let access = AccessEntry {
        began_us: 1_530_570_180_000_000,
        ended_us: 1_530_570_180_000_001,
        client: "127.0.0.1:2817".parse().unwrap(),
        request_us: Some(0),
        target_us: Some(1_400),
        response_us: Some(12),
        status: 200,
        received_bytes: 34,
        sent_bytes: 366,
        method: "GET".into(),
        url: "http://web:80/".into(),
        version: "HTTP/1.1".into(),
        user_agent: "curl".into(),
        group: Some(format!("us-east-1/{}", group.split(':').nth(5).unwrap())),
        target: Some(AccessedTarget {
            address: "10.0.1.10:80".parse().unwrap(),
            status: Some(200),
        }),
        trace: "Root=1".into(),
        priority: Some(0),
        action: "forward".into(),
        redirect: None,
        upgraded: false,
        tls: None,
    };
    let edge = &world.sim.edge;
    edge.add_access(&format!("us-east-1/{full_name}"), access);
    let start = std::time::Instant::now();
    let key = loop {
        let all = keys(&world, "logs").await;
        if let Some(key) = all.into_iter().find(|it| it.ends_with(".log.gz")) {
            break key;
        }
        assert!(start.elapsed().as_secs() < 20, "nothing is delivered");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let (folder, name) = key.rsplit_once('/').unwrap();
    let day = folder
        .strip_prefix("mine/AWSLogs/000000000000/elasticloadbalancing/us-east-1/")
        .unwrap();
    assert_eq!(day.split('/').map(str::len).collect::<Vec<_>>(), [4, 2, 2]);
    let name = name
        .strip_prefix("000000000000_elasticloadbalancing_us-east-1_")
        .unwrap();
    let rest = name.strip_prefix(&full_name.replace('/', ".")).unwrap();
    let parts: Vec<&str> = rest.split('_').collect();
    assert_eq!(parts.len(), 4, "{rest}");
    assert!(parts[1].ends_with('Z') && parts[1].len() == "20140215T2340Z".len());
    assert!(parts[1].starts_with(&day.replace('/', "")), "{rest}");
    assert_eq!(parts[2], "127.0.0.1");
    let input = GetObjectInput {
        bucket: "logs".into(),
        key,
        ..Default::default()
    };
    let body = world.cx.call(input).await.unwrap().body.unwrap().0;
    let mut lines = String::new();
    flate2::read::GzDecoder::new(&body[..])
        .read_to_string(&mut lines)
        .unwrap();
    let begin = format!(
        "http 2018-07-02T22:23:00.000001Z {full_name} 127.0.0.1:2817 10.0.1.10:80 0.000 0.001 0.000 200 200 34 366 "
    );
    assert!(lines.starts_with(&begin), "{lines}");
    assert!(lines.contains(&format!(" {group} ")), "{lines}");
    assert_eq!(lines.lines().count(), 1);
}
