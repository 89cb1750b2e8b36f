//! Instance refreshes: a group's instances are replaced, some at a time.
//!
//! What is replaced is written down when a refresh begins. Whenever the group is as it is wanted and those that were
//! launched last have warmed up, the next ones go, so many that enough are left; the group's own ways launch others.

use std::time::Duration;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::autoscaling::errors::{
    ActiveInstanceRefreshNotFoundFault, InstanceRefreshInProgressFault,
    IrreversibleInstanceRefreshFault,
};
use shapes::autoscaling::*;

use crate::page::{MAX, page};
use crate::plan::{Facts, Why, all_serve};
use crate::record::{self, GroupRecord, InstanceRecord, Launch};
use crate::rules::{self, invalid};
use crate::{group, steps};

const MIN_HEALTHY: i32 = 90;
const WHOLE: i32 = 100;
/// The default where the group has no cooldown of its own for it.
const WARMUP_S: i32 = 300;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefreshRecord {
    pub region: String,
    pub group: String,
    pub number: i64,
    pub id: String,
    pub status: InstanceRefreshStatus,
    pub reason: Option<String>,
    pub start_ms: i64,
    pub end_ms: Option<i64>,
    pub preferences: RefreshPreferences,
    pub desired: Option<DesiredConfiguration>,
    /// What the group was launched by before.
    pub before: Launch,
    /// Serials of those that are still to go, and how many there were.
    pub left: Vec<i64>,
    pub all: i32,
    pub rollback_ms: Option<i64>,
}

impl Record for RefreshRecord {
    const KIND: &'static str = "autoscaling.refresh";
    fn key(&self) -> String {
        format!("{}/{}/{:012}", self.region, self.group, self.number)
    }
}

impl RefreshRecord {
    fn is_open(&self) -> bool {
        matches!(
            self.status,
            InstanceRefreshStatus::Pending
                | InstanceRefreshStatus::InProgress
                | InstanceRefreshStatus::RollbackInProgress
        )
    }

    fn percentage(&self) -> i32 {
        match self.all {
            0 => WHOLE,
            all => WHOLE * (all - i32::try_from(self.left.len()).unwrap_or(0)) / all,
        }
    }

    fn shown(self) -> InstanceRefresh {
        let time = |ms: i64| wire::Timestamp(ms as f64 / 1000.0);
        let percentage = self.percentage();
        InstanceRefresh {
            instance_refresh_id: Some(self.id),
            auto_scaling_group_name: Some(self.group),
            status: Some(self.status),
            status_reason: self.reason,
            start_time: Some(time(self.start_ms)),
            end_time: self.end_ms.map(time),
            percentage_complete: Some(percentage),
            instances_to_update: Some(i32::try_from(self.left.len()).unwrap_or(i32::MAX)),
            progress_details: None,
            preferences: Some(self.preferences),
            desired_configuration: self.desired,
            rollback_details: self.rollback_ms.map(|ms| RollbackDetails {
                rollback_start_time: Some(time(ms)),
                rollback_reason: Some("Initiated by the user".to_owned()),
                ..Default::default()
            }),
            strategy: Some(RefreshStrategy::Rolling),
        }
    }
}

fn open(tx: &Records<'_>, group: &GroupRecord) -> Result<Option<RefreshRecord>, Error> {
    let all = tx.list::<RefreshRecord>(&group.prefix())?;
    Ok(all.into_iter().find(RefreshRecord::is_open))
}

pub fn is_open(cx: &Cx, group: &GroupRecord) -> bool {
    matches!(cx.read(|tx| open(tx, group)), Ok(Some(_)))
}

/// Those of a group that a refresh replaces.
fn to_replace(
    group: &GroupRecord,
    instances: &[InstanceRecord],
    preferences: &RefreshPreferences,
    versions: &[Option<String>],
) -> Result<Vec<i64>, Error> {
    let mut left = Vec::new();
    for it in instances.iter().filter(|it| !it.is_terminating()) {
        let matches = it.launched_by.configuration == group.launch.configuration
            && match &it.launched_by.template {
                Some(template) => versions.contains(&template.version),
                None => group.launch.configuration.is_some(),
            };
        if preferences.skip_matching == Some(true) && matches {
            continue;
        }
        if it.state == LifecycleState::Standby {
            match preferences.standby_instances {
                Some(StandbyInstances::Terminate) => left.push(it.serial),
                Some(StandbyInstances::Ignore) => (),
                _ => {
                    return Err(invalid(
                        "The group has instances in Standby: StandbyInstances says what to do with them, Terminate or Ignore; neargate does not wait for them",
                    ));
                }
            }
            continue;
        }
        if it.protected {
            match preferences.scale_in_protected_instances {
                Some(ScaleInProtectedInstances::Refresh) => left.push(it.serial),
                Some(ScaleInProtectedInstances::Ignore) => (),
                _ => {
                    return Err(invalid(
                        "The group has instances that are protected from scale in: ScaleInProtectedInstances says what to do with them, Refresh or Ignore; neargate does not wait for them",
                    ));
                }
            }
            continue;
        }
        left.push(it.serial);
    }
    Ok(left)
}

/// Numbers of the versions that a group launches by now.
async fn versions(cx: &Cx, launch: &Launch) -> Result<Vec<Option<String>>, Error> {
    let mixed = launch
        .mixed
        .as_ref()
        .and_then(|it| it.launch_template.as_ref());
    let own = (mixed.iter()).flat_map(|it| it.overrides.iter().flatten());
    let all = (launch.template.iter())
        .chain(mixed.and_then(|it| it.launch_template_specification.as_ref()))
        .chain(own.filter_map(|it| it.launch_template_specification.as_ref()));
    let mut numbers = Vec::new();
    for template in all {
        let found = rules::template_version(cx, template).await?;
        numbers.push(found.version_number.map(|it| it.to_string()));
    }
    Ok(numbers)
}

pub async fn start_instance_refresh(
    cx: Cx,
    input: StartInstanceRefreshInput,
) -> Result<StartInstanceRefreshOutput, Error> {
    let name = &input.auto_scaling_group_name;
    let before = cx.read(|tx| record::living_group(&cx, tx, name))?;
    let launch = match &input.desired_configuration {
        Some(wanted) => {
            let given = Launch {
                configuration: None,
                template: wanted.launch_template.clone(),
                mixed: wanted.mixed_instances_policy.clone(),
            };
            group::named(&cx, given).await?
        }
        None => before.launch.clone(),
    };
    let versions = versions(&cx, &launch).await?;
    let mut preferences = input.preferences.unwrap_or_default();
    preferences
        .min_healthy_percentage
        .get_or_insert(MIN_HEALTHY);
    preferences.skip_matching.get_or_insert(false);
    cx.write(|tx| {
        let mut group = record::living_group(&cx, tx, name)?;
        if open(tx, &group)?.is_some() {
            return Err(InstanceRefreshInProgressFault.because("An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."));
        }
        group.launch = launch;
        let left = to_replace(&group, &record::instances(tx, &group)?, &preferences, &versions)?;
        let new = RefreshRecord {
            region: group.region.clone(),
            group: group.name.clone(),
            number: tx.next(RefreshRecord::KIND)?,
            id: cloud::uuid(&cloud::random_hex(32)),
            status: InstanceRefreshStatus::InProgress,
            reason: None,
            start_ms: cx.clock().now_ms(),
            end_ms: None,
            preferences,
            desired: input.desired_configuration,
            before: before.launch,
            all: i32::try_from(left.len()).unwrap_or(i32::MAX),
            left,
            rollback_ms: None,
        };
        tx.put(&new)?;
        tx.put(&group)?;
        Ok(StartInstanceRefreshOutput {
            instance_refresh_id: Some(new.id),
        })
    })
}

fn active(tx: &Records<'_>, group: &GroupRecord) -> Result<RefreshRecord, Error> {
    open(tx, group)?.ok_or_else(|| {
        ActiveInstanceRefreshNotFoundFault
            .because("No in progress or pending Instance Refresh found for Auto Scaling group")
    })
}

pub async fn cancel_instance_refresh(
    cx: Cx,
    input: CancelInstanceRefreshInput,
) -> Result<CancelInstanceRefreshOutput, Error> {
    cx.write(|tx| {
        let group = record::living_group(&cx, tx, &input.auto_scaling_group_name)?;
        let mut refresh = active(tx, &group)?;
        refresh.status = InstanceRefreshStatus::Cancelled;
        refresh.reason = Some("Cancelled due to user request.".to_owned());
        refresh.end_ms = Some(cx.clock().now_ms());
        tx.put(&refresh)?;
        Ok(CancelInstanceRefreshOutput {
            instance_refresh_id: Some(refresh.id),
        })
    })
}

pub async fn rollback_instance_refresh(
    cx: Cx,
    input: RollbackInstanceRefreshInput,
) -> Result<RollbackInstanceRefreshOutput, Error> {
    let name = &input.auto_scaling_group_name;
    let refresh = cx.read(|tx| active(tx, &record::living_group(&cx, tx, name)?))?;
    if refresh.desired.is_none() {
        return Err(IrreversibleInstanceRefreshFault
            .because("A rollback needs an Instance Refresh that has a desired configuration"));
    }
    let versions = versions(&cx, &refresh.before).await?;
    cx.write(|tx| {
        let mut group = record::living_group(&cx, tx, name)?;
        let mut refresh = active(tx, &group)?;
        if refresh.status == InstanceRefreshStatus::RollbackInProgress {
            return Err(
                IrreversibleInstanceRefreshFault.because("A rollback is in progress already")
            );
        }
        group.launch = refresh.before.clone();
        let skipping = RefreshPreferences {
            skip_matching: Some(true),
            scale_in_protected_instances: Some(ScaleInProtectedInstances::Ignore),
            standby_instances: Some(StandbyInstances::Ignore),
            ..refresh.preferences.clone()
        };
        refresh.left = to_replace(
            &group,
            &record::instances(tx, &group)?,
            &skipping,
            &versions,
        )?;
        refresh.all = i32::try_from(refresh.left.len()).unwrap_or(i32::MAX);
        refresh.status = InstanceRefreshStatus::RollbackInProgress;
        refresh.rollback_ms = Some(cx.clock().now_ms());
        tx.put(&refresh)?;
        tx.put(&group)?;
        Ok(RollbackInstanceRefreshOutput {
            instance_refresh_id: Some(refresh.id),
        })
    })
}

pub async fn describe_instance_refreshes(
    cx: Cx,
    input: DescribeInstanceRefreshesInput,
) -> Result<DescribeInstanceRefreshesOutput, Error> {
    let mut all = cx.read(|tx| {
        let group = record::group(&cx, tx, &input.auto_scaling_group_name)?;
        tx.list::<RefreshRecord>(&group.prefix())
    })?;
    if let Some(ids) = input.instance_refresh_ids.filter(|it| !it.is_empty()) {
        all.retain(|it| ids.contains(&it.id));
    }
    // The newest first.
    let keyed = (all.into_iter())
        .map(|it| (format!("{:020}", i64::MAX - it.number), it))
        .collect();
    let token = input.next_token.as_deref();
    let (all, next_token) = page(keyed, token, input.max_records, MAX)?;
    Ok(DescribeInstanceRefreshesOutput {
        instance_refreshes: Some(all.into_iter().map(RefreshRecord::shown).collect()),
        next_token,
    })
}

/// The next ones go, if it is time. Returns whether something was done.
///
/// Those that were launched for it have to be healthy first, also for load balancers where the group goes by these
/// (User Guide, "How an instance refresh works").
pub fn advance(cx: &Cx, facts: &Facts<'_>) -> Result<bool, Error> {
    let (group, instances) = (facts.group, facts.instances);
    let Some(refresh) = cx.read(|tx| open(tx, group))? else {
        return Ok(false);
    };
    if group.suspends("InstanceRefresh") || group.deleting {
        return Ok(false);
    }
    let capacity: i32 = (instances.iter())
        .filter(|it| it.counts())
        .map(|it| it.units())
        .sum();
    if capacity != group.desired || instances.iter().any(|it| !it.is_settled()) {
        return Ok(false);
    }
    let warmup_s = refresh.preferences.instance_warmup.or(group.warmup_s);
    let warmup = Duration::from_secs(u64::from(
        warmup_s
            .unwrap_or(group.grace_s.clamp(0, WARMUP_S))
            .unsigned_abs(),
    ));
    let warmup_ms = i64::try_from(cx.clock().paced_ms(warmup)).unwrap_or(i64::MAX);
    let since_ms = refresh.rollback_ms.unwrap_or(refresh.start_ms);
    let warms = instances.iter().any(|it| {
        it.launched_ms >= since_ms
            && it
                .in_service_ms
                .is_some_and(|at| cx.clock().now_ms() < at + warmup_ms)
    });
    if warms || !all_serve(facts) {
        return Ok(false);
    }
    let share = WHOLE
        - refresh
            .preferences
            .min_healthy_percentage
            .unwrap_or(MIN_HEALTHY);
    let at_once = usize::try_from(group.desired * share / WHOLE)
        .unwrap_or(0)
        .max(1);
    cx.write(|tx| {
        let Some(mut refresh) = open(tx, group)? else {
            return Ok(());
        };
        let Some(mut group) = tx.get::<GroupRecord>(&group.key())? else {
            return Ok(());
        };
        let mut gone = 0;
        while gone < at_once && !refresh.left.is_empty() {
            let serial = refresh.left.remove(0);
            let found = tx.get::<InstanceRecord>(&format!("{}{serial:012}", group.prefix()))?;
            let Some(mut it) = found.filter(|it| !it.is_terminating()) else {
                continue;
            };
            if it.counts() {
                group.replacing += 1;
            }
            steps::leave(cx, tx, &mut group, &mut it, Why::Refresh)?;
            tx.put(&it)?;
            gone += 1;
        }
        if gone == 0 {
            refresh.status = match refresh.status {
                InstanceRefreshStatus::RollbackInProgress => {
                    InstanceRefreshStatus::RollbackSuccessful
                }
                _ => InstanceRefreshStatus::Successful,
            };
            refresh.end_ms = Some(cx.clock().now_ms());
        }
        tx.put(&refresh)?;
        tx.put(&group)
    })?;
    Ok(true)
}
