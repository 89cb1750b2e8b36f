//! `Range: bytes=…`, one range at a time.

use std::ops::Range;

#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// There is no range, or one of a kind that may be ignored (RFC 9110, 14.2).
    Whole,
    Part(Range<u64>),
    /// Behind the end.
    Impossible,
}

pub fn parse(header: Option<&str>, length: u64) -> Wanted {
    let range = header.and_then(|header| header.trim().strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return Wanted::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = (first.trim(), last.trim());
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        // The last so many bytes.
        (None, Some(count)) if first.is_empty() => length - count.min(length)..length,
        _ => return Wanted::Whole,
    };
    if part.is_empty() {
        Wanted::Impossible
    } else {
        Wanted::Part(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |header, expect| assert_eq!(parse(Some(header), 10), expect, "{header}");
        check("bytes=0-3", Wanted::Part(0..4));
        check("bytes=5-", Wanted::Part(5..10));
        check("bytes=-3", Wanted::Part(7..10));
        check("bytes=-30", Wanted::Part(0..10));
        check("bytes=2-99999999999999999999999", Wanted::Part(2..10));
        check("bytes=10-", Wanted::Impossible);
        check("bytes=-0", Wanted::Impossible);
        check("bytes=5-2", Wanted::Whole);
        check("bytes=1-2,4-5", Wanted::Whole);
        check("bytes=+1-2", Wanted::Whole);
        check("lines=1-2", Wanted::Whole);
        assert_eq!(parse(None, 10), Wanted::Whole);
    }
}
