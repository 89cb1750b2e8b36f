//! The functions of metric math that are built.

use cloud::Error;

use super::parse::Expression;
use super::{Line, Scope, Value, map, wrong};

const NAMES: &[&str] = &[
    "ABS",
    "AVG",
    "CEIL",
    "DATAPOINT_COUNT",
    "DIFF",
    "FILL",
    "FIRST",
    "FLOOR",
    "IF",
    "LAST",
    "LOG",
    "LOG10",
    "MAX",
    "METRICS",
    "METRIC_COUNT",
    "MIN",
    "PERIOD",
    "RATE",
    "RUNNING_SUM",
    "STDDEV",
    "SUM",
];

/// Refuses functions that are not built, wherever they stand.
pub fn check(expression: &Expression) -> Result<(), Error> {
    match expression {
        Expression::Call(name, arguments) => {
            if !NAMES.contains(&name.as_str()) {
                let why = format!("The function {name} is not supported by neargate");
                return Err(wrong(why));
            }
            arguments.iter().try_for_each(check)
        }
        Expression::List(items) => items.iter().try_for_each(check),
        Expression::Signed(_, inner) => check(inner),
        Expression::Binary(_, left, right) => check(left).and_then(|()| check(right)),
        Expression::Number(_) | Expression::Text(_) | Expression::Id(_) => Ok(()),
    }
}

pub fn call(scope: &Scope<'_>, name: &str, arguments: &[Expression]) -> Result<Value, Error> {
    let wrong_arguments = || wrong(format!("Wrong arguments of the function {name}"));
    match (name, arguments) {
        ("METRICS", []) => metrics(scope, ""),
        ("METRICS", [Expression::Text(part)]) => metrics(scope, part),
        ("IF", [condition, yes]) => choose(scope, condition, yes, None),
        ("IF", [condition, yes, no]) => choose(scope, condition, yes, Some(no)),
        ("FILL", [line, with]) => {
            let value = scope.evaluate(line)?;
            let with = match with {
                Expression::Id(word) if word == "REPEAT" => Filling::Repeat,
                Expression::Id(word) if word == "LINEAR" => Filling::Linear,
                other => match scope.evaluate(other)? {
                    Value::Scalar(number) => Filling::With(number),
                    _ => return Err(wrong_arguments()),
                },
            };
            Ok(each_line(value, |it| fill(it, scope.times, with)))
        }
        ("PERIOD", [line]) => {
            scope.evaluate(line)?;
            Ok(Value::Scalar(scope.period_s))
        }
        (_, [one]) => of_one(scope, name, scope.evaluate(one)?),
        _ if NAMES.contains(&name) => Err(wrong_arguments()),
        _ => Err(wrong(format!(
            "The function {name} is not supported by neargate"
        ))),
    }
}

fn of_one(scope: &Scope<'_>, name: &str, value: Value) -> Result<Value, Error> {
    Ok(match name {
        "ABS" => map(value, |it| Some(it.abs())),
        "CEIL" => map(value, |it| Some(it.ceil())),
        "FLOOR" => map(value, |it| Some(it.floor())),
        "LOG" => map(value, |it| Some(it.ln()).filter(|it| it.is_finite())),
        "LOG10" => map(value, |it| Some(it.log10()).filter(|it| it.is_finite())),
        "DIFF" => each_line(value, |it| differences(it, |change, _| change)),
        "RATE" => each_line(value, |it| {
            differences(it, |change, ms| change / (ms as f64 / 1000.0).max(1.0))
        }),
        "RUNNING_SUM" => each_line(value, |line| {
            let mut sum = 0.0;
            let running = line.into_iter().map(|(at, it)| {
                sum += it;
                (at, sum)
            });
            running.collect()
        }),
        "METRIC_COUNT" => match value {
            Value::Lines(lines) => Value::Scalar(lines.len() as f64),
            _ => Value::Scalar(1.0),
        },
        "SUM" | "AVG" | "MIN" | "MAX" | "STDDEV" | "DATAPOINT_COUNT" | "FIRST" | "LAST" => {
            reduce(scope, name, value)
        }
        _ if NAMES.contains(&name) => {
            return Err(wrong(format!("Wrong arguments of the function {name}")));
        }
        _ => {
            return Err(wrong(format!(
                "The function {name} is not supported by neargate"
            )));
        }
    })
}

/// `METRICS()`: all metrics, or those whose ids hold a text.
fn metrics(scope: &Scope<'_>, part: &str) -> Result<Value, Error> {
    let ids = scope.metrics.iter().filter(|it| it.contains(part));
    let lines = ids.filter_map(|it| match scope.lines.get(it) {
        Some(Value::Line(line)) => Some(line.clone()),
        _ => None,
    });
    Ok(Value::Lines(lines.collect()))
}

/// Of one line: a number. Of several: a line, of what they have at each time.
fn reduce(scope: &Scope<'_>, name: &str, value: Value) -> Value {
    match value {
        Value::Scalar(number) => Value::Scalar(of_values(name, &[number]).unwrap_or_default()),
        Value::Line(line) => {
            let values: Vec<f64> = line.into_values().collect();
            Value::Scalar(of_values(name, &values).unwrap_or_default())
        }
        Value::Lines(lines) => {
            let at_time = |at: &i64| {
                let values: Vec<f64> = lines.iter().filter_map(|it| it.get(at).copied()).collect();
                Some((*at, of_values(name, &values)?))
            };
            Value::Line(scope.times.iter().filter_map(at_time).collect())
        }
    }
}

fn of_values(name: &str, values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    if name == "DATAPOINT_COUNT" {
        return Some(count);
    }
    if values.is_empty() {
        return None;
    }
    let sum: f64 = values.iter().sum();
    Some(match name {
        "SUM" => sum,
        "AVG" => sum / count,
        "MIN" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "MAX" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "FIRST" => values[0],
        "LAST" => values[values.len() - 1],
        _ => {
            let mean = sum / count;
            let squares: f64 = values.iter().map(|it| (it - mean).powi(2)).sum();
            (squares / count).sqrt()
        }
    })
}

fn each_line(value: Value, change: impl Fn(Line) -> Line) -> Value {
    match value {
        Value::Scalar(number) => Value::Scalar(number),
        Value::Line(line) => Value::Line(change(line)),
        Value::Lines(lines) => Value::Lines(lines.into_iter().map(change).collect()),
    }
}

fn differences(line: Line, of: impl Fn(f64, i64) -> f64) -> Line {
    let points: Vec<(i64, f64)> = line.into_iter().collect();
    let pairs = points.windows(2);
    pairs
        .map(|it| (it[1].0, of(it[1].1 - it[0].1, it[1].0 - it[0].0)))
        .collect()
}

#[derive(Clone, Copy)]
enum Filling {
    With(f64),
    Repeat,
    Linear,
}

fn fill(mut line: Line, times: &[i64], with: Filling) -> Line {
    let known = line.clone();
    for at in times.iter().filter(|it| !known.contains_key(it)) {
        let before = known.range(..*at).next_back();
        let after = known.range(*at..).next();
        let value = match (with, before, after) {
            (Filling::With(number), _, _) => Some(number),
            (_, Some((_, before)), None) | (Filling::Repeat, Some((_, before)), _) => Some(*before),
            (Filling::Linear, Some((from, before)), Some((to, after))) => {
                let part = (at - from) as f64 / (to - from) as f64;
                Some(before + (after - before) * part)
            }
            _ => None,
        };
        if let Some(value) = value {
            line.insert(*at, value);
        }
    }
    line
}

/// What the condition chooses at each time. Without an alternative there is nothing where it is not
/// met.
fn choose(
    scope: &Scope<'_>,
    condition: &Expression,
    yes: &Expression,
    no: Option<&Expression>,
) -> Result<Value, Error> {
    let condition = scope.evaluate(condition)?;
    let yes = scope.evaluate(yes)?;
    let no = no.map(|it| scope.evaluate(it)).transpose()?;
    let at = |value: &Value, at: i64| match value {
        Value::Scalar(number) => Some(*number),
        Value::Line(line) => line.get(&at).copied(),
        Value::Lines(_) => None,
    };
    if let (Value::Scalar(met), Value::Scalar(yes), Some(Value::Scalar(no))) =
        (&condition, &yes, &no)
    {
        return Ok(Value::Scalar(if *met != 0.0 { *yes } else { *no }));
    }
    let chosen = scope.times.iter().filter_map(|time| {
        let value = match at(&condition, *time)? {
            0.0 => at(no.as_ref()?, *time)?,
            _ => at(&yes, *time)?,
        };
        Some((*time, value))
    });
    Ok(Value::Line(chosen.collect()))
}
