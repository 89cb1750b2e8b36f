//! What the tests share: an edge in a directory of its own, targets that answer as they are told,
//! and a client that speaks over plain sockets, so that no library hides what passes.
#![allow(dead_code)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use edge::{EdgeClient, Executable};
use engine::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Namespaces by interface; everything else is not what the edge asks for.
#[derive(Default)]
pub struct FakeNetwork(pub Mutex<HashMap<String, PathBuf>>);

#[async_trait]
impl Network for FakeNetwork {
    async fn apply_vpc(&self, _: VpcSpec) -> Result<()> {
        unimplemented!()
    }
    async fn remove_vpc(&self, _: &str) -> Result<()> {
        unimplemented!()
    }
    async fn attach(&self, _: InterfaceSpec) -> Result<()> {
        unimplemented!()
    }
    async fn detach(&self, _: &str) -> Result<()> {
        unimplemented!()
    }
    async fn namespace(&self, interface: &str) -> Result<PathBuf> {
        let found = self.0.lock().unwrap().get(interface).cloned();
        found.ok_or_else(|| EngineError::not_found(format!("no `{interface}`")))
    }
    async fn resolver(&self, _: &str) -> Result<Option<engine::ResolverSpec>> {
        Ok(None)
    }
    async fn list(&self) -> Result<(Vec<String>, Vec<String>)> {
        unimplemented!()
    }
    async fn connect(&self, _: &str, _: SocketAddr, _: u64) -> Result<()> {
        unimplemented!()
    }
    async fn dial(&self, _: &str, _: SocketAddr, _: u64) -> Result<std::net::TcpStream> {
        unimplemented!("no test asks")
    }
    async fn listen_beside(
        &self,
        _: &str,
        _: std::net::SocketAddrV4,
    ) -> Result<std::net::TcpListener> {
        unimplemented!("no test asks")
    }
    async fn has_way_out(&self, _: &str) -> Result<bool> {
        unimplemented!()
    }
}

/// An edge of its own: a directory, a loopback address that no other test has, and the process.
pub struct Bench {
    // Dropped in this order: a client that still lived would start a killed edge again.
    client: Option<EdgeClient>,
    _killer: Killer,
    pub dir: tempfile::TempDir,
    pub address: IpAddr,
    pub network: Arc<FakeNetwork>,
    generation: AtomicU64,
    /// What listeners may serve with.
    pub certificates: Mutex<Vec<KeyedCertificate>>,
}

pub fn executable() -> Executable {
    Executable {
        program: env!("CARGO_BIN_EXE_edge-role").into(),
        args: vec!["edge".into()],
    }
}

/// `127.<process>.<process>.<count>`: test binaries run beside each other.
pub fn own_address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let count = NEXT.fetch_add(1, Ordering::Relaxed) as u8;
    IpAddr::V4(Ipv4Addr::new(
        127,
        high.wrapping_add(100) % 200 + 20,
        low,
        count,
    ))
}

impl Bench {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    /// One whose balancer forwards everything to one target, which is healthy: the balancer's port, and the
    /// target.
    pub async fn serving() -> (Self, u16, Origin) {
        Self::serving_with(|_, _| {}).await
    }

    /// As [`Bench::serving`], with other settings.
    pub async fn serving_with(
        change: impl FnOnce(&mut Balancer, &mut TargetGroup),
    ) -> (Self, u16, Origin) {
        let bench = Self::start().await;
        let port = free_port();
        let a = Origin::start("a").await;
        let mut balancers = plain_balancer(port);
        let mut web = group("web", &[&a]);
        change(&mut balancers[0], &mut web);
        bench.apply(balancers, vec![web]).await.unwrap();
        bench.wait_healthy("web").await;
        (bench, port, a)
    }

    pub async fn start_in(dir: tempfile::TempDir) -> Self {
        let address = own_address();
        let network = Arc::new(FakeNetwork::default());
        let client = open(&dir, address, &network).await;
        Self {
            client: Some(client),
            _killer: Killer(dir.path().into()),
            dir,
            address,
            network,
            generation: AtomicU64::new(1),
            certificates: Mutex::default(),
        }
    }

    pub async fn apply(&self, balancers: Vec<Balancer>, groups: Vec<TargetGroup>) -> Result<()> {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        let snapshot = Snapshot {
            generation,
            now_ms: now_ms(),
            balancers,
            target_groups: groups,
            certificates: self.certificates.lock().unwrap().clone(),
            unknown: vec![],
        };
        self.client().apply(snapshot).await
    }

    /// The processes that serve this directory.
    pub fn edges(&self) -> Vec<i32> {
        let dir = self.dir.path().to_str().unwrap();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap() {
            let entry = entry.unwrap();
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if line.split('\0').any(|argument| argument == dir) {
                found.push(entry.file_name().to_str().unwrap().parse().unwrap());
            }
        }
        found
    }

    pub fn client(&self) -> &EdgeClient {
        self.client.as_ref().unwrap()
    }

    /// A second client in the place of the first, as after a restart of the daemon.
    pub async fn reopen(&mut self) {
        drop(self.client.take());
        self.client = Some(open(&self.dir, self.address, &self.network).await);
    }

    pub fn without_daemon(mut self) -> Self {
        drop(self.client.take());
        self
    }

    pub fn pid(&self) -> i32 {
        let file = std::fs::read(self.dir.path().join("edge.json")).unwrap();
        let identity: serde_json::Value = serde_json::from_slice(&file).unwrap();
        identity["pid"].as_i64().unwrap() as i32
    }

    pub async fn wait_for(&self, group: &str, expect: impl Fn(&[TargetState]) -> bool) {
        let mut last = Vec::new();
        for _ in 0..400 {
            let health = self.client().health(group).await.unwrap();
            last = health.into_iter().map(|it| it.state).collect();
            if expect(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("`{group}` stays {last:?}");
    }

    pub async fn wait_healthy(&self, group: &str) {
        let all = |states: &[TargetState]| states.iter().all(|it| *it == TargetState::Healthy);
        self.wait_for(group, all).await;
    }

    pub async fn connect(&self, port: u16) -> TcpStream {
        TcpStream::connect((self.address, port)).await.unwrap()
    }

    pub async fn get(&self, port: u16, path: &str) -> Answer {
        self.ask(port, &format!("GET {path} HTTP/1.1\r\nHost: lb\r\n\r\n"))
            .await
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, port: u16, request: &str) -> Answer {
        let mut stream = self.connect(port).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await.unwrap()
    }
}

pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as i64
}

/// Whatever happened, no process stays.
struct Killer(PathBuf);

impl Drop for Killer {
    fn drop(&mut self) {
        let Ok(file) = std::fs::read(self.0.join("edge.json")) else {
            return;
        };
        if let Ok(identity) = serde_json::from_slice::<serde_json::Value>(&file)
            && let Some(pid) = identity["pid"].as_i64()
        {
            let pid = nix::unistd::Pid::from_raw(pid as i32);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

async fn open(dir: &tempfile::TempDir, address: IpAddr, network: &Arc<FakeNetwork>) -> EdgeClient {
    let namespaces = Arc::clone(network) as Arc<dyn Network>;
    EdgeClient::open(dir.path().into(), address, namespaces, executable())
        .await
        .unwrap()
}

/// A free port; the tests' own addresses make a clash between them impossible.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub fn check() -> TargetHealthCheck {
    TargetHealthCheck {
        enabled: true,
        tcp_only: false,
        tls: false,
        path: "/health".into(),
        port: None,
        interval_ms: 100,
        timeout_ms: 80,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        matcher: vec![(200, 299)],
    }
}

pub fn group(id: &str, targets: &[&Origin]) -> TargetGroup {
    TargetGroup {
        id: id.into(),
        targets: targets.iter().map(|it| it.target()).collect(),
        health_check: check(),
        stickiness: None,
        algorithm: Algorithm::RoundRobin,
        slow_start_ms: 0,
        tls: false,
    }
}

pub fn anyone() -> Vec<GroupRule> {
    vec![GroupRule {
        protocol: Protocol::All,
        peer: Peer::Range("0.0.0.0/0".parse().unwrap()),
    }]
}

pub fn forward(groups: &[(&str, u32)]) -> Action {
    Action::Forward {
        groups: groups
            .iter()
            .map(|(id, weight)| (id.to_string(), *weight))
            .collect(),
        stickiness_ms: None,
    }
}

pub fn always(action: Action) -> Vec<Rule> {
    vec![Rule {
        priority: 0,
        conditions: vec![],
        action,
    }]
}

pub fn balancer(id: &str, port: u16, rules: Vec<Rule>) -> Balancer {
    Balancer {
        id: id.into(),
        host: format!("{id}.elb.localhost"),
        interfaces: vec![],
        ingress: anyone(),
        internal: false,
        listeners: vec![Listener {
            id: format!("{id}-{port}"),
            port,
            rules,
            headers: vec![],
            tls: None,
        }],
        idle_timeout_ms: 5_000,
        http: HttpSettings::default(),
        logs_access: false,
    }
}

/// A balancer that forwards everything to the group `web`.
pub fn plain_balancer(port: u16) -> Vec<Balancer> {
    vec![balancer("lb", port, always(forward(&[("web", 1)])))]
}

/// A target that answers as it is told: by path, and with what it got.
pub struct Origin {
    pub address: SocketAddrV4,
    pub status: Arc<AtomicU16>,
    pub connections: Arc<AtomicU32>,
    pub open: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    pub async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(name, listener)
    }

    pub fn on(name: &'static str, listener: TcpListener) -> Self {
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            unreachable!()
        };
        let status = Arc::new(AtomicU16::new(200));
        let connections = Arc::new(AtomicU32::new(0));
        let open = Arc::new(AtomicU32::new(0));
        let (code, count, still) = (status.clone(), connections.clone(), open.clone());
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let (code, still) = (code.clone(), still.clone());
                tasks.spawn(async move {
                    still.fetch_add(1, Ordering::Relaxed);
                    talk(name, stream, code).await;
                    still.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self {
            address,
            status,
            connections,
            open,
            task,
        }
    }

    pub fn target(&self) -> Target {
        Target {
            address: *self.address.ip(),
            port: self.address.port(),
            draining_until_ms: None,
        }
    }
}

/// Serves one connection: `/health`, `/slow` (300 ms), `/ws` (echo), `/echo` (the body), `/never`,
/// `/reset`, `/garbage`, `/login` (sets the cookie `session`), `/head?n` (with a header of n bytes), and for the rest its name, the path, and the request's headers.
async fn talk(name: &'static str, mut stream: TcpStream, status: Arc<AtomicU16>) {
    while let Some(request) = read_message(&mut stream).await {
        let first = request.head.lines().next().unwrap_or("").to_owned();
        let path = first.split(' ').nth(1).unwrap_or("").to_owned();
        let mut code = 200;
        let mut body = format!("{name} {path}\n{}", request.head).into_bytes();
        match path.split('?').next().unwrap_or("") {
            "/health" => code = status.load(Ordering::Relaxed),
            "/slow" => tokio::time::sleep(Duration::from_millis(300)).await,
            "/never" => std::future::pending().await,
            "/reset" => return,
            "/garbage" => {
                let _ = stream
                    .write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
                    .await;
                return;
            }
            "/echo" => body = request.body,
            "/ws" => return echo(stream).await,
            _ => {}
        }
        let mut out = format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n", body.len());
        out.push_str("Keep-Alive: timeout=5\r\nX-CaSe: 1\r\n");
        if path == "/login" {
            out.push_str("Set-Cookie: session=1; Path=/\r\n");
        }
        let padding = path.strip_prefix("/head?").and_then(|it| it.parse().ok());
        if let Some(padding) = padding {
            out.push_str(&format!("X-Padding: {}\r\n", "p".repeat(padding)));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        if !first.starts_with("HEAD") {
            out.extend(body);
        }
        if stream.write_all(&out).await.is_err() {
            return;
        }
    }
}

async fn echo(mut stream: TcpStream) {
    let accepted = "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(accepted.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
}

pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }
}

/// Why the balancer answers itself.
pub fn reason(answer: &Answer) -> String {
    answer.header("x-neargate-reason").unwrap_or_default()
}

pub fn header(head: &str, name: &str) -> Option<String> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
}

/// `None` when the connection was closed without an answer.
pub async fn read_answer(stream: &mut TcpStream) -> Option<Answer> {
    let message = tokio::time::timeout(Duration::from_secs(20), read_message(stream));
    let message = message.await.expect("no answer in time")?;
    let status = message.head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        head: message.head,
        body: message.body,
    })
}

/// Head and body, the body by `Content-Length` or in chunks.
pub async fn read_message(stream: &mut TcpStream) -> Option<Message> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut body = Vec::new();
    if let Some(length) = header(&head, "content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).await.ok()?;
    } else if header(&head, "transfer-encoding").is_some() {
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(stream.read_u8().await.ok()?);
            }
            let size = std::str::from_utf8(&line).unwrap().trim();
            let size = usize::from_str_radix(size, 16).unwrap();
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            if size == 0 {
                break;
            }
            body.extend(&chunk[..size]);
        }
    }
    Some(Message { head, body })
}
