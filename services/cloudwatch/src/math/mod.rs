//! Metric math: expressions over metrics, by their ids (User Guide, "Using math expressions").
//!
//! Built are the operators, and the functions in [`functions`]. Others are refused by name, before
//! anything is evaluated.

mod functions;
mod parse;

use std::collections::BTreeMap;

use cloud::Error;
use shapes::cloudwatch::errors::ValidationException;

pub use functions::check;
pub use parse::{Expression, parse};
use parse::{Operator, Sign};

/// A metric's values by time.
pub type Line = BTreeMap<i64, f64>;

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Scalar(f64),
    Line(Line),
    /// `METRICS()` and lists: several lines with their ids.
    Lines(Vec<Line>),
}

/// What an expression is evaluated over.
pub struct Scope<'a> {
    /// Lines by id, and whether it is a metric (and not an expression).
    pub lines: &'a BTreeMap<String, Value>,
    /// Ids of metrics, in order, for `METRICS()`.
    pub metrics: &'a [String],
    pub period_s: f64,
    /// The windows' beginnings: `FILL` fills these.
    pub times: &'a [i64],
}

fn wrong(message: impl Into<String>) -> Error {
    ValidationException.because(message)
}

impl Scope<'_> {
    pub fn evaluate(&self, expression: &Expression) -> Result<Value, Error> {
        match expression {
            Expression::Number(number) => Ok(Value::Scalar(*number)),
            Expression::Text(text) => Err(wrong(format!("\"{text}\" cannot stand here"))),
            Expression::Id(id) => match self.lines.get(id) {
                Some(value) => Ok(value.clone()),
                None => Err(wrong(format!("Undefined metric id '{id}' in expression"))),
            },
            Expression::List(items) => {
                let mut lines = Vec::new();
                for item in items {
                    match self.evaluate(item)? {
                        Value::Line(line) => lines.push(line),
                        Value::Lines(more) => lines.extend(more),
                        Value::Scalar(number) => {
                            lines.push(self.times.iter().map(|at| (*at, number)).collect());
                        }
                    }
                }
                Ok(Value::Lines(lines))
            }
            Expression::Signed(sign, inner) => {
                let value = self.evaluate(inner)?;
                Ok(map(value, |it| match sign {
                    Sign::Minus => Some(-it),
                    Sign::Not => Some(truth(it == 0.0)),
                }))
            }
            Expression::Binary(operator, left, right) => {
                let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
                join(left, right, |a, b| apply(*operator, a, b))
            }
            Expression::Call(name, arguments) => functions::call(self, name, arguments),
        }
    }
}

fn truth(it: bool) -> f64 {
    if it { 1.0 } else { 0.0 }
}

/// None where there is no result: a division by zero makes no datapoint.
fn apply(operator: Operator, a: f64, b: f64) -> Option<f64> {
    let number = match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Power => a.powf(b),
        Operator::Less => truth(a < b),
        Operator::LessOrEqual => truth(a <= b),
        Operator::Greater => truth(a > b),
        Operator::GreaterOrEqual => truth(a >= b),
        Operator::Equal => truth(a == b),
        Operator::Unequal => truth(a != b),
        Operator::And => truth(a != 0.0 && b != 0.0),
        Operator::Or => truth(a != 0.0 || b != 0.0),
    };
    number.is_finite().then_some(number)
}

fn map(value: Value, change: impl Fn(f64) -> Option<f64>) -> Value {
    let line = |line: Line| -> Line {
        let changed = line
            .into_iter()
            .filter_map(|(at, it)| Some((at, change(it)?)));
        changed.collect()
    };
    match value {
        Value::Scalar(number) => Value::Scalar(change(number).unwrap_or_default()),
        Value::Line(it) => Value::Line(line(it)),
        Value::Lines(all) => Value::Lines(all.into_iter().map(line).collect()),
    }
}

/// Where one of two lines has no datum, the result has none.
fn join(
    left: Value,
    right: Value,
    change: impl Fn(f64, f64) -> Option<f64> + Copy,
) -> Result<Value, Error> {
    Ok(match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(change(a, b).unwrap_or_default()),
        (left, Value::Scalar(b)) => map(left, |a| change(a, b)),
        (Value::Scalar(a), right) => map(right, |b| change(a, b)),
        (Value::Line(a), Value::Line(b)) => Value::Line(join_lines(&a, &b, change)),
        (Value::Line(a), Value::Lines(all)) => {
            Value::Lines(all.iter().map(|b| join_lines(&a, b, change)).collect())
        }
        (Value::Lines(all), Value::Line(b)) => {
            Value::Lines(all.iter().map(|a| join_lines(a, &b, change)).collect())
        }
        (Value::Lines(_), Value::Lines(_)) => {
            return Err(wrong(
                "Two lists of metrics cannot be combined by an operator",
            ));
        }
    })
}

fn join_lines(a: &Line, b: &Line, change: impl Fn(f64, f64) -> Option<f64>) -> Line {
    let both = a
        .iter()
        .filter_map(|(at, a)| Some((*at, change(*a, *b.get(at)?)?)));
    both.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let line = |values: &[(i64, f64)]| Value::Line(values.iter().copied().collect());
        let lines = BTreeMap::from([
            (
                "m1".to_owned(),
                line(&[(0, 1.0), (60_000, 2.0), (120_000, 4.0)]),
            ),
            ("m2".to_owned(), line(&[(0, 10.0), (120_000, 0.0)])),
        ]);
        let scope = Scope {
            lines: &lines,
            metrics: &["m1".into(), "m2".into()],
            period_s: 60.0,
            times: &[0, 60_000, 120_000],
        };
        let shown = match parse(text).and_then(|it| scope.evaluate(&it)) {
            Ok(Value::Scalar(number)) => format!("{number}"),
            Ok(Value::Line(line)) => format!("{:?}", line.values().collect::<Vec<_>>()),
            Ok(Value::Lines(lines)) => format!("{} lines", lines.len()),
            Err(error) => error.message,
        };
        assert_eq!(shown, expect, "{text}");
    }

    #[test]
    fn operators() {
        check("1 + 2 * 3", "7");
        check("(1 + 2) * 3", "9");
        check("2 ^ 3 ^ 2", "512");
        check("-m1", "[-1.0, -2.0, -4.0]");
        check("m1 * 100", "[100.0, 200.0, 400.0]");
        check("m1 + m2", "[11.0, 4.0]");
        check("m1 / m2", "[0.1]");
        check("m1 > 1 AND m1 < 4", "[0.0, 1.0, 0.0]");
        check("m1 >= 4 || m1 == 1", "[1.0, 0.0, 1.0]");
    }

    #[test]
    fn functions() {
        check("SUM(m1)", "7");
        check("AVG([m1, m2])", "[5.5, 2.0, 2.0]");
        check("SUM(METRICS())", "[11.0, 2.0, 4.0]");
        check("SUM(METRICS(\"m1\"))", "[1.0, 2.0, 4.0]");
        check("MAX(m1) - MIN(m1)", "3");
        check("FILL(m2, 0)", "[10.0, 0.0, 0.0]");
        check("FILL(m2, REPEAT)", "[10.0, 10.0, 0.0]");
        check("FILL(m2, LINEAR)", "[10.0, 5.0, 0.0]");
        check("IF(m1 > 1, m1, 0)", "[0.0, 2.0, 4.0]");
        check("IF(m1 > 1, m1)", "[2.0, 4.0]");
        check("RATE(m1)", "[0.016666666666666666, 0.03333333333333333]");
        check("DIFF(m1)", "[1.0, 2.0]");
        check("RUNNING_SUM(m1)", "[1.0, 3.0, 7.0]");
        check(
            "m1 / PERIOD(m1)",
            "[0.016666666666666666, 0.03333333333333333, 0.06666666666666667]",
        );
        check("ABS(-3) + CEIL(1.2) + FLOOR(1.8)", "6");
        check("METRIC_COUNT(METRICS())", "2");
        check("DATAPOINT_COUNT(m2)", "2");
        check("LAST(m1)", "4");
    }

    #[test]
    fn what_is_wrong_or_not_built_is_named() {
        check(
            "ANOMALY_DETECTION_BAND(m1, 2)",
            "The function ANOMALY_DETECTION_BAND is not supported by neargate",
        );
        check(
            "SELECT AVG(CPUUtilization) FROM SCHEMA(x)",
            "Metrics Insights queries (SELECT) are not supported by neargate",
        );
        check("m1 +", "Error in expression 'm1 +': it ends too early");
        check("m1 ? m2", "Error in expression 'm1 ? m2': unexpected '?'");
        check("m3", "Undefined metric id 'm3' in expression");
        check("FOO(m1)", "The function FOO is not supported by neargate");
    }
}
