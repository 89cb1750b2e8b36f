//! How one value of a policy compares with one of a request.

use std::net::IpAddr;

use base::glob::Glob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ipnet::IpNet;

use crate::context::Context;
use crate::instant;
use crate::text::{Filled, Template};
use crate::truth::Truth;

/// The parts of an ARN that are compared each for itself.
const ARN_PARTS: usize = 6;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Comparison {
    Equals(Template),
    EqualsIgnoringCase(Template),
    Like(Template),
    Arn(Template),
    Number(Order, f64),
    /// Milliseconds since 1970.
    Date(Order, i64),
    Flag(bool),
    Bytes(Vec<u8>),
    Address(IpNet),
}

/// How the request's value lies to the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Reads a value of an operator; None when it cannot be one.
pub(crate) type Read = fn(Template) -> Option<Comparison>;

impl Comparison {
    /// What an operator does, without `IfExists` and sets, and whether it is negated.
    pub fn named(operator: &str) -> Option<(bool, Read)> {
        use Order::*;
        let read: Read = match operator {
            "StringEquals" | "StringNotEquals" => |it| Some(Self::Equals(it)),
            "StringEqualsIgnoreCase" | "StringNotEqualsIgnoreCase" => {
                |it| Some(Self::EqualsIgnoringCase(it))
            }
            "StringLike" | "StringNotLike" => |it| Some(Self::Like(it)),
            "ArnEquals" | "ArnLike" | "ArnNotEquals" | "ArnNotLike" => arn,
            "NumericEquals" | "NumericNotEquals" => |it| number_as(Equal, &it),
            "NumericLessThan" => |it| number_as(Less, &it),
            "NumericLessThanEquals" => |it| number_as(LessOrEqual, &it),
            "NumericGreaterThan" => |it| number_as(Greater, &it),
            "NumericGreaterThanEquals" => |it| number_as(GreaterOrEqual, &it),
            "DateEquals" | "DateNotEquals" => |it| date_as(Equal, &it),
            "DateLessThan" => |it| date_as(Less, &it),
            "DateLessThanEquals" => |it| date_as(LessOrEqual, &it),
            "DateGreaterThan" => |it| date_as(Greater, &it),
            "DateGreaterThanEquals" => |it| date_as(GreaterOrEqual, &it),
            "Bool" => |it| flag(it.written()).map(Self::Flag),
            "BinaryEquals" => |it| BASE64.decode(it.written()).ok().map(Self::Bytes),
            "IpAddress" | "NotIpAddress" => |it| range(it.written()).map(Self::Address),
            _ => return None,
        };
        Some((operator.contains("Not"), read))
    }

    pub fn fits(&self, value: &str, context: &Context) -> Truth {
        match self {
            Self::Equals(template) => filled(template.text(context), |it| it == value),
            Self::EqualsIgnoringCase(template) => filled(template.text(context), |it| {
                it.to_lowercase() == value.to_lowercase()
            }),
            Self::Like(template) => filled(template.glob(context), |it| it.matches(value)),
            Self::Arn(template) => filled(template.glob(context), |it| is_arn(&it, value)),
            Self::Number(order, wanted) => {
                let fits = |it: f64| it.partial_cmp(wanted).is_some_and(|it| order.holds(it));
                number(value).is_some_and(fits).into()
            }
            Self::Date(order, wanted) => {
                let fits = |it: i64| order.holds(it.cmp(wanted));
                instant::parse(value).is_some_and(fits).into()
            }
            Self::Flag(wanted) => (flag(value) == Some(*wanted)).into(),
            Self::Bytes(wanted) => (BASE64.decode(value).ok().as_ref() == Some(wanted)).into(),
            Self::Address(range) => {
                let address = value.parse::<IpAddr>().map(|it| it.to_canonical());
                address.is_ok_and(|it| range.contains(&it)).into()
            }
        }
    }
}

impl Order {
    fn holds(self, found: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => found.is_eq(),
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }
}

/// What is filled is asked; what names an absent key fits nothing.
pub(crate) fn filled<T>(it: Filled<T>, fits: impl FnOnce(T) -> bool) -> Truth {
    match it {
        Filled::Is(it) => fits(it).into(),
        Filled::FitsNothing => Truth::No,
        Filled::Unknown(key) => Truth::unknown(&key),
    }
}

/// `*`, or a pattern of six parts, as far as can be seen before variables are replaced.
fn arn(template: Template) -> Option<Comparison> {
    let written = template.written();
    let is_arn =
        written == "*" || written.split(':').count() >= ARN_PARTS || written.contains("${");
    is_arn.then_some(Comparison::Arn(template))
}

fn is_arn(pattern: &Glob, value: &str) -> bool {
    let parts: Vec<&str> = value.splitn(ARN_PARTS, ':').collect();
    let patterns = pattern.split(':', ARN_PARTS);
    parts.len() == ARN_PARTS
        && (*pattern == Glob::new("*")
            || (patterns.len() == ARN_PARTS
                && patterns
                    .iter()
                    .zip(parts)
                    .all(|(it, part)| it.matches(part))))
}

fn number_as(order: Order, template: &Template) -> Option<Comparison> {
    number(template.written()).map(|it| Comparison::Number(order, it))
}

fn date_as(order: Order, template: &Template) -> Option<Comparison> {
    instant::parse(template.written()).map(|it| Comparison::Date(order, it))
}

fn number(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    number.is_finite().then_some(number)
}

fn flag(text: &str) -> Option<bool> {
    match () {
        () if text.eq_ignore_ascii_case("true") => Some(true),
        () if text.eq_ignore_ascii_case("false") => Some(false),
        () => None,
    }
}

/// `a.b.c.d/n`, or one address.
fn range(text: &str) -> Option<IpNet> {
    if let Ok(range) = text.parse::<IpNet>() {
        return Some(range);
    }
    let address: IpAddr = text.parse().ok()?;
    Some(IpNet::from(address.to_canonical()))
}
