//! What is answered: the shape of `neargate why --json`.
//!
//! The names of members are stable: scripts and the console read them.

use serde::{Deserialize, Serialize};

/// The answer about one thing, or about whatever is red.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub outcome: Outcome,
    /// What was asked about, as it was found: `service web in cluster main`.
    pub thing: String,
    /// One for each thing that is wrong, the most telling first.
    pub findings: Vec<Finding>,
    /// Things that are wrong, or may be, and of which no cause was found.
    pub unexplained: Vec<Unexplained>,
    /// The way that was asked about, when nothing is known to stop it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Hop>,
    pub looked_at: Vec<String>,
    /// What would have belonged to the question and was not looked at. Nothing of it is known to be well.
    pub not_looked_at: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    NothingWrong,
    CauseFound,
    Unknown,
}

/// Something that is not as it should be, without a rule that says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unexplained {
    pub thing: String,
    /// What is seen of it, in the words of who reports it.
    pub symptom: String,
}

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The row of the catalogue, as `N1`, and its name, as `no-route`. Both never change.
    pub id: String,
    pub name: String,
    /// What it is the cause for.
    pub thing: String,
    /// One plain sentence.
    pub cause: String,
    pub because: Vec<Evidence>,
    /// The way of a packet as far as it gets, where there is one.
    pub path: Vec<Hop>,
    pub mend: Vec<Mend>,
    /// What one would look for in AWS's documentation and forums.
    pub aws_says: String,
    pub basis: Basis,
    /// What else is seen and follows from it.
    pub also_seen: Vec<String>,
    /// Of what is found in a file, before anything is made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// What comes of it when nobody mends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It will be refused, or will not run.
    Error,
    /// It may run, and fails under circumstances that are named.
    Warning,
    /// It runs, and is not what is usually wanted.
    Note,
}

/// Where something is written. Lines and columns count from one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub file: String,
    pub line: u32,
    pub column: u32,
}

impl Place {
    pub fn new(file: impl Into<String>, line: u32, column: u32) -> Self {
        Self {
            file: file.into(),
            line,
            column,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// It was seen happening: the kernel, a probe or a process said so.
    Observed,
    /// It follows from how things are configured.
    Derived,
    /// It is what is usually wrong when this is seen.
    Guessed,
}

/// One object and what was seen there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub object: String,
    pub seen: String,
}

/// One station of a packet's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    pub component: String,
    pub passes: bool,
    /// The explanation code of AWS's Reachability Analyzer, where the packet is stopped.
    pub code: Option<String>,
    /// The rule or route that decides.
    pub rule: Option<String>,
}

/// One way to put it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mend {
    pub what: String,
    /// To be typed, where one command does it.
    pub command: Option<String>,
    pub place: MendPlace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MendPlace {
    /// The template, task definition or Dockerfile is to be changed.
    Template,
    /// Something outside of it is missing or closed.
    Environment,
}

impl Evidence {
    pub fn new(object: impl Into<String>, seen: impl Into<String>) -> Self {
        Self {
            object: object.into(),
            seen: seen.into(),
        }
    }
}

impl Mend {
    pub fn template(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            command: None,
            place: MendPlace::Template,
        }
    }

    pub fn environment(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            command: None,
            place: MendPlace::Environment,
        }
    }

    #[must_use]
    pub fn by(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }
}

impl Hop {
    pub fn passes(component: impl Into<String>, rule: Option<String>) -> Self {
        Self {
            component: component.into(),
            passes: true,
            code: None,
            rule,
        }
    }

    pub fn stops(component: impl Into<String>, code: &str, rule: Option<String>) -> Self {
        Self {
            component: component.into(),
            passes: false,
            code: Some(code.to_owned()),
            rule,
        }
    }
}
