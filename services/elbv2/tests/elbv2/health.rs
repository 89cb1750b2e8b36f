//! Target health in AWS's words, for everything that the engine says.

use engine::{ProbeFailure, TargetState};
use serde_json::{Value as Json, json};
use shapes::elbv2::*;

use crate::world::{World, forward, until};

#[tokio::test]
async fn every_state_in_awss_words() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let group = world.target_group("tg").await;
    let targets = json!({"TargetGroupArn": group, "Targets": [{"Id": "10.0.1.10"}]});
    world.ok::<RegisterTargetsInput>(targets).await;
    let health = async || {
        let found = world
            .ok::<DescribeTargetHealthInput>(json!({"TargetGroupArn": group}))
            .await;
        found["TargetHealthDescriptions"][0].clone()
    };
    until("the edge knows it", || {
        world
            .snapshot()
            .target_groups
            .iter()
            .any(|it| !it.targets.is_empty())
    })
    .await;
    let unused = json!({"State": "unused", "Reason": "Target.NotInUse", "Description": "Target group is not configured to receive traffic from the load balancer"});
    assert_eq!(health().await["TargetHealth"], unused);
    world.listener_to(&balancer, 80, forward(&group)).await;
    until("the group is in use", || {
        world
            .snapshot()
            .balancers
            .iter()
            .any(|it| !it.listeners.is_empty())
    })
    .await;

    let unhealthy = |reason: &str, description: &str| json!({"State": "unhealthy", "Reason": reason, "Description": description});
    let cases: [(TargetState, Json); 6] = [
        (TargetState::Healthy, json!({"State": "healthy"})),
        (
            TargetState::Initial,
            json!({"State": "initial", "Reason": "Elb.InitialHealthChecking", "Description": "Initial health checks in progress"}),
        ),
        (
            TargetState::Draining { in_flight: 1 },
            json!({"State": "draining", "Reason": "Target.DeregistrationInProgress", "Description": "Target deregistration is in progress"}),
        ),
        (
            TargetState::Unhealthy(ProbeFailure::Timeout),
            unhealthy("Target.Timeout", "Request timed out"),
        ),
        (
            TargetState::Unhealthy(ProbeFailure::ResponseCodeMismatch(502)),
            unhealthy(
                "Target.ResponseCodeMismatch",
                "Health checks failed with these codes: [502]",
            ),
        ),
        (
            TargetState::Unhealthy(ProbeFailure::FailedHealthChecks(
                "connection refused".into(),
            )),
            unhealthy(
                "Target.FailedHealthChecks",
                "Health checks failed: connection refused",
            ),
        ),
    ];
    for (state, expected) in cases {
        world
            .sim
            .edge
            .set_state("10.0.1.10".parse().unwrap(), state);
        let found = health().await;
        assert_eq!(found["TargetHealth"], expected);
        assert_eq!(found["Target"], json!({"Id": "10.0.1.10", "Port": 8080}));
        assert_eq!(found["HealthCheckPort"], "8080");
    }
    world.sim.edge.set_silent(true);
    let unavailable = json!({"State": "unavailable", "Reason": "Elb.InternalError", "Description": "Target health is unavailable due to an internal error"});
    assert_eq!(health().await["TargetHealth"], unavailable);
    world.sim.edge.set_silent(false);
    assert_ne!(health().await["TargetHealth"], unavailable);

    // What is to drain is said to, by an edge too that has not heard of it: who waits for the end of draining
    // before stopping it must not take its being healthy still for that.
    world
        .sim
        .edge
        .set_state("10.0.1.10".parse().unwrap(), TargetState::Healthy);
    world.sim.edge.set_silent(true);
    let targets = json!({"TargetGroupArn": group, "Targets": [{"Id": "10.0.1.10"}]});
    world.ok::<DeregisterTargetsInput>(targets).await;
    assert_eq!(health().await["TargetHealth"]["State"], "draining");
    world.sim.edge.set_silent(false);
    assert_eq!(health().await["TargetHealth"]["State"], "draining");
}
