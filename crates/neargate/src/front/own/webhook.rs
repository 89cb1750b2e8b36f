//! Deliveries of a Git host to a pipeline's webhook. They are not signed as AWS's requests are: the
//! webhook's own secret decides.

use codepipeline::Delivery;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::json;

use crate::front::body::{self, Trouble};
use crate::front::bounds::Sender;
use crate::front::{Body, Front, Visit, json};

pub const PATH: &str = "/_neargate/webhooks/";

/// GitHub sends no more in a delivery.
const BODY_BYTES_MAX: usize = 25 * 1024 * 1024;

pub async fn answer(
    front: &Front,
    hook: &str,
    request: Request<Incoming>,
    visit: &Visit<'_>,
) -> Response<Body> {
    // Anybody may call: a body is taken in for those who know an address only.
    if !codepipeline::is_address(&front.cloud, hook) {
        let message = json!({ "message": "there is no such webhook" });
        let answer = json(StatusCode::NOT_FOUND, &message);
        return body::without(request.into_body(), answer);
    }
    let (head, sent) = request.into_parts();
    let body = match body::read(sent, BODY_BYTES_MAX, visit.client, Sender::Says("")).await {
        Ok(body) => body,
        Err(Trouble::Unfit) => {
            let message = json!({ "message": "the delivery is too large" });
            return json(StatusCode::PAYLOAD_TOO_LARGE, &message);
        }
        Err(Trouble::Busy) => {
            let message = json!({ "message": "too much is being delivered: try again" });
            return json(StatusCode::SERVICE_UNAVAILABLE, &message);
        }
    };
    let header = |name: &str| head.headers.get(name).and_then(|it| it.to_str().ok());
    let delivery = Delivery {
        path: hook,
        signature_sha256: header("x-hub-signature-256"),
        signature_sha1: header("x-hub-signature"),
        event: header("x-github-event"),
        body: &body,
    };
    let (status, message) = codepipeline::deliver(&front.cloud, &delivery);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, &json!({ "message": message }))
}
