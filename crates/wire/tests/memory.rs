//! What the largest requests cost: bytes that would become far more in a tree are refused before they
//! do. A process of its own, because it looks at its own peak of memory.

#[allow(dead_code)]
#[path = "behaviour/common.rs"]
mod common;
#[path = "behaviour/signer.rs"]
mod signer;

use common::MODELS;
use signer::{NOW, SECRET, signed};
use wire::{Door, Error, Signer};

/// As large as a body may be.
const BODY_BYTES: usize = 31 * 1024 * 1024;
/// A tree of as many nodes as there may be, and its lists while they grow.
const PEAK_BYTES_MAX: u64 = 96 * 1024 * 1024;

/// The process's highest resident memory since the last call of [`forget_peak`].
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// The refusal of a signed request, and what it took beside the body itself.
fn cost_of(body: &[u8], is_cbor: bool) -> (Error, u64) {
    let mut head = signed("json-service", "Json_1.Make", body);
    if is_cbor {
        let protocol = "rpc-v2-cbor".parse().unwrap();
        head.headers.insert("smithy-protocol", protocol);
    }
    let find_key = |_: &str, _: Option<&str>| Some(Signer::new(SECRET.to_owned(), ()));
    let door = Door {
        models: MODELS,
        find_key: &find_key,
        now: NOW,
    };
    forget_peak();
    let before = peak();
    let refusal = wire::receive(&head, body, &door).expect_err("it is refused");
    (*refusal.error, peak() - before)
}

fn filled(first: &[u8], piece: &[u8]) -> Vec<u8> {
    let mut body = first.to_vec();
    while body.len() + piece.len() <= BODY_BYTES {
        body.extend_from_slice(piece);
    }
    body
}

#[test]
fn one_request_of_many_small_values_costs_little() {
    let deep = |open: &[u8], piece: &[u8]| filled(open, piece);
    for (what, body, is_cbor) in [
        ("lists", deep(b"{\"a\":[[]", b",[]"), false),
        ("numbers", deep(b"{\"a\":[0", b",0"), false),
        ("structures", deep(b"{\"a\":[{}", b",{\"\":0}"), false),
        ("members", deep(b"{\"a\":0", b",\"\":0"), false),
        // An indefinite list of empty lists, of zeros, of empty texts.
        ("cbor lists", deep(b"\xa1\x61a\x9f", b"\x80"), true),
        ("cbor numbers", deep(b"\xa1\x61a\x9f", b"\x00"), true),
        ("cbor texts", deep(b"\xa1\x61a\x9f", b"\x60"), true),
        ("cbor members", deep(b"\xbf", b"\x60\x60"), true),
    ] {
        let (error, bytes) = cost_of(&body, is_cbor);
        assert_eq!(error.code, "SerializationException", "{what}: {error}");
        assert!(bytes < PEAK_BYTES_MAX, "{what}: {} MiB", bytes >> 20);
        println!("{what}: {} MiB", bytes >> 20);
    }
}
