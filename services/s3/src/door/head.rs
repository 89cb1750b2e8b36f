//! What the head of a request says of its signature, looked at before anything else is.
//!
//! `s3s` finds out whether a signature fits what it says that it covers. What it has to cover is
//! decided here: the host and every `x-amz-*` header (User Guide, "Authenticating Requests"), once, in
//! one way, for a bounded time. `Content-Type` and `Content-MD5` may be left out of it, as on AWS: the
//! one names what is stored, and the other can only make a request fail.
//!
//! The older version 2 of signatures is taken in the query and in forms, where `boto3` still writes it
//! by default, and only for what it covers.

use std::borrow::Cow;

use cloud::{ConditionKey, Error};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::chunks::Framing;
use super::hash;
use crate::authorize::RequestFacts;
use crate::checksum::Algorithm;
use crate::errors::*;
use crate::refuse::not_built;

/// API reference, "Authenticating Requests: Using Query Parameters": seven days.
const EXPIRES_SECONDS_MAX: u32 = 7 * 24 * 60 * 60;
const AMZ: &str = "x-amz-";
const CONTENT_SHA256: &str = "x-amz-content-sha256";
const TOKEN: &str = "x-amz-security-token";
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What S3 calls version 2.
pub const OLD_ALGORITHM: &str = "AWS";
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// What the value of [`CONTENT_SHA256`] begins with when the body comes in chunks.
const STREAMING: &str = "STREAMING-";

/// Headers that a request has once. Whoever reads the first of two is not who reads the last.
const ONCE: &[&str] = &[
    "authorization",
    "host",
    "content-type",
    "content-md5",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-security-token",
    "x-amz-trailer",
];

/// What a presigned request of version 4 has in its query, once each.
const PRESIGNED: &[&str] = &[
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// What part of a listing is asked for. Version 2 does not cover it, as on AWS; what may be listed is
/// decided by the permissions of whoever signed.
const OLD_QUERY_OPEN: &[&str] = &[
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "prefix",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
];

/// Headers that version 2 signs and that move into the query, beside S3's own.
const OLD_QUERY_HEADERS: &[&str] = &["content-md5", "content-type"];

/// What version 2 itself puts into a query.
const OLD_PRESIGNED: &[&str] = &["AWSAccessKeyId", "Expires", "Signature"];

/// What version 2 covers of a query ("Signing and Authenticating REST Requests").
pub const OLD_SUBRESOURCES: &[&str] = &[
    "acl",
    "cors",
    "lifecycle",
    "location",
    "logging",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "tagging",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// Where a signature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedIn {
    /// There is none.
    Nowhere,
    Header,
    Query,
    /// In a query, of version 2.
    OldQuery,
    /// Among the fields of a form, which are read later.
    Form,
}

/// What is known of a request before its signature is verified.
#[derive(Debug, Clone)]
pub struct Head {
    pub signed_in: SignedIn,
    /// Of the signature.
    pub version: Option<&'static str>,
    /// The session token that the signature covers.
    pub token: Option<String>,
    /// `20261130T110000Z`, as it is signed.
    pub signed_at: Option<String>,
    pub content_sha256: Option<String>,
    /// The same where it stands in the query of a presigned request.
    pub content_sha256_hoisted: Option<String>,
    /// How the body is framed, when it comes in chunks.
    pub framing: Option<Framing>,
}

/// Headers that had to be signed and are not; S3 names them in an element of their own.
fn not_signed(headers: &[String]) -> Error {
    wire::codes::AccessDenied
        .because("There were headers present in the request which were not signed")
        .about("HeadersNotSigned", headers.join(", "))
}

type Query<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Reads the head, and refuses what no signature can make good.
pub fn look(parts: &Parts) -> Result<Head, Error> {
    check_texts(&parts.headers)?;
    // As `s3s` reads it: whatever is decided on is what is executed.
    let query = parts.uri.query().unwrap_or_default();
    let query: Query<'_> = form_urlencoded::parse(query.as_bytes()).collect();
    let signed_in = find_signature(parts, &query)?;
    let text = |name: &str| {
        let value = parts.headers.get(name)?;
        std::str::from_utf8(value.as_bytes())
            .ok()
            .map(str::to_owned)
    };
    let mut head = Head {
        signed_in,
        version: match signed_in {
            SignedIn::Header | SignedIn::Query => Some(ALGORITHM),
            SignedIn::OldQuery => Some(OLD_ALGORITHM),
            // A form says it in its fields.
            SignedIn::Form | SignedIn::Nowhere => None,
        },
        token: None,
        signed_at: None,
        content_sha256: text(CONTENT_SHA256),
        content_sha256_hoisted: None,
        framing: None,
    };
    match signed_in {
        SignedIn::Header => {
            let authorization = text(AUTHORIZATION.as_str()).unwrap_or_default();
            let signed = signed_by_header(&authorization)?;
            check_covered(&parts.headers, &signed)?;
            head.token = text(TOKEN);
            head.signed_at = text("x-amz-date");
        }
        SignedIn::Query => {
            let value = |name: &str| one(&query, name);
            let signed = value("X-Amz-SignedHeaders").unwrap_or_default();
            check_presigned(&query)?;
            check_covered(&parts.headers, &signed.split(';').collect::<Vec<_>>())?;
            head.token = value("X-Amz-Security-Token").map(str::to_owned);
            head.signed_at = value("X-Amz-Date").map(str::to_owned);
            head.content_sha256_hoisted = hoisted(&query)?;
        }
        SignedIn::OldQuery => {
            check_old(&parts.method, &query)?;
            head.token = one(&query, TOKEN).map(str::to_owned);
        }
        SignedIn::Form | SignedIn::Nowhere => {}
    }
    head.framing = framing(parts, &head)?;
    Ok(head)
}

/// What is signed is text, and what there is one of comes once.
fn check_texts(headers: &HeaderMap) -> Result<(), Error> {
    for (name, value) in headers {
        let matters = name.as_str().starts_with(AMZ) || ONCE.contains(&name.as_str());
        if matters && std::str::from_utf8(value.as_bytes()).is_err() {
            return Err(InvalidArgument.because(format!("The header {name} is not text")));
        }
    }
    let twice = ONCE
        .iter()
        .find(|name| headers.get_all(**name).iter().nth(1).is_some());
    match twice {
        Some(name) => Err(InvalidRequest.because(format!("The header {name} is there twice"))),
        None => Ok(()),
    }
}

fn find_signature(parts: &Parts, query: &Query<'_>) -> Result<SignedIn, Error> {
    let has = |is: &dyn Fn(&str) -> bool| query.iter().any(|(name, _)| is(name));
    let presigned = has(&|name| PRESIGNED.iter().any(|it| it.eq_ignore_ascii_case(name)));
    let old = has(&|name| name == "Signature" || name == "AWSAccessKeyId");
    let ways = [
        (parts.headers.contains_key(AUTHORIZATION), SignedIn::Header),
        (presigned, SignedIn::Query),
        (old, SignedIn::OldQuery),
        (is_form(parts), SignedIn::Form),
    ];
    let mut found = ways.into_iter().filter(|it| it.0).map(|it| it.1);
    match (found.next(), found.next()) {
        (None, _) => Ok(SignedIn::Nowhere),
        (Some(one), None) => Ok(one),
        _ => Err(InvalidArgument.because("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified")),
    }
}

fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let kind = kind.trim_start().to_ascii_lowercase();
    parts.method == Method::POST && kind.starts_with("multipart/form-data")
}

/// The only value of a name.
fn one<'a>(query: &'a Query<'_>, name: &str) -> Option<&'a str> {
    let mut found = query.iter().filter(|it| it.0 == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

/// The hash of the body, or the word in its place, that a query tells.
fn hoisted(query: &Query<'_>) -> Result<Option<String>, Error> {
    let told = query.iter();
    let mut told = told.filter(|(name, _)| name.eq_ignore_ascii_case(CONTENT_SHA256));
    match (told.next(), told.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) if value == UNSIGNED || hash::is_hash(value) => {
            Ok(Some(value.to_string()))
        }
        (Some((_, value)), None) if value.starts_with(STREAMING) => Err(not_built(&format!(
            "{CONTENT_SHA256}: {value} of a presigned request"
        ))),
        (Some(_), None) => {
            let why = format!(
                "{CONTENT_SHA256} must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value."
            );
            Err(InvalidArgument.because(why))
        }
        (Some(_), Some(_)) => {
            Err(InvalidRequest.because(format!("{CONTENT_SHA256} is there twice")))
        }
    }
}

/// The names of the headers that an `Authorization` covers.
fn signed_by_header(authorization: &str) -> Result<Vec<&str>, Error> {
    let Some((algorithm, fields)) = authorization.split_once(' ') else {
        return Err(InvalidArgument.because("Unsupported Authorization Type"));
    };
    if algorithm == OLD_ALGORITHM {
        return Err(InvalidRequest.because("The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."));
    }
    if algorithm != ALGORITHM {
        return Err(InvalidArgument.because("Unsupported Authorization Type"));
    }
    let field = |name: &str| {
        let mut fields = fields.split(',').map(str::trim);
        fields.find_map(|it| it.strip_prefix(name)?.strip_prefix('='))
    };
    let malformed = |why: &str| {
        AuthorizationHeaderMalformed
            .because(format!("The authorization header is malformed; {why}"))
    };
    let credential = field("Credential").ok_or_else(|| malformed("the Credential is missing."))?;
    check_scope(credential).map_err(|service| {
        malformed(&format!(
            "incorrect service \"{service}\". This endpoint belongs to \"s3\"."
        ))
    })?;
    let signed =
        field("SignedHeaders").ok_or_else(|| malformed("the SignedHeaders are missing."))?;
    Ok(signed.split(';').collect())
}

/// `<key>/<date>/<region>/s3/aws4_request`; answers what service it names instead.
fn check_scope(credential: &str) -> Result<(), String> {
    match credential.rsplit('/').nth(1) {
        Some("s3") => Ok(()),
        other => Err(other.unwrap_or_default().to_owned()),
    }
}

fn check_presigned(query: &Query<'_>) -> Result<(), Error> {
    let wrong = |why: &str| Err(AuthorizationQueryParametersError.because(why.to_owned()));
    if PRESIGNED.iter().any(|name| one(query, name).is_none()) {
        return wrong(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        );
    }
    let value = |name: &str| one(query, name).unwrap_or_default();
    if value("X-Amz-Algorithm") != ALGORITHM {
        return wrong("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"");
    }
    if let Err(service) = check_scope(value("X-Amz-Credential")) {
        return wrong(&format!(
            "Error parsing the X-Amz-Credential parameter; incorrect service \"{service}\". This endpoint belongs to \"s3\"."
        ));
    }
    match value("X-Amz-Expires").parse::<u32>() {
        Ok(seconds) if seconds <= EXPIRES_SECONDS_MAX => Ok(()),
        Ok(_) => wrong(
            "X-Amz-Expires must be less than a week (in seconds) that is 604800; the given X-Amz-Expires is more",
        ),
        Err(_) => wrong("X-Amz-Expires should be a number"),
    }
}

/// Version 2 leaves much of a query uncovered, and all that comes twice.
fn check_old(method: &Method, query: &Query<'_>) -> Result<(), Error> {
    let known = |name: &str| {
        OLD_PRESIGNED.contains(&name)
            || OLD_SUBRESOURCES.contains(&name)
            || OLD_QUERY_OPEN.contains(&name)
            || is_moved_header(name)
    };
    let covered = |name: &str| known(name) && one(query, name).is_some();
    let odd = query.iter().find(|(name, _)| !covered(name));
    if *method == Method::POST {
        return Err(InvalidRequest.because("The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."));
    }
    match odd {
        Some((name, _)) => Err(wire::codes::AccessDenied.because(format!(
            "There was a query parameter present in the request which was not signed: {name}. Please use AWS4-HMAC-SHA256."
        ))),
        None => Ok(()),
    }
}

/// Version 2 signs S3's own headers, and moves them into the query: a session's token is there. They are
/// headers again for whoever verifies and reads them.
pub fn restore_headers(parts: &mut Parts) -> Result<(), Error> {
    let query = parts.uri.query().unwrap_or_default();
    let pairs = form_urlencoded::parse(query.as_bytes());
    let own: Vec<_> = pairs.filter(|it| is_moved_header(&it.0)).collect();
    for (name, value) in own {
        let wrong = || InvalidArgument.because(format!("{name} is no header"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        let before = parts.headers.insert(header, value.clone());
        if before.is_some_and(|it| it != value) {
            return Err(InvalidRequest.because(format!("{name} is there twice")));
        }
    }
    Ok(())
}

/// What clients move from the head into a presigned query counts as the headers of these names: S3's own,
/// and conditions of a write. They are signed as part of the query.
fn is_in_query(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with(AMZ) || name == IF_MATCH.as_str() || name == IF_NONE_MATCH.as_str()
}

/// Whether a parameter is part of a signature itself.
fn is_of_signature(name: &str) -> bool {
    name.eq_ignore_ascii_case(TOKEN)
        || PRESIGNED.iter().any(|it| it.eq_ignore_ascii_case(name))
        || OLD_PRESIGNED.contains(&name)
}

/// Takes the signature off a head that was verified, and makes headers of what stood in its query.
pub fn take_signature(parts: &mut Parts, signed_in: SignedIn) -> Result<(), Error> {
    parts.headers.remove(AUTHORIZATION);
    let query = parts.uri.query().unwrap_or_default();
    let mut kept: Vec<&str> = Vec::new();
    for pair in query.split('&').filter(|it| !it.is_empty()) {
        let Some((name, value)) = form_urlencoded::parse(pair.as_bytes()).next() else {
            continue;
        };
        if is_of_signature(&name) || (signed_in == SignedIn::OldQuery && is_moved_header(&name)) {
            continue;
        }
        if signed_in != SignedIn::Query || !is_in_query(&name) {
            kept.push(pair);
            continue;
        }
        let wrong = || InvalidArgument.because(format!("{name} is no header"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
        let before = parts.headers.insert(header, value.clone());
        if before.is_some_and(|it| it != value) {
            return Err(InvalidRequest.because(format!("{name} is there twice")));
        }
    }
    parts.uri = with_query(&parts.uri, &kept)?;
    Ok(())
}

/// The path of an address, with what was kept of its query.
pub fn with_query(uri: &Uri, kept: &[&str]) -> Result<Uri, Error> {
    let path = match uri.path() {
        "" => "/",
        path => path,
    };
    let text = match kept.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", kept.join("&")),
    };
    text.parse()
        .map_err(|_| InvalidArgument.because("Couldn't parse the specified URI."))
}

fn is_moved_header(name: &str) -> bool {
    name.starts_with(AMZ) || OLD_QUERY_HEADERS.contains(&name)
}

/// The host, and every header that is S3's own, have to be among what is signed. The hash of the body
/// need not: it is part of what is signed by itself.
fn check_covered(headers: &HeaderMap, signed: &[&str]) -> Result<(), Error> {
    let missing = |name: &&str| !signed.contains(name);
    let mut open: Vec<String> = std::iter::once(HOST.as_str())
        .chain(headers.keys().map(HeaderName::as_str))
        .filter(|name| *name == HOST.as_str() || name.starts_with(AMZ))
        .filter(|name| *name != CONTENT_SHA256)
        .filter(missing)
        .map(str::to_owned)
        .collect();
    open.sort_unstable();
    open.dedup();
    if !open.is_empty() {
        return Err(not_signed(&open));
    }
    if !headers.contains_key(HOST) {
        return Err(InvalidRequest.because("The request has no host"));
    }
    Ok(())
}

/// How a body in chunks is framed. Only what is signed in a header comes so, and only objects and
/// their parts do.
fn framing(parts: &Parts, head: &Head) -> Result<Option<Framing>, Error> {
    let kind = head.content_sha256.as_deref().unwrap_or_default();
    let Some(kind) = kind.strip_prefix(STREAMING) else {
        return Ok(None);
    };
    if head.signed_in != SignedIn::Header || parts.method != Method::PUT {
        return Err(not_built(&format!(
            "{CONTENT_SHA256}: {STREAMING}{kind} of a request that is not a signed upload"
        )));
    }
    let (signed, trails) = match kind {
        "AWS4-HMAC-SHA256-PAYLOAD" => (true, false),
        "AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => (true, true),
        "UNSIGNED-PAYLOAD-TRAILER" => (false, true),
        other => return Err(not_built(&format!("{CONTENT_SHA256}: {STREAMING}{other}"))),
    };
    let text = |name: &str| {
        let value = parts.headers.get(name);
        value.and_then(|it| it.to_str().ok()).unwrap_or_default()
    };
    let length = text("x-amz-decoded-content-length").parse();
    let length: u64 = length.map_err(|_| {
        MissingContentLength.because("You must provide the Content-Length HTTP header.")
    })?;
    let announced = text("x-amz-trailer").split(',').map(str::trim);
    let announced = announced.filter(|it| !it.is_empty());
    let trailers: Vec<String> = announced.map(str::to_ascii_lowercase).collect();
    let known = |name: &String| {
        Algorithm::ALL
            .iter()
            .any(|it| it.header().eq_ignore_ascii_case(name))
    };
    // What nobody compares with anything protects nothing.
    if trails != (trailers.len() == 1) || !trailers.iter().all(known) {
        return Err(InvalidRequest
            .because("The value specified in the x-amz-trailer header is not supported"));
    }
    Ok(Some(Framing {
        signed,
        length,
        trailers,
    }))
}

impl Head {
    /// Whether the body may be another one than whoever signed had in mind.
    pub fn leaves_body_open(&self) -> bool {
        match self.signed_in {
            SignedIn::Header => {
                self.content_sha256.as_deref() == Some(UNSIGNED)
                    || self.framing.as_ref().is_some_and(|it| !it.signed)
            }
            _ => false,
        }
    }
}

impl Head {
    /// The condition keys that say how a request is signed.
    pub fn facts(&self, headers: &HeaderMap, now_ms: i64) -> RequestFacts {
        let kind = match self.signed_in {
            SignedIn::Nowhere => None,
            SignedIn::Header => Some("REST-HEADER"),
            SignedIn::Query | SignedIn::OldQuery => Some("REST-QUERY-STRING"),
            SignedIn::Form => Some("POST"),
        };
        let mut facts = RequestFacts::unsigned(headers);
        facts.keys.push(ConditionKey::new("s3:authType", kind));
        let version = ConditionKey::new("s3:signatureversion", self.version);
        facts.keys.push(version);
        let signed_at = self.signed_at.as_deref().and_then(compact_ms);
        match (self.signed_in, signed_at) {
            (SignedIn::Header | SignedIn::Query, Some(at)) => {
                let age = ConditionKey::new("s3:signatureAge", Some((now_ms - at).max(0)));
                facts.keys.push(age);
            }
            (SignedIn::Nowhere | SignedIn::OldQuery, _) => {
                let absent = ConditionKey::new("s3:signatureAge", None::<i64>);
                facts.keys.push(absent);
            }
            // Nobody looked at it: it is unknown.
            _ => {}
        }
        facts
    }
}

/// `20261130T110000Z` in milliseconds since 1970.
pub fn compact_ms(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| text.get(from..to);
    let iso = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(9, 11)?,
        part(11, 13)?,
        part(13, 15)?
    );
    wire::Timestamp::from_iso8601(&iso).map(|it| (it.0 * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: &str = "KEY/20261130/eu-west-1/s3/aws4_request";

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn authorization(signed: &str) -> String {
        format!("{ALGORITHM} Credential={SCOPE}, SignedHeaders={signed}, Signature=00")
    }

    fn by_header(signed: &str, more: &[(&str, &str)]) -> Result<Head, Error> {
        let authorization = authorization(signed);
        let mut headers = vec![
            ("host", "h"),
            ("x-amz-date", "20261130T110000Z"),
            (CONTENT_SHA256, UNSIGNED),
            ("authorization", &authorization),
        ];
        headers.extend(more);
        look(&parts("PUT", "/b/k", &headers))
    }

    fn by_query(signed: &str, expires: &str, more: &[(&str, &str)]) -> Result<Head, Error> {
        let credential = SCOPE.replace('/', "%2F");
        let uri = format!(
            "/b/k?X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={credential}&X-Amz-Date=20261130T110000Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders={signed}&X-Amz-Signature=00&X-Amz-Security-Token=t%2F"
        );
        let mut headers = vec![("host", "h")];
        headers.extend(more);
        look(&parts("PUT", &uri, &headers))
    }

    fn unsigned(refused: &Error) -> &str {
        match &refused.members[..] {
            [("HeadersNotSigned", wire::Node::Str(names))] => names,
            other => panic!("{other:?}"),
        }
    }

    fn code(found: Result<Head, Error>) -> &'static str {
        found.expect_err("it is to be refused").code
    }

    #[test]
    fn every_header_of_s3_is_signed_and_so_is_the_host() {
        let all = "host;x-amz-content-sha256;x-amz-date";
        assert_eq!(by_header(all, &[]).unwrap().signed_in, SignedIn::Header);
        // The hash of the body is signed anyway; a trace's id is not S3's.
        assert!(by_header("host;x-amz-date", &[("x-amzn-trace-id", "1")]).is_ok());
        for (signed, more, missing) in [
            (all, vec![("x-amz-acl", "public-read")], "x-amz-acl"),
            (all, vec![(TOKEN, "t")], TOKEN),
            (all, vec![("x-amz-meta-a", "1")], "x-amz-meta-a"),
            ("x-amz-date", vec![], "host"),
            ("host", vec![], "x-amz-date"),
            // Names are compared as they are put into what is signed.
            (
                "host;x-amz-date;X-Amz-Acl",
                vec![("x-amz-acl", "a")],
                "x-amz-acl",
            ),
        ] {
            let refused = by_header(signed, &more).unwrap_err();
            assert_eq!(refused.code, "AccessDenied");
            assert_eq!(unsigned(&refused), missing);
        }
        let refused = by_query("host", "60", &[("x-amz-acl", "public-read")]).unwrap_err();
        assert_eq!(unsigned(&refused), "x-amz-acl");
        let signed = by_query("host;x-amz-acl", "60", &[("x-amz-acl", "public-read")]);
        let signed = signed.unwrap();
        assert_eq!(signed.signed_in, SignedIn::Query);
        assert_eq!(signed.token.as_deref(), Some("t/"));
    }

    #[test]
    fn a_presigned_request_is_bounded_in_time_and_whole() {
        assert!(by_query("host", "604800", &[]).is_ok());
        for expires in ["604801", "-1", "1e3", "", "99999999999"] {
            assert_eq!(
                code(by_query("host", expires, &[])),
                "AuthorizationQueryParametersError",
                "{expires}"
            );
        }
        for uri in [
            "/b/k?X-Amz-Signature=00",
            "/b/k?x-amz-signature=00",
            "/b/k?X-Amz%2DCredential=00",
        ] {
            let found = look(&parts("GET", uri, &[("host", "h")]));
            assert_eq!(code(found), "AuthorizationQueryParametersError", "{uri}");
        }
        let all = by_query("host", "60&X-Amz-Expires=61", &[]);
        assert_eq!(code(all), "AuthorizationQueryParametersError");
    }

    #[test]
    fn a_request_is_signed_in_one_way() {
        let authorization = authorization("host");
        let both = [("host", "h"), ("authorization", authorization.as_str())];
        for uri in ["/b/k?X-Amz-Signature=0", "/b/k?Signature=0"] {
            assert_eq!(code(look(&parts("GET", uri, &both))), "InvalidArgument");
        }
        let twice = [
            ("host", "h"),
            ("authorization", authorization.as_str()),
            ("authorization", "AWS a:b"),
        ];
        assert_eq!(code(look(&parts("GET", "/b/k", &twice))), "InvalidRequest");
        let old = [("host", "h"), ("authorization", "AWS key:signature")];
        assert_eq!(code(look(&parts("GET", "/b/k", &old))), "InvalidRequest");
        let other = authorization.replace("/s3/", "/sts/");
        let other = [("host", "h"), ("authorization", other.as_str())];
        let found = look(&parts("GET", "/b/k", &other));
        assert_eq!(code(found), "AuthorizationHeaderMalformed");
    }

    #[test]
    fn an_older_signature_is_for_what_it_covers() {
        let host = [("host", "h")];
        let old = "AWSAccessKeyId=K&Expires=1&Signature=s";
        let uri = format!("/b/k?{old}&versionId=1");
        let found = look(&parts("GET", &uri, &host)).unwrap();
        assert_eq!(found.signed_in, SignedIn::OldQuery);
        let uri = format!("/b/k?{old}&content-type=text/plain&x-amz-acl=private");
        let mut moved = parts(
            "PUT",
            &uri,
            &[("host", "h"), ("content-type", "text/plain")],
        );
        restore_headers(&mut moved).unwrap();
        assert_eq!(moved.headers["x-amz-acl"], "private");
        let mut other = parts("PUT", &uri, &[("host", "h"), ("content-type", "text/html")]);
        assert_eq!(
            restore_headers(&mut other).unwrap_err().code,
            "InvalidRequest"
        );
        let uri = format!("/b?{old}&list-type=2&prefix=a&encoding-type=url");
        assert!(look(&parts("GET", &uri, &host)).is_ok());
        for more in [
            "publicAccessBlock",
            "prefix=a&prefix=b",
            "acl&acl",
            "%6Fdd=a",
        ] {
            let uri = format!("/b/k?{old}&{more}");
            let found = look(&parts("GET", &uri, &host));
            assert_eq!(code(found), "AccessDenied", "{more}");
        }
    }

    #[test]
    fn a_body_in_chunks_says_how_it_is_framed() {
        let put = |kind: &str, more: &[(&str, &str)]| {
            let authorization =
                authorization("host;x-amz-date;x-amz-decoded-content-length;x-amz-trailer");
            let mut headers = vec![
                ("host", "h"),
                ("x-amz-date", "20261130T110000Z"),
                (CONTENT_SHA256, kind),
                ("authorization", authorization.as_str()),
            ];
            headers.extend(more);
            look(&parts("PUT", "/b/k", &headers))
        };
        let length = ("x-amz-decoded-content-length", "5");
        let trailer = ("x-amz-trailer", "x-amz-checksum-crc32");
        let signed = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
        let framing = |found: Result<Head, Error>| found.unwrap().framing.unwrap();
        assert!(framing(put(signed, &[length])).signed);
        let open = put("STREAMING-UNSIGNED-PAYLOAD-TRAILER", &[length, trailer]).unwrap();
        assert!(open.leaves_body_open() && !open.framing.unwrap().signed);
        for (kind, more, expected) in [
            (signed, vec![], "MissingContentLength"),
            (
                signed,
                vec![("x-amz-decoded-content-length", "5x")],
                "MissingContentLength",
            ),
            (signed, vec![length, trailer], "InvalidRequest"),
            (
                "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                vec![length],
                "InvalidRequest",
            ),
            (
                "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                vec![length, ("x-amz-trailer", "x-amz-meta-a")],
                "InvalidRequest",
            ),
            ("STREAMING-ODD", vec![length], "NotImplemented"),
        ] {
            assert_eq!(code(put(kind, &more)), expected, "{kind} {more:?}");
        }
        let nobody = [("host", "h"), (CONTENT_SHA256, signed), length];
        let found = look(&parts("PUT", "/b/k", &nobody));
        assert_eq!(code(found), "NotImplemented");
    }
}
