//! A snapshot made ready for requests: what a listening port needs, with every name resolved.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::ArcSwap;
use engine::{Action, Condition, GroupRule, HeaderChange, HttpSettings, Peer, Rule};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::Ipv4Net;

use super::access::AccessLog;
use super::group::Group;
use super::namespace::Origin;
use super::tls::ServedTls;

/// A listening port. Its sockets stay while snapshots change what is behind them.
pub struct Slot {
    pub port: u16,
    pub serves: ArcSwap<Vec<Arc<Frontend>>>,
}

/// One balancer as it is reached through one port.
pub struct Frontend {
    /// In lower case.
    pub host: String,
    pub admits: Admission,
    pub idle_timeout: Duration,
    pub http: HttpSettings,
    pub access_log: Option<Arc<AccessLog>>,
    pub origin: Origin,
    pub rules: Vec<CompiledRule>,
    pub headers: Vec<CompiledHeader>,
    /// Clients speak TLS with it.
    pub tls: Option<Arc<ServedTls>>,
}

/// A header of answers that is set, or taken away.
pub struct CompiledHeader {
    name: HeaderName,
    value: Option<HeaderValue>,
}

impl CompiledHeader {
    pub fn new(change: &HeaderChange) -> Result<Self, String> {
        let odd = || format!("the header `{}` cannot be set so", change.name);
        let value = change.value.as_deref().map(HeaderValue::from_str);
        Ok(Self {
            name: change.name.parse().map_err(|_| odd())?,
            value: value.transpose().map_err(|_| odd())?,
        })
    }

    pub fn apply(&self, headers: &mut HeaderMap) {
        match &self.value {
            Some(value) => {
                headers.insert(&self.name, value.clone());
            }
            None => {
                headers.remove(&self.name);
            }
        }
    }
}

/// Whom a port lets in.
pub enum Admission {
    /// The kernel has already decided, by the interface's own security groups.
    Everyone,
    Ranges(Vec<Ipv4Net>),
}

pub struct CompiledRule {
    pub priority: u32,
    pub conditions: Vec<Condition>,
    pub action: CompiledAction,
}

pub enum CompiledAction {
    Forward(Forward),
    /// [`Action::Redirect`] or [`Action::Fixed`], as they came.
    Answer(Action),
}

pub struct Forward {
    pub groups: Vec<(Arc<Group>, u32)>,
    /// How long a client stays with the group that it met first.
    pub stickiness_ms: Option<u64>,
    pub turn: AtomicUsize,
}

impl Admission {
    /// What security rules say about TCP to a port, from the world outside.
    pub fn by_rules(rules: &[GroupRule], port: u16) -> Self {
        let ranges = rules
            .iter()
            .filter(|rule| rule.protocol.has_tcp_to(port))
            .filter_map(|rule| match rule.peer {
                Peer::Range(range) => Some(range),
                Peer::Group(_) => None,
            });
        Admission::Ranges(ranges.collect())
    }

    /// A client on the loopback counts as one from the internet: only a range that holds its
    /// address, such as `0.0.0.0/0`, lets it in.
    pub fn lets_in(&self, client: IpAddr) -> bool {
        match (self, client.to_canonical()) {
            (Admission::Everyone, _) => true,
            (Admission::Ranges(ranges), IpAddr::V4(client)) => {
                ranges.iter().any(|range| range.contains(&client))
            }
            // Rules name IPv4 ranges only, so an IPv6 client needs one that means everybody.
            (Admission::Ranges(ranges), IpAddr::V6(_)) => {
                ranges.iter().any(|range| range.prefix_len() == 0)
            }
        }
    }
}

impl CompiledAction {
    /// As an access log calls it.
    pub fn name(&self) -> &'static str {
        match self {
            CompiledAction::Forward(_) | CompiledAction::Answer(Action::Forward { .. }) => {
                "forward"
            }
            CompiledAction::Answer(Action::Redirect { .. }) => "redirect",
            CompiledAction::Answer(Action::Fixed { .. }) => "fixed-response",
        }
    }
}

impl CompiledRule {
    /// The error names the group that the snapshot lacks.
    pub fn new(rule: &Rule, group: impl Fn(&str) -> Option<Arc<Group>>) -> Result<Self, String> {
        let action = match &rule.action {
            Action::Forward {
                groups,
                stickiness_ms,
            } => {
                let find = |(id, weight): &(String, u32)| {
                    Ok((group(id).ok_or_else(|| id.clone())?, *weight))
                };
                CompiledAction::Forward(Forward {
                    groups: groups.iter().map(find).collect::<Result<_, String>>()?,
                    stickiness_ms: *stickiness_ms,
                    turn: AtomicUsize::new(0),
                })
            }
            answer => CompiledAction::Answer(answer.clone()),
        };
        Ok(Self {
            priority: rule.priority,
            conditions: rule.conditions.clone(),
            action,
        })
    }
}

/// The IPv4 form of a client's address, for conditions that name IPv4 ranges.
pub fn client_v4(client: IpAddr) -> Option<Ipv4Addr> {
    match client.to_canonical() {
        IpAddr::V4(client) => Some(client),
        IpAddr::V6(_) => None,
    }
}
