//! What was found, and how it is told.

use std::collections::BTreeSet;
use std::path::Path;

use console::style;
use serde::Serialize;
use template::{Span, TemplateError};
use why::rows::{self, Row};
use why::{Basis, Finding, Mend, Place, Severity};

use crate::commands::why as shown;
use crate::say::counted;

/// The version of what `--json` prints. Members are added without a new one.
const SCHEMA: u32 = 1;

#[derive(Debug, Default)]
pub struct Outcome {
    pub findings: Vec<Finding>,
    pub looked_at: Vec<String>,
    pub not_looked_at: BTreeSet<String>,
}

/// The shape of `neargate check --json`. The names of members are stable.
#[derive(Debug, Serialize)]
pub struct CheckReport<'a> {
    schema: u32,
    errors: usize,
    warnings: usize,
    notes: usize,
    findings: &'a [Finding],
    looked_at: &'a [String],
    not_looked_at: &'a BTreeSet<String>,
}

/// Where something stands in a file; nobody's place is its beginning.
pub fn place(file: &Path, span: Option<Span>) -> Place {
    let span = span.unwrap_or(Span { line: 1, column: 1 });
    Place::new(
        file.display().to_string(),
        span.line.max(1),
        span.column.max(1),
    )
}

/// The place that a message names.
pub fn span_in(message: &str) -> Option<Span> {
    let (_, rest) = message.split_once("line ")?;
    let number = |it: &str| {
        let digits: String = it.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let (line, rest) = rest.split_once(", column ")?;
    Some(Span {
        line: number(line)?,
        column: number(rest)?,
    })
}

/// Something that is found without a rule of tasks.
pub fn finding(row: &Row, thing: String, cause: String, place: Place) -> Finding {
    Finding {
        id: row.id.to_owned(),
        name: row.name.to_owned(),
        thing,
        aws_says: cause.clone(),
        cause,
        because: Vec::new(),
        path: Vec::new(),
        mend: vec![Mend::template(row.mend)],
        basis: Basis::Derived,
        also_seen: Vec::new(),
        severity: Some(Severity::Error),
        place: Some(place),
    }
}

impl Outcome {
    pub fn looked(&mut self, what: impl Into<String>) {
        self.looked_at.push(what.into());
    }

    pub fn not(&mut self, what: String) {
        self.not_looked_at.insert(what);
    }

    pub fn found(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
    }

    /// What refuses a template or a part of it.
    pub fn refused(&mut self, file: &Path, error: &TemplateError, at: Option<Place>) {
        let bare = TemplateError {
            span: None,
            ..error.clone()
        };
        let message = bare.to_string();
        // The place is told beside it.
        let span = error.span.or_else(|| span_in(&message));
        let message = match span {
            Some(span) => message.replace(&format!(" ({span})"), ""),
            None => message,
        };
        let row = rows::of_message(&message, &rows::INVALID);
        let cause = message.trim_start_matches("Template error: ").to_owned();
        let place = at.unwrap_or_else(|| place(file, span));
        let thing = format!("template {}", file.display());
        self.findings.push(finding(row, thing, cause, place));
    }

    /// What several files or rules found is told once, and what is at one place together.
    pub fn finish(&mut self) {
        let key = |it: &Finding| {
            (
                it.place.clone(),
                it.severity,
                it.id.clone(),
                it.cause.clone(),
            )
        };
        self.findings.sort_by_key(key);
        self.findings
            .dedup_by_key(|it| (it.place.clone(), it.id.clone(), it.cause.clone()));
    }

    fn count(&self, severity: Severity) -> usize {
        let of = |it: &&Finding| it.severity == Some(severity);
        self.findings.iter().filter(of).count()
    }

    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    pub fn report(&self) -> CheckReport<'_> {
        CheckReport {
            schema: SCHEMA,
            errors: self.count(Severity::Error),
            warnings: self.count(Severity::Warning),
            notes: self.count(Severity::Note),
            findings: &self.findings,
            looked_at: &self.looked_at,
            not_looked_at: &self.not_looked_at,
        }
    }

    pub fn shown(&self, width: Option<usize>) -> String {
        let mut text = String::new();
        for it in &self.findings {
            text += &shown::finding_shown(it, width);
        }
        let looked = self.looked_at.join(", ");
        if self.findings.is_empty() {
            let mark = style("✓").green().bold();
            text += &format!("{mark} nothing is wrong with {looked}\n");
        } else {
            let counts = [
                (self.count(Severity::Error), "error"),
                (self.count(Severity::Warning), "warning"),
                (self.count(Severity::Note), "note"),
            ];
            let counts = counts.iter().filter(|it| it.0 > 0);
            let counts: Vec<String> = counts.map(|(count, what)| counted(*count, what)).collect();
            text += &format!("{} in {looked}\n", counts.join(", "));
        }
        if !self.not_looked_at.is_empty() {
            let rest: Vec<&str> = self.not_looked_at.iter().map(String::as_str).collect();
            text += &shown::hanging("  not looked at: ", &rest.join("; "), width, |it| {
                it.to_owned()
            });
        }
        text
    }
}
