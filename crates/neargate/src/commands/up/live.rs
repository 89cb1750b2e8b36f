//! The last word: the page itself, fetched as a client outside would.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::client::Client;
use crate::commands::application;
use crate::config::Config;
use crate::say::Step;

const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// A stack that is complete may still be coming back after `neargate stop`: its containers start
/// and are probed within this time, or something is wrong with them.
const STEADY_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until the service is steady and the page answers without a server's error.
pub async fn wait(
    config: &Config,
    client: &Client,
    name: &str,
    url: &str,
    step: &Step,
) -> Result<StatusCode> {
    let began = Instant::now();
    loop {
        let application = application::find(client, name).await?;
        let (running, desired) = (application.running, application.desired);
        let fetched = fetch(config, url).await;
        match fetched {
            Ok(status) if running == desired => return Ok(status),
            Err(error) if began.elapsed() > STEADY_TIMEOUT => return Err(error),
            Ok(_) if began.elapsed() > STEADY_TIMEOUT => {
                bail!(
                    "{running} of {desired} containers run: `neargate logs {name}` says what they print"
                )
            }
            _ => step.detail(&format!("{running} of {desired} containers run")),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Fetches the page from the edge, by the Host that the URL names.
async fn fetch(config: &Config, url: &str) -> Result<StatusCode> {
    let host = url
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap_or_default();
    let address = SocketAddr::new(config.edge, 80);
    let fetched = tokio::time::timeout(FETCH_TIMEOUT, get(address, host)).await;
    let status = fetched.with_context(|| format!("{url} does not answer"))??;
    if status.is_server_error() {
        bail!("{url} answers {status}: `neargate logs` says what the application printed");
    }
    Ok(status)
}

/// The status of a host's page, asked at an address.
pub async fn get(address: SocketAddr, host: &str) -> Result<StatusCode> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("nothing listens at {address}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/")
        .header("host", host)
        .body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?.status())
}
