//! Targets over time: who is probed, who drains, and who is cut.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use engine::{Action, Snapshot, TargetGroup, TargetHealthCheck, TargetState};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::group::{Group, GroupSettings, Target};
use super::listeners::origin_of;
use super::namespace::Origin;
use super::probe::probe_forever;
use super::worker::Command;

/// The longest deregistration delay there is.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(3600);

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
    pub fn renew_group(&mut self, group: &Arc<Group>, wanted: &TargetGroup, now_ms: i64) {
        let settings = GroupSettings {
            stickiness: wanted.stickiness.clone(),
            algorithm: wanted.algorithm,
            slow_start_ms: wanted.slow_start_ms,
        };
        if **group.settings.load() != settings {
            group.settings.store(Arc::new(settings));
        }
        let warms_up = group.warms_up_new_ones();
        let before = group.targets.load_full();
        let mut targets = Vec::with_capacity(wanted.targets.len());
        let mut changed = false;
        let is_tls = wanted.tls;
        for wanted in &wanted.targets {
            let address = SocketAddrV4::new(wanted.address, wanted.port);
            let drains = wanted.draining_until_ms.is_some();
            // One that was cut does not come back to life.
            let same = |it: &&Arc<Target>| {
                let is_alike = it.address == address && it.tls == is_tls;
                is_alike && (drains || !it.is_cut())
            };
            let target = match before.iter().find(same) {
                Some(target) => Arc::clone(target),
                None => {
                    let target = Target::new(&group.id, address, is_tls);
                    if warms_up {
                        target.warmth.want();
                    }
                    Arc::new(target)
                }
            };
            if target.set_draining(drains) {
                changed = true;
                // One that comes back was not probed while it drained.
                target.set_health(TargetState::Initial);
            }
            let until_ms = wanted.draining_until_ms;
            self.renew_drain(group, &target, until_ms, now_ms);
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

    fn renew_drain(
        &mut self,
        group: &Arc<Group>,
        target: &Arc<Target>,
        until_ms: Option<i64>,
        now_ms: i64,
    ) {
        let Some(until_ms) = until_ms else {
            self.drains.remove(&target.id);
            return;
        };
        let running = self.drains.get(&target.id);
        if target.is_cut() || running.is_some_and(|drain| drain.until_ms == until_ms) {
            return;
        }
        let time_left = time_left(until_ms, now_ms);
        let (group, cut_then) = (Arc::clone(group), Arc::clone(target));
        let workers = self.workers.clone();
        let task = tokio::task::spawn_local(async move {
            tokio::time::sleep(time_left).await;
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

/// By the clock of whoever made the snapshot: the machine's own may be set meanwhile.
fn time_left(until_ms: i64, now_ms: i64) -> Duration {
    let left_ms = u64::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(0);
    Duration::from_millis(left_ms).min(DRAIN_TIME_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_takes_as_long_as_it_was_given() {
        const HOUR_MS: i64 = 3_600_000;
        let check = |until_ms, now_ms, expect_ms| {
            let expect = Duration::from_millis(expect_ms);
            assert_eq!(time_left(until_ms, now_ms), expect);
        };
        check(1_000, 400, 600);
        check(1_000, 2_000, 0);
        // Whatever the machine's clock says, and also where two clocks have met.
        check(5 * HOUR_MS + 300, 5 * HOUR_MS, 300);
        check(50 * HOUR_MS, 5 * HOUR_MS, 3_600_000);
        check(i64::MAX, i64::MIN, 3_600_000);
        check(i64::MIN, i64::MAX, 0);
    }
}
