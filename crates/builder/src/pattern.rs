//! Patterns of paths, for `.dockerignore` and for the sources of COPY: `*` and `?` within a
//! component, `**` over components (in `.dockerignore` and with `--parents` only, as in Docker),
//! `[a-z]` and `[^a-z]`, and `\` before a character that is meant as it is.
//!
//! Matching keeps a set of positions instead of backtracking, so that no pattern takes longer than
//! its length times the path's.

use engine::{EngineError, Result};

use crate::limits::PATTERN_BYTES_MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Character(char),
    /// `?`
    One,
    /// `*`
    Some,
    /// `**/`, which stands for nothing or for anything that ends with a slash: the choice.
    FoldersOrNothing,
    /// Always after the former: the anything that ends with a slash.
    Folders,
    /// `**` anywhere else.
    Anything,
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

#[derive(Debug, Clone)]
pub struct Pattern {
    tokens: Vec<Token>,
}

/// What two stars and more stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stars {
    /// Anything, over folders too.
    AnyDepth,
    /// What one stands for.
    OnePart,
}

impl Pattern {
    pub fn parse(text: &str, stars: Stars) -> Result<Self> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(EngineError::invalid(
                "a pattern is longer than a path may be",
            ));
        }
        let bad = |what: &str| EngineError::invalid(format!("the pattern `{text}` {what}"));
        let mut tokens = Vec::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let token = match character {
                '*' if characters.next_if_eq(&'*').is_some() => {
                    while characters.next_if_eq(&'*').is_some() {}
                    if stars == Stars::OnePart {
                        Token::Some
                    } else if characters.next_if_eq(&'/').is_some() {
                        tokens.push(Token::FoldersOrNothing);
                        Token::Folders
                    } else {
                        Token::Anything
                    }
                }
                '*' => Token::Some,
                '?' => Token::One,
                '[' => class(&mut characters).ok_or_else(|| bad("has an unfinished `[`"))?,
                '\\' => Token::Character(
                    characters
                        .next()
                        .ok_or_else(|| bad("ends with a backslash"))?,
                ),
                plain => Token::Character(plain),
            };
            tokens.push(token);
        }
        Ok(Self { tokens })
    }

    pub fn matches(&self, path: &str) -> bool {
        let end = self.tokens.len();
        let mut active = vec![false; end + 1];
        active[0] = true;
        self.skip_what_may_be_empty(&mut active);
        for character in path.chars() {
            let mut next = vec![false; end + 1];
            for (position, token) in self.tokens.iter().enumerate() {
                if !active[position] {
                    continue;
                }
                match token {
                    Token::Character(wanted) => next[position + 1] |= *wanted == character,
                    Token::One => next[position + 1] |= character != '/',
                    Token::Class { ranges, negated } => {
                        let inside = ranges
                            .iter()
                            .any(|(low, high)| (*low..=*high).contains(&character));
                        next[position + 1] |= character != '/' && inside != *negated;
                    }
                    Token::Some => next[position] |= character != '/',
                    Token::Anything => next[position] = true,
                    Token::FoldersOrNothing => {}
                    Token::Folders => {
                        next[position] = true;
                        next[position + 1] |= character == '/';
                    }
                }
            }
            self.skip_what_may_be_empty(&mut next);
            active = next;
            if !active.contains(&true) {
                return false;
            }
        }
        active[end]
    }

    fn skip_what_may_be_empty(&self, active: &mut [bool]) {
        for (position, token) in self.tokens.iter().enumerate() {
            if !active[position] {
                continue;
            }
            match token {
                Token::Some | Token::Anything => active[position + 1] = true,
                Token::FoldersOrNothing => {
                    active[position + 1] = true;
                    active[position + 2] = true;
                }
                _ => {}
            }
        }
    }
}

fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match characters.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { ranges, negated }),
            '\\' => characters.next()?,
            plain => plain,
        };
        let high = if characters.next_if_eq(&'-').is_some() {
            match characters.next()? {
                '\\' => characters.next()?,
                plain => plain,
            }
        } else {
            low
        };
        ranges.push((low, high));
    }
}

/// Whether a text may stand for something other than itself.
pub fn has_wildcard(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' | '?' | '[' => return true,
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    false
}

/// Whether a text holds a character that a pattern would give a meaning.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}
