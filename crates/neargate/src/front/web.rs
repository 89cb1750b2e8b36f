//! The web console's pages: what is let in, and answered, the crate `web-console` says.

use std::net::SocketAddr;
use std::sync::Arc;

use cloud::Cloud;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use web_console::{BODY_BYTES_MAX, Check, Content, Fetching, Lent, MachineFacts, Reply};

use super::bounds::Sender;
use super::{Body, Front, Visit, body, full, streamed};
use crate::commands::doctor;
use crate::commands::up::live;
use crate::config::Config;

/// What no operation tells.
pub struct Own {
    config: Config,
    cloud: Arc<Cloud>,
}

impl Own {
    pub fn new(config: &Config, cloud: &Arc<Cloud>) -> Self {
        Self {
            config: config.clone(),
            cloud: cloud.clone(),
        }
    }
}

impl Lent for Own {
    fn machine(&self) -> MachineFacts {
        let checks = doctor::findings(&self.config).into_iter();
        MachineFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            state: self.config.state.display().to_string(),
            checks: checks
                .map(|it| Check {
                    what: it.what,
                    level: it.state.to_owned(),
                    message: it.message,
                    fix: it.fix,
                })
                .collect(),
        }
    }

    fn fetch<'a>(&'a self, host: &'a str) -> Fetching<'a> {
        let edge = SocketAddr::new(self.config.edge, 80);
        Box::pin(async move {
            let status = live::get(edge, host).await;
            status
                .map(|it| it.as_u16())
                .map_err(|error| error.to_string())
        })
    }

    fn least_policy(&self, principal: &str) -> Option<String> {
        let calls = iam::calls(&self.cloud, principal).ok()?;
        let policy = iam::policy_for(&calls);
        (!calls.is_empty()).then(|| format!("{policy:#}"))
    }
}

pub async fn answer(
    front: &Front,
    request: Request<Incoming>,
    visit: &Visit<'_>,
) -> Response<Body> {
    let (head, sent) = request.into_parts();
    let admitted = match front.console.admit(&head, &visit.origin) {
        Ok(admitted) => admitted,
        Err(reply) => return body::without(sent, response(*reply)),
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
