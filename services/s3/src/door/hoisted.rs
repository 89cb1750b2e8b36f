//! A presigned request that tells the hash of its body in its query. Clients move the header there when they
//! presign, and sign over that hash; S3 takes no other body then. The library signs `UNSIGNED-PAYLOAD` for
//! every query, so a signature that is right over the hash is made anew for it.

use std::borrow::Cow;

use http::Request;
use s3s::Body;
use wire::Credentials;

use super::head::{UNSIGNED, with_query};
use super::{FindKey, hash};

/// The same request, as the library verifies it. One whose signature is not right over the hash stays as it
/// is, and the library decides.
pub fn for_library(request: Request<Body>, hash: &str, find_key: &FindKey) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    let signature = Credentials::of(&parts).ok().and_then(|credentials| {
        let token = credentials.session_token.as_deref();
        let (secret, _) = find_key(&credentials.access_key, token)?.for_another_verifier();
        wire::resigned(&parts, &credentials, &secret, (hash, UNSIGNED))
    });
    if let Some(signature) = signature {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some(("X-Amz-Signature", _)) => Cow::Owned(format!("X-Amz-Signature={signature}")),
            _ => Cow::Borrowed(pair),
        });
        let pairs: Vec<_> = pairs.collect();
        let pairs: Vec<&str> = pairs.iter().map(AsRef::as_ref).collect();
        if let Ok(uri) = with_query(&parts.uri, &pairs) {
            parts.uri = uri;
        }
    }
    Request::from_parts(parts, hash::compared(body, hash.to_owned()))
}
