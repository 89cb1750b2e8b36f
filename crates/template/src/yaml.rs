//! YAML into [`Node`]s. Aliases are refused, as AWS refuses them, so nothing can be expanded. Of a key that
//! is twice in a mapping the last one counts.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::error::{Result, TemplateError};
use crate::limits::DEPTH_MAX;
use crate::node::{Content, Key, Node, Span};
use crate::relaxed::relaxed;

/// Reads YAML as CloudFormation does, whose reader takes some layouts that the one here does not:
/// these are laid out anew once the text could not be read as it is.
pub fn read(text: &str) -> Result<Node> {
    read_strictly(text).or_else(|error| read_strictly(&relaxed(text)).map_err(|_| error))
}

fn read_strictly(text: &str) -> Result<Node> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
    };
    let mut document = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if document.is_some() => {
                return Err(malformed(span, "a template is a single document"));
            }
            event => document = Some(reader.node(event, span, 0)?),
        }
    }
    document.ok_or_else(|| TemplateError::new("Template format error: the template is empty"))
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span)> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, place(&span.start))),
            Some(Err(error)) => Err(malformed(place(error.marker()), error.info())),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node> {
        if depth > DEPTH_MAX {
            return Err(malformed(
                span,
                format!("nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        match event {
            Event::Scalar(text, style, _, tag) => scalar(text.into_owned(), style, tag, span),
            Event::SequenceStart(_, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                collection(Content::List(items), tag, span)
            }
            Event::MappingStart(_, tag) => {
                let mut entries: Vec<(Key, Node)> = Vec::new();
                let mut places = std::collections::HashMap::new();
                loop {
                    let key = match self.next()? {
                        (Event::MappingEnd, _) => break,
                        (event, span) => self.key(event, span)?,
                    };
                    let (event, span) = self.next()?;
                    // An empty value has no place of its own worth showing.
                    let mut node = self.node(event, span, depth + 1)?;
                    if node.is_null() {
                        node.span = key.span;
                    }
                    enter(&mut entries, &mut places, key, node);
                }
                collection(Content::Map(entries), tag, span)
            }
            Event::Alias(_) => Err(TemplateError::meaning(
                span,
                "YAML aliases are not allowed in CloudFormation templates",
            )),
            _ => Err(malformed(span, "the document ends too early")),
        }
    }

    fn key(&mut self, event: Event<'a>, span: Span) -> Result<Key> {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<" => Err(malformed(
                span,
                "merge keys are not allowed in CloudFormation templates",
            )),
            Event::Scalar(text, _, _, None) => Ok(Key {
                text: text.into_owned(),
                span,
            }),
            _ => Err(malformed(span, "a key must be a plain text")),
        }
    }
}

/// Adds to a mapping; the last of those with one key counts.
pub fn enter(
    entries: &mut Vec<(Key, Node)>,
    places: &mut std::collections::HashMap<String, usize>,
    key: Key,
    node: Node,
) {
    match places.get(&key.text) {
        Some(place) => entries[*place] = (key, node),
        None => {
            places.insert(key.text.clone(), entries.len());
            entries.push((key, node));
        }
    }
}

fn scalar(
    text: String,
    style: ScalarStyle,
    tag: Option<std::borrow::Cow<'_, Tag>>,
    span: Span,
) -> Result<Node> {
    let is_plain = style == ScalarStyle::Plain;
    let (tag, is_plain) = match tag {
        None => (None, is_plain),
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" => (None, false),
            "int" | "float" | "bool" | "null" => (None, true),
            _ => return Err(unknown_tag(&tag, span)),
        },
        Some(tag) if is_non_specific(&tag) => (None, false),
        Some(tag) => (Some(function_tag(&tag, span)?), is_plain),
    };
    let content = if is_plain {
        Content::Plain(text)
    } else {
        Content::Quoted(text)
    };
    Ok(Node { span, tag, content })
}

fn collection(
    content: Content,
    tag: Option<std::borrow::Cow<'_, Tag>>,
    span: Span,
) -> Result<Node> {
    let tag = match tag {
        None => None,
        Some(tag) if is_non_specific(&tag) => None,
        Some(tag) if tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "map" | "seq") => {
            None
        }
        Some(tag) => Some(function_tag(&tag, span)?),
    };
    Ok(Node { span, tag, content })
}

/// `! text`: YAML's way to say "do not guess a type".
fn is_non_specific(tag: &Tag) -> bool {
    (tag.handle.as_str(), tag.suffix.as_str()) == ("", "!")
        || (tag.handle == "!" && tag.suffix.is_empty())
}

fn function_tag(tag: &Tag, span: Span) -> Result<String> {
    if tag.handle == "!" {
        Ok(tag.suffix.clone())
    } else {
        Err(unknown_tag(tag, span))
    }
}

fn unknown_tag(tag: &Tag, span: Span) -> TemplateError {
    malformed(span, format!("unknown tag `{tag}`"))
}

fn place(marker: &Marker) -> Span {
    Span {
        line: u32::try_from(marker.line().max(1)).unwrap_or(u32::MAX),
        column: u32::try_from(marker.col() + 1).unwrap_or(u32::MAX),
    }
}

fn malformed(span: Span, detail: impl Into<String>) -> TemplateError {
    TemplateError::format(span, "YAML not well-formed.").detail(detail)
}
