//! Reading a range of a content, a piece at a time.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use engine::{ByteStream, EngineError, Result};
use futures_util::stream;

/// What is read at once. The first piece is as large as the range, up to this, so that small contents
/// are one read.
const PIECE_BYTES: u64 = 512 * 1024;

pub fn stream(file: File, size: u64, range: Option<Range<u64>>) -> Result<ByteStream> {
    let range = range.unwrap_or(0..size);
    if range.start > range.end || range.end > size {
        return Err(EngineError::invalid(format!(
            "bytes {} to {} are outside of a content of {size}",
            range.start, range.end
        )));
    }
    let file = Arc::new(file);
    Ok(Box::pin(stream::try_unfold(range, move |left| {
        let file = file.clone();
        async move {
            if left.is_empty() {
                return Ok(None);
            }
            let end = left.end.min(left.start + PIECE_BYTES);
            let piece = read(file, left.start..end).await?;
            Ok(Some((piece, end..left.end)))
        }
    })))
}

async fn read(file: Arc<File>, range: Range<u64>) -> io::Result<Bytes> {
    let work = tokio::task::spawn_blocking(move || {
        // PIECE_BYTES fits any machine's usize.
        let mut piece = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut piece, range.start)?;
        Ok(Bytes::from(piece))
    });
    work.await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
