//! Processes that may be suspended, metrics that are asked for, and what there is of each.

use cloud::{Cx, Error};
use shapes::autoscaling::*;

use crate::page::{MAX, page};
use crate::plan::{LAUNCHING, TERMINATING};
use crate::record::{self, ConfigurationRecord, GroupRecord};
use crate::rules::invalid;
use crate::victims;

pub const PROCESSES: &[&str] = &[
    "AZRebalance",
    "AddToLoadBalancer",
    "AlarmNotification",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
];

const METRICS: &[&str] = &[
    "GroupAndWarmPoolDesiredCapacity",
    "GroupAndWarmPoolTotalCapacity",
    "GroupDesiredCapacity",
    "GroupInServiceCapacity",
    "GroupInServiceInstances",
    "GroupMaxSize",
    "GroupMinSize",
    "GroupPendingCapacity",
    "GroupPendingInstances",
    "GroupStandbyCapacity",
    "GroupStandbyInstances",
    "GroupTerminatingCapacity",
    "GroupTerminatingInstances",
    "GroupTotalCapacity",
    "GroupTotalInstances",
    "WarmPoolDesiredCapacity",
    "WarmPoolMinSize",
    "WarmPoolPendingCapacity",
    "WarmPoolTerminatingCapacity",
    "WarmPoolTotalCapacity",
    "WarmPoolWarmedCapacity",
];

/// Quotas of an account (Amazon EC2 Auto Scaling quotas).
const GROUPS_MAX: i32 = 500;
const CONFIGURATIONS_MAX: i32 = 200;

/// Those that are named, or all.
fn named(given: Option<Vec<String>>) -> Result<Vec<String>, Error> {
    let given = given.unwrap_or_default();
    if let Some(other) = given.iter().find(|it| !PROCESSES.contains(&it.as_str())) {
        return Err(invalid(format!("Invalid process name: {other}")));
    }
    Ok(match given.is_empty() {
        true => PROCESSES.iter().map(|it| (*it).to_owned()).collect(),
        false => given,
    })
}

pub async fn suspend_processes(
    cx: Cx,
    input: SuspendProcessesInput,
) -> Result<SuspendProcessesOutput, Error> {
    let names = named(input.scaling_processes)?;
    let why = format!("User suspended at {}", record::at(cx.clock().now_ms()));
    cx.write(|tx| {
        let mut group = record::living_group(&cx, tx, &input.auto_scaling_group_name)?;
        for name in names {
            group.suspended.entry(name).or_insert_with(|| why.clone());
        }
        tx.put(&group)?;
        Ok(SuspendProcessesOutput {})
    })
}

pub async fn resume_processes(
    cx: Cx,
    input: ResumeProcessesInput,
) -> Result<ResumeProcessesOutput, Error> {
    let names = named(input.scaling_processes)?;
    cx.write(|tx| {
        let mut group = record::living_group(&cx, tx, &input.auto_scaling_group_name)?;
        group.suspended.retain(|name, _| !names.contains(name));
        tx.put(&group)?;
        Ok(ResumeProcessesOutput {})
    })
}

fn metrics(given: Option<Vec<String>>) -> Result<Vec<String>, Error> {
    let given = given.unwrap_or_default();
    if let Some(other) = given.iter().find(|it| !METRICS.contains(&it.as_str())) {
        return Err(invalid(format!("Invalid metric: {other}")));
    }
    Ok(match given.is_empty() {
        true => METRICS.iter().map(|it| (*it).to_owned()).collect(),
        false => given,
    })
}

pub async fn enable_metrics_collection(
    cx: Cx,
    input: EnableMetricsCollectionInput,
) -> Result<EnableMetricsCollectionOutput, Error> {
    if input.granularity != "1Minute" {
        return Err(invalid("The only valid Granularity is 1Minute"));
    }
    let names = metrics(input.metrics)?;
    cx.write(|tx| {
        let mut group = record::living_group(&cx, tx, &input.auto_scaling_group_name)?;
        group.metrics.extend(names);
        group.metrics.sort();
        group.metrics.dedup();
        tx.put(&group)?;
        Ok(EnableMetricsCollectionOutput {})
    })
}

pub async fn disable_metrics_collection(
    cx: Cx,
    input: DisableMetricsCollectionInput,
) -> Result<DisableMetricsCollectionOutput, Error> {
    let names = metrics(input.metrics)?;
    cx.write(|tx| {
        let mut group = record::living_group(&cx, tx, &input.auto_scaling_group_name)?;
        group.metrics.retain(|it| !names.contains(it));
        tx.put(&group)?;
        Ok(DisableMetricsCollectionOutput {})
    })
}

pub async fn describe_metric_collection_types(
    _cx: Cx,
    _input: DescribeMetricCollectionTypesInput,
) -> Result<DescribeMetricCollectionTypesOutput, Error> {
    let metric = |it: &&str| MetricCollectionType {
        metric: Some((*it).to_owned()),
    };
    Ok(DescribeMetricCollectionTypesOutput {
        metrics: Some(METRICS.iter().map(metric).collect()),
        granularities: Some(vec![MetricGranularityType {
            granularity: Some("1Minute".to_owned()),
        }]),
    })
}

pub async fn describe_scaling_process_types(
    _cx: Cx,
    _input: DescribeScalingProcessTypesInput,
) -> Result<DescribeScalingProcessTypesOutput, Error> {
    let process = |it: &&str| ProcessType {
        process_name: (*it).to_owned(),
    };
    Ok(DescribeScalingProcessTypesOutput {
        processes: Some(PROCESSES.iter().map(process).collect()),
    })
}

pub async fn describe_termination_policy_types(
    _cx: Cx,
    _input: DescribeTerminationPolicyTypesInput,
) -> Result<DescribeTerminationPolicyTypesOutput, Error> {
    Ok(DescribeTerminationPolicyTypesOutput {
        termination_policy_types: Some(
            victims::POLICIES
                .iter()
                .map(|it| (*it).to_owned())
                .collect(),
        ),
    })
}

pub async fn describe_adjustment_types(
    _cx: Cx,
    _input: DescribeAdjustmentTypesInput,
) -> Result<DescribeAdjustmentTypesOutput, Error> {
    let all = [
        "ChangeInCapacity",
        "ExactCapacity",
        "PercentChangeInCapacity",
    ];
    let kind = |it: &str| AdjustmentType {
        adjustment_type: Some(it.to_owned()),
    };
    Ok(DescribeAdjustmentTypesOutput {
        adjustment_types: Some(all.into_iter().map(kind).collect()),
    })
}

pub async fn describe_lifecycle_hook_types(
    _cx: Cx,
    _input: DescribeLifecycleHookTypesInput,
) -> Result<DescribeLifecycleHookTypesOutput, Error> {
    Ok(DescribeLifecycleHookTypesOutput {
        lifecycle_hook_types: Some(vec![LAUNCHING.to_owned(), TERMINATING.to_owned()]),
    })
}

pub async fn describe_account_limits(
    cx: Cx,
    _input: DescribeAccountLimitsInput,
) -> Result<DescribeAccountLimitsOutput, Error> {
    let (groups, configurations) = cx.read(|tx| {
        let groups = tx.count::<GroupRecord>(&cx.key(""))?;
        Ok((groups, tx.count::<ConfigurationRecord>(&cx.key(""))?))
    })?;
    let count = |it: usize| Some(i32::try_from(it).unwrap_or(i32::MAX));
    Ok(DescribeAccountLimitsOutput {
        max_number_of_auto_scaling_groups: Some(GROUPS_MAX),
        max_number_of_launch_configurations: Some(CONFIGURATIONS_MAX),
        number_of_auto_scaling_groups: count(groups),
        number_of_launch_configurations: count(configurations),
    })
}

/// No group has a warm pool: none can be made.
pub async fn describe_warm_pool(
    cx: Cx,
    input: DescribeWarmPoolInput,
) -> Result<DescribeWarmPoolOutput, Error> {
    cx.read(|tx| record::group(&cx, tx, &input.auto_scaling_group_name))?;
    let none = Vec::<(String, Instance)>::new();
    let (instances, next_token) = page(none, input.next_token.as_deref(), input.max_records, MAX)?;
    Ok(DescribeWarmPoolOutput {
        warm_pool_configuration: None,
        instances: Some(instances),
        next_token,
    })
}
