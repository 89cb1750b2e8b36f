//! Reading a stream's file: from any offset, either way, a bounded piece at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use engine::{LogEvent, LogQuery, parse_log_line};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

/// Read at once.
const PIECE_BYTES: usize = 64 << 10;
/// The longest line that is read; the longest message is 1 MiB and escaping may double it. A longer
/// line is passed over.
const LINE_BYTES_MAX: usize = (2 << 20) + 100;
/// A page ends when its messages have this many bytes, so that a high limit is not a lot of memory.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Where the file's events begin: what expired is a hole, and zeros up to the block's end.
pub fn data_start(file: &File) -> io::Result<u64> {
    let start = match lseek(file.as_fd(), 0, Whence::SeekData) {
        Ok(start) => start.cast_unsigned(),
        // Nothing but a hole, or nothing at all.
        Err(Errno::ENXIO) => return Ok(file.metadata()?.len()),
        Err(errno) => return Err(errno.into()),
    };
    let mut reader = BufReader::with_capacity(PIECE_BYTES, file);
    reader.seek(SeekFrom::Start(start))?;
    let mut at = start;
    loop {
        let piece = reader.fill_buf()?;
        let zeros = piece.iter().take_while(|byte| **byte == 0).count();
        let (ended, all_zeros) = (piece.is_empty(), zeros == piece.len());
        at += zeros as u64;
        if ended || !all_zeros {
            return Ok(at);
        }
        reader.consume(zeros);
    }
}

/// The events that a query asks for, oldest first.
pub fn read(file: &File, query: &LogQuery) -> io::Result<Vec<LogEvent>> {
    let mut page = Page::new(query);
    if query.limit == 0 {
        return Ok(Vec::new());
    }
    if query.backward {
        let end = query.offset.unwrap_or(u64::MAX).min(file.metadata()?.len());
        lines_backward(file, end, |line, offset| page.add(line, offset))?;
        page.events.reverse();
    } else {
        lines_forward(file, query.offset.unwrap_or(0), |line, offset| {
            page.add(line, offset)
        })?;
    }
    Ok(page.events)
}

/// The first event, and the last.
pub fn ends(file: &File) -> io::Result<(Option<LogEvent>, Option<LogEvent>)> {
    let one = |backward| LogQuery {
        backward,
        limit: 1,
        ..LogQuery::default()
    };
    let first = read(file, &one(false))?.pop();
    let last = read(file, &one(true))?.pop();
    Ok((first, last))
}

struct Page<'a> {
    query: &'a LogQuery,
    events: Vec<LogEvent>,
    bytes: usize,
}

impl<'a> Page<'a> {
    fn new(query: &'a LogQuery) -> Self {
        Self {
            query,
            events: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a line when it is an event that is asked for. False when the page is full.
    fn add(&mut self, line: &[u8], offset: u64) -> bool {
        if !self.wants(line) {
            return true;
        }
        if let Some(event) = parse_log_line(&String::from_utf8_lossy(line), offset) {
            self.bytes += event.message.len();
            self.events.push(event);
        }
        self.events.len() < self.query.limit && self.bytes < PAGE_BYTES_MAX
    }

    /// Looks at the time alone, which most lines of a large file are passed over by.
    fn wants(&self, line: &[u8]) -> bool {
        let Some(timestamp) = timestamp(line) else {
            return false;
        };
        self.query.from_ms.is_none_or(|from| timestamp >= from)
            && self.query.until_ms.is_none_or(|until| timestamp < until)
    }
}

pub fn timestamp(line: &[u8]) -> Option<i64> {
    let end = line.iter().position(|byte| *byte == b' ')?;
    std::str::from_utf8(&line[..end]).ok()?.parse().ok()
}

/// Gives every whole line that begins at or after the offset, until told to stop. What follows the
/// last line feed is a line that is still being written, or never was finished: no event.
pub fn lines_forward(
    file: &File,
    from: u64,
    mut each: impl FnMut(&[u8], u64) -> bool,
) -> io::Result<()> {
    let start = data_start(file)?;
    let mut at = from.max(start);
    let mut reader = BufReader::with_capacity(PIECE_BYTES, file);
    if at > start {
        // Within a line, the next one is meant; the byte before tells.
        at -= 1;
        reader.seek(SeekFrom::Start(at))?;
        at += skip_line(&mut reader)?;
    } else {
        reader.seek(SeekFrom::Start(at))?;
    }
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = LINE_BYTES_MAX as u64;
        let count = reader.by_ref().take(limit).read_until(b'\n', &mut line)? as u64;
        if line.pop() != Some(b'\n') {
            if count < limit {
                return Ok(());
            }
            at += count + skip_line(&mut reader)?;
        } else {
            if !each(&line, at) {
                return Ok(());
            }
            at += count;
        }
    }
}

/// Passes over the rest of a line; returns how many bytes that were.
fn skip_line(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(skipped);
        }
        let feed = piece.iter().position(|byte| *byte == b'\n');
        let count = feed.map_or(piece.len(), |at| at + 1);
        reader.consume(count);
        skipped += count as u64;
        if feed.is_some() {
            return Ok(skipped);
        }
    }
}

/// Gives every whole line that ends at or before the offset, the last one first, until told to stop.
pub fn lines_backward(
    file: &File,
    end: u64,
    mut each: impl FnMut(&[u8], u64) -> bool,
) -> io::Result<()> {
    let start = data_start(file)?;
    let mut tail = Tail::default();
    let mut at = end;
    while at > start {
        let from = at.saturating_sub(PIECE_BYTES as u64).max(start);
        let mut piece = vec![0; (at - from) as usize];
        file.read_exact_at(&mut piece, from)?;
        at = from;
        let mut unread = piece.as_slice();
        while let Some(feed) = unread.iter().rposition(|byte| *byte == b'\n') {
            let line_start = from + feed as u64 + 1;
            tail.prepend(&unread[feed + 1..]);
            if let Some(line) = tail.finish()
                && !each(line, line_start)
            {
                return Ok(());
            }
            tail.begin();
            unread = &unread[..feed];
        }
        tail.prepend(unread);
    }
    if let Some(line) = tail.finish() {
        each(line, start);
    }
    Ok(())
}

/// A line that is met from its end. Kept reversed, so that what comes in front is appended.
#[derive(Default)]
struct Tail {
    reversed: Vec<u8>,
    line: Vec<u8>,
    /// A line feed was met behind it.
    whole: bool,
    too_long: bool,
}

impl Tail {
    fn begin(&mut self) {
        self.reversed.clear();
        self.whole = true;
        self.too_long = false;
    }

    fn prepend(&mut self, bytes: &[u8]) {
        if self.reversed.len() + bytes.len() > LINE_BYTES_MAX {
            self.too_long = true;
            self.reversed.clear();
        }
        if self.whole && !self.too_long {
            self.reversed.extend(bytes.iter().rev());
        }
    }

    fn finish(&mut self) -> Option<&[u8]> {
        if !self.whole || self.too_long {
            return None;
        }
        self.line.clear();
        self.line.extend(self.reversed.iter().rev());
        Some(&self.line)
    }
}
