//! Signature Version 4 for one form of request: POST, JSON, no query
//! (AWS IAM User Guide, "Create a signed AWS API request").

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use ring::{digest, hmac};

use crate::credentials::Credentials;

/// The service in the credential scope of the daemon's own requests.
pub const SERVICE: &str = "neargate";

pub fn signed_request(
    credentials: &Credentials,
    region: &str,
    address: SocketAddr,
    path: &str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>> {
    let time = amz_date(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let date = &time[..8];
    let body_hash = hex(digest::digest(&digest::SHA256, &body).as_ref());
    let host = address.to_string();
    let canonical = format!(
        "POST\n{path}\n\nhost:{host}\nx-amz-content-sha256:{body_hash}\nx-amz-date:{time}\n\nhost;x-amz-content-sha256;x-amz-date\n{body_hash}"
    );
    let scope = format!("{date}/{region}/{SERVICE}/aws4_request");
    let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
    let mut key = format!("AWS4{}", credentials.secret_access_key).into_bytes();
    for part in [date, region, SERVICE, "aws4_request"] {
        key = keyed(&key, part);
    }
    let signature = hex(&keyed(&key, &to_sign));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}",
        credentials.access_key_id
    );
    Ok(Request::post(path)
        .header("host", host)
        .header("content-type", "application/json")
        .header("x-amz-date", time)
        .header("x-amz-content-sha256", body_hash)
        .header("authorization", authorization)
        .body(Full::new(body))?)
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
        .as_ref()
        .to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `20261122T182204Z`.
fn amz_date(seconds: u64) -> String {
    let iso = wire::Timestamp(seconds as f64).to_string();
    iso.chars().filter(|c| !matches!(c, '-' | ':')).collect()
}
