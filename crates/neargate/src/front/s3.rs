//! S3's clients: what is signed for it, has one of its hosts, or is unsigned and about a bucket.

use std::io;
use std::sync::Arc;

use cloud::{Cloud, OwnerKey};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName};
use hyper::{Method, Request, Response};

use super::bounds::{Busy, Sender};
use super::{Body, Front, Visit, body, find_key, full};

/// What a signature for S3 ends its scope with, also in a query.
const SCOPES: &[&str] = &["/s3/aws4_request", "%2Fs3%2Faws4_request"];
/// S3's word for it (S3 API reference, "List of error codes").
const SLOW_DOWN: cloud::ErrorCode = cloud::ErrorCode::receiver("SlowDown", 503);
/// Older signatures, which no other service takes.
const OLDER: &str = "AWSAccessKeyId=";

pub fn door(cloud: &Arc<Cloud>, owner: &OwnerKey) -> ::s3::Door {
    let (keys, owner) = (cloud.clone(), owner.clone());
    ::s3::Door::new(
        cloud.clone(),
        Arc::new(move |key, token| find_key(&keys, &owner, key, token)),
    )
}

fn is_form(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    request.method() == Method::POST && kind.starts_with("multipart/form-data")
}

pub fn is_for(front: &Front, request: &Request<Incoming>) -> bool {
    let text = |name: HeaderName| {
        let value = request.headers().get(name);
        value.and_then(|it| it.to_str().ok()).unwrap_or_default()
    };
    if ::s3::address(text(HOST)).is_some() {
        return true;
    }
    let authorization = text(AUTHORIZATION);
    if !authorization.is_empty() {
        return authorization.contains(SCOPES[0]) || authorization.starts_with("AWS ");
    }
    let query = request.uri().query().unwrap_or_default();
    if query.contains("X-Amz-Credential=") || query.contains(OLDER) {
        return SCOPES.iter().any(|it| query.contains(it)) || query.contains(OLDER);
    }
    // Nobody signed it. Other services take forms, but none of several parts.
    if request.method() == Method::POST && !is_form(request) {
        return false;
    }
    let bucket = request.uri().path().split('/').nth(1).unwrap_or_default();
    !bucket.is_empty() && front.s3.has_bucket(bucket)
}

pub async fn answer(
    front: &Front,
    request: Request<Incoming>,
    visit: &Visit<'_>,
) -> Response<Body> {
    // The head of a form is held in memory, before it is known who posts it.
    let held = match is_form(&request) {
        true => {
            let told = request.body().size_hint().upper();
            let told = told.and_then(|it| usize::try_from(it).ok());
            let most = ::s3::FORM_HEAD_BYTES_MAX;
            let bytes = told.unwrap_or(most).min(most);
            visit.client.reserve(bytes, Sender::Says("")).await
        }
        false => visit.client.reserve(0, Sender::Known).await,
    };
    let slow_down = || {
        let error = SLOW_DOWN.because("Please reduce your request rate.");
        wire::refuse(wire::Protocol::S3, &visit.request_id, &error).map(full)
    };
    let room = match held {
        Ok(room) => room,
        Err(Busy) => return body::without(request.into_body(), slow_down()),
    };
    let left_off = body::LeftOff::default();
    let request = request.map(|it| ::s3::Body::http_body_unsync(body::Read::new(it, &left_off)));
    let (believe, arrival) = (visit.client.believer(), room.arrival());
    let its_visit = ::s3::Visit {
        origin: visit.origin.clone(),
        request_id: visit.request_id.clone(),
        believe: Arc::new(move || {
            if let Some(arrival) = &arrival {
                arrival.settle();
            }
            believe();
        }),
    };
    let response = tokio::select! {
        response = front.s3.handle(request, its_visit) => response,
        () = room.given_up() => return left_off.tell(slow_down()),
    };
    left_off.tell(response.map(|body| body.map_err(io::Error::other).boxed_unsync()))
}
