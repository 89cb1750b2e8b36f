//! Clients of Git compress the longer of their questions.

use std::io::Read;

use engine::{EngineError, Result};
use flate2::read::GzDecoder;

/// A question names objects, of which it asks some thousand at most: 41 bytes each.
const QUESTION_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The content of a gzip stream.
pub fn inflate(compressed: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut decoder = GzDecoder::new(compressed).take(QUESTION_BYTES_MAX + 1);
    decoder.read_to_end(&mut out).map_err(|error| {
        EngineError::invalid("the request is not compressed well").because(error)
    })?;
    if out.len() as u64 > QUESTION_BYTES_MAX {
        return Err(EngineError::invalid("the request is too large"));
    }
    Ok(out)
}
