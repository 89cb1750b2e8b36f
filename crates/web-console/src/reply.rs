//! Answers, and the headers that all of them have.

use bytes::Bytes;
use cloud::{Cx, Error};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use maud::html;
use serde_json::json;
use tokio::sync::mpsc;

use crate::asked::{Asked, Form};
use crate::pages::{self, Page};
use crate::views::Shown;

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content: Content,
}

pub enum Content {
    Whole(Bytes),
    /// Parts as they come, until the sender is gone.
    Stream(mpsc::Receiver<Bytes>),
}

/// Nothing but the console's own files is loaded or run, nothing inline, and nobody puts it into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const FOR_ALL: [(&str, &str); 7] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

impl Reply {
    pub fn new(status: StatusCode, kind: &'static str, content: Content) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in FOR_ALL {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Self {
            status,
            headers,
            content,
        }
    }

    /// One more header; a value that is none is left out.
    pub fn header(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    pub fn keep_for_ever(&mut self) {
        // Its address names its content. Whoever is not let in gets none.
        self.header(CACHE_CONTROL, "private, max-age=31536000, immutable");
    }
}

/// A sentence for whoever is not shown a page.
pub fn plain(status: StatusCode, text: &str) -> Reply {
    let text = match text.is_empty() {
        true => String::new(),
        false => format!("{text}\n"),
    };
    let content = Content::Whole(Bytes::from(text));
    Reply::new(status, "text/plain; charset=utf-8", content)
}

fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let content = Content::Whole(Bytes::from(text + "\n"));
    Reply::new(status, "application/json", content)
}

fn html(status: StatusCode, text: String) -> Reply {
    let content = Content::Whole(Bytes::from(text));
    Reply::new(status, "text/html; charset=utf-8", content)
}

/// What was looked at, in the form that was asked for.
pub fn of(cx: &Cx, asked: &Asked, shown: Shown) -> Reply {
    match (asked.form, shown) {
        (_, Shown::Data(value)) => json(StatusCode::OK, &value),
        (_, Shown::File { name, text }) => {
            let mut reply = plain(StatusCode::OK, "");
            reply.content = Content::Whole(Bytes::from(text));
            let disposition = format!("attachment; filename=\"{name}\"");
            reply.header(CONTENT_DISPOSITION, &disposition);
            reply
        }
        (_, Shown::Page(page)) => {
            let status = match page.is_missing {
                true => StatusCode::NOT_FOUND,
                false => StatusCode::OK,
            };
            html(status, pages::whole(&cx.region, asked, &page))
        }
    }
}

/// An operation's error, in its own words.
pub fn refused(cx: &Cx, asked: &Asked, error: &Error) -> Reply {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if asked.form != Form::Page {
        let value = json!({ "code": error.code, "message": error.message });
        return json(status, &value);
    }
    let page = Page::new("Not shown", "").body(html! {
        h1 { "This cannot be shown" }
        p { (error.message) " (" (error.code) ")" }
    });
    html(status, pages::whole(&cx.region, asked, &page.at_rest()))
}
