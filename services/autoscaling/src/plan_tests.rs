//! What a group does next, as data.

use std::collections::BTreeMap;

use shapes::autoscaling::LifecycleState;

use crate::plan::{Facts, LAUNCHING, Machine, Step, TERMINATING, Targets, Why, all_serve, plan};
use crate::record::{GroupRecord, HookRecord, HookWait, InstanceRecord, Launch, Place};

const NOW_MS: i64 = 1_000_000;
const GRACE_MS: i64 = 30_000;

fn place(zone: &str) -> Place {
    Place {
        zone: zone.into(),
        subnet: Some(format!("subnet-{zone}")),
    }
}

/// A group over two zones.
fn group(desired: i32) -> GroupRecord {
    GroupRecord {
        region: "us-east-1".into(),
        account: "000000000000".into(),
        id: "1".into(),
        name: "web".into(),
        min: 0,
        max: 10,
        desired,
        launch: Launch {
            configuration: Some("web".into()),
            ..Default::default()
        },
        default_cooldown: 300,
        places: vec![place("a"), place("b")],
        vpc_zone_identifier: None,
        target_groups: vec!["arn".into()],
        health_check_type: "ELB".into(),
        grace_s: 30,
        termination_policies: vec!["Default".into()],
        protect_new: false,
        tags: vec![],
        service_linked_role: String::new(),
        context: None,
        warmup_s: None,
        distribution: None,
        suspended: BTreeMap::new(),
        metrics: vec![],
        created_ms: 0,
        deleting: false,
        cause: None,
        replacing: 0,
        failures: 0,
        retry_at_ms: 0,
        failed_zone: None,
        scaled_ms: None,
        last_out_ms: None,
        last_out_from: 0,
        last_in_ms: None,
        next_serial: 100,
        next_activity: 0,
    }
}

/// One that serves since long ago, and runs.
fn instance(serial: i64, zone: &str) -> InstanceRecord {
    InstanceRecord {
        region: "us-east-1".into(),
        group: "web".into(),
        serial,
        token: String::new(),
        id: Some(format!("i-{serial}")),
        place: place(zone),
        instance_type: None,
        image_id: None,
        weight: None,
        launched_by: Default::default(),
        state: LifecycleState::InService,
        unhealthy: None,
        protected: false,
        launched_ms: serial,
        in_service_ms: Some(0),
        hook: None,
        passed: vec![],
        deregistered: false,
        ended: false,
        activity: None,
    }
}

fn in_state(serial: i64, state: LifecycleState) -> InstanceRecord {
    InstanceRecord {
        state,
        ..instance(serial, "a")
    }
}

fn hook(name: &str, transition: &str) -> HookRecord {
    HookRecord {
        region: "us-east-1".into(),
        group: "web".into(),
        name: name.into(),
        transition: transition.into(),
        role_arn: None,
        metadata: None,
        heartbeat_s: 30,
        default_result: "ABANDON".into(),
    }
}

#[derive(Default)]
struct Around {
    hooks: Vec<HookRecord>,
    /// Machines that do not run.
    machines: Vec<(i64, Machine)>,
    targets: Vec<(i64, Targets)>,
}

fn steps(group: &GroupRecord, instances: &[InstanceRecord], around: &Around) -> Vec<Step> {
    with_facts(group, instances, around, plan)
}

fn with_facts<T>(
    group: &GroupRecord,
    instances: &[InstanceRecord],
    around: &Around,
    ask: impl FnOnce(&Facts<'_>) -> T,
) -> T {
    let id = |serial: i64| format!("i-{serial}");
    let running = instances.iter().map(|it| (id(it.serial), Machine::Running));
    let mut machines: BTreeMap<_, _> = running.collect();
    machines.extend(around.machines.iter().map(|it| (id(it.0), it.1)));
    let targets = around.targets.iter().map(|it| (id(it.0), it.1)).collect();
    ask(&Facts {
        now_ms: NOW_MS,
        group,
        grace_ms: GRACE_MS,
        instances,
        hooks: &around.hooks,
        machines: &machines,
        targets: &targets,
    })
}

const UNHEALTHY: Targets = Targets {
    unhealthy: true,
    draining: false,
    untried: false,
};
const UNTRIED: Targets = Targets {
    unhealthy: false,
    draining: false,
    untried: true,
};
const DRAINING: Targets = Targets {
    unhealthy: false,
    draining: true,
    untried: false,
};

#[test]
fn what_is_missing_is_launched_where_there_are_fewest() {
    let why = Why::Capacity { from: 1, to: 4 };
    let add = |place| Step::Add { place, why };
    let found = steps(&group(4), &[instance(1, "a")], &Around::default());
    assert_eq!(found, [add(1), add(0), add(1)]);
    let mut waits = group(4);
    waits.retry_at_ms = NOW_MS + 1;
    assert_eq!(steps(&waits, &[instance(1, "a")], &Around::default()), []);
    let mut suspended = group(4);
    suspended.suspended.insert("Launch".into(), String::new());
    assert_eq!(steps(&suspended, &[], &Around::default()), []);
}

#[test]
fn one_that_was_lost_is_told_from_one_that_is_wanted() {
    let mut found = group(2);
    found.replacing = 1;
    let steps = steps(&found, &[instance(1, "a")], &Around::default());
    let (place, why) = (1, Why::Replacement);
    assert_eq!(steps, [Step::Add { place, why }]);
}

#[test]
fn hooks_hold_an_instance_on_its_way() {
    let around = Around {
        hooks: vec![hook("ready", LAUNCHING), hook("bye", TERMINATING)],
        ..Default::default()
    };
    let mut new = in_state(1, LifecycleState::Pending);
    let held = |hook: &str| {
        let hook = hook.to_owned();
        [Step::Hold { serial: 1, hook }]
    };
    assert_eq!(steps(&group(1), &[new.clone()], &around), held("ready"));
    let wait = HookWait {
        name: "ready".into(),
        token: String::new(),
        deadline_ms: NOW_MS + 1,
        last_ms: NOW_MS + 1,
        heartbeat_s: 30,
        default_goes_on: false,
        goes_on: None,
    };
    new.state = LifecycleState::PendingWait;
    for (goes_on, deadline_ms, expected) in [
        (None, NOW_MS + 1, None),
        (Some(true), NOW_MS + 1, Some(Step::Proceed(1))),
        (
            None,
            NOW_MS,
            Some(Step::Abandon {
                serial: 1,
                why: Why::Hook,
            }),
        ),
    ] {
        new.hook = Some(HookWait {
            goes_on,
            deadline_ms,
            ..wait.clone()
        });
        assert_eq!(
            steps(&group(1), &[new.clone()], &around),
            Vec::from_iter(expected)
        );
    }
    let mut passed = in_state(1, LifecycleState::PendingProceed);
    passed.passed = vec!["ready".into()];
    assert_eq!(steps(&group(1), &[passed], &around), [Step::Serve(1)]);
    let mut leaves = in_state(1, LifecycleState::Terminating);
    leaves.deregistered = true;
    assert_eq!(steps(&group(0), &[leaves], &around), held("bye"));
}

#[test]
fn what_is_not_well_is_replaced_once_its_grace_is_over() {
    let sick = Around {
        targets: vec![(1, UNHEALTHY)],
        ..Default::default()
    };
    let why = Why::BalancerHealth;
    let mut found = instance(1, "a");
    let noticed = [Step::Unhealthy { serial: 1, why }];
    assert_eq!(steps(&group(1), &[found.clone()], &sick), noticed);
    found.in_service_ms = Some(NOW_MS - GRACE_MS + 1);
    assert_eq!(steps(&group(1), &[found.clone()], &sick), []);
    let mut by_machines_alone = group(1);
    by_machines_alone.health_check_type = "EC2".into();
    assert_eq!(steps(&by_machines_alone, &[instance(1, "a")], &sick), []);
    found.unhealthy = Some("ELB".into());
    let end = [Step::End { serial: 1, why }];
    assert_eq!(steps(&group(1), &[found.clone()], &sick), end);
    let mut suspended = group(1);
    let process = "ReplaceUnhealthy".to_owned();
    suspended.suspended.insert(process, String::new());
    assert_eq!(steps(&suspended, &[found], &sick), []);

    let why = Why::Stopped;
    for machine in [Machine::Stopped, Machine::Gone] {
        let dead = Around {
            machines: vec![(1, machine)],
            ..Default::default()
        };
        let found = steps(&group(1), &[instance(1, "a")], &dead);
        assert_eq!(found, [Step::Unhealthy { serial: 1, why }]);
    }
}

#[test]
fn an_instance_leaves_its_balancers_before_it_ends() {
    let mut leaves = in_state(1, LifecycleState::Terminating);
    let draining = Around {
        targets: vec![(1, DRAINING)],
        ..Default::default()
    };
    assert_eq!(
        steps(&group(0), &[leaves.clone()], &draining),
        [Step::Deregister(1)]
    );
    leaves.deregistered = true;
    assert_eq!(steps(&group(0), &[leaves.clone()], &draining), []);
    let mut by_force = group(0);
    by_force.deleting = true;
    assert_eq!(
        steps(&by_force, &[leaves.clone()], &draining),
        [Step::Kill(1)]
    );
    assert_eq!(
        steps(&group(0), &[leaves.clone()], &Around::default()),
        [Step::Kill(1)]
    );
    leaves.ended = true;
    assert_eq!(steps(&group(0), &[leaves.clone()], &Around::default()), []);
    let gone = Around {
        machines: vec![(1, Machine::Gone)],
        ..Default::default()
    };
    assert_eq!(steps(&group(0), &[leaves], &gone), [Step::Gone(1)]);
}

#[test]
fn what_is_too_much_goes_where_there_are_most_and_never_what_is_protected() {
    let ended = |found: Vec<Step>| -> Vec<i64> {
        let serial = |it: &Step| match it {
            Step::End { serial, .. } => Some(*serial),
            _ => None,
        };
        found.iter().filter_map(serial).collect()
    };
    let all = [instance(1, "a"), instance(2, "b"), instance(3, "b")];
    assert_eq!(ended(steps(&group(2), &all, &Around::default())), [2]);
    let mut newest = group(2);
    newest.termination_policies = vec!["NewestInstance".into()];
    assert_eq!(ended(steps(&newest, &all, &Around::default())), [3]);
    let mut protected = all.clone();
    for it in &mut protected[1..] {
        it.protected = true;
    }
    assert_eq!(ended(steps(&group(0), &protected, &Around::default())), [1]);
}

#[test]
fn zones_differ_by_one_at_most() {
    let uneven = [instance(1, "a"), instance(2, "a")];
    let (place, why) = (1, Why::Balance);
    let found = steps(&group(2), &uneven, &Around::default());
    assert_eq!(found, [Step::Add { place, why }]);
    let even = [instance(1, "a"), instance(2, "b"), instance(3, "a")];
    assert_eq!(steps(&group(3), &even, &Around::default()), []);
    let mut left_alone = group(2);
    left_alone
        .suspended
        .insert("AZRebalance".into(), String::new());
    assert_eq!(steps(&left_alone, &uneven, &Around::default()), []);
}

#[test]
fn one_that_no_balancer_has_found_healthy_yet_does_not_serve() {
    let serves = |group: &GroupRecord, targets: &[Targets]| {
        let around = Around {
            targets: targets.iter().map(|it| (1, *it)).collect(),
            ..Default::default()
        };
        with_facts(group, &[instance(1, "a")], &around, all_serve)
    };
    assert!(serves(&group(1), &[Targets::default()]));
    for targets in [&[][..], &[UNTRIED], &[UNHEALTHY]] {
        assert!(!serves(&group(1), targets), "{targets:?}");
    }
    let mut by_machines_alone = group(1);
    by_machines_alone.health_check_type = "EC2".into();
    assert!(serves(&by_machines_alone, &[UNTRIED]));
}
