//! `AutoScalingRollingUpdate` (CloudFormation User Guide, "UpdatePolicy attribute"): what a changed group launches
//! otherwise is replaced, some at a time, by an instance refresh.

use cloud::{Cx, ResourceError, Stability};
use serde_json::Value as Json;
use shapes::autoscaling::errors::{
    ActiveInstanceRefreshNotFoundFault, InstanceRefreshInProgressFault,
};
use shapes::autoscaling::*;

use super::group::{is_true, text_of, texts};

/// Properties whose change makes instances others than what the group would launch.
pub const REPLACES: &[&str] = &[
    "LaunchConfigurationName",
    "LaunchTemplate",
    "MixedInstancesPolicy",
    "VPCZoneIdentifier",
];
const WHOLE: i32 = 100;

pub fn refuse(policy: &Json) -> Result<(), String> {
    if is_true(&policy["WaitOnResourceSignals"]) {
        return Err(
            "WaitOnResourceSignals of AutoScalingRollingUpdate is not supported by neargate".into(),
        );
    }
    match pause_s(policy) {
        Some(_) => Ok(()),
        None => Err("PauseTime must be an ISO 8601 duration of at most one hour, as PT5M".into()),
    }
}

/// `PT5M30S`, in seconds; none at all is no pause.
fn pause_s(policy: &Json) -> Option<i32> {
    const LONGEST: i32 = 3600;
    let Some(text) = text_of(&policy["PauseTime"]) else {
        return Some(0);
    };
    let mut rest = text.strip_prefix("PT").filter(|it| !it.is_empty())?;
    let mut seconds: i32 = 0;
    for (unit, length) in [('H', 3600), ('M', 60), ('S', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            seconds = number
                .parse::<i32>()
                .ok()?
                .checked_mul(length)?
                .checked_add(seconds)?;
            rest = after;
        }
    }
    (rest.is_empty() && (0..=LONGEST).contains(&seconds)).then_some(seconds)
}

fn number(policy: &Json, name: &str, usual: i32) -> i32 {
    let given = text_of(&policy[name]).and_then(|it| it.parse().ok());
    given.unwrap_or(usual)
}

/// How much of the group serves all the time: all but a batch, and no fewer than are to.
fn healthy_percentage(policy: &Json, desired: i32) -> i32 {
    let least = number(policy, "MinInstancesInService", 0);
    let batch = number(policy, "MaxBatchSize", 1);
    let kept = (desired - batch).max(least).clamp(0, desired.max(0));
    match desired {
        0 => WHOLE,
        // A whole group that serves all the time would never be replaced: one goes after the other.
        _ => (kept * WHOLE / desired).min(WHOLE - 1),
    }
}

fn processes(id: &str, policy: &Json) -> Option<SuspendProcessesInput> {
    let names = texts(policy, "SuspendProcesses");
    (!names.is_empty()).then(|| SuspendProcessesInput {
        auto_scaling_group_name: id.to_owned(),
        scaling_processes: Some(names),
    })
}

pub async fn start(cx: &Cx, id: &str, policy: &Json) -> Result<(), ResourceError> {
    if policy.is_null() {
        return Ok(());
    }
    if let Some(input) = processes(id, policy) {
        cx.call(input).await?;
    }
    let described = cx.call(DescribeAutoScalingGroupsInput {
        auto_scaling_group_names: Some(vec![id.to_owned()]),
        ..Default::default()
    });
    let groups = described.await?.auto_scaling_groups;
    let desired = groups.first().map_or(0, |it| it.desired_capacity);
    let input = StartInstanceRefreshInput {
        auto_scaling_group_name: id.to_owned(),
        preferences: Some(RefreshPreferences {
            min_healthy_percentage: Some(healthy_percentage(policy, desired)),
            instance_warmup: pause_s(policy),
            skip_matching: Some(true),
            scale_in_protected_instances: Some(ScaleInProtectedInstances::Refresh),
            standby_instances: Some(StandbyInstances::Ignore),
        }),
        desired_configuration: None,
    };
    match cx.call(input).await {
        Err(error) if !error.is(InstanceRefreshInProgressFault) => Err(error.into()),
        _ => Ok(()),
    }
}

/// One that is under way for what is wanted no longer.
pub async fn stop(cx: &Cx, id: &str) -> Result<(), ResourceError> {
    let input = CancelInstanceRefreshInput {
        auto_scaling_group_name: id.to_owned(),
    };
    match cx.call(input).await {
        Err(error) if !error.is(ActiveInstanceRefreshNotFoundFault) => Err(error.into()),
        _ => Ok(()),
    }
}

/// What the newest refresh says, unless it is done or there is none.
pub async fn stability(cx: &Cx, id: &str) -> Result<Option<Stability>, ResourceError> {
    let input = DescribeInstanceRefreshesInput {
        auto_scaling_group_name: id.to_owned(),
        max_records: Some(1),
        ..Default::default()
    };
    let newest = cx.call(input).await?.instance_refreshes;
    let Some(newest) = newest.into_iter().flatten().next() else {
        return Ok(None);
    };
    Ok(match newest.status {
        Some(InstanceRefreshStatus::Pending | InstanceRefreshStatus::InProgress) => {
            let left = newest.instances_to_update.unwrap_or_default();
            Some(Stability::Waiting(format!(
                "{left} instances are still to be replaced"
            )))
        }
        Some(InstanceRefreshStatus::Failed) => {
            let why = newest.status_reason.unwrap_or_default();
            Some(Stability::Failed(format!("Rolling update failed: {why}")))
        }
        _ => None,
    })
}

/// Processes that were suspended for the update go on.
pub async fn end(cx: &Cx, id: &str, policy: &Json) -> Result<(), ResourceError> {
    if let Some(suspended) = processes(id, policy) {
        cx.call(ResumeProcessesInput {
            auto_scaling_group_name: suspended.auto_scaling_group_name,
            scaling_processes: suspended.scaling_processes,
        })
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_says_how_many_go_at_once_and_how_long_each_is_waited_for() {
        for (policy, desired, percentage) in [
            (json!({}), 4, 75),
            (json!({"MaxBatchSize": "2"}), 4, 50),
            (
                json!({"MaxBatchSize": 2, "MinInstancesInService": 3}),
                4,
                75,
            ),
            (json!({"MinInstancesInService": "4"}), 4, 99),
            (json!({}), 1, 0),
            (json!({}), 0, 100),
        ] {
            assert_eq!(healthy_percentage(&policy, desired), percentage, "{policy}");
        }
        for (time, seconds) in [
            ("PT1M30S", Some(90)),
            ("PT1H", Some(3600)),
            ("PT61M", None),
            ("5M", None),
            ("PT", None),
        ] {
            assert_eq!(pause_s(&json!({ "PauseTime": time })), seconds, "{time}");
        }
        assert!(refuse(&json!({"WaitOnResourceSignals": "true"})).is_err());
        assert!(refuse(&json!({"WaitOnResourceSignals": false})).is_ok());
    }
}
