//! Words of an instruction: variables replaced, quotes and escapes resolved.

use engine::{EngineError, Result};

use crate::limits::{EXPANSION_BYTES_MAX, EXPANSION_DEPTH_MAX};
use crate::lines::split_quoted_word;
use crate::pattern::{Pattern, Stars};

/// Looks up a variable; `None` when it is not set.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

pub struct Expander<'a> {
    pub escape: char,
    pub lookup: Lookup<'a>,
}

impl Expander<'_> {
    /// One word or text: variables replaced, quotes and escapes gone.
    pub fn word(&self, text: &str) -> Result<String> {
        self.run(text, Quotes::Resolved)
    }

    /// A heredoc's body: variables replaced, and whatever a backslash stands before as it is, whichever
    /// character escapes elsewhere in the file. Quotes are text.
    pub fn body(&self, text: &str) -> Result<String> {
        let with_backslash = Expander {
            escape: '\\',
            lookup: self.lookup,
        };
        with_backslash.run(text, Quotes::Kept)
    }

    fn run(&self, text: &str, quotes: Quotes) -> Result<String> {
        let mut scanner = Scanner {
            expander: self,
            characters: text.chars().collect(),
            position: 0,
            quotes,
            escapes: Escapes::Resolved,
            depth: 0,
            bytes_max: text.len() + EXPANSION_BYTES_MAX,
        };
        scanner.until(None)
    }
}

/// A list of words as they are written.
pub fn raw_words(text: &str, escape: char) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (word, after) = split_quoted_word(rest, escape);
        words.push(word);
        rest = after;
    }
    words
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Resolved,
    Kept,
}

/// Patterns keep their escapes, which say there what is no wildcard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Resolved,
    Kept,
}

struct Scanner<'a> {
    expander: &'a Expander<'a>,
    characters: Vec<char>,
    position: usize,
    quotes: Quotes,
    escapes: Escapes,
    depth: usize,
    bytes_max: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.position).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += 1;
        Some(character)
    }

    /// Text up to `stop` (which is consumed) or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<String> {
        let mut out = String::new();
        loop {
            let Some(character) = self.next() else {
                return match stop {
                    None => Ok(out),
                    Some(_) => Err(EngineError::invalid("`${` is not closed by `}`")),
                };
            };
            if Some(character) == stop {
                return Ok(out);
            }
            let resolves = self.quotes == Quotes::Resolved;
            match character {
                '\'' if resolves => self.single_quoted(&mut out)?,
                '"' if resolves => self.double_quoted(&mut out)?,
                '$' => out.push_str(&self.variable()?),
                escape if escape == self.expander.escape => self.escaped(&mut out),
                plain => out.push(plain),
            }
            self.check_length(&out)?;
        }
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<()> {
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(character) => out.push(character),
                None => return Err(EngineError::invalid("a `'` is not closed")),
            }
        }
    }

    fn double_quoted(&mut self, out: &mut String) -> Result<()> {
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('$') => out.push_str(&self.variable()?),
                Some(character) if character == self.expander.escape => match self.next() {
                    Some(next) if next == '"' || next == '$' || next == character => out.push(next),
                    Some(next) => out.extend([character, next]),
                    None => return Err(EngineError::invalid("a `\"` is not closed")),
                },
                Some(character) => out.push(character),
                None => return Err(EngineError::invalid("a `\"` is not closed")),
            }
            self.check_length(out)?;
        }
    }

    fn escaped(&mut self, out: &mut String) {
        if self.escapes == Escapes::Kept {
            out.push(self.expander.escape);
        }
        out.extend(self.next());
    }

    /// After a `$`.
    fn variable(&mut self) -> Result<String> {
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(match name.is_empty() {
                true => "$".to_owned(),
                false => self.value(&name).unwrap_or_default(),
            });
        }
        self.position += 1;
        let name = match self.peek() {
            Some('}' | ':' | '{') => String::new(),
            _ => self.name(),
        };
        if name.is_empty() {
            return Err(EngineError::invalid("`${` needs the name of a variable"));
        }
        match self.next() {
            Some('}') => Ok(self.value(&name).unwrap_or_default()),
            Some(':') => {
                let operator = self.next();
                self.alternative(&name, operator, true)
            }
            operator @ Some('-' | '+' | '?') => self.alternative(&name, operator, false),
            Some(operator @ ('#' | '%')) => self.trimmed(&name, operator),
            Some('/') => self.replaced(&name),
            Some(other) => Err(EngineError::invalid(format!(
                "`{other}` has no meaning within `${{{name}…}}`"
            ))),
            None => Err(EngineError::invalid("`${` is not closed by `}`")),
        }
    }

    /// A name; or what the shell calls a positional or special parameter, none of which has a value here.
    fn name(&mut self) -> String {
        let first_is_digit = match self.peek() {
            Some(special) if SPECIAL_PARAMETERS.contains(special) => {
                self.position += 1;
                return special.to_string();
            }
            Some(first) => first.is_ascii_digit(),
            None => false,
        };
        let mut name = String::new();
        while let Some(character) = self.peek() {
            let fits = match first_is_digit {
                true => character.is_ascii_digit(),
                false => character == '_' || character.is_alphanumeric(),
            };
            if !fits {
                break;
            }
            name.push(character);
            self.position += 1;
        }
        name
    }

    fn check_length(&self, text: &str) -> Result<()> {
        if text.len() <= self.bytes_max {
            return Ok(());
        }
        Err(EngineError::invalid(format!(
            "the text grows by more than {EXPANSION_BYTES_MAX} bytes when its variables are replaced"
        )))
    }

    fn value(&self, name: &str) -> Option<String> {
        (self.expander.lookup)(name)
    }

    /// A value that a pattern is tried on.
    fn operand(&self, name: &str) -> Result<String> {
        let value = self.value(name).unwrap_or_default();
        if value.len() > PATTERN_OPERAND_BYTES_MAX {
            return Err(EngineError::invalid(format!(
                "`{name}` is longer than {PATTERN_OPERAND_BYTES_MAX} bytes, too long for a pattern"
            )));
        }
        Ok(value)
    }

    fn pattern(&mut self, stop: char) -> Result<String> {
        let outer = std::mem::replace(&mut self.escapes, Escapes::Kept);
        let pattern = self.nested(stop);
        self.escapes = outer;
        pattern
    }

    fn nested(&mut self, stop: char) -> Result<String> {
        self.depth += 1;
        if self.depth > EXPANSION_DEPTH_MAX {
            return Err(EngineError::invalid(format!(
                "variables are nested more than {EXPANSION_DEPTH_MAX} deep"
            )));
        }
        let word = self.until(Some(stop));
        self.depth -= 1;
        word
    }

    fn alternative(&mut self, name: &str, operator: Option<char>, colon: bool) -> Result<String> {
        let word = self.nested('}')?;
        let value = self.value(name);
        let is_set = value
            .as_ref()
            .is_some_and(|value| !colon || !value.is_empty());
        match operator {
            Some('-') => Ok(value.filter(|_| is_set).unwrap_or(word)),
            Some('+') => Ok(if is_set { word } else { String::new() }),
            Some('?') if is_set => Ok(value.unwrap_or_default()),
            Some('?') => Err(EngineError::invalid(format!(
                "the variable `{name}` is not set: {word}"
            ))),
            _ => Err(EngineError::invalid(format!(
                "`${{{name}:…}}` takes `-`, `+` or `?` after the colon"
            ))),
        }
    }

    /// `${x#pattern}` and `${x%pattern}`; doubled they take away as much as they can.
    fn trimmed(&mut self, name: &str, operator: char) -> Result<String> {
        let greedy = self.peek() == Some(operator);
        self.position += usize::from(greedy);
        let pattern = shell_pattern(&self.pattern('}')?)?;
        let value = self.operand(name)?;
        let mut cuts: Vec<usize> = value.char_indices().map(|(at, _)| at).collect();
        cuts.push(value.len());
        let from_start = operator == '#';
        if from_start == greedy {
            cuts.reverse();
        }
        for cut in cuts {
            let (head, tail) = value.split_at(cut);
            let (gone, kept) = if from_start {
                (head, tail)
            } else {
                (tail, head)
            };
            if pattern.matches(&gone.replace('/', SLASH)) {
                return Ok(kept.to_owned());
            }
        }
        Ok(value)
    }

    /// `${x/pattern/replacement}`; with two slashes at first, everywhere.
    fn replaced(&mut self, name: &str) -> Result<String> {
        let everywhere = self.peek() == Some('/');
        self.position += usize::from(everywhere);
        let pattern = shell_pattern(&self.pattern('/')?)?;
        let replacement = self.pattern('}')?;
        let value = self.operand(name)?;
        let mut out = String::new();
        let mut rest = value.as_str();
        let mut done = false;
        while let Some(first) = rest.chars().next() {
            let longest = (!done)
                .then(|| {
                    rest.char_indices()
                        .map(|(at, character)| at + character.len_utf8())
                        .rev()
                        .find(|&end| pattern.matches(&rest[..end].replace('/', SLASH)))
                })
                .flatten();
            match longest {
                Some(end) => {
                    out.push_str(&replacement);
                    rest = &rest[end..];
                    done = !everywhere;
                }
                None => {
                    out.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
            self.check_length(&out)?;
        }
        Ok(out)
    }
}

/// Docker's pattern language here is `*`, `?` and the backslash before these two and itself; brackets
/// are text. `/` and `}` may be escaped because they would end the pattern.
fn as_path_pattern(text: &str) -> Result<String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(plain @ ('/' | '}')) => out.push(plain),
                Some(literal @ ('*' | '?' | '\\')) => out.extend(['\\', literal]),
                other => {
                    return Err(EngineError::invalid(format!(
                        "`\\{}` has no meaning in the pattern `{text}`",
                        other.map(String::from).unwrap_or_default()
                    )));
                }
            },
            '[' => out.push_str("[[]"),
            plain => out.push(plain),
        }
    }
    Ok(out.replace('/', SLASH))
}

/// `$@`, `$*` and their like.
const SPECIAL_PARAMETERS: &str = "@*#?-$!";
/// In the shell's patterns a slash is a character like any other; the path patterns that do the
/// matching see this one instead.
const SLASH: &str = "\u{0}";
/// Trying a pattern at each place of a value costs the square of the value's length.
const PATTERN_OPERAND_BYTES_MAX: usize = 512;

fn shell_pattern(text: &str) -> Result<Pattern> {
    if text.len() > PATTERN_OPERAND_BYTES_MAX {
        return Err(EngineError::invalid(format!(
            "a pattern in a variable is longer than {PATTERN_OPERAND_BYTES_MAX} bytes"
        )));
    }
    Pattern::parse(&as_path_pattern(text)?, Stars::AnyDepth)
}
