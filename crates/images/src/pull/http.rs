//! A small HTTP client: one connection per request, every wait bounded.

use std::error::Error;

use engine::{EngineError, Result};
use http::{Request, Response, Uri, header};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reach::{Reach, Target};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tls::Tls;
use crate::ingest::describe;
use crate::limits::{CONNECT_TIMEOUT, READ_TIMEOUT};

/// An absolute address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(Uri);

impl Url {
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || EngineError::invalid(format!("`{text}` is not an address to pull from"));
        let uri: Uri = text.parse().map_err(|_| bad())?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http" | "https"), Some(_)) => Ok(Self(uri)),
            _ => Err(bad()),
        }
    }

    /// Where a redirect leads from here.
    pub fn join(&self, location: &str) -> Result<Self> {
        if location.starts_with('/') && !location.starts_with("//") {
            let (secure, host, port) = self.origin();
            let scheme = if secure { "https" } else { "http" };
            return Self::parse(&format!("{scheme}://{host}:{port}{location}"));
        }
        Self::parse(location)
    }

    pub fn with_query(&self, parameters: &[(&str, Option<&str>)]) -> Result<Self> {
        let mut text = self.0.to_string();
        for (key, value) in parameters {
            let Some(value) = value else { continue };
            text.push(if text.contains('?') { '&' } else { '?' });
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            text.push_str(&format!("{key}={value}"));
        }
        Self::parse(&text)
    }

    /// Whether it is encrypted, host and port.
    pub fn origin(&self) -> (bool, String, u16) {
        let secure = self.0.scheme_str() == Some("https");
        let port = if secure { 443 } else { 80 };
        (
            secure,
            self.0.host().unwrap_or_default().to_owned(),
            self.0.port_u16().unwrap_or(port),
        )
    }
}

pub struct Client {
    tls: Tls,
    reach: Reach,
}

impl Client {
    pub fn new(tls: Tls, reach: Reach) -> Self {
        Self { tls, reach }
    }

    /// Sends a GET and returns when the answer's head is there. `whom` is for the error's words.
    pub async fn get(
        &self,
        whom: &str,
        url: &Url,
        accept: &str,
        authorization: Option<&str>,
    ) -> Result<Response<Incoming>> {
        let failed = |why: String| EngineError::unreachable(format!("cannot reach {whom}: {why}"));
        let (secure, host, port) = url.origin();
        // Every address comes through here: the registry's, its token server's, each redirect's.
        let target = Target::new(secure, &host, port)?;
        let addresses = self.reach.addresses(&target).await.map_err(|mut error| {
            error.message = format!("cannot reach {whom}: {}", error.message);
            error
        })?;
        let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(&addresses[..])).await {
            Err(_) => return Err(failed(format!("`{host}:{port}` does not answer"))),
            Ok(Err(error)) => return Err(failed(format!("`{host}:{port}`: {error}"))),
            Ok(Ok(stream)) => stream,
        };
        let request = request(url, accept, authorization);
        let exchange = async {
            if secure {
                let stream = self.tls.connect(&host, stream).await?;
                Ok(talk(stream, request).await?)
            } else {
                Ok::<_, Box<dyn Error + Send + Sync>>(talk(stream, request).await?)
            }
        };
        match timeout(READ_TIMEOUT, exchange).await {
            Err(_) => Err(failed(format!("`{host}:{port}` does not answer"))),
            Ok(Err(error)) => {
                let why = describe(error.as_ref());
                Err(failed(format!("`{host}:{port}`: {why}")))
            }
            Ok(Ok(response)) => Ok(response),
        }
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends by itself when the answer was read or dropped.
    tokio::spawn(connection);
    sender.send_request(request).await
}

fn request(url: &Url, accept: &str, authorization: Option<&str>) -> Request<Empty<Bytes>> {
    let path = url.0.path_and_query().map_or("/", |path| path.as_str());
    let host = url.0.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::get(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, accept)
        .header(header::USER_AGENT, "neargate");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    // A value that came from outside and cannot be a header leaves an empty request, which is
    // refused by the other side.
    request.body(Empty::new()).unwrap_or_default()
}
