//! AWS's own clients.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cloud::Caller;
use hyper::body::Incoming;
use hyper::{Request, Response};
use web_console::Call;
use wire::{Door, Error, Protocol, Refusal, UNBELIEVED_BODY_BYTES_MAX};

use super::body::{self, Trouble};
use super::bounds::Sender;
use super::{Body, Front, Visit, full, request_id};

pub async fn answer(
    front: &Front,
    request: Request<Incoming>,
    visit: &Visit<'_>,
) -> Response<Body> {
    let request_id = visit.request_id.as_str();
    let (head, sent) = request.into_parts();
    let refuse =
        |protocol: Protocol, error: &Error| wire::refuse(protocol, request_id, error).map(full);
    // The head first: nobody makes the daemon read more than a little who has no key.
    let (protocol, limit) = match with_door(front, |door| wire::admit(&head, door)) {
        Ok(admission) => (admission.protocol, admission.body_bytes_max),
        Err(refusal) if !body::is_at_most(&sent, UNBELIEVED_BODY_BYTES_MAX) => {
            return body::without(sent, refuse(refusal.protocol, &refusal.error));
        }
        Err(refusal) => (refusal.protocol, UNBELIEVED_BODY_BYTES_MAX),
    };
    let key = wire::claimed_key(&head).unwrap_or_default();
    let body = match body::read(sent, limit, visit.client, Sender::Says(&key)).await {
        Ok(body) => body,
        Err(trouble) => return refuse(protocol, &unread(trouble)),
    };
    let received = match with_door(front, |door| wire::receive(&head, &body, door)) {
        Ok(received) => received,
        Err(Refusal { protocol, error }) => return refuse(protocol, &error),
    };
    visit.believe();
    // The bytes go, and their room is kept for what was made of them.
    let _room = body.into_reserved();
    let mut cx = (front.cloud).context(&received.region, received.identity, visit.origin.clone());
    cx.request_id = request_id.to_owned();
    cx.is_waiter = is_waiter(&head.headers);
    let service = received.service;
    if let Some(error) = of_another_generation(front, service, received.operation) {
        return refuse(received.protocol, &error);
    }
    let call = format!("{}:{}", service.signing_name, received.operation);
    tracing::Span::current().record("call", call.as_str());
    let begun = Instant::now();
    let answer = cx
        .serve(service.signing_name, received.operation, received.input)
        .await;
    front.console.called(Call {
        number: 0,
        at_ms: front.cloud.clock.now_ms(),
        service: service.signing_name.to_owned(),
        operation: received.operation.to_owned(),
        status: answer.as_ref().map_or_else(|it| it.status, |_| 200),
        refusal: answer.as_ref().err().map(|it| it.code.to_owned()),
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        who: cx.caller.arn(&front.cloud.account),
        client: user_agent(&head.headers).to_owned(),
    });
    match answer {
        Ok(output) => {
            wire::answer(received.protocol, received.operation, request_id, &output).map(full)
        }
        Err(mut error) => {
            tracing::debug!(%error, "refused");
            error.message = request_id::with(error.status, &error.message, request_id);
            wire::refuse(received.protocol, request_id, &error).map(full)
        }
    }
}

/// Generations of a service may share a name and differ in their version, as those of Elastic Load Balancing do:
/// what one of them does is not what the other was asked for.
fn of_another_generation(
    front: &Front,
    asked: &wire::ServiceModel,
    operation: &str,
) -> Option<Error> {
    let mut built = (front.cloud.services())
        .map(cloud::Service::model)
        .filter(|it| it.signing_name == asked.signing_name)
        .peekable();
    built.peek()?;
    let is_built = built.any(|it| it.api_version == asked.api_version);
    (!is_built).then(|| {
        wire::codes::NotImplemented.because(format!(
            "{}:{operation} of version {} is not supported by neargate",
            asked.signing_name, asked.api_version
        ))
    })
}

/// Whether a client's waiter asks: AWS's clients put the letters of what they use into their name,
/// as `m/B,N,Z`, and `B` stands for waiters (AWS SDKs and Tools Reference Guide, "User agent metrics").
fn is_waiter(headers: &hyper::HeaderMap) -> bool {
    (user_agent(headers).split_ascii_whitespace())
        .filter_map(|it| it.strip_prefix("m/"))
        .any(|it| it.split(',').any(|letter| letter == "B"))
}

/// As a client names itself.
fn user_agent(headers: &hyper::HeaderMap) -> &str {
    let agent = headers.get(hyper::header::USER_AGENT);
    agent.and_then(|it| it.to_str().ok()).unwrap_or_default()
}

/// Looks at a request with what the way in has to know.
fn with_door<T>(front: &Front, look: impl FnOnce(&Door<'_, Caller>) -> T) -> T {
    look(&Door {
        models: shapes::known::SERVICES,
        find_key: &|key, token| front.find_key(key, token),
        now: now(),
    })
}

/// Why a body was not read, in AWS's words.
fn unread(trouble: Trouble) -> Error {
    match trouble {
        Trouble::Unfit => {
            wire::codes::RequestEntityTooLarge.because("the request is too large or ended early")
        }
        Trouble::Busy => wire::codes::ServiceUnavailable
            .because("Too much is being sent at the moment. Reduce your request rate."),
    }
}

/// Signatures are held against the real time, whatever the pace.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |it| it.as_secs_f64())
}
