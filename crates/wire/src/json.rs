//! JSON ⇄ tree, and the shapes' own way to and from JSON: storage and templates.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use crate::decoder::{DecodeError, Style};
use crate::node::Node;
use crate::shape::decode;
use crate::value::{Value, base64_text};

pub fn read_json(json: Json) -> Node {
    match json {
        Json::Null => Node::Null,
        Json::Bool(truth) => Node::Bool(truth),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Node::Int(whole),
            None => Node::Float(number.as_f64().unwrap_or(f64::INFINITY)),
        },
        Json::String(text) => Node::Str(text),
        Json::Array(items) => Node::List(items.into_iter().map(read_json).collect()),
        Json::Object(members) => Node::Map(
            members
                .into_iter()
                .map(|(key, json)| (key.into(), read_json(json)))
                .collect(),
        ),
    }
}

pub fn write_json(node: &Node) -> Json {
    match node {
        Node::Null => Json::Null,
        Node::Bool(truth) => Json::Bool(*truth),
        Node::Int(number) => Json::from(*number),
        Node::Float(number) => Json::from(*number),
        Node::Time(seconds) => time_number(*seconds),
        Node::Str(text) => Json::from(text.as_str()),
        Node::Blob(bytes) => Json::from(base64_text(bytes)),
        Node::List(items) | Node::Items(_, items) => items.iter().map(write_json).collect(),
        Node::Map(members) | Node::Form(members) | Node::Dict(members) => Json::Object(
            members
                .iter()
                .map(|(key, node)| (key.to_string(), write_json(node)))
                .collect(),
        ),
    }
}

/// Whole seconds are written without a fraction, others to the millisecond.
fn time_number(seconds: f64) -> Json {
    let millis = (seconds * 1000.0).round();
    if millis % 1000.0 == 0.0 {
        Json::from((millis / 1000.0) as i64)
    } else {
        Json::from(millis / 1000.0)
    }
}

/// A shape as JSON, in the form in which it is stored.
pub fn to_json<T: Value>(value: &T) -> Json {
    write_json(&value.get())
}

/// A shape from the JSON in which it was stored.
pub fn from_json<T: Value + Default>(json: Json) -> Result<T, DecodeError> {
    decode(read_json(json), Style::Stored)
}

/// A shape from a template's properties: the first letter of a member's name may have either case,
/// scalars are coerced (`"30"` is 30 where a number is wanted and the other way round), and an
/// unknown member is an error.
pub fn lenient<T: Value + Default>(json: Json) -> Result<T, DecodeError> {
    decode(read_json(json), Style::Lenient)
}

/// As [`lenient`], for a structure whose own required members may be filled in by the caller;
/// those of the structures inside it are still required.
pub fn lenient_partial<T: Value + Default>(json: Json) -> Result<T, DecodeError> {
    decode(read_json(json), Style::LenientPartial)
}

pub fn serialize<T: Value, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to_json(value).serialize(to)
}

pub fn deserialize<'de, T: Value + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from_json(Json::deserialize(from)?).map_err(D::Error::custom)
}
