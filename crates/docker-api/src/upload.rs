//! What a request sends after its head. Whoever refuses a request in the middle of it goes on taking
//! in the rest: a client that cannot send all does not read why.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, Incoming};
use tokio::sync::Mutex;

use crate::answer::Refusal;
use crate::limits::{ARCHIVE_BYTES_MAX, BODY_TIMEOUT, JSON_BYTES_MAX};

#[derive(Clone)]
pub struct Upload {
    body: Arc<Mutex<Incoming>>,
    /// The client sends it only once it is told to go on, so it has to be told nothing but the end.
    waits: bool,
}

impl Upload {
    pub fn new(body: Incoming, headers: &HeaderMap) -> Self {
        let waits = headers.get(EXPECT).and_then(|it| it.to_str().ok());
        Self {
            body: Arc::new(Mutex::new(body)),
            waits: waits.is_some_and(|it| it.eq_ignore_ascii_case("100-continue")),
        }
    }

    /// All of it, when it is small.
    pub async fn bytes(&self) -> Result<Bytes, Refusal> {
        let mut body = self.body.lock().await;
        let body = Limited::new(&mut *body, JSON_BYTES_MAX);
        let collected = tokio::time::timeout(BODY_TIMEOUT, body.collect()).await;
        match collected {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) => Err(Refusal::bad(format!("the body cannot be read: {error}"))),
            Err(_) => Err(Refusal::bad("the body did not come in time")),
        }
    }

    /// The next piece; None at the end.
    pub async fn frame(&self) -> Result<Option<Frame<Bytes>>, Refusal> {
        let mut body = self.body.lock().await;
        match tokio::time::timeout(BODY_TIMEOUT, body.frame()).await {
            Err(_) => Err(Refusal::bad("the body did not come in time")),
            Ok(None) => Ok(None),
            Ok(Some(Ok(frame))) => Ok(Some(frame)),
            Ok(Some(Err(error))) => Err(Refusal::bad(format!("the body broke off: {error}"))),
        }
    }

    /// Takes in what is left of it, and no more than would have been taken of one that is wanted.
    pub async fn drain(&self) {
        let mut bytes = 0;
        while !self.waits
            && bytes < ARCHIVE_BYTES_MAX
            && let Ok(Some(frame)) = self.frame().await
        {
            bytes += frame.data_ref().map_or(0, |it| it.len() as u64);
        }
    }
}
