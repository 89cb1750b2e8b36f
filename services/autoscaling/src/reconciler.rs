//! Brings a group to what is wanted: gathers facts from EC2 and the load balancers, lets [`crate::plan`] decide,
//! and does one round of steps.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use shapes::autoscaling::LifecycleState;
use shapes::ec2::{DescribeInstancesInput, Filter, InstanceStateName};
use shapes::elbv2::{DescribeTargetHealthInput, TargetHealthStateEnum};

use crate::plan::{Facts, Machine, Targets, asks_balancers, plan};
use crate::record::{self, GroupRecord, HookRecord, InstanceRecord};
use crate::{group, refresh, steps};

/// While something is under way.
const LOOK: Duration = Duration::from_millis(250);
/// How often load balancers are asked about instances that serve: AWS's own checks are no faster.
const HEALTH_LOOK: Duration = Duration::from_secs(30);
/// The clock of a machine that slept is behind its timers: none is set for longer.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

pub const FOLLOWER: &str = "autoscaling.followed-instances";
pub const FOLLOWER_KEY: &str = "all";

/// Some instance of EC2 changed: every group is looked at.
pub struct InstanceFollower;

#[async_trait]
impl Reconciler for InstanceFollower {
    fn kind(&self) -> &'static str {
        FOLLOWER
    }
    fn keys(&self, _: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
    fn region(&self, _: &str) -> String {
        String::new()
    }
    async fn reconcile(&self, cx: Cx, _: &str) -> Result<Next, converge::Error> {
        for key in cx.read(|tx| tx.keys::<GroupRecord>(""))? {
            cx.cloud.converge.wake(GroupRecord::KIND, key);
        }
        Ok(Next::Idle)
    }
}

pub struct GroupReconciler;

#[async_trait]
impl Reconciler for GroupReconciler {
    fn kind(&self) -> &'static str {
        GroupRecord::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<GroupRecord>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some((group, instances, hooks)) = cx.read(|tx| {
            let Some(group) = tx.get::<GroupRecord>(key)? else {
                return Ok(None);
            };
            let instances = record::instances(tx, &group)?;
            let hooks = tx.list::<HookRecord>(&group.prefix())?;
            Ok(Some((group, instances, hooks)))
        })?
        else {
            return Ok(Next::Idle);
        };
        if group.deleting && instances.is_empty() {
            cx.write(|tx| group::forget(tx, &group))?;
            return Ok(Next::Idle);
        }
        let machines = machines(&cx, &instances).await?;
        let targets = targets(&cx, &group, &instances).await?;
        let facts = Facts {
            now_ms: cx.clock().now_ms(),
            grace_ms: grace_ms(&cx, &group),
            group: &group,
            instances: &instances,
            hooks: &hooks,
            machines: &machines,
            targets: &targets,
        };
        let steps = plan(&facts);
        if steps.is_empty() {
            let refreshed = refresh::advance(&cx, &facts)?;
            let settled = steps::settle(&cx, &group, &instances)?;
            if refreshed || settled {
                return Ok(Next::After(Duration::ZERO));
            }
            return Ok(next(&cx, &facts));
        }
        for step in steps {
            steps::apply(&cx, &group, step).await?;
        }
        Ok(Next::After(Duration::ZERO))
    }
}

/// How long one that has just come into service is not asked about: as paced as load balancers' checks are, and
/// with the time that a program needs to start.
fn grace_ms(cx: &Cx, group: &GroupRecord) -> i64 {
    let grace = Duration::from_secs(u64::from(group.grace_s.unsigned_abs()));
    let paced = cx.clock().paced(grace).max(cx.clock().patience(grace));
    i64::try_from(paced.as_millis()).unwrap_or(i64::MAX)
}

fn next(cx: &Cx, facts: &Facts<'_>) -> Next {
    let group = facts.group;
    if facts.instances.iter().any(|it| !it.is_settled()) || refresh::is_open(cx, group) {
        return Next::After(LOOK);
    }
    let until = u64::try_from(group.retry_at_ms - facts.now_ms).unwrap_or(0);
    if until > 0 {
        return Next::After(Duration::from_millis(until).min(LOOK_AGAIN));
    }
    let asks = asks_balancers(group);
    match asks && !group.target_groups.is_empty() && !facts.instances.is_empty() {
        true => Next::After(cx.clock().paced(HEALTH_LOOK)),
        false => Next::Idle,
    }
}

/// What EC2 says of the group's instances. One that it does not know is gone.
async fn machines(
    cx: &Cx,
    instances: &[InstanceRecord],
) -> Result<BTreeMap<String, Machine>, Error> {
    /// As many values as a filter takes.
    const AT_ONCE: usize = 200;
    let ids: Vec<String> = instances.iter().filter_map(|it| it.id.clone()).collect();
    let mut found = BTreeMap::new();
    for some in ids.chunks(AT_ONCE) {
        let input = DescribeInstancesInput {
            filters: Some(vec![Filter {
                name: Some("instance-id".to_owned()),
                values: Some(some.to_vec()),
            }]),
            ..Default::default()
        };
        let reservations = cx.call(input).await?.reservations.unwrap_or_default();
        for it in reservations
            .into_iter()
            .flat_map(|it| it.instances.unwrap_or_default())
        {
            let state = it.state.and_then(|it| it.name);
            let machine = match state {
                Some(InstanceStateName::Pending) | None => Machine::Starting,
                Some(InstanceStateName::Running) => Machine::Running,
                Some(InstanceStateName::Terminated) => Machine::Gone,
                Some(_) => Machine::Stopped,
            };
            found.insert(it.instance_id.unwrap_or_default(), machine);
        }
    }
    Ok(found)
}

/// What load balancers say, where it matters: of instances that serve, where they are asked, and of those that
/// leave.
async fn targets(
    cx: &Cx,
    group: &GroupRecord,
    instances: &[InstanceRecord],
) -> Result<BTreeMap<String, Targets>, Error> {
    let asks = asks_balancers(group);
    let leaves = |it: &InstanceRecord| it.deregistered && !it.ended;
    let matters = |it: &InstanceRecord| leaves(it) || asks && it.state == LifecycleState::InService;
    let mut found: BTreeMap<String, Targets> = BTreeMap::new();
    if !instances.iter().any(matters) {
        return Ok(found);
    }
    for arn in &group.target_groups {
        let input = DescribeTargetHealthInput {
            target_group_arn: arn.clone(),
            ..Default::default()
        };
        // A target group that is gone says nothing of anybody.
        let Ok(output) = cx.call(input).await else {
            continue;
        };
        for it in output.target_health_descriptions.unwrap_or_default() {
            let id = it.target.map(|it| it.id).unwrap_or_default();
            let state = it.target_health.and_then(|it| it.state);
            let known = found.entry(id).or_default();
            known.unhealthy |= state == Some(TargetHealthStateEnum::Unhealthy);
            known.untried |= state == Some(TargetHealthStateEnum::Initial);
            known.draining |= matches!(
                state,
                Some(TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining)
            );
        }
    }
    Ok(found)
}
