//! Health is what probes found, and decides who gets requests.

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::*;
use support::*;
use tokio::net::TcpListener;

#[tokio::test]
async fn probes_tell_what_is_wrong() {
    let bench = Bench::start().await;
    let port = free_port();
    let good = Origin::start("good").await;
    let wrong = Origin::start("wrong").await;
    wrong.status.store(418, Ordering::Relaxed);
    // It takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut web = group("web", &[&good, &wrong]);
    for listener in [&silent, &nobody] {
        web.targets.push(Target {
            address: "127.0.0.1".parse().unwrap(),
            port: listener.local_addr().unwrap().port(),
            draining_until_ms: None,
        });
    }
    drop(nobody);
    let mut changes = bench.client().changes();
    bench.apply(plain_balancer(port), vec![web]).await.unwrap();
    bench
        .wait_for("web", |states| {
            matches!(states, [
                TargetState::Healthy,
                TargetState::Unhealthy(ProbeFailure::ResponseCodeMismatch(418)),
                TargetState::Unhealthy(ProbeFailure::Timeout),
                TargetState::Unhealthy(ProbeFailure::FailedHealthChecks(reason)),
            ] if reason.contains("refused"))
        })
        .await;
    assert_eq!(changes.recv().await.unwrap(), "web");
    for _ in 0..8 {
        assert!(bench.get(port, "/").await.text().starts_with("good"));
    }
}

#[tokio::test]
async fn health_follows_the_thresholds() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    bench
        .apply(plain_balancer(port), vec![group("web", &[&a, &b])])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    a.status.store(500, Ordering::Relaxed);
    let bad = TargetState::Unhealthy(ProbeFailure::ResponseCodeMismatch(500));
    bench
        .wait_for("web", |it| it == [bad.clone(), TargetState::Healthy])
        .await;
    for _ in 0..4 {
        assert!(bench.get(port, "/").await.text().starts_with('b'));
    }
    // When none is healthy, all get requests.
    b.status.store(500, Ordering::Relaxed);
    bench
        .wait_for("web", |it| it == [bad.clone(), bad.clone()])
        .await;
    let mut seen = String::new();
    for _ in 0..4 {
        seen.push_str(&bench.get(port, "/").await.text()[..1]);
    }
    assert!(seen.contains('a') && seen.contains('b'), "{seen}");
    a.status.store(200, Ordering::Relaxed);
    bench
        .wait_for("web", |it| it == [TargetState::Healthy, bad.clone()])
        .await;
}

/// The first probe comes at once and one that passes is enough; a target that opens its port a
/// moment later is found long before the interval is over.
#[tokio::test]
async fn new_targets_are_found_at_once() {
    let bench = Bench::start().await;
    let port = free_port();
    let place = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let mut web = group("web", &[]);
    web.health_check.interval_ms = 30_000;
    web.targets.push(Target {
        address: "127.0.0.1".parse().unwrap(),
        port: address.port(),
        draining_until_ms: None,
    });
    bench.apply(plain_balancer(port), vec![web]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench
        .wait_for("web", |it| it == [TargetState::Initial])
        .await;
    let listener = TcpListener::bind(address).await.unwrap();
    let _late = Origin::on("late", listener);
    let healthy = bench.wait_healthy("web");
    tokio::time::timeout(Duration::from_secs(2), healthy)
        .await
        .unwrap();
}

#[tokio::test]
async fn groups_that_no_listener_uses_are_not_probed() {
    let bench = Bench::start().await;
    let port = free_port();
    let a = Origin::start("a").await;
    bench
        .apply(vec![], vec![group("web", &[&a])])
        .await
        .unwrap();
    bench
        .wait_for("web", |it| it == [TargetState::Unused])
        .await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(a.connections.load(Ordering::Relaxed), 0);
    bench
        .apply(plain_balancer(port), vec![group("web", &[&a])])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    bench
        .apply(vec![], vec![group("web", &[&a])])
        .await
        .unwrap();
    bench
        .wait_for("web", |it| it == [TargetState::Unused])
        .await;
}

#[tokio::test]
async fn tcp_probes_and_other_ports() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.status.store(500, Ordering::Relaxed);
    let mut web = group("web", &[&a]);
    web.health_check.tcp_only = true;
    bench
        .apply(plain_balancer(port), vec![web.clone()])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    // The check changes: now an answer is wanted, from the other one's port.
    web.health_check.tcp_only = false;
    web.health_check.port = Some(b.address.port());
    let before = b.connections.load(Ordering::Relaxed);
    bench.apply(plain_balancer(port), vec![web]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    bench.wait_healthy("web").await;
    assert!(b.connections.load(Ordering::Relaxed) > before);
}
