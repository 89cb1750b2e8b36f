//! Which instances go when there are too many (Amazon EC2 Auto Scaling User Guide, "Configure termination
//! policies"). Pure.

use shapes::autoscaling::LifecycleState;

use crate::plan::{Facts, Step, Why, counts};
use crate::record::{GroupRecord, InstanceRecord};

/// What a group may be told to go by.
pub const POLICIES: &[&str] = &[
    "AllocationStrategy",
    "ClosestToNextInstanceHour",
    "Default",
    "NewestInstance",
    "OldestInstance",
    "OldestLaunchConfiguration",
    "OldestLaunchTemplate",
];

const HOUR_MS: i64 = 3_600_000;

/// Those that go, one after the other, until no more can go without too few being left.
pub fn of(facts: &Facts<'_>, counted: &[&InstanceRecord], current: i32) -> Vec<Step> {
    let group = facts.group;
    let mut left = counted.to_vec();
    let mut capacity = current;
    let mut steps = Vec::new();
    while capacity > group.desired {
        let able: Vec<&InstanceRecord> = (left.iter().copied())
            .filter(|it| !it.protected && capacity - it.units() >= group.desired)
            .collect();
        let Some(chosen) = choose(facts.now_ms, group, &left, able) else {
            break;
        };
        let to = capacity - chosen.units();
        steps.push(Step::End {
            serial: chosen.serial,
            why: Why::Capacity { from: capacity, to },
        });
        capacity = to;
        left.retain(|it| it.serial != chosen.serial);
    }
    steps
}

fn choose<'a>(
    now_ms: i64,
    group: &GroupRecord,
    all: &[&InstanceRecord],
    mut able: Vec<&'a InstanceRecord>,
) -> Option<&'a InstanceRecord> {
    // One that does not serve yet is missed by nobody.
    keep_least(&mut able, |it| {
        i64::from(it.state == LifecycleState::InService)
    });
    if !group.suspends("AZRebalance") {
        let counts = counts(group, all);
        keep_least(&mut able, |it| {
            let at = group.places.iter().position(|place| *place == it.place);
            let there = at.map_or(usize::MAX, |at| counts[at]);
            -i64::try_from(there).unwrap_or(i64::MAX)
        });
    }
    for policy in &group.termination_policies {
        let hour = |it: &InstanceRecord| HOUR_MS - (now_ms - it.launched_ms).rem_euclid(HOUR_MS);
        match policy.as_str() {
            "OldestInstance" => keep_least(&mut able, |it| it.launched_ms),
            "NewestInstance" => keep_least(&mut able, |it| -it.launched_ms),
            "OldestLaunchConfiguration" | "OldestLaunchTemplate" => {
                keep_least(&mut able, |it| age_of_launch(group, it));
            }
            "ClosestToNextInstanceHour" => keep_least(&mut able, hour),
            "Default" => {
                keep_least(&mut able, |it| age_of_launch(group, it));
                keep_least(&mut able, hour);
            }
            _ => (),
        }
    }
    able.into_iter().min_by_key(|it| it.serial)
}

fn keep_least(able: &mut Vec<&InstanceRecord>, key: impl Fn(&InstanceRecord) -> i64) {
    let least = able.iter().map(|it| key(it)).min();
    able.retain(|it| Some(key(it)) == least);
}

/// Lower is older: what is of another launch configuration or template than the group's comes first, then
/// versions by their numbers.
fn age_of_launch(group: &GroupRecord, it: &InstanceRecord) -> i64 {
    if let Some(configuration) = &it.launched_by.configuration {
        return i64::from(group.launch.configuration.as_ref() == Some(configuration));
    }
    let template = it.launched_by.template.as_ref();
    let version = template.and_then(|it| it.version.as_ref()?.parse::<i64>().ok());
    version.map_or(0, |it| it + 1)
}
