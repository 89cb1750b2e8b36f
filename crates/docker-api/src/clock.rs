//! Times as docker writes them.

use std::time::{SystemTime, UNIX_EPOCH};

/// What docker says where there is no time.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

/// RFC 3339 with nanoseconds.
pub fn rfc3339(ms: i64) -> String {
    let (days, ms_of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let (seconds, ms) = (ms_of_day / 1000, ms_of_day % 1000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        ms * 1_000_000
    )
}

pub fn rfc3339_or_never(ms: Option<i64>) -> String {
    ms.map_or_else(|| NEVER.to_owned(), rfc3339)
}

/// The proleptic Gregorian date of a day since 1970 (Howard Hinnant's `civil_from_days`).
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A time that a client gave: seconds since 1970 with a fraction, or RFC 3339 in UTC.
pub fn parse(text: &str) -> Option<i64> {
    if let Some((date, time)) = text.split_once('T') {
        let numbers = |text: &str, sign: char| -> Option<Vec<i64>> {
            text.split(sign).map(|it| it.parse().ok()).collect()
        };
        let date = numbers(date, '-')?;
        let time = time.strip_suffix('Z').unwrap_or(time);
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let time = numbers(time, ':')?;
        let (&[year, month, day], &[hour, minute, second]) = (&date[..], &time[..]) else {
            return None;
        };
        let ms: f64 = format!("0.{fraction}").parse().ok()?;
        let whole = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        return Some(whole * 1000 + (ms * 1000.0) as i64);
    }
    let seconds: f64 = text.parse().ok()?;
    seconds.is_finite().then_some((seconds * 1000.0) as i64)
}

/// A time, or how long before `now_ms`: `24h`, `1h30m`, `1.5s`.
pub fn parse_or_ago(text: &str, now_ms: i64) -> Option<i64> {
    parse(text).or_else(|| Some(now_ms.saturating_sub(duration(text)?)))
}

/// Milliseconds of a duration as Go writes it.
fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 7] = [
        ("ms", 1.0),
        ("us", 0.001),
        ("µs", 0.001),
        ("ns", 0.000_001),
        ("h", 3_600_000.0),
        ("m", 60_000.0),
        ("s", 1000.0),
    ];
    let (mut rest, mut ms) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let (unit, factor) = UNITS.iter().find(|it| rest[end..].starts_with(it.0))?;
        ms += number * factor;
        rest = &rest[end + unit.len()..];
    }
    (!text.is_empty()).then_some(ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123000000Z"),
            (1_795_710_000_000, "2026-11-26T16:20:00.000000000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
            assert_eq!(parse(text), Some(ms));
        }
        assert_eq!(parse("1.5"), Some(1500));
        assert_eq!(parse("soon"), None);
        assert_eq!(parse("2026-11-26T16"), None);
        for (text, ms) in [
            ("1h30m", Some(-5_400_000)),
            ("1.5s", Some(-1500)),
            ("20ms", Some(-20)),
            ("5", Some(5000)),
            ("1x", None),
            ("h", None),
            ("", None),
        ] {
            assert_eq!(parse_or_ago(text, 0), ms, "{text}");
        }
    }
}
