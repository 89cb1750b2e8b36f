//! A body on its way into a blob: received on an async task, hashed and written on a blocking
//! thread, with few pieces between the two.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use engine::{EngineError, Result};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::mpsc;

use crate::blobs::BlobWriter;
use crate::limits::CHUNKS_IN_FLIGHT;
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
    silence_max: Option<Duration>,
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
    let reading = send_pieces(body, pieces, silence_max);
    let (result, ()) = futures_util::future::join(writing, reading).await;
    result
}

/// Sends every piece and then how the body ended. Stops early when the writer does.
async fn send_pieces<B>(
    mut body: B,
    pieces: mpsc::Sender<Result<Bytes, Option<String>>>,
    silence_max: Option<Duration>,
) where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    loop {
        let piece = match within(silence_max, body.frame()).await {
            None => Err(Some("nothing was sent for too long".to_owned())),
            Some(None) => Err(None),
            Some(Some(Err(error))) => Err(Some(describe(error.into().as_ref()))),
            Some(Some(Ok(frame))) => match frame.into_data() {
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

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        None => Some(work.await),
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
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
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(EngineError::invalid(format!(
            "the body cannot be read: {}",
            describe(error.as_ref())
        ))),
    }
}
