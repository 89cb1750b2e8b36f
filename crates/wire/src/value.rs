//! What can stand in a message: scalars, lists and maps. Structures are in [`crate::shape`].

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::decoder::{Decoder, Problem, Segment, Style};
use crate::limits::Limits;
use crate::node::Node;

/// What a value is to the protocols that tell nothing, an empty text and an empty list apart, or do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    Scalar,
    List,
    Map,
    Structure,
}

/// What a tree of a value shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// What is there.
    Given,
    /// The same, with an empty list for each member that is an absent one.
    Whole,
    /// Of every structure, down to this depth, which members it takes.
    Outline { depth: u8 },
}

/// Anything that can stand in a wire message.
pub trait Value {
    /// Fills `self` from `node`; what does not fit is noted in `cx`.
    fn set(&mut self, node: Node, cx: &mut Decoder);
    /// The tree of what is there.
    fn get(&self) -> Node;
    /// Another tree of the value; of a scalar there is one alone.
    fn get_as(&self, _how: How) -> Node {
        self.get()
    }
    fn kind(&self) -> ValueKind {
        ValueKind::Scalar
    }
    /// May the member be left out?
    fn optional(&self) -> bool {
        false
    }
    /// Holds the value against the limits of its model.
    fn check(&self, _limits: &Limits, _cx: &mut Decoder) {}
}

impl Value for String {
    fn set(&mut self, node: Node, cx: &mut Decoder) {
        *self = match node {
            Node::Str(text) => text,
            Node::Int(number) if cx.coerces() => number.to_string(),
            Node::Float(number) if cx.coerces() => number.to_string(),
            Node::Bool(truth) if cx.coerces() => truth.to_string(),
            other => return cx.wrong_type("a String", &other),
        }
    }
    fn get(&self) -> Node {
        Node::Str(self.clone())
    }
    fn check(&self, limits: &Limits, cx: &mut Decoder) {
        limits.check_length(self.chars().count(), || self.clone(), cx);
        if let Some(pattern) = limits.pattern
            && !pattern.matches(self)
        {
            cx.fail(Problem::Pattern {
                value: self.clone(),
                pattern: pattern.text(),
            });
        }
    }
}

impl Value for bool {
    fn set(&mut self, node: Node, cx: &mut Decoder) {
        *self = match node {
            Node::Bool(truth) => truth,
            Node::Str(text) if cx.scalars_are_text() && text.eq_ignore_ascii_case("true") => true,
            Node::Str(text) if cx.scalars_are_text() && text.eq_ignore_ascii_case("false") => false,
            other => return cx.wrong_type("a Boolean", &other),
        }
    }
    fn get(&self) -> Node {
        Node::Bool(*self)
    }
}

/// Floats up to here are exact integers, so `256.0` may stand for 256.
const LARGEST_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

fn whole_number(node: &Node, cx: &Decoder) -> Option<i64> {
    match node {
        Node::Int(number) => Some(*number),
        Node::Float(number) if number.fract() == 0.0 && number.abs() <= LARGEST_EXACT_FLOAT => {
            Some(*number as i64)
        }
        Node::Str(text) if cx.scalars_are_text() => text.trim().parse().ok(),
        _ => None,
    }
}

macro_rules! integer {
    ($type:ty, $name:literal) => {
        impl Value for $type {
            fn set(&mut self, node: Node, cx: &mut Decoder) {
                match whole_number(&node, cx).and_then(|number| <$type>::try_from(number).ok()) {
                    Some(number) => *self = number,
                    None => cx.wrong_type($name, &node),
                }
            }
            fn get(&self) -> Node {
                Node::Int(i64::from(*self))
            }
            fn check(&self, limits: &Limits, cx: &mut Decoder) {
                limits.check_range(i64::from(*self) as f64, || self.to_string(), cx);
            }
        }
    };
}
integer!(i32, "an Integer");
integer!(i64, "a Long");

impl Value for f64 {
    fn set(&mut self, node: Node, cx: &mut Decoder) {
        let number = match &node {
            Node::Float(number) | Node::Time(number) => Some(*number),
            Node::Int(number) => Some(*number as f64),
            Node::Str(text) if cx.scalars_are_text() => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|number| number.is_finite()) {
            Some(number) => *self = number,
            None => cx.wrong_type("a Double", &node),
        }
    }
    fn get(&self) -> Node {
        Node::Float(*self)
    }
    fn check(&self, limits: &Limits, cx: &mut Decoder) {
        limits.check_range(*self, || self.to_string(), cx);
    }
}

/// Bytes; every protocol here writes them as base64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Value for Blob {
    fn set(&mut self, node: Node, cx: &mut Decoder) {
        match node {
            Node::Blob(bytes) => self.0 = bytes,
            Node::Str(text) => match BASE64.decode(text.as_bytes()) {
                Ok(bytes) => self.0 = bytes,
                Err(_) => cx.wrong_type("a Blob (base64)", &Node::Str(text)),
            },
            other => cx.wrong_type("a Blob (base64)", &other),
        }
    }
    fn get(&self) -> Node {
        Node::Blob(self.0.clone())
    }
    fn check(&self, limits: &Limits, cx: &mut Decoder) {
        limits.check_length(self.0.len(), || format!("{} bytes", self.0.len()), cx);
    }
}

/// Base64 as all protocols here write it.
pub(crate) fn base64_text(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// JSON without a schema, carried as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Document(pub Node);

impl Default for Document {
    fn default() -> Self {
        Self(Node::Null)
    }
}

impl Value for Document {
    fn set(&mut self, node: Node, _: &mut Decoder) {
        self.0 = node;
    }
    fn get(&self) -> Node {
        self.0.clone()
    }
}

impl<T: Value + Default> Value for Option<T> {
    fn set(&mut self, node: Node, cx: &mut Decoder) {
        if node != Node::Null {
            self.get_or_insert_default().set(node, cx);
        }
    }
    fn get(&self) -> Node {
        self.as_ref().map_or(Node::Null, Value::get)
    }
    fn get_as(&self, how: How) -> Node {
        match (self, how) {
            (Some(value), _) => value.get_as(how),
            (None, How::Outline { .. }) => T::default().get_as(how),
            (None, _) => Node::Null,
        }
    }
    fn kind(&self) -> ValueKind {
        self.as_ref()
            .map_or_else(|| T::default().kind(), Value::kind)
    }
    fn optional(&self) -> bool {
        true
    }
    fn check(&self, limits: &Limits, cx: &mut Decoder) {
        if let Some(value) = self {
            value.check(limits, cx);
        }
    }
}

impl<T: Value> Value for Box<T> {
    fn set(&mut self, node: Node, cx: &mut Decoder) {
        (**self).set(node, cx);
    }
    fn get(&self) -> Node {
        (**self).get()
    }
    fn get_as(&self, how: How) -> Node {
        (**self).get_as(how)
    }
    fn kind(&self) -> ValueKind {
        (**self).kind()
    }
    fn check(&self, limits: &Limits, cx: &mut Decoder) {
        (**self).check(limits, cx);
    }
}

impl<T: Value + Default> Value for Vec<T> {
    fn set(&mut self, node: Node, cx: &mut Decoder) {
        let Some(items) = list_items(node, cx) else {
            return;
        };
        if !cx.has_room::<T>(items.len()) {
            return;
        }
        self.reserve(items.len());
        for (index, node) in items.into_iter().enumerate() {
            let mut item = T::default();
            cx.within(Segment::Index(index), |cx| item.set(node, cx));
            self.push(item);
        }
    }
    fn get(&self) -> Node {
        self.get_as(How::Given)
    }
    fn get_as(&self, how: How) -> Node {
        if matches!(how, How::Outline { .. }) {
            return Node::List(vec![T::default().get_as(how)]);
        }
        Node::List(self.iter().map(|it| it.get_as(how)).collect())
    }
    fn kind(&self) -> ValueKind {
        ValueKind::List
    }
    fn check(&self, limits: &Limits, cx: &mut Decoder) {
        limits.check_length(self.len(), || format!("{} items", self.len()), cx);
        if let Some(limits) = limits.member {
            for (index, item) in self.iter().enumerate() {
                cx.within(Segment::Index(index), |cx| item.check(limits, cx));
            }
        }
    }
}

/// A list as JSON has it, or as form parameters have it: `Foo.member.1`, or flattened `Foo.1`.
fn list_items(node: Node, cx: &mut Decoder) -> Option<Vec<Node>> {
    match node {
        Node::List(items) | Node::Items(_, items) => Some(items),
        Node::Str(text) if cx.is_form() && text.is_empty() => Some(Vec::new()),
        Node::Map(mut members) if cx.is_form() => {
            if members.len() == 1 && members[0].0 == "member" {
                match members.remove(0).1 {
                    Node::Map(inner) => members = inner,
                    Node::Str(text) if text.is_empty() => return Some(Vec::new()),
                    other => return cx.wrong_type_none("a List", &other),
                }
            }
            let mut numbered = Vec::with_capacity(members.len());
            for (key, node) in members {
                match key.parse::<u32>() {
                    Ok(number) => numbered.push((number, node)),
                    Err(_) => return cx.wrong_type_none("a List", &Node::empty()),
                }
            }
            numbered.sort_by_key(|(number, _)| *number);
            Some(numbered.into_iter().map(|(_, node)| node).collect())
        }
        other => cx.wrong_type_none("a List", &other),
    }
}

impl<T: Value + Default> Value for BTreeMap<String, T> {
    fn set(&mut self, node: Node, cx: &mut Decoder) {
        let Some(entries) = map_entries(node, cx) else {
            return;
        };
        if !cx.has_room::<(String, T)>(entries.len()) {
            return;
        }
        for (key, node) in entries {
            let mut value = T::default();
            cx.within(Segment::Key(key.clone()), |cx| value.set(node, cx));
            self.insert(key, value);
        }
    }
    fn get(&self) -> Node {
        self.get_as(How::Given)
    }
    fn get_as(&self, how: How) -> Node {
        if matches!(how, How::Outline { .. }) {
            return Node::Dict(vec![("*".into(), T::default().get_as(how))]);
        }
        let entry = |(key, value): (&String, &T)| (key.clone().into(), value.get_as(how));
        Node::Dict(self.iter().map(entry).collect())
    }
    fn kind(&self) -> ValueKind {
        ValueKind::Map
    }
    fn check(&self, limits: &Limits, cx: &mut Decoder) {
        limits.check_length(self.len(), || format!("{} entries", self.len()), cx);
        for (key, value) in self {
            cx.within(Segment::Key(key.clone()), |cx| {
                if let Some(limits) = limits.key {
                    key.check(limits, cx);
                }
                if let Some(limits) = limits.member {
                    value.check(limits, cx);
                }
            });
        }
    }
}

/// A map as JSON has it, or as form parameters have it: `Foo.entry.1.key`, `Foo.entry.1.value`.
fn map_entries(node: Node, cx: &mut Decoder) -> Option<Vec<(String, Node)>> {
    match node {
        Node::Str(text) if cx.is_form() && text.is_empty() => Some(Vec::new()),
        Node::Map(mut members) if cx.is_form() => {
            if members.len() == 1 && members[0].0 == "entry" {
                match members.remove(0).1 {
                    Node::Map(inner) => members = inner,
                    other => return cx.wrong_type_none("a Map", &other),
                }
            }
            members
                .into_iter()
                .map(|(_, entry)| form_entry(entry, cx))
                .collect()
        }
        Node::Map(members) | Node::Dict(members) => Some(
            members
                .into_iter()
                .map(|(key, node)| (key.into_owned(), node))
                .collect(),
        ),
        other => cx.wrong_type_none("a Map", &other),
    }
}

fn form_entry(entry: Node, cx: &mut Decoder) -> Option<(String, Node)> {
    let Node::Map(members) = entry else {
        return cx.wrong_type_none("a Map", &entry);
    };
    let (mut key, mut value) = (None, Node::Null);
    for (name, node) in members {
        match (name.as_ref(), node) {
            ("key", Node::Str(text)) => key = Some(text),
            ("value", node) => value = node,
            _ => (),
        }
    }
    match key {
        Some(key) => Some((key, value)),
        None => cx.wrong_type_none("a Map", &Node::empty()),
    }
}

impl Decoder {
    /// Form parameters carry text only; JSON says what is a number.
    fn scalars_are_text(&self) -> bool {
        self.is_form() || self.coerces()
    }
    fn is_form(&self) -> bool {
        matches!(self.style(), Style::Query | Style::Ec2)
    }
    fn coerces(&self) -> bool {
        self.style() == Style::Lenient
    }
    fn wrong_type_none<T>(&mut self, expected: &'static str, node: &Node) -> Option<T> {
        self.wrong_type(expected, node);
        None
    }
}
