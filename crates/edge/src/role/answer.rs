//! The balancer's own answers: fixed ones, redirects, and what it says when it cannot forward.

use std::time::SystemTime;

use bytes::Bytes;
use engine::Action;
use http::header::{CONTENT_TYPE, HeaderName, LOCATION, SERVER};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::body::ResponseBody;

/// Who answers, in an Application Load Balancer's words.
const SERVER_NAME: HeaderValue = HeaderValue::from_static("awselb/2.0");
/// Why the balancer itself answers: the page says no more than AWS's does.
const REASON: HeaderName = HeaderName::from_static("x-neargate-reason");

pub fn plain(status: StatusCode, reason: &str) -> Response<ResponseBody> {
    let mut response = whole(status, "text/html", page(status));
    if let Ok(reason) = HeaderValue::from_str(reason) {
        response.headers_mut().insert(REASON, reason);
    }
    response
}

/// An answer to what was no request, as it goes over the wire.
pub fn raw(status: StatusCode) -> Vec<u8> {
    raw_titled(&title(status), &page(status))
}

fn raw_titled(title: &str, page: &str) -> Vec<u8> {
    let now = httpdate::fmt_http_date(SystemTime::now());
    let length = page.len();
    format!(
        "HTTP/1.1 {title}\r\nServer: awselb/2.0\r\nDate: {now}\r\nContent-Type: text/html\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{page}"
    )
    .into_bytes()
}

/// The same for a request in the clear where TLS is spoken.
pub fn raw_for_tls() -> Vec<u8> {
    raw_titled(
        "400 Bad Request",
        &page_titled("400 The plain HTTP request was sent to HTTPS port"),
    )
}

fn page(status: StatusCode) -> String {
    page_titled(&title(status))
}

fn page_titled(title: &str) -> String {
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
         <center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}

/// Some phrases are older than the standard's.
fn title(status: StatusCode) -> String {
    let phrase = match status {
        StatusCode::METHOD_NOT_ALLOWED => "Not Allowed",
        StatusCode::REQUEST_TIMEOUT => "Request Time-out",
        StatusCode::SERVICE_UNAVAILABLE => "Service Temporarily Unavailable",
        StatusCode::GATEWAY_TIMEOUT => "Gateway Time-out",
        other => other.canonical_reason().unwrap_or_default(),
    };
    format!("{} {phrase}", status.as_u16())
}

/// Where a request came in.
#[derive(Clone, Copy)]
pub struct CameBy {
    /// `http` or `https`.
    pub protocol: &'static str,
    pub port: u16,
}

/// What a rule says itself, without any target.
pub fn by_rule(
    action: &Action,
    request: &Parts,
    host: &str,
    came: CameBy,
) -> Response<ResponseBody> {
    match action {
        Action::Fixed {
            status,
            content_type,
            body,
        } => match StatusCode::from_u16(*status) {
            Ok(status) => whole(status, content_type, body.clone()),
            Err(_) => plain(
                StatusCode::BAD_GATEWAY,
                "the rule's fixed answer has an impossible status",
            ),
        },
        Action::Redirect { status, .. } => {
            let location = HeaderValue::from_str(&location(action, request, host, came));
            match (StatusCode::from_u16(*status), location) {
                (Ok(status), Ok(location)) => {
                    let mut response = whole(status, "text/html", page(status));
                    response.headers_mut().insert(LOCATION, location);
                    response
                }
                _ => plain(StatusCode::BAD_GATEWAY, "the rule's redirect is impossible"),
            }
        }
        Action::Forward { .. } => plain(
            StatusCode::BAD_GATEWAY,
            "the rule's action is not an answer",
        ),
    }
}

fn whole(status: StatusCode, content_type: &str, body: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Own(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    response.headers_mut().insert(SERVER, SERVER_NAME);
    if let Ok(content_type) = HeaderValue::from_str(content_type)
        && !content_type.is_empty()
    {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

/// The target of a redirect. What the action leaves out stays as the request has it.
fn location(action: &Action, request: &Parts, host: &str, came: CameBy) -> String {
    let Action::Redirect {
        protocol,
        host: new_host,
        port: new_port,
        path,
        query,
        ..
    } = action
    else {
        return String::new();
    };
    let request_port = came.port.to_string();
    let request_path = request.uri.path().trim_start_matches('/');
    let request_query = request.uri.query().unwrap_or("");
    let fill = |part: &Option<String>, default: &str| {
        fill_in(
            part.as_deref().unwrap_or(default),
            &[
                ("protocol", came.protocol),
                ("host", host),
                ("port", &request_port),
                ("path", request_path),
                ("query", request_query),
            ],
        )
    };
    let protocol = fill(protocol, "#{protocol}").to_ascii_lowercase();
    let host = fill(new_host, "#{host}");
    let port = fill(new_port, "#{port}");
    let path = fill(path, "/#{path}");
    let query = fill(query, "#{query}");
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{protocol}://{host}:{port}{path}{separator}{query}")
}

/// Puts values in for `#{name}`. What was put in is not looked at again.
fn fill_in(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("#{") {
        out.push_str(before);
        let found = after.split_once('}').and_then(|(name, behind)| {
            let value = values.iter().find(|(known, _)| *known == name)?;
            Some((value.1, behind))
        });
        match found {
            Some((value, behind)) => {
                out.push_str(value);
                rest = behind;
            }
            None => {
                out.push_str("#{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: Option<&str>, query: Option<&str>, expect: &str) {
        let action = Action::Redirect {
            status: 301,
            protocol: Some("HTTPS".into()),
            host: None,
            port: Some("443".into()),
            path: path.map(Into::into),
            query: query.map(Into::into),
        };
        let request = http::Request::get("/a/b?x=#{host}").body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let came = CameBy {
            protocol: "http",
            port: 80,
        };
        assert_eq!(location(&action, &parts, "shop", came), expect);
    }

    #[test]
    fn redirects() {
        check(None, Some(""), "https://shop:443/a/b");
        check(
            Some("/new/#{path}"),
            Some("p=#{port}"),
            "https://shop:443/new/a/b?p=80",
        );
        check(Some("/#{what}"), Some(""), "https://shop:443/#{what}");
    }
}
