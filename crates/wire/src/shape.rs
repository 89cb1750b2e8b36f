//! Structures: a table of members, and the values beside it.

use std::borrow::Cow;

use crate::decoder::{DecodeError, Decoder, Problem, Segment, Style};
use crate::limits::Limits;
use crate::node::Node;
use crate::value::{How, Value, ValueKind};

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

/// A member that the model has and the structure here has not, or has for answers alone: where it asks for
/// something, it is refused.
#[derive(Debug)]
pub struct Unbuilt {
    /// The names as a [`Member`] has them.
    pub name: &'static str,
    pub input: &'static str,
    pub output: &'static str,
    /// The one value that is let pass, since it says what is so anyway; `*` where all of them do.
    pub only: Option<&'static str>,
}

/// For [`Unbuilt::only`]: nothing here depends on the member.
const ANY_VALUE: &str = "*";

/// A structure of a message. Derived with `#[derive(Shape)]`.
pub trait Shape: Value + Default {
    /// The members in wire order.
    fn table() -> &'static [Member];
    /// The members that are known and refused.
    fn unbuilt() -> &'static [Unbuilt];
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
    (table, unbuilt): (&'static [Member], &'static [Unbuilt]),
    values: &mut [&mut dyn Value],
    cx: &mut Decoder,
) {
    let mut given = match node {
        Node::Map(members) | Node::Form(members) | Node::Dict(members) => members,
        Node::Str(text) if text.is_empty() && !matches!(cx.style(), Style::Json | Style::Own) => {
            Vec::new()
        }
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
        if let Some(problem) = refusal(member, &node, unbuilt, cx.style()) {
            cx.within(Segment::Member(key), |cx| cx.fail(problem));
            continue;
        }
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
    // A store may have been written when a member was taken that is not any more.
    if cx.style() != Style::Stored {
        refuse_others(given, unbuilt, cx);
    }
}

/// What is said against a member that is there for answers alone.
fn refusal(member: &Member, node: &Node, unbuilt: &[Unbuilt], style: Style) -> Option<Problem> {
    if *node == Node::Null || style == Style::Stored {
        return None;
    }
    let only = unbuilt.iter().find(|it| it.name == member.name)?.only;
    (!asks_nothing(node, only, style)).then_some(Problem::Unbuilt { only })
}

/// Refuses what no member has taken.
fn refuse_others(
    given: Vec<(Cow<'static, str>, Node)>,
    unbuilt: &'static [Unbuilt],
    cx: &mut Decoder,
) {
    for (key, node) in given {
        let style = cx.style();
        let problem = match unbuilt.iter().find(|it| it.answers_to(&key, style)) {
            Some(it) if asks_nothing(&node, it.only, style) => continue,
            Some(it) => Problem::Unbuilt { only: it.only },
            None if matches!(style, Style::Lenient | Style::Ec2 | Style::Own) => Problem::Unknown,
            None => continue,
        };
        cx.within(Segment::Member(key), |cx| cx.fail(problem));
    }
}

/// What is absent or empty asks for nothing, and neither does the one value that changes nothing, also where
/// a structure is about it (`{"Value": false}`).
fn asks_nothing(node: &Node, only: Option<&str>, style: Style) -> bool {
    if only == Some(ANY_VALUE) {
        return true;
    }
    let is_it = |text: &str| only.is_some_and(|only| only.eq_ignore_ascii_case(text));
    match node {
        Node::Null => true,
        Node::List(items) | Node::Items(_, items) => items.is_empty(),
        Node::Map(members) | Node::Form(members) | Node::Dict(members) => {
            (members.iter()).all(|(_, node)| asks_nothing(node, only, style))
        }
        Node::Str(text) if text.is_empty() && matches!(style, Style::Query | Style::Ec2) => true,
        Node::Str(text) => is_it(text),
        Node::Bool(flag) => is_it(if *flag { "true" } else { "false" }),
        Node::Int(number) => is_it(&number.to_string()),
        _ => false,
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
        is_name([self.name, self.input, self.output], key, style)
    }
}

impl Unbuilt {
    fn answers_to(&self, key: &str, style: Style) -> bool {
        is_name([self.name, self.input, self.output], key, style)
    }
}

/// Is `key` what the member of these names is called in a message of this style?
fn is_name([name, input, output]: [&str; 3], key: &str, style: Style) -> bool {
    match style {
        Style::Json | Style::Stored => key == output,
        Style::Own => [name, output, input].contains(&key),
        Style::Query | Style::Ec2 => key == input,
        Style::Lenient | Style::LenientPartial => [name, output, input]
            .iter()
            .any(|it| same_but_first_case(it, key)),
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

/// The tree of a structure. Called by the derived code.
pub fn get_structure(
    (table, unbuilt): (&'static [Member], &'static [Unbuilt]),
    values: &[&dyn Value],
    how: How,
) -> Node {
    if let How::Outline { depth } = how {
        return outline(table, unbuilt, values, depth);
    }
    let mut members = Vec::with_capacity(table.len());
    for (member, value) in table.iter().zip(values) {
        let node = match value.get_as(how) {
            Node::Null if how == How::Whole && value.kind() == ValueKind::List => {
                Node::List(Vec::new())
            }
            Node::Null => continue,
            node => named_items(member, node),
        };
        members.push((Cow::Borrowed(member.output), node));
    }
    Node::Map(members)
}

/// What a structure takes: `true` for a member, or what stands in it; `false` for one that is refused, or
/// the one value of it that is not.
fn outline(
    table: &'static [Member],
    unbuilt: &'static [Unbuilt],
    values: &[&dyn Value],
    depth: u8,
) -> Node {
    let inner = How::Outline {
        depth: depth.saturating_sub(1),
    };
    let is_taken = |member: &Member| unbuilt.iter().all(|it| it.name != member.name);
    let members = table.iter().zip(values);
    let taken = members
        .filter(|(member, _)| is_taken(member))
        .map(|(member, value)| {
            let node = match value.kind() {
                ValueKind::Scalar => Node::Bool(true),
                _ if depth == 0 => Node::Bool(true),
                _ => match value.get_as(inner) {
                    node @ (Node::Map(_) | Node::List(_) | Node::Dict(_)) => node,
                    _ => Node::Bool(true),
                },
            };
            (Cow::Borrowed(member.name), node)
        });
    let refused = unbuilt.iter().map(|it| {
        let node = it
            .only
            .map_or(Node::Bool(false), |only| Node::Str(only.to_owned()));
        (Cow::Borrowed(it.name), node)
    });
    Node::Map(taken.chain(refused).collect())
}

fn named_items(member: &Member, node: Node) -> Node {
    match (member.item, node) {
        (Some(item), Node::List(items)) => Node::Items(item, items),
        (_, node) => node,
    }
}
