//! A Dockerfile's text as logical lines: comments gone, continued lines joined, heredocs attached,
//! and the keyword and the `--flags` split off. What the rest means is the instruction's business.
//!
//! Read here and not by a library, because the one that comes nearest knows a heredoc in RUN only as
//! its very first word (`RUN cat <<EOF > file` would fail) and leaves all arguments raw anyway.

use std::sync::Arc;

use engine::{EngineError, Result};

use crate::limits::{DOCKERFILE_BYTES_MAX, INSTRUCTIONS_MAX};
use crate::place::Place;

#[derive(Debug)]
pub struct Lines {
    /// The character that continues a line and takes the meaning from the next one.
    pub escape: char,
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone)]
pub struct Line {
    pub place: Place,
    /// In capitals.
    pub keyword: String,
    pub flags: Vec<Flag>,
    pub rest: String,
    pub heredocs: Vec<Heredoc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    pub name: String,
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word as it stands in the line, `<<-"EOF"`.
    pub word: String,
    pub name: String,
    /// Whether variables in the body are replaced: not when the name was quoted.
    pub expands: bool,
    /// With the leading tabs gone if `<<-` was written.
    pub body: String,
    /// As it stands in the file, for a shell that reads it itself.
    pub raw_body: String,
}

const KEYWORDS_WITH_FLAGS: &[&str] = &["ADD", "COPY", "FROM", "HEALTHCHECK", "RUN"];
const KEYWORDS_WITH_HEREDOCS: &[&str] = &["ADD", "COPY", "RUN"];
/// Its argument is an instruction, which may have heredocs.
const TRIGGER: &str = "ONBUILD";

pub fn read(file: &str, text: &str) -> Result<Lines> {
    if text.len() > DOCKERFILE_BYTES_MAX {
        return Err(EngineError::invalid(format!(
            "`{file}` is larger than {DOCKERFILE_BYTES_MAX} bytes"
        )));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        file: file.into(),
        lines: text.lines().collect(),
        next: 0,
        escape: '\\',
    };
    reader.directives()?;
    let mut lines = Vec::new();
    while let Some((number, text)) = reader.logical_line() {
        if lines.len() >= INSTRUCTIONS_MAX {
            return Err(EngineError::invalid(format!(
                "`{file}` has more than {INSTRUCTIONS_MAX} instructions"
            )));
        }
        lines.push(reader.line(number, text)?);
    }
    Ok(Lines {
        escape: reader.escape,
        lines,
    })
}

struct Reader<'a> {
    file: Arc<str>,
    lines: Vec<&'a str>,
    /// Index of the next line that was not read yet.
    next: usize,
    escape: char,
}

impl<'a> Reader<'a> {
    /// `# escape=` and `# syntax=` count only before everything else, and each only once.
    fn directives(&mut self) -> Result<()> {
        let mut seen: Vec<String> = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let Some((name, value)) = line
                .trim_start()
                .strip_prefix('#')
                .and_then(|comment| comment.split_once('='))
            else {
                return Ok(());
            };
            let name = name.trim().to_ascii_lowercase();
            if !["syntax", "escape", "check"].contains(&name.as_str()) {
                return Ok(());
            }
            let place = Place {
                file: self.file.clone(),
                line: index + 1,
                text: (*line).to_owned(),
            };
            if seen.contains(&name) {
                return Err(place.invalid(format!("the directive `{name}` stands here twice")));
            }
            if name == "escape" {
                self.escape = match value.trim() {
                    "\\" => '\\',
                    "`" => '`',
                    other => {
                        return Err(place.invalid(format!(
                            "`{other}` cannot be the escape character; it is `\\` or a backtick"
                        )));
                    }
                };
            }
            seen.push(name);
        }
        Ok(())
    }

    fn take(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.next)?;
        self.next += 1;
        Some(line)
    }

    /// The next instruction with its continuation lines, and the number of its first line.
    fn logical_line(&mut self) -> Option<(usize, String)> {
        let first = loop {
            let line = self.take()?.trim_start();
            if !line.is_empty() && !line.starts_with('#') {
                break line;
            }
        };
        let number = self.next;
        let mut text = String::new();
        let mut part = first;
        while let Some(continued) = self.without_continuation(part) {
            text.push_str(continued);
            // Comments and empty lines between continued lines are skipped.
            part = loop {
                match self.take() {
                    None => return Some((number, text.trim_end().to_owned())),
                    Some(line) => {
                        let trimmed = line.trim_start();
                        if !trimmed.is_empty() && !trimmed.starts_with('#') {
                            break line;
                        }
                    }
                }
            };
        }
        text.push_str(part);
        Some((number, text.trim_end().to_owned()))
    }

    /// The line without the escape character at its end, if it ends with a single one.
    fn without_continuation<'b>(&self, line: &'b str) -> Option<&'b str> {
        let body = line
            .trim_end_matches([' ', '\t'])
            .strip_suffix(self.escape)?;
        (!body.ends_with(self.escape)).then_some(body)
    }

    fn line(&mut self, number: usize, text: String) -> Result<Line> {
        let place = Place {
            file: self.file.clone(),
            line: number,
            text: text.clone(),
        };
        let (keyword, rest) = split_word(&text);
        let keyword = keyword.to_ascii_uppercase();
        let mut rest = rest;
        let mut flags = Vec::new();
        if KEYWORDS_WITH_FLAGS.contains(&keyword.as_str()) {
            while rest.starts_with("--") {
                let (word, after) = split_quoted_word(rest, self.escape);
                let word = &word[2..];
                rest = after;
                if word.is_empty() {
                    break;
                }
                let (name, value) = match word.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (word, None),
                };
                flags.push(Flag {
                    name: name.to_owned(),
                    value,
                });
            }
        }
        let mut heredocs = Vec::new();
        let (inner, inner_rest) = split_word(rest);
        let has_heredocs = |word: &str| {
            KEYWORDS_WITH_HEREDOCS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(word))
        };
        let may_have_heredocs = match keyword == TRIGGER {
            true => has_heredocs(inner) && json_array(inner_rest).is_none(),
            false => has_heredocs(&keyword) && json_array(rest).is_none(),
        };
        if may_have_heredocs {
            for start in heredoc_words(rest, self.escape) {
                heredocs.push(self.heredoc(start, &place)?);
            }
        }
        Ok(Line {
            place,
            keyword,
            flags,
            rest: rest.to_owned(),
            heredocs,
        })
    }

    fn heredoc(&mut self, start: HeredocStart, place: &Place) -> Result<Heredoc> {
        let mut body = String::new();
        let mut raw_body = String::new();
        loop {
            let Some(line) = self.take() else {
                return Err(place.invalid(format!(
                    "the heredoc is not closed: no line `{}` follows",
                    start.name
                )));
            };
            let stripped = if start.strips_tabs {
                line.trim_start_matches('\t')
            } else {
                line
            };
            raw_body.push_str(line);
            raw_body.push('\n');
            if stripped == start.name {
                break;
            }
            body.push_str(stripped);
            body.push('\n');
        }
        Ok(Heredoc {
            word: start.word,
            name: start.name,
            expands: start.expands,
            body,
            raw_body,
        })
    }
}

struct HeredocStart {
    word: String,
    name: String,
    expands: bool,
    strips_tabs: bool,
}

/// The words of a line that begin a heredoc: an optional number, `<<`, an optional `-`, a name.
fn heredoc_words(rest: &str, escape: char) -> Vec<HeredocStart> {
    let mut starts = Vec::new();
    let mut rest = rest.trim_start();
    while !rest.is_empty() {
        let (word, after) = split_quoted_word(rest, escape);
        rest = after;
        let Some(name) = word
            .trim_start_matches(|character: char| character.is_ascii_digit())
            .strip_prefix("<<")
        else {
            continue;
        };
        let strips_tabs = name.starts_with('-');
        let name = name.strip_prefix('-').unwrap_or(name);
        let plain: String = name
            .chars()
            .filter(|character| !['"', '\'', '\\'].contains(character))
            .collect();
        if plain.is_empty() || plain.contains('<') {
            continue;
        }
        starts.push(HeredocStart {
            word: word.to_owned(),
            expands: plain == name,
            name: plain,
            strips_tabs,
        });
    }
    starts
}

/// The first word and what follows it.
pub fn split_word(text: &str) -> (&str, &str) {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

/// The first word as written, where quotes and escapes keep spaces inside, and what follows it.
pub fn split_quoted_word(text: &str, escape: char) -> (&str, &str) {
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((position, character)) = characters.next() {
        match quote {
            None if character == ' ' || character == '\t' => {
                return (&text[..position], text[position..].trim_start());
            }
            None if character == '\'' || character == '"' => quote = Some(character),
            Some(open) if character == open => quote = None,
            Some('\'') => {}
            _ if character == escape => {
                characters.next();
            }
            _ => {}
        }
    }
    (text, "")
}

/// The exec form: a JSON array of strings. Anything else is the shell form.
pub fn json_array(text: &str) -> Option<Vec<String>> {
    text.starts_with('[')
        .then(|| serde_json::from_str(text.trim_end()).ok())
        .flatten()
}
