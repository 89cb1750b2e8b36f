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

/// Types a plain scalar, as YAML 1.1 has it: `yes` is a boolean and `0644` is octal. Any other number
/// is one only if writing it again gives the same characters: `000400`, `1.10` and `1e3` stay the text
/// that they are, and dates were never anything else.
pub fn type_plain(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        _ => {}
    }
    if let Some(number) = octal(text) {
        return Scalar::Number(number.into());
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

/// `0644`: one zero, and then a digit that is none. `000400` is an identifier that begins with zeros.
fn octal(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('0').filter(|it| !it.is_empty())?;
    let is_octal = !digits.starts_with('0') && digits.bytes().all(|it| matches!(it, b'0'..=b'7'));
    is_octal.then(|| u64::from_str_radix(digits, 8).ok())?
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

    /// The text of a scalar without a tag; booleans in lower case and numbers with the base ten, as AWS
    /// hands them on.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.content {
            _ if self.tag.is_some() => None,
            Content::Quoted(text) => Some(text.clone()),
            Content::Plain(text) => match type_plain(text) {
                Scalar::Null => None,
                Scalar::Bool(it) => Some(it.to_string()),
                Scalar::Number(it) => Some(it.to_string()),
                Scalar::Text(it) => Some(it),
            },
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// The text of a scalar that names something: a condition that is called `Yes` is called so.
    pub fn name(&self) -> Option<String> {
        match &self.content {
            _ if self.tag.is_some() || self.is_null() => None,
            Content::Quoted(text) | Content::Plain(text) => Some(text.clone()),
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
        for (text, expect) in [
            ("yes", Some(true)),
            ("NO", Some(false)),
            ("On", Some(true)),
            ("off", Some(false)),
            ("y", None),
            ("yEs", None),
            ("ON ", None),
        ] {
            let expect = expect.map_or(Scalar::Text(text.into()), Scalar::Bool);
            assert_eq!(type_plain(text), expect, "{text}");
        }
        for (text, expect) in [
            ("065115117704", Some(7_133_765_572)),
            ("0644", Some(420)),
            ("00644", None),
            ("002406178527", None),
            ("089", None),
            ("0777777777777777777777777", None),
        ] {
            let expect = expect.map_or(Scalar::Text(text.into()), |it: u64| {
                Scalar::Number(it.into())
            });
            assert_eq!(type_plain(text), expect, "{text}");
        }
        assert_eq!(type_plain("~"), Scalar::Null);
    }
}
