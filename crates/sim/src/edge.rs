//! Load balancers that answer for every target, unless a test says otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use async_trait::async_trait;
use engine::*;
use tokio::sync::broadcast;

pub struct SimEdge {
    pub snapshot: Mutex<Snapshot>,
    /// What probes of an address find; healthy where nothing is said.
    states: Mutex<BTreeMap<Ipv4Addr, TargetState>>,
    /// What probes find where nothing is said of the address.
    default_state: Mutex<TargetState>,
    /// Ports that another program has.
    taken_ports: Mutex<BTreeSet<u16>>,
    /// Requests under way to targets that drain.
    in_flight: Mutex<u32>,
    /// What was counted, by target group.
    traffic: Mutex<BTreeMap<String, GroupTraffic>>,
    /// Of balancers that log access, what is not taken yet.
    accesses: Mutex<BTreeMap<String, Vec<AccessEntry>>>,
    /// It does not answer questions.
    silent: Mutex<bool>,
    changes: broadcast::Sender<String>,
}

impl Default for SimEdge {
    fn default() -> Self {
        Self {
            snapshot: Mutex::default(),
            states: Mutex::default(),
            default_state: Mutex::new(TargetState::Healthy),
            taken_ports: Mutex::default(),
            in_flight: Mutex::default(),
            traffic: Mutex::default(),
            accesses: Mutex::default(),
            silent: Mutex::default(),
            changes: broadcast::channel(1024).0,
        }
    }
}

impl SimEdge {
    pub fn set_state(&self, address: Ipv4Addr, state: TargetState) {
        self.states.lock().expect("no panic").insert(address, state);
        self.announce();
    }

    pub fn set_default_state(&self, state: TargetState) {
        *self.default_state.lock().expect("no panic") = state;
        self.announce();
    }

    /// Lets another program have a port, or give it back.
    pub fn set_port_taken(&self, port: u16, taken: bool) {
        let mut ports = self.taken_ports.lock().expect("no panic");
        if taken {
            ports.insert(port);
        } else {
            ports.remove(&port);
        }
    }

    /// Lets it answer no questions, or answer again.
    pub fn set_silent(&self, silent: bool) {
        *self.silent.lock().expect("no panic") = silent;
    }

    fn answers(&self) -> Result<()> {
        match *self.silent.lock().expect("no panic") {
            true => Err(EngineError::unreachable("the edge process does not answer")),
            false => Ok(()),
        }
    }

    /// How many requests every draining target has under way.
    pub fn set_in_flight(&self, count: u32) {
        *self.in_flight.lock().expect("no panic") = count;
        self.announce();
    }

    /// What was counted for a target group since the edge started.
    pub fn set_traffic(&self, group: &str, traffic: GroupTraffic) {
        let mut all = self.traffic.lock().expect("no panic");
        all.insert(group.into(), traffic);
    }

    /// A balancer served this request.
    pub fn add_access(&self, balancer: &str, access: AccessEntry) {
        let mut all = self.accesses.lock().expect("no panic");
        all.entry(balancer.into()).or_default().push(access);
    }

    /// In the words of the real edge.
    fn conflicts(&self) -> Vec<String> {
        let snapshot = self.snapshot.lock().expect("no panic");
        let taken = self.taken_ports.lock().expect("no panic");
        let listeners = snapshot.balancers.iter().flat_map(|it| &it.listeners);
        let ports: BTreeSet<u16> = listeners.map(|it| it.port).collect();
        ports
            .intersection(&taken)
            .map(|port| format!("port {port} of `127.0.0.1` is taken by another program"))
            .collect()
    }

    fn announce(&self) {
        let groups: Vec<String> = self
            .snapshot
            .lock()
            .expect("no panic")
            .target_groups
            .iter()
            .map(|it| it.id.clone())
            .collect();
        for group in groups {
            let _ = self.changes.send(group);
        }
    }
}

#[async_trait]
impl Edge for SimEdge {
    async fn apply(&self, mut snapshot: Snapshot) -> Result<()> {
        {
            let mut current = self.snapshot.lock().expect("no panic");
            if snapshot.generation < current.generation {
                return Err(EngineError::conflict("an older generation"));
            }
            if !snapshot.unknown.is_empty() {
                snapshot.carry_over(&current);
            }
            *current = snapshot;
        }
        self.announce();
        match &self.conflicts()[..] {
            [] => Ok(()),
            conflicts => Err(EngineError::conflict(conflicts.join("; "))),
        }
    }
    async fn health(&self, group: &str) -> Result<Vec<TargetHealth>> {
        self.answers()?;
        let snapshot = self.snapshot.lock().expect("no panic");
        let used = |group: &str| {
            snapshot.balancers.iter().flat_map(|it| &it.listeners).flat_map(|it| &it.rules).any(|rule| {
                matches!(&rule.action, Action::Forward { groups, .. } if groups.iter().any(|(id, _)| id == group))
            })
        };
        let states = self.states.lock().expect("no panic");
        let in_flight = *self.in_flight.lock().expect("no panic");
        let default = self.default_state.lock().expect("no panic").clone();
        let found = snapshot.target_groups.iter().filter(|it| it.id == group);
        Ok(found
            .flat_map(|it| &it.targets)
            .map(|target| TargetHealth {
                group: group.into(),
                address: target.address,
                port: target.port,
                state: if target.draining_until_ms.is_some() {
                    TargetState::Draining { in_flight }
                } else if used(group) {
                    states
                        .get(&target.address)
                        .cloned()
                        .unwrap_or_else(|| default.clone())
                } else {
                    TargetState::Unused
                },
            })
            .collect())
    }
    async fn traffic(&self, group: &str) -> Result<GroupTraffic> {
        self.answers()?;
        let all = self.traffic.lock().expect("no panic");
        Ok(all.get(group).cloned().unwrap_or_default())
    }
    async fn take_accesses(&self, balancer: &str) -> Result<Vec<AccessEntry>> {
        self.answers()?;
        let mut all = self.accesses.lock().expect("no panic");
        Ok(all.remove(balancer).unwrap_or_default())
    }
    fn address(&self, port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }
    fn changes(&self) -> Changes {
        self.changes.subscribe()
    }
}
