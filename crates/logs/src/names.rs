//! From a group's or stream's name, which may be any text, to a file name and back by way of a file.

use ring::digest::{SHA256, digest};

/// A file name may have 255 bytes; this leaves room for an ending.
const FILE_NAME_BYTES_MAX: usize = 240;
/// Of a name that is too long, this much stays readable. The rest is a hash.
const PREFIX_BYTES: usize = 160;

/// A safe file name, different for every name. Letters, digits, `-` and `_` stay, and dots that are
/// not in front.
pub fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(byte.into()),
            b'.' if at > 0 => encoded.push('.'),
            byte => encoded.push_str(&format!("%{byte:02x}")),
        }
    }
    if encoded.len() > FILE_NAME_BYTES_MAX {
        encoded.truncate(PREFIX_BYTES);
        // No short name holds this sign.
        encoded.push('~');
        for byte in digest(&SHA256, name.as_bytes()).as_ref() {
            encoded.push_str(&format!("{byte:02x}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_distinct() {
        assert_eq!(encode("us-east-1 /ecs/web"), "us-east-1%20%2fecs%2fweb");
        assert_eq!(encode("web/site/12ab"), "web%2fsite%2f12ab");
        assert_eq!(encode(".."), "%2e.");
        assert_eq!(encode("a.b"), "a.b");
        let long = "ä".repeat(300);
        let longer = format!("{long}x");
        assert!(encode(&long).len() < 250);
        assert_ne!(encode(&long), encode(&longer));
    }
}
