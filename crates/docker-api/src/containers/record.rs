//! What is known of a container: what was asked for, in docker's words, and what became of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use engine::{Digest, HealthCheck, ImageConfig, RootMount};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Records of another version are left alone.
pub const VERSION: u32 = 1;

pub type Empty = BTreeMap<String, Value>;

/// What clients send, and what `inspect` shows: docker's `Config`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    /// Of its link in its own network.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    pub hostname: String,
    pub domainname: String,
    pub user: String,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    pub env: Vec<String>,
    #[serde(deserialize_with = "words")]
    pub cmd: Option<Vec<String>>,
    #[serde(deserialize_with = "words")]
    pub entrypoint: Option<Vec<String>>,
    pub image: String,
    pub labels: BTreeMap<String, String>,
    pub volumes: BTreeMap<String, Empty>,
    pub working_dir: String,
    pub exposed_ports: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Health>,
    #[serde(flatten, skip_serializing)]
    pub rest: BTreeMap<String, Value>,
}

impl Config {
    /// What its programs find in their environment: a name alone is of a variable that they do not find.
    pub fn variables(&self) -> Vec<String> {
        let all = self.env.iter().filter(|it| it.contains('='));
        all.cloned().collect()
    }
}

/// Times are nanoseconds; zero is the default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Health {
    pub test: Vec<String>,
    pub interval: u64,
    pub timeout: u64,
    pub start_period: u64,
    pub start_interval: u64,
    pub retries: u32,
}

/// Docker's `HostConfig`, as far as it is acted on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HostConfig {
    pub binds: Vec<String>,
    pub mounts: Vec<MountRequest>,
    pub tmpfs: BTreeMap<String, String>,
    pub network_mode: String,
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    pub publish_all_ports: bool,
    pub restart_policy: RestartPolicy,
    pub auto_remove: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub dns: Vec<String>,
    pub extra_hosts: Vec<String>,
    pub privileged: bool,
    pub readonly_rootfs: bool,
    pub init: bool,
    pub shm_size: i64,
    pub memory: i64,
    pub memory_reservation: i64,
    pub cpuset_cpus: String,
    pub sysctls: BTreeMap<String, String>,
    pub group_add: Vec<String>,
    pub devices: Vec<DeviceRequest>,
    pub pid_mode: String,
    pub ipc_mode: String,
    pub volumes_from: Vec<String>,
    pub links: Vec<String>,
    pub nano_cpus: i64,
    pub cpu_shares: i64,
    pub cpu_period: i64,
    pub cpu_quota: i64,
    pub pids_limit: i64,
    pub ulimits: Vec<Ulimit>,
    pub security_opt: Vec<String>,
    pub log_config: LogConfig,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub isolation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    #[serde(rename = "UTSMode", skip_serializing_if = "String::is_empty")]
    pub uts_mode: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub volume_driver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_cgroup_rules: Vec<String>,
    #[serde(flatten, skip_serializing)]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LogConfig {
    #[serde(rename = "Type")]
    pub kind: String,
    pub config: BTreeMap<String, String>,
}

impl LogConfig {
    /// Whether output is kept to be read again.
    pub fn is_kept(&self) -> bool {
        self.kind != "none"
    }
}

/// A device of the host's.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceRequest {
    pub path_on_host: String,
    pub path_in_container: String,
    pub cgroup_permissions: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RestartPolicy {
    pub name: String,
    pub maximum_retry_count: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PortBinding {
    pub host_ip: String,
    pub host_port: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MountRequest {
    #[serde(rename = "Type")]
    pub kind: String,
    pub source: String,
    pub target: String,
    pub read_only: bool,
    #[serde(skip_serializing_if = "TmpfsOptions::is_empty")]
    pub tmpfs_options: TmpfsOptions,
    #[serde(flatten, skip_serializing)]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TmpfsOptions {
    pub size_bytes: u64,
    pub mode: u32,
    pub options: Vec<Vec<String>>,
}

impl TmpfsOptions {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A container's place in a network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct EndpointRequest {
    pub aliases: Vec<String>,
    #[serde(rename = "IPAMConfig")]
    pub ipam: BTreeMap<String, Value>,
    pub links: Vec<String>,
    pub driver_opts: BTreeMap<String, String>,
    #[serde(flatten, skip_serializing)]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NetworkingConfig {
    pub endpoints_config: BTreeMap<String, EndpointRequest>,
}

/// The body of `POST /containers/create`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateRequest {
    pub host_config: HostConfig,
    pub networking_config: NetworkingConfig,
    #[serde(flatten)]
    pub config: Config,
}

/// A list of words, or one.
fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    let words = Option::<Words>::deserialize(from)?;
    Ok(words.map(|words| match words {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    Bind,
    Volume,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mount {
    pub kind: MountKind,
    /// Of a volume.
    pub name: String,
    pub source: PathBuf,
    pub destination: String,
    pub read_only: bool,
    /// Of a volume: what the image has in its place is not copied to it.
    #[serde(default)]
    pub no_copy: bool,
}

impl Mount {
    pub fn in_root(&self) -> RootMount {
        RootMount {
            source: self.source.clone(),
            path: PathBuf::from(&self.destination),
            read_only: self.read_only,
        }
    }
}

/// A container's place in a network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network's id.
    pub network: String,
    pub aliases: Vec<String>,
    /// What this container alone calls others, as `name:alias`.
    #[serde(default)]
    pub links: Vec<String>,
    /// That it has to have.
    pub fixed: Option<Ipv4Addr>,
    /// While it runs.
    pub address: Option<Ipv4Addr>,
    /// That it has to have.
    #[serde(default)]
    pub mac: Option<[u8; 6]>,
    /// What was said to the network's driver, which has no use for it.
    #[serde(default)]
    pub driver_opts: BTreeMap<String, String>,
}

impl Endpoint {
    /// What its link is known by at an address: what was asked for, or what follows from the address.
    pub fn mac_at(&self, address: Ipv4Addr) -> [u8; 6] {
        let [a, b, c, d] = address.octets();
        self.mac.unwrap_or([0x02, 0x42, a, b, c, d])
    }

    /// What its link is known by while it runs.
    pub fn link_address(&self) -> Option<[u8; 6]> {
        self.address.map(|it| self.mac_at(it))
    }
}

/// `02:42:ac:11:00:02`, with any case and `-` as well. None: it is no address of one link.
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut words = text.split([':', '-']);
    for byte in &mut bytes {
        let is_byte = |it: &&str| it.len() == 2 && it.bytes().all(|it| it.is_ascii_hexdigit());
        let word = words.next().filter(is_byte)?;
        *byte = u8::from_str_radix(word, 16).ok()?;
    }
    let of_one_link = bytes[0] & 1 == 0 && bytes != [0; 6];
    (words.next().is_none() && of_one_link).then_some(bytes)
}

pub fn show_mac(mac: [u8; 6]) -> String {
    mac.map(|it| format!("{it:02x}")).join(":")
}

/// Where a container's processes are in the network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Joined {
    /// The machine's own.
    Host,
    /// Alone.
    None,
    /// Where another container is, by its id.
    Container(String),
    /// In networks, its own first; nowhere while it is disconnected.
    Network(#[serde(deserialize_with = "endpoints")] Vec<Endpoint>),
}

/// Earlier there was one at the most.
fn endpoints<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Endpoint>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Endpoints {
        Many(Vec<Endpoint>),
        One(Option<Endpoint>),
    }
    Ok(match Endpoints::deserialize(from)? {
        Endpoints::Many(all) => all,
        Endpoints::One(one) => one.into_iter().collect(),
    })
}

/// Of a published port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortProtocol {
    #[default]
    Tcp,
    Udp,
}

impl PortProtocol {
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A published port that is bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub container_port: u16,
    #[serde(default)]
    pub protocol: PortProtocol,
    pub host_ip: Ipv4Addr,
    pub host_port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Created,
    Running,
    /// Ended, and about to be started again.
    Restarting,
    Exited,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    pub status: Status,
    pub started_ms: Option<i64>,
    pub finished_ms: Option<i64>,
    pub exit_code: i32,
    pub error: String,
    pub out_of_memory: bool,
    /// By its restart policy, since somebody started it.
    pub restarts: u32,
    /// Somebody stopped it: it is not to be restarted.
    pub stopped_by_hand: bool,
    /// How often it ended.
    pub exits: u64,
    pub bound: Vec<Bound>,
    /// It runs, and is held.
    #[serde(default)]
    pub paused: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub id: String,
    pub name: String,
    pub created_ms: i64,
    /// As it was called.
    pub image: String,
    pub image_id: Digest,
    /// With what the image says.
    pub config: Config,
    pub host: HostConfig,
    pub mounts: Vec<Mount>,
    pub joined: Joined,
    pub state: State,
}

/// What is written for the machine's address in a hosts entry.
pub const HOST_GATEWAY: &str = "host-gateway";

/// What a security option says of new privileges, if it is about them.
pub fn no_new_privileges(option: &str) -> Option<bool> {
    match option {
        "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true" => Some(true),
        "no-new-privileges:false" | "no-new-privileges=false" => Some(false),
        _ => None,
    }
}

/// Whether something may be a name in a network.
pub fn is_plain(name: &str) -> bool {
    let ok = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    !name.is_empty() && name.len() <= 253 && name.bytes().all(ok)
}

impl Record {
    /// Names a task and an interface.
    pub fn task(&self) -> String {
        format!("docker-{}", &self.id[..24])
    }

    /// Its networks, its own first.
    pub fn endpoints(&self) -> &[Endpoint] {
        match &self.joined {
            Joined::Network(endpoints) => endpoints,
            _ => &[],
        }
    }

    /// Where it is reached while it runs: in the first of its networks that it has an address in.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.endpoints().iter().find_map(|it| it.address)
    }

    pub fn endpoint_in(&self, network: &str) -> Option<&Endpoint> {
        self.endpoints().iter().find(|it| it.network == network)
    }

    pub fn endpoint_in_mut(&mut self, network: &str) -> Option<&mut Endpoint> {
        match &mut self.joined {
            Joined::Network(all) => all.iter_mut().find(|it| it.network == network),
            _ => None,
        }
    }

    /// Whether no program is to get more power than it is started with: nobody's unless asked for.
    pub fn no_new_privileges(&self) -> bool {
        let option = |it: &String| no_new_privileges(it) == Some(true);
        self.host.security_opt.iter().any(option)
    }

    /// What its neighbours in a network that has names call it: first the name that it was given.
    pub fn names(&self, endpoint: &Endpoint) -> Vec<String> {
        let fixed = [self.name.as_str(), &self.id[..12], &self.config.hostname];
        let aliases = endpoint.aliases.iter().map(String::as_str);
        let all = fixed.into_iter().chain(aliases);
        let mut names: Vec<String> = Vec::new();
        for name in all.filter(|it| is_plain(it)) {
            if !names.iter().any(|it| it == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// What it alone calls others: their names, and its own for them.
    pub fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_endpoints = self.endpoints().iter().flat_map(|it| &it.links);
        let all = self.host.links.iter().chain(of_endpoints);
        all.map(|it| base::links::read(it))
    }

    pub fn status_word(&self) -> &'static str {
        match self.is_running() && self.state.paused {
            true => "paused",
            false => self.state.status.word(),
        }
    }

    pub fn is_running(&self) -> bool {
        self.state.status == Status::Running
    }

    /// What programs of before links had names for their places: variables that tell where a linked container
    /// is, and what it is like.
    pub fn variables_of_link(&self, alias: &str, linked: &Record) -> Vec<String> {
        let ports = linked.config.exposed_ports.keys().filter_map(|port| {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            Some((number.parse().ok()?, protocol))
        });
        let env = linked.config.variables();
        let linked = base::links::Linked {
            address: linked.address(),
            ports: ports.collect(),
            env: env.iter().map(String::as_str).collect(),
        };
        base::links::variables(&self.name, alias, linked)
    }

    /// It runs, or will again without anybody's doing.
    pub fn is_alive(&self) -> bool {
        matches!(self.state.status, Status::Running | Status::Restarting)
    }

    pub fn argv(&self) -> Vec<String> {
        let lists = [&self.config.entrypoint, &self.config.cmd];
        lists.into_iter().flatten().flatten().cloned().collect()
    }

    pub fn health_check(&self) -> Option<HealthCheck> {
        const NS_PER_MS: u64 = 1_000_000;
        const DEFAULT_MS: u64 = 30_000;
        let health = self.config.healthcheck.as_ref()?;
        if health.test.is_empty() || health.test[0] == "NONE" {
            return None;
        }
        let ms_or = |ns: u64, default: u64| if ns == 0 { default } else { ns / NS_PER_MS };
        Some(HealthCheck {
            command: health.test.clone(),
            interval_ms: ms_or(health.interval, DEFAULT_MS),
            timeout_ms: ms_or(health.timeout, DEFAULT_MS),
            start_period_ms: ms_or(health.start_period, 0),
            start_interval_ms: ms_or(health.start_interval, 0),
            retries: if health.retries == 0 {
                3
            } else {
                health.retries
            },
        })
    }

    /// Between checks while it starts.
    pub fn health_start_interval_ms(&self) -> Option<u64> {
        const NS_PER_MS: u64 = 1_000_000;
        const DEFAULT_MS: u64 = 5_000;
        let asked = self.config.healthcheck.as_ref()?.start_interval / NS_PER_MS;
        Some(if asked == 0 { DEFAULT_MS } else { asked })
    }

    /// How images made of this container are run.
    pub fn image_config(&self, of_image: &ImageConfig) -> ImageConfig {
        let config = &self.config;
        ImageConfig {
            entrypoint: config.entrypoint.clone().unwrap_or_default(),
            cmd: config.cmd.clone().unwrap_or_default(),
            env: config.variables(),
            working_dir: config.working_dir.clone(),
            user: config.user.clone(),
            exposed_ports: config.exposed_ports.keys().cloned().collect(),
            volumes: config.volumes.keys().cloned().collect(),
            labels: config.labels.clone(),
            stop_signal: Some(config.stop_signal.clone()).filter(|it| !it.is_empty()),
            ..of_image.clone()
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn a_record() -> Record {
        Record {
            version: VERSION,
            id: "0123456789abcdef".repeat(4),
            name: "one".to_owned(),
            created_ms: 0,
            image: "rea".to_owned(),
            image_id: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
            config: Config::default(),
            host: HostConfig::default(),
            mounts: Vec::new(),
            joined: Joined::None,
            state: State {
                status: Status::Exited,
                started_ms: None,
                finished_ms: None,
                exit_code: 0,
                error: String::new(),
                out_of_memory: false,
                restarts: 0,
                stopped_by_hand: false,
                exits: 0,
                bound: Vec::new(),
                paused: false,
            },
        }
    }

    #[test]
    fn addresses_of_links_are_read() {
        let mac = parse_mac("02:42:AC-11:00:05").unwrap();
        assert_eq!(show_mac(mac), "02:42:ac:11:00:05");
        for wrong in [
            "",
            "02:42:ac:11:00",
            "03:42:ac:11:00:05",
            "00:00:00:00:00:00",
            "2:42:ac:11:00:05",
            "02:42:ac:11:00:05:06",
            "+2:42:ac:11:00:05",
        ] {
            assert_eq!(parse_mac(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_container_of_before_is_in_one_network() {
        let read = |text: &str| serde_json::from_str::<Joined>(text).unwrap();
        let one = r#"{"Network":{"network":"a","aliases":[],"fixed":null,"address":"172.17.0.2"}}"#;
        assert!(matches!(read(one), Joined::Network(all) if all.len() == 1));
        assert!(matches!(read(r#"{"Network":null}"#), Joined::Network(all) if all.is_empty()));
        let now = serde_json::to_string(&read(one)).unwrap();
        assert!(matches!(read(&now), Joined::Network(all) if all[0].network == "a"));
    }

    #[test]
    fn a_linked_container_is_told_of_in_variables() {
        let (own, mut linked) = (a_record(), a_record());
        linked.config.env = ["PATH=/x", "FOO=1", "UNSET"].map(str::to_owned).into();
        for port in ["53/udp", "443/tcp", "80/tcp"] {
            linked
                .config
                .exposed_ports
                .insert(port.to_owned(), Empty::new());
        }
        let names = ["MY_DB_NAME=/one/my-db", "MY_DB_ENV_FOO=1"];
        assert_eq!(own.variables_of_link("my-db", &linked), names);
        let address = Some(Ipv4Addr::new(172, 17, 0, 2));
        linked.joined = Joined::Network(vec![Endpoint {
            network: "a".to_owned(),
            aliases: Vec::new(),
            links: Vec::new(),
            fixed: None,
            address,
            mac: None,
            driver_opts: BTreeMap::new(),
        }]);
        let all = own.variables_of_link("my-db", &linked);
        assert_eq!(all[0], "MY_DB_PORT=tcp://172.17.0.2:80");
        for expected in [
            "MY_DB_PORT_80_TCP=tcp://172.17.0.2:80",
            "MY_DB_PORT_443_TCP_ADDR=172.17.0.2",
            "MY_DB_PORT_53_UDP_PORT=53",
            "MY_DB_PORT_53_UDP_PROTO=udp",
        ] {
            assert!(all.iter().any(|it| it == expected), "{expected} {all:?}");
        }
    }

    #[test]
    fn a_request_is_read_whole() {
        let request: CreateRequest = serde_json::from_value(serde_json::json!({
            "Image": "rea", "Cmd": "one", "Tty": true, "NetworkDisabled": false,
            "HostConfig": { "Binds": ["/a:/b"], "MemorySwappiness": -1, "PortBindings": { "80/tcp": [{ "HostIp": "", "HostPort": "8080" }] } },
            "NetworkingConfig": { "EndpointsConfig": { "x": { "Aliases": ["web"], "IPAMConfig": {} } } },
        }))
        .unwrap();
        assert_eq!(request.config.cmd, Some(vec!["one".to_owned()]));
        assert!(request.config.rest.contains_key("NetworkDisabled"));
        assert!(request.host_config.rest.contains_key("MemorySwappiness"));
        assert_eq!(
            request.networking_config.endpoints_config["x"].aliases,
            ["web"]
        );
    }
}
