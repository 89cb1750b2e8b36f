//! The two alarms of a policy that tracks a target.

use shapes::application_autoscaling::{
    CustomizedMetricSpecification, TargetTrackingMetricDataQuery,
};
use shapes::cloudwatch::{
    ComparisonOperator, Dimension, Metric, MetricDataQuery, MetricStat, PutMetricAlarmInput,
    Statistic,
};

/// Out after three minutes, in after fifteen, and in only below nine tenths of the target: as the
/// alarms are that AWS makes.
const OUT_PERIODS: i32 = 3;
const IN_PERIODS: i32 = 15;
const IN_FACTOR: f64 = 0.9;
const PERIOD_S: i32 = 60;

/// A policy, and what its alarms are called.
#[derive(Debug, Clone)]
pub struct Tracked {
    pub policy_arn: String,
    pub high: String,
    pub low: String,
    pub target: f64,
    pub may_scale_in: bool,
}

/// The alarms that watch `metric` for the policy.
pub fn alarms(policy: &Tracked, metric: &PutMetricAlarmInput) -> Vec<PutMetricAlarmInput> {
    let alarm = |name: &String| PutMetricAlarmInput {
        alarm_name: name.clone(),
        alarm_description: Some(format!(
            "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {}.",
            policy.policy_arn
        )),
        actions_enabled: Some(true),
        alarm_actions: Some(vec![policy.policy_arn.clone()]),
        ..metric.clone()
    };
    let mut all = vec![PutMetricAlarmInput {
        comparison_operator: Some(ComparisonOperator::GreaterThanThreshold),
        threshold: Some(policy.target),
        evaluation_periods: Some(OUT_PERIODS),
        ..alarm(&policy.high)
    }];
    if policy.may_scale_in {
        all.push(PutMetricAlarmInput {
            comparison_operator: Some(ComparisonOperator::LessThanThreshold),
            threshold: Some(policy.target * IN_FACTOR),
            evaluation_periods: Some(IN_PERIODS),
            ..alarm(&policy.low)
        });
    }
    all
}

/// The parts of `app/<name>/<id>/targetgroup/<name>/<id>`: balancer and target group.
pub fn split_label(label: &str) -> Option<(&str, &str)> {
    let at = label.find("/targetgroup/")?;
    let (balancer, group) = (&label[..at], &label[at + 1..]);
    let well_formed = balancer.starts_with("app/")
        && balancer.split('/').count() == 3
        && group.split('/').count() == 3;
    well_formed.then_some((balancer, group))
}

pub fn dimension(name: &str, value: &str) -> Dimension {
    Dimension {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// A metric of AWS's own, a minute at a time.
pub fn metric_of_aws(
    namespace: &str,
    name: &str,
    statistic: Statistic,
    dimensions: Vec<Dimension>,
) -> PutMetricAlarmInput {
    PutMetricAlarmInput {
        namespace: Some(namespace.into()),
        metric_name: Some(name.into()),
        statistic: Some(statistic),
        dimensions: Some(dimensions),
        period: Some(PERIOD_S),
        ..Default::default()
    }
}

/// The requests for each target of the group that a label names; or what is wrong with the label.
pub fn requests_per_target(label: Option<&str>) -> Result<PutMetricAlarmInput, String> {
    let label = label.unwrap_or_default();
    let (balancer, group) = split_label(label).ok_or_else(|| {
        format!(
            "ResourceLabel '{label}' must be of the form app/<load-balancer-name>/<load-balancer-id>/targetgroup/<target-group-name>/<target-group-id>"
        )
    })?;
    let dimensions = vec![
        dimension("LoadBalancer", balancer),
        dimension("TargetGroup", group),
    ];
    Ok(metric_of_aws(
        "AWS/ApplicationELB",
        "RequestCountPerTarget",
        Statistic::Sum,
        dimensions,
    ))
}

/// What a specification of one's own watches, as a part of an alarm; or what is wrong with it.
pub fn customized_metric(
    given: &CustomizedMetricSpecification,
) -> Result<PutMetricAlarmInput, String> {
    if let Some(queries) = &given.metrics {
        if given.metric_name.is_some() || given.namespace.is_some() || given.statistic.is_some() {
            return Err(String::from(
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
        return Err(String::from(
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

fn query(given: &TargetTrackingMetricDataQuery) -> Result<MetricDataQuery, String> {
    let metric_stat = given.metric_stat.as_ref().map(|it| {
        let dimensions = it.metric.dimensions.iter().flatten();
        Ok::<_, String>(MetricStat {
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
fn same_word<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| error.to_string())
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
