//! Signature Version 4, written from AWS's description and not from neargate's code: headers of a
//! request without a query string.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::{digest, hmac};

#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// What a signature covers.
pub struct Signed<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub host: &'a str,
    pub service: &'a str,
    pub region: &'a str,
    /// Further headers, which are signed too; names in small letters.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// The headers that make the request a signed one.
pub fn sign(key: &Key, request: &Signed) -> Vec<(String, String)> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is after 1970")
        .as_secs_f64()
        .floor();
    let iso = wire::Timestamp(now).to_string();
    let time: String = iso.chars().filter(|c| !"-:".contains(*c)).collect();
    let date = &time[..8];
    let body_hash = hash(request.body);
    let mut headers = vec![("host", request.host), ("x-amz-date", &time)];
    headers.extend_from_slice(request.headers);
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"));
    let lines: String = lines.collect();
    let canonical = format!(
        "{}\n{}\n\n{lines}\n{names}\n{body_hash}",
        request.method, request.path
    );
    let scope = format!("{date}/{}/{}/aws4_request", request.region, request.service);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hash(canonical.as_bytes())
    );
    let first = format!("AWS4{}", key.secret).into_bytes();
    let derived = [date, request.region, request.service, "aws4_request"]
        .iter()
        .fold(first, |key, part| keyed(&key, part));
    let signature = hex(&keyed(&derived, &to_sign));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        key.id
    );
    headers.push(("authorization", &authorization));
    let owned = headers.into_iter();
    owned
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
