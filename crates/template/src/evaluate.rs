//! Computing values.

use serde_json::Value as Json;

use crate::cidr;
use crate::constraint::ParameterValue;
use crate::error::{Result, TemplateError};
use crate::function::{Function, Piece};
use crate::instance::Instance;
use crate::limits::TEXT_BYTES_MAX;
use crate::node::Span;
use crate::spans::Spans;
use crate::template::MappingValue;
use crate::value::{Kind, Value};

/// What a [`Scope`] that looks ahead answers for what does not exist yet; AWS's own word for it in
/// change sets. Whatever is computed from it contains it.
pub const KNOWN_AFTER_APPLY: &str = "{{changeSet:KNOWN_AFTER_APPLY}}";

const NO_VALUE: &str = "AWS::NoValue";

/// True if any text in the value is not known yet.
pub fn is_known_after_apply(value: &Json) -> bool {
    match value {
        Json::String(text) => text.contains(KNOWN_AFTER_APPLY),
        Json::Array(items) => items.iter().any(is_known_after_apply),
        Json::Object(entries) => entries.values().any(is_known_after_apply),
        _ => false,
    }
}

/// What exists outside the template. An `Err` is a sentence in AWS's words; it gets the place of
/// the function that asked.
pub trait Scope {
    /// What `Ref` of a resource answers.
    fn reference(&self, logical_id: &str) -> Result<Json, String>;
    /// What `Fn::GetAtt` answers.
    fn attribute(&self, logical_id: &str, attribute: &str) -> Result<Json, String>;
    fn export(&self, name: &str) -> Result<Json, String>;
    fn availability_zones(&self, region: &str) -> Result<Vec<String>, String>;
}

/// Computes conditions: there is nothing outside of them.
pub struct NoScope;

impl Scope for NoScope {
    fn reference(&self, logical_id: &str) -> Result<Json, String> {
        Err(format!(
            "Template error: {logical_id} cannot be referenced here"
        ))
    }
    fn attribute(&self, logical_id: &str, _: &str) -> Result<Json, String> {
        self.reference(logical_id)
    }
    fn export(&self, name: &str) -> Result<Json, String> {
        Err(format!(
            "Template error: the export {name} cannot be referenced here"
        ))
    }
    fn availability_zones(&self, region: &str) -> Result<Vec<String>, String> {
        Err(format!(
            "Template error: the zones of {region} cannot be referenced here"
        ))
    }
}

/// `None` stands for `AWS::NoValue`: whatever holds it is left out.
type Evaluated = Option<Json>;

pub struct Evaluator<'a> {
    instance: &'a Instance<'a>,
    scope: &'a dyn Scope,
    /// How many bytes the functions may still produce.
    bytes_left: std::cell::Cell<usize>,
}

impl<'a> Evaluator<'a> {
    pub fn new(instance: &'a Instance<'a>, scope: &'a dyn Scope) -> Self {
        Self {
            instance,
            scope,
            bytes_left: std::cell::Cell::new(TEXT_BYTES_MAX),
        }
    }

    /// Takes a computed text out of what may still be produced.
    fn bounded(&self, text: String, span: Span) -> Result<String> {
        match self.bytes_left.get().checked_sub(text.len()) {
            Some(left) => {
                self.bytes_left.set(left);
                Ok(text)
            }
            None => Err(TemplateError::meaning(
                span,
                format!("the texts computed here are longer than {TEXT_BYTES_MAX} bytes"),
            )),
        }
    }

    /// Computes a value and notes where each part of it stands.
    pub fn with_spans(&self, value: &Value, path: &str, spans: &mut Spans) -> Result<Evaluated> {
        Ok(Some(match &value.kind {
            Kind::List(items) => {
                let mut list = Vec::new();
                for item in items {
                    let path = join_path(path, &list.len().to_string());
                    spans.insert(&path, item.span);
                    list.extend(self.with_spans(item, &path, spans)?);
                }
                Json::Array(list)
            }
            Kind::Map(entries) => {
                let mut map = serde_json::Map::new();
                for (key, item) in entries {
                    let path = join_path(path, &key.text);
                    if let Some(item) = self.with_spans(item, &path, spans)? {
                        spans.insert(&path, key.span);
                        map.insert(key.text.clone(), item);
                    }
                }
                Json::Object(map)
            }
            Kind::Function(function) => match &**function {
                Function::If {
                    condition,
                    then,
                    otherwise,
                } => {
                    let chosen = if self.condition(condition, value.span)? {
                        then
                    } else {
                        otherwise
                    };
                    return self.with_spans(chosen, path, spans);
                }
                _ => return self.value(value),
            },
            Kind::Text(_) | Kind::Number(_) | Kind::Bool(_) => return self.value(value),
        }))
    }

    pub fn value(&self, value: &Value) -> Result<Evaluated> {
        Ok(Some(match &value.kind {
            Kind::Text(text) => Json::String(text.clone()),
            Kind::Number(number) => Json::Number(number.clone()),
            Kind::Bool(it) => Json::Bool(*it),
            Kind::List(_) | Kind::Map(_) => {
                return self.with_spans(value, "", &mut Spans::default());
            }
            Kind::Function(function) => return self.function(function, value.span),
        }))
    }

    fn function(&self, function: &Function, span: Span) -> Result<Evaluated> {
        let wrong = |message: String| TemplateError::meaning(span, message);
        Ok(Some(match function {
            Function::Ref(name) => return self.reference(name, span),
            Function::GetAtt {
                resource,
                attribute,
            } => {
                let attribute = self.text(attribute, "Fn::GetAtt")?;
                if attribute.contains(KNOWN_AFTER_APPLY) {
                    return Ok(Some(KNOWN_AFTER_APPLY.into()));
                }
                self.attribute(resource, &attribute, span)?
            }
            Function::Sub { pieces, variables } => self.sub(pieces, variables, span)?.into(),
            Function::Join { delimiter, values } => {
                let items = self.list(values, "Fn::Join")?;
                let texts: Result<Vec<String>> = items
                    .iter()
                    .map(|it| text_of(it, "Fn::Join", span))
                    .collect();
                self.bounded(texts?.join(delimiter), span)?.into()
            }
            Function::Select { index, values } => self.select(index, values, span)?,
            Function::Split { delimiter, text } => {
                let text = self.text(text, "Fn::Split")?;
                // Into how many pieces, nobody knows yet.
                if text.contains(KNOWN_AFTER_APPLY) {
                    return Ok(Some(KNOWN_AFTER_APPLY.into()));
                }
                text.split(delimiter.as_str()).map(Json::from).collect()
            }
            Function::FindInMap {
                map,
                first,
                second,
                default,
            } => match (self.find_in_map(map, first, second, span), default) {
                (Err(_), Some(default)) => return self.value(default),
                (found, _) => found?,
            },
            Function::Length(list) => match self.value(list)? {
                Some(Json::Array(items)) => items.len().into(),
                Some(unknown) if is_known_after_apply(&unknown) => KNOWN_AFTER_APPLY.into(),
                _ => return Err(wrong("Fn::Length needs a list of values".into())),
            },
            Function::ToJsonString(value) => {
                let value = self.value(value)?.unwrap_or(Json::Null);
                self.bounded(value.to_string(), span)?.into()
            }
            Function::GetAzs(region) => {
                let region = match self.text(region, "Fn::GetAZs")? {
                    unknown if unknown.contains(KNOWN_AFTER_APPLY) => {
                        return Ok(Some(unknown.into()));
                    }
                    empty if empty.is_empty() => self.instance.environment.region.clone(),
                    region => region,
                };
                (self.scope.availability_zones(&region))
                    .map_err(|it| TemplateError::new(it).at(span))?
                    .into()
            }
            Function::ImportValue(name) => {
                let name = self.text(name, "Fn::ImportValue")?;
                if name.contains(KNOWN_AFTER_APPLY) {
                    return Ok(Some(KNOWN_AFTER_APPLY.into()));
                }
                self.scope
                    .export(&name)
                    .map_err(|it| TemplateError::new(it).at(span))?
            }
            Function::If {
                condition,
                then,
                otherwise,
            } => {
                let chosen = if self.condition(condition, span)? {
                    then
                } else {
                    otherwise
                };
                return self.value(chosen);
            }
            Function::Base64(value) => {
                use base64::Engine as _;
                let text = self.text(value, "Fn::Base64")?;
                if text.contains(KNOWN_AFTER_APPLY) {
                    return Ok(Some(KNOWN_AFTER_APPLY.into()));
                }
                self.bounded(base64::engine::general_purpose::STANDARD.encode(text), span)?
                    .into()
            }
            Function::Cidr { block, count, bits } => {
                let block = self.text(block, "Fn::Cidr")?;
                // Into how many blocks, nobody knows yet.
                let Some(count) = self.known_number(count, "Fn::Cidr")? else {
                    return Ok(Some(KNOWN_AFTER_APPLY.into()));
                };
                let bits = match bits {
                    Some(bits) => self.known_number(bits, "Fn::Cidr")?,
                    None => Some(cidr::BITS_DEFAULT),
                };
                match bits.filter(|_| !block.contains(KNOWN_AFTER_APPLY)) {
                    None => {
                        vec![KNOWN_AFTER_APPLY; usize::try_from(count).unwrap_or(0).min(256)].into()
                    }
                    Some(bits) => {
                        cidr::blocks(&block, count, u32::try_from(bits).unwrap_or(u32::MAX))
                            .map_err(wrong)?
                            .into()
                    }
                }
            }
            Function::And(_)
            | Function::Or(_)
            | Function::Not(_)
            | Function::Equals(..)
            | Function::Condition(_) => self.decide(function, span)?.into(),
        }))
    }

    fn reference(&self, name: &str, span: Span) -> Result<Evaluated> {
        if name == NO_VALUE {
            return Ok(None);
        }
        if let Some(parameter) = self.instance.parameters.get(name) {
            return Ok(Some(match &parameter.value {
                // Given as the name of the pseudo parameter, it is no value either.
                ParameterValue::Text(text) if text == NO_VALUE => return Ok(None),
                ParameterValue::Text(text) => text.as_str().into(),
                ParameterValue::List(items) => items.clone().into(),
            }));
        }
        if let Some(value) = self.instance.environment.pseudo_parameter(name) {
            return Ok(Some(value));
        }
        self.instance.require_resource(name, span)?;
        self.scope
            .reference(name)
            .map(Some)
            .map_err(|it| TemplateError::new(it).at(span))
    }

    fn attribute(&self, resource: &str, attribute: &str, span: Span) -> Result<Json> {
        self.instance.require_resource(resource, span)?;
        self.scope
            .attribute(resource, attribute)
            .map_err(|it| TemplateError::new(it).at(span))
    }

    fn sub(
        &self,
        pieces: &[Piece],
        variables: &[(crate::Key, Value)],
        span: Span,
    ) -> Result<String> {
        // Each variable is computed once: nested ones that are named twice would otherwise double
        // the work at every level.
        let mut computed = std::collections::BTreeMap::new();
        for (key, value) in variables {
            computed.insert(key.text.clone(), self.text(value, "Fn::Sub")?);
        }
        let mut text = String::new();
        for piece in pieces {
            let part = match piece {
                Piece::Literal(literal) => literal.clone(),
                Piece::Name(name) => match computed.get(name) {
                    Some(part) => part.clone(),
                    None => {
                        let value = self.reference(name, span)?;
                        let value = value.ok_or_else(|| not_a_string("Fn::Sub", span))?;
                        text_of(&value, "Fn::Sub", span)?
                    }
                },
                Piece::Attribute(resource, attribute) => {
                    match computed.get(&format!("{resource}.{attribute}")) {
                        Some(part) => part.clone(),
                        None => {
                            text_of(&self.attribute(resource, attribute, span)?, "Fn::Sub", span)?
                        }
                    }
                }
            };
            text.push_str(&self.bounded(part, span)?);
        }
        Ok(text)
    }

    fn select(&self, index: &Value, values: &Value, span: Span) -> Result<Json> {
        let index = self.text(index, "Fn::Select")?;
        if index.contains(KNOWN_AFTER_APPLY) {
            return Ok(KNOWN_AFTER_APPLY.into());
        }
        let index: u64 = (index.trim().parse())
            .map_err(|_| TemplateError::meaning(span, crate::function::SELECT))?;
        let mut items = self.list(values, "Fn::Select")?;
        let position = usize::try_from(index).unwrap_or(usize::MAX);
        if position < items.len() {
            return Ok(items.swap_remove(position));
        }
        // How long a list is that is not known yet is not known either.
        if items.iter().any(is_known_after_apply) {
            return Ok(KNOWN_AFTER_APPLY.into());
        }
        Err(TemplateError::meaning(
            span,
            format!("Fn::Select cannot select nonexistent value at index {index}"),
        ))
    }

    fn find_in_map(&self, map: &Value, first: &Value, second: &Value, span: Span) -> Result<Json> {
        let map_name = self.text(map, "Fn::FindInMap")?;
        let first = self.text(first, "Fn::FindInMap")?;
        let second = self.text(second, "Fn::FindInMap")?;
        if [&map_name, &first, &second]
            .iter()
            .any(|it| it.contains(KNOWN_AFTER_APPLY))
        {
            return Ok(KNOWN_AFTER_APPLY.into());
        }
        let mapping = self.instance.template.mappings.get(&map_name).ok_or_else(|| {
            TemplateError::meaning(
                span,
                format!("Mapping named '{map_name}' is not present in the 'Mappings' section of template."),
            )
        })?;
        match mapping.get(&first).and_then(|it| it.get(&second)) {
            Some(MappingValue::Text(text)) => Ok(text.as_str().into()),
            Some(MappingValue::List(items)) => Ok(items.clone().into()),
            None => Err(TemplateError::meaning(
                span,
                format!("Unable to get mapping for {map_name}::{first}::{second}"),
            )),
        }
    }

    /// The value of a named condition.
    fn condition(&self, name: &str, span: Span) -> Result<bool> {
        self.instance.conditions.get(name).copied().ok_or_else(|| {
            TemplateError::format(span, format!("Unresolved condition dependency {name}"))
        })
    }

    /// Decides a condition function.
    pub fn decide(&self, function: &Function, span: Span) -> Result<bool> {
        let inner = |value: &Value| match &value.kind {
            Kind::Function(function) => self.decide(function, value.span),
            _ => Err(TemplateError::meaning(
                value.span,
                "a condition was expected here",
            )),
        };
        match function {
            Function::And(all) => all
                .iter()
                .try_fold(true, |so_far, it| Ok(so_far & inner(it)?)),
            Function::Or(all) => all
                .iter()
                .try_fold(false, |so_far, it| Ok(so_far | inner(it)?)),
            Function::Not(one) => Ok(!inner(one)?),
            Function::Equals(left, right) => {
                Ok(comparable(self.value(left)?) == comparable(self.value(right)?))
            }
            Function::Condition(name) => self.condition(name, span),
            _ => Err(TemplateError::meaning(
                span,
                "a condition was expected here",
            )),
        }
    }

    pub fn text(&self, value: &Value, function: &str) -> Result<String> {
        let evaluated = self
            .value(value)?
            .ok_or_else(|| not_a_string(function, value.span))?;
        text_of(&evaluated, function, value.span)
    }

    /// A whole number; None for one that nobody knows yet.
    fn known_number(&self, value: &Value, function: &str) -> Result<Option<u64>> {
        let text = self.text(value, function)?;
        if text.contains(KNOWN_AFTER_APPLY) {
            return Ok(None);
        }
        text.trim().parse().map(Some).map_err(|_| {
            TemplateError::meaning(
                value.span,
                format!("{function} needs a whole number and got `{text}`"),
            )
        })
    }

    fn list(&self, value: &Value, function: &str) -> Result<Vec<Json>> {
        match self.value(value)? {
            Some(Json::Array(items)) => Ok(items),
            Some(unknown) if is_known_after_apply(&unknown) => Ok(vec![unknown]),
            _ => Err(TemplateError::meaning(
                value.span,
                format!("{function} needs a list of values"),
            )),
        }
    }
}

/// Conditions compare what is written: `80` equals `"80"`, `true` equals `"true"`.
fn comparable(value: Evaluated) -> Evaluated {
    value.map(|it| match it {
        Json::Bool(it) => it.to_string().into(),
        Json::Number(it) => it.to_string().into(),
        Json::Array(items) => items
            .into_iter()
            .filter_map(|it| comparable(Some(it)))
            .collect(),
        other => other,
    })
}

fn not_a_string(function: &str, span: Span) -> TemplateError {
    TemplateError::meaning(span, format!("{function} needs values that are strings"))
}

fn text_of(value: &Json, function: &str, span: Span) -> Result<String> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(it) => Ok(it.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => Err(not_a_string(function, span)),
    }
}

fn join_path(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}
