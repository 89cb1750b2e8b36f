//! `GetMetricStatistics`. Queries are by the clock on the wall, whatever the pace is.

use cloud::{Cx, Error};
use shapes::cloudwatch::errors::{
    InvalidParameterCombinationException, InvalidParameterValueException,
    MissingRequiredParameterException,
};
use shapes::cloudwatch::{
    Datapoint, GetMetricStatisticsInput, GetMetricStatisticsOutput, Statistic,
};
use wire::Timestamp;

use crate::bucket::Bucket;
use crate::chunk::{Windows, floor, read};
use crate::metric::{MetricId, units};
use crate::statistic::Stat;

/// The API reference of `GetMetricStatistics`.
const DATAPOINTS_MAX: i64 = 1440;
/// Periods below a minute that AWS knows, in seconds.
const SHORT_PERIODS: &[i32] = &[1, 5, 10, 20, 30];

/// A period as AWS takes it.
pub fn check_period(period: i32) -> Result<i64, Error> {
    if SHORT_PERIODS.contains(&period) || period > 0 && period % 60 == 0 {
        return Ok(i64::from(period));
    }
    Err(InvalidParameterValueException
        .because("The parameter Period must be 1, 5, 10, 20, 30, or a multiple of 60."))
}

/// No later and no earlier than anything means: what is counted from it must not overflow.
pub fn millis(time: Timestamp) -> i64 {
    const SECONDS_MAX: f64 = 1e11;
    (time.0.clamp(-SECONDS_MAX, SECONDS_MAX) * 1000.0) as i64
}

pub async fn get_metric_statistics(
    cx: Cx,
    input: GetMetricStatisticsInput,
) -> Result<GetMetricStatisticsOutput, Error> {
    let period_s = check_period(input.period)?;
    let plain = input.statistics.clone().unwrap_or_default();
    let extended = input.extended_statistics.clone().unwrap_or_default();
    if plain.is_empty() && extended.is_empty() {
        return Err(MissingRequiredParameterException.because(
            "At least one of the parameters Statistics and ExtendedStatistics is required.",
        ));
    }
    if !plain.is_empty() && !extended.is_empty() {
        return Err(InvalidParameterCombinationException.because(
            "The parameters Statistics and ExtendedStatistics cannot be specified together.",
        ));
    }
    let extended = extended
        .iter()
        .map(|it| Ok((it.as_str(), Stat::parse(it)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    let (from_ms, to_ms) = (millis(input.start_time), millis(input.end_time));
    if from_ms >= to_ms {
        return Err(InvalidParameterValueException
            .because("The parameter StartTime must be less than the parameter EndTime."));
    }
    let width_ms = period_s * 1000;
    // A day by the minute has 1,440 minutes wherever it begins.
    let count = (to_ms - from_ms + width_ms - 1) / width_ms;
    let from_ms = floor(from_ms, width_ms.min(60_000));
    if count > DATAPOINTS_MAX {
        return Err(InvalidParameterCombinationException.because(format!(
            "You have requested up to {count} datapoints, which exceeds the limit of {DATAPOINTS_MAX}. You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )));
    }
    let id = MetricId::new(
        &input.namespace,
        &input.metric_name,
        input.dimensions.as_deref(),
    );
    let windows = Windows {
        from_ms,
        to_ms,
        width_ms,
    };
    // Data of several units are never added up: each unit has datapoints of its own.
    let found = cx.read(|tx| {
        let mut found = Vec::new();
        for series in units(&cx, tx, &id, input.unit)? {
            let unit = Some(series.unit);
            found.push((unit, read(&cx, tx, &id, unit, windows)?));
        }
        Ok(found)
    })?;
    let mut datapoints: Vec<Datapoint> = Vec::new();
    for (unit, buckets) in &found {
        datapoints.extend(buckets.iter().map(|(at, bucket)| Datapoint {
            unit: *unit,
            ..datapoint(*at, bucket, &plain, &extended)
        }));
    }
    Ok(GetMetricStatisticsOutput {
        label: Some(input.metric_name),
        datapoints: Some(datapoints),
    })
}

fn datapoint(
    at_ms: i64,
    bucket: &Bucket,
    plain: &[Statistic],
    extended: &[(&str, Stat)],
) -> Datapoint {
    let told = |statistic| {
        plain
            .contains(&statistic)
            .then(|| Stat::Plain(statistic).of(bucket))
            .flatten()
    };
    let known = extended
        .iter()
        .filter_map(|(name, stat)| Some(((*name).to_owned(), stat.of(bucket)?)));
    Datapoint {
        timestamp: Some(Timestamp(at_ms as f64 / 1000.0)),
        sample_count: told(Statistic::SampleCount),
        average: told(Statistic::Average),
        sum: told(Statistic::Sum),
        minimum: told(Statistic::Minimum),
        maximum: told(Statistic::Maximum),
        unit: None,
        extended_statistics: (!extended.is_empty()).then(|| known.collect()),
    }
}
