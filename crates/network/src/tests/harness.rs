//! A machine of one's own for each test, and a few words to say what is in it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::{
    GroupRule, GroupSpec, InterfaceSpec, Network, Peer, Protocol, Result, RouteSpec,
    RouteTableSpec, RouteTarget, SubnetSpec, VpcSpec,
};
use netlink_packet_netfilter::NetfilterProtoFamily;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::Machine;
use crate::links::{LOOPBACK_INDEX, Links, set_up};
use crate::namespaces;
use crate::nftables::Tables;

/// Long enough for a packet to come through, short enough to wait for one that does not.
pub const PATIENCE_MS: u64 = 300;
/// Longer than a busy machine stands still, and less than the second after which the kernel sends a lost packet
/// again: a packet that is lost is still seen.
const ANSWER_MS: u64 = 900;

/// A machine with nothing in it but what the test makes.
pub struct Lab {
    pub machine: Machine,
    pub run: PathBuf,
}

/// Runs a test on a machine of its own. Afterwards a new daemon removes everything, and nothing
/// may be left.
pub fn on_a_machine<F: Future<Output = ()>>(test: impl FnOnce(Lab) -> F + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            let loopback_up = vec![set_up(LOOPBACK_INDEX)];
            Links::open().unwrap().change(loopback_up).unwrap();
            let namespace = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
            let namespace_before = namespace();
            let run = tempfile::tempdir().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                test(Lab::open(run.path())).await;
                let next = Lab::open(run.path());
                next.machine.cleanup_all().await.unwrap();
            });
            expect_nothing_left(run.path());
            assert_eq!(namespace(), namespace_before);
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// No mount, no uplink and no table is left; links go as the kernel gets to it.
fn expect_nothing_left(run: &Path) {
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
    assert!(!mounts.contains(run.to_str().unwrap()), "{mounts}");
    let uplinks = || {
        let links = Links::open().unwrap().all_links().unwrap();
        links
            .into_iter()
            .filter(|(_, name)| name.starts_with("ng"))
            .count()
    };
    let give_up = Instant::now() + Duration::from_secs(5);
    while uplinks() > 0 {
        assert!(Instant::now() < give_up, "an uplink is left");
        std::thread::sleep(Duration::from_millis(10));
    }
    let chains = Tables::open()
        .unwrap()
        .chains(NetfilterProtoFamily::Inet)
        .unwrap();
    assert!(chains.is_empty(), "{chains:?}");
}

impl Lab {
    pub fn open(run: &Path) -> Self {
        Self {
            machine: Machine::open(run.to_owned(), "test".into()).unwrap(),
            run: run.to_owned(),
        }
    }

    /// What a new daemon sees in the same place.
    pub fn reopen(self) -> Self {
        let Self { machine, run } = self;
        drop(machine);
        Self::open(&run)
    }

    pub fn file(&self, directory: &str, name: &str) -> PathBuf {
        self.run.join(directory).join(name)
    }

    pub async fn namespace(&self, interface: &str) -> File {
        File::open(self.machine.namespace(interface).await.unwrap()).unwrap()
    }

    /// Does something in an interface's namespace.
    pub async fn inside<T: Send>(&self, interface: &str, work: impl FnOnce() -> T + Send) -> T {
        let namespace = self.namespace(interface).await;
        namespaces::enter(&namespace, || Ok(work())).unwrap()
    }

    /// Answers every connection to this port with the peer's address, until the test ends.
    pub async fn serve(&self, interface: &str, port: u16) {
        let listener = self
            .inside(interface, || TcpListener::bind(("0.0.0.0", port)).unwrap())
            .await;
        answer(listener);
    }

    pub async fn connect(&self, from: &str, to: &str) -> Result<()> {
        let to: SocketAddr = to.parse().unwrap();
        self.machine.connect(from, to, PATIENCE_MS).await
    }

    pub async fn expect_open(&self, from: &str, to: &str) {
        if let Err(error) = self.connect(from, to).await {
            panic!("`{from}` does not reach `{to}`: {}", error.chain());
        }
    }

    /// Packets are dropped in silence: the connection is neither made nor refused.
    pub async fn expect_silence(&self, from: &str, to: &str) {
        let error = self
            .connect(from, to)
            .await
            .expect_err(&format!("`{from}` reaches `{to}`"));
        let silent = ["timed out", "would block"];
        assert!(
            silent.iter().any(|word| error.message.contains(word)),
            "`{from}` to `{to}` is not silent: {}",
            error.chain()
        );
    }
}

pub fn answer(listener: TcpListener) {
    std::thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = stream.write_all(peer.ip().to_string().as_bytes());
        }
    });
}

/// Connects from the calling thread's namespace and reads what the server says.
pub fn ask(to: &str) -> std::io::Result<String> {
    let to: SocketAddr = to.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(ANSWER_MS))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A network `10.0.0.0/16` with a subnet `a` of `10.0.1.0/24` and a subnet `b` of `10.0.2.0/24`,
/// each with a route table of its name and no route in it.
pub fn vpc(id: &str, groups: Vec<GroupSpec>) -> VpcSpec {
    let subnet = |id: &str, range: &str| SubnetSpec {
        id: id.into(),
        range: range.parse().unwrap(),
        route_table: id.into(),
    };
    let table = |id: &str| RouteTableSpec {
        id: id.into(),
        routes: vec![],
    };
    VpcSpec {
        id: id.into(),
        ranges: vec!["10.0.0.0/16".parse().unwrap()],
        subnets: vec![subnet("a", "10.0.1.0/24"), subnet("b", "10.0.2.0/24")],
        route_tables: vec![table("a"), table("b")],
        groups,
        guards: vec![],
        resolver: None,
        machine: None,
        behind: None,
        unknown: vec![],
    }
}

/// Gives both route tables a default route.
pub fn with_default_route(mut vpc: VpcSpec, target: RouteTarget) -> VpcSpec {
    for table in &mut vpc.route_tables {
        table.routes = vec![RouteSpec {
            destination: "0.0.0.0/0".parse().unwrap(),
            target,
        }];
    }
    vpc
}

pub fn group(id: &str, ingress: Vec<GroupRule>, egress: Vec<GroupRule>) -> GroupSpec {
    GroupSpec {
        id: id.into(),
        ingress,
        egress,
    }
}

/// A rule for a TCP port, or all ports for 0, with a range or a group as its peer.
pub fn tcp(port: u16, peer: &str) -> GroupRule {
    let (from, to) = if port == 0 {
        (0, u16::MAX)
    } else {
        (port, port)
    };
    let peer = match peer.parse() {
        Ok(range) => Peer::Range(range),
        Err(_) => Peer::Group(peer.into()),
    };
    GroupRule {
        protocol: Protocol::Tcp { from, to },
        peer,
    }
}

pub fn everything() -> Vec<GroupRule> {
    vec![GroupRule {
        protocol: Protocol::All,
        peer: Peer::Range("0.0.0.0/0".parse().unwrap()),
    }]
}

/// An interface in the subnet that its address is in.
pub fn interface(vpc: &str, id: &str, address: &str, groups: &[&str]) -> InterfaceSpec {
    let address: Ipv4Addr = address.parse().unwrap();
    let [_, b, c, d] = address.octets();
    InterfaceSpec {
        id: id.into(),
        vpc: vpc.into(),
        subnet: if c == 1 { "a" } else { "b" }.into(),
        address,
        mac: [2, 0, 0, b, c, d],
        groups: groups.iter().map(|group| (*group).into()).collect(),
        public: false,
        names: vec![],
        aliases: Default::default(),
        namespace: None,
        published: vec![],
    }
}
