//! What the alarms of a policy that tracks a target watch.

use cloud::Error;
use scaling::tracking::{
    Tracked, customized_metric, dimension, metric_of_aws, requests_per_target,
};
use shapes::application_autoscaling::*;
use shapes::cloudwatch::{PutMetricAlarmInput, Statistic};

use crate::policy::PolicyRecord;
use crate::target::invalid;

pub fn alarms(
    policy: &PolicyRecord,
    tracking: &TargetTrackingScalingPolicyConfiguration,
) -> Result<Vec<PutMetricAlarmInput>, Error> {
    let tracked = Tracked {
        policy_arn: policy.arn(),
        high: policy.alarm_high(),
        low: policy.alarm_low(),
        target: tracking.target_value,
        may_scale_in: tracking.disable_scale_in != Some(true),
    };
    let metric = metric(&policy.resource_id, tracking)?;
    Ok(scaling::tracking::alarms(&tracked, &metric))
}

/// What the alarms watch, as a part of theirs.
pub fn metric(
    resource_id: &str,
    tracking: &TargetTrackingScalingPolicyConfiguration,
) -> Result<PutMetricAlarmInput, Error> {
    let predefined = tracking.predefined_metric_specification.as_ref();
    let customized = tracking.customized_metric_specification.as_ref();
    match (predefined, customized) {
        (Some(it), None) => predefined_metric(resource_id, it),
        (None, Some(it)) => customized_metric(it).map_err(invalid),
        _ => Err(invalid(
            "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be specified",
        )),
    }
}

fn predefined_metric(
    resource_id: &str,
    given: &PredefinedMetricSpecification,
) -> Result<PutMetricAlarmInput, Error> {
    let of_service = |name: &str| {
        let mut parts = resource_id.split('/').skip(1);
        let (cluster, service) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let dimensions = vec![
            dimension("ClusterName", cluster),
            dimension("ServiceName", service),
        ];
        metric_of_aws("AWS/ECS", name, Statistic::Average, dimensions)
    };
    match given.predefined_metric_type {
        MetricType::ECSServiceAverageCPUUtilization => Ok(of_service("CPUUtilization")),
        MetricType::ECSServiceAverageMemoryUtilization => Ok(of_service("MemoryUtilization")),
        MetricType::ALBRequestCountPerTarget => {
            requests_per_target(given.resource_label.as_deref()).map_err(invalid)
        }
        other => Err(invalid(format!(
            "The predefined metric type {other} is not supported by neargate for ECS services"
        ))),
    }
}
