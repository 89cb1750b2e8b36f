//! What a policy may be, and what is refused by name.

use cloud::{Cx, Error};
use scaling::tracking::split_label;
use shapes::application_autoscaling::*;
use shapes::ecs::DescribeServicesInput;

use crate::target::invalid;
use crate::tracking::metric;

/// A policy has the configuration of its type, and no other.
pub async fn check(cx: &Cx, input: &PutScalingPolicyInput, kind: PolicyType) -> Result<(), Error> {
    let step = &input.step_scaling_policy_configuration;
    let tracking = &input.target_tracking_scaling_policy_configuration;
    if kind == PolicyType::PredictiveScaling {
        return Err(shapes::application_autoscaling::MODEL.unsupported(kind));
    }
    match (kind, step, tracking) {
        (PolicyType::StepScaling, Some(step), None) => check_steps(step),
        (PolicyType::TargetTrackingScaling, None, Some(tracking)) => {
            check_tracking(cx, &input.resource_id, tracking).await
        }
        _ => Err(invalid(format!(
            "A policy of the type {kind} has exactly the configuration of this type"
        ))),
    }
}

fn check_cooldown(seconds: Option<i32>, name: &str) -> Result<(), Error> {
    match seconds {
        Some(seconds) if seconds < 0 => Err(invalid(format!("{name} must not be negative"))),
        _ => Ok(()),
    }
}

/// Steps lie beside each other without gaps (User Guide, "Step adjustments").
fn check_steps(step: &StepScalingPolicyConfiguration) -> Result<(), Error> {
    check_cooldown(step.cooldown, "Cooldown")?;
    if step.adjustment_type.is_none() {
        return Err(invalid("AdjustmentType is required"));
    }
    if !matches!(
        step.metric_aggregation_type,
        None | Some(MetricAggregationType::Average)
    ) {
        return Err(invalid(
            "MetricAggregationType is not supported by neargate: the alarm's own statistic counts; leave it out",
        ));
    }
    if step.min_adjustment_magnitude.is_some()
        && step.adjustment_type != Some(AdjustmentType::PercentChangeInCapacity)
    {
        return Err(invalid(
            "MinAdjustmentMagnitude is for the adjustment type PercentChangeInCapacity only",
        ));
    }
    let mut steps = step.step_adjustments.clone().unwrap_or_default();
    if steps.is_empty() {
        return Err(invalid("At least one StepAdjustment is required"));
    }
    let lower = |it: &StepAdjustment| it.metric_interval_lower_bound.unwrap_or(f64::NEG_INFINITY);
    let upper = |it: &StepAdjustment| it.metric_interval_upper_bound.unwrap_or(f64::INFINITY);
    if steps.iter().any(|it| lower(it) >= upper(it)) {
        return Err(invalid(
            "MetricIntervalLowerBound must be less than MetricIntervalUpperBound",
        ));
    }
    steps.sort_by(|a, b| lower(a).total_cmp(&lower(b)));
    if steps.windows(2).any(|it| upper(&it[0]) != lower(&it[1])) {
        return Err(invalid(
            "There must not be a gap or an overlap between step adjustment intervals",
        ));
    }
    Ok(())
}

async fn check_tracking(
    cx: &Cx,
    resource_id: &str,
    tracking: &TargetTrackingScalingPolicyConfiguration,
) -> Result<(), Error> {
    check_cooldown(tracking.scale_out_cooldown, "ScaleOutCooldown")?;
    check_cooldown(tracking.scale_in_cooldown, "ScaleInCooldown")?;
    if !tracking.target_value.is_finite() || tracking.target_value <= 0.0 {
        return Err(invalid("TargetValue must be greater than 0"));
    }
    metric(resource_id, tracking)?;
    let label = (tracking.predefined_metric_specification.as_ref())
        .filter(|it| it.predefined_metric_type == MetricType::ALBRequestCountPerTarget)
        .and_then(|it| it.resource_label.as_deref())
        .and_then(split_label);
    match label {
        Some((_, group)) => check_group(cx, resource_id, group).await,
        None => Ok(()),
    }
}

/// The service is to be behind the target group whose requests it is scaled by.
async fn check_group(cx: &Cx, resource_id: &str, group: &str) -> Result<(), Error> {
    let mut parts = resource_id.split('/').skip(1).map(str::to_owned);
    let input = DescribeServicesInput {
        cluster: parts.next(),
        services: parts.collect(),
        ..Default::default()
    };
    let services = cx.call(input).await?.services.unwrap_or_default();
    let mut groups = services
        .iter()
        .flat_map(|it| it.load_balancers.iter().flatten())
        .filter_map(|it| it.target_group_arn.as_deref());
    if groups.any(|it| it.ends_with(&format!(":{group}"))) {
        return Ok(());
    }
    Err(invalid(format!(
        "The target group in ResourceLabel ({group}) is not attached to {resource_id}"
    )))
}
