//! Lifecycle hooks: an instance waits on its way until somebody says that it may go on, or for as long as it is
//! waited at most.

use std::time::Duration;

use cloud::{Cx, Error, Records};
use shapes::autoscaling::errors::LimitExceededFault;
use shapes::autoscaling::*;

use crate::activity;
use crate::plan::{LAUNCHING, TERMINATING};
use crate::record::{self, GroupRecord, HookRecord, HookWait, InstanceRecord};
use crate::rules::invalid;

/// The default, and the bounds (API reference, "PutLifecycleHook").
const HEARTBEAT_S: i32 = 3600;
const HEARTBEATS_S: std::ops::RangeInclusive<i32> = 30..=7200;
/// However often it is put off, waiting ends after a hundred times of it, or after 48 hours.
const HEARTBEATS_MAX: i32 = 100;
const GLOBAL_MAX_S: i32 = 48 * 3600;
/// Of one group (Amazon EC2 Auto Scaling quotas).
const HOOKS_MAX: usize = 50;

fn made(group: (&str, &str), given: LifecycleHookSpecification) -> Result<HookRecord, Error> {
    let transition = given.lifecycle_transition;
    if transition != LAUNCHING && transition != TERMINATING {
        return Err(invalid(format!(
            "Lifecycle Transition {transition} is not valid; it is {LAUNCHING} or {TERMINATING}"
        )));
    }
    let heartbeat_s = given.heartbeat_timeout.unwrap_or(HEARTBEAT_S);
    if !HEARTBEATS_S.contains(&heartbeat_s) {
        return Err(invalid(
            "HeartbeatTimeout must be between 30 and 7200 seconds",
        ));
    }
    let default_result = given.default_result.unwrap_or_else(|| "ABANDON".to_owned());
    check_result(&default_result)?;
    Ok(HookRecord {
        region: group.0.to_owned(),
        group: group.1.to_owned(),
        name: given.lifecycle_hook_name,
        transition,
        role_arn: given.role_arn,
        metadata: given.notification_metadata,
        heartbeat_s,
        default_result,
    })
}

fn check_result(given: &str) -> Result<(), Error> {
    match given {
        "CONTINUE" | "ABANDON" => Ok(()),
        _ => Err(invalid(
            "Lifecycle action result must be CONTINUE or ABANDON",
        )),
    }
}

/// Those that a group is made with.
pub fn specified(
    group: &GroupRecord,
    given: Option<Vec<LifecycleHookSpecification>>,
) -> Result<Vec<HookRecord>, Error> {
    let given = given.unwrap_or_default().into_iter();
    given
        .map(|it| made((&group.region, &group.name), it))
        .collect()
}

pub async fn put_lifecycle_hook(
    cx: Cx,
    input: PutLifecycleHookInput,
) -> Result<PutLifecycleHookOutput, Error> {
    cx.write(|tx| {
        let group = record::living_group(&cx, tx, &input.auto_scaling_group_name)?;
        let there =
            tx.get::<HookRecord>(&format!("{}{}", group.prefix(), input.lifecycle_hook_name))?;
        if there.is_none() && tx.count::<HookRecord>(&group.prefix())? >= HOOKS_MAX {
            return Err(LimitExceededFault.because(format!(
                "There are {HOOKS_MAX} lifecycle hooks for this AutoScalingGroup already"
            )));
        }
        let before = there.as_ref();
        let transition = input
            .lifecycle_transition
            .or(before.map(|it| it.transition.clone()));
        let transition = transition.ok_or_else(|| {
            invalid("LifecycleTransition is required for a lifecycle hook that is not there yet")
        })?;
        let given = LifecycleHookSpecification {
            lifecycle_hook_name: input.lifecycle_hook_name,
            lifecycle_transition: transition,
            notification_metadata: input
                .notification_metadata
                .or(before.and_then(|it| it.metadata.clone())),
            heartbeat_timeout: input.heartbeat_timeout.or(before.map(|it| it.heartbeat_s)),
            default_result: input
                .default_result
                .or(before.map(|it| it.default_result.clone())),
            role_arn: input.role_arn.or(before.and_then(|it| it.role_arn.clone())),
        };
        tx.put(&made((&group.region, &group.name), given)?)?;
        Ok(PutLifecycleHookOutput {})
    })
}

pub async fn delete_lifecycle_hook(
    cx: Cx,
    input: DeleteLifecycleHookInput,
) -> Result<DeleteLifecycleHookOutput, Error> {
    cx.write(|tx| {
        let group = record::group(&cx, tx, &input.auto_scaling_group_name)?;
        let key = format!("{}{}", group.prefix(), input.lifecycle_hook_name);
        if !tx.delete::<HookRecord>(&key)? {
            return Err(invalid("No Lifecycle Hook found with the given name"));
        }
        // Whoever waits for it is let go on, or not, by what it said: it is not put off any more.
        for mut it in record::instances(tx, &group)? {
            let waits = it
                .hook
                .as_ref()
                .is_some_and(|hook| hook.name == input.lifecycle_hook_name);
            if let Some(hook) = it.hook.as_mut().filter(|_| waits) {
                hook.goes_on.get_or_insert(hook.default_goes_on);
                tx.put(&it)?;
            }
        }
        tx.put(&group)?;
        Ok(DeleteLifecycleHookOutput {})
    })
}

fn global_s(heartbeat_s: i32) -> i32 {
    heartbeat_s.saturating_mul(HEARTBEATS_MAX).min(GLOBAL_MAX_S)
}

pub async fn describe_lifecycle_hooks(
    cx: Cx,
    input: DescribeLifecycleHooksInput,
) -> Result<DescribeLifecycleHooksOutput, Error> {
    let mut all = cx.read(|tx| {
        let group = record::group(&cx, tx, &input.auto_scaling_group_name)?;
        tx.list::<HookRecord>(&group.prefix())
    })?;
    if let Some(names) = input.lifecycle_hook_names.filter(|it| !it.is_empty()) {
        all.retain(|it| names.contains(&it.name));
    }
    let shown = |it: HookRecord| LifecycleHook {
        lifecycle_hook_name: Some(it.name),
        auto_scaling_group_name: Some(it.group),
        lifecycle_transition: Some(it.transition),
        notification_target_arn: None,
        role_arn: it.role_arn,
        notification_metadata: it.metadata,
        heartbeat_timeout: Some(it.heartbeat_s),
        global_timeout: Some(global_s(it.heartbeat_s)),
        default_result: Some(it.default_result),
    };
    Ok(DescribeLifecycleHooksOutput {
        lifecycle_hooks: Some(all.into_iter().map(shown).collect()),
    })
}

/// The instance waits from now on.
pub fn hold(cx: &Cx, group: &GroupRecord, serial: i64, hook: &str) -> Result<(), Error> {
    cx.write(|tx| {
        let key = format!("{}{serial:012}", group.prefix());
        let hook = tx.get::<HookRecord>(&format!("{}{hook}", group.prefix()))?;
        let (Some(mut it), Some(hook)) = (tx.get::<InstanceRecord>(&key)?, hook) else {
            return Ok(());
        };
        let now_ms = cx.clock().now_ms();
        it.state = match it.is_terminating() {
            true => LifecycleState::TerminatingWait,
            false => LifecycleState::PendingWait,
        };
        it.hook = Some(HookWait {
            deadline_ms: now_ms + paced_ms(cx, hook.heartbeat_s),
            last_ms: now_ms + paced_ms(cx, global_s(hook.heartbeat_s)),
            heartbeat_s: hook.heartbeat_s,
            default_goes_on: hook.default_result == "CONTINUE",
            token: cloud::uuid(&cloud::random_hex(32)),
            name: hook.name,
            goes_on: None,
        });
        if let Some(number) = it.activity {
            activity::change(tx, group, number, |it| {
                it.status = ScalingActivityStatusCode::MidLifecycleAction;
            })?;
        }
        tx.put(&it)
    })
}

/// Somebody works while the instance waits: that takes no less time because waits are compressed.
fn paced_ms(cx: &Cx, seconds: i32) -> i64 {
    let documented = Duration::from_secs(u64::from(seconds.unsigned_abs()));
    let paced = cx
        .clock()
        .paced(documented)
        .max(cx.clock().patience(documented));
    i64::try_from(paced.as_millis()).unwrap_or(i64::MAX)
}

/// The one that waits for the hook, by its token or its id.
fn waiting(
    tx: &Records<'_>,
    group: &GroupRecord,
    hook: &str,
    by: (Option<&str>, Option<&str>),
) -> Result<InstanceRecord, Error> {
    let (token, id) = by;
    if token.is_none() && id.is_none() {
        return Err(invalid(
            "Either LifecycleActionToken or InstanceId must be specified",
        ));
    }
    let mut all = record::instances(tx, group)?.into_iter();
    let found = all.find(|it| {
        let waits = it.hook.as_ref().filter(|it| it.name == hook);
        waits.is_some_and(|it| token.is_none_or(|token| it.token == token))
            && id.is_none_or(|id| it.id.as_deref() == Some(id))
    });
    found.ok_or_else(|| match (token, id) {
        (_, Some(id)) => invalid(format!(
            "No active Lifecycle Action found with instance ID {id}"
        )),
        (token, None) => invalid(format!(
            "No active Lifecycle Action found with token {}",
            token.unwrap_or_default()
        )),
    })
}

pub async fn complete_lifecycle_action(
    cx: Cx,
    input: CompleteLifecycleActionInput,
) -> Result<CompleteLifecycleActionOutput, Error> {
    check_result(&input.lifecycle_action_result)?;
    let by = (
        input.lifecycle_action_token.as_deref(),
        input.instance_id.as_deref(),
    );
    cx.write(|tx| {
        let group = record::group(&cx, tx, &input.auto_scaling_group_name)?;
        let mut it = waiting(tx, &group, &input.lifecycle_hook_name, by)?;
        if let Some(hook) = &mut it.hook {
            hook.goes_on = Some(input.lifecycle_action_result == "CONTINUE");
        }
        tx.put(&it)?;
        tx.put(&group)?;
        Ok(CompleteLifecycleActionOutput {})
    })
}

pub async fn record_lifecycle_action_heartbeat(
    cx: Cx,
    input: RecordLifecycleActionHeartbeatInput,
) -> Result<RecordLifecycleActionHeartbeatOutput, Error> {
    let by = (
        input.lifecycle_action_token.as_deref(),
        input.instance_id.as_deref(),
    );
    cx.write(|tx| {
        let group = record::group(&cx, tx, &input.auto_scaling_group_name)?;
        let mut it = waiting(tx, &group, &input.lifecycle_hook_name, by)?;
        if let Some(hook) = &mut it.hook {
            hook.deadline_ms = cx.clock().now_ms() + paced_ms(&cx, hook.heartbeat_s);
        }
        tx.put(&it)?;
        Ok(RecordLifecycleActionHeartbeatOutput {})
    })
}
