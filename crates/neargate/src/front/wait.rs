//! Messages to wait conditions: `PUT` to the URL of a handle, as `cfn-signal` sends them. The URL
//! holds its own credential; nothing is signed.

use cloudformation::wait::{MESSAGE_BYTES_MAX, PATH, receive};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use super::bounds::Sender;
use super::{Body, Front, Visit, body, full, request_id};

pub fn is_for(path: &str) -> bool {
    path.starts_with(PATH)
}

pub async fn answer(
    front: &Front,
    request: Request<Incoming>,
    visit: &Visit<'_>,
) -> Response<Body> {
    let (head, sent) = request.into_parts();
    let refused = |status: StatusCode, why: String| {
        let mut response = Response::new(full(format!("{why}\n")));
        *response.status_mut() = status;
        response
    };
    if head.method != Method::PUT {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "use PUT".into());
    }
    let Ok(body) = body::read(sent, MESSAGE_BYTES_MAX, visit.client, Sender::Says("")).await else {
        let why = format!("a message has at most {MESSAGE_BYTES_MAX} bytes");
        return refused(StatusCode::PAYLOAD_TOO_LARGE, why);
    };
    let query = head.uri.query().unwrap_or_default();
    match receive(&front.cloud, head.uri.path(), query, &body) {
        Ok(()) => Response::new(full("")),
        Err(error) => {
            let status = StatusCode::from_u16(error.status);
            refused(
                status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                request_id::with(error.status, &error.message, &visit.request_id),
            )
        }
    }
}
