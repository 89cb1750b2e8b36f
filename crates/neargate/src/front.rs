//! The front door: one address, several kinds of callers.
//!
//! * what is signed for S3, or has one of its hosts, is S3's, whatever its path;
//! * `/v2/…` is the registry's (Docker and OCI clients, basic authentication with an ECR token);
//! * `/v1/repos/…` is CodeCommit's for Git's own clients (basic authentication);
//! * `/_neargate/…` is the command line's;
//! * `/cloudformation-waitcondition/…` takes messages for stacks that wait;
//! * everything else is AWS's: signed, routed by the credential scope.

mod aws;
mod body;
mod bounds;
mod git;
mod inside;
mod own;
mod registry;
mod s3;
mod wait;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloud::{Caller, ClientOrigin, Cloud, InsideOrigin, Origin, OwnerKey};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use wire::Signer;

use self::bounds::{Bounds, Client, Holder};
use crate::config::Config;
use crate::credentials::Credentials;
use crate::daemon::Machine;

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A client that has not sent its request's head by then is not coming.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection's buffers: a request's head with a session token and a policy fits several times.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long a client that there is no room for may take to be told so.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);
/// What it is told. It has asked for nothing yet, so that nobody knows in which protocol to say it.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n";

pub struct Front {
    cloud: Arc<Cloud>,
    owner: OwnerKey,
    registry: Arc<images::Registry>,
    git: Arc<::git::GitStore>,
    given: inside::Given,
    bounds: Bounds,
    s3: ::s3::Door,
    state: String,
    program: PathBuf,
    ask_to_stop: watch::Sender<bool>,
}

impl Front {
    pub fn new(
        config: &Config,
        credentials: Credentials,
        cloud: Arc<Cloud>,
        machine: &Machine,
        ask_to_stop: watch::Sender<bool>,
    ) -> Self {
        let owner = OwnerKey::new(credentials.access_key_id, credentials.secret_access_key);
        Self {
            s3: s3::door(&cloud, &owner),
            cloud,
            owner,
            registry: machine.registry.clone(),
            git: machine.git.clone(),
            given: inside::Given::default(),
            bounds: Bounds::default(),
            state: config.state.display().to_string(),
            program: machine.program.clone(),
            ask_to_stop,
        }
    }

    /// Answers for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        tokio::join!(
            self.clone().accept(listener),
            self.bounds.give_memory_back()
        );
    }

    /// Accepts connections for ever.
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    // In the order in which they came: who was first is served.
                    match self.bounds.connect(Holder::address(from.ip())) {
                        Some(client) => {
                            let peer = Peer {
                                place: Place::Outside(from.ip()),
                                client,
                            };
                            tokio::spawn(self.clone().connection(stream, peer));
                        }
                        None => {
                            tokio::spawn(say_busy(stream));
                        }
                    }
                }
                Err(error) => {
                    // Out of descriptors: waiting is all that helps.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: Peer) {
        let _ = stream.set_nodelay(true);
        let peer = Arc::new(peer);
        let service = service_fn(move |request| {
            let (front, peer) = (self.clone(), peer.clone());
            async move { Ok::<_, Infallible>(front.answer(request, &peer).await) }
        });
        let connection = http_server().serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let visit = Visit {
            origin: Arc::new(peer.origin(request.headers())),
            client: &peer.client,
        };
        let path = request.uri().path();
        if s3::is_for(self, &request) {
            s3::answer(self, request, visit).await
        } else if path == "/v2" || path.starts_with("/v2/") {
            registry::answer(self, request, visit.origin).await
        } else if path.starts_with(git::PATH) {
            git::answer(self, request, visit).await
        } else if path.starts_with("/_neargate/") {
            own::answer(self, request, visit).await
        } else if wait::is_for(path) {
            wait::answer(self, request, visit).await
        } else {
            aws::answer(self, request, visit).await
        }
    }

    /// An access key, and whose it is.
    fn find_key(&self, access_key: &str, session_token: Option<&str>) -> Option<Signer<Caller>> {
        find_key(&self.cloud, &self.owner, access_key, session_token)
    }
}

fn find_key(
    cloud: &Cloud,
    owner: &OwnerKey,
    access_key: &str,
    session_token: Option<&str>,
) -> Option<Signer<Caller>> {
    (owner.find(access_key, session_token))
        .or_else(|| iam::find_key(cloud, access_key, session_token))
}

/// Tells a client that there is no room for it. It may take the end of the connection for that.
async fn say_busy(mut stream: TcpStream) {
    let _ = tokio::time::timeout(BUSY_TIMEOUT, stream.write_all(BUSY)).await;
}

/// Who is at the other end of a connection.
struct Peer {
    place: Place,
    client: Client,
}

/// A request's client, as far as its connection tells.
struct Visit<'a> {
    origin: Arc<Origin>,
    client: &'a Client,
}

enum Place {
    /// A client that found the daemon's address.
    Outside(IpAddr),
    /// A container, at the address inside its namespace.
    Inside(InsideOrigin),
}

impl Peer {
    fn origin(&self, headers: &HeaderMap) -> Origin {
        let user_agent = headers.get(hyper::header::USER_AGENT);
        let (address, inside) = match &self.place {
            Place::Outside(address) => (Some(address.to_canonical()), None),
            Place::Inside(inside) => (None, Some(inside.clone())),
        };
        Origin::Client(ClientOrigin {
            address,
            user_agent: user_agent.and_then(|it| it.to_str().ok().map(str::to_owned)),
            // No door speaks TLS.
            is_secure: false,
            inside,
        })
    }
}

fn http_server() -> http1::Builder {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES);
    server
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    response
}
