//! What an alarm may be, and what is refused by name.

use cloud::{Cx, Error};
use shapes::cloudwatch::errors::{
    InvalidParameterCombinationException, MissingRequiredParameterException,
};
use shapes::cloudwatch::{
    ComparisonOperator, Metric, MetricDataQuery, MetricStat, PutMetricAlarmInput,
};

use crate::evaluate::{Gap, Rule};
use crate::queries::{self, Query, What, wrong};

/// The evaluation range may be no longer (User Guide, "Alarm evaluation"): a week.
const RANGE_MAX_S: i64 = 7 * 24 * 3600;
/// The id that an alarm's only metric has here.
pub const ONLY: &str = "m1";

/// What the alarm watches, how it judges it, and which of its queries counts.
pub struct Watched {
    pub queries: Vec<Query>,
    /// The id of the query whose result is compared.
    pub counts: String,
    pub period_s: i64,
    pub rule: Rule,
}

impl Watched {
    /// neargate samples all of it itself, at its own pace.
    pub fn is_sampled(&self) -> bool {
        self.queries.iter().all(|it| match &it.what {
            What::Metric(asked) => asked.metric.is_sampled(),
            What::Expression(..) => true,
        })
    }
}

fn missing(name: &str) -> Error {
    MissingRequiredParameterException.because(format!("The parameter {name} is required."))
}

pub fn check(cx: &Cx, input: &PutMetricAlarmInput) -> Result<(), Error> {
    match input.evaluate_low_sample_count_percentile.as_deref() {
        None | Some("evaluate") => (),
        Some(other) => {
            return Err(wrong(format!(
                "EvaluateLowSampleCountPercentile `{other}` is not supported by neargate, which always evaluates"
            )));
        }
    }
    let watched = watched(input)?;
    let range_s = watched.period_s * watched.rule.evaluation_periods as i64;
    if range_s > RANGE_MAX_S {
        return Err(wrong(
            "Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= 604800)",
        ));
    }
    if input.actions_enabled != Some(false) {
        let all = [
            &input.ok_actions,
            &input.alarm_actions,
            &input.insufficient_data_actions,
        ];
        check_actions(cx, all.into_iter().flatten().flatten())?;
    }
    Ok(())
}

/// An action that nothing would come of is refused, so that no alarm is silent that should not be.
pub fn check_actions<'a>(cx: &Cx, actions: impl Iterator<Item = &'a String>) -> Result<(), Error> {
    let policy = cx.arn("autoscaling", "scalingPolicy:");
    for action in actions {
        if !action.starts_with(&policy) || !is_action(action) {
            return Err(wrong(unknown_action(action)));
        }
    }
    Ok(())
}

/// Whether an action may be one that something comes of.
pub fn is_action(action: &str) -> bool {
    action.contains(":autoscaling:") && action.contains(":resource/ecs/")
}

pub fn unknown_action(action: &str) -> String {
    format!(
        "The alarm action {action} is not supported by neargate: its alarms act on scaling policies of ECS services in their own region only. Leave the action out, or set ActionsEnabled to false"
    )
}

/// An alarm names one metric, or queries of which one counts.
pub fn watched(input: &PutMetricAlarmInput) -> Result<Watched, Error> {
    let rule = rule(input)?;
    let queries = match &input.metrics {
        Some(metrics) => {
            if input.metric_name.is_some() || input.namespace.is_some() || input.period.is_some() {
                return Err(InvalidParameterCombinationException.because(
                    "Metrics cannot be specified together with MetricName, Namespace or Period.",
                ));
            }
            queries::check(metrics)?
        }
        None => queries::check(&[only(input)?])?,
    };
    let mut counting = queries.iter().filter(|it| it.returned);
    let (Some(counts), None) = (counting.next(), counting.next()) else {
        return Err(wrong(
            "Exactly one element of the metrics list should return data.",
        ));
    };
    let mut periods = queries.iter().filter_map(|it| match &it.what {
        What::Metric(asked) => Some(asked.period_s),
        What::Expression(..) => None,
    });
    let Some(period_s) = periods.next() else {
        return Err(wrong("The metrics list has no metric"));
    };
    if periods.any(|it| it != period_s) {
        return Err(wrong("Period must be consistent across all metrics"));
    }
    Ok(Watched {
        counts: counts.id.clone(),
        period_s,
        rule,
        queries,
    })
}

fn only(input: &PutMetricAlarmInput) -> Result<MetricDataQuery, Error> {
    let stat = match (input.statistic, &input.extended_statistic) {
        (Some(statistic), None) => statistic.to_string(),
        (None, Some(extended)) => extended.clone(),
        (None, None) => return Err(missing("Statistic")),
        (Some(_), Some(_)) => {
            return Err(InvalidParameterCombinationException.because(
                "The parameters Statistic and ExtendedStatistic are mutually exclusive.",
            ));
        }
    };
    let required = |value: &Option<String>, name| value.clone().ok_or_else(|| missing(name));
    Ok(MetricDataQuery {
        id: ONLY.into(),
        metric_stat: Some(MetricStat {
            metric: Metric {
                namespace: Some(required(&input.namespace, "Namespace")?),
                metric_name: Some(required(&input.metric_name, "MetricName")?),
                dimensions: input.dimensions.clone(),
            },
            period: input.period.ok_or_else(|| missing("Period"))?,
            stat,
            unit: input.unit,
        }),
        ..Default::default()
    })
}

fn rule(input: &PutMetricAlarmInput) -> Result<Rule, Error> {
    let periods = input
        .evaluation_periods
        .ok_or_else(|| missing("EvaluationPeriods"))?;
    let to_alarm = input.datapoints_to_alarm.unwrap_or(periods);
    if to_alarm > periods {
        return Err(wrong(
            "DatapointsToAlarm must be less than or equal to EvaluationPeriods",
        ));
    }
    let operator = input
        .comparison_operator
        .ok_or_else(|| missing("ComparisonOperator"))?;
    if matches!(
        operator,
        ComparisonOperator::LessThanLowerOrGreaterThanUpperThreshold
            | ComparisonOperator::LessThanLowerThreshold
            | ComparisonOperator::GreaterThanUpperThreshold
    ) {
        return Err(wrong(format!(
            "ComparisonOperator {operator} is for anomaly detection, which is not supported by neargate"
        )));
    }
    let count = |it: i32| usize::try_from(it).unwrap_or(1).max(1);
    Ok(Rule {
        evaluation_periods: count(periods),
        datapoints_to_alarm: count(to_alarm),
        threshold: input.threshold.ok_or_else(|| missing("Threshold"))?,
        operator,
        missing: Gap::parse(input.treat_missing_data.as_deref()).ok_or_else(|| {
            wrong("TreatMissingData must be one of breaching, notBreaching, ignore, missing")
        })?,
    })
}
