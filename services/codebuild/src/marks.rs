//! What a build's container has written of its progress. It is written by hostile code: nothing but
//! the report of that very build depends on it, and what makes no sense is left out.

/// More marks than any build makes: two for a phase, two for a command.
const MARKS_MAX: usize = 100_000;
/// So many bytes of marks are read.
pub const BYTES_MAX: u64 = 8 << 20;
/// So many bytes of exported variables are read.
pub const EXPORTED_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    Enter(String),
    /// A command begins.
    Run(usize),
    Failed {
        step: usize,
        status: i32,
    },
    Leave {
        phase: String,
        succeeded: bool,
    },
    /// A runtime that the image has not.
    Missing(String),
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TimedMark {
    /// Seconds since 1970.
    pub at: f64,
    pub mark: Mark,
}

pub fn read(text: &str) -> Vec<TimedMark> {
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(line).take(MARKS_MAX).collect()
}

fn line(text: &str) -> Option<TimedMark> {
    let mut words = text.split(' ');
    let nanoseconds: u64 = words.next()?.parse().ok()?;
    let mark = match (words.next()?, words.next(), words.next()) {
        ("enter", Some(phase), None) => Mark::Enter(phase.into()),
        ("run", Some(step), None) => Mark::Run(step.parse().ok()?),
        ("failed", Some(step), Some(status)) => Mark::Failed {
            step: step.parse().ok()?,
            status: status.parse().ok()?,
        },
        ("leave", Some(phase), Some(state)) => Mark::Leave {
            phase: phase.into(),
            succeeded: state == "SUCCEEDED",
        },
        ("missing", Some(runtime), None) => Mark::Missing(runtime.into()),
        ("end", None, None) => Mark::End,
        _ => return None,
    };
    Some(TimedMark {
        at: nanoseconds as f64 / 1e9,
        mark,
    })
}

/// Names and values, each ended by a zero byte.
pub fn read_exported(bytes: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(bytes);
    text.split_terminator('\0')
        .filter_map(|it| it.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_and_half_lines_are_left_out() {
        let text =
            "1500000000 enter BUILD\nx y\n2000000000 run\n2000000000 failed 1 2\n3000000000 en";
        let marks = read(text);
        assert_eq!(marks.len(), 2);
        assert_eq!(marks[0].at, 1.5);
        assert_eq!(marks[1].mark, Mark::Failed { step: 1, status: 2 });
        assert_eq!(
            read_exported(b"A=1=2\0B=\nx\0c\0"),
            [("A".into(), "1=2".into()), ("B".into(), "\nx".into())]
        );
    }
}
