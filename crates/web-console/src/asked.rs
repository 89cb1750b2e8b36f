//! What a request asks for: a path below the console's, its query, and in which form.

use std::collections::BTreeMap;

use http::header::ACCEPT;
use http::request::Parts;
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::reply::{self, Reply};

/// Below it is the console. No bucket can be called so, and AWS's operations have other paths.
pub const PATH: &str = "/_neargate/console/";

/// The longest ARN has 2,048 characters, and a query may hold one and a pattern.
const TARGET_BYTES_MAX: usize = 8 * 1024;
/// No page asks for more.
const PARTS_MAX: usize = 8;
const FIELDS_MAX: usize = 32;

/// What stands in a path or query as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Page,
    Json,
    /// What is on the page, to be kept as a file.
    Text,
    /// The page's live part, again and again.
    Stream,
}

#[derive(Debug, Clone)]
pub struct Asked {
    parts: Vec<String>,
    fields: BTreeMap<String, String>,
    pub form: Form,
    /// Whether the session may change anything, so that the page offers it.
    pub can_write: bool,
}

impl Asked {
    pub fn read(head: &Parts, can_write: bool) -> Result<Self, Box<Reply>> {
        let bad = |why: &str| Box::new(reply::plain(StatusCode::BAD_REQUEST, why));
        let path = head.uri.path().strip_prefix(PATH).unwrap_or_default();
        let query = head.uri.query().unwrap_or_default();
        if path.len() + query.len() > TARGET_BYTES_MAX {
            return Err(bad("that address is too long"));
        }
        let mut parts = Vec::new();
        for part in path.split('/').filter(|it| !it.is_empty()) {
            let text = percent_decode_str(part).decode_utf8();
            parts.push(
                text.map_err(|_| bad("that address is not text"))?
                    .into_owned(),
            );
        }
        let fields: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .take(FIELDS_MAX + 1)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        if parts.len() > PARTS_MAX || fields.len() > FIELDS_MAX {
            return Err(bad("that address has too many parts"));
        }
        let mut asked = Self {
            parts,
            fields: fields.into_iter().collect(),
            form: Form::Page,
            can_write,
        };
        let accepts = head.headers.get(ACCEPT).and_then(|it| it.to_str().ok());
        let wants_json = accepts.is_some_and(|it| it.starts_with("application/json"));
        asked.form = match asked.fields.remove("format").as_deref() {
            Some("json") => Form::Json,
            Some("text") => Form::Text,
            Some("stream") => Form::Stream,
            _ if wants_json => Form::Json,
            _ => Form::Page,
        };
        if head.method != Method::GET && head.method != Method::POST {
            return Err(Box::new(reply::plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "use GET",
            )));
        }
        Ok(asked)
    }

    pub fn parts(&self) -> Vec<&str> {
        self.parts.iter().map(String::as_str).collect()
    }

    /// A field that says something.
    pub fn field(&self, name: &str) -> Option<&str> {
        let value = self.fields.get(name).map(|it| it.trim());
        value.filter(|it| !it.is_empty())
    }

    /// The address of the same view with some fields of the query changed. An empty one goes.
    pub fn with(&self, changes: &[(&str, &str)]) -> String {
        let mut fields: BTreeMap<&str, &str> = (self.fields.iter())
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        for (name, value) in changes {
            fields.insert(name, value);
        }
        fields.retain(|_, value| !value.is_empty());
        let fields: Vec<(&str, &str)> = fields.into_iter().collect();
        link(&self.parts(), &fields)
    }
}

/// The address of a view. Whatever the parts hold, it is one of the console's.
pub fn link(parts: &[&str], fields: &[(&str, &str)]) -> String {
    let parts: Vec<String> = parts.iter().map(|it| encoded(it)).collect();
    let mut text = format!("{PATH}{}", parts.join("/"));
    for (at, (name, value)) in fields.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text += &format!("{}={}", encoded(name), encoded(value));
    }
    text
}

fn encoded(text: &str) -> String {
    // A browser would take these for the way up.
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, PLAIN).to_string(),
    }
}

/// An address outside of the console that a page may lead to: a browser is sent to nothing but web pages.
pub fn is_web_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

#[cfg(test)]
impl Asked {
    pub fn of(target: &str) -> Self {
        let request = http::Request::get(format!("{PATH}{target}"));
        let (head, ()) = request.body(()).unwrap().into_parts();
        Self::read(&head, false).ok().expect("it is an address")
    }

    pub fn writing(target: &str) -> Self {
        Self {
            can_write: true,
            ..Self::of(target)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_nowhere_else_whatever_things_are_called() {
        let names = ["web", "../..", "a/b?c=d&e#f", "javascript:x", "ü\"<", ".."];
        for name in names {
            let address = link(&["services", name, name], &[("thing", name)]);
            assert!(
                address.starts_with("/_neargate/console/services/"),
                "{address}"
            );
            let kept = |it: char| it.is_ascii_alphanumeric() || "/_-.~%?=&".contains(it);
            assert!(address.chars().all(kept), "{address}");
            let asked = Asked::of(address.strip_prefix(PATH).unwrap());
            assert_eq!(asked.parts()[1..], [name, name], "{address}");
            assert_eq!(asked.field("thing"), Some(name));
        }
        assert!(!is_web_address("javascript:alert(1)"));
    }

    #[test]
    fn the_form_is_asked_for_by_the_address_or_the_client() {
        assert_eq!(Asked::of("stacks").form, Form::Page);
        assert_eq!(Asked::of("stacks?format=json").form, Form::Json);
        assert_eq!(Asked::of("stacks?format=stream").form, Form::Stream);
        let again =
            Asked::of("logs?q=a%20b&group=g&format=json").with(&[("group", ""), ("at", "1")]);
        assert_eq!(again, "/_neargate/console/logs?at=1&q=a%20b");
    }
}
