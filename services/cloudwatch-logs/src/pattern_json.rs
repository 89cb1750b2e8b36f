//! Conditions on messages that are JSON: `{ $.level = "error" && $.status >= 500 }`.

use base::glob::matches_stars;
use cloud::Error;
use serde_json::Value as Json;

use crate::pattern::quoted;
use crate::pattern_reader::{Comparison, Operand, Reader, malformed};

/// Parentheses within parentheses; more than anyone writes, few enough for the stack.
const DEPTH_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Test { selector: Vec<Step>, test: Test },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Member(String),
    Item(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Compare(Comparison, Operand),
    Is(Json),
    NotExists,
}

impl Condition {
    /// Parses a pattern in its braces.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let inner = text
            .strip_prefix('{')
            .and_then(|it| it.trim_end().strip_suffix('}'))
            .ok_or_else(|| malformed("the braces are not closed"))?;
        let mut parser = Parser {
            reader: Reader { rest: inner.trim() },
            depth: 0,
        };
        let condition = parser.any()?;
        if parser.reader.rest.is_empty() {
            Ok(condition)
        } else {
            Err(malformed(format!(
                "`{}` is not understood",
                parser.reader.rest
            )))
        }
    }

    pub fn holds(&self, json: &Json) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|it| it.holds(json)),
            Self::Any(conditions) => conditions.iter().any(|it| it.holds(json)),
            Self::Test { selector, test } => {
                let found = selector.iter().try_fold(json, |at, step| match step {
                    Step::Member(name) => at.get(name),
                    Step::Item(index) => at.get(index),
                });
                test.holds(found)
            }
        }
    }
}

impl Test {
    fn holds(&self, found: Option<&Json>) -> bool {
        match (self, found) {
            (Self::NotExists, found) => found.is_none(),
            (Self::Is(value), Some(found)) => value == found,
            (Self::Compare(comparison, operand), Some(found)) => {
                compare(*comparison, operand, found)
            }
            (Self::Is(_) | Self::Compare(..), None) => false,
        }
    }
}

fn compare(comparison: Comparison, operand: &Operand, found: &Json) -> bool {
    let equal = match (operand, found) {
        (Operand::Number(wanted), Json::Number(number)) => number.as_f64() == Some(*wanted),
        (Operand::Text(wanted), Json::String(text)) => matches_stars(wanted, text),
        (Operand::Expression(expression), Json::String(text)) => expression.is_in(text),
        (Operand::Text(wanted), Json::Bool(flag)) => *wanted == flag.to_string(),
        _ => false,
    };
    comparison.holds(equal, operand.order(found.as_f64()))
}

struct Parser<'a> {
    reader: Reader<'a>,
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Condition, Error> {
        let mut conditions = vec![self.all()?];
        while self.reader.takes("||") {
            conditions.push(self.all()?);
        }
        Ok(one_or(conditions, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, Error> {
        let mut conditions = vec![self.one()?];
        while self.reader.takes("&&") {
            conditions.push(self.one()?);
        }
        Ok(one_or(conditions, Condition::All))
    }

    fn one(&mut self) -> Result<Condition, Error> {
        if self.reader.takes("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(malformed("too many parentheses"));
            }
            let condition = self.any()?;
            self.depth -= 1;
            if !self.reader.takes(")") {
                return Err(malformed("a parenthesis is not closed"));
            }
            return Ok(condition);
        }
        let selector = self.selector()?;
        let test = self.test()?;
        Ok(Condition::Test { selector, test })
    }

    /// `$.a.b[0]["c d"]`.
    fn selector(&mut self) -> Result<Vec<Step>, Error> {
        let Some(rest) = self.reader.rest.strip_prefix('$') else {
            return Err(malformed(format!(
                "a selector begins with `$`, not with `{}`",
                self.reader.rest
            )));
        };
        self.reader.rest = rest;
        let mut steps = Vec::new();
        loop {
            if let Some(rest) = self.reader.rest.strip_prefix('.') {
                self.reader.rest = rest;
                let name = self
                    .reader
                    .word(|c| !(c.is_alphanumeric() || "_-@".contains(c)));
                if name.is_empty() {
                    return Err(malformed("a selector's name is missing"));
                }
                steps.push(Step::Member(name.to_owned()));
            } else if let Some(rest) = self.reader.rest.strip_prefix('[') {
                self.reader.rest = rest;
                steps.push(self.index()?);
            } else {
                self.reader.rest = self.reader.rest.trim_start();
                break;
            }
        }
        if steps.is_empty() {
            return Err(malformed("a selector's name is missing"));
        }
        Ok(steps)
    }

    fn index(&mut self) -> Result<Step, Error> {
        let step = if self.reader.rest.starts_with('"') {
            let (name, rest) = quoted(self.reader.rest)?;
            self.reader.rest = rest;
            Step::Member(name)
        } else {
            let index = self.reader.word(|c| c == ']').trim();
            let number = index.parse();
            Step::Item(number.map_err(|_| malformed(format!("`{index}` is no index")))?)
        };
        match self.reader.rest.strip_prefix(']') {
            Some(rest) => self.reader.rest = rest,
            None => return Err(malformed("a bracket is not closed")),
        }
        Ok(step)
    }

    fn test(&mut self) -> Result<Test, Error> {
        if self.reader.takes("IS ") {
            for (word, value) in [
                ("NULL", Json::Null),
                ("TRUE", Json::Bool(true)),
                ("FALSE", Json::Bool(false)),
            ] {
                if self.reader.takes(word) {
                    return Ok(Test::Is(value));
                }
            }
            return Err(malformed("IS takes NULL, TRUE or FALSE"));
        }
        if self.reader.takes("NOT ") {
            return match self.reader.takes("EXISTS") {
                true => Ok(Test::NotExists),
                false => Err(malformed("NOT takes EXISTS")),
            };
        }
        match self.reader.comparison() {
            Some(comparison) => Ok(Test::Compare(comparison, self.reader.operand("()&|{}")?)),
            None => Err(malformed(format!(
                "no comparison at `{}`",
                self.reader.rest
            ))),
        }
    }
}

fn one_or(mut conditions: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    if conditions.len() == 1 {
        conditions.remove(0)
    } else {
        many(conditions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_select_json() {
        let json = serde_json::json!({
            "level": "error", "status": 503, "ok": false, "gone": null,
            "user": {"name": "ann b"}, "list": [{"id": 7}], "a-b": "x",
        });
        let cases = [
            (r#"{ $.level = "error" }"#, true),
            (r#"{$.level="warn"}"#, false),
            ("{ $.level = error }", true),
            ("{ $.level = err* }", true),
            ("{ $.level = *rro* }", true),
            ("{ $.level = *x* }", false),
            ("{ $.level != warn }", true),
            ("{ $.missing != warn }", false),
            ("{ $.status = 503 }", true),
            ("{ $.status >= 503 && $.status < 600 }", true),
            ("{ $.status > 503 || $.level = error }", true),
            (
                "{ ($.status > 503 || $.level = error) && $.ok IS TRUE }",
                false,
            ),
            ("{ $.ok IS FALSE }", true),
            ("{ $.gone IS NULL }", true),
            ("{ $.missing IS NULL }", false),
            ("{ $.missing NOT EXISTS }", true),
            ("{ $.level NOT EXISTS }", false),
            (r#"{ $.user.name = "ann b" }"#, true),
            (r#"{ $["user"]["name"] = "ann*" }"#, true),
            ("{ $.list[0].id = 7 }", true),
            ("{ $.list[1].id = 7 }", false),
            ("{ $.a-b = x }", true),
            ("{ $.level = %^err.r$% }", true),
            ("{ $.level != %^warn% && $.status = 503 }", true),
        ];
        for (pattern, expected) in cases {
            let condition = Condition::parse(pattern).unwrap();
            assert_eq!(condition.holds(&json), expected, "{pattern}");
        }
    }

    #[test]
    fn malformed_conditions_are_refused() {
        let deep = format!("{{ {} }}", "(".repeat(5000));
        for pattern in [
            "{",
            "{}",
            "{ $ = 1 }",
            "{ $. = 1 }",
            "{ a = 1 }",
            "{ $.a }",
            "{ $.a = }",
            "{ $.a = 1 && }",
            "{ ($.a = 1 }",
            "{ $.a = 1 x }",
            "{ $.a[x] = 1 }",
            "{ $.a[0 = 1 }",
            "{ $.a IS MAYBE }",
            "{ $.a = %x }",
            "{ $.a = %(x)% }",
            &deep,
        ] {
            let error = Condition::parse(pattern).unwrap_err();
            assert_eq!(error.code, "InvalidParameterException", "{pattern}");
        }
    }
}
