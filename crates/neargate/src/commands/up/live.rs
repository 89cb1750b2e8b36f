//! The last word: the page itself, fetched as a client outside would.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::Config;

const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches the page from the edge, by the Host that the URL names.
pub async fn fetch(config: &Config, url: &str) -> Result<StatusCode> {
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

async fn get(address: SocketAddr, host: &str) -> Result<StatusCode> {
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
