//! The tree between the wire and the typed shapes.

use std::borrow::Cow;

/// A value of a message, before it is given a type or after it has lost it.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    /// Seconds since 1970; each protocol has its own way to write it.
    Time(f64),
    Blob(Vec<u8>),
    List(Vec<Node>),
    /// A list whose items have a name of their own in XML.
    Items(&'static str, Vec<Node>),
    /// A structure: the names are the model's.
    Map(Vec<(Cow<'static, str>, Node)>),
    /// A structure of which all that is inside is text: form parameters for a service whose own
    /// protocol is another one.
    Form(Vec<(Cow<'static, str>, Node)>),
    /// A map: the names are the caller's. XML writes it as entries of key and value.
    Dict(Vec<(Cow<'static, str>, Node)>),
}

impl Node {
    /// An empty structure, as an operation without input is sent.
    pub fn empty() -> Self {
        Self::Map(Vec::new())
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::Str(text.into())
    }

    /// The member `name` of a structure or map.
    pub fn member(&self, name: &str) -> Option<&Node> {
        match self {
            Self::Map(members) | Self::Form(members) | Self::Dict(members) => members
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// What the node is, as AWS's JSON parser calls it in its messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL_VALUE",
            Self::Bool(true) => "TRUE_VALUE",
            Self::Bool(false) => "FALSE_VALUE",
            Self::Int(_) => "NUMBER_VALUE",
            Self::Float(_) | Self::Time(_) => "DECIMAL_VALUE",
            Self::Str(_) | Self::Blob(_) => "STRING_VALUE",
            Self::List(_) | Self::Items(..) => "START_ARRAY",
            Self::Map(_) | Self::Form(_) | Self::Dict(_) => "START_OBJECT",
        }
    }
}
