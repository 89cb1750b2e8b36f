//! The two alarms of a policy that tracks a target.

use cloud::Error;
use shapes::application_autoscaling::*;
use shapes::cloudwatch::{
    ComparisonOperator, Dimension, Metric, MetricDataQuery, MetricStat, PutMetricAlarmInput,
    Statistic,
};

use crate::policy::PolicyRecord;
use crate::target::invalid;

/// Out after three minutes, in after fifteen, and in only below nine tenths of the target: as the
/// alarms are that AWS makes for ECS services.
const OUT_PERIODS: i32 = 3;
const IN_PERIODS: i32 = 15;
const IN_FACTOR: f64 = 0.9;
const PERIOD_S: i32 = 60;

/// The parts of `app/<name>/<id>/targetgroup/<name>/<id>`: balancer and target group.
pub fn split_label(label: &str) -> Option<(&str, &str)> {
    let at = label.find("/targetgroup/")?;
    let (balancer, group) = (&label[..at], &label[at + 1..]);
    let well_formed = balancer.starts_with("app/")
        && balancer.split('/').count() == 3
        && group.split('/').count() == 3;
    well_formed.then_some((balancer, group))
}

pub fn alarms(
    policy: &PolicyRecord,
    tracking: &TargetTrackingScalingPolicyConfiguration,
) -> Result<Vec<PutMetricAlarmInput>, Error> {
    let metric = metric(&policy.resource_id, tracking)?;
    let alarm = |name: String| PutMetricAlarmInput {
        alarm_name: name,
        alarm_description: Some(format!(
            "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {}.",
            policy.arn()
        )),
        actions_enabled: Some(true),
        alarm_actions: Some(vec![policy.arn()]),
        ..metric.clone()
    };
    let mut all = vec![PutMetricAlarmInput {
        comparison_operator: Some(ComparisonOperator::GreaterThanThreshold),
        threshold: Some(tracking.target_value),
        evaluation_periods: Some(OUT_PERIODS),
        ..alarm(policy.alarm_high())
    }];
    if tracking.disable_scale_in != Some(true) {
        all.push(PutMetricAlarmInput {
            comparison_operator: Some(ComparisonOperator::LessThanThreshold),
            threshold: Some(tracking.target_value * IN_FACTOR),
            evaluation_periods: Some(IN_PERIODS),
            ..alarm(policy.alarm_low())
        });
    }
    Ok(all)
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
        (None, Some(it)) => customized_metric(it),
        _ => Err(invalid(
            "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be specified",
        )),
    }
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn predefined_metric(
    resource_id: &str,
    given: &PredefinedMetricSpecification,
) -> Result<PutMetricAlarmInput, Error> {
    let one =
        |namespace: &str, name: &str, statistic, dimensions: [Dimension; 2]| PutMetricAlarmInput {
            namespace: Some(namespace.into()),
            metric_name: Some(name.into()),
            statistic: Some(statistic),
            dimensions: Some(dimensions.to_vec()),
            period: Some(PERIOD_S),
            ..Default::default()
        };
    let service = || {
        let mut parts = resource_id.split('/').skip(1);
        let (cluster, service) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        [
            dimension("ClusterName", cluster),
            dimension("ServiceName", service),
        ]
    };
    match given.predefined_metric_type {
        MetricType::ECSServiceAverageCPUUtilization => Ok(one(
            "AWS/ECS",
            "CPUUtilization",
            Statistic::Average,
            service(),
        )),
        MetricType::ECSServiceAverageMemoryUtilization => Ok(one(
            "AWS/ECS",
            "MemoryUtilization",
            Statistic::Average,
            service(),
        )),
        MetricType::ALBRequestCountPerTarget => {
            let label = given.resource_label.as_deref().unwrap_or_default();
            let (balancer, group) = split_label(label).ok_or_else(|| {
                invalid(format!(
                    "ResourceLabel '{label}' must be of the form app/<load-balancer-name>/<load-balancer-id>/targetgroup/<target-group-name>/<target-group-id>"
                ))
            })?;
            let dimensions = [
                dimension("LoadBalancer", balancer),
                dimension("TargetGroup", group),
            ];
            Ok(one(
                "AWS/ApplicationELB",
                "RequestCountPerTarget",
                Statistic::Sum,
                dimensions,
            ))
        }
        other => Err(invalid(format!(
            "The predefined metric type {other} is not supported by neargate for ECS services"
        ))),
    }
}

fn customized_metric(given: &CustomizedMetricSpecification) -> Result<PutMetricAlarmInput, Error> {
    if let Some(queries) = &given.metrics {
        if given.metric_name.is_some() || given.namespace.is_some() || given.statistic.is_some() {
            return Err(invalid(
                "Metrics cannot be specified together with MetricName, Namespace or Statistic",
            ));
        }
        let queries = queries.iter().map(query).collect::<Result<_, _>>()?;
        return Ok(PutMetricAlarmInput {
            metrics: Some(queries),
            ..Default::default()
        });
    }
    let (Some(name), Some(namespace), Some(statistic)) =
        (&given.metric_name, &given.namespace, given.statistic)
    else {
        return Err(invalid(
            "MetricName, Namespace and Statistic are required in a CustomizedMetricSpecification",
        ));
    };
    let dimensions = given.dimensions.iter().flatten();
    Ok(PutMetricAlarmInput {
        namespace: Some(namespace.clone()),
        metric_name: Some(name.clone()),
        statistic: Some(same_word(statistic.as_str())?),
        dimensions: Some(
            dimensions
                .map(|it| dimension(&it.name, &it.value))
                .collect(),
        ),
        unit: given.unit.as_deref().map(same_word).transpose()?,
        period: Some(PERIOD_S),
        ..Default::default()
    })
}

fn query(given: &TargetTrackingMetricDataQuery) -> Result<MetricDataQuery, Error> {
    let metric_stat = given.metric_stat.as_ref().map(|it| {
        let dimensions = it.metric.dimensions.iter().flatten();
        Ok::<_, Error>(MetricStat {
            metric: Metric {
                namespace: it.metric.namespace.clone(),
                metric_name: it.metric.metric_name.clone(),
                dimensions: Some(
                    dimensions
                        .map(|it| dimension(&it.name, &it.value))
                        .collect(),
                ),
            },
            period: PERIOD_S,
            stat: it.stat.clone(),
            unit: it.unit.as_deref().map(same_word).transpose()?,
        })
    });
    Ok(MetricDataQuery {
        id: given.id.clone(),
        expression: given.expression.clone(),
        label: given.label.clone(),
        metric_stat: metric_stat.transpose()?,
        return_data: given.return_data,
        ..Default::default()
    })
}

/// A word that CloudWatch has, too.
fn same_word<T: std::str::FromStr>(text: &str) -> Result<T, Error>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::split_label;

    #[test]
    fn labels_as_aws_has_them() {
        assert_eq!(
            split_label("app/my-alb/778d41231b141a0f/targetgroup/my-group/943f017f100becff"),
            Some((
                "app/my-alb/778d41231b141a0f",
                "targetgroup/my-group/943f017f100becff"
            ))
        );
        for wrong in [
            "",
            "app/a/b",
            "net/a/b/targetgroup/c/d",
            "app/a/targetgroup/c/d",
        ] {
            assert_eq!(split_label(wrong), None, "{wrong}");
        }
    }
}
