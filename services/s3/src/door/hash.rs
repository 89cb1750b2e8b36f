//! The hash that a head says its body has, where no verified signature covers it: `s3s` compares it in
//! the other cases. Who sends one wants it compared.

use std::io;

use futures_util::StreamExt;
use s3s::Body;
use s3s::crypto::{Checksum as _, Sha256};
use s3s::dto::StreamingBlob;

/// Whether `x-amz-content-sha256` is a hash, and not a word.
pub fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// The same body; it fails at its end when its hash is another one.
pub fn compared(body: Body, wanted: String) -> Body {
    let state = Some((body, Sha256::new(), wanted));
    let pieces = futures_util::stream::try_unfold(state, |state| async move {
        let Some((mut body, mut hasher, wanted)) = state else {
            return Ok::<_, io::Error>(None);
        };
        match body.next().await {
            Some(piece) => {
                let piece = piece.map_err(io::Error::other)?;
                hasher.update(&piece);
                Ok(Some((piece, Some((body, hasher, wanted)))))
            }
            None => {
                let hash = hasher.finalize();
                let found: String = hash.iter().map(|it| format!("{it:02x}")).collect();
                match found.eq_ignore_ascii_case(&wanted) {
                    true => Ok(None),
                    false => Err(io::Error::other("the body has another sha256")),
                }
            }
        }
    });
    Body::from(StreamingBlob::wrap(pieces))
}
