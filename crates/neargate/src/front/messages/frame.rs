//! The messages of a data channel: a header of fixed fields, big-endian, and a payload.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | where the payload's length is: 116 |
//! | 4 | 32 | the kind of message, filled up with blanks |
//! | 36 | 4 | version: 1 |
//! | 40 | 8 | when it was made, in milliseconds |
//! | 48 | 8 | its number among those of its stream |
//! | 56 | 8 | flags: 1 the first, 2 the last |
//! | 64 | 16 | its id, the second half of the UUID before the first |
//! | 80 | 32 | SHA-256 of the payload |
//! | 112 | 4 | what the payload is |
//! | 116 | 4 | the payload's length |

use bytes::{BufMut, Bytes, BytesMut};
use ring::digest;

const LENGTH_AT: usize = 116;
const PAYLOAD_AT: usize = LENGTH_AT + 4;
const KIND_BYTES: usize = 32;
const VERSION: u32 = 1;

pub const INPUT: &str = "input_stream_data";
pub const OUTPUT: &str = "output_stream_data";
pub const ACKNOWLEDGE: &str = "acknowledge";
pub const CLOSED: &str = "channel_closed";
pub const PAUSE: &str = "pause_publication";
pub const START: &str = "start_publication";

pub const FLAG_FIRST: u64 = 1;
pub const FLAG_WHOLE: u64 = 3;

/// What a payload is.
pub mod payload {
    pub const OUTPUT: u32 = 1;
    pub const SIZE: u32 = 3;
    pub const HANDSHAKE_REQUEST: u32 = 5;
    pub const HANDSHAKE_RESPONSE: u32 = 6;
    pub const HANDSHAKE_COMPLETE: u32 = 7;
    pub const FLAG: u32 = 10;
}

/// The value of a payload [`payload::FLAG`] that ends a session.
pub const TERMINATE_SESSION: u32 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: String,
    pub sequence: i64,
    pub flags: u64,
    /// 32 hexadecimal digits.
    pub id: String,
    pub payload_type: u32,
    pub payload: Bytes,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of a data channel {0}")]
pub struct Unfit(&'static str);

pub fn parse(bytes: &Bytes) -> Result<Message, Unfit> {
    let number = |at: usize| {
        let four = bytes.get(at..at + 4).and_then(|it| it.try_into().ok());
        four.map(u32::from_be_bytes).ok_or(Unfit("is too short"))
    };
    let long = |at: usize| {
        let eight = bytes.get(at..at + 8).and_then(|it| it.try_into().ok());
        eight.map(u64::from_be_bytes).ok_or(Unfit("is too short"))
    };
    if number(0)? as usize != LENGTH_AT {
        return Err(Unfit("has a header of another length"));
    }
    if number(36)? != VERSION {
        return Err(Unfit("has another version"));
    }
    let length = number(LENGTH_AT)? as usize;
    if bytes.len() != PAYLOAD_AT + length {
        return Err(Unfit("has a payload of another length than it says"));
    }
    let payload = bytes.slice(PAYLOAD_AT..);
    if length > 0 && digest::digest(&digest::SHA256, &payload).as_ref() != &bytes[80..112] {
        return Err(Unfit("has a payload that its digest is not of"));
    }
    let kind = std::str::from_utf8(&bytes[4..4 + KIND_BYTES]);
    let kind = kind.map_err(|_| Unfit("has no kind"))?;
    let (second, first) = (long(64)?, long(72)?);
    Ok(Message {
        kind: kind.trim_matches([' ', '\0']).to_owned(),
        sequence: i64::from_be_bytes(long(48)?.to_be_bytes()),
        flags: long(56)?,
        id: format!("{first:016x}{second:016x}"),
        payload_type: number(112)?,
        payload,
    })
}

pub fn write(message: &Message, now_ms: i64) -> Bytes {
    let mut out = BytesMut::with_capacity(PAYLOAD_AT + message.payload.len());
    out.put_u32(LENGTH_AT as u32);
    out.put_slice(format!("{:<KIND_BYTES$.KIND_BYTES$}", message.kind).as_bytes());
    out.put_u32(VERSION);
    out.put_i64(now_ms);
    out.put_i64(message.sequence);
    out.put_u64(message.flags);
    let half = |range| u64::from_str_radix(message.id.get(range).unwrap_or("0"), 16).unwrap_or(0);
    let (first, second) = (half(0..16), half(16..32));
    out.put_u64(second);
    out.put_u64(first);
    out.put_slice(digest::digest(&digest::SHA256, &message.payload).as_ref());
    out.put_u32(message.payload_type);
    out.put_u32(u32::try_from(message.payload.len()).unwrap_or(u32::MAX));
    out.put_slice(&message.payload);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_message() -> Message {
        Message {
            kind: INPUT.into(),
            sequence: 7,
            flags: FLAG_FIRST,
            id: "00112233445546778899aabbccddeeff".into(),
            payload_type: payload::OUTPUT,
            payload: Bytes::from_static(b"ls\n"),
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let bytes = write(&a_message(), 5);
        assert_eq!(bytes.len(), PAYLOAD_AT + 3);
        assert_eq!(&bytes[4..22], b"input_stream_data ");
        assert_eq!(
            bytes[64..72],
            [0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]
        );
        assert_eq!(parse(&bytes).unwrap(), a_message());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let good = write(&a_message(), 5);
        for cut in 0..good.len() {
            assert!(parse(&good.slice(..cut)).is_err(), "{cut}");
        }
        for at in [0, 3, 39, 80, 119, 120] {
            let mut bad = good.to_vec();
            bad[at] ^= 0x40;
            assert!(parse(&bad.into()).is_err(), "{at}");
        }
    }

    #[test]
    fn fuzz() {
        let target = fuzz::Target::new("frame", env!("CARGO_MANIFEST_DIR"));
        target.seeds([write(&a_message(), 5)]).run(|bytes| {
            let parsed = parse(&Bytes::copy_from_slice(bytes));
            if let Ok(message) = &parsed
                && message.kind.is_ascii()
            {
                assert_eq!(parse(&write(message, 1)).as_ref(), Ok(message));
            }
            fuzz::shape_of(&format!("{:?}", parsed.map(|it| it.payload_type)))
        });
    }
}
