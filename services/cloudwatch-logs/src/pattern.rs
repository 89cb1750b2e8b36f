//! Filter patterns (CloudWatch Logs User Guide, "Filter pattern syntax"): terms that a message must,
//! may or must not have, or a condition on its fields or its JSON.

use cloud::Error;

use crate::names::invalid;
use crate::pattern_fields::Fields;
use crate::pattern_json::Condition;
use crate::pattern_reader::malformed;

#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    Everything,
    Terms(Terms),
    Fields(Fields),
    Json(Condition),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    all: Vec<Term>,
    any: Vec<Term>,
    none: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq)]
enum Term {
    Text(String),
    Expression(Expression),
}

impl Term {
    fn is_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Expression(expression) => expression.is_in(message),
        }
    }
}

/// A regular expression, which takes time in proportion to the text alone.
#[derive(Debug, Clone)]
pub struct Expression(regex::Regex);

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Expression {
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        match text.chars().next() {
            None => Ok(Self::Everything),
            Some('{') => Condition::parse(text).map(Self::Json),
            Some('[') => Fields::parse(text).map(Self::Fields),
            Some(_) => Terms::parse(text).map(Self::Terms),
        }
    }

    pub fn matches(&self, message: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Terms(terms) => terms.match_message(message),
            Self::Fields(fields) => fields.match_message(message),
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
            let (term, after_term) = match after_sign.bytes().next() {
                Some(b'"') => {
                    let (text, rest) = quoted(after_sign)?;
                    (Term::Text(text), rest)
                }
                Some(b'%') => {
                    let (expression, rest) = expression(after_sign)?;
                    (Term::Expression(expression), rest)
                }
                _ => {
                    let (text, rest) = bare(after_sign)?;
                    (Term::Text(text), rest)
                }
            };
            list.push(term);
            rest = after_term.trim_start();
        }
        Ok(terms)
    }

    fn match_message(&self, message: &str) -> bool {
        let has = |term: &Term| term.is_in(message);
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

/// The most that a compiled expression may take: each is compiled for one request.
const EXPRESSION_BYTES_MAX: usize = 256 * 1024;

/// # Errors
/// In words for who wrote the expression.
pub fn compile(text: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(text)
        .size_limit(EXPRESSION_BYTES_MAX)
        .dfa_size_limit(EXPRESSION_BYTES_MAX)
        .build()
        .map_err(|_| format!("`{text}` is not a regular expression, or too large a one"))
}

/// `%…%`, and what follows. The guide lists what may stand there: no groups, so that there are no references
/// to them either.
pub fn expression(text: &str) -> Result<(Expression, &str), Error> {
    let inner = text.strip_prefix('%').unwrap_or(text);
    let end = inner.find('%').ok_or_else(|| {
        invalid("Invalid filter pattern: a regular expression is not closed by `%`")
    })?;
    let (inner, rest) = (&inner[..end], &inner[end + 1..]);
    let allowed = |it: char| it.is_alphanumeric() || ":_#=@/;,- ^$?[]{}|\\*+.".contains(it);
    if inner.is_empty() || !inner.chars().all(allowed) {
        return Err(invalid(format!(
            "Invalid filter pattern: `{inner}` has characters that no regular expression may have there"
        )));
    }
    let compiled = compile(inner).map_err(malformed)?;
    Ok((Expression(compiled), rest))
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
            ("%4[0-9]{2}%", true),
            ("%^GET .*html%", true),
            ("%5[0-9]{2}%", false),
            ("GET -%40[0-9]%", false),
            ("?%50[0-9]% ?%40[0-9]%", true),
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
            ("%(a)%", "has characters"),
            ("%a", "not closed"),
            ("%a{1000}{1000}%", "not a regular expression"),
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
