//! What happens to clients when the edge is killed, does not answer, loses its directory, or has no
//! room on its disk; and when a target is gone.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use engine::*;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::*;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// A client that opened its connection, and asked, at some time; and what became of it.
struct Visit {
    begun: Instant,
    refused: bool,
    answered: bool,
    ended: Instant,
}

/// When an edge was killed: a client may hear of it before whoever killed it looks at the clock.
struct Death {
    from: Instant,
    until: Instant,
}

/// Opens connections without a pause, each for one request.
struct Visitors {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Vec<Visit>>>,
}

impl Visitors {
    fn start(bench: &Bench, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let address = (bench.address, port);
        let clients = (0..6).map(|_| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut visits = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let stream = TcpStream::connect(address).await;
                    let refused = stream.is_err();
                    let mut answered = false;
                    if let Ok(mut stream) = stream {
                        let get = b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n";
                        let _ = stream.write_all(get).await;
                        let answer = read_answer(&mut stream).await;
                        answered = answer.is_some_and(|it| it.status == 200);
                    }
                    visits.push(Visit {
                        begun,
                        refused,
                        answered,
                        ended: Instant::now(),
                    });
                }
                visits
            })
        });
        Self {
            clients: clients.collect(),
            stop,
        }
    }

    /// Nobody was refused, and only those were not answered who were being served at some death.
    async fn end(self, deaths: &[Death]) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut count, mut lost) = (0, 0);
        for client in self.clients {
            for visit in client.await.unwrap() {
                count += 1;
                assert!(!visit.refused, "a connection was refused");
                let dies = |death: &Death| visit.begun <= death.until && death.from <= visit.ended;
                if !visit.answered {
                    lost += 1;
                    assert!(
                        deaths.iter().any(dies),
                        "a connection was lost that nobody served"
                    );
                }
            }
        }
        assert!(count > 100, "only {count} visits");
        assert!(lost <= 6 * deaths.len(), "{lost} of {count} lost");
    }
}

fn signal(bench: &Bench, signal: Signal) -> i32 {
    let pid = bench.pid();
    kill(Pid::from_raw(pid), signal).unwrap();
    pid
}

async fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..500 {
        if is_true() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come about that {what}");
}

async fn until_another_than(bench: &Bench, pid: i32) {
    for _ in 0..2_000 {
        let path = bench.dir.path().join("edge.json");
        let known = std::fs::read(path).ok();
        let known = known.and_then(|it| serde_json::from_slice::<serde_json::Value>(&it).ok());
        let is_new = known.is_some_and(|it| it["pid"].as_i64() != Some(i64::from(pid)));
        if is_new && bench.client().health("web").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the edge {pid} is not replaced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_edge_loses_no_new_connection() {
    let (mut bench, port, a) = Bench::serving().await;
    let visitors = Visitors::start(&bench, port);
    let mut deaths = Vec::new();
    for round in 0..6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if round == 3 {
            // Another daemon finds the edge, and gets the sockets again.
            bench.reopen().await;
            bench
                .apply(plain_balancer(port), vec![group("web", &[&a])])
                .await
                .unwrap();
        }
        let from = Instant::now();
        let pid = signal(&bench, Signal::SIGKILL);
        let until = Instant::now();
        deaths.push(Death { from, until });
        until_another_than(&bench, pid).await;
    }
    visitors.end(&deaths).await;
    assert_eq!(bench.edges(), [bench.pid()]);
}

/// One that was stopped does not end by itself, and takes no signal but one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_edge_is_replaced() {
    let (bench, port, _a) = Bench::serving().await;
    let pid = signal(&bench, Signal::SIGSTOP);
    let asked = timeout(Duration::from_secs(4), bench.client().health("web")).await;
    let unknown = asked.expect("the question has a deadline").unwrap_err();
    assert_eq!(unknown.fault, Fault::Unreachable);
    // This client waits, but is neither refused nor lost.
    assert_eq!(bench.get(port, "/").await.status, 200);
    bench.wait_healthy("web").await;
    assert_ne!(bench.pid(), pid);
    assert_eq!(bench.edges(), [bench.pid()]);
}

/// A daemon that starts finds a silent edge, too.
#[tokio::test]
async fn a_silent_edge_does_not_keep_a_daemon_from_starting() {
    let (mut bench, port, _a) = Bench::serving().await;
    let pid = signal(&bench, Signal::SIGSTOP);
    bench.reopen().await;
    assert_ne!(bench.pid(), pid);
    assert_eq!(bench.edges(), [bench.pid()]);
    assert_eq!(bench.get(port, "/").await.status, 200);
}

/// What is held for the next edge is held only for as long as this one wants it.
#[tokio::test]
async fn a_port_that_was_given_up_is_free_for_others() {
    let (bench, port, _a) = Bench::serving().await;
    let taken = std::net::TcpListener::bind((bench.address, port));
    assert!(taken.is_err());
    bench.apply(vec![], vec![]).await.unwrap();
    // At once for a server that does not mind connections of the one before it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((bench.address, port).into()).unwrap();
    drop(socket.listen(1).unwrap());
    // For everybody as soon as the edge's workers have closed it.
    eventually("the port is free", || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((bench.address, port).into()).is_ok()
    })
    .await;
}

#[tokio::test]
async fn who_has_a_port_is_said_by_name() {
    let bench = Bench::start().await;
    let port = free_port();
    let other = std::net::TcpListener::bind((bench.address, port)).unwrap();
    let a = Origin::start("a").await;
    let apply = || bench.apply(plain_balancer(port), vec![group("web", &[&a])]);
    let taken = apply().await.unwrap_err();
    assert_eq!(taken.fault, Fault::Conflict);
    let own = format!("(process {})", std::process::id());
    assert!(taken.message.ends_with(&own), "{taken}");
    drop(other);
    apply().await.unwrap();
}

/// Nobody finds an edge without its directory, so it ends, and leaves its ports to the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_without_its_directory_makes_room() {
    let (bench, port, _a) = Bench::serving().await;
    let pid = bench.pid();
    let visitors = Visitors::start(&bench, port);
    let before = Instant::now();
    std::fs::remove_dir_all(bench.dir.path()).unwrap();
    until_another_than(&bench, pid).await;
    // It lets everybody finish.
    visitors.end(&[]).await;
    assert!(before.elapsed() < Duration::from_secs(15));
    bench.wait_healthy("web").await;
    eventually("one edge is left", || bench.edges() == [bench.pid()]).await;
}

/// Without a daemon, too: the next one comes with another edge.
#[tokio::test]
async fn an_edge_without_directory_and_daemon_ends() {
    let (bench, port, _a) = Bench::serving().await;
    let mut bench = bench.without_daemon();
    let pid = bench.pid();
    std::fs::remove_dir_all(bench.dir.path()).unwrap();
    std::fs::create_dir(bench.dir.path()).unwrap();
    bench.reopen().await;
    assert_ne!(bench.pid(), pid);
    let a = Origin::start("a").await;
    for _ in 0..500 {
        let applied = bench.apply(plain_balancer(port), vec![group("web", &[&a])]);
        if applied.await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bench.wait_healthy("web").await;
    assert_eq!(bench.get(port, "/").await.status, 200);
    eventually("one edge is left", || bench.edges() == [bench.pid()]).await;
}

/// A file system of its own, without any room left.
struct FullDisk<'a>(&'a Path);

impl<'a> FullDisk<'a> {
    fn mount(dir: &'a Path) -> Self {
        let options = Some("size=16k,mode=0700");
        mount(Some("tmpfs"), dir, Some("tmpfs"), MsFlags::empty(), options).unwrap();
        let disk = Self(dir);
        disk.fill();
        disk
    }

    fn fill(&self) {
        let filled = std::fs::write(self.0.join("filler"), [1; 65_536]);
        assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }
}

impl Drop for FullDisk<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn an_edge_starts_and_serves_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let disk = FullDisk::mount(&path);
    let bench = Bench::start_in(dir).await;
    let port = free_port();
    let a = Origin::start("a").await;
    let web = || vec![group("web", &[&a])];
    bench.apply(plain_balancer(port), web()).await.unwrap();
    bench.wait_healthy("web").await;
    assert_eq!(bench.get(port, "/").await.status, 200);
    assert!(!path.join("snapshot.json").exists());
    // The next one knows what it has to serve, from the daemon.
    let pid = bench.edges()[0];
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert_eq!(bench.get(port, "/").await.status, 200);
    assert_ne!(bench.edges(), [pid]);
    // As soon as there is room, it is on the disk.
    std::fs::remove_file(path.join("filler")).unwrap();
    eventually("the snapshot is written", || {
        path.join("snapshot.json").exists()
    })
    .await;
    // What finds no room does not replace what is there.
    let before = std::fs::read(path.join("snapshot.json")).unwrap();
    disk.fill();
    let two = plain_balancer(port).into_iter();
    let two = two.chain([balancer(
        "other",
        free_port(),
        always(forward(&[("web", 1)])),
    )]);
    bench.apply(two.collect(), web()).await.unwrap();
    assert_eq!(std::fs::read(path.join("snapshot.json")).unwrap(), before);
    bench.client().stop().await.unwrap();
    assert!(bench.edges().is_empty());
}

/// A target that takes no connections and refuses none, like one whose interface is gone: its queue is
/// full, so the kernel drops what comes.
struct Hole {
    listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Hole {
    async fn dig() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(Ok(stream)) =
            timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            queue.push(stream);
        }
        Self {
            listener,
            _queue: queue,
        }
    }

    fn target(&self) -> Target {
        let address = self.listener.local_addr().unwrap();
        Target {
            address: "127.0.0.1".parse().unwrap(),
            port: address.port(),
            draining_until_ms: None,
        }
    }
}

fn unprobed(targets: Vec<Target>) -> TargetGroup {
    let mut web = group("web", &[]);
    web.targets = targets;
    web.health_check.enabled = false;
    web
}

#[tokio::test]
async fn a_target_that_is_gone_costs_a_second() {
    let bench = Bench::start().await;
    let port = free_port();
    let (hole, b) = (Hole::dig().await, Origin::start("b").await);
    let web = unprobed(vec![hole.target(), b.target()]);
    bench.apply(plain_balancer(port), vec![web]).await.unwrap();
    let begun = Instant::now();
    for request in [
        "GET /x HTTP/1.1\r\nHost: lb\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: lb\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let answer = bench.ask(port, request).await;
        assert_eq!(answer.status, 200);
    }
    // One of the two met the hole first, and no more than five seconds could have been lost on it.
    assert!(begun.elapsed() > Duration::from_millis(900));
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
}

/// Its leaving is known before the second is over.
#[tokio::test]
async fn connections_to_a_target_that_leaves_are_given_up() {
    let bench = Bench::start().await;
    let port = free_port();
    let hole = Hole::dig().await;
    let apply = async |targets| {
        let web = unprobed(targets);
        bench.apply(plain_balancer(port), vec![web]).await.unwrap();
    };
    // The only one: whoever asks waits for it for as long as it is there.
    apply(vec![hole.target()]).await;
    let asked = AtomicU32::new(0);
    let asking = async {
        let mut stream = bench.connect(port).await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")
            .await
            .unwrap();
        asked.store(1, Ordering::Relaxed);
        read_answer(&mut stream).await.unwrap()
    };
    let begun = Instant::now();
    let leaving = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        apply(vec![]).await;
    };
    let (answer, ()) = tokio::join!(asking, leaving);
    assert_eq!(answer.status, 502);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

/// A daemon that cannot read what a balancer is takes nothing away from it.
#[tokio::test]
async fn what_is_not_known_stays_as_it_is() {
    let (bench, port, _a) = Bench::serving().await;
    let other = free_port();
    let told = |generation: u64, balancers: Vec<Balancer>, unknown: &[&str]| Snapshot {
        generation,
        now_ms: now_ms(),
        balancers,
        target_groups: vec![],
        certificates: vec![],
        unknown: unknown.iter().map(ToString::to_string).collect(),
    };
    let answers = || Action::Fixed {
        status: 200,
        content_type: "text/plain".into(),
        body: "two".into(),
    };
    let two = balancer("two", other, always(answers()));
    let snapshot = told(100, vec![two.clone()], &["lb", "never"]);
    bench.client().apply(snapshot).await.unwrap();
    assert_eq!(bench.get(port, "/").await.status, 200);
    assert_eq!(bench.get(other, "/").await.text(), "two");
    // Also when it was told so again, and was started anew meanwhile.
    let before = signal(&bench, Signal::SIGKILL);
    until_another_than(&bench, before).await;
    let snapshot = told(101, vec![two.clone()], &["lb"]);
    bench.client().apply(snapshot).await.unwrap();
    assert_eq!(bench.get(port, "/").await.status, 200);
    // Known to be gone it is gone.
    bench
        .client()
        .apply(told(102, vec![two], &[]))
        .await
        .unwrap();
    assert!(TcpStream::connect((bench.address, port)).await.is_err());
    assert_eq!(bench.get(other, "/").await.text(), "two");
}
