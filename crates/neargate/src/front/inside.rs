//! What containers are answered at the address inside their namespace: their role's credentials,
//! their metadata, and AWS's API, when their network leads out to where it is on AWS.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use cloud::{Cloud, InsideOrigin};
use engine::METADATA;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::bounds::{Client, Holder};
use super::{Body, Front, Peer, Place, Way, end_of, http_server, request_id, say_busy};
use crate::daemon::Visit;

/// Credentials are renewed when less than this is left of them, as AWS does.
const RENEWED_BEFORE_MS: i64 = 15 * 60 * 1000;

/// Credentials that were given to tasks and builds, and when they end: a container may ask as often as it likes.
#[derive(Default)]
pub struct Given(Mutex<HashMap<String, (Value, i64)>>);

impl Front {
    /// Answers containers for ever.
    pub async fn receive_visits(self: Arc<Self>, mut visits: mpsc::Receiver<Visit>) {
        let mut is_short = false;
        while let Some(visit) = visits.recv().await {
            let (interface, door, stream) = match visit {
                Visit::Of(interface, door, stream) => (interface, door, stream),
                Visit::Missed(error) => {
                    // Said once, as outside.
                    if !std::mem::replace(&mut is_short, true) {
                        tracing::warn!(%error, "cannot accept a container's connection");
                    }
                    self.bounds.make_room_inside();
                    continue;
                }
            };
            is_short = false;
            match self.bounds.connect(Holder::Interface(interface.clone())) {
                Some(client) if door == METADATA => {
                    tokio::spawn(self.clone().visit_metadata(interface, stream, client));
                }
                Some(client) => {
                    tokio::spawn(self.clone().visit(interface, stream, client));
                }
                None => {
                    tokio::spawn(say_busy(stream));
                }
            }
        }
    }

    async fn visit(self: Arc<Self>, interface: String, stream: TcpStream, client: Client) {
        let way = ecs::interface_of_instance(&self.cloud, &interface);
        let vpc = ec2::vpc_of(&self.cloud, way.as_deref().unwrap_or(&interface));
        let peer = Arc::new(Peer {
            place: Place::Inside(InsideOrigin {
                interface: interface.clone(),
                vpc,
            }),
            client,
        });
        let its_peer = peer.clone();
        let service = service_fn(move |request| {
            let (front, interface, peer) = (self.clone(), interface.clone(), its_peer.clone());
            async move { front.answer_inside(&interface, request, &peer).await }
        });
        let connection = http_server()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        end_of(connection, &peer.client).await;
    }

    /// An error ends the connection without an answer, which is what a network without a way out
    /// looks like.
    async fn answer_inside(
        &self,
        interface: &str,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Result<Response<Body>, NoWayOut> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        if request.method() == Method::GET {
            let visit = peer.visit(request.headers(), Way::Inside);
            let id = &visit.request_id;
            match parts[..] {
                ["v2", "credentials", name] => {
                    let answering = self.credentials(interface, name, id);
                    return Ok(visit.answered(answering).await);
                }
                ["v4", name] => {
                    let answering = async { self.metadata(interface, name, "", id) };
                    return Ok(visit.answered(answering).await);
                }
                ["v4", name, rest] => {
                    let answering = async { self.metadata(interface, name, rest, id) };
                    return Ok(visit.answered(answering).await);
                }
                _ => {}
            }
        }
        match self.cloud.engine.network.has_way_out(interface).await {
            Ok(true) if !path.starts_with("/_neargate/") => {
                Ok::<_, Infallible>(self.answer(request, peer).await)
                    .map_err(|never| match never {})
            }
            _ => Err(NoWayOut),
        }
    }

    async fn credentials(&self, interface: &str, id: &str, request_id: &str) -> Response<Body> {
        let key = format!("{interface}/{id}");
        let now_ms = self.cloud.clock.now_ms();
        if let Some(known) = self.given.find(&key, now_ms)
            && self.is_good(&known)
        {
            return super::json(StatusCode::OK, &known);
        }
        match credentials_of(&self.cloud, id, interface).await {
            Ok(Some(credentials)) => {
                self.given.keep(key, credentials.clone(), now_ms);
                super::json(StatusCode::OK, &credentials)
            }
            Ok(None) => not_found("there are no credentials for whoever asks"),
            Err(error) => {
                let status = match error.status {
                    500.. => StatusCode::INTERNAL_SERVER_ERROR,
                    _ => StatusCode::BAD_REQUEST,
                };
                refused(status, &error, request_id)
            }
        }
    }

    /// Of the role of an instance's profile. Those of a role that it had before are not given for this one.
    pub(super) async fn instance_credentials(
        &self,
        interface: &str,
        role: &str,
    ) -> Result<Option<Value>, cloud::Error> {
        let key = format!("{interface}/{role}");
        let now_ms = self.cloud.clock.now_ms();
        if let Some(known) = self.given.find(&key, now_ms)
            && self.is_good(&known)
        {
            return Ok(Some(known));
        }
        let credentials = ec2::instance_credentials(&self.cloud, interface).await?;
        if let Some(credentials) = &credentials {
            self.given.keep(key, credentials.clone(), now_ms);
        }
        Ok(credentials)
    }

    /// Whether credentials that were given still let somebody in: they end with their role.
    fn is_good(&self, credentials: &Value) -> bool {
        let text = |name: &str| credentials[name].as_str();
        let key = text("AccessKeyId").unwrap_or_default();
        self.find_key(key, text("Token")).is_some()
    }

    fn metadata(&self, interface: &str, id: &str, rest: &str, request_id: &str) -> Response<Body> {
        match ecs::metadata(&self.cloud, interface, id, rest) {
            Ok(Some(found)) => super::json(StatusCode::OK, &found),
            Ok(None) => not_found("there is no such metadata"),
            Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error, request_id),
        }
    }
}

/// Asks each service that runs containers in somebody's name whether this is one of its own.
async fn credentials_of(
    cloud: &Arc<Cloud>,
    id: &str,
    interface: &str,
) -> Result<Option<Value>, cloud::Error> {
    let of_task = ecs::credentials(cloud, id, interface).await?;
    match of_task {
        Some(_) => Ok(of_task),
        None => codebuild::credentials(cloud, id, interface).await,
    }
}

fn refused(status: StatusCode, error: &cloud::Error, request_id: &str) -> Response<Body> {
    let message = request_id::with(status.as_u16(), &error.message, request_id);
    super::json(status, &json!({ "code": error.code, "message": message }))
}

fn not_found(message: &str) -> Response<Body> {
    let error = json!({ "code": "NotFound", "message": message });
    super::json(StatusCode::NOT_FOUND, &error)
}

impl Given {
    fn find(&self, key: &str, now_ms: i64) -> Option<Value> {
        let given = self.0.lock().expect("nothing panics while it is held");
        let (credentials, renew_ms) = given.get(key)?;
        (now_ms < *renew_ms).then(|| credentials.clone())
    }

    fn keep(&self, key: String, credentials: Value, now_ms: i64) {
        let text = credentials["Expiration"].as_str().unwrap_or_default();
        let Some(expires) = wire::Timestamp::from_iso8601(text) else {
            return;
        };
        let renew_ms = (expires.0 * 1000.0) as i64 - RENEWED_BEFORE_MS;
        let mut given = self.0.lock().expect("nothing panics while it is held");
        // Tasks that are gone do not ask again.
        given.retain(|_, it| now_ms < it.1);
        given.insert(key, (credentials, renew_ms));
    }
}

/// A container asks for AWS's API, and its network leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("the task's network has no way out")]
struct NoWayOut;
