//! `PutMetricData`.

use cloud::{Cx, Error, Pace, Record};
use shapes::cloudwatch::errors::{
    InvalidParameterCombinationException, InvalidParameterValueException,
    MissingRequiredParameterException,
};
use shapes::cloudwatch::{MetricDatum, PutMetricDataInput, PutMetricDataOutput, StandardUnit};

use crate::bucket::Bucket;
use crate::chunk::{Changes, FINEST, MINUTES};
use crate::metric::{MetricId, Series, is_own_namespace, seen};

/// The API reference of `PutMetricData`: data per request, and values per datum.
const DATA_MAX: usize = 1000;
const VALUES_MAX: usize = 150;
/// How far data may be in the past and in the future (the same page).
const PAST_MS: i64 = 14 * 24 * 3_600_000;
const FUTURE_MS: i64 = 2 * 3_600_000;
/// The largest value, of either sign (the API reference of `MetricDatum`).
const LARGEST: f64 = 2.348_542_582_773_833_3e108;

fn invalid(message: impl Into<String>) -> Error {
    InvalidParameterValueException.because(message)
}

/// One transaction for all of a request's data. The namespaces of AWS's services belong to those: the
/// services here name the request by a token, which nobody outside can.
pub async fn put_metric_data(
    cx: Cx,
    input: PutMetricDataInput,
) -> Result<PutMetricDataOutput, Error> {
    if is_own_namespace(&input.namespace) && cx.token.is_none() {
        return Err(invalid(format!(
            "The value {} for parameter Namespace is invalid.",
            input.namespace
        )));
    }
    let data = input.metric_data.unwrap_or_default();
    if data.is_empty() {
        return Err(
            MissingRequiredParameterException.because("The parameter MetricData is required.")
        );
    }
    if data.len() > DATA_MAX {
        return Err(invalid(format!(
            "The collection MetricData must not have a size greater than {DATA_MAX}."
        )));
    }
    let now_ms = cx.clock().now_ms();
    let mut changes = Changes::default();
    let mut metrics = std::collections::BTreeMap::new();
    for (index, datum) in data.iter().enumerate() {
        let at = format!("MetricData.member.{}", index + 1);
        let bucket = bucket(datum, &at)?;
        let time_ms = time_ms(datum, &at, now_ms)?;
        let id = MetricId::new(
            &input.namespace,
            &datum.metric_name,
            datum.dimensions.as_deref(),
        );
        let series = Series {
            region: cx.region.clone(),
            id,
            unit: datum.unit.unwrap_or(StandardUnit::None),
            last_ms: time_ms,
        };
        let key = series.key();
        changes.add(
            &key,
            tier(&cx, datum, &at)?,
            time_ms.div_euclid(1000),
            &bucket,
        );
        let known = metrics.entry(key).or_insert_with(|| series.clone());
        known.last_ms = known.last_ms.max(time_ms);
    }
    cx.write(|tx| {
        changes.write(tx)?;
        metrics.into_values().try_for_each(|it| seen(tx, it))
    })?;
    Ok(PutMetricDataOutput {})
}

/// With the fast pace a minute is two seconds long: everything is kept by the second.
fn tier(cx: &Cx, datum: &MetricDatum, at: &str) -> Result<usize, Error> {
    match (datum.storage_resolution, cx.clock().pace()) {
        (Some(1), _) => Ok(FINEST),
        (None | Some(60), Pace::Fast) => Ok(FINEST),
        (None | Some(60), Pace::Real) => Ok(MINUTES),
        (Some(other), _) => Err(invalid(format!(
            "The value {other} for parameter {at}.StorageResolution is invalid: it is 1 or 60."
        ))),
    }
}

fn time_ms(datum: &MetricDatum, at: &str, now_ms: i64) -> Result<i64, Error> {
    let Some(given) = datum.timestamp else {
        return Ok(now_ms);
    };
    let time_ms = (given.0 * 1000.0) as i64;
    if time_ms < now_ms - PAST_MS || time_ms > now_ms + FUTURE_MS {
        return Err(invalid(format!(
            "The parameter {at}.Timestamp must specify a time no more than two weeks in the past and no more than two hours in the future."
        )));
    }
    Ok(time_ms)
}

fn number(value: f64, at: &str, what: &str) -> Result<f64, Error> {
    if value.is_finite() && value.abs() <= LARGEST {
        return Ok(value);
    }
    Err(invalid(format!(
        "The value {value} for parameter {at}.{what} is invalid."
    )))
}

/// A datum says what it says in one of three ways.
fn bucket(datum: &MetricDatum, at: &str) -> Result<Bucket, Error> {
    match (&datum.value, &datum.statistic_values, &datum.values) {
        (Some(value), None, None) => Ok(Bucket::of(number(*value, at, "Value")?, 1.0)),
        (None, Some(set), None) => {
            for (value, what) in [
                (set.sum, "Sum"),
                (set.minimum, "Minimum"),
                (set.maximum, "Maximum"),
                (set.sample_count, "SampleCount"),
            ] {
                number(value, at, &format!("StatisticValues.{what}"))?;
            }
            if set.minimum > set.maximum || set.sample_count <= 0.0 {
                return Err(invalid(format!(
                    "The parameter {at}.StatisticValues is invalid: the minimum is above the maximum, or there are no samples."
                )));
            }
            Ok(Bucket::summary(set.sample_count, set.sum, set.minimum, set.maximum))
        }
        (None, None, Some(values)) => many(values, datum.counts.as_deref(), at),
        // AWS takes both, and both are told.
        (None, Some(_), Some(values)) => {
            let alone = MetricDatum {
                values: None,
                counts: None,
                ..datum.clone()
            };
            let mut all = bucket(&alone, at)?;
            all.add(&many(values, datum.counts.as_deref(), at)?);
            Ok(all)
        }
        (None, None, None) => Err(MissingRequiredParameterException.because(format!(
            "At least one of the parameters {at}.Value, {at}.StatisticValues or {at}.Values must be specified."
        ))),
        _ => Err(InvalidParameterCombinationException.because(format!(
            "The parameters {at}.Value, {at}.StatisticValues and {at}.Values are mutually exclusive and you have specified more than one."
        ))),
    }
}

fn many(values: &[f64], counts: Option<&[f64]>, at: &str) -> Result<Bucket, Error> {
    if values.is_empty() || values.len() > VALUES_MAX {
        return Err(invalid(format!(
            "The collection {at}.Values must have between 1 and {VALUES_MAX} members."
        )));
    }
    if counts.is_some_and(|it| it.len() != values.len()) {
        return Err(invalid(format!(
            "The parameters {at}.Values and {at}.Counts must have the same size."
        )));
    }
    let mut all: Option<Bucket> = None;
    for (index, value) in values.iter().enumerate() {
        let count = counts.map_or(1.0, |it| it[index]);
        number(*value, at, "Values")?;
        number(count, at, "Counts")?;
        if count <= 0.0 {
            return Err(invalid(format!(
                "The members of {at}.Counts must be above 0."
            )));
        }
        let one = Bucket::of(*value, count);
        match &mut all {
            Some(all) => all.add(&one),
            None => all = Some(one),
        }
    }
    all.ok_or_else(|| invalid(format!("The collection {at}.Values is empty.")))
}
