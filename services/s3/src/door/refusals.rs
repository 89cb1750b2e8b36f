//! The document of an answer that refuses: code, message, and the details that say about what
//! (API reference, "Error Responses").
//!
//! `s3s` writes code and message alone. What an operation refused is kept beside the request until its
//! answer is there, and is written again here; what the library refused by itself gets the message that
//! S3 has for its code.

use std::sync::{Arc, Mutex, PoisonError};

use cloud::Error;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use s3s::Body;

use super::mismatch::Shown;

/// A document of the library's is a few hundred bytes.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// What was refused while one request was answered.
#[derive(Debug, Clone, Default)]
pub struct Refused(Arc<Mutex<Option<Error>>>);

impl Refused {
    pub fn keep(&self, error: &Error) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(error.clone());
    }

    pub fn is_kept(&self) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.is_some()
    }

    fn take(&self) -> Option<Error> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take()
    }
}

/// Whether a detail is an element of the document, and not a header.
pub fn is_element(detail: &str) -> bool {
    detail.contains(|it: char| it.is_ascii_uppercase())
}

/// What is known of the request that is answered.
pub struct AskedFor<'a> {
    pub method: &'a Method,
    /// The bucket that host or path name, if any.
    pub bucket: Option<&'a str>,
    pub request_id: &'a str,
    pub host_id: &'a str,
}

/// What a document says.
struct Refusal {
    code: String,
    message: String,
    details: Vec<(&'static str, String)>,
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let details = error.members.iter().filter(|it| is_element(it.0));
        let details = details.filter_map(|(name, value)| match value {
            wire::Node::Str(value) => Some((*name, value.clone())),
            _ => None,
        });
        Self {
            code: super::convert::code(error).to_owned(),
            message: error.message.clone(),
            details: details.collect(),
        }
    }
}

/// Writes the document anew where the answer refuses.
pub async fn tell(
    mut response: Response<Body>,
    refused: &Refused,
    asked: &AskedFor<'_>,
    signed: Option<(&Shown, i64)>,
) -> Response<Body> {
    if !response.status().is_client_error() && !response.status().is_server_error() {
        return response;
    }
    let refusal = match refused.take() {
        Some(error) => Refusal::from(&error),
        None => match of_library(&mut response, asked).await {
            Some(mut refusal) => {
                if let Some((shown, now_ms)) = signed {
                    let more = shown.details(&refusal.code, &refusal.message, now_ms);
                    refusal.details.extend(more);
                }
                refusal
            }
            None => return response,
        },
    };
    *response.body_mut() = match *asked.method {
        // A head has no document.
        Method::HEAD => Body::empty(),
        _ => Body::from(document(&refusal, asked)),
    };
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    let xml = HeaderValue::from_static("application/xml");
    headers.insert(CONTENT_TYPE, xml);
    response
}

/// The answer to a request that was refused before the library saw it.
pub fn answer(error: &Error, asked: &AskedFor<'_>) -> Response<Body> {
    let mut response = Response::new(Body::from(document(&Refusal::from(error), asked)));
    if let Ok(status) = StatusCode::from_u16(error.status) {
        *response.status_mut() = status;
    }
    let xml = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(CONTENT_TYPE, xml);
    response
}

/// Status and head alone; the document is written later, of what was kept.
pub fn bare(error: &Error) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if let Ok(status) = StatusCode::from_u16(error.status) {
        *response.status_mut() = status;
    }
    *response.headers_mut() = super::convert::headers(error);
    response
}

fn document(refusal: &Refusal, asked: &AskedFor<'_>) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    let mut element = |name: &str, value: &str| {
        text.push_str(&format!("<{name}>{}</{name}>", escaped(value)));
    };
    element("Code", &refusal.code);
    element("Message", &refusal.message);
    for (name, value) in &refusal.details {
        element(name, value);
    }
    element("RequestId", asked.request_id);
    element("HostId", asked.host_id);
    text.push_str("</Error>");
    text
}

/// XML 1.0 cannot say most control characters, in whatever way they are written.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", it as u32)),
            it if wire::is_xml(it) => out.push(it),
            _ => out.push('\u{FFFD}'),
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    let text = text.replace("&quot;", "\"").replace("&apos;", "'");
    text.replace("&amp;", "&")
}

/// What S3 says where the library says a code alone.
const MESSAGES: &[(&str, &str)] = &[
    ("AccessDenied", "Access Denied"),
    ("InvalidBucketName", "The specified bucket is not valid."),
    ("InvalidURI", "Couldn't parse the specified URI."),
    ("KeyTooLongError", "Your key is too long"),
    (
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    (
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
    ),
    (
        "MissingContentLength",
        "You must provide the Content-Length HTTP header.",
    ),
    (
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
    ),
    (
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    ),
];

/// What the library's own document says, with the message that it leaves out.
async fn of_library(response: &mut Response<Body>, asked: &AskedFor<'_>) -> Option<Refusal> {
    let bytes = response.body_mut().store_all_limited(DOCUMENT_BYTES_MAX);
    let text = String::from_utf8(bytes.await.ok()?.to_vec()).ok()?;
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        Some(unescaped(value))
    };
    let code = element("Code")?;
    let known = MESSAGES.iter().find(|it| it.0 == code);
    let known = known.map(|it| it.1.to_owned());
    // Why access is denied is more than that it is.
    let message = match code.as_str() {
        "AccessDenied" => element("Message").or(known),
        _ => known.or_else(|| element("Message")),
    };
    let mut details = Vec::new();
    if let ("InvalidBucketName", Some(bucket)) = (code.as_str(), asked.bucket) {
        details.push(("BucketName", bucket.to_owned()));
    }
    Some(Refusal {
        message: message.unwrap_or_default(),
        code,
        details,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::{Detailed, no_such_key};

    const ASKED: AskedFor<'_> = AskedFor {
        method: &Method::GET,
        bucket: Some("B"),
        request_id: "R",
        host_id: "H",
    };

    fn refused_by_library(document: &str) -> Response<Body> {
        let mut response = Response::new(Body::from(document.to_owned()));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }

    async fn text(response: Response<Body>) -> String {
        let mut body = response.into_body();
        let bytes = body.store_all_limited(DOCUMENT_BYTES_MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn details_are_told_and_escaped() {
        let refused = Refused::default();
        let error = no_such_key("a<b>&\u{1}").about("x-amz-delete-marker", "true");
        refused.keep(&error);
        let response = refused_by_library("<Error><Code>NoSuchKey</Code></Error>");
        let told = text(tell(response, &refused, &ASKED, None).await).await;
        assert!(
            told.contains("<Key>a&lt;b&gt;&amp;\u{FFFD}</Key>"),
            "{told}"
        );
        assert!(told.ends_with("<RequestId>R</RequestId><HostId>H</HostId></Error>"));
        assert!(!told.contains("delete-marker"));
    }

    #[tokio::test]
    async fn what_the_library_refuses_has_a_message_too() {
        for (document, expected) in [
            (
                "<Error><Code>InvalidBucketName</Code></Error>",
                "<Message>The specified bucket is not valid.</Message><BucketName>B</BucketName>",
            ),
            (
                "<Error><Code>InvalidArgument</Code><Message>a &lt; b</Message></Error>",
                "<Code>InvalidArgument</Code><Message>a &lt; b</Message>",
            ),
        ] {
            let response = refused_by_library(document);
            let told = text(tell(response, &Refused::default(), &ASKED, None).await).await;
            assert!(told.contains(expected), "{told}");
        }
        let odd = refused_by_library("no document");
        assert_eq!(
            text(tell(odd, &Refused::default(), &ASKED, None).await).await,
            "no document"
        );
    }
}
