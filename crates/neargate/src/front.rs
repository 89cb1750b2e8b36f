//! The front door: one address, several kinds of callers.
//!
//! * what is signed for S3, or has one of its hosts, is S3's, whatever its path;
//! * `/v2/…` is the registry's (Docker and OCI clients, basic authentication with an ECR token);
//! * `/v1/repos/…` is CodeCommit's for Git's own clients (basic authentication);
//! * `/_neargate/console/…` is the web console's;
//! * `/_neargate/…` is the command line's;
//! * `/cloudformation-waitcondition/…` takes messages for stacks that wait;
//! * `/v1/data-channel/…` are Session Manager's channels: WebSockets, let in by a session's token;
//! * everything else is AWS's: signed, routed by the credential scope.
//!
//! Each request has an id, which its answer and whatever is logged on its way carry.

mod aws;
mod body;
mod bounds;
mod git;
mod inside;
mod messages;
mod metadata;
mod own;
mod registry;
mod request_id;
mod s3;
mod wait;
mod web;

#[cfg(test)]
pub use registry::actions as registry_actions;

pub use own::exec;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloud::{Caller, ClientOrigin, Cloud, InsideOrigin, Origin, OwnerKey};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tracing::Instrument;
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

/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub struct Front {
    cloud: Arc<Cloud>,
    owner: OwnerKey,
    registry: Arc<images::Registry>,
    git: Arc<::git::GitStore>,
    given: inside::Given,
    bounds: Bounds,
    channels: messages::Channels,
    s3: ::s3::Door,
    console: web_console::Console,
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
            console: web_console::Console::new(cloud.clone(), web::Own::new(config, &cloud)),
            cloud,
            owner,
            registry: machine.registry.clone(),
            git: machine.git.clone(),
            given: inside::Given::default(),
            bounds: Bounds::default(),
            channels: messages::Channels::default(),
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
        let mut is_short = false;
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    is_short = false;
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
                    // Out of descriptors, which is said once: a full machine has no room for more.
                    if !std::mem::replace(&mut is_short, true) {
                        tracing::warn!(%error, "cannot accept a connection");
                    }
                    self.bounds.make_room();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: Peer) {
        let _ = stream.set_nodelay(true);
        let peer = Arc::new(peer);
        let its_peer = peer.clone();
        let service = service_fn(move |request| {
            let (front, peer) = (self.clone(), its_peer.clone());
            async move { Ok::<_, Infallible>(front.answer(request, &peer).await) }
        });
        let connection = http_server()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        end_of(connection, &peer.client).await;
    }

    async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let way = self.way(&request);
        let visit = peer.visit(request.headers(), way);
        visit
            .answered(async {
                match way {
                    Way::S3 => s3::answer(self, request, &visit).await,
                    Way::Registry => registry::answer(self, request, &visit).await,
                    Way::Git => git::answer(self, request, &visit).await,
                    Way::Own => own::answer(self, request, &visit).await,
                    Way::Console => web::answer(self, request, &visit).await,
                    Way::Messages => messages::answer(self, request),
                    Way::Wait => wait::answer(self, request, &visit).await,
                    Way::Aws | Way::Inside => aws::answer(self, request, &visit).await,
                }
            })
            .await
    }

    fn way(&self, request: &Request<Incoming>) -> Way {
        let path = request.uri().path();
        if s3::is_for(self, request) {
            Way::S3
        } else if path == "/v2" || path.starts_with("/v2/") {
            Way::Registry
        } else if path.starts_with(git::PATH) {
            Way::Git
        } else if path.starts_with(web_console::PATH) {
            Way::Console
        } else if messages::is_for(path) {
            Way::Messages
        } else if path.starts_with("/_neargate/") {
            Way::Own
        } else if wait::is_for(path) {
            Way::Wait
        } else {
            Way::Aws
        }
    }

    /// An access key, and whose it is.
    fn find_key(&self, access_key: &str, session_token: Option<&str>) -> Option<Signer<Caller>> {
        find_key(&self.cloud, &self.owner, access_key, session_token)
    }
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    S3,
    Registry,
    Git,
    Own,
    Console,
    /// A data channel of Session Manager's.
    Messages,
    Wait,
    Aws,
    /// What a task asks of nobody but its own door.
    Inside,
}

/// Serves a connection to its end, or until it has to make room for another.
async fn end_of<E: std::fmt::Display>(
    connection: impl Future<Output = Result<(), E>>,
    client: &Client,
) {
    tokio::select! {
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        }
        () = client.evicted() => tracing::debug!("a connection made room for another"),
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

/// A request's client, as far as its connection tells, and the request's name.
struct Visit<'a> {
    way: Way,
    origin: Arc<Origin>,
    client: &'a Client,
    request_id: String,
}

impl Visit<'_> {
    /// What is answered to the request. All that is logged on the way carries the request's id; the
    /// request is under way until all of its answer has been sent.
    async fn answered(&self, answering: impl Future<Output = Response<Body>>) -> Response<Body> {
        let turn = self.client.begin();
        let (id, call) = (&self.request_id, tracing::field::Empty);
        let span = tracing::error_span!("request", %id, way = ?self.way, call);
        let answering = async {
            let mut response = answering.await;
            request_id::tell(&mut response, self.way, id);
            response
        };
        let response = answering.instrument(span).await;
        response.map(|body| body::until_sent(body, turn))
    }

    /// Whoever sent the request has shown who they are.
    fn believe(&self) {
        self.client.believe();
    }
}

enum Place {
    /// A client that found the daemon's address.
    Outside(IpAddr),
    /// A container, at the address inside its namespace.
    Inside(InsideOrigin),
}

impl Peer {
    fn visit(&self, headers: &HeaderMap, way: Way) -> Visit<'_> {
        Visit {
            way,
            origin: Arc::new(self.origin(headers)),
            client: &self.client,
            request_id: match way {
                Way::S3 => request_id::for_s3(),
                _ => request_id::for_aws(),
            },
        }
    }

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

/// A body of parts as they come, until their sender is gone.
fn streamed<T: Send + 'static>(
    receiver: mpsc::Receiver<T>,
    bytes: impl Fn(T) -> Bytes + Copy + Send + 'static,
) -> Body {
    let frames = futures_util::stream::unfold(receiver, move |mut receiver| async move {
        let part = receiver.recv().await?;
        Some((Ok::<_, io::Error>(Frame::data(bytes(part))), receiver))
    });
    StreamBody::new(frames).boxed_unsync()
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
