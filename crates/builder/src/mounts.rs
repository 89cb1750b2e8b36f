//! `RUN --mount=…`: what a step sees for its own time and leaves no trace of.

use engine::{EngineError, Result};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountFlag {
    pub kind: MountKind,
    pub target: String,
    /// A stage or an image; the context when absent.
    pub from: Option<String>,
    pub source: String,
    pub read_only: bool,
    /// The name of a cache, a secret or an agent.
    pub id: Option<String>,
    pub sharing: Sharing,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub bytes_max: Option<u64>,
    /// A step that is not given the secret or the agent fails.
    pub required: bool,
    /// The variable that a secret is in.
    pub env: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MountKind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// What several steps that use a cache at the same time do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    #[default]
    Shared,
    /// The second waits.
    Locked,
    /// The second has another.
    Private,
}

/// Replaces the variables of a value.
pub type Expand<'a> = &'a dyn Fn(&str) -> Result<String>;

impl MountFlag {
    /// What can be known before the step's variables are: the stage or image that it needs. A flag without
    /// variables is read as a whole, so that what is wrong with it is found before anything runs.
    pub fn foresee(text: &str) -> Result<Option<Self>> {
        if !text.contains('$') {
            return Self::parse(text, &|value| Ok(value.to_owned())).map(Some);
        }
        for field in fields(text)? {
            let (key, value) = split(&field);
            if key == "from" && value.is_some_and(|value| value.contains('$')) {
                return Err(EngineError::invalid(format!(
                    "variables are not replaced in `from` of `--mount={text}`; name a stage with `FROM … AS name`"
                )));
            }
        }
        Ok(None)
    }

    /// Of a flag that may hold variables, the stage or image that it needs.
    pub fn source_stage(text: &str) -> Result<Option<String>> {
        let from = |field: &String| match split(field) {
            (key, Some(value)) if key == "from" => Some(value.to_owned()),
            _ => None,
        };
        Ok(fields(text)?.iter().find_map(from))
    }

    pub fn parse(text: &str, expand: Expand<'_>) -> Result<Self> {
        let mut reader = FlagReader {
            text,
            flag: Self::default(),
            writes: None,
            size: None,
        };
        for field in fields(text)? {
            let (key, value) = split(&field);
            let value = match (key.as_str(), value) {
                ("from", Some(value)) => Some(value.to_owned()),
                (_, value) => value.map(expand).transpose()?,
            };
            reader.field(&field, &key, value)?;
        }
        reader.finish()
    }

    /// The name by which a secret or an agent was given.
    pub fn given_name(&self) -> &str {
        let of_target = || self.target.rsplit('/').next().unwrap_or_default();
        match (&self.id, self.kind) {
            (Some(id), _) => id,
            (None, MountKind::Ssh) => "default",
            (None, _) if !self.source.is_empty() => &self.source,
            (None, _) => of_target(),
        }
    }
}

struct FlagReader<'a> {
    text: &'a str,
    flag: MountFlag,
    writes: Option<bool>,
    size: Option<String>,
}

impl FlagReader<'_> {
    fn refuse(&self, what: impl std::fmt::Display) -> EngineError {
        EngineError::invalid(format!("`--mount={}` {what}", self.text))
    }

    fn field(&mut self, field: &str, key: &str, value: Option<String>) -> Result<()> {
        let Some(value) = value else {
            match key {
                "ro" | "readonly" => self.writes = Some(false),
                "rw" | "readwrite" => self.writes = Some(true),
                "required" => self.flag.required = true,
                _ => return Err(self.refuse(format!("holds `{field}`, which needs a value"))),
            }
            return Ok(());
        };
        let wrong = || {
            EngineError::invalid(format!(
                "`{field}` is not supported in `--mount={}`",
                self.text
            ))
        };
        let number = |radix| u32::from_str_radix(&value, radix).map_err(|_| wrong());
        match key {
            "type" => self.flag.kind = kind(&value)?,
            "target" | "dst" | "destination" => self.flag.target = value,
            "source" | "src" => self.flag.source = value,
            "from" => self.flag.from = Some(value).filter(|from| !from.is_empty()),
            "id" => self.flag.id = Some(value).filter(|id| !id.is_empty()),
            "ro" | "readonly" => self.writes = Some(!truth(&value).ok_or_else(wrong)?),
            "rw" | "readwrite" => self.writes = Some(truth(&value).ok_or_else(wrong)?),
            "required" => self.flag.required = truth(&value).ok_or_else(wrong)?,
            "sharing" => {
                self.flag.sharing = match value.as_str() {
                    "shared" => Sharing::Shared,
                    "locked" => Sharing::Locked,
                    "private" => Sharing::Private,
                    _ => return Err(wrong()),
                }
            }
            "mode" => self.flag.mode = Some(number(8)? & 0o7777),
            "uid" => self.flag.uid = Some(number(10)?),
            "gid" => self.flag.gid = Some(number(10)?),
            "size" => self.size = Some(value),
            "env" => self.flag.env = Some(value).filter(|env| !env.is_empty()),
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// What has no meaning for a kind of mount is refused, as Docker refuses it.
    fn finish(mut self) -> Result<MountFlag> {
        let kind = self.flag.kind;
        let flag = &self.flag;
        let is_given = matches!(kind, MountKind::Secret | MountKind::Ssh);
        let owned = flag.mode.or(flag.uid).or(flag.gid).is_some();
        let shares = flag.sharing != Sharing::Shared;
        let comes_from = flag.from.is_some() || !flag.source.is_empty();
        let objection = match kind {
            MountKind::Bind | MountKind::Tmpfs if owned => Some("takes no `mode`, `uid` or `gid`"),
            MountKind::Tmpfs if comes_from => {
                Some("cannot be filled from elsewhere; use `type=bind` or COPY")
            }
            MountKind::Bind | MountKind::Cache | MountKind::Tmpfs if flag.target.is_empty() => {
                Some("needs a `target`")
            }
            MountKind::Secret if flag.given_name().is_empty() => Some("needs an `id`"),
            MountKind::Secret if flag.id.is_some() && !flag.source.is_empty() => {
                Some("takes `id` or `source`, and not both")
            }
            MountKind::Ssh if owned => {
                Some("is a socket of this machine, whose `mode`, `uid` and `gid` are its own")
            }
            _ if is_given && flag.from.is_some() => Some("takes no `from`"),
            _ if flag.required && !is_given => Some("is there always, and takes no `required`"),
            _ if flag.env.is_some() && kind != MountKind::Secret => Some("takes no `env`"),
            _ if shares && kind != MountKind::Cache => Some("takes no `sharing`"),
            _ if self.size.is_some() && kind != MountKind::Tmpfs => Some("takes no `size`"),
            _ => None,
        };
        if let Some(objection) = objection {
            return Err(self.refuse(objection));
        }
        if let Some(size) = &self.size {
            let bytes = bytes(size).ok_or_else(|| {
                self.refuse(format!("has the size `{size}`, which is none, like `64m`"))
            })?;
            self.flag.bytes_max = Some(bytes);
        }
        let writes_by_itself = matches!(kind, MountKind::Cache | MountKind::Tmpfs);
        self.flag.read_only = !self.writes.unwrap_or(writes_by_itself);
        Ok(self.flag)
    }
}

fn kind(text: &str) -> Result<MountKind> {
    match text.to_ascii_lowercase().as_str() {
        "bind" => Ok(MountKind::Bind),
        "cache" => Ok(MountKind::Cache),
        "tmpfs" => Ok(MountKind::Tmpfs),
        "secret" => Ok(MountKind::Secret),
        "ssh" => Ok(MountKind::Ssh),
        _ => Err(EngineError::invalid(format!(
            "`--mount=type={text}` is not supported (`bind`, `cache`, `tmpfs`, `secret` and `ssh` are)"
        ))),
    }
}

/// As Go reads it.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `64m`, `1.5GB`, `1024`: of 1024, as Docker counts memory.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|it: char| it != '.' && !it.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit
        .trim_start()
        .trim_end_matches('b')
        .trim_end_matches('i');
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * 1024_f64.powi(power);
    // More than any machine has is as good as no bound, and fits.
    (1.0..=9e15).contains(&bytes).then_some(bytes as u64)
}

fn split(field: &str) -> (String, Option<&str>) {
    match field.split_once('=') {
        Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
        None => (field.to_ascii_lowercase(), None),
    }
}

/// Fields between commas; one that is quoted may hold a comma, and a doubled quote for one.
fn fields(text: &str) -> Result<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        let field = fields.last_mut().expect("there is one from the start");
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            plain => field.push(plain),
        }
    }
    match quoted {
        true => Err(EngineError::invalid(format!(
            "a `\"` is not closed in `--mount={text}`"
        ))),
        false => Ok(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> MountFlag {
        MountFlag::parse(text, &|value| Ok(value.replace("$x", "value"))).unwrap()
    }

    #[test]
    fn mounts_are_read() {
        let cache = parse("type=cache,target=/root/.cache,sharing=locked,id=x,uid=5,mode=0700");
        assert_eq!(
            (cache.kind, cache.target.as_str(), cache.sharing),
            (MountKind::Cache, "/root/.cache", Sharing::Locked)
        );
        let expected = (Some("x"), Some(5), Some(0o700), false);
        let found = (cache.id.as_deref(), cache.uid, cache.mode, cache.read_only);
        assert_eq!(found, expected);
        let bind = parse("from=build,source=/out,target=/in");
        assert_eq!((bind.kind, bind.read_only), (MountKind::Bind, true));
        assert!(!parse("target=/in,rw").read_only);
        assert!(parse("target=/in,rw=false").read_only);
        assert_eq!(parse("\"source=a,b\",target=/in").source, "a,b");
        let variables = parse("type=cache,id=$x,target=/$x");
        assert_eq!(
            (variables.given_name(), variables.target.as_str()),
            ("value", "/value")
        );
        let size = |size: &str| parse(&format!("type=tmpfs,target=/t,size={size}")).bytes_max;
        assert_eq!(size("10m"), Some(10 << 20));
        assert_eq!(size("1.5GiB"), Some(3 << 29));
        assert_eq!(size("4096"), Some(4096));
        let secret = parse("type=secret,id=a,env=TOKEN,required");
        assert_eq!(
            (secret.given_name(), secret.env.as_deref(), secret.required),
            ("a", Some("TOKEN"), true)
        );
        assert_eq!(parse("type=secret,target=/run/b").given_name(), "b");
        assert_eq!(parse("type=ssh").given_name(), "default");
    }

    #[test]
    fn what_a_mount_does_not_take_is_named() {
        for (text, message) in [
            (
                "type=disk,target=/x",
                "`--mount=type=disk` is not supported (`bind`, `cache`, `tmpfs`, `secret` and `ssh` are)",
            ),
            ("type=cache", "`--mount=type=cache` needs a `target`"),
            (
                "type=cache,target=/x,sharing=all",
                "`sharing=all` is not supported in `--mount=type=cache,target=/x,sharing=all`",
            ),
            (
                "type=cache,target=/x,mode=9",
                "`mode=9` is not supported in `--mount=type=cache,target=/x,mode=9`",
            ),
            (
                "target=/x,colour=red",
                "`colour=red` is not supported in `--mount=target=/x,colour=red`",
            ),
            (
                "type=tmpfs,target=/x,mode=700",
                "`--mount=type=tmpfs,target=/x,mode=700` takes no `mode`, `uid` or `gid`",
            ),
            (
                "type=tmpfs,target=/x,size=big",
                "`--mount=type=tmpfs,target=/x,size=big` has the size `big`, which is none, like `64m`",
            ),
            (
                "type=cache,target=/x,size=1m",
                "`--mount=type=cache,target=/x,size=1m` takes no `size`",
            ),
            (
                "target",
                "`--mount=target` holds `target`, which needs a value",
            ),
            ("type=secret", "`--mount=type=secret` needs an `id`"),
            (
                "target=/x,required",
                "`--mount=target=/x,required` is there always, and takes no `required`",
            ),
            (
                "from=$x,target=/x",
                "variables are not replaced in `from` of `--mount=from=$x,target=/x`; name a stage with `FROM … AS name`",
            ),
        ] {
            assert_eq!(MountFlag::foresee(text).unwrap_err().message, message);
        }
    }
}
