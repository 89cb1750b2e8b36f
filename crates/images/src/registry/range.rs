//! `Range` of a blob's GET, and `Content-Range` of an upload's chunk.

/// What a `Range` header asks of something with a size.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Everything: no range, or one in a form that may be ignored (RFC 9110, 14.2).
    Whole,
    /// First byte and count.
    Part {
        start: u64,
        length: u64,
    },
    Unsatisfiable,
}

pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(range) = header.and_then(|header| header.strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((start, end)) = range.trim().split_once('-') else {
        return Wanted::Whole;
    };
    let (start, end_exclusive) = match (start.parse::<u64>(), end.parse::<u64>()) {
        (Ok(start), Ok(end)) if start <= end => (start, end.saturating_add(1).min(size)),
        (Ok(start), Err(_)) if end.is_empty() => (start, size),
        (Err(_), Ok(last)) if start.is_empty() => (size.saturating_sub(last), size),
        // Several ranges at once, or nonsense.
        _ => return Wanted::Whole,
    };
    if start >= end_exclusive {
        return Wanted::Unsatisfiable;
    }
    Wanted::Part {
        start,
        length: end_exclusive - start,
    }
}

/// `<first>-<last>` of a chunk, with or without the unit before and the size behind.
pub fn chunk(header: &str) -> Option<(u64, u64)> {
    let range = header.trim();
    let range = range.strip_prefix("bytes").map_or(range, str::trim_start);
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let part = |start, length| Wanted::Part { start, length };
        let check = |header: &str, expected| assert_eq!(wanted(Some(header), 10), expected);
        check("bytes=0-3", part(0, 4));
        check("bytes=4-", part(4, 6));
        check("bytes=4-99", part(4, 6));
        check("bytes=-3", part(7, 3));
        check("bytes=-99", part(0, 10));
        check("bytes=10-", Wanted::Unsatisfiable);
        check("bytes=-0", Wanted::Unsatisfiable);
        check("bytes=0-1,3-4", Wanted::Whole);
        check("lines=0-1", Wanted::Whole);
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }

    #[test]
    fn chunks_are_read() {
        assert_eq!(chunk("0-9"), Some((0, 9)));
        assert_eq!(chunk("bytes 10-19/*"), Some((10, 19)));
        assert_eq!(chunk("9-0"), None);
        assert_eq!(chunk("x"), None);
    }
}
