//! The web console's pages: what is let in, and answered, the crate `web-console` says.

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use web_console::{BODY_BYTES_MAX, Content, Reply};

use super::bounds::Sender;
use super::{Body, Front, Visit, body, full, streamed};

pub async fn answer(
    front: &Front,
    request: Request<Incoming>,
    visit: &Visit<'_>,
) -> Response<Body> {
    let (head, sent) = request.into_parts();
    let admitted = match front.console.admit(&head, &visit.origin) {
        Ok(admitted) => admitted,
        Err(reply) => return body::without(sent, response(reply)),
    };
    visit.believe();
    if head.method != Method::POST {
        let reply = front
            .console
            .serve(admitted, &head, &[], visit.origin.clone());
        return response(reply.await);
    }
    let Ok(body) = body::read(sent, BODY_BYTES_MAX, visit.client, Sender::Known).await else {
        let mut response = Response::new(full("that is too long, or did not arrive\n"));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return response;
    };
    let reply = front
        .console
        .serve(admitted, &head, &body, visit.origin.clone());
    response(reply.await)
}

fn response(reply: Reply) -> Response<Body> {
    let mut response = Response::new(match reply.content {
        Content::Whole(bytes) => full(bytes),
        Content::Stream(parts) => streamed(parts, |part| part),
    });
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}
