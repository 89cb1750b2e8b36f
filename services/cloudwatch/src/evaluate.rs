//! What an alarm's datapoints come to. Pure.

use shapes::cloudwatch::{ComparisonOperator, StateValue};

/// How an alarm takes a period without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// They are passed over; without any data the state is not known.
    Missing,
    /// The state stays as it is.
    Ignore,
    Breaching,
    NotBreaching,
}

impl Gap {
    /// None when AWS knows no such word.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        Some(match text {
            None | Some("missing") => Self::Missing,
            Some("ignore") => Self::Ignore,
            Some("breaching") => Self::Breaching,
            Some("notBreaching") => Self::NotBreaching,
            Some(_) => return None,
        })
    }

    fn shown(self) -> &'static str {
        match self {
            Self::Missing => "Missing",
            Self::Ignore => "Ignore",
            Self::Breaching => "Breaching",
            Self::NotBreaching => "NonBreaching",
        }
    }
}

/// Datapoints before the evaluation periods that are looked at where some are missing (User Guide,
/// "How alarm state is evaluated when data is missing": its examples look at five for three).
pub const LOOK_BACK: usize = 2;

#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub evaluation_periods: usize,
    pub datapoints_to_alarm: usize,
    pub threshold: f64,
    pub operator: ComparisonOperator,
    pub missing: Gap,
}

/// A period of the evaluation range and what it has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub start_ms: i64,
    pub value: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub state: StateValue,
    /// In AWS's words.
    pub reason: String,
    /// The datapoints that decided, the newest first.
    pub decided: Vec<Point>,
}

impl Rule {
    pub fn breaches(&self, value: f64) -> bool {
        match self.operator {
            ComparisonOperator::GreaterThanOrEqualToThreshold => value >= self.threshold,
            ComparisonOperator::GreaterThanThreshold => value > self.threshold,
            ComparisonOperator::LessThanThreshold => value < self.threshold,
            ComparisonOperator::LessThanOrEqualToThreshold => value <= self.threshold,
            // Refused when the alarm is put: they compare with a band.
            _ => false,
        }
    }

    /// Whether it is high values that breach.
    pub fn is_above(&self) -> bool {
        matches!(
            self.operator,
            ComparisonOperator::GreaterThanOrEqualToThreshold
                | ComparisonOperator::GreaterThanThreshold
        )
    }

    /// `points`: the evaluation range, the newest first. `None`: the state stays as it is.
    pub fn judge(&self, points: &[Point]) -> Option<Verdict> {
        let real: Vec<Point> = points
            .iter()
            .filter(|it| it.value.is_some())
            .copied()
            .collect();
        let enough = real.len() >= self.evaluation_periods;
        let decided = &real[..real.len().min(self.evaluation_periods)];
        let breaching = decided
            .iter()
            .filter(|it| it.value.is_some_and(|value| self.breaches(value)))
            .count();
        let filled = self.evaluation_periods - decided.len();
        let alarm = breaching >= self.datapoints_to_alarm;
        let verdict = |state, filled| Some(self.verdict(state, decided, filled));
        match self.missing {
            _ if enough && alarm => verdict(StateValue::Alarm, 0),
            _ if enough => verdict(StateValue::Ok, 0),
            Gap::Breaching if breaching + filled >= self.datapoints_to_alarm => {
                verdict(StateValue::Alarm, filled)
            }
            Gap::Breaching => verdict(StateValue::Ok, filled),
            Gap::NotBreaching if alarm => verdict(StateValue::Alarm, filled),
            Gap::NotBreaching => verdict(StateValue::Ok, filled),
            Gap::Ignore if real.is_empty() => None,
            Gap::Missing if real.is_empty() => Some(Verdict {
                state: StateValue::InsufficientData,
                reason: self.insufficient(),
                decided: Vec::new(),
            }),
            _ if alarm => verdict(StateValue::Alarm, 0),
            _ if breaching < decided.len() => verdict(StateValue::Ok, 0),
            // Only breaching datapoints, too few of them. It is an alarm when the oldest has been
            // there for as long as it takes, and nothing has spoken against it since.
            Gap::Missing if self.is_old(points) => verdict(StateValue::Alarm, 0),
            _ => None,
        }
    }

    fn is_old(&self, points: &[Point]) -> bool {
        let oldest = points.iter().rposition(|it| it.value.is_some());
        oldest.is_some_and(|at| at + 1 >= self.datapoints_to_alarm)
    }

    fn insufficient(&self) -> String {
        let count = self.evaluation_periods;
        match count {
            1 => "Insufficient Data: 1 datapoint was unknown.".into(),
            _ => format!("Insufficient Data: {count} datapoints were unknown."),
        }
    }

    fn verdict(&self, state: StateValue, decided: &[Point], filled: usize) -> Verdict {
        Verdict {
            state,
            reason: self.reason(state, decided, filled),
            decided: decided.to_vec(),
        }
    }

    /// Which datapoints crossed the threshold, and which way: as AWS tells it.
    fn reason(&self, state: StateValue, decided: &[Point], filled: usize) -> String {
        let periods = self.evaluation_periods;
        if decided.is_empty() {
            return format!(
                "Threshold Crossed: no datapoints were received for {periods} {} and {filled} missing {} treated as [{}].",
                plural(periods, "period", "periods"),
                plural(filled, "datapoint was", "datapoints were"),
                self.missing.shown()
            );
        }
        let alarm = state == StateValue::Alarm;
        let crossed: Vec<&Point> = decided
            .iter()
            .filter(|it| it.value.is_some_and(|value| self.breaches(value) == alarm))
            .collect();
        let count = crossed.len();
        let shown: Vec<String> = crossed
            .iter()
            .filter_map(|it| Some(format!("{:?} ({})", it.value?, short_time(it.start_ms))))
            .collect();
        let looked_at = match periods {
            1 => "1 datapoint".to_owned(),
            _ => format!("{count} out of the last {periods} datapoints"),
        };
        let (needed, from_to) = match alarm {
            true => (self.datapoints_to_alarm, "OK -> ALARM"),
            false => (periods - self.datapoints_to_alarm + 1, "ALARM -> OK"),
        };
        let missing = match filled {
            0 => String::new(),
            _ => format!(
                " and {filled} missing {} treated as [{}]",
                plural(filled, "datapoint was", "datapoints were"),
                self.missing.shown()
            ),
        };
        let last = match periods {
            1 => String::new(),
            _ => format!(
                " (minimum {needed} {} for {from_to} transition)",
                plural(needed, "datapoint", "datapoints")
            ),
        };
        format!(
            "Threshold Crossed: {looked_at} [{}] {} {} the threshold ({:?}){missing}{last}.",
            shown.join(", "),
            match (count, alarm) {
                (1, true) => "was",
                (_, true) => "were",
                (1, false) => "was not",
                (_, false) => "were not",
            },
            self.compared(),
            self.threshold
        )
    }

    fn compared(&self) -> &'static str {
        match self.operator {
            ComparisonOperator::GreaterThanOrEqualToThreshold => "greater than or equal to",
            ComparisonOperator::GreaterThanThreshold => "greater than",
            ComparisonOperator::LessThanThreshold => "less than",
            _ => "less than or equal to",
        }
    }
}

fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

/// `26/11/26 16:20:00`: day, month and year.
fn short_time(ms: i64) -> String {
    let iso = wire::Timestamp((ms / 1000) as f64).to_string();
    match (
        iso.get(8..10),
        iso.get(5..7),
        iso.get(2..4),
        iso.get(11..19),
    ) {
        (Some(day), Some(month), Some(year), Some(time)) => format!("{day}/{month}/{year} {time}"),
        _ => iso,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StateValue::{Alarm, InsufficientData, Ok};

    /// `0` is within the threshold, `X` beyond it, `-` missing; the oldest first.
    fn state(range: &str, m: usize, missing: Gap) -> Option<StateValue> {
        judged(range, m, missing).map(|it| it.state)
    }

    fn judged(range: &str, m: usize, missing: Gap) -> Option<Verdict> {
        let rule = Rule {
            evaluation_periods: 3,
            datapoints_to_alarm: m,
            threshold: 50.0,
            operator: ComparisonOperator::GreaterThanThreshold,
            missing,
        };
        let mut points: Vec<Point> = range
            .split(' ')
            .enumerate()
            .map(|(index, it)| Point {
                start_ms: 1_000_000_000_000 + index as i64 * 60_000,
                value: match it {
                    "0" => Some(10.0),
                    "X" => Some(90.5),
                    _ => None,
                },
            })
            .collect();
        points.reverse();
        rule.judge(&points)
    }

    /// The tables of the User Guide ("How alarm state is evaluated when data is missing"), in the
    /// order missing, ignore, breaching, not breaching. None: the state stays.
    #[test]
    fn the_tables_of_the_documentation() {
        let all = [Gap::Missing, Gap::Ignore, Gap::Breaching, Gap::NotBreaching];
        for (range, m, expect) in [
            ("0 - X - X", 3, [Some(Ok), Some(Ok), Some(Ok), Some(Ok)]),
            ("- - - - 0", 3, [Some(Ok), Some(Ok), Some(Ok), Some(Ok)]),
            (
                "- - - - -",
                3,
                [Some(InsufficientData), None, Some(Alarm), Some(Ok)],
            ),
            (
                "0 X X - X",
                3,
                [Some(Alarm), Some(Alarm), Some(Alarm), Some(Alarm)],
            ),
            ("- - X - -", 3, [Some(Alarm), None, Some(Alarm), Some(Ok)]),
            (
                "0 - X - X",
                2,
                [Some(Alarm), Some(Alarm), Some(Alarm), Some(Alarm)],
            ),
            (
                "0 0 X 0 X",
                2,
                [Some(Alarm), Some(Alarm), Some(Alarm), Some(Alarm)],
            ),
            ("0 - X - -", 2, [Some(Ok), Some(Ok), Some(Alarm), Some(Ok)]),
            ("- - - - 0", 2, [Some(Ok), Some(Ok), Some(Alarm), Some(Ok)]),
            ("- - - X -", 2, [Some(Alarm), None, Some(Alarm), Some(Ok)]),
            // Too early to tell.
            ("- - - - X", 3, [None, None, Some(Alarm), Some(Ok)]),
            ("- - - X -", 3, [None, None, Some(Alarm), Some(Ok)]),
        ] {
            let found = all.map(|it| state(range, m, it));
            assert_eq!(found, expect, "{m} of 3 in {range}");
        }
    }

    #[test]
    fn reasons_in_the_words_of_aws() {
        for (range, m, missing, reason) in [
            (
                "0 0 X X X",
                3,
                Gap::Missing,
                "Threshold Crossed: 3 out of the last 3 datapoints [90.5 (09/09/01 01:50:40), 90.5 (09/09/01 01:49:40), 90.5 (09/09/01 01:48:40)] were greater than the threshold (50.0) (minimum 3 datapoints for OK -> ALARM transition).",
            ),
            (
                "X X X X 0",
                3,
                Gap::Missing,
                "Threshold Crossed: 1 out of the last 3 datapoints [10.0 (09/09/01 01:50:40)] was not greater than the threshold (50.0) (minimum 1 datapoint for ALARM -> OK transition).",
            ),
            (
                "- - - - -",
                3,
                Gap::Missing,
                "Insufficient Data: 3 datapoints were unknown.",
            ),
            (
                "- - - - -",
                3,
                Gap::NotBreaching,
                "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated as [NonBreaching].",
            ),
        ] {
            assert_eq!(judged(range, m, missing).unwrap().reason, reason);
        }
    }
}
