//! The command line's way to the daemon: the same operations as everybody's, asked in one protocol
//! (JSON) whatever the service speaks, signed with the owner's key pair.
//!
//! `POST /_neargate/v1/call/<service>/<operation>` takes an operation's input as JSON and answers its
//! output, or an error's `code` and `message`. Anybody may ask `/_neargate/v1/health` whether a daemon
//! is there; which one it is, it says to its owner.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use wire::Operation;

use crate::config::Config;
use crate::credentials::Credentials;

mod sign;

/// Says to anybody that a daemon is there, and to its owner which.
const HEALTH: &str = "/_neargate/v1/health";
/// A daemon on this machine accepts within this time or is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Health {
    pub version: String,
    pub pid: u32,
    /// The state directory: tells two daemons apart.
    pub state: String,
}

/// An error that the daemon answered.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct CallError {
    pub code: String,
    pub message: String,
}

pub struct Client {
    address: SocketAddr,
    region: String,
    credentials: Credentials,
}

impl Client {
    /// For a daemon that has been started on this state directory at some time.
    pub fn new(config: &Config) -> Result<Self> {
        let credentials = Credentials::read(&config.state)?.ok_or_else(|| {
            anyhow!("no daemon has run with the state directory `{}`: start one with `neargate up DIR` or `neargate serve`", config.state.display())
        })?;
        Ok(Self {
            address: config.listen,
            region: config.region.clone(),
            credentials,
        })
    }

    pub async fn call<I: Operation>(&self, input: I) -> Result<I::Output> {
        let path = format!("/_neargate/v1/call/{}/{}", I::SERVICE, I::NAME);
        let body = self
            .post(&path, &wire::to_json(&input))
            .await?
            .collect()
            .await?
            .to_bytes();
        let answer: serde_json::Value =
            serde_json::from_slice(&body).context("the daemon's answer is not JSON")?;
        wire::from_json(answer)
            .map_err(|error| anyhow!("the daemon's answer does not fit {}: {error}", I::NAME))
    }

    /// Sends JSON and returns the answer's body as it arrives. An error answer is a [`CallError`].
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Incoming> {
        let response = send(self.address, self.request(path, body)?).await?;
        Ok(accepted(response).await?.into_body())
    }

    /// Sends JSON, and returns the connection, which speaks `protocol` from then on.
    pub async fn upgrade(
        &self,
        path: &str,
        body: &serde_json::Value,
        protocol: &'static str,
    ) -> Result<Stream> {
        let mut request = self.request(path, body)?;
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(protocol));
        let response = accepted(send(self.address, request).await?).await?;
        Ok(TokioIo::new(hyper::upgrade::on(response).await?))
    }

    fn request(&self, path: &str, body: &serde_json::Value) -> Result<Request<Full<Bytes>>> {
        let body = Bytes::from(body.to_string());
        sign::signed_request(&self.credentials, &self.region, self.address, path, body)
    }
}

/// A connection that is no longer HTTP's.
pub type Stream = TokioIo<hyper::upgrade::Upgraded>;

/// The answer to a request that was carried out. An error answer is a [`CallError`].
async fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>> {
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if response.status().is_success() || is_upgrade {
        return Ok(response);
    }
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    match serde_json::from_slice::<CallError>(&bytes) {
        Ok(error) => Err(error.into()),
        Err(_) => bail!(
            "the daemon answered {status}: {}",
            String::from_utf8_lossy(&bytes)
        ),
    }
}

/// Who listens where the daemon of a configuration would.
pub enum Presence {
    Nobody,
    /// The daemon of this state directory.
    Own(Health),
    /// A daemon that does not know this state directory's key: another's.
    Foreign,
}

/// Asks whoever listens at the configuration's address who it is.
pub async fn look(config: &Config) -> Result<Presence> {
    if !is_there(config.listen).await {
        return Ok(Presence::Nobody);
    }
    if Credentials::read(&config.state)?.is_none() {
        return Ok(Presence::Foreign);
    }
    let client = Client::new(config)?;
    match client.post(HEALTH, &serde_json::json!({})).await {
        Ok(answer) => {
            let bytes = answer.collect().await?.to_bytes();
            let health = serde_json::from_slice(&bytes);
            Ok(Presence::Own(
                health.context("the daemon's answer is not understood")?,
            ))
        }
        Err(error) => match error.downcast_ref::<CallError>() {
            Some(_) => Ok(Presence::Foreign),
            // It has gone meanwhile.
            None => Ok(Presence::Nobody),
        },
    }
}

/// Whether a daemon answers at `address`.
async fn is_there(address: SocketAddr) -> bool {
    let asked = tokio::time::timeout(CONNECT_TIMEOUT, greeting(address));
    matches!(asked.await, Ok(Some(_)))
}

/// What a daemon says to anybody.
#[derive(Deserialize)]
struct Greeting {
    #[serde(rename = "neargate")]
    _neargate: String,
}

async fn greeting(address: SocketAddr) -> Option<Greeting> {
    let request = Request::get(HEALTH)
        .header("host", address.to_string())
        .body(Full::new(Bytes::new()))
        .ok()?;
    let response = send(address, request).await.ok()?;
    let bytes = response.into_body().collect().await.ok()?.to_bytes();
    serde_json::from_slice(&bytes).ok()
}

async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
    let connect = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let stream = (connect.await.map_err(anyhow::Error::from))
        .and_then(|it| it.map_err(anyhow::Error::from))
        .with_context(|| format!("no daemon answers at {address}: start one with `neargate up DIR` or `neargate serve`"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(request).await?)
}
