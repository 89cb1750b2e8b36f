//! gRPC over HTTP/2: messages with their lengths before them, and the outcome in trailers.

mod client;
mod frame;
mod server;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

pub use client::{Channel, Outgoing};
pub use frame::{Messages, Sender};
pub use server::{Call, Replies, Service, serve};

use crate::limits::ERROR_BYTES_MAX;

/// The media type of all calls.
pub const CONTENT_TYPE: &str = "application/grpc";

/// What is said of a call's outcome, by gRPC's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

impl Code {
    pub fn of(number: i32) -> Self {
        const ALL: [Code; 13] = [
            Code::Ok,
            Code::Cancelled,
            Code::Unknown,
            Code::InvalidArgument,
            Code::DeadlineExceeded,
            Code::NotFound,
            Code::AlreadyExists,
            Code::PermissionDenied,
            Code::ResourceExhausted,
            Code::FailedPrecondition,
            Code::Unimplemented,
            Code::Internal,
            Code::Unavailable,
        ];
        let found = ALL.into_iter().find(|it| *it as i32 == number);
        found.unwrap_or(Self::Unknown)
    }
}

/// Why a call failed.
#[derive(Debug, Clone)]
pub struct Status {
    pub code: Code,
    pub message: String,
    /// A `google.rpc.Status` with more about it, encoded.
    pub details: Option<Bytes>,
}

impl Status {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
        }
    }

    pub fn unimplemented(what: impl std::fmt::Display) -> Self {
        let message = format!("{what} is not supported by neargate");
        Self::new(Code::Unimplemented, message)
    }

    /// What the other side does not keep to.
    fn broken(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    fn trailers(outcome: &Result<(), Self>) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        let code = outcome.as_ref().err().map_or(Code::Ok, |it| it.code);
        trailers.insert("grpc-status", HeaderValue::from(code as i32));
        let Err(status) = outcome else {
            return trailers;
        };
        let mut end = status.message.len().min(ERROR_BYTES_MAX);
        while !status.message.is_char_boundary(end) {
            end -= 1;
        }
        let message = utf8_percent_encode(&status.message[..end], ESCAPED).to_string();
        if let Ok(message) = HeaderValue::from_str(&message) {
            trailers.insert("grpc-message", message);
        }
        if let Some(details) = status
            .details
            .as_ref()
            .filter(|it| it.len() < ERROR_BYTES_MAX)
            && let Ok(details) = HeaderValue::from_str(&STANDARD_NO_PAD.encode(details))
        {
            trailers.insert("grpc-status-details-bin", details);
        }
        trailers
    }

    /// The outcome that a peer told.
    fn of(headers: &HeaderMap) -> Option<Result<(), Self>> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let code = Code::of(text("grpc-status")?.parse().unwrap_or(Code::Unknown as i32));
        if code == Code::Ok {
            return Some(Ok(()));
        }
        let message = percent_decode_str(text("grpc-message").unwrap_or_default());
        Some(Err(Self::new(code, message.decode_utf8_lossy())))
    }
}

/// What a header cannot hold, and the sign of escapes itself.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_goes_through_trailers() {
        let there = |outcome: &Result<(), Status>| Status::of(&Status::trailers(outcome)).unwrap();
        assert!(there(&Ok(())).is_ok());
        for message in ["plain", "100 %\nö", ""] {
            let status = there(&Err(Status::new(Code::NotFound, message))).unwrap_err();
            assert_eq!(
                (status.code, status.message.as_str()),
                (Code::NotFound, message)
            );
        }
        let long = "ö".repeat(ERROR_BYTES_MAX);
        let status = there(&Err(Status::new(Code::Unknown, long))).unwrap_err();
        assert_eq!(status.message.len(), ERROR_BYTES_MAX);
        assert!(Status::of(&HeaderMap::new()).is_none());
        assert_eq!(Code::of(77), Code::Unknown);
    }
}
