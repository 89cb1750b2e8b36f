//! The data plane's configuration: load balancers, their listeners, target groups and probes.
//! Always sent as a whole snapshot with a generation, never as a difference.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::{Changes, GroupRule, Result};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub generation: u64,
    /// The time by the clock that the snapshot's times are of. Only what lies between them counts,
    /// since the machine's own clock may be set at any time.
    #[serde(default)]
    pub now_ms: i64,
    pub balancers: Vec<Balancer>,
    pub target_groups: Vec<TargetGroup>,
    /// What listeners serve with, by what they name. Kept in memory, and written nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<KeyedCertificate>,
    /// Ids of balancers and target groups of which nothing is known now: what is in force of them stays
    /// in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

impl Snapshot {
    /// Fills in what is unknown with what was in force, and with what that needs.
    pub fn carry_over(&mut self, before: &Self) {
        let unknown = std::mem::take(&mut self.unknown);
        let mut groups = unknown.clone();
        for balancer in &before.balancers {
            let is_told = self.balancers.iter().any(|it| it.id == balancer.id);
            if unknown.contains(&balancer.id) && !is_told {
                groups.extend(balancer.groups().map(|it| it.0.clone()));
                self.balancers.push(balancer.clone());
            }
        }
        for certificate in &before.certificates {
            let is_told = self.certificates.iter().any(|it| it.id == certificate.id);
            let is_named = self.certificate_ids().any(|it| it == certificate.id);
            if is_named && !is_told {
                self.certificates.push(certificate.clone());
            }
        }
        for group in &before.target_groups {
            let is_told = self.target_groups.iter().any(|it| it.id == group.id);
            if groups.contains(&group.id) && !is_told {
                self.target_groups.push(group.clone());
            }
        }
        self.forget_unknown_groups();
    }

    /// Those that listeners name.
    pub fn certificate_ids(&self) -> impl Iterator<Item = &str> {
        let listeners = self.balancers.iter().flat_map(|it| &it.listeners);
        let all = listeners.filter_map(|it| it.tls.as_ref());
        all.flat_map(|it| &it.certificates).map(String::as_str)
    }

    /// Of a group that is unknown, and was not in force either, there is nothing to forward to.
    fn forget_unknown_groups(&mut self) {
        let groups = &self.target_groups;
        let known = |id: &str| groups.iter().any(|it| it.id == id);
        let listeners = self.balancers.iter_mut().flat_map(|it| &mut it.listeners);
        for rule in listeners.flat_map(|it| &mut it.rules) {
            if let Action::Forward { groups, .. } = &mut rule.action {
                groups.retain(|(id, _)| known(id));
            }
        }
    }
}

impl Balancer {
    /// The groups that it forwards to, with their weights.
    pub fn groups(&self) -> impl Iterator<Item = &(String, u32)> {
        let rules = self.listeners.iter().flat_map(|it| &it.rules);
        let actions = rules.map(|it| &it.action);
        actions.flat_map(|it| match it {
            Action::Forward { groups, .. } => groups.as_slice(),
            Action::Redirect { .. } | Action::Fixed { .. } => &[],
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balancer {
    pub id: String,
    /// Its DNS name: requests with this Host are for it. A port's only balancer gets every request.
    pub host: String,
    /// Interfaces (see [`crate::Network`]) that it connects to its targets from. The first is used.
    pub interfaces: Vec<String>,
    /// What its security groups let in. A connection that none of these allows is closed unanswered.
    pub ingress: Vec<GroupRule>,
    /// An internal balancer listens on its interfaces only, never on the edge address.
    pub internal: bool,
    pub listeners: Vec<Listener>,
    pub idle_timeout_ms: u64,
    #[serde(default)]
    pub http: HttpSettings,
    /// Every request is kept until it is asked for: see [`Edge::take_accesses`].
    #[serde(default)]
    pub logs_access: bool,
}

/// What a balancer does with requests and connections, beside its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSettings {
    /// A client's connection that is this old is closed with its next answer.
    pub client_keep_alive_ms: u64,
    /// Headers whose names hold more than letters, digits and hyphens are left out.
    pub drops_invalid_headers: bool,
    /// Targets get the `Host` header as it came. Otherwise it names the port, unless that is HTTP's own.
    pub preserves_host: bool,
    pub forwarded_for: ForwardedFor,
    /// `X-Forwarded-For` names the client's port as well.
    pub forwards_client_port: bool,
    /// Targets are told the version and the suite that a client speaks TLS with.
    #[serde(default)]
    pub tells_tls: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            client_keep_alive_ms: 3_600_000,
            drops_invalid_headers: false,
            preserves_host: false,
            forwarded_for: ForwardedFor::Append,
            forwards_client_port: false,
            tells_tls: false,
        }
    }
}

/// What becomes of `X-Forwarded-For`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardedFor {
    Append,
    Preserve,
    Remove,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    pub id: String,
    pub port: u16,
    /// In order; the last one has no conditions.
    pub rules: Vec<Rule>,
    /// What clients get other than it comes, whoever answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderChange>,
    /// Clients speak TLS with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

/// How a listener speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerTls {
    /// Ids of [`Snapshot::certificates`]. The first is shown to who names no host, or one that none of the
    /// others is for.
    pub certificates: Vec<String>,
    pub versions: Vec<TlsVersion>,
    /// By their standard names (`TLS13_AES_128_GCM_SHA256`).
    pub suites: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// A certificate with its key. The key is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedCertificate {
    /// Another one each time that a certificate is issued anew.
    pub id: String,
    /// What an access log calls it.
    pub name: String,
    /// Hosts that it is for; `*.` stands for one label.
    pub hosts: Vec<String>,
    /// PEM: the certificate, and what leads from it to an authority.
    pub chain: String,
    /// PEM.
    pub key: String,
}

impl std::fmt::Debug for KeyedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("KeyedCertificate");
        shown.field("id", &self.id).field("hosts", &self.hosts);
        shown.finish_non_exhaustive()
    }
}

/// A header of answers: it has this value, or is taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderChange {
    pub name: String,
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// What it is called in an access log; zero is the last one.
    #[serde(default)]
    pub priority: u32,
    /// All must hold; within one, any value.
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// Patterns know `*` and `?`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// Case-sensitive, without the query.
    Path(Vec<String>),
    /// Case-insensitive.
    Host(Vec<String>),
    Header {
        name: String,
        values: Vec<String>,
    },
    Method(Vec<String>),
    Query(Vec<(Option<String>, String)>),
    SourceIp(Vec<Ipv4Net>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Target group and weight.
    Forward {
        groups: Vec<(String, u32)>,
        stickiness_ms: Option<u64>,
    },
    /// `None` keeps the request's part; values may hold `#{host}`, `#{port}`, `#{path}`, `#{query}`,
    /// `#{protocol}`.
    Redirect {
        status: u16,
        protocol: Option<String>,
        host: Option<String>,
        port: Option<String>,
        path: Option<String>,
        query: Option<String>,
    },
    Fixed {
        status: u16,
        content_type: String,
        body: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    pub id: String,
    pub targets: Vec<Target>,
    pub health_check: TargetHealthCheck,
    #[serde(default)]
    pub stickiness: Option<Stickiness>,
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How long a target that becomes healthy gets fewer requests than the others; zero is not at all.
    #[serde(default)]
    pub slow_start_ms: u64,
    /// Targets are spoken to by TLS. Whose certificate they show is not looked at.
    #[serde(default)]
    pub tls: bool,
}

/// By which cookie a client comes back to the same target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stickiness {
    /// The balancer's own.
    ByBalancer { lasts_ms: u64 },
    /// From when the application sets a cookie of this name.
    ByApplication { cookie: String, lasts_ms: u64 },
}

/// Which of the targets gets the next request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastOutstanding,
    Random,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub address: Ipv4Addr,
    pub port: u16,
    /// Deregistered: gets no new requests; those under way may end until this time (milliseconds
    /// since 1970, see [`Snapshot::now_ms`]), then they are cut.
    pub draining_until_ms: Option<i64>,
}

/// All times are already paced: the edge takes them as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealthCheck {
    pub enabled: bool,
    pub tcp_only: bool,
    #[serde(default)]
    pub tls: bool,
    pub path: String,
    /// None: the target's own port.
    pub port: Option<u16>,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    /// Inclusive ranges of status codes.
    pub matcher: Vec<(u16, u16)>,
}

/// What the probes found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealth {
    pub group: String,
    pub address: Ipv4Addr,
    pub port: u16,
    pub state: TargetState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetState {
    /// Registered; not enough probes were answered yet.
    Initial,
    Healthy,
    Unhealthy(ProbeFailure),
    /// Deregistered, with this many requests under way.
    Draining {
        in_flight: u32,
    },
    /// No listener of a balancer forwards to its group.
    Unused,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeFailure {
    Timeout,
    /// It answered with this status.
    ResponseCodeMismatch(u16),
    /// Refused, reset, or answered with something that is not HTTP.
    FailedHealthChecks(String),
}

/// One request, as a balancer's access log tells of it. Times of the clock are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessEntry {
    pub began_us: i64,
    pub ended_us: i64,
    pub client: SocketAddr,
    /// From when the request came until it was given to a target.
    pub request_us: Option<u64>,
    /// From then until the target began to answer.
    pub target_us: Option<u64>,
    /// From then until the answer was given to the client.
    pub response_us: Option<u64>,
    pub status: u16,
    /// Heads and bodies.
    pub received_bytes: u64,
    pub sent_bytes: u64,
    pub method: String,
    pub url: String,
    pub version: String,
    pub user_agent: String,
    /// Of the last target that it was offered to.
    pub group: Option<String>,
    pub target: Option<AccessedTarget>,
    pub trace: String,
    /// Of the rule that it met; `None` when it met none.
    pub priority: Option<u32>,
    /// `forward`, `redirect` or `fixed-response`; empty when nothing was done.
    pub action: String,
    /// Where a redirect leads.
    pub redirect: Option<String>,
    /// It became a tunnel.
    pub upgraded: bool,
    /// Where the client spoke TLS.
    #[serde(default)]
    pub tls: Option<AccessedTls>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessedTls {
    /// `TLSv1.3`
    pub version: String,
    /// As OpenSSL calls it.
    pub suite: String,
    /// The host that the client asked for.
    pub host: Option<String>,
    /// [`KeyedCertificate::name`] of what it was shown.
    pub certificate: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessedTarget {
    pub address: SocketAddrV4,
    /// `None` when it did not answer.
    pub status: Option<u16>,
}

/// Counts since the edge started, per target group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupTraffic {
    pub requests: u64,
    /// Answers of targets, by class.
    pub status_2xx: u64,
    pub status_3xx: u64,
    pub status_4xx: u64,
    pub status_5xx: u64,
    /// Answers that the balancer gave itself because no target did, or the client went away.
    #[serde(default)]
    pub own_4xx: u64,
    #[serde(default)]
    pub own_5xx: u64,
    pub connection_errors: u64,
    pub response_time_us_sum: u64,
    /// How many answers took how long: see [`response_time_bucket`]. Short where the rest is zero.
    #[serde(default)]
    pub response_times: Vec<u64>,
}

/// Response times are counted in this many buckets, four to each doubling from 64 µs to two minutes.
pub const RESPONSE_TIME_BUCKETS: usize = 1 + 4 * 21;
/// Anything shorter is in the first bucket.
const SHORTEST_US: u64 = 64;

/// The bucket that a response time is counted in.
pub fn response_time_bucket(us: u64) -> usize {
    if us < SHORTEST_US {
        return 0;
    }
    let doublings = us.ilog2() - SHORTEST_US.ilog2();
    let quarter = (us >> (us.ilog2() - 2)) & 3;
    (1 + 4 * doublings as usize + quarter as usize).min(RESPONSE_TIME_BUCKETS - 1)
}

/// The middle of a bucket: at most an eighth away from what was counted in it.
pub fn response_time_of_bucket(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(1) else {
        return SHORTEST_US / 2;
    };
    let octave = SHORTEST_US << (above / 4);
    octave + octave * (2 * (above as u64 % 4) + 1) / 8
}

#[async_trait]
pub trait Edge: Send + Sync {
    /// Hands over a snapshot and returns when the edge serves it: listeners are bound, and requests
    /// that arrive from now on follow it. An older generation is refused. `Conflict` names the port
    /// when a listener's port is taken by another program; the rest is then still in force.
    async fn apply(&self, snapshot: Snapshot) -> Result<()>;
    /// Health of every target of a group, as the probes found it.
    async fn health(&self, group: &str) -> Result<Vec<TargetHealth>>;
    async fn traffic(&self, group: &str) -> Result<GroupTraffic>;
    /// The oldest requests that are kept of a balancer, which are not kept any longer; empty when all were
    /// taken.
    async fn take_accesses(&self, balancer: &str) -> Result<Vec<AccessEntry>>;
    /// Where listeners are bound for clients outside: the edge address.
    fn address(&self, port: u16) -> SocketAddr;
    /// Ids of target groups in which some target's health changed.
    fn changes(&self) -> Changes;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_time_is_near_the_middle_of_its_bucket() {
        for us in [64, 70, 100, 127, 128, 1000, 12_345, 999_999, 100_000_000] {
            let middle = response_time_of_bucket(response_time_bucket(us));
            let ratio = middle as f64 / us as f64;
            assert!((0.87..1.13).contains(&ratio), "{us} in {middle}");
        }
        assert_eq!(response_time_bucket(0), 0);
        assert_eq!(response_time_bucket(u64::MAX), RESPONSE_TIME_BUCKETS - 1);
        let all = (0..RESPONSE_TIME_BUCKETS).map(response_time_of_bucket);
        assert!(all.is_sorted());
    }
}
