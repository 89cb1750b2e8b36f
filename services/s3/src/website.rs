//! Websites: a bucket's objects as pages, for everybody, by what the bucket lets everybody read.

use std::sync::Arc;

use cloud::{Caller, Cloud, Cx, Error, Origin};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use s3s::Body;

use crate::authorize::{RequestFacts, may_read};
use crate::bucket::{self, FIRST_REGION};
use crate::config::{RoutingRule, Website};
use crate::door::{http_date, is_element, outgoing, url_encoded};
use crate::errors::*;
use crate::get::{self, Conditions, Wanted};

/// API reference of `PutBucketWebsite`.
const RULES_MAX: usize = 50;

pub fn check(website: &Website) -> Result<(), Error> {
    let invalid = |why: &str| Err(InvalidRequest.because(why.to_owned()));
    if let Some(all) = &website.redirect_all {
        if website.index.is_some() || website.error.is_some() || !website.rules.is_empty() {
            return Err(bad_argument(
                "RedirectAllRequestsTo",
                "not null",
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
            ));
        }
        if all.host.is_empty() {
            return invalid("The HostName is not valid.");
        }
        return check_protocol(all.protocol.as_deref());
    }
    match &website.index {
        None => {
            return Err(bad_argument(
                "IndexDocument",
                "null",
                "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
            ));
        }
        Some(suffix) if suffix.is_empty() || suffix.contains('/') => {
            let why = "The IndexDocument Suffix is not well formed";
            return Err(bad_argument("IndexDocument", suffix, why));
        }
        Some(_) => {}
    }
    if website.rules.len() > RULES_MAX {
        return invalid("The number of website routing rules exceeds the limit of 50");
    }
    for rule in &website.rules {
        check_protocol(rule.protocol.as_deref())?;
        if rule.replace_prefix.is_some() && rule.replace_key.is_some() {
            return invalid("You can only define ReplaceKeyPrefix or ReplaceKey but not both.");
        }
        if rule
            .code
            .is_some_and(|it| !(301..=308).contains(&it) || it == 304)
        {
            return invalid(
                "The provided HTTP redirect code is not valid. Valid codes are 3XX except 300.",
            );
        }
        if rule.status.is_some_and(|it| !(400..600).contains(&it)) {
            return invalid(
                "The provided HTTP error code is not valid. Valid codes are 4XX or 5XX.",
            );
        }
    }
    Ok(())
}

fn check_protocol(protocol: Option<&str>) -> Result<(), Error> {
    match protocol {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err(InvalidRequest
            .because("Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically.")),
    }
}

/// Where a bucket's website is on this machine.
pub fn url(api: &str, bucket: &str, region: &str) -> String {
    let port = api
        .rsplit_once(':')
        .map_or("", |it| it.1)
        .trim_end_matches('/');
    format!("http://{bucket}.s3-website.{region}.localhost:{port}")
}

/// What an answer is known by.
pub struct Ids<'a> {
    pub request_id: &'a str,
    pub host_id: &'a str,
}

/// A request as a website sees it.
struct Asked<'a> {
    /// Of nobody in particular.
    cx: Cx,
    facts: RequestFacts,
    bucket: &'a str,
    ids: &'a Ids<'a>,
    key: String,
    head: &'a http::request::Parts,
}

pub async fn answer(
    cloud: &Arc<Cloud>,
    bucket: &str,
    request: Request<Body>,
    origin: Arc<Origin>,
    ids: &Ids<'_>,
) -> Response<Body> {
    let (head, _) = request.into_parts();
    let cx = cloud.context(FIRST_REGION, Caller::Anonymous, origin);
    let asked = Asked {
        facts: RequestFacts::of_visitor(&head.headers),
        cx,
        bucket,
        ids,
        key: percent_decode_str(head.uri.path().trim_start_matches('/'))
            .decode_utf8_lossy()
            .into_owned(),
        head: &head,
    };
    let found = match asked.cx.read(|tx| bucket::find(tx, bucket)) {
        Ok(found) => found,
        Err(error) => return page_of(&error, None, ids),
    };
    let Some(website) = found.website else {
        return page_of(&no_website(bucket), None, ids);
    };
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let error = MethodNotAllowed
            .because("The specified method is not allowed against this resource.")
            .about("Method", head.method.as_str())
            .about("ResourceType", "OBJECT");
        return page_of(&error, None, ids);
    }
    if let Some(all) = &website.redirect_all {
        let protocol = all.protocol.as_deref().unwrap_or("http");
        let path = head.uri.path_and_query().map_or("/", |it| it.as_str());
        return redirect(301, &format!("{protocol}://{}{path}", all.host));
    }
    asked.answer(&website).await
}

impl Asked<'_> {
    async fn answer(&self, website: &Website) -> Response<Body> {
        if let Some(rule) = rule_for(website, &self.key, None) {
            return self.redirected(rule);
        }
        let index = website.index.as_deref().unwrap_or_default();
        let key = match self.key.as_str() {
            key if key.is_empty() || key.ends_with('/') => format!("{key}{index}"),
            key => key.to_owned(),
        };
        let error = match self.object(&key, StatusCode::OK).await {
            Ok(response) => return response,
            Err(error) => error,
        };
        // A folder without its slash, that has an index (User Guide, "Configuring an index document").
        if key == self.key && self.is_missing(&key) {
            let inside = self.readable(&format!("{key}/{index}"));
            if inside {
                return redirect(302, &format!("/{}/", url_encoded(&self.key)));
            }
        }
        if let Some(rule) = rule_for(website, &self.key, Some(error.status)) {
            return self.redirected(rule);
        }
        let mut no_document = None;
        if (400..500).contains(&error.status)
            && let Some(document) = &website.error
        {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::NOT_FOUND);
            match self.object(document, status).await {
                Ok(response) => return response,
                Err(error) => no_document = Some(error),
            }
        }
        page_of(&error, no_document.as_ref(), self.ids)
    }

    fn redirected(&self, rule: &RoutingRule) -> Response<Body> {
        let header = self
            .head
            .headers
            .get(header::HOST)
            .and_then(|it| it.to_str().ok());
        let host = rule.host.as_deref().or(header).unwrap_or_default();
        let protocol = rule.protocol.as_deref().unwrap_or("http");
        let key = match (&rule.replace_key, &rule.replace_prefix) {
            (Some(key), _) => key.clone(),
            (None, Some(prefix)) => {
                let matched = rule.prefix.as_deref().unwrap_or_default();
                format!(
                    "{prefix}{}",
                    self.key.strip_prefix(matched).unwrap_or(&self.key)
                )
            }
            (None, None) => self.key.clone(),
        };
        let code = rule.code.unwrap_or(301);
        redirect(code, &format!("{protocol}://{host}/{}", url_encoded(&key)))
    }

    fn is_missing(&self, key: &str) -> bool {
        let current = self
            .cx
            .read(|tx| crate::versions::current(tx, self.bucket, key));
        current.is_ok_and(|it| it.is_none())
    }

    fn readable(&self, key: &str) -> bool {
        let may = may_read(&self.cx, &self.facts, self.bucket, key);
        let read = || {
            self.cx
                .read(|tx| crate::versions::read(tx, self.bucket, key, None))
        };
        may.is_ok() && read().is_ok()
    }

    async fn object(&self, key: &str, status: StatusCode) -> Result<Response<Body>, Error> {
        may_read(&self.cx, &self.facts, self.bucket, key)?;
        let header = |name: HeaderName| {
            let value = self
                .head
                .headers
                .get(name)
                .filter(|_| status == StatusCode::OK);
            value.and_then(|it| it.to_str().ok())
        };
        let range = header(header::RANGE).and_then(|it| s3s::dto::Range::parse(it).ok());
        let if_none_match = header(header::IF_NONE_MATCH);
        let wanted = Wanted {
            bucket: self.bucket.to_owned(),
            key: key.to_owned(),
            range,
            conditions: Conditions {
                if_none_match: if_none_match.map(|it| it.trim_matches('"').to_owned()),
                ..Conditions::default()
            },
            ..Wanted::default()
        };
        let (selected, body) = get::open(&self.cx, &wanted).await?;
        let object = &selected.object;
        if let Some(place) = &object.meta.website_redirect {
            return Ok(redirect(301, place));
        }
        let length = selected.length();
        let mut response = Response::new(match self.head.method {
            Method::HEAD => Body::empty(),
            _ => Body::from(outgoing(body, length)),
        });
        let mut set = |name: HeaderName, text: Option<String>| {
            if let Some(value) = text.and_then(|it| HeaderValue::from_str(&it).ok()) {
                response.headers_mut().insert(name, value);
            }
        };
        let content_range = selected.content_range();
        let partial = content_range.is_some();
        set(header::CONTENT_LENGTH, Some(length.to_string()));
        set(header::CONTENT_RANGE, content_range);
        set(header::CONTENT_TYPE, object.meta.content_type.clone());
        set(
            header::CONTENT_ENCODING,
            object.meta.content_encoding.clone(),
        );
        set(
            header::CONTENT_LANGUAGE,
            object.meta.content_language.clone(),
        );
        set(
            header::CONTENT_DISPOSITION,
            object.meta.content_disposition.clone(),
        );
        set(header::CACHE_CONTROL, object.meta.cache_control.clone());
        set(header::ETAG, Some(object.quoted_etag()));
        set(header::LAST_MODIFIED, http_date(object.modified_ms));
        *response.status_mut() = if partial {
            StatusCode::PARTIAL_CONTENT
        } else {
            status
        };
        Ok(response)
    }
}

/// Rules without a status are looked at before the object, the others after it.
fn rule_for<'a>(website: &'a Website, key: &str, status: Option<u16>) -> Option<&'a RoutingRule> {
    website.rules.iter().find(|rule| {
        let prefix = rule.prefix.as_deref().unwrap_or_default();
        rule.status == status && key.starts_with(prefix)
    })
}

fn redirect(code: u16, place: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::FOUND);
    if let Ok(value) = HeaderValue::from_str(place) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// What browsers show when there is no page of the website's own for it: what was refused, and why there is
/// no page of its own.
fn page_of(error: &Error, no_document: Option<&Error>, ids: &Ids<'_>) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status == StatusCode::NOT_MODIFIED {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        return response;
    }
    let title = format!(
        "{} {}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default()
    );
    let ids = format!(
        "<li>RequestId: {}</li>\n<li>HostId: {}</li>\n",
        ids.request_id, ids.host_id
    );
    let own = no_document.map(|it| {
        format!(
            "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n<ul>\n{}</ul>\n",
            items_of(it)
        )
    });
    let text = format!(
        "<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n{}{ids}</ul>\n{}<hr/>\n</body>\n</html>\n",
        items_of(error),
        own.unwrap_or_default()
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    for (name, text) in [
        ("x-amz-error-code", error.code),
        ("x-amz-error-message", error.message.as_str()),
    ] {
        if let Ok(value) = HeaderValue::from_str(text) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn items_of(error: &Error) -> String {
    let safe = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let mut items = format!(
        "<li>Code: {}</li>\n<li>Message: {}</li>\n",
        safe(error.code),
        safe(&error.message)
    );
    for (name, value) in &error.members {
        if let (true, wire::Node::Str(value)) = (is_element(name), value) {
            items.push_str(&format!("<li>{name}: {}</li>\n", safe(value)));
        }
    }
    items
}
