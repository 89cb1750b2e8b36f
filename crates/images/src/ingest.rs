//! A body on its way into a blob: received on an async task, hashed and written on a blocking
//! thread, with few pieces between the two.

use std::error::Error;

use bytes::Bytes;
use engine::{EngineError, Result};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::blobs::BlobWriter;
use crate::limits::{CHUNKS_IN_FLIGHT, READ_TIMEOUT};
use crate::store::blocking;

/// How a body ended.
pub enum Received {
    /// To its last byte.
    Whole,
    /// It broke off: the sender went away, or was silent for too long.
    Broken(String),
}

/// Writes a body into a blob. The writer is handed to `done` on the blocking thread, with how far
/// it came, also when the caller's future is dropped in the middle.
pub async fn ingest<B, T>(
    body: B,
    mut writer: BlobWriter,
    done: impl FnOnce(BlobWriter, Result<Received>) -> Result<T> + Send + 'static,
) -> Result<T>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    T: Send + 'static,
{
    let (pieces, mut arriving) = mpsc::channel::<Result<Bytes, Option<String>>>(CHUNKS_IN_FLIGHT);
    let writing = blocking(move || {
        let mut outcome = Ok(Received::Broken("the request was given up".to_owned()));
        while let Some(piece) = arriving.blocking_recv() {
            match piece {
                Ok(bytes) => {
                    if let Err(error) = writer.write(&bytes) {
                        outcome = Err(error);
                        break;
                    }
                }
                Err(None) => outcome = Ok(Received::Whole),
                Err(Some(why)) => outcome = Ok(Received::Broken(why)),
            }
        }
        drop(arriving);
        done(writer, outcome)
    });
    let reading = send_pieces(body, pieces);
    let (result, ()) = futures_util::future::join(writing, reading).await;
    result
}

/// Sends every piece and then how the body ended. Stops early when the writer does.
async fn send_pieces<B>(mut body: B, pieces: mpsc::Sender<Result<Bytes, Option<String>>>)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    loop {
        let piece = match timeout(READ_TIMEOUT, body.frame()).await {
            Err(_) => Err(Some("nothing was sent for too long".to_owned())),
            Ok(None) => Err(None),
            Ok(Some(Err(error))) => Err(Some(describe(error.into().as_ref()))),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => Ok(bytes),
                Err(_trailers) => continue,
            },
        };
        let last = piece.is_err();
        if pieces.send(piece).await.is_err() || last {
            return;
        }
    }
}

/// An error and its causes.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Reads a small body into memory.
pub async fn collect<B>(body: B, bytes_max: u64) -> Result<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let limited = http_body_util::Limited::new(body, bytes_max as usize);
    match timeout(READ_TIMEOUT, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Err(_) => Err(EngineError::unreachable("the body did not come in time")),
        Ok(Err(error)) => Err(EngineError::invalid(format!(
            "the body cannot be read: {}",
            describe(error.as_ref())
        ))),
    }
}
