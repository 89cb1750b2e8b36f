//! What to do next with a group's instances. Pure.
//!
//! Each pass answers steps that do not depend on each other; what they bring about is looked at in the next
//! one. An instance goes this way, and where the group has hooks it waits on the way for who completes them:
//!
//! ```text
//! Pending ─► (Pending:Wait ─► Pending:Proceed) ─► InService ◄─► EnteringStandby, Standby
//!                                                    │
//!                        Detaching ◄─────────────────┤
//!                                                    ▼
//!       Terminating ─► (Terminating:Wait ─► Terminating:Proceed) ─► gone
//! ```

use std::collections::BTreeMap;

use shapes::autoscaling::LifecycleState;

use crate::record::{GroupRecord, HookRecord, InstanceRecord, Place};
use crate::victims;

pub const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
pub const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// So many are launched in one pass: a group of hundreds begins with some of them.
const LAUNCHED_AT_ONCE: usize = 20;

/// What EC2 says of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    Starting,
    Running,
    /// It stops, is stopped or is ending.
    Stopped,
    Gone,
}

/// What the load balancers say of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Targets {
    pub unhealthy: bool,
    pub draining: bool,
    /// Some load balancer has not found it healthy yet.
    pub untried: bool,
}

#[derive(Debug, Clone)]
pub struct Facts<'a> {
    pub now_ms: i64,
    pub group: &'a GroupRecord,
    pub grace_ms: i64,
    pub instances: &'a [InstanceRecord],
    pub hooks: &'a [HookRecord],
    /// By the ids of instances.
    pub machines: &'a BTreeMap<String, Machine>,
    pub targets: &'a BTreeMap<String, Targets>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A record for an instance is written.
    Add {
        place: usize,
        why: Why,
    },
    /// EC2 is asked for it.
    Launch(i64),
    Hold {
        serial: i64,
        hook: String,
    },
    /// The hook's result is in: it goes on.
    Proceed(i64),
    Serve(i64),
    /// It was to serve and never will.
    Abandon {
        serial: i64,
        why: Why,
    },
    Unhealthy {
        serial: i64,
        why: Why,
    },
    End {
        serial: i64,
        why: Why,
    },
    Deregister(i64),
    Kill(i64),
    Rest(i64),
    Release(i64),
    Gone(i64),
}

/// Why something is done, which its activity's cause puts into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// `from` one capacity to another.
    Capacity {
        from: i32,
        to: i32,
    },
    Replacement,
    Balance,
    Stopped,
    BalancerHealth,
    UserHealth,
    Hook,
    Deletion,
    Refresh,
    Request,
}

/// Whether load balancers are asked how instances are.
pub fn asks_balancers(group: &GroupRecord) -> bool {
    group.health_check_type.split(',').any(|it| it == "ELB")
}

/// Whether all that are to serve do, as far as load balancers are asked about it.
pub fn all_serve(facts: &Facts<'_>) -> bool {
    if !asks_balancers(facts.group) || facts.group.target_groups.is_empty() {
        return true;
    }
    let serves = |it: &InstanceRecord| {
        let id = it.id.as_ref();
        id.and_then(|it| facts.targets.get(it))
            .is_some_and(|it| !it.untried && !it.unhealthy)
    };
    let mut in_service =
        (facts.instances.iter()).filter(|it| it.state == LifecycleState::InService);
    in_service.all(serves)
}

pub fn plan(facts: &Facts<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = (facts.instances.iter())
        .filter_map(|it| of_instance(facts, it))
        .collect();
    if steps.is_empty() {
        steps = of_capacity(facts);
    }
    steps
}

fn machine(facts: &Facts<'_>, instance: &InstanceRecord) -> Option<Machine> {
    let id = instance.id.as_ref()?;
    Some(facts.machines.get(id).copied().unwrap_or(Machine::Gone))
}

fn targets(facts: &Facts<'_>, instance: &InstanceRecord) -> Targets {
    let id = instance.id.as_ref();
    id.and_then(|it| facts.targets.get(it).copied())
        .unwrap_or_default()
}

fn of_instance(facts: &Facts<'_>, it: &InstanceRecord) -> Option<Step> {
    let serial = it.serial;
    match it.state {
        LifecycleState::Pending if it.id.is_none() => {
            (!facts.group.suspends("Launch")).then_some(Step::Launch(serial))
        }
        LifecycleState::Pending => match machine(facts, it)? {
            Machine::Running => Some(match next_hook(facts, it, LAUNCHING) {
                Some(hook) => Step::Hold { serial, hook },
                None => Step::Serve(serial),
            }),
            Machine::Starting => None,
            Machine::Stopped | Machine::Gone => Some(Step::Abandon {
                serial,
                why: Why::Stopped,
            }),
        },
        LifecycleState::PendingWait => held(facts, it).map(|goes_on| match goes_on {
            true => Step::Proceed(serial),
            false => Step::Abandon {
                serial,
                why: Why::Hook,
            },
        }),
        LifecycleState::PendingProceed => Some(match next_hook(facts, it, LAUNCHING) {
            Some(hook) => Step::Hold { serial, hook },
            None => Step::Serve(serial),
        }),
        LifecycleState::InService => in_service(facts, it),
        LifecycleState::EnteringStandby => after_draining(facts, it, Step::Rest(serial)),
        LifecycleState::Detaching => after_draining(facts, it, Step::Release(serial)),
        LifecycleState::Terminating
        | LifecycleState::TerminatingWait
        | LifecycleState::TerminatingProceed => ending(facts, it),
        _ => None,
    }
}

/// One that serves is looked at; what is wrong with it is written down before it is replaced.
fn in_service(facts: &Facts<'_>, it: &InstanceRecord) -> Option<Step> {
    let (serial, group) = (it.serial, facts.group);
    if it.unhealthy.is_some() {
        let why = match it.unhealthy.as_deref() {
            Some("EC2") => Why::Stopped,
            Some("ELB") => Why::BalancerHealth,
            _ => Why::UserHealth,
        };
        let stays = group.suspends("ReplaceUnhealthy") || group.suspends("Terminate");
        return (!stays).then_some(Step::End { serial, why });
    }
    if group.suspends("HealthCheck") {
        return None;
    }
    let in_grace = (it.in_service_ms).is_none_or(|since| facts.now_ms < since + facts.grace_ms);
    if matches!(machine(facts, it)?, Machine::Stopped | Machine::Gone) {
        return Some(Step::Unhealthy {
            serial,
            why: Why::Stopped,
        });
    }
    (asks_balancers(group) && !in_grace && targets(facts, it).unhealthy).then_some(
        Step::Unhealthy {
            serial,
            why: Why::BalancerHealth,
        },
    )
}

fn after_draining(facts: &Facts<'_>, it: &InstanceRecord, then: Step) -> Option<Step> {
    if !it.deregistered {
        return Some(Step::Deregister(it.serial));
    }
    (!targets(facts, it).draining).then_some(then)
}

fn ending(facts: &Facts<'_>, it: &InstanceRecord) -> Option<Step> {
    let serial = it.serial;
    let Some(machine) = machine(facts, it) else {
        return Some(Step::Gone(serial));
    };
    if it.ended {
        return (machine == Machine::Gone).then_some(Step::Gone(serial));
    }
    if !it.deregistered {
        return Some(Step::Deregister(serial));
    }
    // Whoever deletes the group by force waits for nobody.
    if facts.group.deleting {
        return Some(Step::Kill(serial));
    }
    if machine != Machine::Gone && targets(facts, it).draining {
        return None;
    }
    match it.state {
        LifecycleState::TerminatingWait => held(facts, it).map(|_| Step::Proceed(serial)),
        _ => Some(match next_hook(facts, it, TERMINATING) {
            Some(hook) => Step::Hold { serial, hook },
            None => Step::Kill(serial),
        }),
    }
}

/// Whether one that waits for a hook goes on, once that is known.
fn held(facts: &Facts<'_>, it: &InstanceRecord) -> Option<bool> {
    let Some(hook) = &it.hook else {
        return Some(true);
    };
    let over = facts.now_ms >= hook.deadline_ms.min(hook.last_ms);
    hook.goes_on.or(over.then_some(hook.default_goes_on))
}

fn next_hook(facts: &Facts<'_>, it: &InstanceRecord, transition: &str) -> Option<String> {
    let mut left = (facts.hooks.iter())
        .filter(|hook| hook.transition == transition && !it.passed.contains(&hook.name));
    left.next().map(|it| it.name.clone())
}

fn of_capacity(facts: &Facts<'_>) -> Vec<Step> {
    let group = facts.group;
    let counted: Vec<&InstanceRecord> = facts.instances.iter().filter(|it| it.counts()).collect();
    let current: i32 = counted.iter().map(|it| it.units()).sum();
    if group.deleting {
        let why = Why::Deletion;
        let left = (facts.instances.iter()).filter(|it| !it.is_terminating());
        return left
            .map(|it| Step::End {
                serial: it.serial,
                why,
            })
            .collect();
    }
    if current < group.desired {
        return launches(facts, &counted, current);
    }
    if current > group.desired && !group.suspends("Terminate") {
        return victims::of(facts, &counted, current);
    }
    balance(facts, &counted)
}

/// Where the next one goes: the place with the fewest, and the first among equals.
fn emptiest(group: &GroupRecord, counts: &[usize]) -> usize {
    let avoided = |at: &usize| match group.failed_zone.as_ref() {
        Some(zone) if counts.len() > 1 && !only_balanced(group) => group.places[*at].zone == *zone,
        _ => false,
    };
    (0..counts.len())
        .min_by_key(|at| (avoided(at), counts[*at], *at))
        .unwrap_or(0)
}

fn only_balanced(group: &GroupRecord) -> bool {
    use shapes::autoscaling::CapacityDistributionStrategy::BalancedOnly;
    let strategy = group.distribution.as_ref();
    strategy.and_then(|it| it.capacity_distribution_strategy) == Some(BalancedOnly)
}

/// How many there are at each place.
pub fn counts(group: &GroupRecord, counted: &[&InstanceRecord]) -> Vec<usize> {
    let at = |place: &Place| counted.iter().filter(|it| it.place == *place).count();
    group.places.iter().map(at).collect()
}

fn launches(facts: &Facts<'_>, counted: &[&InstanceRecord], current: i32) -> Vec<Step> {
    let group = facts.group;
    let waits = facts.now_ms < group.retry_at_ms;
    if group.suspends("Launch") || waits || group.places.is_empty() {
        return Vec::new();
    }
    let mut counts = counts(group, counted);
    let mut missing = group.desired - current;
    let mut replacing = group.replacing;
    let mut steps = Vec::new();
    // What launches decide of weights is known when they are made: one at a time where there are any.
    let weighted = counted.iter().any(|it| it.weight.is_some()) || has_weights(group);
    let most = if weighted { 1 } else { LAUNCHED_AT_ONCE };
    while missing > 0 && steps.len() < most {
        let place = emptiest(group, &counts);
        counts[place] += 1;
        let why = match replacing > 0 {
            true => Why::Replacement,
            false => Why::Capacity {
                from: current,
                to: group.desired,
            },
        };
        replacing -= 1;
        missing -= 1;
        steps.push(Step::Add { place, why });
    }
    steps
}

fn has_weights(group: &GroupRecord) -> bool {
    let mixed = group.launch.mixed.as_ref();
    let template = mixed.and_then(|it| it.launch_template.as_ref());
    let overrides = template.and_then(|it| it.overrides.as_ref());
    (overrides.into_iter().flatten()).any(|it| it.weighted_capacity.is_some())
}

/// Zones differ by one at most. One is launched where there are fewest; the surplus then goes where there are
/// most, which is what scaling in does anyway.
fn balance(facts: &Facts<'_>, counted: &[&InstanceRecord]) -> Vec<Step> {
    let group = facts.group;
    let stands = ["AZRebalance", "Launch", "Terminate"]
        .iter()
        .any(|it| group.suspends(it));
    let moving = facts.instances.iter().any(|it| !it.is_settled());
    if stands || moving || group.places.is_empty() || has_weights(group) {
        return Vec::new();
    }
    let counts = counts(group, counted);
    let may_go = |it: &&&InstanceRecord| !it.protected;
    let strangers = (counted.iter())
        .filter(may_go)
        .any(|it| !group.places.contains(&it.place));
    let (least, most) = (counts.iter().min(), counts.iter().max());
    let uneven = match (least, most) {
        (Some(least), Some(most)) => {
            let full = |it: &&&InstanceRecord| {
                let at = group.places.iter().position(|place| *place == it.place);
                at.is_some_and(|at| counts[at] == *most)
            };
            most - least > 1 && counted.iter().filter(may_go).any(|it| full(&it))
        }
        _ => false,
    };
    match strangers || uneven {
        true => vec![Step::Add {
            place: emptiest(group, &counts),
            why: Why::Balance,
        }],
        false => Vec::new(),
    }
}
