//! Transforms: what they make of a template's text, before it is read as a template.
//!
//! ```text
//! text ── included ──> what AWS::Include asks for       (whoever calls fetches it)
//!      └─ carry_out ─> the text with loops unrolled and snippets put in
//! ```
//!
//! `AWS::LanguageExtensions` is loops, which are unrolled here, and functions, which are computed like any
//! other. `AWS::Serverless` changes nothing where no serverless resource is; one that is there is refused
//! by its type. A template that has nothing to unroll and nothing to include stays as it is.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value as Json;

use crate::error::{Result, TemplateError};
use crate::limits::TRANSFORMED_NODES_MAX;
use crate::node::{Content, Key, Node, Scalar, Span, type_plain};
use crate::parse::read;
use crate::section::{entries, member};
use crate::yaml::enter;

pub const EXTENSIONS: &str = "AWS::LanguageExtensions";
pub const SERVERLESS: &str = "AWS::Serverless-2016-10-31";
const INCLUDE: &str = "AWS::Include";
pub const FOR_EACH: &str = "Fn::ForEach";
const TRANSFORM: &str = "Fn::Transform";

/// What is said of a function that belongs to the extensions.
pub fn needs(function: &str) -> String {
    format!("{function} is only known to templates with `Transform: {EXTENSIONS}`")
}

/// The transforms that a template names at its top.
pub fn named(root: &Node) -> Result<Vec<String>> {
    let (span, asked) = asked(root);
    asked.iter().map(|it| named_by(it, span)).collect()
}

/// What stands at a template's `Transform`, one by one, and where that is.
fn asked(root: &Node) -> (Span, &[Node]) {
    let Content::Map(sections) = &root.content else {
        return (root.span, &[]);
    };
    let found = sections.iter().find(|(key, _)| key.text == "Transform");
    match found.map(|(key, node)| (key.span, node)) {
        None => (root.span, &[]),
        Some((span, node)) => match &node.content {
            Content::List(items) => (span, items.as_slice()),
            _ => (span, std::slice::from_ref(node)),
        },
    }
}

fn named_by(node: &Node, span: Span) -> Result<String> {
    let name = match entries(node) {
        Some(_) => member(node, "Name").and_then(Node::scalar_text),
        None => node.scalar_text(),
    };
    match name {
        Some(name) if [EXTENSIONS, SERVERLESS, INCLUDE].contains(&name.as_str()) => Ok(name),
        Some(name) if name.starts_with("AWS::") => Err(TemplateError::unsupported(
            span,
            format!("the transform {name}"),
        )),
        Some(name) => Err(TemplateError::new(format!("No transform named {name} found.")).at(span)),
        None => Err(TemplateError::format(
            span,
            "Every Transform must be the name of a transform",
        )),
    }
}

/// What transforms know of a template's parameters.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The text of a parameter or pseudo parameter; a list's items with commas between them.
    pub texts: BTreeMap<String, String>,
}

/// The places of everything that the template includes.
pub fn included(text: &str, names: &Names) -> Result<Vec<String>> {
    // Most templates include nothing, and need not be read once more for that.
    if !text.contains(INCLUDE) {
        return Ok(Vec::new());
    }
    let root = read(text)?;
    let names = with_defaults(&root, names);
    let mut places = Vec::new();
    find_includes(&root, &names, &mut places)?;
    Ok(places)
}

fn find_includes(node: &Node, names: &Names, places: &mut Vec<String>) -> Result<()> {
    match &node.content {
        Content::List(items) => items
            .iter()
            .try_for_each(|it| find_includes(it, names, places)),
        Content::Map(members) => {
            if let Some(place) = include(node, names)? {
                places.push(place);
            }
            (members.iter()).try_for_each(|(_, it)| find_includes(it, names, places))
        }
        Content::Plain(_) | Content::Quoted(_) => Ok(()),
    }
}

/// Where the snippet lies that `{Name: AWS::Include, Parameters: {Location: …}}` asks for.
fn include(node: &Node, names: &Names) -> Result<Option<String>> {
    let Content::Map(members) = &node.content else {
        return Ok(None);
    };
    // Whatever its tag, which may be `Transform` itself.
    let own = |name: &str| {
        members
            .iter()
            .find(|(key, _)| key.text == name)
            .map(|it| &it.1)
    };
    if own("Name").and_then(Node::scalar_text).as_deref() != Some(INCLUDE) {
        return Ok(None);
    }
    let location = own("Parameters").and_then(|it| member(it, "Location"));
    match location.and_then(|it| text_of(it, names)) {
        Some(location) => Ok(Some(location)),
        // A resource may have properties of these names; only a transform has to have a location.
        None if own("Parameters").is_none() => Ok(None),
        None => Err(TemplateError::new(format!(
            "Transform {INCLUDE} failed with: The value of parameter Location under transform Include must resolve to a string"
        ))
        .at(node.span)),
    }
}

/// A text that is written, or that a parameter is.
fn text_of(node: &Node, names: &Names) -> Option<String> {
    match function(node) {
        None => node.scalar_text(),
        Some(("Ref", argument)) => names.texts.get(&plain_text(argument)?).cloned(),
        Some(("Fn::Sub", argument)) => {
            let mut text = plain_text(argument)?;
            for (name, value) in &names.texts {
                text = text.replace(&format!("${{{name}}}"), value);
            }
            (!text.contains("${")).then_some(text)
        }
        Some(_) => None,
    }
}

/// The text of a scalar, whatever its tag.
fn plain_text(node: &Node) -> Option<String> {
    match &node.content {
        Content::Plain(text) | Content::Quoted(text) => Some(text.clone()),
        Content::List(_) | Content::Map(_) => None,
    }
}

/// The name and the argument of the functions that are understood here.
fn function(node: &Node) -> Option<(&str, &Node)> {
    match (node.tag.as_deref(), &node.content) {
        (Some("Ref"), _) => Some(("Ref", node)),
        (Some("Sub"), _) => Some(("Fn::Sub", node)),
        (Some("Split"), _) => Some(("Fn::Split", node)),
        (Some("FindInMap"), _) => Some(("Fn::FindInMap", node)),
        (Some(_), _) => Some(("", node)),
        (None, Content::Map(members)) => match members.as_slice() {
            [(key, argument)] if key.text == "Ref" || key.text.starts_with("Fn::") => {
                Some((key.text.as_str(), argument))
            }
            _ => None,
        },
        (None, _) => None,
    }
}

/// What is known of the parameters, with the defaults of those that were not given.
fn with_defaults(root: &Node, names: &Names) -> Names {
    let mut names = names.clone();
    let parameters = member(root, "Parameters").and_then(entries);
    for (name, parameter) in parameters.unwrap_or_default() {
        if let Some(default) = member(parameter, "Default").and_then(Node::scalar_text) {
            names.texts.entry(name.text.clone()).or_insert(default);
        }
    }
    names
}

/// The text that the transforms make of a template; None when it stays as it is. `snippets` are what lies
/// at the places that [`included`] answered.
pub fn carry_out(
    text: &str,
    names: &Names,
    snippets: &BTreeMap<String, String>,
) -> Result<Option<String>> {
    if !text.contains(INCLUDE) && !text.contains(FOR_EACH) {
        return Ok(None);
    }
    let root = read(text)?;
    let transforms = named(&root)?;
    let snippets = (snippets.iter())
        .map(|(place, text)| Ok((place.as_str(), snippet(place, text)?)))
        .collect::<Result<_>>()?;
    let mut work = Work {
        names: with_defaults(&root, names),
        mappings: member(&root, "Mappings").cloned(),
        is_extended: transforms.iter().any(|it| it == EXTENSIONS),
        snippets,
        nodes_left: TRANSFORMED_NODES_MAX,
    };
    let included_at_top = work.at_top(&root)?;
    let mut root = work.expand(&root, &Bound::new())?;
    if let Content::Map(sections) = &mut root.content {
        for (key, node) in included_at_top {
            merge(sections, key, node);
        }
        for (key, node) in sections.iter_mut().filter(|it| it.0.text == "Transform") {
            let names = transforms.iter().map(|it| Node {
                span: key.span,
                tag: None,
                content: Content::Quoted(it.clone()),
            });
            node.content = Content::List(names.collect());
        }
    }
    Ok(Some(json(&root).to_string()))
}

fn snippet(place: &str, text: &str) -> Result<Node> {
    read(text).map_err(|error| {
        TemplateError::new(format!(
            "Transform {INCLUDE} failed with: The specified S3 object's content should be valid Yaml/JSON: {place}: {error}"
        ))
    })
}

/// Adds a section, or its members to the section that is there. What the template says itself stays.
fn merge(sections: &mut Vec<(Key, Node)>, key: Key, node: Node) {
    let there = sections.iter_mut().find(|it| it.0.text == key.text);
    let Some((_, there)) = there else {
        sections.push((key, node));
        return;
    };
    if let (Content::Map(inner), Content::Map(more)) = (&mut there.content, node.content) {
        let own: HashSet<String> = inner.iter().map(|(key, _)| key.text.clone()).collect();
        inner.extend(more.into_iter().filter(|(key, _)| !own.contains(&key.text)));
    }
}

/// The members of a map, each once.
#[derive(Default)]
struct Entered {
    members: Vec<(Key, Node)>,
    places: HashMap<String, usize>,
}

impl Entered {
    fn enter(&mut self, key: Key, node: Node) {
        enter(&mut self.members, &mut self.places, key, node);
    }
}

/// What the variables of the loops around stand for.
type Bound = BTreeMap<String, String>;

struct Work<'a> {
    names: Names,
    mappings: Option<Node>,
    is_extended: bool,
    snippets: BTreeMap<&'a str, Node>,
    nodes_left: usize,
}

impl Work<'_> {
    /// What a transform of the whole template includes.
    fn at_top(&mut self, root: &Node) -> Result<Vec<(Key, Node)>> {
        let mut members = Vec::new();
        for item in asked(root).1 {
            if let Some(Node {
                content: Content::Map(more),
                ..
            }) = self.snippet_of(item)?
            {
                members.extend(more);
            }
        }
        Ok(members)
    }

    fn snippet_of(&mut self, node: &Node) -> Result<Option<Node>> {
        let Some(place) = include(node, &self.names)? else {
            return Ok(None);
        };
        let snippet = self.snippets.get(place.as_str()).cloned();
        let snippet = snippet.ok_or_else(|| {
            TemplateError::new(format!(
                "Transform {INCLUDE} failed with: {place} was not read"
            ))
            .at(node.span)
        })?;
        self.expand(&snippet, &Bound::new()).map(Some)
    }

    fn expand(&mut self, node: &Node, bound: &Bound) -> Result<Node> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or_else(|| {
            TemplateError::new(format!(
                "Template error: its transforms make more than {TRANSFORMED_NODES_MAX} values of the template"
            ))
            .at(node.span)
        })?;
        if let Some(("Ref", argument)) = function(node)
            && let Some(value) = plain_text(argument).and_then(|it| bound.get(&it))
        {
            return Ok(Node {
                span: node.span,
                tag: None,
                content: Content::Quoted(value.clone()),
            });
        }
        if node.tag.as_deref() == Some("Transform") {
            let bare = Node {
                tag: None,
                ..node.clone()
            };
            return (self.snippet_of(&bare)?).ok_or_else(|| unknown_transform(node));
        }
        let content = match &node.content {
            Content::Plain(text) => match replaced(text, bound) {
                Some(text) => Content::Quoted(text),
                None => node.content.clone(),
            },
            Content::Quoted(text) => {
                Content::Quoted(replaced(text, bound).unwrap_or_else(|| text.clone()))
            }
            Content::List(items) => Content::List(
                (items.iter().map(|it| self.expand(it, bound))).collect::<Result<_>>()?,
            ),
            Content::Map(members) => match members.as_slice() {
                // A snippet may be anything where nothing stands beside it.
                [(key, argument)] if key.text == TRANSFORM => {
                    return (self.snippet_of(argument)?).ok_or_else(|| unknown_transform(argument));
                }
                members => Content::Map(self.members(members, bound)?),
            },
        };
        Ok(Node {
            span: node.span,
            tag: node.tag.clone(),
            content,
        })
    }

    fn members(&mut self, members: &[(Key, Node)], bound: &Bound) -> Result<Vec<(Key, Node)>> {
        let mut out = Entered::default();
        self.enter_members(members, bound, &mut out)?;
        Ok(out.members)
    }

    fn enter_members(
        &mut self,
        members: &[(Key, Node)],
        bound: &Bound,
        out: &mut Entered,
    ) -> Result<()> {
        for (key, node) in members {
            if key.text.starts_with(FOR_EACH) {
                self.unroll(key, node, bound, out)?;
            } else if key.text == TRANSFORM {
                let Some(Node {
                    content: Content::Map(more),
                    ..
                }) = self.snippet_of(node)?
                else {
                    return Err(unknown_transform(node));
                };
                for (key, node) in more {
                    // What the template says itself stays.
                    if !out.places.contains_key(&key.text) {
                        out.enter(key, node);
                    }
                }
            } else {
                let text = replaced(&key.text, bound).unwrap_or_else(|| key.text.clone());
                let span = key.span;
                let node = self.expand(node, bound)?;
                out.enter(Key { text, span }, node);
            }
        }
        Ok(())
    }

    /// `Fn::ForEach::Name: [Variable, [a, b], {'Key${Variable}': …}]`
    fn unroll(&mut self, key: &Key, node: &Node, bound: &Bound, out: &mut Entered) -> Result<()> {
        if !self.is_extended {
            return Err(TemplateError::meaning(key.span, needs(FOR_EACH)));
        }
        let wrong = |what: &str| TemplateError::meaning(node.span, format!("{}: {what}", key.text));
        let Content::List(items) = &node.content else {
            return Err(wrong("a loop has to be a list"));
        };
        let [variable, collection, body] = items.as_slice() else {
            return Err(wrong(
                "a loop needs three parameters: a variable, a collection, and what is repeated",
            ));
        };
        let variable = variable
            .scalar_text()
            .ok_or_else(|| wrong("the variable has to be a text"))?;
        let body = entries(body).ok_or_else(|| wrong("what is repeated has to be an object"))?;
        let values = (self.collection(collection, bound)).ok_or_else(|| {
            wrong("the collection has to be a list of texts, or a reference to one")
        })?;
        for value in values {
            let mut bound = bound.clone();
            bound.insert(variable.clone(), value);
            self.enter_members(body, &bound, out)?;
        }
        Ok(())
    }

    /// What a loop goes through. None for what is no list of texts.
    fn collection(&self, node: &Node, bound: &Bound) -> Option<Vec<String>> {
        let list = |text: &str| -> Vec<String> {
            let items = text.split(',').map(|it| it.trim().to_owned());
            items.filter(|it| !it.is_empty()).collect()
        };
        let argument = |node: &Node, index: usize| match &node.content {
            Content::List(items) => self.text(items.get(index)?, bound),
            _ => None,
        };
        match (function(node), &node.content) {
            (None, Content::List(items)) => {
                let mut values = Vec::new();
                for item in items {
                    match function(item) {
                        Some(("Ref", name)) if !bound.contains_key(&plain_text(name)?) => {
                            values.extend(self.collection(item, bound)?);
                        }
                        _ => values.push(self.text(item, bound)?),
                    }
                }
                Some(values)
            }
            // A parameter that has no value yet: nobody can tell how often.
            (Some(("Ref", name)), _) => {
                let text = self.names.texts.get(&plain_text(name)?);
                Some(text.map(|it| list(it)).unwrap_or_default())
            }
            (Some(("Fn::Split", split)), _) => {
                let (delimiter, text) = (argument(split, 0)?, argument(split, 1)?);
                (!delimiter.is_empty())
                    .then(|| text.split(delimiter.as_str()).map(str::to_owned).collect())
            }
            (Some(("Fn::FindInMap", find)), _) => {
                let mut found = self.mappings.as_ref()?;
                for index in 0..3 {
                    let key = argument(find, index)?;
                    found = member(found, &key)?;
                }
                match &found.content {
                    Content::List(items) => items.iter().map(Node::scalar_text).collect(),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn text(&self, node: &Node, bound: &Bound) -> Option<String> {
        if let Some(("Ref", name)) = function(node)
            && let Some(value) = plain_text(name).and_then(|it| bound.get(&it))
        {
            return Some(value.clone());
        }
        let text = text_of(node, &self.names)?;
        Some(replaced(&text, bound).unwrap_or(text))
    }
}

fn unknown_transform(node: &Node) -> TemplateError {
    TemplateError::unsupported(node.span, format!("a {TRANSFORM} other than {INCLUDE}"))
}

/// Puts in what the variables of loops stand for; `&{Variable}` without what names may not have. None
/// when none of them is named.
fn replaced(text: &str, bound: &Bound) -> Option<String> {
    if bound.is_empty() || !(text.contains("${") || text.contains("&{")) {
        return None;
    }
    let mut out = text.to_owned();
    for (name, value) in bound {
        let alphanumeric: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
        out = out
            .replace(&format!("${{{name}}}"), value)
            .replace(&format!("&{{{name}}}"), &alphanumeric);
    }
    (out != text).then_some(out)
}

/// A tree as JSON, with the long forms of functions.
fn json(node: &Node) -> Json {
    let content = match &node.content {
        Content::Quoted(text) => text.as_str().into(),
        Content::Plain(text) => match type_plain(text) {
            Scalar::Null if node.tag.is_some() => "".into(),
            Scalar::Null => Json::Null,
            Scalar::Bool(it) => it.into(),
            Scalar::Number(it) => it.into(),
            Scalar::Text(it) => it.into(),
        },
        Content::List(items) => items.iter().map(json).collect(),
        Content::Map(members) => Json::Object(
            (members.iter())
                .map(|(key, it)| (key.text.clone(), json(it)))
                .collect(),
        ),
    };
    let Some(tag) = &node.tag else {
        return content;
    };
    let name = match tag.as_str() {
        "Ref" | "Condition" => tag.clone(),
        _ => format!("Fn::{tag}"),
    };
    Json::Object([(name, content)].into_iter().collect())
}

/// A processed template as it is shown: what is done is not asked for any more.
pub fn shown(text: &str) -> String {
    match serde_json::from_str::<Json>(text) {
        Ok(Json::Object(mut sections)) => {
            sections.remove("Transform");
            Json::Object(sections).to_string()
        }
        _ => text.to_owned(),
    }
}
