//! The intrinsic functions: their short and long forms become one type, their arguments are checked.

use std::borrow::Cow;

use crate::error::{Result, TemplateError};
use crate::node::{Content, Key, Node, Span};
use crate::value::{Branches, Cursor, Place, Value};
use crate::{section, transform};

#[derive(Debug, Clone, PartialEq)]
pub enum Function {
    Ref(String),
    GetAtt {
        resource: String,
        attribute: Value,
    },
    Sub {
        pieces: Vec<Piece>,
        variables: Vec<(Key, Value)>,
    },
    Join {
        delimiter: String,
        values: Value,
    },
    Select {
        index: Value,
        values: Value,
    },
    Split {
        delimiter: String,
        text: Value,
    },
    FindInMap {
        map: Value,
        first: Value,
        second: Value,
        /// What it is when the mapping has no such keys: an extension of the language.
        default: Option<Value>,
    },
    GetAzs(Value),
    ImportValue(Value),
    If {
        condition: String,
        then: Value,
        otherwise: Value,
    },
    Base64(Value),
    Cidr {
        block: Value,
        count: Value,
        bits: Option<Value>,
    },
    /// How many items a list has: an extension of the language.
    Length(Value),
    /// A list or an object as JSON: an extension of the language.
    ToJsonString(Value),
    And(Vec<Value>),
    Or(Vec<Value>),
    Not(Value),
    Equals(Value, Value),
    Condition(String),
}

/// A part of the text of `Fn::Sub`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Literal(String),
    /// `${Name}`: a variable, a parameter, a pseudo parameter or a resource.
    Name(String),
    /// `${Resource.Attribute}`
    Attribute(String, String),
}

const CONDITION_FUNCTIONS: [&str; 4] = ["Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals"];
/// What the `Conditions` section may use: nothing that needs a resource or the region's state.
const FUNCTIONS_IN_CONDITIONS: [&str; 14] = [
    "Ref",
    "Condition",
    "Fn::And",
    "Fn::Or",
    "Fn::Not",
    "Fn::Equals",
    "Fn::FindInMap",
    "Fn::Sub",
    "Fn::Join",
    "Fn::Select",
    "Fn::Split",
    "Fn::Base64",
    "Fn::Length",
    "Fn::ToJsonString",
];

/// The function that a node is, if it is one.
pub fn parse(node: &Node, cursor: &mut Cursor) -> Result<Option<Function>> {
    let Some((name, argument)) = name_and_argument(node, cursor.place)? else {
        return Ok(None);
    };
    let is_condition_function = CONDITION_FUNCTIONS.contains(&name.as_str()) || name == "Condition";
    match cursor.place {
        Place::Value if is_condition_function => {
            return Err(TemplateError::meaning(
                node.span,
                format!("{name} can only be used in the Conditions block"),
            ));
        }
        Place::Condition if !FUNCTIONS_IN_CONDITIONS.contains(&name.as_str()) => {
            return Err(TemplateError::meaning(
                node.span,
                format!("Cannot use {name} in Conditions."),
            ));
        }
        _ => {}
    }
    cursor
        .within(&name, |cursor| build(&name, &argument, node.span, cursor))
        .map(Some)
}

/// Finds the long form `{"Fn::X": argument}` and the short form `!X argument`.
pub fn name_and_argument(node: &Node, place: Place) -> Result<Option<(String, Cow<'_, Node>)>> {
    if let Some(tag) = &node.tag {
        let name = match tag.as_str() {
            "Ref" | "Condition" => tag.clone(),
            _ => format!("Fn::{tag}"),
        };
        let argument = Node {
            tag: None,
            ..node.clone()
        };
        // `!GetAZs` with nothing behind it means the empty text, not null.
        let argument = match &argument.content {
            Content::Plain(text) if text.is_empty() => Node {
                content: Content::Quoted(String::new()),
                ..argument
            },
            _ => argument,
        };
        return Ok(Some((name, Cow::Owned(argument))));
    }
    let Content::Map(entries) = &node.content else {
        return Ok(None);
    };
    let function_key = (entries.iter()).find(|(key, _)| key.text.starts_with("Fn::"));
    match (entries.as_slice(), function_key) {
        // `Fn::GetAZs:` with nothing behind it means the empty text as well.
        ([(key, argument)], Some(_)) if key.text == "Fn::GetAZs" && argument.is_null() => {
            let empty = Node {
                content: Content::Quoted(String::new()),
                ..argument.clone()
            };
            Ok(Some((key.text.clone(), Cow::Owned(empty))))
        }
        ([(key, argument)], Some(_)) => Ok(Some((key.text.clone(), Cow::Borrowed(argument)))),
        ([(key, argument)], None) if key.text == "Ref" => {
            Ok(Some(("Ref".into(), Cow::Borrowed(argument))))
        }
        ([(key, argument)], None) if key.text == "Condition" && place == Place::Condition => {
            Ok(Some(("Condition".into(), Cow::Borrowed(argument))))
        }
        (_, Some((key, _))) => Err(TemplateError::meaning(
            key.span,
            format!("{} must stand alone in its object", key.text),
        )),
        _ => Ok(None),
    }
}

fn build(name: &str, argument: &Node, span: Span, cursor: &mut Cursor) -> Result<Function> {
    let wrong = |message: &str| TemplateError::meaning(span, message);
    let function = match name {
        "Ref" => Function::Ref(name_text(argument).ok_or_else(|| {
            TemplateError::format(span, "All Ref values must be a single non-empty String")
        })?),
        "Condition" => Function::Condition(
            name_text(argument)
                .ok_or_else(|| wrong("every Condition object must name a condition"))?,
        ),
        "Fn::GetAtt" => get_att(argument, span, cursor)?,
        "Fn::Sub" => sub(argument, span, cursor)?,
        "Fn::Join" => {
            let [delimiter, values] = list(argument).ok_or_else(|| wrong(JOIN))?;
            Function::Join {
                delimiter: delimiter.scalar_text().ok_or_else(|| wrong(JOIN))?,
                values: list_or_function(values, cursor)?.ok_or_else(|| wrong(JOIN))?,
            }
        }
        "Fn::Select" => {
            let [index, values] = list(argument).ok_or_else(|| wrong(SELECT))?;
            Function::Select {
                index: Value::parse(index, cursor)?,
                values: list_or_function(values, cursor)?.ok_or_else(|| wrong(SELECT))?,
            }
        }
        "Fn::Split" => {
            let [delimiter, text] = list(argument).ok_or_else(|| wrong(SPLIT))?;
            Function::Split {
                delimiter: (delimiter.scalar_text())
                    .filter(|it| !it.is_empty())
                    .ok_or_else(|| wrong(SPLIT))?,
                text: Value::parse(text, cursor)?,
            }
        }
        "Fn::FindInMap" => {
            let (map, first, second, default) = match (list(argument), list(argument)) {
                (Some([map, first, second]), _) => (map, first, second, None),
                (_, Some([map, first, second, default])) if cursor.is_extended => {
                    (map, first, second, Some(default))
                }
                _ => return Err(wrong(FIND_IN_MAP)),
            };
            let default = match default.map(section::entries) {
                None => None,
                Some(Some([(key, node)])) if key.text == "DefaultValue" => Some(node),
                Some(_) => return Err(wrong(FIND_IN_MAP)),
            };
            Function::FindInMap {
                map: Value::parse(map, cursor)?,
                first: Value::parse(first, cursor)?,
                second: Value::parse(second, cursor)?,
                default: (default.map(|it| Value::parse(it, cursor))).transpose()?,
            }
        }
        "Fn::GetAZs" => Function::GetAzs(Value::parse(argument, cursor)?),
        "Fn::ImportValue" => Function::ImportValue(import(argument, span, cursor)?),
        "Fn::If" => {
            let [condition, then, otherwise] = list(argument).ok_or_else(|| wrong(IF))?;
            Function::If {
                condition: name_text(condition).ok_or_else(|| wrong(IF))?,
                then: Value::parse(then, cursor)?,
                otherwise: Value::parse(otherwise, cursor)?,
            }
        }
        "Fn::Base64" => Function::Base64(Value::parse(argument, cursor)?),
        "Fn::Cidr" => {
            let (block, count, bits) = match (list(argument), list(argument)) {
                (Some([block, count, bits]), _) => (block, count, Some(bits)),
                (_, Some([block, count])) => (block, count, None),
                _ => return Err(wrong(CIDR)),
            };
            Function::Cidr {
                block: Value::parse(block, cursor)?,
                count: Value::parse(count, cursor)?,
                bits: bits.map(|it| Value::parse(it, cursor)).transpose()?,
            }
        }
        "Fn::And" => Function::And(conditions(argument, span, name, cursor)?),
        "Fn::Or" => Function::Or(conditions(argument, span, name, cursor)?),
        "Fn::Not" => {
            let [one] = list(argument)
                .ok_or_else(|| wrong("every Fn::Not object requires one boolean parameter."))?;
            Function::Not(condition(one, cursor)?)
        }
        "Fn::Equals" => {
            let [left, right] = list(argument).ok_or_else(|| {
                wrong("every Fn::Equals object requires a list of 2 string parameters.")
            })?;
            Function::Equals(Value::parse(left, cursor)?, Value::parse(right, cursor)?)
        }
        "Fn::Length" if cursor.is_extended => {
            Function::Length(list_or_function(argument, cursor)?.ok_or_else(|| wrong(LENGTH))?)
        }
        "Fn::ToJsonString" if cursor.is_extended => {
            Function::ToJsonString(Value::parse(argument, cursor)?)
        }
        "Fn::ToJsonString" | "Fn::Length" => return Err(wrong(&transform::needs(name))),
        "Fn::Transform" => return Err(TemplateError::unsupported(span, name)),
        _ if name.starts_with(transform::FOR_EACH) => {
            return Err(wrong(&transform::needs("Fn::ForEach")));
        }
        _ => return Err(wrong(&format!("{name} is not a function"))),
    };
    Ok(function)
}

const JOIN: &str = "every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined.";
pub const SELECT: &str =
    "Fn::Select requires a list argument with two elements: an integer index and a list";
const SPLIT: &str = "every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string to be split or a function that returns a string to be split.";
const FIND_IN_MAP: &str = "every Fn::FindInMap object requires three parameters, the map name, map key and the attribute for return value";
const IF: &str = "Fn::If requires a list argument with the first parameter being a condition";
const CIDR: &str = "every Fn::Cidr object requires two or three parameters, the block of addresses, the count of blocks and the bits of a block";
const LENGTH: &str = "Fn::Length requires a list or a function that returns a list";
const GET_ATT: &str = "every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute";
const SUB: &str = "One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as first argument, and an optional second argument to specify a mapping of values to replace in the string";
const SUB_NAMES: &str = "variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, and colons";

fn list<const N: usize>(node: &Node) -> Option<&[Node; N]> {
    match &node.content {
        Content::List(items) if node.tag.is_none() => items.as_slice().try_into().ok(),
        _ => None,
    }
}

fn name_text(node: &Node) -> Option<String> {
    node.name().filter(|it| !it.is_empty())
}

/// What must be a list: written out, or computed by a function.
fn list_or_function(node: &Node, cursor: &mut Cursor) -> Result<Option<Value>> {
    let value = Value::parse(node, cursor)?;
    let is_list = matches!(
        value.kind,
        crate::value::Kind::List(_) | crate::value::Kind::Function(_)
    );
    Ok(is_list.then_some(value))
}

fn get_att(argument: &Node, span: Span, cursor: &mut Cursor) -> Result<Function> {
    let wrong = || TemplateError::meaning(span, GET_ATT);
    if let Some(text) = name_text(argument) {
        let (resource, attribute) = text.split_once('.').ok_or_else(wrong)?;
        if resource.is_empty() || attribute.is_empty() {
            return Err(wrong());
        }
        return Ok(Function::GetAtt {
            resource: resource.to_owned(),
            attribute: Value {
                span: argument.span,
                kind: crate::value::Kind::Text(attribute.to_owned()),
            },
        });
    }
    let Content::List(items) = &argument.content else {
        return Err(wrong());
    };
    let (Some(resource), rest @ [_, ..]) = (
        items.first().and_then(name_text),
        items.get(1..).unwrap_or_default(),
    ) else {
        return Err(wrong());
    };
    // `[Nested, Outputs, X]` is what people write for `[Nested, Outputs.X]`.
    let attribute = if let [one] = rest {
        Value::parse(one, cursor)?
    } else {
        let names: Option<Vec<String>> = rest.iter().map(name_text).collect();
        Value {
            span: argument.span,
            kind: crate::value::Kind::Text(names.ok_or_else(wrong)?.join(".")),
        }
    };
    if attribute.literal_text().is_some_and(|it| it.is_empty()) {
        return Err(wrong());
    }
    Ok(Function::GetAtt {
        resource,
        attribute,
    })
}

fn sub(argument: &Node, span: Span, cursor: &mut Cursor) -> Result<Function> {
    let wrong = || TemplateError::meaning(span, SUB);
    let (text, variables) = match &argument.content {
        _ if argument.tag.is_some() => return Err(wrong()),
        Content::Plain(_) | Content::Quoted(_) => (argument.scalar_text(), Vec::new()),
        Content::List(items) => match items.as_slice() {
            [
                text,
                Node {
                    content: Content::Map(entries),
                    tag: None,
                    ..
                },
            ] => (text.scalar_text(), Value::parse_entries(entries, cursor)?),
            [text] => (text.scalar_text(), Vec::new()),
            _ => return Err(wrong()),
        },
        Content::Map(_) => return Err(wrong()),
    };
    let pieces =
        pieces(&text.ok_or_else(wrong)?).map_err(|()| TemplateError::meaning(span, SUB_NAMES))?;
    Ok(Function::Sub { pieces, variables })
}

/// Cuts the text of `Fn::Sub`. An opening `${` that never closes is text.
fn pieces(text: &str) -> Result<Vec<Piece>, ()> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        literal.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            // Nothing behind it is closed either.
            literal.push_str("${");
            rest = after;
            break;
        };
        rest = behind;
        if let Some(kept) = name.strip_prefix('!') {
            literal.push_str("${");
            literal.push_str(kept);
            literal.push('}');
            continue;
        }
        let name = name.trim();
        let is_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '.' | ':');
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(());
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(match name.split_once('.') {
            Some((resource, attribute)) => {
                Piece::Attribute(resource.to_owned(), attribute.to_owned())
            }
            None => Piece::Name(name.to_owned()),
        });
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

fn import(argument: &Node, span: Span, cursor: &mut Cursor) -> Result<Value> {
    let value = Value::parse(argument, cursor)?;
    let mut depends = false;
    value.functions(Branches::Both, &mut |function, _| {
        depends |= matches!(
            function,
            Function::GetAtt { .. } | Function::ImportValue(_) | Function::GetAzs(_)
        );
    });
    if depends {
        return Err(TemplateError::meaning(
            span,
            "the attribute in Fn::ImportValue must not depend on any resources, imported values, or Fn::GetAZs",
        ));
    }
    Ok(value)
}

fn conditions(argument: &Node, span: Span, name: &str, cursor: &mut Cursor) -> Result<Vec<Value>> {
    match &argument.content {
        Content::List(items) if (2..=10).contains(&items.len()) && argument.tag.is_none() => {
            items.iter().map(|it| condition(it, cursor)).collect()
        }
        _ => Err(TemplateError::meaning(
            span,
            format!(
                "every {name} object requires a list of at least 2 and at most 10 boolean parameters."
            ),
        )),
    }
}

/// What `And`, `Or` and `Not` take, and what the `Conditions` section is made of.
pub fn condition(node: &Node, cursor: &mut Cursor) -> Result<Value> {
    let value = Value::parse(node, cursor)?;
    let is_condition = matches!(&value.kind, crate::value::Kind::Function(function) if matches!(**function,
        Function::And(_) | Function::Or(_) | Function::Not(_) | Function::Equals(..) | Function::Condition(_)));
    if is_condition {
        Ok(value)
    } else {
        Err(TemplateError::format(
            node.span,
            "Every Conditions member must be a condition: one of Fn::And, Fn::Equals, Fn::Not, Fn::Or, Condition",
        ))
    }
}

impl Function {
    /// The values that this function computes with; of `Fn::If` those that `branches` asks for.
    pub fn arguments(&self, branches: Branches<'_>) -> Vec<&Value> {
        match self {
            Function::Ref(_) | Function::Condition(_) => vec![],
            Function::GetAtt { attribute: one, .. }
            | Function::Join { values: one, .. }
            | Function::Split { text: one, .. }
            | Function::GetAzs(one)
            | Function::ImportValue(one)
            | Function::Base64(one)
            | Function::Length(one)
            | Function::ToJsonString(one)
            | Function::Not(one) => vec![one],
            Function::Sub { variables, .. } => variables.iter().map(|(_, it)| it).collect(),
            Function::Select { index, values } => vec![index, values],
            Function::Equals(left, right) => vec![left, right],
            Function::FindInMap {
                map,
                first,
                second,
                default,
            } => [map, first, second].into_iter().chain(default).collect(),
            Function::Cidr { block, count, bits } => {
                [block, count].into_iter().chain(bits).collect()
            }
            Function::And(all) | Function::Or(all) => all.iter().collect(),
            Function::If {
                condition,
                then,
                otherwise,
            } => match branches {
                Branches::Both => vec![then, otherwise],
                Branches::Neither => vec![],
                Branches::Chosen(decided) => match decided.get(condition) {
                    Some(true) => vec![then],
                    Some(false) => vec![otherwise],
                    None => vec![then, otherwise],
                },
            },
        }
    }

    /// The names that this function itself refers to: parameters, pseudo parameters or resources.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Function::Ref(name) => vec![name],
            Function::GetAtt { resource, .. } => vec![resource],
            Function::Sub { pieces, variables } => (pieces.iter())
                .filter_map(|piece| match piece {
                    Piece::Literal(_) => None,
                    Piece::Name(name) => {
                        let is_variable = variables.iter().any(|(key, _)| key.text == *name);
                        (!is_variable).then_some(name.as_str())
                    }
                    Piece::Attribute(resource, attribute) => {
                        let whole = format!("{resource}.{attribute}");
                        let is_variable = variables.iter().any(|(key, _)| key.text == whole);
                        (!is_variable).then_some(resource.as_str())
                    }
                })
                .collect(),
            _ => vec![],
        }
    }
}
