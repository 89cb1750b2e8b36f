//! The data plane's configuration: load balancers, their listeners, target groups and probes.
//! Always sent as a whole snapshot with a generation, never as a difference.

use std::net::{Ipv4Addr, SocketAddr};

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
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    pub id: String,
    pub port: u16,
    /// In order; the last one has no conditions.
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
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
    /// Cookie stickiness, when on: how long.
    pub stickiness_ms: Option<u64>,
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
