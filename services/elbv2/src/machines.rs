//! Targets that are instances: one that is stopped or terminated gets no requests, also when something else has
//! its address by then ("Target is in the stopped or terminated state", ELB API reference of `TargetHealth`).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError};
use shapes::ec2::{DescribeInstancesInput, Filter, InstanceStateName};

use crate::record::{self, TargetGroup};

pub const KIND: &str = "elbv2.machines";
pub const KEY: &str = "all";
/// EC2's record of an instance: what it says is asked of EC2.
pub const CHANGED: &str = "ec2.instance";

/// A filter takes 200 values (EC2 API reference).
const ASKED_AT_ONCE: usize = 200;

/// One reconciler of one key: it is woken by every change of any instance.
pub struct MachinesReconciler;

#[async_trait]
impl Reconciler for MachinesReconciler {
    fn kind(&self) -> &'static str {
        KIND
    }
    fn keys(&self, _: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![KEY.to_owned()])
    }
    fn region(&self, _: &str) -> String {
        String::new()
    }

    async fn reconcile(&self, cx: Cx, _: &str) -> Result<Next, converge::Error> {
        let groups = cx.read(|tx| tx.readable::<TargetGroup>(""))?;
        let mut asked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for group in &groups {
            let own = group.targets.iter().filter_map(|it| it.instance.clone());
            let mut own = own.peekable();
            if own.peek().is_some() {
                asked.entry(group.region.clone()).or_default().extend(own);
            }
        }
        for (region, instances) in asked {
            let alive = alive(&cx.in_region(&region), &instances).await?;
            let of_region = groups.iter().filter(|it| it.region == region);
            for group in of_region {
                note(&cx, &group.key(), &instances, &alive)?;
            }
        }
        Ok(Next::Idle)
    }
}

/// Those of these instances that are neither stopped nor terminated.
async fn alive(cx: &Cx, instances: &BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
    let all: Vec<String> = instances.iter().cloned().collect();
    let mut alive = BTreeSet::new();
    for some in all.chunks(ASKED_AT_ONCE) {
        let asked = DescribeInstancesInput {
            filters: Some(vec![Filter {
                name: Some("instance-id".into()),
                values: Some(some.to_vec()),
            }]),
            ..Default::default()
        };
        let found = cx.call(asked).await?.reservations.unwrap_or_default();
        let found = found.into_iter();
        for it in found.flat_map(|it| it.instances.unwrap_or_default()) {
            let state = it.state.and_then(|it| it.name);
            let is_over = matches!(
                state,
                Some(InstanceStateName::Stopped | InstanceStateName::Terminated)
            );
            alive.extend(it.instance_id.filter(|_| !is_over));
        }
    }
    Ok(alive)
}

fn note(
    cx: &Cx,
    group: &str,
    asked: &BTreeSet<String>,
    alive: &BTreeSet<String>,
) -> Result<(), Error> {
    cx.write(|tx| {
        let Some(mut record) = tx.get::<TargetGroup>(group)? else {
            return Ok(());
        };
        let mut is_other = false;
        for target in &mut record.targets {
            let Some(instance) = target.instance.as_ref().filter(|it| asked.contains(*it)) else {
                continue;
            };
            let is_over = !alive.contains(instance);
            is_other |= target.is_over != is_over;
            target.is_over = is_over;
        }
        if is_other {
            tx.put(&record)?;
            record::touch(tx)?;
        }
        Ok(())
    })
}
