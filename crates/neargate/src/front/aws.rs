//! AWS's own clients.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cloud::{Caller, Origin};
use hyper::body::Incoming;
use hyper::{Request, Response};
use wire::{Door, Protocol, Received, Refusal};

use super::{Body, Front, full, read_body};

pub async fn answer(
    front: &Front,
    request: Request<Incoming>,
    origin: Arc<Origin>,
) -> Response<Body> {
    let request_id = request_id();
    let (head, body) = request.into_parts();
    let Some(body) = read_body(body, wire::MAX_BODY_BYTES).await else {
        let error =
            wire::codes::RequestEntityTooLarge.because("the request is too large or ended early");
        return wire::refuse(Protocol::Query { xml_namespace: "" }, &request_id, &error).map(full);
    };
    let received = match receive(front, &head, &body) {
        Ok(received) => received,
        Err(Refusal { protocol, error }) => {
            return wire::refuse(protocol, &request_id, &error).map(full);
        }
    };
    let mut cx = (front.cloud).context(&received.region, received.identity, origin);
    cx.request_id = request_id.clone();
    cx.is_waiter = is_waiter(&head.headers);
    let service = received.service;
    match cx
        .serve(service.signing_name, received.operation, received.input)
        .await
    {
        Ok(output) => {
            wire::answer(received.protocol, received.operation, &request_id, &output).map(full)
        }
        Err(error) => {
            tracing::debug!(service = service.signing_name, operation = received.operation, %error, "refused");
            wire::refuse(received.protocol, &request_id, &error).map(full)
        }
    }
}

/// Whether a client's waiter asks: AWS's clients put the letters of what they use into their name,
/// as `m/B,N,Z`, and `B` stands for waiters (AWS SDKs and Tools Reference Guide, "User agent metrics").
fn is_waiter(headers: &hyper::HeaderMap) -> bool {
    let agent = headers.get(hyper::header::USER_AGENT);
    let agent = agent.and_then(|it| it.to_str().ok()).unwrap_or_default();
    (agent.split_ascii_whitespace())
        .filter_map(|it| it.strip_prefix("m/"))
        .any(|it| it.split(',').any(|letter| letter == "B"))
}

/// Finds out who asks for what, and whether to believe it.
fn receive(
    front: &Front,
    head: &hyper::http::request::Parts,
    body: &[u8],
) -> Result<Received<Caller>, Refusal> {
    let door = Door {
        models: shapes::known::SERVICES,
        find_key: &|key, token| front.find_key(key, token),
        now: now(),
    };
    wire::receive(head, body, &door)
}

/// Signatures are held against the real time, whatever the pace.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |it| it.as_secs_f64())
}

/// A version 4 UUID, as AWS's request ids are.
pub fn request_id() -> String {
    let hex = cloud::random_hex(32);
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}
