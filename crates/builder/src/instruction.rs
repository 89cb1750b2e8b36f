//! Instructions with their arguments told apart, before variables are replaced.

use engine::{Result, StepNetwork};

use crate::lines::{self, Flag, Heredoc, Line, json_array, split_word};
use crate::mode::FileMode;
use crate::place::Place;
use crate::remote::Remote;
use crate::words::raw_words;

#[derive(Debug, Clone)]
pub struct Instruction {
    pub place: Place,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    From(From),
    /// Names and defaults.
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Maintainer(String),
    Copy(Copy),
    Run(Run),
    Cmd(Command),
    Entrypoint(Command),
    Shell(Vec<String>),
    /// Words, not yet split at spaces that variables bring in.
    Expose(Vec<String>),
    Volume(Vec<String>),
    Workdir(String),
    User(String),
    StopSignal(String),
    HealthCheck(HealthCheck),
    /// The instruction's text, for builds on the image.
    OnBuild(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    pub image: String,
    pub alias: Option<String>,
    pub platform: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Exec(Vec<String>),
    Shell(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// ADD: addresses are fetched, and archives of the context unpacked.
    pub is_add: bool,
    /// Whether archives are unpacked, wherever they come from; ADD's own rule when absent.
    pub unpack: Option<bool>,
    /// What a source that is fetched has to be.
    pub checksum: Option<String>,
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    /// Sources land with the folders above them.
    pub parents: bool,
    /// Patterns of what is left out.
    pub excludes: Vec<String>,
    pub sources: Vec<CopySource>,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    Path(String),
    Heredoc(Heredoc),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub command: Command,
    pub heredocs: Vec<Heredoc>,
    /// The values of `--mount`.
    pub mounts: Vec<String>,
    /// What `--network` says.
    pub network: Option<StepNetwork>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// `None` for HEALTHCHECK NONE.
    pub command: Option<Command>,
    pub flags: Vec<Flag>,
}

const KEYWORDS: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

pub fn parse(line: Line, escape: char) -> Result<Instruction> {
    let parser = Parser {
        line: &line,
        escape,
    };
    let kind = parser.kind()?;
    Ok(Instruction {
        place: line.place,
        kind,
    })
}

/// The instruction of an ONBUILD, at the place of the FROM that it follows from.
pub fn parse_trigger(text: &str, place: &Place) -> Result<Instruction> {
    let read = lines::read("ONBUILD", text).map_err(|error| place.wrap(error))?;
    let escape = read.escape;
    let [line] = <[Line; 1]>::try_from(read.lines)
        .map_err(|_| place.invalid(format!("`ONBUILD {text}` is not one instruction")))?;
    check_trigger(&line).map_err(|message| place.invalid(message))?;
    let instruction = parse(line, escape).map_err(|error| place.wrap(error))?;
    Ok(Instruction {
        place: Place {
            text: format!("ONBUILD {text}"),
            ..place.clone()
        },
        kind: instruction.kind,
    })
}

fn check_trigger(line: &Line) -> std::result::Result<(), String> {
    match line.keyword.as_str() {
        "ONBUILD" => Err("ONBUILD takes any instruction but another ONBUILD".to_owned()),
        other @ ("FROM" | "MAINTAINER") => Err(format!("ONBUILD takes no {other}")),
        _ => Ok(()),
    }
}

struct Parser<'a> {
    line: &'a Line,
    escape: char,
}

impl Parser<'_> {
    fn kind(&self) -> Result<Kind> {
        let rest = self.line.rest.as_str();
        match self.line.keyword.as_str() {
            "ADD" => self.copy(true),
            "ARG" => self.args(),
            "CMD" => Ok(Kind::Cmd(command(rest))),
            "COPY" => self.copy(false),
            "ENTRYPOINT" => self
                .needs_argument()
                .map(|()| Kind::Entrypoint(command(rest))),
            "ENV" => self.pairs().map(Kind::Env),
            "EXPOSE" => self.words().map(Kind::Expose),
            "FROM" => self.from(),
            "HEALTHCHECK" => self.health_check(),
            "LABEL" => self.pairs().map(Kind::Label),
            "MAINTAINER" => self
                .needs_argument()
                .map(|()| Kind::Maintainer(rest.to_owned())),
            "ONBUILD" => self.on_build(),
            "RUN" => self.run(),
            "SHELL" => match json_array(rest) {
                Some(words) if !words.is_empty() => Ok(Kind::Shell(words)),
                _ => Err(self.invalid("SHELL takes a JSON array, like `[\"/bin/bash\", \"-c\"]`")),
            },
            "STOPSIGNAL" => self
                .needs_argument()
                .map(|()| Kind::StopSignal(rest.to_owned())),
            "USER" => self.needs_argument().map(|()| Kind::User(rest.to_owned())),
            "VOLUME" => match json_array(rest) {
                Some(words) => Ok(Kind::Volume(words)),
                None => self.words().map(Kind::Volume),
            },
            "WORKDIR" => self
                .needs_argument()
                .map(|()| Kind::Workdir(rest.to_owned())),
            other => Err(self.unknown(other)),
        }
    }

    fn invalid(&self, message: impl std::fmt::Display) -> engine::EngineError {
        self.line.place.invalid(message)
    }

    /// What is wrong with the instruction is said now, and not to whoever builds on the image.
    fn on_build(&self) -> Result<Kind> {
        self.needs_argument()?;
        let mut text = self.line.rest.clone();
        for heredoc in &self.line.heredocs {
            text.push('\n');
            text.push_str(heredoc.raw_body.trim_end_matches('\n'));
        }
        parse_trigger(&text, &self.line.place)?;
        Ok(Kind::OnBuild(text))
    }

    fn unknown(&self, keyword: &str) -> engine::EngineError {
        let nearest = KEYWORDS
            .iter()
            .map(|known| (distance(keyword, known), known))
            .min()
            .filter(|(distance, _)| *distance <= 2);
        match nearest {
            Some((_, known)) => self.invalid(format!(
                "`{keyword}` is not an instruction; did you mean `{known}`?"
            )),
            None => self.invalid(format!(
                "`{keyword}` is not an instruction; a line that continues the one before needs a `{}` at that line's end",
                self.escape
            )),
        }
    }

    fn needs_argument(&self) -> Result<()> {
        if self.line.rest.is_empty() {
            return Err(self.invalid(format!("{} needs an argument", self.line.keyword)));
        }
        Ok(())
    }

    fn words(&self) -> Result<Vec<String>> {
        self.needs_argument()?;
        Ok(raw_words(&self.line.rest, self.escape)
            .into_iter()
            .map(str::to_owned)
            .collect())
    }

    fn args(&self) -> Result<Kind> {
        let mut args = Vec::new();
        for word in self.words()? {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default.to_owned())),
                None => (word.as_str(), None),
            };
            if !is_name(name) {
                return Err(self.invalid(format!("`{name}` cannot be the name of an ARG")));
            }
            args.push((name.to_owned(), default));
        }
        Ok(Kind::Arg(args))
    }

    /// `name=value …`, or the old form `name value with spaces`.
    fn pairs(&self) -> Result<Vec<(String, String)>> {
        let words = self.words()?;
        if !words[0].contains('=') {
            let (name, value) = split_word(&self.line.rest);
            if value.is_empty() {
                return Err(self.invalid(format!(
                    "{} takes `name=value`; `{name}` has no value",
                    self.line.keyword
                )));
            }
            return Ok(vec![(name.to_owned(), value.to_owned())]);
        }
        words
            .into_iter()
            .map(|word| match word.split_once('=') {
                Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
                _ => Err(self.invalid(format!(
                    "`{word}` is not of the form `name=value`; quote a value that holds spaces"
                ))),
            })
            .collect()
    }

    fn from(&self) -> Result<Kind> {
        let words = self.words()?;
        let (image, alias) = match words.as_slice() {
            [image] => (image, None),
            [image, keyword, alias] if keyword.eq_ignore_ascii_case("as") => (image, Some(alias)),
            _ => {
                return Err(
                    self.invalid("FROM takes an image, and then `AS` and a name or nothing")
                );
            }
        };
        if let Some(alias) = alias
            && !is_stage_name(alias)
        {
            return Err(self.invalid(format!("`{alias}` cannot be the name of a stage")));
        }
        let mut platform = None;
        for flag in &self.line.flags {
            match (flag.name.as_str(), &flag.value) {
                ("platform", Some(value)) => platform = Some(value.clone()),
                _ => return Err(self.unknown_flag(flag)),
            }
        }
        Ok(Kind::From(From {
            image: image.clone(),
            alias: alias.map(|alias| alias.to_ascii_lowercase()),
            platform,
        }))
    }

    fn unknown_flag(&self, flag: &Flag) -> engine::EngineError {
        let value = match &flag.value {
            Some(value) => format!("={value}"),
            None => String::new(),
        };
        self.invalid(format!(
            "`--{}{value}` is not supported on {}",
            flag.name, self.line.keyword
        ))
    }

    fn copy(&self, is_add: bool) -> Result<Kind> {
        let mut copy = Copy {
            is_add,
            unpack: None,
            checksum: None,
            from: None,
            chown: None,
            chmod: None,
            parents: false,
            excludes: Vec::new(),
            sources: Vec::new(),
            to: String::new(),
        };
        for flag in &self.line.flags {
            match (flag.name.as_str(), flag.value.as_deref()) {
                ("from", Some(value)) if !is_add => copy.from = Some(value.to_owned()),
                ("chown", Some(value)) => copy.chown = Some(value.to_owned()),
                ("chmod", Some(value)) => {
                    if !value.contains('$') {
                        FileMode::parse(value).map_err(|error| self.line.place.wrap(error))?;
                    }
                    copy.chmod = Some(value.to_owned());
                }
                ("exclude", Some(value)) => copy.excludes.push(value.to_owned()),
                ("parents", None) if !is_add => copy.parents = true,
                ("parents", Some(value)) if !is_add && is_truth(value) => {
                    copy.parents = value == "true";
                }
                ("checksum", Some(value)) if is_add => copy.checksum = Some(value.to_owned()),
                ("unpack", None) if is_add => copy.unpack = Some(true),
                ("unpack", Some(value)) if is_add && is_truth(value) => {
                    copy.unpack = Some(value == "true");
                }
                ("keep-git-dir", Some("false")) if is_add => {}
                // Every COPY is a layer of its own here, which is all that `--link` asks for.
                ("link", None) => {}
                ("link", Some(value)) if is_truth(value) => {}
                _ => return Err(self.unknown_flag(flag)),
            }
        }
        let mut words = match json_array(&self.line.rest) {
            Some(words) => words,
            None => self.words()?,
        };
        if words.len() < 2 {
            return Err(self.invalid(format!(
                "{} needs at least a source and a destination",
                self.line.keyword
            )));
        }
        copy.to = words.pop().expect("there are at least two");
        for word in words {
            copy.sources.push(self.copy_source(word, is_add)?);
        }
        if copy.checksum.is_some() && copy.sources.len() > 1 {
            return Err(self.invalid("`--checksum` is of one source, and here are more"));
        }
        Ok(Kind::Copy(copy))
    }

    fn copy_source(&self, word: String, is_add: bool) -> Result<CopySource> {
        if let Some(heredoc) = self.line.heredocs.iter().find(|doc| doc.word == word) {
            return Ok(CopySource::Heredoc(heredoc.clone()));
        }
        let remote = Remote::parse(&word).map_err(|error| self.line.place.wrap(error))?;
        if remote.is_some() && !is_add {
            return Err(self.invalid(format!("COPY takes no address like `{word}`; ADD does")));
        }
        Ok(CopySource::Path(word))
    }

    fn run(&self) -> Result<Kind> {
        self.needs_argument()?;
        let mut mounts = Vec::new();
        let mut network = None;
        for flag in &self.line.flags {
            match (flag.name.as_str(), flag.value.as_deref()) {
                ("mount", Some(value)) => mounts.push(value.to_owned()),
                ("network", Some("default")) => network = None,
                ("network", Some("none")) => network = Some(StepNetwork::None),
                ("network", Some("host")) => network = Some(StepNetwork::Host),
                ("security", Some("sandbox")) => {}
                _ => return Err(self.unknown_flag(flag)),
            }
        }
        let command = command(&self.line.rest);
        if command == Command::Exec(Vec::new()) {
            return Err(self.invalid("RUN needs a command"));
        }
        Ok(Kind::Run(Run {
            command,
            heredocs: self.line.heredocs.clone(),
            mounts,
            network,
        }))
    }

    fn health_check(&self) -> Result<Kind> {
        let (keyword, rest) = split_word(&self.line.rest);
        let command = match keyword.to_ascii_uppercase().as_str() {
            "NONE" if rest.is_empty() && self.line.flags.is_empty() => None,
            "NONE" => return Err(self.invalid("HEALTHCHECK NONE takes nothing else")),
            "CMD" if rest.is_empty() => {
                return Err(self.invalid("HEALTHCHECK CMD needs a command"));
            }
            "CMD" => Some(command(rest)),
            _ => return Err(self.invalid("HEALTHCHECK takes `CMD` and a command, or `NONE`")),
        };
        let known = [
            "interval",
            "timeout",
            "start-period",
            "start-interval",
            "retries",
        ];
        for flag in &self.line.flags {
            if !known.contains(&flag.name.as_str()) || flag.value.is_none() {
                return Err(self.unknown_flag(flag));
            }
        }
        Ok(Kind::HealthCheck(HealthCheck {
            command,
            flags: self.line.flags.clone(),
        }))
    }
}

fn command(rest: &str) -> Command {
    match json_array(rest) {
        Some(words) => Command::Exec(words),
        None => Command::Shell(rest.to_owned()),
    }
}

fn is_truth(text: &str) -> bool {
    matches!(text, "true" | "false")
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
        && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

fn is_stage_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// How many letters must be changed, added or dropped to make one word of the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    // A word much longer than any keyword is near to none.
    for (index, character) in left.chars().take(32).enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let above = row[column + 1];
            let changed = diagonal + usize::from(character != *other);
            row[column + 1] = changed.min(above + 1).min(row[column] + 1);
            diagonal = above;
        }
    }
    row[right.len()]
}
