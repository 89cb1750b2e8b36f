//! What is kept of the data of one moment: a statistic set, and the values themselves where they are
//! known, so that percentiles can be told.

use serde::{Deserialize, Serialize};

/// Distinct values that are kept as they are. More are rounded to steps of a tenth, of which even the
/// widest range has only some hundred.
const VALUES_MAX: usize = 128;
/// The ratio of neighbours among rounded values: an error of at most five percent.
const STEP: f64 = 1.1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    #[serde(rename = "n")]
    pub count: f64,
    #[serde(rename = "s")]
    pub sum: f64,
    #[serde(rename = "l")]
    pub min: f64,
    #[serde(rename = "h")]
    pub max: f64,
    /// Values and how often each was seen, the smallest first. None where only statistics were given.
    /// Left out where the extremes say it already: all values are the same.
    #[serde(rename = "v", default, skip_serializing_if = "Kept::is_plain")]
    values: Kept,
}

/// The values of a bucket.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
enum Kept {
    /// All of them are the same.
    #[default]
    Same,
    #[serde(rename = "each")]
    Each(Vec<(f64, f64)>),
    #[serde(rename = "lost")]
    Lost,
}

impl Kept {
    fn is_plain(&self) -> bool {
        *self == Self::Same
    }
}

impl Bucket {
    /// `count` data of the same value.
    pub fn of(value: f64, count: f64) -> Self {
        Self {
            count,
            sum: value * count,
            min: value,
            max: value,
            values: Kept::Same,
        }
    }

    /// What somebody summed up already.
    pub fn summary(count: f64, sum: f64, min: f64, max: f64) -> Self {
        let same = min == max;
        Self {
            count,
            sum,
            min,
            max,
            values: if same { Kept::Same } else { Kept::Lost },
        }
    }

    fn each(&self) -> Option<Vec<(f64, f64)>> {
        match &self.values {
            Kept::Same => Some(vec![(self.min, self.count)]),
            Kept::Each(values) => Some(values.clone()),
            Kept::Lost => None,
        }
    }

    pub fn add(&mut self, other: &Self) {
        let values = match (self.each(), other.each()) {
            (Some(mut values), Some(more)) => {
                for (value, count) in more {
                    match values.binary_search_by(|it| it.0.total_cmp(&value)) {
                        Ok(at) => values[at].1 += count,
                        Err(at) => values.insert(at, (value, count)),
                    }
                }
                match values.len() {
                    1 => Kept::Same,
                    0..=VALUES_MAX => Kept::Each(values),
                    _ => Kept::Each(rounded(&values)),
                }
            }
            _ => Kept::Lost,
        };
        self.values = values;
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub fn average(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }

    /// The smallest value that at least `percent` of all are not above. None where it is not known.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let values = self.each()?;
        let total: f64 = values.iter().map(|it| it.1).sum();
        let wanted = total * percent / 100.0;
        let mut seen = 0.0;
        for (value, count) in &values {
            seen += count;
            if seen >= wanted {
                return Some(value.clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }
}

fn rounded(values: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    for (value, count) in values {
        let near = if *value == 0.0 {
            0.0
        } else {
            let power = (value.abs().ln() / STEP.ln()).round();
            value.signum() * STEP.powf(power)
        };
        match out.last_mut() {
            Some(last) if last.0 == near => last.1 += count,
            _ => out.push((near, *count)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of(values: impl IntoIterator<Item = f64>) -> Bucket {
        let mut values = values.into_iter();
        let mut all = Bucket::of(values.next().unwrap(), 1.0);
        values.for_each(|it| all.add(&Bucket::of(it, 1.0)));
        all
    }

    #[test]
    fn percentiles_are_of_the_values_themselves() {
        let all = sum_of((1..=100).map(f64::from));
        assert_eq!(
            (all.count, all.sum, all.min, all.max),
            (100.0, 5050.0, 1.0, 100.0)
        );
        assert_eq!(all.percentile(50.0), Some(50.0));
        assert_eq!(all.percentile(99.0), Some(99.0));
        assert_eq!(all.percentile(0.0), Some(1.0));
        assert_eq!(Bucket::of(7.0, 3.0).percentile(90.0), Some(7.0));
    }

    #[test]
    fn many_values_are_rounded_and_bounded() {
        let all = sum_of((1..=10_000).map(|it| f64::from(it) / 7.0));
        let Kept::Each(values) = &all.values else {
            panic!("{all:?}")
        };
        assert!(values.len() <= VALUES_MAX + 1, "{}", values.len());
        let median = all.percentile(50.0).unwrap();
        let exact = 5000.0 / 7.0;
        assert!((median / exact - 1.0).abs() < 0.06, "{median} for {exact}");
    }

    #[test]
    fn of_a_summary_no_percentile_is_known() {
        let mut all = Bucket::of(1.0, 1.0);
        all.add(&Bucket::summary(4.0, 10.0, 1.0, 4.0));
        assert_eq!(all.percentile(50.0), None);
        assert_eq!(all.average(), Some(2.2));
        assert_eq!(
            Bucket::summary(2.0, 6.0, 3.0, 3.0).percentile(50.0),
            Some(3.0)
        );
    }

    #[test]
    fn what_is_stored_is_read_again() {
        for bucket in [
            Bucket::of(1.0, 2.0),
            sum_of([1.0, 2.0]),
            Bucket::summary(2.0, 3.0, 1.0, 2.0),
        ] {
            let text = serde_json::to_string(&bucket).unwrap();
            assert_eq!(
                serde_json::from_str::<Bucket>(&text).unwrap(),
                bucket,
                "{text}"
            );
        }
    }
}
