//! What a push asks for: the references that it changes stand at its beginning, before the objects
//! (Git's `gitprotocol-pack`, "Reference Update Request and Packfile Transfer").

use std::io;

use bytes::BytesMut;
use engine::{ByteStream, EngineError, Result};
use futures_util::StreamExt;

use crate::limits::{COMMANDS_BYTES_MAX, COMMANDS_TIMEOUT};

/// A push with the names of the references that it changes: none when the client only tries whether it
/// is let in.
pub struct Push {
    pub references: Vec<String>,
    /// All of it, from its first byte.
    pub whole: ByteStream,
}

impl Push {
    /// Reads a push as far as its objects.
    pub async fn read(input: ByteStream) -> Result<Self> {
        match tokio::time::timeout(COMMANDS_TIMEOUT, read(input)).await {
            Ok(read) => read,
            Err(_) => Err(EngineError::unreachable("the client took too long")),
        }
    }
}

async fn read(mut input: ByteStream) -> Result<Push> {
    let mut seen = BytesMut::new();
    let mut commands = Commands::default();
    while !commands.go_on(&seen)? {
        if seen.len() > COMMANDS_BYTES_MAX {
            return Err(EngineError::invalid(
                "a push may not change so many references at once",
            ));
        }
        match input.next().await {
            Some(Ok(piece)) => seen.extend_from_slice(&piece),
            _ => return Err(EngineError::invalid("the push ended early")),
        }
    }
    let begun = futures_util::stream::iter([io::Result::Ok(seen.freeze())]);
    Ok(Push {
        references: commands.references,
        whole: Box::pin(begun.chain(input)),
    })
}

/// The commands at the beginning of a push, as far as they have come.
#[derive(Default)]
struct Commands {
    references: Vec<String>,
    /// Where the next line begins.
    at: usize,
}

impl Commands {
    /// Whether they are all among `seen`, which has grown.
    fn go_on(&mut self, seen: &[u8]) -> Result<bool> {
        loop {
            let rest = seen.get(self.at..).unwrap_or_default();
            let Some((length, after)) = rest.split_at_checked(4) else {
                return Ok(false);
            };
            // A length counts its own four digits. None at all is the end; what lies between has
            // meanings that have no place here.
            let length = match number(length)? {
                0 => return Ok(true),
                1..=4 => return Err(malformed()),
                length => length - 4,
            };
            let Some(line) = after.get(..length) else {
                return Ok(false);
            };
            self.references.extend(reference(line)?);
            self.at += length + 4;
        }
    }
}

fn number(digits: &[u8]) -> Result<usize> {
    std::str::from_utf8(digits)
        .ok()
        .filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))
        .and_then(|it| usize::from_str_radix(it, 16).ok())
        .ok_or_else(malformed)
}

/// `<old id> <new id> <name>`, and what the client can do behind a zero byte. None for a line that
/// tells where a shallow clone ends.
fn reference(line: &[u8]) -> Result<Option<String>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.split(|it| *it == 0).next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| malformed())?;
    if line.starts_with("shallow ") {
        return Ok(None);
    }
    if line.starts_with("push-cert") {
        return Err(EngineError::invalid("signed pushes are not supported"));
    }
    let mut parts = line.splitn(3, ' ');
    let is_id =
        |it: &str| matches!(it.len(), 40 | 64) && it.bytes().all(|it| it.is_ascii_hexdigit());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(old), Some(new), Some(name)) if is_id(old) && is_id(new) && !name.is_empty() => {
            Ok(Some(name.to_owned()))
        }
        _ => Err(malformed()),
    }
}

fn malformed() -> EngineError {
    EngineError::invalid("the push does not begin as Git's protocol wants it to")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const ID: &str = "0123456789012345678901234567890123456789";

    fn line(text: &str) -> String {
        format!("{:04x}{text}", text.len() + 4)
    }

    fn push(names: &[&str]) -> String {
        let lines = names.iter().enumerate().map(|(at, name)| {
            let can = if at == 0 {
                "\0report-status agent=a"
            } else {
                ""
            };
            line(&format!("{ID} {ID} {name}{can}"))
        });
        lines.collect::<String>() + "0000"
    }

    fn pieces(text: &str, size: usize) -> ByteStream {
        let pieces = text.as_bytes().chunks(size);
        let pieces: Vec<_> = pieces.map(|it| Ok(Bytes::copy_from_slice(it))).collect();
        Box::pin(futures_util::stream::iter(pieces))
    }

    #[tokio::test]
    async fn references_are_read_and_nothing_of_the_push_is_lost() {
        let text = push(&["refs/heads/main", "refs/tags/v 1"]) + "PACK and so on 0000";
        for size in [1, 7, 1000] {
            let read = Push::read(pieces(&text, size)).await.unwrap();
            assert_eq!(read.references, ["refs/heads/main", "refs/tags/v 1"]);
            let whole: Vec<Bytes> = read.whole.map(|it| it.unwrap()).collect().await;
            assert_eq!(whole.concat(), text.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_client_that_tries_its_password_changes_nothing() {
        let read = Push::read(pieces("0000", 2)).await.unwrap();
        assert!(read.references.is_empty());
        let shallow = line(&format!("shallow {ID}\n")) + &push(&["refs/heads/main"]);
        let read = Push::read(pieces(&shallow, 1000)).await.unwrap();
        assert_eq!(read.references, ["refs/heads/main"]);
    }

    #[tokio::test]
    async fn what_git_might_read_otherwise_is_refused() {
        let certificate = line("push-cert\0report-status") + "0000";
        let wrong = [
            "",
            "00",
            "0001",
            "0004",
            "zzzz",
            "+00f",
            "ffff",
            &line("refs/heads/main"),
            &line(&format!("{ID} {ID} ")),
            &line(&format!("{ID}  refs/heads/main")),
            &certificate,
            &push(&["refs/heads/main"])[..40],
        ];
        for text in wrong {
            assert!(Push::read(pieces(text, 1000)).await.is_err(), "{text}");
        }
        let many = line(&format!("{ID} {ID} refs/heads/main")).repeat(COMMANDS_BYTES_MAX / 60);
        assert!(Push::read(pieces(&many, 64 * 1024)).await.is_err());
    }
}
