//! The file of a form: what stands between its head and the next boundary, as it arrives.

use std::io;
use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use cloud::Error;
use futures_util::StreamExt;
use s3s::Body;
use s3s::dto::StreamingBlob;

use crate::errors::*;
use crate::put::BODY_BYTES_MAX;

struct Reading {
    body: Body,
    read: BytesMut,
    /// A line's end and the boundary.
    end: Vec<u8>,
    lengths: Vec<RangeInclusive<u64>>,
    length: u64,
    is_done: bool,
}

/// The file, which fails where it is shorter or longer than `lengths` say.
pub fn read(body: Body, boundary: &[u8], lengths: Vec<RangeInclusive<u64>>) -> Body {
    let reading = Reading {
        body,
        read: BytesMut::new(),
        end: [b"\r\n--", boundary].concat(),
        lengths,
        length: 0,
        is_done: false,
    };
    let pieces = futures_util::stream::try_unfold(reading, |mut reading| async move {
        let piece = reading.next().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(piece.map(|it| (it, reading)))
    });
    Body::from(StreamingBlob::wrap(pieces))
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.is_done {
                return Ok(None);
            }
            let most = self.lengths.iter().map(|it| *it.end()).min();
            let most = most.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX);
            if let Some(piece) = self.take() {
                self.length += piece.len() as u64;
                if self.is_done {
                    self.check(most)?;
                }
                // What is too long is counted to its end, and kept nowhere.
                if self.length <= most && !piece.is_empty() {
                    return Ok(Some(piece));
                }
                if self.length > BODY_BYTES_MAX {
                    self.check(most)?;
                }
                continue;
            }
            let piece = self.body.next().await;
            let piece = piece.ok_or_else(super::malformed_form)?;
            self.read
                .extend_from_slice(&piece.map_err(|_| super::malformed_form())?);
        }
    }

    /// What is the file's for sure, of what has arrived.
    fn take(&mut self) -> Option<Bytes> {
        if let Some(at) = super::find(&self.read, &self.end) {
            self.is_done = true;
            return Some(self.read.split_to(at).freeze());
        }
        let kept = self.end.len() - 1;
        let sure = self.read.len().checked_sub(kept).filter(|it| *it > 0)?;
        Some(self.read.split_to(sure).freeze())
    }

    fn check(&self, most: u64) -> Result<(), Error> {
        if self.length > most {
            return Err(EntityTooLarge
                .because("Your proposed upload exceeds the maximum allowed size")
                .about("ProposedSize", self.length.to_string())
                .about("MaxSizeAllowed", most.to_string()));
        }
        let least = self.lengths.iter().map(|it| *it.start()).max();
        let least = least.unwrap_or(0);
        if self.length < least {
            return Err(EntityTooSmall
                .because("Your proposed upload is smaller than the minimum allowed size")
                .about("ProposedSize", self.length.to_string())
                .about("MinSizeAllowed", least.to_string()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, piece: usize, lengths: &[RangeInclusive<u64>]) -> Result<String, String> {
        let pieces: Vec<_> = (text.as_bytes().chunks(piece))
            .map(|it| Ok::<_, io::Error>(Bytes::copy_from_slice(it)))
            .collect();
        let body = Body::from(StreamingBlob::wrap(futures_util::stream::iter(pieces)));
        let mut file = read(body, b"edge", lengths.to_vec());
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let mut all = Vec::new();
            while let Some(piece) = file.next().await {
                let piece = piece.map_err(|it| crate::put::refusal_in(&*it).map(|it| it.code));
                all.extend_from_slice(&piece.map_err(|it| it.unwrap_or("?").to_owned())?);
            }
            Ok(String::from_utf8(all).unwrap())
        })
    }

    #[test]
    fn a_file_ends_at_the_boundary() {
        for piece in [1, 3, 100] {
            for text in ["", "x", "hello\r\n-", "\r\n--edg"] {
                let sent = format!("{text}\r\n--edge--\r\nmore");
                assert_eq!(file(&sent, piece, &[]).as_deref(), Ok(text), "{piece}");
                let cut = file(text, piece, &[]);
                assert_eq!(cut, Err("MalformedPOSTRequest".into()), "{piece}");
            }
            let long = |lengths: &[RangeInclusive<u64>]| file("hello\r\n--edge", piece, lengths);
            assert_eq!(long(&[1..=5]).as_deref(), Ok("hello"));
            assert_eq!(long(&[1..=3]), Err("EntityTooLarge".into()));
            assert_eq!(long(&[6..=9]), Err("EntityTooSmall".into()));
        }
    }
}
