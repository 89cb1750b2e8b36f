//! Signature version 4: who signed the request, and is it true?
//!
//! A request says who signs it in its `Authorization` header or, presigned, in its query string
//! ([`Credentials`]). Both sides hash the same canonical form of the request ([`canonical`]) with a
//! key derived from the secret, so a request that was changed on its way does not fit its
//! signature. What is signed must be all that counts: the host, every `x-amz-*` header, and the
//! body's hash.

mod canonical;
mod credentials;
mod signer;

use http::request::Parts;
use ring::{digest, hmac};

use crate::time::from_iso;
pub use credentials::Credentials;
use credentials::Place;
pub use signer::Signer;

/// How far a request's time may be from ours, as AWS has it.
const MAX_SKEW_SECONDS: f64 = 15.0 * 60.0;
/// The longest life of a presigned request, as AWS has it.
const MAX_PRESIGNED_SECONDS: f64 = 7.0 * 24.0 * 3600.0;

/// Why a request is not believed. Each protocol has its own words for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    #[error("the request is not signed")]
    Unsigned,
    #[error("{0}")]
    Incomplete(String),
    #[error("the access key is not known")]
    UnknownKey,
    #[error("the signature does not fit")]
    WrongSignature,
    #[error("{0}")]
    Expired(String),
}

/// Finds an access key and session token, if there is such a pair.
pub type FindKey<'a, I> = dyn Fn(&str, Option<&str>) -> Option<Signer<I>> + 'a;

/// What a request's head alone can be refused for, before its body is read: what it signs, its time, and
/// a key that is not known. Nobody is believed by it.
pub fn check_head<I>(
    head: &Parts,
    credentials: &Credentials,
    find_key: &FindKey<'_, I>,
    now: f64,
) -> Result<(), Doubt> {
    check_signed_headers(head, credentials)?;
    let sent_at = sent_at(credentials)?;
    let token = credentials.session_token.as_deref();
    match find_key(&credentials.access_key, token) {
        Some(_) => check_time(credentials, sent_at, now),
        None => Err(Doubt::UnknownKey),
    }
}

/// Who sent this request, at about `now`: whom the key of `credentials` stands for, if the request is
/// signed with its secret. The key is looked up once.
pub fn verify<I>(
    head: &Parts,
    body: &[u8],
    credentials: &Credentials,
    find_key: &FindKey<'_, I>,
    now: f64,
) -> Result<I, Doubt> {
    check_signed_headers(head, credentials)?;
    let sent_at = sent_at(credentials)?;
    let token = credentials.session_token.as_deref();
    let signer = find_key(&credentials.access_key, token).ok_or(Doubt::UnknownKey)?;
    let texts = signed_texts(head, &body_hash(head, body, credentials)?, credentials);
    if !is_signed(
        signer.secret(),
        &credentials.date,
        &credentials.region,
        &credentials.service,
        &texts.to_sign,
        &credentials.signature,
    ) {
        return Err(Doubt::WrongSignature);
    }
    check_time(credentials, sent_at, now)?;
    Ok(signer.believed())
}

/// The texts that a signature is made of, as they follow from a request's head. A refusal may show them
/// to a client whose own differ: nothing of the secret is in them.
pub struct SignedTexts {
    pub canonical: String,
    pub to_sign: String,
}

pub fn signed_texts(head: &Parts, body_hash: &str, credentials: &Credentials) -> SignedTexts {
    let canonical = canonical::request(head, body_hash, credentials);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{}\n{}",
        credentials.time,
        credentials.scope(),
        hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
    );
    SignedTexts { canonical, to_sign }
}

/// Whether `signature` is one of `text` by a secret, for a date (`20261122`), a region and a service.
pub fn is_signed(
    secret: &str,
    date: &str,
    region: &str,
    service: &str,
    text: &str,
    signature: &str,
) -> bool {
    let Some(signature) = unhex(signature) else {
        return false;
    };
    let key = signing_key(secret, date, region, service);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    // In constant time: how long a wrong signature takes says nothing about the right one.
    hmac::verify(&key, text.as_bytes(), &signature).is_ok()
}

/// The signature that a request would have over `other` in the place of its body's hash, where the one that it
/// has is right over `body_hash`: for a verifier that knows no hash but `other`.
pub fn resigned(
    head: &Parts,
    credentials: &Credentials,
    secret: &str,
    (body_hash, other): (&str, &str),
) -> Option<String> {
    let texts = |hash| signed_texts(head, hash, credentials);
    let Credentials {
        date,
        region,
        service,
        signature,
        ..
    } = credentials;
    let is_right = is_signed(
        secret,
        date,
        region,
        service,
        &texts(body_hash).to_sign,
        signature,
    );
    let key = signing_key(secret, date, region, service);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    is_right.then(|| hex(hmac::sign(&key, texts(other).to_sign.as_bytes()).as_ref()))
}

fn sent_at(credentials: &Credentials) -> Result<f64, Doubt> {
    compact_time(&credentials.time)
        .ok_or_else(|| Doubt::Incomplete(format!("the time `{}` cannot be read", credentials.time)))
}

fn check_signed_headers(head: &Parts, credentials: &Credentials) -> Result<(), Doubt> {
    let is_signed = |name: &str| {
        credentials
            .signed_headers
            .iter()
            .any(|signed| signed == name)
    };
    if !is_signed("host") {
        let why = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
        return Err(Doubt::Incomplete(why.into()));
    }
    for name in head
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-"))
    {
        if !is_signed(name.as_str()) {
            return Err(Doubt::Incomplete(format!(
                "There were headers present in the request which were not signed: {name}"
            )));
        }
    }
    Ok(())
}

/// The body's hash as it was signed, once it is known to be the body's.
fn body_hash(head: &Parts, body: &[u8], credentials: &Credentials) -> Result<String, Doubt> {
    let actual = || hex(digest::digest(&digest::SHA256, body).as_ref());
    let stated = head
        .headers
        .get("x-amz-content-sha256")
        .and_then(|value| value.to_str().ok());
    match (stated, &credentials.place) {
        // The header is signed, so the sender itself chose to leave the body out.
        (Some("UNSIGNED-PAYLOAD"), _) => Ok("UNSIGNED-PAYLOAD".into()),
        // S3 signs the chunks of such a body one by one; no other service takes one.
        (Some(stated), _) if stated.starts_with("STREAMING-") && credentials.service == "s3" => {
            Ok(stated.into())
        }
        (Some(stated), _) if stated.eq_ignore_ascii_case(&actual()) => Ok(stated.into()),
        (Some(_), _) => Err(Doubt::WrongSignature),
        (None, Place::Query { .. }) if credentials.service == "s3" => Ok("UNSIGNED-PAYLOAD".into()),
        (None, _) => Ok(actual()),
    }
}

fn check_time(credentials: &Credentials, sent_at: f64, now: f64) -> Result<(), Doubt> {
    let shown = |seconds: f64| crate::time::to_iso(seconds).replace(['-', ':'], "");
    let lifetime = match credentials.place {
        Place::Header => MAX_SKEW_SECONDS,
        Place::Query { expires } => expires.min(MAX_PRESIGNED_SECONDS),
    };
    if sent_at + lifetime < now {
        let (sent, now) = (shown(sent_at), shown(now));
        return Err(Doubt::Expired(format!(
            "Signature expired: {sent} is now earlier than {now} less the time it is good for"
        )));
    }
    if sent_at > now + MAX_SKEW_SECONDS {
        let (sent, now) = (shown(sent_at), shown(now));
        return Err(Doubt::Expired(format!(
            "Signature not yet current: {sent} is still later than {now} (+ 15 min.)"
        )));
    }
    Ok(())
}

fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> Vec<u8> {
    let sign = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
            .as_ref()
            .to_vec()
    };
    let by_date = sign(format!("AWS4{secret}").as_bytes(), date);
    let by_region = sign(&by_date, region);
    let by_service = sign(&by_region, service);
    sign(&by_service, "aws4_request")
}

/// `20261122T123456Z` in seconds since 1970.
fn compact_time(text: &str) -> Option<f64> {
    if text.len() != 16 || !text.is_ascii() {
        return None;
    }
    let (date, time) = text.split_at(8);
    from_iso(&format!(
        "{}-{}-{}{}:{}:{}{}",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..3],
        &time[3..5],
        &time[5..7],
        &time[7..]
    ))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

#[cfg(test)]
mod tests;
