//! Structures: a table of members, and the values beside it.

use std::borrow::Cow;

use crate::decoder::{DecodeError, Decoder, Problem, Segment, Style};
use crate::limits::Limits;
use crate::node::Node;
use crate::value::{Value, ValueKind};

/// A member of a structure, as the model has it.
#[derive(Debug)]
pub struct Member {
    /// The model's name.
    pub name: &'static str,
    /// The name in form parameters; only EC2's differs.
    pub input: &'static str,
    /// The name in answers, in JSON and in storage.
    pub output: &'static str,
    /// What a list's items are called in XML, where that is not the protocol's usual name.
    pub item: Option<&'static str>,
    pub limits: Option<&'static Limits>,
    /// Never to be printed.
    pub sensitive: bool,
    /// An empty text is one, and not the member's absence, in form parameters.
    pub keeps_empty: bool,
}

/// A structure of a message. Derived with `#[derive(Shape)]`.
pub trait Shape: Value + Default {
    /// The members in wire order.
    fn table() -> &'static [Member];
}

/// The input of an operation: its type names the operation.
pub trait Operation: Shape + Send + 'static {
    /// The name by which requests are routed: the one in the signature's credential scope.
    const SERVICE: &'static str;
    const NAME: &'static str;
    type Output: Shape + Send + 'static;
}

/// Reads a shape from a tree.
pub fn decode<T: Value + Default>(node: Node, style: Style) -> Result<T, DecodeError> {
    let mut cx = Decoder::new(style);
    let mut value = T::default();
    value.set(node, &mut cx);
    cx.finish(value)
}

/// Fills the members of a structure. Called by the derived code.
pub fn set_structure(
    node: Node,
    table: &'static [Member],
    values: &mut [&mut dyn Value],
    cx: &mut Decoder,
) {
    let mut given = match node {
        Node::Map(members) | Node::Form(members) | Node::Dict(members) => members,
        Node::Str(text) if text.is_empty() && cx.style() != Style::Json => Vec::new(),
        other => return cx.wrong_type("a Structure", &other),
    };
    let forgives_missing = cx.forgives_missing();
    for (member, value) in table.iter().zip(values) {
        let found = given
            .iter()
            .position(|(key, _)| member.answers_to(key, cx.style()));
        let (key, node) = match found {
            Some(index) => given.swap_remove(index),
            None => (Cow::Borrowed(member.name), Node::Null),
        };
        let node = match member.says_nothing(&node, *value, cx.style()) {
            true => Node::Null,
            false => node,
        };
        if node == Node::Null && (value.optional() || forgives_missing) {
            continue;
        }
        // The path names a member as the sender knows it.
        let key = match cx.style() {
            Style::Lenient => key,
            Style::Ec2 => Cow::Borrowed(member.input),
            _ => Cow::Borrowed(member.name),
        };
        cx.within(Segment::Member(key), |cx| {
            cx.within_secret(member.sensitive, |cx| set_member(member, *value, node, cx));
        });
    }
    if matches!(cx.style(), Style::Lenient | Style::Ec2) {
        for (key, _) in given {
            cx.within(Segment::Member(key), |cx| cx.fail(Problem::Unknown));
        }
    }
}

fn set_member(member: &Member, value: &mut dyn Value, node: Node, cx: &mut Decoder) {
    if node == Node::Null {
        return cx.fail(Problem::Missing);
    }
    let failures_before = cx.failure_count();
    value.set(node, cx);
    // A value that could not be read has nothing to hold against a limit.
    if let Some(limits) = member.limits
        && cx.failure_count() == failures_before
        && cx.style() != Style::Stored
    {
        value.check(limits, cx);
    }
}

impl Member {
    /// Clients of the form protocols write `Name=` for a scalar that they have no value for. A required one
    /// is held against its limits instead, but at EC2, which misses it.
    fn says_nothing(&self, node: &Node, value: &dyn Value, style: Style) -> bool {
        let is_empty = matches!(node, Node::Str(text) if text.is_empty());
        let may_be_absent = match style {
            Style::Query => value.optional(),
            Style::Ec2 => true,
            _ => false,
        };
        is_empty && may_be_absent && !self.keeps_empty && value.kind() == ValueKind::Scalar
    }

    fn answers_to(&self, key: &str, style: Style) -> bool {
        match style {
            Style::Json | Style::Stored => key == self.output,
            Style::Query => key == self.input,
            Style::Ec2 => key == self.input,
            Style::Lenient | Style::LenientPartial => [self.name, self.output, self.input]
                .iter()
                .any(|name| same_but_first_case(name, key)),
        }
    }
}

/// `containerName` and `ContainerName` are the same member: templates capitalise, the API does not.
fn same_but_first_case(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one
            .get(..1)
            .zip(other.get(..1))
            .is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
        && one.get(1..) == other.get(1..)
}

/// The tree of a structure; absent members are left out. Called by the derived code.
pub fn get_structure(table: &'static [Member], values: &[&dyn Value]) -> Node {
    let mut members = Vec::with_capacity(table.len());
    for (member, value) in table.iter().zip(values) {
        match value.get() {
            Node::Null => (),
            node => members.push((Cow::Borrowed(member.output), named_items(member, node))),
        }
    }
    Node::Map(members)
}

/// The same where lists are never absent. Called by the derived code.
pub fn get_whole_structure(table: &'static [Member], values: &[&dyn Value]) -> Node {
    let mut members = Vec::with_capacity(table.len());
    for (member, value) in table.iter().zip(values) {
        let node = match value.get_whole() {
            Node::Null if value.kind() == ValueKind::List => Node::List(Vec::new()),
            Node::Null => continue,
            node => named_items(member, node),
        };
        members.push((Cow::Borrowed(member.output), node));
    }
    Node::Map(members)
}

fn named_items(member: &Member, node: Node) -> Node {
    match (member.item, node) {
        (Some(item), Node::List(items)) => Node::Items(item, items),
        (_, node) => node,
    }
}
