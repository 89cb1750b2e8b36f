//! Filter patterns (CloudWatch Logs User Guide, "Filter pattern syntax"): terms that a message must,
//! may or must not have, or a condition on its JSON.

use cloud::Error;

use crate::names::{invalid, unsupported};
use crate::pattern_json::Condition;

#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    Everything,
    Terms(Terms),
    Json(Condition),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        match text.chars().next() {
            None => Ok(Self::Everything),
            Some('{') => Condition::parse(text).map(Self::Json),
            Some('[') => Err(unsupported("a filter pattern of space-delimited fields")),
            Some('%') => Err(unsupported("a filter pattern with a regular expression")),
            Some(_) => Terms::parse(text).map(Self::Terms),
        }
    }

    pub fn matches(&self, message: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Terms(terms) => terms.match_message(message),
            Self::Json(condition) => {
                serde_json::from_str(message).is_ok_and(|json| condition.holds(&json))
            }
        }
    }
}

impl Terms {
    fn parse(text: &str) -> Result<Self, Error> {
        let mut terms = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (list, after_sign) = match rest.as_bytes()[0] {
                b'-' => (&mut terms.none, &rest[1..]),
                b'?' => (&mut terms.any, &rest[1..]),
                _ => (&mut terms.all, rest),
            };
            let (term, after_term) = if after_sign.starts_with('"') {
                quoted(after_sign)?
            } else {
                bare(after_sign)?
            };
            list.push(term);
            rest = after_term.trim_start();
        }
        Ok(terms)
    }

    fn match_message(&self, message: &str) -> bool {
        let has = |term: &String| message.contains(term.as_str());
        if self.none.iter().any(has) || !self.all.iter().all(has) {
            return false;
        }
        // Beside other terms, the ones with a question mark are ignored, as the guide says.
        let ignored = !self.all.is_empty() || !self.none.is_empty();
        ignored || self.any.iter().any(has)
    }
}

/// A term without quotes, and what follows it.
fn bare(text: &str) -> Result<(String, &str), Error> {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (term, rest) = text.split_at(end);
    let plain = !term.is_empty() && term.chars().all(|c| c.is_alphanumeric() || c == '_');
    if plain {
        Ok((term.to_owned(), rest))
    } else {
        Err(invalid(format!("Invalid character(s) in term '{term}'")))
    }
}

/// What stands between quotation marks, `\` taking the next character as it is, and what follows.
pub fn quoted(text: &str) -> Result<(String, &str), Error> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, c)) => value.push(c),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(invalid(
        "Invalid filter pattern: a quotation mark is not closed",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_select_messages() {
        let message = "GET /index.html 404 [not found] ERROR_CODE";
        let cases = [
            ("", true),
            ("  ", true),
            ("GET", true),
            ("get", false),
            ("GET 404", true),
            ("GET 500", false),
            ("?500 ?404", true),
            ("?500 ?501", false),
            ("GET -404", false),
            ("GET -500", true),
            ("-500", true),
            ("\"[not found]\"", true),
            ("\"/index.html\" -\"/other.html\"", true),
            ("?500 GET", true),
            ("ERROR_CODE", true),
        ];
        for (pattern, expected) in cases {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(message), expected, "{pattern}");
        }
        let quote = Pattern::parse(r#""say \"hi\"""#).unwrap();
        assert!(quote.matches(r#"they say "hi""#));
    }

    #[test]
    fn what_is_malformed_or_not_built_is_refused() {
        for (pattern, words) in [
            ("/index.html", "Invalid character(s) in term '/index.html'"),
            ("- x", "Invalid character(s)"),
            ("\"open", "not closed"),
            ("[a, b]", "not supported"),
            ("%a.*%", "not supported"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert_eq!(error.code, "InvalidParameterException");
            assert!(
                error.message.contains(words),
                "{pattern}: {}",
                error.message
            );
        }
    }
}
