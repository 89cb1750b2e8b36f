//! JSON from the network, straight into a bounded tree.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::bounds::Nodes;
use crate::error::{Error, codes};
use crate::node::Node;

/// A message in JSON. `serde_json` bounds its depth; its values are counted while they are read.
pub fn parse_json(bytes: &[u8]) -> Result<Node, Error> {
    let nodes = Nodes::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read =
        (NodeSeed(&nodes).deserialize(&mut reader)).and_then(|node| reader.end().map(|()| node));
    read.map_err(|error| {
        codes::SerializationException.because(format!("The body is not JSON: {error}"))
    })
}

#[derive(Clone, Copy)]
struct NodeSeed<'a>(&'a Nodes);

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        self.0.take().map_err(D::Error::custom)?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Node, E> {
        Ok(Node::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(match i64::try_from(number) {
            Ok(whole) => Node::Int(whole),
            Err(_) => Node::Float(number as f64),
        })
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    /// Of members with the same name the last one counts, as everywhere in `serde_json`.
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = from.next_key::<String>()? {
            self.0.take().map_err(A::Error::custom)?;
            members.insert(name, from.next_value_seed(self)?);
        }
        let members = members.into_iter();
        Ok(Node::Map(
            members.map(|(name, node)| (name.into(), node)).collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::NODES_MAX;
    use crate::json::read_json;

    #[test]
    fn it_reads_what_the_other_reader_reads() {
        let text = r#"{"b": [1, -2, 1.5, 18446744073709551615, true, null], "a": {"é\n": "\ud83d\ude00"}, "b": []}"#;
        for text in [text, "[]", "{}", "\"a\"", "0", " null ", text.trim_end()] {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse_json(text.as_bytes()).unwrap(), read_json(json));
        }
        for bad in [
            "",
            "{",
            "[1,]",
            "{} {}",
            "{\"a\"}",
            "\u{1}",
            &"[".repeat(200),
        ] {
            assert_eq!(
                parse_json(bad.as_bytes()).unwrap_err().code,
                "SerializationException",
                "{bad}"
            );
        }
    }

    #[test]
    fn as_many_values_as_may_be_are_read() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(parse_json(list(NODES_MAX - 1).as_bytes()).is_ok());
        let error = parse_json(list(NODES_MAX).as_bytes()).unwrap_err();
        assert!(error.message.contains("more than 500000 values"), "{error}");
    }
}
