//! Requests through a real edge process to real targets.

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::*;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn requests_go_round_healthy_targets() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    bench
        .apply(plain_balancer(port), vec![group("web", &[&a, &b])])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    let mut seen = String::new();
    for _ in 0..6 {
        let answer = bench.get(port, "/page?x=1").await;
        assert_eq!(answer.status, 200);
        seen.push_str(&answer.text()[..1]);
    }
    assert_eq!(seen.matches('a').count(), 3, "{seen}");
    let text = bench.get(port, "/page?x=1").await.text();
    assert!(text.contains(" /page?x=1\n"), "{text}");
    assert!(text.contains("X-Forwarded-For: 127.0.0.1"), "{text}");
    assert!(text.contains("X-Forwarded-Proto: http"), "{text}");
    assert!(
        text.contains(&format!("X-Forwarded-Port: {port}")),
        "{text}"
    );
    assert!(text.contains("X-Amzn-Trace-Id: Root=1-"), "{text}");
    assert!(text.contains("Host: lb"), "{text}");
    let traffic = bench.client().traffic("web").await.unwrap();
    assert_eq!((traffic.requests, traffic.status_2xx), (7, 7));
    assert!(traffic.response_time_us_sum > 0);
    assert_eq!(traffic.response_times.iter().sum::<u64>(), 7);
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let bench = Bench::start().await;
    let port = free_port();
    let a = Origin::start("a").await;
    let mut web = group("web", &[&a]);
    web.health_check.interval_ms = 60_000;
    bench.apply(plain_balancer(port), vec![web]).await.unwrap();
    bench.wait_healthy("web").await;
    let before = a.connections.load(Ordering::Relaxed);
    let mut stream = bench.connect(port).await;
    for _ in 0..20 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")
            .await
            .unwrap();
        let answer = read_answer(&mut stream).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("keep-alive"), None);
    }
    assert_eq!(a.connections.load(Ordering::Relaxed) - before, 1);
}

#[tokio::test]
async fn big_bodies_pass_in_both_directions() {
    let (bench, port, _a) = Bench::serving().await;
    let body = vec![b'x'; 8 * 1024 * 1024];
    let mut stream = bench.connect(port).await;
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: lb\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let answer = read_answer(&mut stream).await.unwrap();
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
    // The same connection again, in chunks, and only after being asked to continue.
    let head = "POST /echo HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let continued = read_message(&mut stream).await.unwrap();
    assert!(
        continued.head.starts_with("HTTP/1.1 100"),
        "{}",
        continued.head
    );
    stream
        .write_all(b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().text(), "abcdefg");
}

#[tokio::test]
async fn web_sockets_become_tunnels() {
    let (bench, port, _a) = Bench::serving().await;
    let mut stream = bench.connect(port).await;
    let ask = "GET /ws HTTP/1.1\r\nHost: lb\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await.unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade").as_deref(), Some("websocket"));
    stream.write_all(b" and late").await.unwrap();
    let mut back = [0; 14];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"early and late");
}

#[tokio::test]
async fn no_target_is_503_and_a_dead_one_502() {
    let bench = Bench::start().await;
    let port = free_port();
    bench
        .apply(plain_balancer(port), vec![group("web", &[])])
        .await
        .unwrap();
    assert_eq!(bench.get(port, "/").await.status, 503);
    let mut dead = group("web", &[]);
    dead.targets.push(Target {
        address: "127.0.0.1".parse().unwrap(),
        port: 1,
        draining_until_ms: None,
    });
    bench.apply(plain_balancer(port), vec![dead]).await.unwrap();
    assert_eq!(bench.get(port, "/").await.status, 502);
    let traffic = bench.client().traffic("web").await.unwrap();
    assert_eq!((traffic.own_5xx, traffic.connection_errors), (2, 1));
    assert_eq!(traffic.status_5xx, 0);
}

#[tokio::test]
async fn refused_connections_go_to_another_target() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let mut web = group("web", &[&a, &b]);
    web.health_check.interval_ms = 60_000;
    bench.apply(plain_balancer(port), vec![web]).await.unwrap();
    bench.wait_healthy("web").await;
    drop(b);
    tokio::time::sleep(Duration::from_millis(20)).await;
    for _ in 0..10 {
        assert_eq!(bench.get(port, "/").await.status, 200);
    }
}

#[tokio::test]
async fn slow_targets_are_504_and_broken_ones_502() {
    let bench = Bench::start().await;
    let port = free_port();
    let a = Origin::start("a").await;
    let mut balancers = plain_balancer(port);
    balancers[0].idle_timeout_ms = 400;
    bench
        .apply(balancers, vec![group("web", &[&a])])
        .await
        .unwrap();
    assert_eq!(bench.get(port, "/never").await.status, 504);
    assert_eq!(bench.get(port, "/reset").await.status, 502);
    assert_eq!(bench.get(port, "/garbage").await.status, 502);
    assert_eq!(bench.get(port, "/slow").await.status, 200);
    // A silent client is closed after the idle time.
    let mut silent = bench.connect(port).await;
    let mut nothing = [0; 9];
    let read = tokio::time::timeout(Duration::from_secs(3), silent.read(&mut nothing));
    assert_eq!(read.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn clients_that_go_away_are_counted() {
    let (bench, port, _a) = Bench::serving().await;
    let mut stream = bench.connect(port).await;
    stream
        .write_all(b"GET /never HTTP/1.1\r\nHost: lb\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(stream);
    for _ in 0..100 {
        if bench.client().traffic("web").await.unwrap().own_4xx == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the client that left is not counted");
}
