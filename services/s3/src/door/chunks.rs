//! The frames of a body that comes in chunks (`aws-chunked`; API reference, "Transferring Payload in
//! Multiple Chunks").
//!
//! `s3s` takes the frames off and compares the signature of each chunk. It does not notice a body that
//! ends between two chunks, or that has lost what follows the last one, and holds each chunk in memory
//! whole, however large. That is what these frames are watched for on their way to it.

use std::{fmt, io};

use bytes::Bytes;
use futures_util::StreamExt;
use s3s::Body;
use s3s::dto::StreamingBlob;

/// A chunk is held until its signature is compared. Clients send between 64 KiB and 1 MiB.
const SIGNED_CHUNK_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A size in hexadecimal digits and a signature.
const LINE_BYTES_MAX: usize = 256;
/// One checksum and one signature.
const TRAILER_BYTES_MAX: usize = 2048;
const SIGNATURE: &str = "x-amz-trailer-signature";

/// What a head says of a body in chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framing {
    /// Each chunk has a signature of its own.
    pub signed: bool,
    /// Of all chunks together.
    pub length: u64,
    /// The names of what follows the last chunk, in small letters.
    pub trailers: Vec<String>,
}

/// Why a body is not what its head announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkFlaw {
    Ended,
    Malformed,
    TooLong,
    ChunkTooLarge,
    Trailer,
}

impl fmt::Display for ChunkFlaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Ended => "the body ended before its last chunk",
            Self::Malformed => "a chunk is malformed",
            Self::TooLong => "there is more than was announced",
            Self::ChunkTooLarge => "a chunk is too large",
            Self::Trailer => "what follows the last chunk is not what was announced",
        })
    }
}

impl std::error::Error for ChunkFlaw {}

/// The same body; it fails where it is not what `framing` says.
pub fn watch(body: Body, framing: Framing) -> Body {
    let state = Some((body, Frames::new(framing)));
    let frames = futures_util::stream::try_unfold(state, |state| async move {
        let Some((mut body, mut frames)) = state else {
            return Ok::<_, io::Error>(None);
        };
        let mut out = Vec::new();
        let rest = match body.next().await {
            Some(bytes) => {
                let bytes = bytes.map_err(io::Error::other)?;
                frames.push(bytes, &mut out).map_err(io::Error::other)?;
                Some((body, frames))
            }
            None => {
                frames.finish().map_err(io::Error::other)?;
                None
            }
        };
        let out = futures_util::stream::iter(out.into_iter().map(Ok));
        Ok(Some((out, rest)))
    });
    let pieces = frames.map(|it| match it {
        Ok(pieces) => pieces.left_stream(),
        Err(error) => futures_util::stream::iter([Err(error)]).right_stream(),
    });
    Body::from(StreamingBlob::wrap(pieces.flatten()))
}

enum State {
    /// Within the line before a chunk.
    Line,
    Data {
        left: u64,
    },
    /// Within the two characters after a chunk.
    End {
        left: u8,
    },
    Trailer,
}

struct Frames {
    framing: Framing,
    state: State,
    line: Vec<u8>,
    seen: u64,
}

impl Frames {
    fn new(framing: Framing) -> Self {
        Self {
            framing,
            state: State::Line,
            line: Vec::new(),
            seen: 0,
        }
    }

    /// Takes what has arrived, and gives what is to go on. What is not signed is cut into chunks anew,
    /// as it arrives, so that a large one is held by nobody.
    fn push(&mut self, mut bytes: Bytes, out: &mut Vec<Bytes>) -> Result<(), ChunkFlaw> {
        while !bytes.is_empty() {
            match self.state {
                State::Line => {
                    let end = bytes.iter().position(|it| *it == b'\n');
                    let taken = bytes.split_to(end.map_or(bytes.len(), |it| it + 1));
                    if self.line.len() + taken.len() > LINE_BYTES_MAX {
                        return Err(ChunkFlaw::Malformed);
                    }
                    self.line.extend_from_slice(&taken);
                    if end.is_some() {
                        self.begin(out)?;
                    }
                }
                State::Data { left } => {
                    let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let piece = bytes.split_to(length);
                    let left = left - length as u64;
                    self.state = match left {
                        0 => State::End { left: 2 },
                        left => State::Data { left },
                    };
                    if self.framing.signed {
                        out.push(piece);
                    } else {
                        out.push(Bytes::from(format!("{length:x}\r\n")));
                        out.push(piece);
                        out.push(Bytes::from_static(b"\r\n"));
                    }
                }
                State::End { left } => {
                    let expected = if left == 2 { b'\r' } else { b'\n' };
                    let byte = bytes.split_to(1);
                    if byte[0] != expected {
                        return Err(ChunkFlaw::Malformed);
                    }
                    self.state = match left {
                        2 => State::End { left: 1 },
                        _ => State::Line,
                    };
                    if self.framing.signed {
                        out.push(byte);
                    }
                }
                State::Trailer => {
                    if self.line.len() + bytes.len() > TRAILER_BYTES_MAX {
                        return Err(ChunkFlaw::Trailer);
                    }
                    self.line.extend_from_slice(&bytes);
                    out.push(std::mem::take(&mut bytes));
                }
            }
        }
        Ok(())
    }

    /// The line before a chunk is there.
    fn begin(&mut self, out: &mut Vec<Bytes>) -> Result<(), ChunkFlaw> {
        let line = std::mem::take(&mut self.line);
        let text = std::str::from_utf8(&line).ok();
        let text = text.and_then(|it| it.strip_suffix("\r\n"));
        let text = text.ok_or(ChunkFlaw::Malformed)?;
        let (digits, has_signature) = match text.split_once(';') {
            Some((digits, more)) => (digits, more.starts_with("chunk-signature=")),
            None => (text, false),
        };
        let plain = digits.len() <= 8 && digits.bytes().all(|it| it.is_ascii_hexdigit());
        let size = u64::from_str_radix(digits, 16).ok().filter(|_| plain);
        let size = size.ok_or(ChunkFlaw::Malformed)?;
        if has_signature != self.framing.signed {
            return Err(ChunkFlaw::Malformed);
        }
        if self.framing.signed && size > SIGNED_CHUNK_BYTES_MAX {
            return Err(ChunkFlaw::ChunkTooLarge);
        }
        self.seen += size;
        if self.seen > self.framing.length {
            return Err(ChunkFlaw::TooLong);
        }
        self.state = match size {
            0 => State::Trailer,
            left => State::Data { left },
        };
        if self.framing.signed || size == 0 {
            out.push(Bytes::from(line));
        }
        Ok(())
    }

    /// The body has ended.
    fn finish(&self) -> Result<(), ChunkFlaw> {
        if !matches!(self.state, State::Trailer) || self.seen != self.framing.length {
            return Err(ChunkFlaw::Ended);
        }
        let text = std::str::from_utf8(&self.line).map_err(|_| ChunkFlaw::Trailer)?;
        let mut names = Vec::new();
        for line in text.lines().filter(|it| !it.is_empty()) {
            let (name, _) = line.split_once(':').ok_or(ChunkFlaw::Trailer)?;
            names.push(name.to_ascii_lowercase());
        }
        let mut expected = self.framing.trailers.clone();
        if self.framing.signed && !expected.is_empty() {
            expected.push(SIGNATURE.into());
        }
        names.sort_unstable();
        expected.sort_unstable();
        if names != expected {
            return Err(ChunkFlaw::Trailer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(signed: bool, length: u64, trailers: &[&str]) -> Framing {
        Framing {
            signed,
            length,
            trailers: trailers.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    /// However the bytes arrive, the same goes on.
    fn watched(framing: &Framing, body: &str) -> Result<String, ChunkFlaw> {
        let mut results = Vec::new();
        for size in [1, 3, 7, body.len().max(1)] {
            let mut frames = Frames::new(framing.clone());
            let mut out = Vec::new();
            let pieces = body.as_bytes().chunks(size);
            let mut result = Ok(());
            for piece in pieces {
                result = result.and_then(|()| frames.push(Bytes::copy_from_slice(piece), &mut out));
            }
            results.push(result.and_then(|()| frames.finish()).map(|()| out.concat()));
        }
        let last = results.pop().unwrap();
        for one in results {
            assert_eq!(one.is_ok(), last.is_ok(), "{body}");
        }
        last.map(|it| String::from_utf8(it).unwrap())
    }

    #[test]
    fn signed_chunks_go_on_as_they_are() {
        let body = "5;chunk-signature=a\r\nhello\r\n0;chunk-signature=b\r\n\r\n";
        assert_eq!(watched(&framing(true, 5, &[]), body).unwrap(), body);
        let trailer = "3;chunk-signature=a\r\nabc\r\n0;chunk-signature=b\r\nx-amz-checksum-crc32:AA==\r\nx-amz-trailer-signature:c\r\n\r\n";
        let wanted = framing(true, 3, &["x-amz-checksum-crc32"]);
        assert_eq!(watched(&wanted, trailer).unwrap(), trailer);
    }

    #[test]
    fn open_chunks_are_cut_as_they_arrive() {
        let wanted = framing(false, 5, &["x-amz-checksum-crc32"]);
        let body = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n";
        assert_eq!(watched(&wanted, body).unwrap(), body);
        let mut frames = Frames::new(wanted);
        let mut out = Vec::new();
        for piece in ["5\r\nhe", "llo\r\n"] {
            frames.push(Bytes::from(piece), &mut out).unwrap();
        }
        assert_eq!(out.concat(), b"2\r\nhe\r\n3\r\nllo\r\n");
    }

    #[test]
    fn what_is_cut_or_added_is_noticed() {
        let open = framing(false, 5, &["x-amz-checksum-crc32"]);
        let signed = framing(true, 5, &[]);
        let trailed = framing(true, 5, &["x-amz-checksum-crc32"]);
        let chunk = "5;chunk-signature=a\r\nhello\r\n";
        let end = "0;chunk-signature=b\r\n";
        for (framing, body, flaw) in [
            (&signed, String::new(), ChunkFlaw::Ended),
            (&signed, chunk.to_owned(), ChunkFlaw::Ended),
            (&signed, format!("{end}\r\n"), ChunkFlaw::Ended),
            (&signed, format!("{chunk}{chunk}{end}"), ChunkFlaw::TooLong),
            (&signed, format!("{chunk}{end}a:b\r\n"), ChunkFlaw::Trailer),
            (&trailed, format!("{chunk}{end}\r\n"), ChunkFlaw::Trailer),
            (
                &trailed,
                format!("{chunk}{end}x-amz-checksum-crc32:A\r\n\r\n"),
                ChunkFlaw::Trailer,
            ),
            (&open, chunk.to_owned(), ChunkFlaw::Malformed),
            (&open, "5\r\nhello\r\n0\r\n\r\n".into(), ChunkFlaw::Trailer),
            (&signed, "5\r\nhello\r\n0\r\n".into(), ChunkFlaw::Malformed),
            (
                &signed,
                "ffffffff;chunk-signature=a\r\n".into(),
                ChunkFlaw::ChunkTooLarge,
            ),
            (&open, "ffffffffff\r\n".into(), ChunkFlaw::Malformed),
            (&open, "+5\r\nhello\r\n".into(), ChunkFlaw::Malformed),
            (&open, "5\r\nhelloXX".into(), ChunkFlaw::Malformed),
            (&open, "0".repeat(300), ChunkFlaw::Malformed),
        ] {
            assert_eq!(watched(framing, &body), Err(flaw), "{body}");
        }
    }
}
