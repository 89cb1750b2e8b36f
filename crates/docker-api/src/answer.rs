//! What requests are answered with: JSON, streams, and refusals in docker's form.

use std::fmt::Display;
use std::io;

use bytes::Bytes;
use engine::{EngineError, Fault};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::limits::PIECES_MAX;

pub type Body = UnsyncBoxBody<Bytes, io::Error>;
pub type Answer = Result<Response<Body>, Refusal>;

/// A request that is not done, with docker's status for the reason.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Display) -> Self {
        Self {
            status,
            message: message.to_string(),
        }
    }
    pub fn bad(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
    pub fn unauthorized(message: impl Display) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }
    pub fn forbidden(message: impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }
    pub fn not_found(message: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
    pub fn conflict(message: impl Display) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }
    pub fn failed(message: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
    /// Docker can do it, and this cannot.
    pub fn not_built(what: impl Display) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            format!("{what} is not supported by neargate"),
        )
    }
    pub fn into_response(self) -> Response<Body> {
        json(self.status, &json!({ "message": self.message }))
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        let status = match error.fault {
            Fault::NotFound => StatusCode::NOT_FOUND,
            Fault::Invalid => StatusCode::BAD_REQUEST,
            Fault::Conflict => StatusCode::CONFLICT,
            Fault::Unreachable | Fault::Machine => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // Docker's client shows this and nothing else.
        Self::new(
            status,
            error.lack_in_words().unwrap_or_else(|| error.chain()),
        )
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        EngineError::from(error).into()
    }
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string() + "\n"));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "application/json");
    response
}

pub fn ok(value: Value) -> Answer {
    Ok(json(StatusCode::OK, &value))
}

pub fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(full(""));
    *response.status_mut() = status;
    Ok(response)
}

pub fn text(text: &str) -> Response<Body> {
    let mut response = Response::new(full(text.to_owned()));
    set(
        &mut response,
        header::CONTENT_TYPE,
        "text/plain; charset=utf-8",
    );
    response
}

pub fn set(response: &mut Response<Body>, name: impl http::header::IntoHeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A body that is sent piece by piece. An error breaks it off.
pub fn pieces(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Body {
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Objects of JSON, a line each: what builds, pulls and pushes say.
#[derive(Clone)]
pub struct Lines(mpsc::Sender<io::Result<Bytes>>);

impl Lines {
    /// The sender's side, and the answer that whoever asked gets now.
    pub fn new() -> (Self, Response<Body>) {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let mut response = Response::new(pieces(receiver));
        set(&mut response, header::CONTENT_TYPE, "application/json");
        (Self(sender), response)
    }
    pub async fn say(&self, value: Value) {
        let line = Bytes::from(value.to_string() + "\r\n");
        let _ = self.0.send(Ok(line)).await;
    }
    pub async fn stream(&self, text: impl Display) {
        self.say(json!({ "stream": text.to_string() })).await;
    }
    pub async fn status(&self, text: impl Display) {
        self.say(json!({ "status": text.to_string() })).await;
    }
    pub async fn error(&self, message: impl Display) {
        let message = message.to_string();
        self.say(json!({ "errorDetail": { "message": message }, "error": message }))
            .await;
    }
    /// Whoever listens has gone away.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}
