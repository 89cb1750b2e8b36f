//! Metrics and expressions over them, as `GetMetricData` and alarms ask for them.

use std::collections::{BTreeMap, BTreeSet};

use cloud::Error;
use shapes::cloudwatch::errors::ValidationException;
use shapes::cloudwatch::{MetricDataQuery, MetricStat};

use crate::math::{self, Expression, Line, Scope, Value};
use crate::metric::MetricId;
use crate::statistic::Stat;
use crate::statistics::check_period;

pub fn wrong(message: impl Into<String>) -> Error {
    ValidationException.because(message)
}

/// A query that was checked.
#[derive(Debug, Clone)]
pub struct Query {
    pub id: String,
    pub label: Option<String>,
    pub returned: bool,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Metric(Asked),
    Expression(Expression, String),
}

/// A statistic of a metric.
#[derive(Debug, Clone)]
pub struct Asked {
    pub metric: MetricId,
    pub stat: Stat,
    pub unit: Option<shapes::cloudwatch::StandardUnit>,
    pub period_s: i64,
}

pub fn check(queries: &[MetricDataQuery]) -> Result<Vec<Query>, Error> {
    let mut ids = BTreeSet::new();
    let mut checked = Vec::new();
    for (index, query) in queries.iter().enumerate() {
        if !is_id(&query.id) || !ids.insert(query.id.as_str()) {
            return Err(wrong(format!(
                "The value {} for parameter MetricDataQueries.member.{}.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$ or is not unique",
                query.id,
                index + 1
            )));
        }
        if query.account_id.is_some() {
            return Err(wrong(
                "Metrics of other accounts are not supported by neargate",
            ));
        }
        let what = match (&query.metric_stat, &query.expression) {
            (Some(stat), None) => What::Metric(asked(stat)?),
            (None, Some(text)) => {
                let expression = math::parse(text)?;
                math::check(&expression)?;
                What::Expression(expression, text.clone())
            }
            _ => {
                return Err(wrong(format!(
                    "Exactly one of MetricStat and Expression must be specified for the query {}",
                    query.id
                )));
            }
        };
        checked.push(Query {
            id: query.id.clone(),
            label: query.label.clone(),
            returned: query.return_data.unwrap_or(true),
            what,
        });
    }
    for query in &checked {
        let What::Expression(expression, text) = &query.what else {
            continue;
        };
        let mut unknown = None;
        expression.ids(&mut |id| {
            if !ids.contains(id) && !matches!(id, "REPEAT" | "LINEAR") {
                unknown = Some(id.to_owned());
            }
        });
        if let Some(id) = unknown {
            return Err(wrong(format!(
                "Error in expression '{text}': undefined metric id '{id}'"
            )));
        }
    }
    Ok(checked)
}

fn is_id(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_lowercase())
        && text
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || it == '_')
}

pub fn asked(stat: &MetricStat) -> Result<Asked, Error> {
    let metric = MetricId::of(&stat.metric);
    if metric.namespace.is_empty() || metric.name.is_empty() {
        return Err(wrong("A metric needs a Namespace and a MetricName"));
    }
    Ok(Asked {
        metric,
        stat: Stat::parse(&stat.stat)?,
        unit: stat.unit,
        period_s: check_period(stat.period)?,
    })
}

/// The longest period among the metrics: expressions are evaluated in it.
pub fn period_s(queries: &[Query]) -> i64 {
    let periods = queries.iter().filter_map(|it| match &it.what {
        What::Metric(asked) => Some(asked.period_s),
        What::Expression(..) => None,
    });
    periods.max().unwrap_or(60)
}

/// Evaluates all queries, each when what it names is known. `fetch` reads a metric; `times` are the
/// beginnings of the windows.
pub fn evaluate(
    queries: &[Query],
    times: &[i64],
    mut fetch: impl FnMut(&Asked) -> Result<Line, Error>,
) -> Result<BTreeMap<String, Value>, Error> {
    let mut known = BTreeMap::new();
    let mut metrics = Vec::new();
    for query in queries {
        if let What::Metric(asked) = &query.what {
            known.insert(query.id.clone(), Value::Line(fetch(asked)?));
            metrics.push(query.id.clone());
        }
    }
    let period_s = period_s(queries) as f64;
    let mut left: Vec<_> = queries
        .iter()
        .filter_map(|it| match &it.what {
            What::Expression(expression, _) => Some((it.id.clone(), expression)),
            What::Metric(_) => None,
        })
        .collect();
    while !left.is_empty() {
        let ready = |expression: &Expression| {
            let mut ready = true;
            expression.ids(&mut |id| {
                ready &= known.contains_key(id) || matches!(id, "REPEAT" | "LINEAR");
            });
            ready
        };
        let Some(next) = left.iter().position(|(_, it)| ready(it)) else {
            return Err(wrong(format!(
                "The expression with the id {} depends on itself",
                left[0].0
            )));
        };
        let (id, expression) = left.remove(next);
        let scope = Scope {
            lines: &known,
            metrics: &metrics,
            period_s,
            times,
        };
        let value = scope.evaluate(expression)?;
        known.insert(id, value);
    }
    Ok(known)
}

/// A value as the lines that are shown: a number stands at every time.
pub fn lines(value: Value, times: &[i64]) -> Vec<Line> {
    match value {
        Value::Scalar(number) => vec![times.iter().map(|at| (*at, number)).collect()],
        Value::Line(line) => vec![line],
        Value::Lines(lines) => lines,
    }
}
