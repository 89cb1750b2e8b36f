//! Messages in a stream of bytes: a byte that says whether one is compressed, four for its length, and
//! the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use tokio::sync::mpsc;

use super::{Code, Status};
use crate::limits::{ASKED_BYTES_MAX, MESSAGE_BYTES_MAX};

const HEAD_BYTES: usize = 5;

pub(super) fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(length as u32);
    bytes.put(&message.encode_to_vec()[..]);
    bytes.freeze()
}

/// Takes whole messages out of what has come.
struct Decoder {
    bytes: BytesMut,
    /// Of one message.
    bytes_max: usize,
}

impl Decoder {
    fn new(bytes_max: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            bytes_max,
        }
    }

    fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if self.bytes.len() < HEAD_BYTES {
            return Ok(None);
        }
        if self.bytes[0] != 0 {
            return Err(Status::unimplemented("a compressed message"));
        }
        let length =
            u32::from_be_bytes([self.bytes[1], self.bytes[2], self.bytes[3], self.bytes[4]])
                as usize;
        if length > self.bytes_max {
            return Err(Status::new(
                Code::ResourceExhausted,
                format!(
                    "a message of {length} bytes is larger than the {} allowed",
                    self.bytes_max
                ),
            ));
        }
        if self.bytes.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.bytes.advance(HEAD_BYTES);
        Ok(Some(self.bytes.split_to(length).freeze()))
    }
}

/// Messages as they come.
pub struct Messages {
    source: Source,
    decoder: Decoder,
}

enum Source {
    /// Of a call that was made: what it is answered with, and whether its outcome is known.
    Coming(BoxFuture<'static, Result<(Incoming, bool), Status>>),
    Here {
        body: Incoming,
        /// Whether the peer has still to say how the call ended.
        owes_outcome: bool,
    },
    Over,
}

impl Messages {
    /// Of a call that is answered.
    pub(super) fn new(body: Incoming) -> Self {
        let source = Source::Here {
            body,
            owes_outcome: false,
        };
        Self {
            source,
            decoder: Decoder::new(ASKED_BYTES_MAX),
        }
    }

    /// Of a call that was made.
    pub(super) fn coming(
        answer: impl Future<Output = Result<(Incoming, bool), Status>> + Send + 'static,
    ) -> Self {
        Self {
            source: Source::Coming(answer.boxed()),
            decoder: Decoder::new(MESSAGE_BYTES_MAX),
        }
    }

    /// The next one; None at the end. Nothing is lost when this is dropped before it is done.
    pub async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(bytes) = self.decoder.next()? {
                return decode(bytes).map(Some);
            }
            match self.more().await {
                Ok(true) => {}
                Ok(false) if self.decoder.bytes.is_empty() => return Ok(None),
                Ok(false) => return Err(Status::broken("a message breaks off")),
                Err(status) => {
                    self.source = Source::Over;
                    return Err(status);
                }
            }
        }
    }

    /// Takes in what comes next; false at the end.
    async fn more(&mut self) -> Result<bool, Status> {
        match &mut self.source {
            Source::Over => return Ok(false),
            Source::Coming(answer) => {
                let (body, is_known) = answer.await?;
                self.source = Source::Here {
                    body,
                    owes_outcome: !is_known,
                };
            }
            Source::Here { body, owes_outcome } => match body.frame().await {
                None if *owes_outcome => return Err(without_outcome()),
                None => self.source = Source::Over,
                Some(Err(error)) => return Err(Status::new(Code::Unavailable, error.to_string())),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => self.decoder.bytes.extend_from_slice(&bytes),
                    Err(frame) if *owes_outcome => {
                        *owes_outcome = false;
                        let trailers = frame.into_trailers().unwrap_or_default();
                        Status::of(&trailers).unwrap_or_else(|| Err(without_outcome()))?;
                    }
                    Err(_) => {}
                },
            },
        }
        Ok(true)
    }
}

fn without_outcome() -> Status {
    Status::broken("a call ended without an outcome")
}

fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| {
        Status::new(
            Code::InvalidArgument,
            format!("a message cannot be read: {error}"),
        )
    })
}

/// Where messages of a call go. Waits when the other side is slow.
#[derive(Clone)]
pub struct Sender(pub(super) mpsc::Sender<Bytes>);

impl Sender {
    /// False when nobody listens any more.
    pub async fn send(&self, message: &impl Message) -> bool {
        self.0.send(encode(message)).await.is_ok()
    }

    /// The same, for a thread that may wait.
    pub fn send_blocking(&self, message: &impl Message) -> bool {
        self.0.blocking_send(encode(message)).is_ok()
    }

    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::SecretRequest;

    #[test]
    fn messages_come_in_any_pieces() {
        let message = SecretRequest { id: "abc".into() };
        let bytes = [encode(&message), encode(&message)].concat();
        for size in 1..bytes.len() {
            let mut decoder = Decoder::new(100);
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                decoder.bytes.extend_from_slice(piece);
                while let Some(bytes) = decoder.next().unwrap() {
                    found.push(decode::<SecretRequest>(bytes).unwrap());
                }
            }
            assert_eq!(found, [message.clone(), message.clone()]);
            assert!(decoder.bytes.is_empty());
        }
    }

    #[test]
    fn what_is_too_large_or_compressed_is_refused_before_it_has_come() {
        let of = |head: [u8; 5]| {
            let mut decoder = Decoder::new(100);
            decoder.bytes.extend_from_slice(&head);
            decoder.next().unwrap_err()
        };
        assert_eq!(of([0, 0, 0, 0, 101]).code, Code::ResourceExhausted);
        assert_eq!(of([1, 0, 0, 0, 0]).code, Code::Unimplemented);
    }
}
