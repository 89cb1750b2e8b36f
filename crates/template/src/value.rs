//! What stands where a template may compute: JSON with functions in it, everything with its place.

use crate::Key;
use crate::error::{Result, TemplateError};
use crate::function::{self, Function};
use crate::node::{Content, Node, Scalar, Span, type_plain};

#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Text(String),
    Number(serde_json::Number),
    Bool(bool),
    List(Vec<Value>),
    Map(Vec<(Key, Value)>),
    Function(Box<Function>),
}

/// Where a value stands: it decides which functions it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Properties, attributes and outputs.
    Value,
    /// The `Conditions` section.
    Condition,
}

/// Which branches of `Fn::If` a walk follows.
#[derive(Debug, Clone, Copy)]
pub enum Branches<'a> {
    Both,
    Neither,
    Chosen(&'a std::collections::BTreeMap<String, bool>),
}

/// The way from the top of the template to what is being read, as AWS shows it: `/Resources/Web`.
#[derive(Debug, Clone)]
pub struct Cursor {
    path: Vec<String>,
    pub place: Place,
    /// The template asks for the language's extensions.
    pub is_extended: bool,
}

impl Cursor {
    pub fn new(section: &str, place: Place) -> Self {
        Self {
            path: vec![section.to_owned()],
            place,
            is_extended: false,
        }
    }

    pub fn within<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.path.push(name.to_owned());
        let read = read(self);
        self.path.pop();
        read
    }

    pub fn refuse_null(&self, node: &Node) -> Result<()> {
        if !node.is_null() {
            return Ok(());
        }
        let message = format!(
            "[/{}] 'null' values are not allowed in templates",
            self.path.join("/")
        );
        Err(match self.path.first().map(String::as_str) {
            // AWS says it without the usual beginning there.
            Some("Outputs") => TemplateError::new(message).at(node.span),
            _ => TemplateError::format(node.span, message),
        })
    }
}

impl Value {
    pub fn parse(node: &Node, cursor: &mut Cursor) -> Result<Value> {
        cursor.refuse_null(node)?;
        if let Some(function) = function::parse(node, cursor)? {
            return Ok(Value {
                span: node.span,
                kind: Kind::Function(Box::new(function)),
            });
        }
        let kind = match &node.content {
            Content::Quoted(text) => Kind::Text(text.clone()),
            Content::Plain(text) => match type_plain(text) {
                Scalar::Bool(it) => Kind::Bool(it),
                Scalar::Number(it) => Kind::Number(it),
                Scalar::Text(it) => Kind::Text(it),
                Scalar::Null => Kind::Text(text.clone()),
            },
            Content::List(items) => Kind::List(
                (items.iter().enumerate())
                    .map(|(index, it)| {
                        cursor.within(&index.to_string(), |cursor| Value::parse(it, cursor))
                    })
                    .collect::<Result<_>>()?,
            ),
            Content::Map(entries) => Kind::Map(Self::parse_entries(entries, cursor)?),
        };
        Ok(Value {
            span: node.span,
            kind,
        })
    }

    pub fn parse_entries(
        entries: &[(Key, Node)],
        cursor: &mut Cursor,
    ) -> Result<Vec<(Key, Value)>> {
        entries
            .iter()
            .map(|(key, it)| {
                let value = cursor.within(&key.text, |cursor| Value::parse(it, cursor))?;
                Ok((key.clone(), value))
            })
            .collect()
    }

    /// A text or a number as it stands; nothing for what has to be computed.
    pub fn literal_text(&self) -> Option<String> {
        match &self.kind {
            Kind::Text(text) => Some(text.clone()),
            Kind::Number(number) => Some(number.to_string()),
            Kind::Bool(it) => Some(it.to_string()),
            Kind::List(_) | Kind::Map(_) | Kind::Function(_) => None,
        }
    }

    /// Calls `visit` for this value and every value in it.
    pub fn walk(&self, branches: Branches<'_>, visit: &mut dyn FnMut(&Value)) {
        visit(self);
        match &self.kind {
            Kind::Text(_) | Kind::Number(_) | Kind::Bool(_) => {}
            Kind::List(items) => items.iter().for_each(|it| it.walk(branches, visit)),
            Kind::Map(entries) => entries.iter().for_each(|(_, it)| it.walk(branches, visit)),
            Kind::Function(function) => {
                for argument in function.arguments(branches) {
                    argument.walk(branches, visit);
                }
            }
        }
    }

    /// Every function in this value with its place.
    pub fn functions(&self, branches: Branches<'_>, visit: &mut dyn FnMut(&Function, Span)) {
        self.walk(branches, &mut |value| {
            if let Kind::Function(function) = &value.kind {
                visit(function, value.span);
            }
        });
    }
}
