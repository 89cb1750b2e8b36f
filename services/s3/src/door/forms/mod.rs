//! Forms that browsers post (User Guide, "Browser-Based Uploads Using POST"): the fields that stand before
//! the file, their signature and policy, and the request that they stand for. The file is taken as it
//! arrives.

mod file;
mod policy;
mod reply;

use std::collections::BTreeMap;

use bytes::Bytes;
use cloud::{Caller, Error};
use futures_util::{StreamExt, stream};
use http::header::{HOST, HeaderName, HeaderValue, REFERER, USER_AGENT};
use http::{HeaderMap, Method, Request};
use ring::hmac;
use s3s::Body;
use s3s::dto::StreamingBlob;

use super::FindKey;
use super::convert::url_encoded;
use super::execute::Sender;
use super::head::{ALGORITHM, OLD_ALGORITHM};
use super::mismatch::signed_text;
use crate::errors::*;
use crate::host::{Address, address};
use policy::Policy;
use reply::Reply;

/// 20 KB of fields (User Guide), and what a browser writes around each of them.
pub const FORM_HEAD_BYTES_MAX: usize = 64 * 1024;

/// All fields by their names in small letters.
type Fields = BTreeMap<String, String>;

/// A form as the request that it stands for.
pub struct Posted {
    pub request: Request<Body>,
    pub sender: Sender,
    /// Of its signature; `boto3` signs forms by version 2 by default. None: nobody signed it.
    pub version: Option<&'static str>,
    pub reply: Reply,
}

/// Reads a form up to its file, and finds whose it is.
pub async fn read(
    request: Request<Body>,
    find_key: &FindKey,
    now_ms: i64,
) -> Result<Posted, Error> {
    let (head, body) = request.into_parts();
    let (bucket, is_in_path) = bucket_of(&head)?;
    let kind = head.headers.get(http::header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let boundary = boundary(kind).ok_or_else(malformed_form)?;
    let (fields, body) = read_fields(&boundary, body).await?;
    if fields.get("key").is_none_or(String::is_empty) {
        return Err(missing("key"));
    }
    let (caller, region, version) = verify(&fields, find_key)?;
    let mut lengths = Vec::new();
    if let Some(policy) = fields.get("policy") {
        let policy = Policy::parse(policy)?;
        policy.check(&fields, &bucket, now_ms)?;
        lengths = policy.lengths();
    }
    let key = &fields["key"];
    let mut posted = Request::new(file::read(body, &boundary, lengths));
    *posted.method_mut() = Method::PUT;
    // Made of the bucket and the key that the policy was held against, and of nothing else.
    let base = match is_in_path {
        true => format!("/{}", url_encoded(&bucket)),
        false => String::new(),
    };
    let uri = format!("{base}/{}", url_encoded(key));
    *posted.uri_mut() = uri.parse().map_err(|_| malformed_form())?;
    *posted.headers_mut() = headers(&head.headers, &fields)?;
    let host = head.headers.get(HOST).and_then(|it| it.to_str().ok());
    let place = format!("http://{}{uri}", host.unwrap_or_default());
    Ok(Posted {
        request: posted,
        sender: Sender {
            caller,
            region,
            trailers: None,
        },
        version,
        reply: Reply::of(&fields, bucket, place),
    })
}

/// The bucket that a form is posted to, and whether the path names it.
fn bucket_of(head: &http::request::Parts) -> Result<(String, bool), Error> {
    let host = head.headers.get(HOST).and_then(|it| it.to_str().ok());
    let path = head.uri.path().trim_matches('/');
    let named = match address(host.unwrap_or_default()) {
        Some(Address::Bucket { bucket, .. }) if path.is_empty() => {
            return Ok((bucket.to_owned(), false));
        }
        Some(Address::Bucket { .. }) => "",
        _ => path,
    };
    let named = percent_encoding::percent_decode_str(named).decode_utf8_lossy();
    if named.is_empty() || named.contains('/') {
        return Err(
            MethodNotAllowed.because("The specified method is not allowed against this resource.")
        );
    }
    Ok((named.into_owned(), true))
}

fn missing(field: &'static str) -> Error {
    bad_argument(
        field,
        "",
        &format!(
            "Bucket POST must contain a field named '{field}'.  If it is specified, please check the order of the fields."
        ),
    )
}

/// What forms are signed with, by version 4 and by version 2. All of it has to be there.
const SIGNING: [(&str, &str); 4] = [
    ("x-amz-algorithm", "X-Amz-Algorithm"),
    ("x-amz-credential", "X-Amz-Credential"),
    ("x-amz-date", "X-Amz-Date"),
    ("x-amz-signature", "X-Amz-Signature"),
];
const OLD_SIGNING: [(&str, &str); 2] = [
    ("awsaccesskeyid", "AWSAccessKeyId"),
    ("signature", "Signature"),
];

fn mismatched(key: &str, policy: &str, signature: &str) -> Error {
    let error = wire::codes::SignatureDoesNotMatch.because("The request signature we calculated does not match the signature you provided. Check your key and signing method.");
    let details = signed_text(key, policy, signature).into_iter();
    details.fold(error, |error, (name, value)| error.about(name, value))
}

type Whose = (Caller, Option<String>, Option<&'static str>);

/// Whose key signed the policy. A form without one, and without a signature, is nobody's.
fn verify(fields: &Fields, find_key: &FindKey) -> Result<Whose, Error> {
    let has = |it: &(&str, &str)| fields.contains_key(it.0);
    let (new, old) = (SIGNING.iter().any(has), OLD_SIGNING.iter().any(has));
    let names: &[(&str, &'static str)] = match (new, old) {
        // What is signed in two ways fits neither.
        (true, true) => {
            let key = fields.get("awsaccesskeyid").map_or("", String::as_str);
            let signature = fields.get("x-amz-signature").map_or("", String::as_str);
            let policy = fields.get("policy").map_or("", String::as_str);
            return Err(mismatched(key, policy, signature));
        }
        (true, false) => &SIGNING,
        (false, true) => &OLD_SIGNING,
        (false, false) if fields.contains_key("policy") => {
            return Err(wire::codes::AccessDenied.because("Access Denied"));
        }
        (false, false) => return Ok((Caller::Anonymous, None, None)),
    };
    if let Some((_, name)) = names.iter().find(|it| !has(it)) {
        return Err(missing(name));
    }
    let policy = fields.get("policy").ok_or_else(|| missing("policy"))?;
    let token = fields.get("x-amz-security-token").map(String::as_str);
    let find = |key: &str| {
        find_key(key, token).ok_or_else(|| {
            wire::codes::InvalidAccessKeyId
                .because("The AWS Access Key Id you provided does not exist in our records.")
                .about("AWSAccessKeyId", key)
        })
    };
    let wrong = |key: &str, signature: &str| mismatched(key, policy, signature);
    if old {
        let (key, signature) = (&fields["awsaccesskeyid"], &fields["signature"]);
        let caller = find(key)?.if_signed(|secret| is_signed_old(secret, policy, signature));
        let caller = caller.ok_or_else(|| wrong(key, signature))?;
        return Ok((caller, None, Some(OLD_ALGORITHM)));
    }
    if fields["x-amz-algorithm"] != ALGORITHM {
        return Err(InvalidArgument.because("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
    }
    let scope: Vec<&str> = fields["x-amz-credential"].split('/').collect();
    let [key, date, region, "s3", "aws4_request"] = scope[..] else {
        return Err(bad_argument(
            "X-Amz-Credential",
            &fields["x-amz-credential"],
            "Error parsing the X-Amz-Credential parameter; it has to be <key>/<date>/<region>/s3/aws4_request.",
        ));
    };
    let signature = &fields["x-amz-signature"];
    let is_right = |secret: &str| {
        fields["x-amz-date"].starts_with(date)
            && wire::is_signed(secret, date, region, "s3", policy, signature)
    };
    let caller = find(key)?.if_signed(is_right);
    let caller = caller.ok_or_else(|| wrong(key, signature))?;
    Ok((caller, Some(region.to_owned()), Some(ALGORITHM)))
}

fn is_signed_old(secret: &str, policy: &str, signature: &str) -> bool {
    use base64::Engine as _;
    let signature = base64::engine::general_purpose::STANDARD.decode(signature);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    signature.is_ok_and(|it| hmac::verify(&key, policy.as_bytes(), &it).is_ok())
}

const COPY_SOURCE: &str = "x-amz-copy-source";

/// Fields that are headers of the request that a form stands for, beside S3's own.
const HEADERS: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];

fn headers(sent: &HeaderMap, fields: &Fields) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for name in [HOST, USER_AGENT, REFERER] {
        if let Some(value) = sent.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    // What is posted is the file, and no copy of something else.
    if let Some(name) = fields.keys().find(|it| it.starts_with(COPY_SOURCE)) {
        return Err(bad_argument(
            COPY_SOURCE,
            &fields[name],
            "A form cannot have a copy source: it uploads its file",
        ));
    }
    let is_signing = |name: &str| {
        name == "x-amz-security-token" || SIGNING.iter().any(|(field, _)| *field == name)
    };
    for (name, value) in fields {
        let name = match name.as_str() {
            "acl" => "x-amz-acl",
            name if HEADERS.contains(&name) => name,
            name if name.starts_with("x-amz-") && !is_signing(name) => name,
            _ => continue,
        };
        let wrong = || InvalidArgument.because(format!("The field {name} is no header"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
        headers.insert(header, value);
    }
    if let Some(tags) = fields.get("tagging") {
        let tags = HeaderValue::from_str(&tags_of(tags)?).map_err(|_| malformed())?;
        headers.insert(HeaderName::from_static("x-amz-tagging"), tags);
    }
    Ok(headers)
}

/// A document in a form, and a query in a head.
fn tags_of(document: &str) -> Result<String, Error> {
    use s3s::xml::{Deserialize, Deserializer};
    let read = s3s::dto::Tagging::deserialize(&mut Deserializer::new(document.as_bytes()));
    let tags = read.map_err(|_| malformed())?.tag_set;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (key, value) in super::convert::pairs(tags) {
        query.append_pair(&key, &value);
    }
    Ok(query.finish())
}

/// Reads the fields, and gives the body back from where the file begins.
async fn read_fields(boundary: &[u8], mut body: Body) -> Result<(Fields, Body), Error> {
    let mut read: Vec<u8> = Vec::new();
    let (fields, length) = loop {
        match parse(&read, boundary)? {
            Some(found) => break found,
            None if read.len() > FORM_HEAD_BYTES_MAX => return Err(too_long()),
            None => {}
        }
        let piece = body.next().await.ok_or_else(malformed_form)?;
        read.extend_from_slice(&piece.map_err(|_| malformed_form())?);
    };
    if length > FORM_HEAD_BYTES_MAX {
        return Err(too_long());
    }
    let rest = Bytes::from(read.split_off(length));
    let all = stream::iter([Ok(rest)]).chain(body.map(|it| it.map_err(std::io::Error::other)));
    Ok((fields, Body::from(StreamingBlob::wrap(all))))
}

fn too_long() -> Error {
    MaxPostPreDataLengthExceeded
        .because("Your POST request fields preceding the upload file were too large.")
}

fn malformed_form() -> Error {
    MalformedPOSTRequest
        .because("The body of your POST request is not well-formed multipart/form-data.")
}

fn boundary(content_type: &str) -> Option<Vec<u8>> {
    let parameters = content_type.split(';').skip(1);
    let mut parameters = parameters.filter_map(|it| it.trim().split_once('='));
    let (_, value) = parameters.find(|it| it.0.eq_ignore_ascii_case("boundary"))?;
    let value = value.trim_matches('"');
    (!value.is_empty()).then(|| value.as_bytes().to_vec())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|it| it == wanted)
}

/// The fields, and how many bytes stand before the file; None while there is not enough.
fn parse(read: &[u8], boundary: &[u8]) -> Result<Option<(Fields, usize)>, Error> {
    let edge = [b"--", boundary].concat();
    let between = [b"\r\n", edge.as_slice()].concat();
    let first = [edge.as_slice(), b"\r\n"].concat();
    let mut at = if read.starts_with(b"\r\n") { 2 } else { 0 };
    if read.len() < at + first.len() {
        return Ok(None);
    }
    if !read[at..].starts_with(&first) {
        return Err(malformed_form());
    }
    at += first.len();
    let mut fields = Fields::new();
    loop {
        let Some(length) = find(&read[at..], b"\r\n\r\n") else {
            return Ok(None);
        };
        let (name, file_name) = names_of(&read[at..at + length])?;
        at += length + 4;
        if name == "file" {
            return Ok(Some((expanded(fields, &file_name), at)));
        }
        let Some(length) = find(&read[at..], &between) else {
            return Ok(None);
        };
        let value = std::str::from_utf8(&read[at..at + length]).map_err(|_| malformed_form())?;
        if fields.insert(name, value.to_owned()).is_some() {
            return Err(InvalidArgument.because("A field of the form is there twice"));
        }
        at += length + between.len();
        match read.get(at..at + 2) {
            None => return Ok(None),
            Some(b"\r\n") => at += 2,
            Some(_) => {
                return Err(
                    InvalidArgument.because("POST requires exactly one file upload per request.")
                );
            }
        }
    }
}

/// The variable that stands for the file's name, in every field but what is signed.
const FILE_NAME: &str = "${filename}";

fn expanded(mut fields: Fields, file_name: &str) -> Fields {
    for (name, value) in &mut fields {
        if name != "policy" && value.contains(FILE_NAME) {
            *value = value.replace(FILE_NAME, file_name);
        }
    }
    fields
}

/// The name that a part's head gives it, in small letters, and its file's, without the folders that some
/// browsers name, too.
fn names_of(head: &[u8]) -> Result<(String, String), Error> {
    let head = std::str::from_utf8(head).map_err(|_| malformed_form())?;
    let mut lines = head.split("\r\n").filter_map(|it| it.split_once(':'));
    let disposition = lines.find(|it| it.0.eq_ignore_ascii_case("content-disposition"));
    let (_, value) = disposition.ok_or_else(malformed_form)?;
    let parameters = parameters(value).ok_or_else(malformed_form)?;
    let one = |name: &str| {
        let mut found = parameters.iter().filter(|it| it.0 == name);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(malformed_form()),
            (first, None) => Ok(first.map(|it| it.1.as_str())),
        }
    };
    let name = one("name")?.filter(|it| !it.is_empty());
    let name = name.ok_or_else(malformed_form)?.to_ascii_lowercase();
    let file_name = one("filename")?.unwrap_or_default();
    let file_name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    Ok((name, file_name.to_owned()))
}

/// `form-data; name="a"; filename="b"`: what is quoted may hold anything.
fn parameters(disposition: &str) -> Option<Vec<(String, String)>> {
    let (kind, mut rest) = disposition.split_once(';').unwrap_or((disposition, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let mut found = Vec::new();
    while !rest.trim().is_empty() {
        let (name, after) = rest.trim_start().split_once('=')?;
        let quoted = after.strip_prefix('"');
        let Some(quoted) = quoted else {
            // Browsers quote all of them; a name that is not quoted is read differently by different
            // readers.
            if name.trim().eq_ignore_ascii_case("name") {
                return None;
            }
            rest = after.split_once(';').map_or("", |it| it.1);
            continue;
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices().peekable();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') if characters.next_if(|it| it.1 == '"').is_some() => value.push('"'),
                (_, it) => value.push(it),
            }
        };
        found.push((name.trim().to_ascii_lowercase(), value));
        rest = quoted[end + 1..].trim_start();
        rest = match rest.strip_prefix(';') {
            Some(rest) => rest,
            None if rest.is_empty() => "",
            None => return None,
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(head: &str, value: &str) -> String {
        format!("--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    }

    #[test]
    fn fields_stand_before_the_file() {
        let file = part("name=\"file\"; filename=\"f\"", "name=\"key\"\r\n");
        let body = part("name=\"Key\"", "a") + &part("name=\"policy\"", "b") + &file;
        let (fields, length) = parse(body.as_bytes(), b"edge").unwrap().unwrap();
        assert_eq!(fields["key"], "a");
        assert_eq!(fields["policy"], "b");
        assert!(body[length..].starts_with("name=\"key\""));
        for cut in 0..length {
            assert!(parse(&body.as_bytes()[..cut], b"edge").unwrap().is_none());
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let end = part("name=\"file\"", "x");
        for body in [
            "--other\r\n".to_owned() + &end,
            part("name=\"key\"", "a") + &part("name=\"KEY\"", "b") + &end,
            part("name=key", "a") + &end,
            part("name=\"key\"; name=\"policy\"", "a") + &end,
            part("name=\"key\"", "a") + "--edge--\r\n",
            "--edge\r\nContent-Type: text/plain\r\n\r\n".to_owned(),
        ] {
            assert!(parse(body.as_bytes(), b"edge").is_err(), "{body}");
        }
    }

    #[test]
    fn the_name_of_the_file_is_a_variable() {
        for (file, key) in [
            ("a b.txt", "up/a b.txt"),
            ("C:\\dir\\x", "up/x"),
            ("a;b", "up/a;b"),
        ] {
            let file = format!("name=\"file\"; filename=\"{file}\"");
            let body = part("name=\"key\"", "up/${filename}") + &part(&file, "x");
            let (fields, _) = parse(body.as_bytes(), b"edge").unwrap().unwrap();
            assert_eq!(fields["key"], key);
        }
    }

    #[test]
    fn boundaries() {
        assert_eq!(boundary("multipart/form-data; boundary=a").unwrap(), b"a");
        let quoted = boundary("multipart/form-data; charset=x; Boundary=\"a b\"");
        assert_eq!(quoted.unwrap(), b"a b");
        assert!(boundary("multipart/form-data").is_none());
    }
}
