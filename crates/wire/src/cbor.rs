//! CBOR, as far as refusals need it: clients of some known services speak nothing else, and a
//! refusal that they cannot read would hide which operation is missing.

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
        Node::Map(members) | Node::Dict(members) => {
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

#[cfg(test)]
mod tests {
    use super::*;

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
