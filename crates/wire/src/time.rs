//! Times: seconds since 1970 inside, ISO 8601 in XML, a number in JSON.

use crate::decoder::Decoder;
use crate::node::Node;
use crate::value::Value;

/// A point in time: seconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Timestamp(pub f64);

impl Value for Timestamp {
    fn set(&mut self, node: Node, cx: &mut Decoder) {
        match node {
            Node::Str(text) => match from_iso(&text).or_else(|| text.parse().ok()) {
                Some(seconds) if f64::is_finite(seconds) => self.0 = seconds,
                _ => cx.wrong_type("a Timestamp", &Node::Str(text)),
            },
            Node::Time(seconds) => self.0 = seconds,
            node => self.0.set(node, cx),
        }
    }
    fn get(&self) -> Node {
        Node::Time(self.0)
    }
}

impl Timestamp {
    /// `2026-11-22T12:34:56Z`, also with a fraction and with an offset.
    pub fn from_iso8601(text: &str) -> Option<Self> {
        from_iso(text).map(Self)
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&to_iso(self.0))
    }
}

const SECONDS_PER_DAY: i64 = 86_400;
/// Days from 0000-03-01, where the calendar's 400 years begin, to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;
const DAYS_PER_400_YEARS: i64 = 146_097;

/// `2026-11-22T12:34:56Z`, also with a fraction and with an offset.
pub(crate) fn from_iso(text: &str) -> Option<f64> {
    let digits = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| part.parse().ok())?
    };
    let separators = [(4, '-'), (7, '-'), (10, 'T'), (13, ':'), (16, ':')];
    if separators
        .iter()
        .any(|(at, sign)| !text.get(*at..).is_some_and(|t| t.starts_with(*sign)))
    {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let whole =
        days_since_1970(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    let rest = &text[19..];
    let zone_at = rest
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(zone_at);
    let fraction = if fraction.is_empty() {
        0.0
    } else {
        format!("0{fraction}").parse::<f64>().ok()?
    };
    Some((whole - offset_seconds(zone)?) as f64 + fraction)
}

fn offset_seconds(zone: &str) -> Option<i64> {
    let sign = match zone.get(..1) {
        None => return Some(0),
        Some("Z" | "z") => return (zone.len() == 1).then_some(0),
        Some("+") => 1,
        Some("-") => -1,
        Some(_) => return None,
    };
    let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
    let number: i64 = (digits.len() == 4).then(|| digits.parse().ok())??;
    Some(sign * (number / 100 * 3600 + number % 100 * 60))
}

/// The civil calendar, counted from March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - DAYS_BEFORE_1970
}

/// `2026-11-22T12:34:56Z`, with milliseconds where there are any.
pub(crate) fn to_iso(seconds: f64) -> String {
    let millis = (seconds * 1000.0).round() as i64;
    let (whole, millis) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let (days, second) = (
        whole.div_euclid(SECONDS_PER_DAY) + DAYS_BEFORE_1970,
        whole.rem_euclid(SECONDS_PER_DAY),
    );
    let era = days.div_euclid(DAYS_PER_400_YEARS);
    let day_of_era = days.rem_euclid(DAYS_PER_400_YEARS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let fraction = if millis == 0 {
        String::new()
    } else {
        format!(".{millis:03}")
    };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_times_come_back_as_they_went() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0.0),
            ("2000-02-29T23:59:59Z", 951_868_799.0),
            ("2026-11-22T12:34:56Z", 1_795_350_896.0),
            ("2026-11-22T12:34:56.789Z", 1_795_350_896.789),
            ("1969-12-31T23:59:59Z", -1.0),
        ] {
            assert_eq!(from_iso(text), Some(seconds), "{text}");
            assert_eq!(to_iso(seconds), text);
        }
        assert_eq!(from_iso("2026-11-22T13:34:56+01:00"), Some(1_795_350_896.0));
        for bad in [
            "",
            "2026",
            "2026-13-01T00:00:00Z",
            "2026-11-22 12:34:56",
            "2026-11-22T12:34:56x",
            "ééééééééééééééé",
        ] {
            assert_eq!(from_iso(bad), None, "{bad}");
        }
    }
}
