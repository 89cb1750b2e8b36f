//! CBOR (RFC 8949), as far as Smithy's RPC uses it: newer clients of some services speak nothing
//! else. Indefinite lengths are read, and not written.

use std::borrow::Cow;

use crate::bounds::Nodes;
use crate::node::Node;

const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

pub(crate) fn write_cbor(out: &mut Vec<u8>, node: &Node) {
    match node {
        Node::Null => out.push(0xf6),
        Node::Bool(truth) => out.push(if *truth { 0xf5 } else { 0xf4 }),
        Node::Int(number) => match u64::try_from(*number) {
            Ok(number) => push_head(out, 0, number),
            // A negative number n is written as -1 - n.
            Err(_) => push_head(out, 1, !number.cast_unsigned()),
        },
        Node::Float(number) => push_float(out, *number),
        Node::Time(seconds) => {
            push_head(out, 6, 1);
            push_float(out, *seconds);
        }
        Node::Str(text) => push_bytes(out, TEXT, text.as_bytes()),
        Node::Blob(bytes) => push_bytes(out, BYTES, bytes),
        Node::List(items) | Node::Items(_, items) => {
            push_head(out, ARRAY, items.len() as u64);
            items.iter().for_each(|item| write_cbor(out, item));
        }
        Node::Map(members) | Node::Form(members) | Node::Dict(members) => {
            push_head(out, MAP, members.len() as u64);
            for (name, node) in members {
                push_bytes(out, TEXT, name.as_bytes());
                write_cbor(out, node);
            }
        }
    }
}

fn push_float(out: &mut Vec<u8>, number: f64) {
    out.push(0xfb);
    out.extend(number.to_be_bytes());
}

fn push_bytes(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    push_head(out, kind, bytes.len() as u64);
    out.extend(bytes);
}

/// The kind and a number in as few bytes as it needs.
fn push_head(out: &mut Vec<u8>, kind: u8, number: u64) {
    let kind = kind << 5;
    match number {
        0..=23 => out.push(kind | number as u8),
        24..=0xff => out.extend([kind | 24, number as u8]),
        0x100..=0xffff => {
            out.push(kind | 25);
            out.extend((number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(kind | 26);
            out.extend((number as u32).to_be_bytes());
        }
        _ => {
            out.push(kind | 27);
            out.extend(number.to_be_bytes());
        }
    }
}

/// Lists and structures within each other: the deepest of the models is far from it.
const DEPTH_MAX: usize = 64;
/// A length that is not known beforehand, and what ends it.
const INDEFINITE: u8 = 31;
const BREAK: u8 = 0xff;

/// One value, and nothing after it.
pub(crate) fn read_cbor(bytes: &[u8]) -> Result<Node, &'static str> {
    let mut reader = Reader {
        rest: bytes,
        depth: 0,
        nodes: Nodes::new(),
    };
    let node = reader.value()?;
    match reader.rest {
        [] => Ok(node),
        _ => Err("something follows the value"),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
    nodes: Nodes,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        if count > self.rest.len() {
            return Err("it ends too early");
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        Ok(self.take(1)?[0])
    }

    /// A number in as many bytes as `count` says.
    fn unsigned(&mut self, count: usize) -> Result<u64, &'static str> {
        let bytes = self.take(count)?.iter();
        Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The number that belongs to a head. None: it has no length.
    fn argument(&mut self, low: u8) -> Result<Option<u64>, &'static str> {
        match low {
            0..24 => Ok(Some(u64::from(low))),
            24..=27 => self.unsigned(1 << (low - 24)).map(Some),
            INDEFINITE => Ok(None),
            _ => Err("a length is malformed"),
        }
    }

    fn value(&mut self) -> Result<Node, &'static str> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("it is nested too deeply");
        }
        self.nodes.take().map_err(|_| "it has too many values")?;
        let head = self.byte()?;
        let (kind, low) = (head >> 5, head & 31);
        let node = match kind {
            7 => self.simple(low)?,
            _ => {
                let argument = self.argument(low)?;
                self.of_kind(kind, argument)?
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    fn simple(&mut self, low: u8) -> Result<Node, &'static str> {
        Ok(match low {
            20 => Node::Bool(false),
            21 => Node::Bool(true),
            22 | 23 => Node::Null,
            25 => Node::Float(half(self.unsigned(2)? as u16)),
            26 => Node::Float(f64::from(f32::from_bits(self.unsigned(4)? as u32))),
            27 => Node::Float(f64::from_bits(self.unsigned(8)?)),
            _ => return Err("a simple value is not known"),
        })
    }

    fn of_kind(&mut self, kind: u8, argument: Option<u64>) -> Result<Node, &'static str> {
        let whole = |number: Option<u64>| {
            let number = number.ok_or("a number has no length")?;
            i64::try_from(number).map_err(|_| "a number is too large")
        };
        Ok(match kind {
            0 => Node::Int(whole(argument)?),
            // A negative number n is written as -1 - n.
            1 => Node::Int(-1 - whole(argument)?),
            BYTES => Node::Blob(self.bytes(BYTES, argument)?),
            TEXT => Node::Str(self.text(argument)?),
            ARRAY => {
                let mut items = Vec::new();
                while self.goes_on(argument, items.len())? {
                    items.push(self.value()?);
                }
                Node::List(items)
            }
            MAP => {
                let mut members = Vec::new();
                while self.goes_on(argument, members.len())? {
                    let Node::Str(name) = self.value()? else {
                        return Err("the name of a member is not text");
                    };
                    members.push((Cow::Owned(name), self.value()?));
                }
                Node::Map(members)
            }
            // A tag: 1 is a time, others say nothing here.
            _ => match (argument, self.value()?) {
                (Some(1), Node::Int(seconds)) => Node::Time(seconds as f64),
                (Some(1), Node::Float(seconds)) => Node::Time(seconds),
                (_, node) => node,
            },
        })
    }

    /// Whether a list of `length` has another member after `count`.
    fn goes_on(&mut self, length: Option<u64>, count: usize) -> Result<bool, &'static str> {
        match (length, self.rest.first()) {
            (Some(length), _) => Ok((count as u64) < length),
            (None, Some(&BREAK)) => {
                self.byte()?;
                Ok(false)
            }
            (None, Some(_)) => Ok(true),
            (None, None) => Err("it ends too early"),
        }
    }

    fn bytes(&mut self, kind: u8, length: Option<u64>) -> Result<Vec<u8>, &'static str> {
        if let Some(length) = length {
            let length = usize::try_from(length).map_err(|_| "it ends too early")?;
            return Ok(self.take(length)?.to_vec());
        }
        let mut all = Vec::new();
        loop {
            match self.byte()? {
                BREAK => return Ok(all),
                head if head >> 5 == kind && head & 31 != INDEFINITE => {
                    let length = self.argument(head & 31)?;
                    all.extend(self.bytes(kind, length)?);
                }
                _ => return Err("a part of a text is malformed"),
            }
        }
    }

    fn text(&mut self, length: Option<u64>) -> Result<String, &'static str> {
        String::from_utf8(self.bytes(TEXT, length)?).map_err(|_| "a text is not UTF-8")
    }
}

/// A float of two bytes.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let node = Node::Map(vec![
            ("whole".into(), Node::Int(-70_000)),
            ("large".into(), Node::Int(i64::MAX)),
            ("float".into(), Node::Float(1.5)),
            ("time".into(), Node::Time(1_795_350_896.25)),
            (
                "list".into(),
                Node::List(vec![Node::Null, Node::Bool(true)]),
            ),
            ("blob".into(), Node::Blob(vec![0; 300])),
            ("text".into(), Node::Str("ü".into())),
        ]);
        let mut bytes = Vec::new();
        write_cbor(&mut bytes, &node);
        assert_eq!(read_cbor(&bytes), Ok(node));
    }

    /// From the appendix of RFC 8949.
    #[test]
    fn what_is_only_read() {
        for (bytes, node) in [
            (&[0xf9, 0x3c, 0x00][..], Node::Float(1.0)),
            (&[0xf9, 0xc4, 0x00], Node::Float(-4.0)),
            (&[0xfa, 0x47, 0xc3, 0x50, 0x00], Node::Float(100_000.0)),
            (
                &[0xc1, 0x1a, 0x51, 0x4b, 0x67, 0xb0],
                Node::Time(1_363_896_240.0),
            ),
            (
                &[0x7f, 0x62, b'a', b'b', 0x61, b'c', 0xff],
                Node::Str("abc".into()),
            ),
            (
                &[0x9f, 0x01, 0x02, 0xff],
                Node::List(vec![Node::Int(1), Node::Int(2)]),
            ),
            (
                &[0xbf, 0x61, b'a', 0x01, 0xff],
                Node::Map(vec![("a".into(), Node::Int(1))]),
            ),
        ] {
            assert_eq!(read_cbor(bytes), Ok(node), "{bytes:x?}");
        }
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let deep = [0x81; 100];
        for bytes in [
            &[][..],
            &[0x18],
            &[0x01, 0x01],
            &[0x1c],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x9f, 0x01],
            &[0xa1, 0x01, 0x01],
            &[0x61, 0xff],
            &[0x7f, 0x41, b'a', 0xff],
            &[0xff],
            &deep,
        ] {
            assert!(read_cbor(bytes).is_err(), "{bytes:x?}");
        }
    }

    /// From the appendix of RFC 8949.
    #[test]
    fn the_examples_of_the_standard() {
        for (node, bytes) in [
            (Node::Int(23), &[0x17][..]),
            (Node::Int(100), &[0x18, 0x64]),
            (Node::Int(1000), &[0x19, 0x03, 0xe8]),
            (Node::Int(1_000_000), &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            (Node::Int(-1000), &[0x39, 0x03, 0xe7]),
            (
                Node::Float(1.1),
                &[0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a],
            ),
            (Node::Str("ü".into()), &[0x62, 0xc3, 0xbc]),
            (Node::Blob(vec![1, 2]), &[0x42, 1, 2]),
            (
                Node::List(vec![Node::Int(1), Node::Bool(true)]),
                &[0x82, 0x01, 0xf5],
            ),
            (
                Node::Map(vec![("a".into(), Node::Null)]),
                &[0xa1, 0x61, 0x61, 0xf6],
            ),
        ] {
            let mut out = Vec::new();
            write_cbor(&mut out, &node);
            assert_eq!(out, bytes, "{node:?}");
        }
    }
}
