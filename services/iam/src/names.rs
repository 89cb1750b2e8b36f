//! Keys, ids, ARNs, pages, and how AWS says that something is not there.

use cloud::{Cx, Error, random_upper, token_hex};
use shapes::iam::errors;

/// AWS's default and highest number of items on a page.
const PAGE_ITEMS: usize = 100;
const PAGE_ITEMS_MAX: usize = 1000;

/// The key of a record of IAM, which knows no regions.
pub fn key(rest: &str) -> String {
    format!("global/{rest}")
}

/// An id in AWS's form: four letters that tell the kind, and 17 more. A repeated request with a token
/// gets the same.
pub fn new_id(cx: &Cx, prefix: &str) -> String {
    const LENGTH: usize = 17;
    match &cx.token {
        Some(token) => format!(
            "{prefix}{}",
            token_hex(token, prefix, LENGTH).to_uppercase()
        ),
        None => format!("{prefix}{}", random_upper(LENGTH)),
    }
}

/// `arn:aws:iam::<account>:<kind><path><name>`, where the path begins and ends with `/`.
pub fn arn(account: &str, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

pub fn timestamp(ms: i64) -> wire::Timestamp {
    // IAM answers whole seconds.
    wire::Timestamp((ms / 1000) as f64)
}

/// As documents and other texts stand in IAM's answers (RFC 3986).
pub fn encoded(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

/// A path that was given, or the default.
pub fn path(given: Option<String>) -> Result<String, Error> {
    let path = given.unwrap_or_else(|| "/".into());
    if path.starts_with('/') && path.ends_with('/') {
        return Ok(path);
    }
    Err(wire::codes::ValidationError.because(
        "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.",
    ))
}

pub fn no_such(message: impl Into<String>) -> Error {
    errors::NoSuchEntityException.because(message)
}

pub fn conflict(message: impl Into<String>) -> Error {
    errors::DeleteConflictException.because(message)
}

pub fn exists(message: impl Into<String>) -> Error {
    errors::EntityAlreadyExistsException.because(message)
}

pub fn limit(quota: &str, max: usize) -> Error {
    errors::LimitExceededException.because(format!("Cannot exceed quota for {quota}: {max}"))
}

/// A feature that is not built.
pub fn unsupported(what: impl std::fmt::Display) -> Error {
    shapes::iam::MODEL.unsupported(what)
}

/// One page of a list, as IAM's answers carry it.
pub struct Page<T> {
    pub items: Vec<T>,
    pub is_truncated: Option<bool>,
    pub marker: Option<String>,
}

pub fn invalid_marker(marker: &str) -> Error {
    wire::codes::ValidationError.because(format!("Invalid Marker: {marker}"))
}

/// How many items a page has at most.
pub fn page_length(max_items: Option<i32>) -> usize {
    max_items
        .and_then(|it| usize::try_from(it).ok())
        .unwrap_or(PAGE_ITEMS)
        .clamp(1, PAGE_ITEMS_MAX)
}

/// The items after the marker, which is the name of the last one that was given.
pub fn page<T>(
    mut items: Vec<T>,
    name: impl Fn(&T) -> &str,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<T>, Error> {
    if let Some(marker) = marker {
        let at = items.iter().position(|it| name(it) == marker);
        let at = at.ok_or_else(|| invalid_marker(marker))?;
        items.drain(..=at);
    }
    let count = page_length(max_items);
    let more = items.len() > count;
    items.truncate(count);
    let marker = match items.last() {
        Some(last) if more => Some(name(last).to_owned()),
        _ => None,
    };
    Ok(Page {
        items,
        is_truncated: Some(more),
        marker,
    })
}
