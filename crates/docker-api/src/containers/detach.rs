//! The keys that leave a container, or a command, to itself: Ctrl-P and Ctrl-Q, or those that a client
//! names.

use crate::answer::Refusal;

const DEFAULT: [u8; 2] = [0x10, 0x11];
/// Nobody types more.
const KEYS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

impl DetachKeys {
    /// `ctrl-p,ctrl-q`, `a`, `ctrl-@,x`. Empty: docker's own.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self(DEFAULT.to_vec()));
        }
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        match keys.filter(|it| it.len() <= KEYS_MAX) {
            Some(keys) => Ok(Self(keys)),
            None => Err(Refusal::bad(format!(
                "Invalid detach keys ({text}) provided"
            ))),
        }
    }
}

fn key(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Some(*byte),
        _ => match text.strip_prefix("ctrl-")?.as_bytes() {
            [byte @ b'a'..=b'z'] => Some(byte - b'a' + 1),
            [b'@'] => Some(0),
            [byte @ b'['..=b'_'] => Some(byte - b'[' + 27),
            _ => None,
        },
    }
}

/// Looks for the keys in what is typed.
pub struct Typed {
    keys: DetachKeys,
    /// How many of them the last bytes were: these wait for what comes next.
    seen: usize,
}

impl Typed {
    pub fn new(keys: DetachKeys) -> Self {
        Self { keys, seen: 0 }
    }

    /// What of these bytes, and of those that waited, is for the program; and whether the keys were
    /// typed.
    pub fn pass(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let keys = &self.keys.0;
        let mut passed = Vec::with_capacity(bytes.len() + self.seen);
        for byte in bytes {
            if *byte != keys[self.seen] {
                passed.extend_from_slice(&keys[..self.seen]);
                self.seen = 0;
            }
            if *byte != keys[self.seen] {
                passed.push(*byte);
                continue;
            }
            self.seen += 1;
            if self.seen == keys.len() {
                return (passed, true);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_in_docker() {
        for (text, expect) in [
            ("", Some(&[16, 17][..])),
            ("ctrl-p,ctrl-q", Some(&[16, 17])),
            ("a,ctrl-@,ctrl-[,ctrl-_", Some(&[b'a', 0, 27, 31])),
            ("ctrl-", None),
            ("ctrl-A", None),
            ("ab", None),
            ("a,", None),
            ("\u{e9}", None),
        ] {
            let keys = DetachKeys::parse(text).ok().map(|it| it.0);
            assert_eq!(keys.as_deref(), expect, "{text}");
        }
        assert!(DetachKeys::parse(&"a,".repeat(100_000)).is_err());
    }

    #[test]
    fn keys_are_found_in_pieces_and_what_only_begins_like_them_is_passed_on() {
        let pass = |keys: &str, pieces: &[&str]| -> (String, bool) {
            let mut typed = Typed::new(DetachKeys::parse(keys).unwrap());
            let mut passed = String::new();
            for piece in pieces {
                let (bytes, detached) = typed.pass(piece.as_bytes());
                passed.push_str(std::str::from_utf8(&bytes).unwrap());
                if detached {
                    return (passed, true);
                }
            }
            (passed, false)
        };
        let check = |keys: &str, pieces: &[&str], passed: &str, detached: bool| {
            assert_eq!(
                pass(keys, pieces),
                (passed.to_owned(), detached),
                "{pieces:?}"
            );
        };
        check("", &["ls\n\u{10}", "\u{11}rest"], "ls\n", true);
        check("", &["\u{10}", "x"], "\u{10}x", false);
        check("", &["\u{10}\u{10}", "\u{11}"], "\u{10}", true);
        check("a", &["xay"], "x", true);
        check("a,b,c", &["ab", "ab", "c"], "ab", true);
    }
}
