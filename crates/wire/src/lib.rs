//! Bytes ⇄ tree ⇄ typed shapes, for every wire protocol that AWS speaks and this program answers.
//!
//! A message is read into a [`Node`] tree by its protocol, and a typed shape fills itself from the
//! tree; answers take the same way back. A shape is a struct with `#[derive(Shape)]`: it hands its
//! members to the functions of this crate as `dyn` [`Value`]s, so a member costs a line in a table
//! and not a monomorphised parser. This crate knows no service: what a service is called, which
//! protocol it speaks and which operations it has comes in as a [`ServiceModel`].

// The derive writes `::wire::…`; this makes the name good inside this crate, too.
extern crate self as wire;

mod answer;
mod bounds;
mod cbor;
mod decoder;
mod error;
#[cfg(test)]
mod hostile_input;
mod json;
mod json_reader;
mod limits;
mod model;
mod node;
mod query;
mod receive;
mod shape;
mod sigv4;
mod string_enum;
mod time;
mod validation;
mod value;
mod xml;

pub use answer::{answer, refuse};
pub use decoder::{DecodeError, Decoder, Failure, Problem, Segment, Style};
pub use error::{Error, ErrorCode, Fault, codes};
pub use json::{from_json, lenient, lenient_partial, read_json, to_json, write_json};
pub use json_reader::parse_json;
pub use limits::{Limits, Pattern, compile_pattern};
pub use model::{Constraints, OwnRefusal, Protocol, ServiceModel, Words};
pub use node::Node;
pub use query::read_query;
pub use receive::{
    Admission, Door, MAX_BODY_BYTES, Received, Refusal, UNBELIEVED_BODY_BYTES_MAX, admit,
    claimed_key, receive,
};
pub use shape::{Member, Operation, Shape, Unbuilt, decode};
pub use shape_derive::{DebugWithoutSecrets, Shape};
pub use sigv4::{
    Credentials, Doubt, FindKey, SignedTexts, Signer, check_head, is_signed, resigned,
    signed_texts, verify,
};
pub use string_enum::{UnknownValue, find_name};
pub use time::Timestamp;
pub use validation::{decode_input, forbidden, validate};
pub use value::{Blob, Document, How, Value, ValueKind};
pub use xml::is_xml;

#[doc(hidden)]
pub mod derive_support {
    //! What the code written by the derive and by `string_enum!` calls.
    pub use crate::json::{deserialize, serialize};
    pub use crate::shape::{get_structure, set_structure};
    pub use serde::{Deserialize, Deserializer, Serialize, Serializer};
}
