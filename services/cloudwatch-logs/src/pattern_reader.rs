//! What the patterns with conditions have in common: signs, and values that something is held against.

use std::cmp::Ordering;

use cloud::Error;

use crate::names::invalid;
use crate::pattern::{Expression, expression, quoted};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Longer signs before those that they begin with.
    pub const SIGNS: [(&'static str, Self); 6] = [
        ("!=", Self::NotEqual),
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    /// Of two values that are equal or not; `order` is None where neither comes before the other.
    pub fn holds(self, is_equal: bool, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => is_equal,
            Self::NotEqual => !is_equal,
            Self::Less => order.is_some_and(Ordering::is_lt),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order.is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Number(f64),
    /// `*` stands for any text.
    Text(String),
    Expression(Expression),
}

impl Operand {
    /// How a number that was found stands to this one; nothing else has an order.
    pub fn order(&self, found: Option<f64>) -> Option<Ordering> {
        match self {
            Self::Number(wanted) => found?.partial_cmp(wanted),
            Self::Text(_) | Self::Expression(_) => None,
        }
    }
}

pub fn malformed(why: impl std::fmt::Display) -> Error {
    invalid(format!("Invalid filter pattern: {why}"))
}

pub struct Reader<'a> {
    pub rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Takes `text` when it comes next.
    pub fn takes(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else {
            return false;
        };
        self.rest = rest.trim_start();
        true
    }

    /// Takes what comes before the first character that `ends`.
    pub fn word(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    pub fn comparison(&mut self) -> Option<Comparison> {
        let mut signs = Comparison::SIGNS.into_iter();
        let found = signs.find(|(sign, _)| self.takes(sign));
        found.map(|(_, comparison)| comparison)
    }

    /// A text, an expression, or a word that ends before white space and `ends`.
    pub fn operand(&mut self, ends: &str) -> Result<Operand, Error> {
        if self.rest.starts_with('"') {
            let (text, rest) = quoted(self.rest)?;
            self.rest = rest.trim_start();
            return Ok(Operand::Text(text));
        }
        if self.rest.starts_with('%') {
            let (expression, rest) = expression(self.rest)?;
            self.rest = rest.trim_start();
            return Ok(Operand::Expression(expression));
        }
        let word = self.word(|it| it.is_whitespace() || ends.contains(it));
        self.rest = self.rest.trim_start();
        if word.is_empty() {
            return Err(malformed("a value is missing"));
        }
        Ok(match word.parse() {
            Ok(number) => Operand::Number(number),
            Err(_) => Operand::Text(word.to_owned()),
        })
    }
}
