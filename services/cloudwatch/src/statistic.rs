//! The statistics that a bucket can tell, by their names.

use cloud::Error;
use shapes::cloudwatch::Statistic;
use shapes::cloudwatch::errors::InvalidParameterValueException;

use crate::bucket::Bucket;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stat {
    Plain(Statistic),
    Percentile(f64),
}

impl std::fmt::Display for Stat {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(plain) => plain.fmt(out),
            Self::Percentile(percent) => write!(out, "p{percent}"),
        }
    }
}

/// Others that AWS knows: trimmed means, counts, sums and ranks.
const UNBUILT: &[&str] = &["tm", "wm", "tc", "ts", "pr", "iqm", "tmm"];

impl Stat {
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Ok(plain) = text.parse() {
            return Ok(Self::Plain(plain));
        }
        let lower = text.to_ascii_lowercase();
        let percent = lower.strip_prefix('p').and_then(|it| it.parse().ok());
        if let Some(percent) = percent.filter(|it| (0.0..=100.0).contains(it)) {
            return Ok(Self::Percentile(percent));
        }
        let unbuilt = UNBUILT.iter().any(|it| {
            lower
                .strip_prefix(it)
                .is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
        });
        let why = match unbuilt {
            true => format!("The statistic {text} is not supported by neargate"),
            false => format!("The value {text} for parameter Stat is not supported."),
        };
        Err(InvalidParameterValueException.because(why))
    }

    pub fn of(self, bucket: &Bucket) -> Option<f64> {
        match self {
            Self::Plain(Statistic::SampleCount) => Some(bucket.count),
            Self::Plain(Statistic::Average) => bucket.average(),
            Self::Plain(Statistic::Sum) => Some(bucket.sum),
            Self::Plain(Statistic::Minimum) => Some(bucket.min),
            Self::Plain(Statistic::Maximum) => Some(bucket.max),
            Self::Percentile(percent) => bucket.percentile(percent),
        }
    }

    /// It grows with the length of the period.
    pub fn is_total(self) -> bool {
        matches!(self, Self::Plain(Statistic::Sum | Statistic::SampleCount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_aws_has_them() {
        assert_eq!(
            Stat::parse("Average").unwrap(),
            Stat::Plain(Statistic::Average)
        );
        assert_eq!(Stat::parse("p99.9").unwrap(), Stat::Percentile(99.9));
        for (text, message) in [
            ("tm90", "The statistic tm90 is not supported by neargate"),
            ("IQM", "The statistic IQM is not supported by neargate"),
            (
                "p101",
                "The value p101 for parameter Stat is not supported.",
            ),
            (
                "Mean",
                "The value Mean for parameter Stat is not supported.",
            ),
        ] {
            assert_eq!(Stat::parse(text).unwrap_err().message, message);
        }
    }
}
