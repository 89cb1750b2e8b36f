//! The tree that YAML and JSON are read into: nothing is typed yet and everything has a place.

use std::fmt;

/// Where something begins in the template's text; both count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A mapping's key with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub text: String,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub span: Span,
    /// `GetAtt` for `!GetAtt`. YAML's own tags (`!!str`) are resolved while reading.
    pub tag: Option<String>,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A scalar without quotes, as it is written: it may turn out to be a number or a boolean.
    Plain(String),
    /// A scalar that is a text whatever it looks like.
    Quoted(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// What a plain scalar means.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
}

/// Types a plain scalar. A number is one only if writing it again gives the same characters:
/// `000400`, `1.10` and `1e3` stay the text that they are, and dates were never anything else.
pub fn type_plain(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return Scalar::Bool(true),
        "false" | "False" | "FALSE" => return Scalar::Bool(false),
        _ => {}
    }
    let number = text
        .parse::<i64>()
        .ok()
        .map(serde_json::Number::from)
        .or_else(|| {
            text.parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
        });
    match number {
        Some(number) if number.to_string() == text => Scalar::Number(number),
        _ => Scalar::Text(text.to_owned()),
    }
}

impl Node {
    /// The node as plain JSON, tags ignored: for metadata, which is shown and never evaluated.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.content {
            Content::Quoted(text) => text.as_str().into(),
            Content::Plain(text) => match type_plain(text) {
                Scalar::Null => serde_json::Value::Null,
                Scalar::Bool(it) => it.into(),
                Scalar::Number(it) => it.into(),
                Scalar::Text(it) => it.into(),
            },
            Content::List(items) => items.iter().map(Node::to_json).collect(),
            Content::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .map(|(key, it)| (key.text.clone(), it.to_json()))
                    .collect(),
            ),
        }
    }

    /// The text of a scalar without a tag; booleans in lower case, as AWS hands them on.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.content {
            _ if self.tag.is_some() => None,
            Content::Quoted(text) => Some(text.clone()),
            Content::Plain(text) => match type_plain(text) {
                Scalar::Null => None,
                Scalar::Bool(it) => Some(it.to_string()),
                Scalar::Number(_) | Scalar::Text(_) => Some(text.clone()),
            },
            Content::List(_) | Content::Map(_) => None,
        }
    }

    pub fn is_null(&self) -> bool {
        self.tag.is_none()
            && matches!(&self.content, Content::Plain(text) if type_plain(text) == Scalar::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_scalar_is_a_number_only_if_it_reads_back_the_same() {
        for (text, number) in [
            ("0", true),
            ("256", true),
            ("-1", true),
            ("0.5", true),
            ("1.0", true),
            ("123456789012", true),
            ("012345678901", false),
            ("000400", false),
            ("1.10", false),
            ("1e3", false),
            ("+5", false),
            ("0x1f", false),
            ("-0", false),
            ("2010-09-09", false),
            ("99999999999999999999", false),
            ("inf", false),
            ("NaN", false),
        ] {
            let typed = type_plain(text);
            assert_eq!(matches!(typed, Scalar::Number(_)), number, "{text}");
            if !number {
                assert_eq!(typed, Scalar::Text(text.into()));
            }
        }
        assert_eq!(type_plain("True"), Scalar::Bool(true));
        assert_eq!(type_plain("yes"), Scalar::Text("yes".into()));
        assert_eq!(type_plain("~"), Scalar::Null);
    }
}
