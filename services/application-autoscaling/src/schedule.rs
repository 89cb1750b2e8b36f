//! Schedules: `at(…)`, `rate(…)` and `cron(…)`, and when they are next. Pure. Times are by the clock
//! on the wall, whatever the pace is.

use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    At(i64),
    /// Every so many milliseconds.
    Rate(i64),
    Cron(Box<Cron>, Tz),
}

/// How a name of a time zone is read. None given is UTC.
fn zone(name: Option<&str>) -> Result<Tz, String> {
    let name = name.unwrap_or("UTC");
    name.parse()
        .map_err(|_| format!("Invalid timezone: {name}"))
}

pub fn parse(text: &str, timezone: Option<&str>) -> Result<Schedule, String> {
    let wrong = || format!("Invalid schedule expression: {text}");
    let zone = zone(timezone)?;
    let (kind, rest) = text.trim().split_once('(').ok_or_else(wrong)?;
    let inner = rest.strip_suffix(')').ok_or_else(wrong)?.trim();
    match kind {
        "at" => {
            let local = NaiveDateTime::parse_from_str(inner, "%Y-%m-%dT%H:%M:%S");
            let local = local.map_err(|_| wrong())?;
            // A time that a clock change leaves out is the first one after it.
            let at = zone.from_local_datetime(&local).earliest();
            let at = at.or_else(|| {
                let later = local.checked_add_signed(chrono::TimeDelta::hours(1))?;
                zone.from_local_datetime(&later).earliest()
            });
            Ok(Schedule::At(at.ok_or_else(wrong)?.timestamp_millis()))
        }
        "rate" => {
            let (count, unit) = inner.split_once(' ').ok_or_else(wrong)?;
            let count: i64 = count.parse().ok().filter(|it| *it > 0).ok_or_else(wrong)?;
            let minutes = match (unit.trim(), count) {
                ("minute", 1) | ("minutes", 2..) => 1,
                ("hour", 1) | ("hours", 2..) => 60,
                ("day", 1) | ("days", 2..) => 24 * 60,
                _ => return Err(wrong()),
            };
            let ms = count.checked_mul(minutes * 60_000).ok_or_else(wrong)?;
            Ok(Schedule::Rate(ms))
        }
        "cron" => Ok(Schedule::Cron(
            Box::new(cron(inner).ok_or_else(wrong)?),
            zone,
        )),
        _ => Err(wrong()),
    }
}

/// Six fields, the last of which is the year; weekdays count from Sunday, which is 1. One of the two
/// kinds of days is a `?`.
fn cron(inner: &str) -> Option<Cron> {
    let fields: Vec<&str> = inner.split_whitespace().collect();
    let [_, _, day_of_month, _, day_of_week, _] = fields[..] else {
        return None;
    };
    if (day_of_month == "?") == (day_of_week == "?") {
        return None;
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        .alternative_weekdays(true)
        .sloppy_ranges(true)
        .build();
    parser.parse(&format!("0 {inner}")).ok()
}

impl Schedule {
    /// The first time after `after_ms`. `since_ms` is where a rate counts from.
    pub fn next(&self, since_ms: i64, after_ms: i64) -> Option<i64> {
        match self {
            Self::At(at) => Some(*at).filter(|it| *it > after_ms),
            Self::Rate(every) => {
                let passed = after_ms.saturating_sub(since_ms).max(0) / every;
                // A rate of more years than there are comes round never.
                (passed + 1).checked_mul(*every)?.checked_add(since_ms)
            }
            Self::Cron(cron, zone) => {
                let after: DateTime<Utc> = Utc.timestamp_millis_opt(after_ms).single()?;
                let next = cron.find_next_occurrence(&after.with_timezone(zone), false);
                Some(next.ok()?.timestamp_millis())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After Thursday, 26 November 2026, 16:20 UTC.
    fn next(text: &str, timezone: Option<&str>) -> String {
        let after = Utc.with_ymd_and_hms(2026, 11, 26, 16, 20, 0).unwrap();
        let after_ms = after.timestamp_millis();
        match parse(text, timezone) {
            Err(why) => why,
            Ok(schedule) => match schedule.next(after_ms - 90_000, after_ms) {
                None => "never".into(),
                Some(ms) => Utc.timestamp_millis_opt(ms).unwrap().to_rfc3339(),
            },
        }
    }

    #[test]
    fn schedules_as_aws_has_them() {
        for (text, timezone, expect) in [
            ("at(2026-11-27T08:00:00)", None, "2026-11-27T08:00:00+00:00"),
            (
                "at(2026-11-27T08:00:00)",
                Some("Europe/Berlin"),
                "2026-11-27T07:00:00+00:00",
            ),
            ("at(2026-11-26T08:00:00)", None, "never"),
            ("rate(1 minute)", None, "2026-11-26T16:20:30+00:00"),
            ("rate(2 hours)", None, "2026-11-26T18:18:30+00:00"),
            ("cron(0 8 * * ? *)", None, "2026-11-27T08:00:00+00:00"),
            (
                "cron(0 8 * * ? *)",
                Some("America/New_York"),
                "2026-11-27T13:00:00+00:00",
            ),
            // 1 is Sunday.
            ("cron(30 9 ? * 1 *)", None, "2026-11-29T09:30:00+00:00"),
            (
                "cron(30 9 ? * MON-FRI *)",
                None,
                "2026-11-27T09:30:00+00:00",
            ),
            ("cron(0/15 * * * ? *)", None, "2026-11-26T16:30:00+00:00"),
            ("cron(0 0 L * ? *)", None, "2026-11-30T00:00:00+00:00"),
            ("cron(0 8 1 1 ? 2028)", None, "2028-01-01T08:00:00+00:00"),
        ] {
            assert_eq!(next(text, timezone), expect, "{text} {timezone:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in [
            "daily",
            "at(tomorrow)",
            "rate(1 minutes)",
            "rate(0 minutes)",
            "rate(5 weeks)",
            "cron(0 8 * * *)",
            "cron(0 8 * * * *)",
            "cron(0 8 ? * ? *)",
            "cron(61 8 * * ? *)",
        ] {
            assert_eq!(
                next(text, None),
                format!("Invalid schedule expression: {text}")
            );
        }
        assert_eq!(next("rate(1 day)", Some("Mars")), "Invalid timezone: Mars");
    }
}
