//! Draining, deployments, and the deaths of daemon and edge, all under load.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use engine::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn in_ms(delay_ms: i64) -> Option<i64> {
    Some(now_ms() + delay_ms)
}

fn draining(mut group: TargetGroup, index: usize, delay_ms: i64) -> TargetGroup {
    group.targets[index].draining_until_ms = in_ms(delay_ms);
    group
}

/// Clients that ask without a pause, half of them on kept connections.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(bench: &Bench, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicU32::new(0));
        let address = (bench.address, port);
        let clients = (0..8).map(|client| {
            let (stop, asked) = (stop.clone(), asked.clone());
            tokio::spawn(async move {
                let mut failures = Vec::new();
                let mut kept: Option<TcpStream> = None;
                while !stop.load(Ordering::Relaxed) {
                    let mut stream = match kept.take() {
                        Some(stream) => stream,
                        None => match TcpStream::connect(address).await {
                            Ok(stream) => stream,
                            Err(error) => {
                                failures.push(format!("connect: {error}"));
                                continue;
                            }
                        },
                    };
                    let request = match client % 3 {
                        0 => "POST /echo HTTP/1.1\r\nHost: lb\r\nContent-Length: 2\r\n\r\nhi",
                        _ => "GET / HTTP/1.1\r\nHost: lb\r\n\r\n",
                    };
                    let _ = stream.write_all(request.as_bytes()).await;
                    match read_answer(&mut stream).await {
                        Some(answer) if answer.status == 200 => {
                            asked.fetch_add(1, Ordering::Relaxed);
                            kept = (client % 2 == 0).then_some(stream);
                        }
                        other => failures.push(format!("{other:?}")),
                    }
                }
                failures
            })
        });
        Self {
            clients: clients.collect(),
            stop,
            asked,
        }
    }

    /// Nothing failed, and there was something that could have.
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            assert_eq!(client.await.unwrap(), Vec::<String>::new());
        }
        let asked = self.asked.load(Ordering::Relaxed);
        assert!(asked > 100, "only {asked} requests");
    }
}

#[tokio::test]
async fn draining_targets_finish_what_they_have() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    bench
        .apply(plain_balancer(port), vec![group("web", &[&a])])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    let mut slow = bench.connect(port).await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: lb\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let both = || group("web", &[&a, &b]);
    bench
        .apply(plain_balancer(port), vec![draining(both(), 0, 10_000)])
        .await
        .unwrap();
    let states = |in_flight| TargetState::Draining { in_flight };
    bench
        .wait_for("web", |it| it == [states(1), TargetState::Healthy])
        .await;
    for _ in 0..6 {
        assert!(bench.get(port, "/").await.text().starts_with('b'));
    }
    let mut changes = bench.client().changes();
    let answer = read_answer(&mut slow).await.unwrap();
    assert!(answer.text().starts_with("a /slow"));
    // The end of the last request is told without being asked.
    let told = tokio::time::timeout(Duration::from_secs(2), changes.recv());
    assert_eq!(told.await.unwrap().unwrap(), "web");
    bench
        .wait_for("web", |it| it == [states(0), TargetState::Healthy])
        .await;
}

#[tokio::test]
async fn what_does_not_finish_is_cut() {
    let (bench, port, a) = Bench::serving().await;
    let never = b"GET /never HTTP/1.1\r\nHost: lb\r\n\r\n";
    let (mut first, mut second) = (bench.connect(port).await, bench.connect(port).await);
    first.write_all(never).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let started = Instant::now();
    let drains = draining(group("web", &[&a]), 0, 200);
    bench
        .apply(plain_balancer(port), vec![drains])
        .await
        .unwrap();
    assert_eq!(read_answer(&mut first).await.unwrap().status, 502);
    assert!(started.elapsed() > Duration::from_millis(150));
    // One that leaves the snapshot is cut at once.
    bench
        .apply(plain_balancer(port), vec![group("web", &[])])
        .await
        .unwrap();
    bench
        .apply(plain_balancer(port), vec![group("web", &[&a])])
        .await
        .unwrap();
    second.write_all(never).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    bench
        .apply(plain_balancer(port), vec![group("web", &[])])
        .await
        .unwrap();
    assert_eq!(read_answer(&mut second).await.unwrap().status, 502);
}

/// Ten deployments, each in the order of ECS: register the new one, wait for its health, drain the
/// old one, deregister it, end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_deployments_lose_no_request() {
    let bench = Bench::start().await;
    let port = free_port();
    let mut current = Origin::start("old").await;
    bench
        .apply(plain_balancer(port), vec![group("web", &[&current])])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    let load = Load::start(&bench, port);
    for _ in 0..10 {
        let next = Origin::start("new").await;
        let both = || group("web", &[&current, &next]);
        bench
            .apply(plain_balancer(port), vec![both()])
            .await
            .unwrap();
        bench.wait_healthy("web").await;
        bench
            .apply(plain_balancer(port), vec![draining(both(), 0, 60_000)])
            .await
            .unwrap();
        let drained = |it: &[TargetState]| it[0] == TargetState::Draining { in_flight: 0 };
        bench.wait_for("web", drained).await;
        bench
            .apply(plain_balancer(port), vec![group("web", &[&next])])
            .await
            .unwrap();
        drop(std::mem::replace(&mut current, next));
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_serves_while_daemons_come_and_go() {
    let (mut bench, port, a) = Bench::serving().await;
    let pid = bench.pid();
    let load = Load::start(&bench, port);
    for _ in 0..5 {
        bench.reopen().await;
        assert_eq!(bench.pid(), pid);
        tokio::time::sleep(Duration::from_millis(100)).await;
        bench.wait_healthy("web").await;
        bench
            .apply(plain_balancer(port), vec![group("web", &[&a])])
            .await
            .unwrap();
    }
    load.end().await;
}

#[tokio::test]
async fn a_killed_edge_is_back_and_serves() {
    let (bench, port, a) = Bench::serving().await;
    for _ in 0..3 {
        let mut changes = bench.client().changes();
        let pid = bench.pid();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        let started = Instant::now();
        loop {
            if let Ok(mut stream) = TcpStream::connect((bench.address, port)).await {
                let _ = stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")
                    .await;
                if read_answer(&mut stream)
                    .await
                    .is_some_and(|it| it.status == 200)
                {
                    break;
                }
            }
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "it does not come back"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The same client goes on.
        bench
            .apply(plain_balancer(port), vec![group("web", &[&a])])
            .await
            .unwrap();
        bench.wait_healthy("web").await;
        assert_ne!(bench.pid(), pid);
        // Who watches looks again, and finds the truth at once.
        assert_eq!(changes.recv().await.unwrap(), "web");
    }
}

#[tokio::test]
async fn a_stopped_edge_is_gone_and_stays_gone() {
    let (bench, port, _a) = Bench::serving().await;
    let pid = bench.pid();
    let mut slow = bench.connect(port).await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: lb\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let (stopped, answer) = tokio::join!(bench.client().stop(), read_answer(&mut slow));
    stopped.unwrap();
    assert_eq!(answer.unwrap().status, 200);
    assert!(TcpStream::connect((bench.address, port)).await.is_err());
    let alive = || std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(!alive().contains("edge-role"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!bench.dir.path().join("edge.json").exists());
    assert!(!bench.dir.path().join("snapshot.json").exists());
    let asked = bench.client().health("web").await.unwrap_err();
    assert_eq!(asked.fault, Fault::Unreachable);
}

#[tokio::test]
async fn an_edge_without_a_daemon_can_be_stopped() {
    let bench = Bench::start().await;
    let dir = bench.dir.path().to_owned();
    let (edges, bench) = (bench.edges(), bench.without_daemon());
    assert_eq!(edges.len(), 1);
    edge::stop_edge(&dir).await.unwrap();
    assert!(bench.edges().is_empty());
    // There is nothing left to stop, which is fine.
    edge::stop_edge(&dir).await.unwrap();
}

/// A process that has the number of an edge that died is left alone.
#[tokio::test]
async fn a_stranger_with_its_number_is_not_taken_for_the_edge() {
    let mut bench = Bench::start().await;
    bench.client().stop().await.unwrap();
    let mut stranger = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let identity = serde_json::json!({
        "protocol": 1, "pid": stranger.id(), "start_time": 1, "cookie": "x",
        "listen_address": bench.address,
    });
    std::fs::write(bench.dir.path().join("edge.json"), identity.to_string()).unwrap();
    bench.reopen().await;
    assert_ne!(bench.pid(), stranger.id() as i32);
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "the stranger was killed"
    );
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// Idle connections to a draining target are closed, and a tunnel counts as a request under way
/// until it is cut.
#[tokio::test]
async fn draining_lets_go_of_connections() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let web = || {
        let mut web = group("web", &[&a, &b]);
        web.health_check.interval_ms = 60_000;
        web
    };
    bench
        .apply(plain_balancer(port), vec![web()])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    let mut tunnel = bench.connect(port).await;
    let upgrade =
        b"GET /ws HTTP/1.1\r\nHost: lb\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    tunnel.write_all(upgrade).await.unwrap();
    assert_eq!(read_answer(&mut tunnel).await.unwrap().status, 101);
    for _ in 0..8 {
        assert_eq!(bench.get(port, "/").await.status, 200);
    }
    let open = |origin: &Origin| origin.open.load(Ordering::Relaxed);
    assert!(open(&a) > 0 && open(&b) > 0, "nothing is kept open");
    let drain_both = draining(draining(web(), 0, 60_000), 1, 60_000);
    bench
        .apply(plain_balancer(port), vec![drain_both.clone()])
        .await
        .unwrap();
    bench
        .wait_for("web", |states| {
            let in_flight = |state: &TargetState| match state {
                TargetState::Draining { in_flight } => *in_flight,
                other => panic!("{other:?}"),
            };
            states.iter().map(in_flight).sum::<u32>() == 1 && open(&a) + open(&b) == 1
        })
        .await;
    assert_eq!(bench.get(port, "/").await.status, 503);
    let cut = draining(draining(drain_both, 0, 0), 1, 0);
    bench.apply(plain_balancer(port), vec![cut]).await.unwrap();
    let mut nothing = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut tunnel, &mut nothing);
    let read = tokio::time::timeout(Duration::from_secs(2), read)
        .await
        .unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "the tunnel is still open");
    // Both come back: as new targets, which are probed anew.
    bench
        .apply(plain_balancer(port), vec![web()])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    assert_eq!(bench.get(port, "/").await.status, 200);
}

/// An edge that is not what this daemon needs, here one that listens elsewhere, is replaced by one
/// that is; there are never two.
#[tokio::test]
async fn an_unsuitable_edge_is_replaced() {
    let (mut bench, port, _a) = Bench::serving().await;
    let before = bench.pid();
    assert_eq!(bench.edges(), [before]);
    bench.address = own_address();
    bench.reopen().await;
    assert_ne!(bench.pid(), before);
    assert_eq!(bench.edges(), [bench.pid()]);
    // It serves the last snapshot at its new address.
    assert_eq!(bench.get(port, "/").await.status, 200);
}

/// Bytes by chance, and parts of requests, in any order: the edge answers or hangs up, and lives.
#[tokio::test]
async fn noise_does_not_end_the_edge() {
    let (bench, port, _a) = Bench::serving().await;
    let pid = bench.pid();
    let parts: [&[u8]; 10] = [
        b"GET / HTTP/1.1\r\n",
        b"Host: lb\r\n",
        b"\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 18446744073709551615\r\n",
        b"Connection: upgrade, host, content-length\r\nUpgrade: \r\n",
        b"ffffffffffffffff\r\n",
        b"\0\xff\x80",
        b"GET http://[::1 HTTP/1.1\r\n",
        b"Cookie: AWSALB=zz; =; ;;\r\nX-Forwarded-For: \xff\r\n",
    ];
    let mut seed = 42_u64;
    for _ in 0..400 {
        let mut stream = bench.connect(port).await;
        for _ in 0..6 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let part = parts[(seed >> 33) as usize % parts.len()];
            let _ = stream.write_all(part).await;
        }
    }
    assert_eq!(bench.get(port, "/").await.status, 200);
    assert_eq!(bench.pid(), pid);
    assert_eq!(bench.edges(), [pid]);
}
