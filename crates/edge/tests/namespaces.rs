//! Balancers with an interface: targets are reached from its namespace, and clients inside it
//! reach the balancer. The namespaces are real.

mod support;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::mpsc;

use engine::*;
use nix::sched::{CloneFlags, unshare};
use support::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace with its loopback up. It lives as long as the thread that is in it.
struct Namespace {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
}

impl Namespace {
    fn new() -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, path) = mpsc::channel();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            raise_loopback();
            let (pid, tid) = (std::process::id(), nix::unistd::gettid());
            ready
                .send(format!("/proc/{pid}/task/{tid}/ns/net").into())
                .unwrap();
            for job in inbox {
                job();
            }
        });
        Self {
            path: path.recv().unwrap(),
            jobs,
        }
    }

    /// Runs something on the thread that is inside.
    fn inside<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        let job = move || sender.send(job()).unwrap();
        self.jobs.send(Box::new(job)).unwrap();
        receiver.recv().unwrap()
    }

    fn origin(&self, name: &'static str) -> Origin {
        let listener = self.inside(|| TcpListener::bind("127.0.0.1:0")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Origin::on(name, tokio::net::TcpListener::from_std(listener).unwrap())
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let stream = self.inside(move || std::net::TcpStream::connect(to))?;
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    }

    /// What `/proc/<pid>/fd` shows for a descriptor of it.
    fn name(&self) -> PathBuf {
        std::fs::read_link(&self.path).unwrap()
    }
}

fn raise_loopback() {
    const LOOPBACK: u32 = 1;
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let up = rtnetlink::LinkUnspec::new_with_index(LOOPBACK).up().build();
        handle.link().set(up).execute().await.unwrap();
    });
}

fn holds(pid: i32, namespace: &Namespace) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    links.into_iter().any(|link| link == namespace.name())
}

fn with_interface(port: u16, interface: &str) -> Balancer {
    let mut balancer = plain_balancer(port).remove(0);
    balancer.interfaces = vec![interface.into()];
    balancer
}

#[tokio::test]
async fn targets_are_reached_from_the_interface() {
    let bench = Bench::start().await;
    let port = free_port();
    let namespace = Namespace::new();
    let a = namespace.origin("inside");
    assert!(
        TcpStream::connect(a.address).await.is_err(),
        "it is not inside"
    );
    let name = || "eni".to_owned();
    bench
        .network
        .0
        .lock()
        .unwrap()
        .insert(name(), namespace.path.clone());
    let balancers = || vec![with_interface(port, "eni")];
    bench
        .apply(balancers(), vec![group("web", &[&a])])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    assert!(bench.get(port, "/x").await.text().starts_with("inside /x"));
    let mut stream = bench.connect(port).await;
    let upgrade =
        "GET /ws HTTP/1.1\r\nHost: lb\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 101);
    drop(stream);

    // The interface is made anew under the same name: the edge follows.
    let other = Namespace::new();
    let b = other.origin("other");
    bench
        .network
        .0
        .lock()
        .unwrap()
        .insert(name(), other.path.clone());
    bench
        .apply(balancers(), vec![group("web", &[&b])])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    assert!(bench.get(port, "/").await.text().starts_with("other"));
    assert!(holds(bench.pid(), &other));
    assert!(
        !holds(bench.pid(), &namespace),
        "the old namespace is kept alive"
    );

    // And lets go of it when the balancer goes.
    bench.apply(vec![], vec![]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!holds(bench.pid(), &other), "the namespace is kept alive");
}

#[tokio::test]
async fn clients_inside_reach_the_balancer() {
    let bench = Bench::start().await;
    let port = free_port();
    let namespace = Namespace::new();
    let a = namespace.origin("inside");
    bench
        .network
        .0
        .lock()
        .unwrap()
        .insert("eni".into(), namespace.path.clone());
    let mut internal = with_interface(port, "eni");
    internal.internal = true;
    // Who comes in through the interface was judged by the kernel already.
    internal.ingress = vec![];
    bench
        .apply(vec![internal], vec![group("web", &[&a])])
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    let outside = TcpStream::connect((bench.address, port)).await;
    assert!(outside.is_err(), "an internal balancer listens outside");
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = namespace.connect(to).await.unwrap();
    let request = b"GET /y HTTP/1.1\r\nHost: lb\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let answer = read_answer(&mut stream).await.unwrap();
    assert!(answer.text().starts_with("inside /y"), "{}", answer.text());
}

#[tokio::test]
async fn an_interface_that_is_not_attached_is_named() {
    let bench = Bench::start().await;
    let port = free_port();
    let a = Origin::start("outside").await;
    let balancers = vec![with_interface(port, "eni-gone")];
    let error = bench
        .apply(balancers, vec![group("web", &[&a])])
        .await
        .unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
    assert!(error.message.contains("`eni-gone`"), "{error}");
    // The target could be reached from the host, which is not where the balancer is.
    let answer = bench.get(port, "/").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    bench
        .wait_for("web", |states| {
            matches!(states, [TargetState::Unhealthy(ProbeFailure::FailedHealthChecks(reason))]
                if reason.contains("`eni-gone` is not attached"))
        })
        .await;
}
