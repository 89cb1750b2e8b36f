//! What is in force, and the step from one snapshot to the next. All of it runs on the main
//! thread, in one go: requests see a balancer as it was or as it is.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use engine::{KeyedCertificate, Snapshot, TargetHealth, TargetState};
use tokio::sync::mpsc;

use super::access::AccessLog;
use super::given::GivenSockets;
use super::group::{Events, Group};
use super::listeners::{Known, Listeners, Passed};
use super::namespace::{Namespace, Origin};
use super::pulse::Pulse;
use super::say::say;
use super::targets::Targets;
use super::tls::ShownCertificate;
use super::worker::Command;
use crate::identity::write_whole;
use crate::protocol::{Answer, Configuration};

pub struct State {
    snapshot_path: PathBuf,
    generation: u64,
    groups: HashMap<String, Arc<Group>>,
    /// By interface.
    namespaces: HashMap<String, Arc<Namespace>>,
    listeners: Listeners,
    /// Of balancers that log access.
    accesses: HashMap<String, Arc<AccessLog>>,
    /// By what listeners call them. They are on no disk: an edge that was just started has none until it is
    /// told.
    certificates: HashMap<String, Arc<ShownCertificate>>,
    targets: Targets,
    pulse: Pulse,
    /// What is in force and found no room on the disk.
    unwritten: Option<Vec<u8>>,
    worker_count: usize,
    events: Events,
}

impl State {
    pub fn new(
        snapshot_path: PathBuf,
        listen_address: IpAddr,
        workers: Vec<mpsc::UnboundedSender<Command>>,
        given: GivenSockets,
        events: Events,
    ) -> Self {
        Self {
            snapshot_path,
            generation: 0,
            groups: HashMap::new(),
            accesses: HashMap::new(),
            certificates: HashMap::new(),
            namespaces: HashMap::new(),
            listeners: Listeners::new(listen_address, workers.clone(), given),
            worker_count: workers.len(),
            pulse: Pulse::new(workers.clone()),
            unwritten: None,
            targets: Targets::new(workers),
            events,
        }
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn apply(&mut self, mut configuration: Configuration) -> Answer {
        if !configuration.snapshot.unknown.is_empty() {
            self.carry_over(&mut configuration);
        }
        let generation = configuration.snapshot.generation;
        if generation < self.generation {
            return Answer::Conflict(format!(
                "generation {generation} is older than {}, which is in force",
                self.generation
            ));
        }
        if let Err(reason) = check(&configuration.snapshot) {
            return Answer::Invalid(reason);
        }
        let given = std::mem::take(&mut configuration.snapshot.certificates);
        self.renew_certificates(&given, &configuration.snapshot);
        match serde_json::to_vec(&configuration) {
            Ok(bytes) => self.remember(bytes),
            Err(error) => return Answer::Invalid(error.to_string()),
        }
        let answer = self.put_in_force(&configuration);
        self.listeners.forget_given();
        answer
    }

    /// Keeps what listeners name, and nothing else. What cannot be used is missed by its listener alone.
    fn renew_certificates(&mut self, given: &[KeyedCertificate], snapshot: &Snapshot) {
        let mut certificates = HashMap::new();
        for id in snapshot.certificate_ids() {
            let known = self.certificates.get(id).cloned();
            let new = || {
                given
                    .iter()
                    .find(|it| it.id == id)
                    .map(ShownCertificate::new)
            };
            let found = known.map(Ok).or_else(|| new().map(|it| it.map(Arc::new)));
            match found {
                Some(Ok(found)) => drop(certificates.insert(id.to_owned(), found)),
                Some(Err(reason)) => say(format_args!("{reason}")),
                None => {}
            }
        }
        self.certificates = certificates;
    }

    /// What the daemon does not know now stays as it is.
    fn carry_over(&self, configuration: &mut Configuration) {
        let written = || std::fs::read(&self.snapshot_path).ok();
        let bytes = self.unwritten.clone().or_else(written);
        let before = bytes.and_then(|it| serde_json::from_slice::<Configuration>(&it).ok());
        let before = before.unwrap_or_default();
        configuration.snapshot.carry_over(&before.snapshot);
        let needed = configuration.snapshot.balancers.iter();
        for interface in needed.flat_map(|it| &it.interfaces) {
            if let Some(path) = before.namespaces.get(interface) {
                let namespaces = &mut configuration.namespaces;
                namespaces
                    .entry(interface.clone())
                    .or_insert_with(|| path.clone());
            }
        }
    }

    /// As [`State::apply`], for what is on the disk already.
    pub fn put_in_force(&mut self, configuration: &Configuration) -> Answer {
        let snapshot = &configuration.snapshot;
        self.generation = snapshot.generation;
        let mut errors = self.open_namespaces(configuration);
        let gone = self.renew_groups(snapshot);
        let (groups, namespaces) = (&self.groups, &self.namespaces);
        let origin = |interface: &str| match namespaces.get(interface) {
            Some(namespace) => Origin::Namespace(Arc::clone(namespace)),
            None => Origin::Missing(interface.into()),
        };
        let mut before = std::mem::take(&mut self.accesses);
        for balancer in snapshot.balancers.iter().filter(|it| it.logs_access) {
            let log = before.remove(&balancer.id).unwrap_or_default();
            self.accesses.insert(balancer.id.clone(), log);
        }
        let known = Known {
            groups,
            accesses: &self.accesses,
            certificates: &self.certificates,
            origin: &origin,
        };
        let conflicts = self.listeners.renew(snapshot, &known, &mut errors);
        self.targets.renew_probes(snapshot, groups, &origin);
        for group in gone {
            Targets::forget_group(&group);
        }
        self.targets.sweep();
        match (conflicts.is_empty(), errors.is_empty()) {
            (true, true) => Answer::Applied,
            (false, _) => Answer::Conflict(conflicts.join("; ")),
            (true, false) => Answer::Machine(errors.join("; ")),
        }
    }

    /// Whether some target's first probes are not over.
    pub fn is_finding_out(&self) -> bool {
        self.groups.values().any(|group| {
            let targets = group.targets.load();
            let unknown = |it: &Arc<super::group::Target>| it.health() == TargetState::Initial;
            targets.iter().any(|it| unknown(it) && !it.is_draining())
        })
    }

    pub fn health(&self, group: &str) -> Answer {
        let Some(group) = self.groups.get(group) else {
            return unknown(group);
        };
        let health = |target: &Arc<super::group::Target>| TargetHealth {
            group: group.id.to_string(),
            address: *target.address.ip(),
            port: target.address.port(),
            state: if target.is_draining() {
                TargetState::Draining {
                    in_flight: target.in_flight(),
                }
            } else {
                target.health()
            },
        };
        Answer::Health(group.targets.load().iter().map(health).collect())
    }

    pub fn traffic(&self, group: &str) -> Answer {
        match self.groups.get(group) {
            Some(group) => Answer::Traffic(group.traffic()),
            None => unknown(group),
        }
    }

    pub fn take_accesses(&self, balancer: &str) -> Answer {
        let log = self.accesses.get(balancer);
        Answer::Accesses(log.map(|it| it.take()).unwrap_or_default())
    }

    /// On disk before it is in force: what a daemon was told is served, a restarted edge serves. On
    /// a full disk it is served all the same, and the daemon tells the next edge what it was.
    fn remember(&mut self, configuration: Vec<u8>) {
        let Err(error) = write_whole(&self.snapshot_path, &configuration) else {
            self.unwritten = None;
            return;
        };
        let path = self.snapshot_path.display();
        say(format_args!(
            "cannot write the snapshot to `{path}`: {error}"
        ));
        self.unwritten = Some(configuration);
    }

    /// Writes what found no room before.
    pub fn remember_again(&mut self) {
        if let Some(configuration) = self.unwritten.take()
            && write_whole(&self.snapshot_path, &configuration).is_err()
        {
            self.unwritten = Some(configuration);
        }
    }

    /// How many beats the slowest worker owes.
    pub fn beat(&mut self) -> u64 {
        self.pulse.beat()
    }

    /// The numbers of all that listen, and the sockets of those that are not known.
    pub fn listening(&self, known: &[u64]) -> io::Result<(Vec<u64>, Vec<Passed>)> {
        self.listeners.listening(known)
    }

    /// Opens what is new and closes what is gone; an open descriptor keeps a namespace alive.
    fn open_namespaces(&mut self, configuration: &Configuration) -> Vec<String> {
        let mut errors = Vec::new();
        let mut open = HashMap::new();
        for (interface, path) in &configuration.namespaces {
            let found = self.namespaces.remove(interface);
            let namespace = match found.filter(|namespace| namespace.is_still_at(path)) {
                Some(namespace) => Ok(namespace),
                None => Namespace::open(path),
            };
            match namespace {
                Ok(namespace) => {
                    open.insert(interface.clone(), namespace);
                }
                Err(error) => errors.push(format!(
                    "cannot open the namespace of the interface `{interface}`: {error}"
                )),
            }
        }
        self.namespaces = open;
        errors
    }

    /// Returns the groups that are gone.
    fn renew_groups(&mut self, snapshot: &Snapshot) -> Vec<Arc<Group>> {
        let mut before = std::mem::take(&mut self.groups);
        for wanted in &snapshot.target_groups {
            let group = before.remove(&wanted.id).unwrap_or_else(|| {
                let events = self.events.clone();
                Arc::new(Group::new(&wanted.id, self.worker_count, events))
            });
            self.targets.renew_group(&group, wanted, snapshot.now_ms);
            self.groups.insert(wanted.id.clone(), group);
        }
        before.into_values().collect()
    }
}

fn unknown(group: &str) -> Answer {
    Answer::NotFound(format!("there is no target group `{group}`"))
}

/// What a snapshot must be before any of it is put in force.
fn check(snapshot: &Snapshot) -> Result<(), String> {
    let mut groups = HashSet::new();
    for group in &snapshot.target_groups {
        if !groups.insert(group.id.as_str()) {
            return Err(format!("the target group `{}` is there twice", group.id));
        }
        let path = &group.health_check.path;
        if !group.health_check.tcp_only && !path.starts_with('/') {
            return Err(format!("the health check path `{path}` begins with no `/`"));
        }
    }
    for balancer in &snapshot.balancers {
        for rule in balancer.listeners.iter().flat_map(|it| &it.rules) {
            if let engine::Action::Forward { groups: wanted, .. } = &rule.action
                && let Some((unknown, _)) =
                    wanted.iter().find(|(id, _)| !groups.contains(id.as_str()))
            {
                let id = &balancer.id;
                return Err(format!(
                    "the balancer `{id}` forwards to `{unknown}`, which is not in the snapshot"
                ));
            }
        }
    }
    Ok(())
}
