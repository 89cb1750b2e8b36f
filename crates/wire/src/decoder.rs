//! The state of reading one message: how it is read, where the reader is, and what did not fit.

use std::borrow::Cow;
use std::fmt;

use crate::node::Node;

/// How a tree is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// JSON from the network: types are strict, unknown members are passed over, as AWS does.
    Json,
    /// JSON of the command line's own door: as `Json`, a member may have any of its names, and an unknown
    /// one is an error.
    Own,
    /// Form parameters: scalars are text, unknown members are passed over.
    Query,
    /// EC2's form parameters: as `Query`, and an unknown parameter is an error.
    Ec2,
    /// JSON that this program wrote itself: members that a later version made required may lack.
    Stored,
    /// A template's properties: scalars are coerced, and an unknown member is an error.
    Lenient,
    /// As `Lenient`, for a structure whose own required members are filled in later.
    LenientPartial,
}

/// One step of a path into a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Member(Cow<'static, str>),
    Index(usize),
    Key(String),
}

/// What did not fit.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    Missing,
    Unknown,
    /// The model has it and this program has not, or has it with one value only.
    Unbuilt {
        only: Option<&'static str>,
    },
    WrongType {
        expected: &'static str,
        found: &'static str,
        value: String,
    },
    NotInEnum {
        value: String,
        allowed: &'static [&'static str],
    },
    TooShort {
        value: String,
        min: i64,
    },
    TooLong {
        value: String,
        max: i64,
    },
    TooSmall {
        value: String,
        min: i64,
    },
    TooLarge {
        value: String,
        max: i64,
    },
    Pattern {
        value: String,
        pattern: &'static str,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => out.write_str("is required"),
            Self::Unknown => out.write_str("is not a known member"),
            Self::Unbuilt { only: None } => out.write_str("is not supported by neargate"),
            Self::Unbuilt { only: Some(only) } => {
                write!(
                    out,
                    "with another value than `{only}` is not supported by neargate"
                )
            }
            Self::WrongType {
                expected,
                found,
                value,
            } => {
                write!(out, "`{value}` ({found}) cannot be read as {expected}")
            }
            Self::NotInEnum { value, allowed } => {
                write!(out, "`{value}` is not one of {}", allowed.join(", "))
            }
            Self::TooShort { min, .. } => write!(out, "is shorter than {min}"),
            Self::TooLong { max, .. } => write!(out, "is longer than {max}"),
            Self::TooSmall { value, min } => write!(out, "`{value}` is less than {min}"),
            Self::TooLarge { value, max } => write!(out, "`{value}` is more than {max}"),
            Self::Pattern { value, pattern } => {
                write!(out, "`{value}` does not match `{pattern}`")
            }
        }
    }
}

/// One thing that did not fit, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub path: Vec<Segment>,
    pub problem: Problem,
    /// The member is secret: messages leave its value out.
    pub sensitive: bool,
}

impl Failure {
    /// The path as people write it: `ContainerDefinitions[0].Name`.
    pub fn place(&self) -> String {
        let mut out = String::new();
        for segment in &self.path {
            match segment {
                Segment::Index(index) => out.push_str(&format!("[{index}]")),
                Segment::Member(name) => push_dotted(&mut out, name),
                Segment::Key(name) => push_dotted(&mut out, name),
            }
        }
        out
    }
}

fn push_dotted(out: &mut String, name: &str) {
    if !out.is_empty() {
        out.push('.');
    }
    out.push_str(name);
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.problem, self.sensitive) {
            (Problem::Missing | Problem::Unknown | Problem::Unbuilt { .. }, _) | (_, false) => {
                write!(out, "`{}` {}", self.place(), self.problem)
            }
            (_, true) => write!(out, "`{}` has a value that does not fit", self.place()),
        }
    }
}

/// Everything that did not fit, never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeError {
    pub failures: Vec<Failure>,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.failures.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(out, "{separator}{failure}")?;
        }
        Ok(())
    }
}

impl DecodeError {
    /// The first member that is known and refused.
    pub fn unbuilt(&self) -> Option<&Failure> {
        (self.failures.iter()).find(|it| matches!(it.problem, Problem::Unbuilt { .. }))
    }
}

impl std::error::Error for DecodeError {}

/// A message with more failures than this is not worth a longer answer.
const MAX_FAILURES: usize = 50;
/// A value quoted in a message is cut here: the sender knows what it sent.
const MAX_QUOTED_CHARS: usize = 500;

/// What the members of a message's lists and maps may take in memory before what they hold themselves. A
/// structure of a hundred members takes a kibibyte and more where `{}` takes three bytes. AWS's longest
/// lists, ten thousand log events or a thousand metrics, are well below a mebibyte.
const ITEMS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The state of reading one message.
#[derive(Debug)]
pub struct Decoder {
    style: Style,
    partial: bool,
    sensitive: bool,
    path: Vec<Segment>,
    failures: Vec<Failure>,
    /// What is left of [`ITEMS_BYTES_MAX`].
    items_bytes: usize,
}

impl Decoder {
    pub fn new(style: Style) -> Self {
        let partial = style == Style::LenientPartial;
        let style = if partial { Style::Lenient } else { style };
        Self {
            style,
            partial,
            sensitive: false,
            path: Vec::new(),
            failures: Vec::new(),
            items_bytes: ITEMS_BYTES_MAX,
        }
    }

    pub fn style(&self) -> Style {
        self.style
    }

    /// May the structure that is being read lack its required members?
    pub(crate) fn forgives_missing(&self) -> bool {
        self.style == Style::Stored || (self.partial && self.path.is_empty())
    }

    pub(crate) fn within(&mut self, segment: Segment, read: impl FnOnce(&mut Self)) {
        self.path.push(segment);
        read(self);
        self.path.pop();
    }

    pub(crate) fn within_secret(&mut self, sensitive: bool, read: impl FnOnce(&mut Self)) {
        let outer = self.sensitive;
        self.sensitive |= sensitive;
        read(self);
        self.sensitive = outer;
    }

    /// Whether there is room for `count` items of a type. What this program wrote itself has no bound.
    pub(crate) fn has_room<T>(&mut self, count: usize) -> bool {
        let needed = count.saturating_mul(size_of::<T>());
        if self.style == Style::Stored {
            return true;
        }
        match self.items_bytes.checked_sub(needed) {
            Some(left) => self.items_bytes = left,
            None => {
                let max = self.items_bytes / size_of::<T>().max(1);
                self.fail(Problem::TooLong {
                    value: format!("{count} items"),
                    max: i64::try_from(max).unwrap_or(i64::MAX),
                });
                return false;
            }
        }
        true
    }

    pub(crate) fn failure_count(&self) -> usize {
        self.failures.len()
    }

    #[cold]
    pub fn fail(&mut self, problem: Problem) {
        if self.failures.len() < MAX_FAILURES {
            let (path, sensitive) = (self.path.clone(), self.sensitive);
            self.failures.push(Failure {
                path,
                problem: shortened(problem),
                sensitive,
            });
        }
    }

    #[cold]
    pub fn wrong_type(&mut self, expected: &'static str, node: &Node) {
        let value = match node {
            Node::Str(text) => text.clone(),
            Node::Int(number) => number.to_string(),
            Node::Float(number) => number.to_string(),
            Node::Bool(truth) => truth.to_string(),
            Node::Null => "null".into(),
            Node::List(_) | Node::Items(..) => "[…]".into(),
            _ => "{…}".into(),
        };
        match node {
            Node::Null => self.fail(Problem::Missing),
            _ => self.fail(Problem::WrongType {
                expected,
                found: node.kind(),
                value,
            }),
        }
    }

    /// `value`, if everything fitted.
    pub fn finish<T>(self, value: T) -> Result<T, DecodeError> {
        if self.failures.is_empty() {
            Ok(value)
        } else {
            Err(DecodeError {
                failures: self.failures,
            })
        }
    }
}

fn shortened(mut problem: Problem) -> Problem {
    match &mut problem {
        Problem::Missing | Problem::Unknown | Problem::Unbuilt { .. } => (),
        Problem::WrongType { value, .. }
        | Problem::NotInEnum { value, .. }
        | Problem::TooShort { value, .. }
        | Problem::TooLong { value, .. }
        | Problem::TooSmall { value, .. }
        | Problem::TooLarge { value, .. }
        | Problem::Pattern { value, .. } => {
            if let Some((cut, _)) = value.char_indices().nth(MAX_QUOTED_CHARS) {
                value.truncate(cut);
                value.push('…');
            }
        }
    }
    problem
}
