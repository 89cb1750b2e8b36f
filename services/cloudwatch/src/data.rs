//! `GetMetricData`: several metrics, and expressions over them, at once.

use cloud::{Cx, Error};
use shapes::cloudwatch::errors::InvalidNextToken;
use shapes::cloudwatch::{
    GetMetricDataInput, GetMetricDataOutput, MetricDataResult, ScanBy, StatusCode,
};
use wire::Timestamp;

use crate::chunk::{Windows, floor, read};
use crate::math::Line;
use crate::queries::{Asked, Query, What, check, evaluate, lines, period_s, wrong};
use crate::statistics::millis;

/// The API reference of `GetMetricData`.
const QUERIES_MAX: usize = 500;
const DATAPOINTS_MAX: usize = 100_800;

pub async fn get_metric_data(
    cx: Cx,
    input: GetMetricDataInput,
) -> Result<GetMetricDataOutput, Error> {
    if input.metric_data_queries.len() > QUERIES_MAX {
        return Err(wrong(format!(
            "The collection MetricDataQueries must not have a size greater than {QUERIES_MAX}."
        )));
    }
    if input.label_options.is_some() {
        return Err(wrong("LabelOptions is not supported by neargate"));
    }
    let queries = check(&input.metric_data_queries)?;
    let (from_ms, to_ms) = (millis(input.start_time), millis(input.end_time));
    if from_ms >= to_ms {
        return Err(wrong(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let times = times(from_ms, to_ms, period_s(&queries) * 1000)?;
    let values = cx.read(|tx| {
        let fetch = |asked: &Asked| -> Result<Line, Error> {
            let width_ms = asked.period_s * 1000;
            let windows = Windows {
                from_ms: floor(from_ms, width_ms),
                to_ms,
                width_ms,
            };
            let found = read(&cx, tx, &asked.metric, asked.unit, windows)?;
            let told = found
                .iter()
                .filter_map(|(at, bucket)| Some((*at, asked.stat.of(bucket)?)));
            Ok(told.collect())
        };
        evaluate(&queries, &times, fetch)
    })?;
    let mut results = Vec::new();
    for query in queries.iter().filter(|it| it.returned) {
        let value = values.get(&query.id).cloned();
        for line in value.map(|it| lines(it, &times)).unwrap_or_default() {
            results.push((query, line));
        }
    }
    page(&input, &Labels::of(&queries), results)
}

fn times(from_ms: i64, to_ms: i64, width_ms: i64) -> Result<Vec<i64>, Error> {
    let first = floor(from_ms, width_ms);
    let count = (to_ms - first + width_ms - 1) / width_ms;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > DATAPOINTS_MAX {
        return Err(wrong(format!(
            "The time range has {count} periods; at most {DATAPOINTS_MAX} datapoints can be asked for"
        )));
    }
    Ok((0..count as i64).map(|it| first + it * width_ms).collect())
}

/// Names for lines that were given none: the metric's, with as much of what tells it from the others of the
/// answer as there is.
struct Labels {
    namespaces: bool,
    dimensions: bool,
    statistics: bool,
    periods: bool,
}

impl Labels {
    fn of(queries: &[Query]) -> Self {
        let unnamed = queries
            .iter()
            .filter(|it| it.returned && it.label.is_none());
        let asked: Vec<&Asked> = unnamed
            .filter_map(|it| match &it.what {
                What::Metric(asked) => Some(asked),
                What::Expression(..) => None,
            })
            .collect();
        let differs = |key: &dyn Fn(&Asked) -> String| {
            let mut keys = asked.iter().map(|it| key(it));
            let first = keys.next();
            keys.any(|it| Some(it) != first)
        };
        let periods = differs(&|it| it.period_s.to_string());
        Self {
            namespaces: differs(&|it| it.metric.namespace.clone()),
            dimensions: differs(&|it| format!("{:?}", it.metric.dimensions)),
            // A period is told after its statistic.
            statistics: periods || differs(&|it| it.stat.to_string()),
            periods,
        }
    }

    fn label(&self, query: &Query) -> String {
        let asked = match (&query.label, &query.what) {
            (Some(label), _) => return label.clone(),
            (None, What::Expression(..)) => return query.id.clone(),
            (None, What::Metric(asked)) => asked,
        };
        let mut parts = Vec::new();
        if self.namespaces {
            parts.push(asked.metric.namespace.clone());
        }
        if self.dimensions {
            parts.extend(
                asked
                    .metric
                    .dimensions
                    .iter()
                    .map(|(_, value)| value.clone()),
            );
        }
        parts.push(asked.metric.name.clone());
        if self.statistics {
            parts.push(asked.stat.to_string());
        }
        if self.periods {
            parts.push(asked.period_s.to_string());
        }
        parts.join(" ")
    }
}

/// A page has a part of each line: as many datapoints of it as there is room for all.
fn page(
    input: &GetMetricDataInput,
    labels: &Labels,
    results: Vec<(&Query, Line)>,
) -> Result<GetMetricDataOutput, Error> {
    let skip: usize = match &input.next_token {
        None => 0,
        Some(token) => token.parse().map_err(|_| {
            InvalidNextToken.because("The value for parameter NextToken is invalid.")
        })?,
    };
    let most = input.max_datapoints.and_then(|it| usize::try_from(it).ok());
    let most = most.unwrap_or(DATAPOINTS_MAX).clamp(1, DATAPOINTS_MAX);
    let each = (most / results.len().max(1)).max(1);
    let more = results.iter().any(|(_, line)| line.len() > skip + each);
    let shown = results.into_iter().map(|(query, line)| {
        let complete = line.len() <= skip + each;
        let mut points: Vec<(i64, f64)> = line.into_iter().collect();
        if input.scan_by != Some(ScanBy::TimestampAscending) {
            points.reverse();
        }
        let (times, values) = points
            .into_iter()
            .skip(skip)
            .take(each)
            .map(|(at, value)| (Timestamp(at as f64 / 1000.0), value))
            .unzip();
        MetricDataResult {
            id: Some(query.id.clone()),
            label: Some(labels.label(query)),
            timestamps: Some(times),
            values: Some(values),
            status_code: Some(match complete {
                true => StatusCode::Complete,
                false => StatusCode::PartialData,
            }),
            messages: None,
        }
    });
    Ok(GetMetricDataOutput {
        metric_data_results: Some(shown.collect()),
        next_token: more.then(|| (skip + each).to_string()),
        messages: Some(Vec::new()),
    })
}
