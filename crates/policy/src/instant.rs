//! Points in time as conditions write them: ISO 8601 as IAM reads it, or seconds since 1970.
//!
//! IAM takes more than the profile that it documents: years of any length and below zero, one digit for
//! an hour, no minutes, no zone. What it takes when a policy is put has to mean something afterwards, so
//! that one reader serves both.

/// What IAM takes as a year at most and at least: the range of milliseconds in 64 bits.
const YEAR_MAX: i64 = 292_278_993;
const YEAR_MIN: i64 = -292_275_054;

const DAY_MS: i128 = 86_400_000;

/// In milliseconds since 1970; None when it is no point in time.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    if !text.contains(['t', '-']) {
        return seconds_or_year(&text);
    }
    let (date, time) = text.split_once('t').unwrap_or((&text, ""));
    let ms = day(date)? * DAY_MS + time_ms(time)?;
    let ms = ms.clamp(i64::MIN.into(), i64::MAX.into());
    i64::try_from(ms).ok()
}

/// Four digits are a year in ISO 8601, and no time that anybody would give in seconds.
fn seconds_or_year(text: &str) -> Option<i64> {
    let number = digits(text, 1, 19)?;
    match text.len() <= 4 {
        true => i64::try_from(day(text)? * DAY_MS).ok(),
        false => Some(number.saturating_mul(1000)),
    }
}

/// `[-]year[-month[-day]]`, in days since 1970.
fn day(date: &str) -> Option<i128> {
    let (sign, date) = match date.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, date),
    };
    let mut parts = date.split('-');
    let year = sign * digits(parts.next()?, 1, 9)?;
    let mut part = |max: i64| match parts.next() {
        None => Some(1),
        Some(text) => digits(text, 1, 2).filter(|it| (1..=max).contains(it)),
    };
    let (month, day) = (part(12)?, part(31)?);
    let is_date = parts.next().is_none() && (YEAR_MIN..=YEAR_MAX).contains(&year);
    is_date.then(|| days_since_1970(year, month, day).into())
}

/// Counted in the Gregorian calendar, with years that begin in March, so that the day that some years
/// have more is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    const FROM_YEAR_0_TO_1970: i64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_OF_400_YEARS + day_of_era - FROM_YEAR_0_TO_1970
}

/// `[hours[:minutes[:seconds[.fraction]]]][zone]`, in milliseconds.
fn time_ms(time: &str) -> Option<i128> {
    let (clock, zone) = match time.find(['z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let [hours, minutes, seconds] = match parts[..] {
        [""] => ["0"; 3],
        [hours] => [hours, "0", "0"],
        [hours, minutes] => [hours, minutes, "0"],
        [hours, minutes, seconds] => [hours, minutes, seconds],
        _ => return None,
    };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let (hours, minutes, seconds) = (up_to(hours, 23)?, up_to(minutes, 59)?, up_to(seconds, 59)?);
    let ms = ((hours * 60 + minutes) * 60 + seconds) * 1000;
    Some((ms + fraction_ms(fraction)? - zone_ms(zone)?).into())
}

fn fraction_ms(text: &str) -> Option<i64> {
    let value = digits(text, 1, 9)?;
    let length = u32::try_from(text.len()).ok()?;
    Some(value * 1000 / 10_i64.pow(length))
}

/// `z`, or how far the clock is ahead: `+01`, `+01:00`, `-0500`.
fn zone_ms(zone: &str) -> Option<i64> {
    let sign = match zone.get(..1) {
        None => return Some(0),
        Some("z") => return (zone.len() == 1).then_some(0),
        Some("-") => -1,
        Some(_) => 1,
    };
    let (hours, minutes) = (zone.get(1..3)?, zone.get(3..)?);
    let minutes = match minutes.strip_prefix(':').unwrap_or(minutes) {
        "" if minutes.is_empty() => 0,
        text => digits(text, 2, 2).filter(|it| *it <= 59)?,
    };
    let hours = digits(hours, 2, 2).filter(|it| *it <= 23)?;
    Some(sign * (hours * 60 + minutes) * 60_000)
}

fn up_to(text: &str, max: i64) -> Option<i64> {
    digits(text, 1, 2).filter(|it| *it <= max)
}

/// A number of so many digits and nothing else.
fn digits(text: &str, least: usize, most: usize) -> Option<i64> {
    let is_number = text.bytes().all(|it| it.is_ascii_digit());
    let is_long = (least..=most).contains(&text.len());
    (is_number && is_long).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_are_read_as_iam_reads_them() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2013-08-16T12:00:00Z", Some(1_376_654_400_000)),
            ("2013-08-16T14:00:00+02:00", Some(1_376_654_400_000)),
            ("2013-08-16T07:00:00-0500", Some(1_376_654_400_000)),
            ("2013-08-16t12z", Some(1_376_654_400_000)),
            ("2016-12-13t2:00:00.593194+23", Some(1_481_511_600_593)),
            ("1376654400", Some(1_376_654_400_000)),
            ("2024", Some(1_704_067_200_000)),
            ("2024-02", Some(1_706_745_600_000)),
            ("01T", Some(-62_135_596_800_000)),
            ("1969-12-31T23:59:59.5", Some(-500)),
            ("9223372036854775807", Some(i64::MAX)),
            ("", None),
            ("soon", None),
            ("234-13", None),
            ("2024-01-01-01", None),
            ("2016-12-13t2:00:00.593194+1", None),
            ("2016-12-13t2:00:00.1999999999+10:59", None),
            ("2016-12-13T24:00:00Z", None),
            ("2016-12-13T1:2:3:4", None),
            ("9223372036854775808", None),
            ("-1376654400", None),
            ("2016-12-13T00:00:00Zulu", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert!(parse("-292275054").is_some_and(|it| it < -9_000_000_000_000_000_000));
        assert!(parse("292278993-12-31T23:59:59Z").is_some());
    }
}
