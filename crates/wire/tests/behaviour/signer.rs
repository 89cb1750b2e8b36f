//! Signs a request as a client does, by its own hand: what the door believes is not made by its code.

use http::Request;
use http::request::Parts;
use ring::{digest, hmac};

pub const KEY: &str = "AKIDTESTS";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub const TIME: &str = "20261122T123456Z";
pub const NOW: f64 = 1_795_350_896.0;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
        .as_ref()
        .to_vec()
}

/// A `POST /` of `body` to a service, with an `X-Amz-Target` that may be empty.
pub fn signed(service: &str, target: &str, body: &[u8]) -> Parts {
    let sha256 = |bytes: &[u8]| hex(digest::digest(&digest::SHA256, bytes).as_ref());
    let names = "host;x-amz-date;x-amz-target";
    let canonical = format!(
        "POST\n/\n\nhost:h\nx-amz-date:{TIME}\nx-amz-target:{target}\n\n{names}\n{}",
        sha256(body)
    );
    let scope = format!("20261122/eu-west-1/{service}/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{TIME}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let parts = ["20261122", "eu-west-1", service, "aws4_request"];
    let key = parts
        .iter()
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| {
            sign(&key, part)
        });
    let signature = hex(&sign(&key, &text));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    let request = Request::builder()
        .method("POST")
        .uri("/")
        .header("host", "h");
    let request = request
        .header("x-amz-date", TIME)
        .header("x-amz-target", target);
    request
        .header("authorization", authorization)
        .body(())
        .unwrap()
        .into_parts()
        .0
}
