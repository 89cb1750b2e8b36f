//! `RUN --mount=…`: what a step sees for its own time and leaves no trace of.

use engine::{EngineError, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFlag {
    pub kind: MountKind,
    pub target: String,
    /// A stage or an image; the context when absent.
    pub from: Option<String>,
    pub source: String,
    pub read_only: bool,
    /// The cache's name; its target when absent.
    pub id: Option<String>,
    /// `sharing=locked`: one step at a time.
    pub locked: bool,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountKind {
    Bind,
    Cache,
    Tmpfs,
}

impl MountFlag {
    pub fn parse(text: &str) -> Result<Self> {
        let mut flag = Self {
            kind: MountKind::Bind,
            target: String::new(),
            from: None,
            source: String::new(),
            read_only: false,
            id: None,
            locked: false,
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        let mut writes = None;
        for part in text.split(',') {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key, value),
                None => (part, "true"),
            };
            let number = |radix| {
                u32::from_str_radix(value, radix).map_err(|_| {
                    EngineError::invalid(format!("`{part}` is not a number in `--mount={text}`"))
                })
            };
            match (key, value) {
                ("type", "bind") => flag.kind = MountKind::Bind,
                ("type", "cache") => flag.kind = MountKind::Cache,
                ("type", "tmpfs") => flag.kind = MountKind::Tmpfs,
                ("type", _) => {
                    return Err(EngineError::invalid(format!(
                        "`--mount=type={value}` is not supported (`bind`, `cache` and `tmpfs` are)"
                    )));
                }
                ("target" | "dst" | "destination", _) => flag.target = value.to_owned(),
                ("source" | "src", _) => flag.source = value.to_owned(),
                ("from", _) => flag.from = Some(value.to_owned()),
                ("id", _) => flag.id = Some(value.to_owned()),
                ("ro" | "readonly", "true" | "false") => writes = Some(value == "false"),
                ("rw" | "readwrite", "true" | "false") => writes = Some(value == "true"),
                ("sharing", "shared") => flag.locked = false,
                ("sharing", "locked") => flag.locked = true,
                ("mode", _) => flag.mode = number(8)? & 0o7777,
                ("uid", _) => flag.uid = number(10)?,
                ("gid", _) => flag.gid = number(10)?,
                // Folders of the disk stand in for memory, so there is nothing to bound.
                ("size", _) => {}
                _ => {
                    return Err(EngineError::invalid(format!(
                        "`{part}` is not supported in `--mount={text}`"
                    )));
                }
            }
        }
        flag.check(text, writes)
    }

    fn check(mut self, text: &str, writes: Option<bool>) -> Result<Self> {
        let refuse = |what: &str| Err(EngineError::invalid(format!("`--mount={text}` {what}")));
        if self.target.is_empty() {
            return refuse("needs a `target`");
        }
        match self.kind {
            MountKind::Bind if writes == Some(true) => {
                refuse("would write to what is mounted; only read-only bind mounts are supported")
            }
            MountKind::Bind => {
                self.read_only = true;
                Ok(self)
            }
            MountKind::Cache | MountKind::Tmpfs
                if self.from.is_some() || !self.source.is_empty() =>
            {
                refuse("cannot be filled from elsewhere; use `type=bind` or COPY")
            }
            MountKind::Cache | MountKind::Tmpfs => {
                self.read_only = writes == Some(false);
                Ok(self)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_supports_and_names_what_it_does_not() {
        let cache = MountFlag::parse("type=cache,target=/root/.cache,sharing=locked,id=x").unwrap();
        assert_eq!(
            (
                cache.kind,
                cache.target.as_str(),
                cache.locked,
                cache.id.as_deref()
            ),
            (MountKind::Cache, "/root/.cache", true, Some("x"))
        );
        let bind = MountFlag::parse("from=build,source=/out,target=/in").unwrap();
        assert_eq!((bind.kind, bind.read_only), (MountKind::Bind, true));
        for (text, message) in [
            (
                "type=secret,id=a",
                "`--mount=type=secret` is not supported (`bind`, `cache` and `tmpfs` are)",
            ),
            (
                "type=ssh",
                "`--mount=type=ssh` is not supported (`bind`, `cache` and `tmpfs` are)",
            ),
            ("type=cache", "`--mount=type=cache` needs a `target`"),
            (
                "type=bind,target=/x,rw",
                "`--mount=type=bind,target=/x,rw` would write to what is mounted; only read-only bind mounts are supported",
            ),
            (
                "type=cache,target=/x,sharing=private",
                "`sharing=private` is not supported in `--mount=type=cache,target=/x,sharing=private`",
            ),
            (
                "type=cache,target=/x,mode=9",
                "`mode=9` is not a number in `--mount=type=cache,target=/x,mode=9`",
            ),
        ] {
            assert_eq!(MountFlag::parse(text).unwrap_err().message, message);
        }
    }
}
