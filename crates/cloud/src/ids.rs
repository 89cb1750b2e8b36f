//! Names and ids in AWS's forms.

use std::sync::atomic::{AtomicU64, Ordering};

/// `arn:aws:<service>:<region>:<account>:<resource>`
/// (AWS General Reference, "Amazon Resource Names").
pub fn arn(service: &str, region: &str, account: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{region}:{account}:{resource}")
}

/// `digits` random lower-case hexadecimal digits.
pub fn random_hex(digits: usize) -> String {
    hex(&random_bytes(digits.div_ceil(2)), digits)
}

/// `digits` hexadecimal digits that depend on `token` and `what` alone.
pub fn token_hex(token: &str, what: &str, digits: usize) -> String {
    let digest = ring::digest::digest(
        &ring::digest::SHA256,
        format!("{}:{token}:{what}", token.len()).as_bytes(),
    );
    hex(digest.as_ref(), digits)
}

/// 32 hexadecimal digits in the form of a UUID, `8-4-4-4-12` (RFC 9562, section 4).
pub fn dashed(hex: &str) -> String {
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

/// The same as a UUID of version 4 (RFC 9562, section 5.4), which takes two of the digits.
pub fn uuid(hex: &str) -> String {
    let mut text = dashed(hex);
    const VERSION: usize = 14;
    const VARIANT: usize = 19;
    if text.len() > VARIANT {
        text.replace_range(VERSION..=VERSION, "4");
        text.replace_range(VARIANT..=VARIANT, "a");
    }
    text
}

/// Capitals and digits, as CloudFormation adds to the names it makes.
pub fn random_upper(length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    random_bytes(length)
        .into_iter()
        .map(|b| LETTERS[b as usize % LETTERS.len()] as char)
        .collect()
}

fn hex(bytes: &[u8], digits: usize) -> String {
    let mut out: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    out.truncate(digits);
    out
}

/// From the kernel; should that ever fail, from what differs between two calls. These bytes are
/// names, never secrets: secrets are made where they are used and fail instead.
fn random_bytes(count: usize) -> Vec<u8> {
    use ring::rand::SecureRandom;
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut bytes = vec![0; count];
    if ring::rand::SystemRandom::new().fill(&mut bytes).is_err() {
        let seed = format!(
            "{:?}{}{}",
            std::time::SystemTime::now(),
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        );
        let digest = ring::digest::digest(&ring::digest::SHA256, seed.as_bytes());
        for (byte, random) in bytes.iter_mut().zip(digest.as_ref().iter().cycle()) {
            *byte = *random;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_length_asked_for() {
        assert_eq!(random_hex(17).len(), 17);
        assert_ne!(random_hex(32), random_hex(32));
        assert_eq!(random_upper(12).len(), 12);
        assert_eq!(token_hex("a", "vpc", 17), token_hex("a", "vpc", 17));
        assert_ne!(token_hex("a", "vpc", 17), token_hex("a", "subnet", 17));
    }

    #[test]
    fn uuids_have_their_dashes_version_and_variant() {
        let hex = "00112233445566778899aabbccddeeff";
        assert_eq!(dashed(hex), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(uuid(hex), "00112233-4455-4677-a899-aabbccddeeff");
    }
}
