//! Targets over time: who is probed, who drains, and who is cut.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::{Action, Snapshot, TargetGroup, TargetHealthCheck, TargetState};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::group::{Group, Target};
use super::listeners::origin_of;
use super::namespace::Origin;
use super::probe::probe_forever;
use super::worker::Command;

pub struct Targets {
    workers: Vec<mpsc::UnboundedSender<Command>>,
    /// By target id.
    probes: HashMap<u64, Probe>,
    drains: HashMap<u64, Drain>,
}

struct Probe {
    check: TargetHealthCheck,
    origin: u64,
    task: AbortHandle,
}

struct Drain {
    until_ms: i64,
    task: AbortHandle,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Targets {
    pub fn new(workers: Vec<mpsc::UnboundedSender<Command>>) -> Self {
        Self {
            workers,
            probes: HashMap::new(),
            drains: HashMap::new(),
        }
    }

    /// Has the workers look at their connections to targets that drain or were cut.
    pub fn sweep(&self) {
        sweep(&self.workers);
    }

    /// Makes a group's targets what the snapshot says. Those that left get no new requests first
    /// and are cut second.
    pub fn renew_group(&mut self, group: &Arc<Group>, wanted: &TargetGroup) {
        let stickiness = wanted.stickiness_ms.unwrap_or(0);
        group.stickiness_ms.store(stickiness, Ordering::Relaxed);
        let before = group.targets.load_full();
        let mut targets = Vec::with_capacity(wanted.targets.len());
        let mut changed = false;
        for wanted in &wanted.targets {
            let address = SocketAddrV4::new(wanted.address, wanted.port);
            let drains = wanted.draining_until_ms.is_some();
            // One that was cut does not come back to life.
            let same = |it: &&Arc<Target>| it.address == address && (drains || !it.is_cut());
            let target = match before.iter().find(same) {
                Some(target) => Arc::clone(target),
                None => Arc::new(Target::new(&group.id, address)),
            };
            if target.set_draining(drains) {
                changed = true;
                // One that comes back was not probed while it drained.
                target.set_health(TargetState::Initial);
            }
            self.renew_drain(group, &target, wanted.draining_until_ms);
            targets.push(target);
        }
        let left = |it: &&Arc<Target>| !targets.iter().any(|kept| kept.id == it.id);
        let gone: Vec<_> = before.iter().filter(left).cloned().collect();
        group.targets.store(Arc::new(targets));
        group.settle_usable();
        for target in gone {
            target.cut();
        }
        if changed {
            group.tell();
        }
    }

    pub fn forget_group(group: &Group) {
        for target in group.targets.load().iter() {
            target.cut();
        }
    }

    fn renew_drain(&mut self, group: &Arc<Group>, target: &Arc<Target>, until_ms: Option<i64>) {
        let Some(until_ms) = until_ms else {
            self.drains.remove(&target.id);
            return;
        };
        let running = self.drains.get(&target.id);
        if target.is_cut() || running.is_some_and(|drain| drain.until_ms == until_ms) {
            return;
        }
        let (group, cut_then) = (Arc::clone(group), Arc::clone(target));
        let workers = self.workers.clone();
        let task = tokio::task::spawn_local(async move {
            tokio::time::sleep(time_until(until_ms)).await;
            cut_then.cut();
            sweep(&workers);
            group.tell();
        });
        let task = task.abort_handle();
        self.drains.insert(target.id, Drain { until_ms, task });
    }

    /// Starts and ends probes, so that the targets that should be asked are, and no others.
    pub fn renew_probes(
        &mut self,
        snapshot: &Snapshot,
        groups: &HashMap<String, Arc<Group>>,
        origin: &dyn Fn(&str) -> Origin,
    ) {
        let mut before = std::mem::take(&mut self.probes);
        let users = users_of_groups(snapshot, origin);
        let mut alive = Vec::new();
        for wanted in &snapshot.target_groups {
            let Some(group) = groups.get(&wanted.id) else {
                continue;
            };
            let user = users.get(wanted.id.as_str());
            for target in group.targets.load().iter() {
                alive.push(target.id);
                settle_use(group, target, user.is_some());
                let (Some(origin), false) = (user, target.is_draining()) else {
                    continue;
                };
                if !wanted.health_check.enabled {
                    continue;
                }
                let running = before.remove(&target.id);
                let same = |it: &Probe| it.check == wanted.health_check && it.origin == origin.id();
                let probe = match running.filter(same) {
                    Some(probe) => probe,
                    None => start_probe(group, target, &wanted.health_check, origin),
                };
                self.probes.insert(target.id, probe);
            }
        }
        self.drains.retain(|id, _| alive.contains(id));
    }
}

fn sweep(workers: &[mpsc::UnboundedSender<Command>]) {
    for worker in workers {
        let _ = worker.send(Command::Sweep);
    }
}

fn start_probe(
    group: &Arc<Group>,
    target: &Arc<Target>,
    check: &TargetHealthCheck,
    origin: &Origin,
) -> Probe {
    let (group, target) = (Arc::clone(group), Arc::clone(target));
    let probing = probe_forever(group, target, check.clone(), origin.clone());
    Probe {
        check: check.clone(),
        origin: origin.id(),
        task: tokio::task::spawn_local(probing).abort_handle(),
    }
}

/// A group that no listener forwards to is not probed, and says so.
fn settle_use(group: &Group, target: &Target, used: bool) {
    let was_unused = target.health() == TargetState::Unused;
    match (used, was_unused) {
        (true, true) => group.set_health(target, TargetState::Initial),
        (false, false) => group.set_health(target, TargetState::Unused),
        _ => {}
    }
}

/// For each group in use, where its (first) balancer asks from.
fn users_of_groups<'a>(
    snapshot: &'a Snapshot,
    origin: &dyn Fn(&str) -> Origin,
) -> HashMap<&'a str, Origin> {
    let mut users = HashMap::new();
    for balancer in &snapshot.balancers {
        let rules = balancer.listeners.iter().flat_map(|it| &it.rules);
        for rule in rules {
            if let Action::Forward { groups, .. } = &rule.action {
                for (id, _) in groups {
                    let new = || origin_of(balancer, origin);
                    users.entry(id.as_str()).or_insert_with(new);
                }
            }
        }
    }
    users
}

fn time_until(time_ms: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    Duration::from_millis(u64::try_from(time_ms.saturating_sub(now_ms)).unwrap_or(0))
}
