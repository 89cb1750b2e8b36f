//! One image's conversation with its registry: requests, answers to challenges, redirects.

use engine::{Digest, EngineError, Reference, RegistryLogin, Repository, Result};
use http::{HeaderMap, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::Mutex;

use super::auth::Challenge;
use super::http::{Client, Url};
use crate::blobs::digest_bytes;
use crate::document::MANIFEST_TYPES;
use crate::ingest::collect;
use crate::limits::{ANSWER_BYTES_MAX, MANIFEST_BYTES_MAX, REDIRECTS_MAX};

pub struct Session<'a> {
    client: &'a Client,
    repository: &'a Repository,
    login: Option<RegistryLogin>,
    /// What the registry accepted last.
    authorization: Mutex<Option<String>>,
}

impl<'a> Session<'a> {
    pub fn new(
        client: &'a Client,
        repository: &'a Repository,
        login: Option<RegistryLogin>,
    ) -> Self {
        Self {
            client,
            repository,
            login,
            authorization: Mutex::new(None),
        }
    }

    pub fn registry(&self) -> &str {
        &self.repository.host
    }

    fn whom(&self) -> String {
        format!("registry `{}`", self.registry())
    }

    /// A manifest's bytes, checked against the digest when that is what was asked for, and the
    /// media type that it was sent with.
    pub async fn manifest(&self, reference: &Reference) -> Result<(Vec<u8>, Option<String>)> {
        let url = self.url(&format!("manifests/{reference}"))?;
        let response = self.get(url, &MANIFEST_TYPES.join(", ")).await?;
        let response = self
            .expect_ok(response, &format!("manifest `{reference}`"))
            .await?;
        let media_type = media_type(response.headers());
        let bytes = collect(response.into_body(), MANIFEST_BYTES_MAX).await?;
        if let Reference::Digest(wanted) = reference {
            let found = digest_bytes(&bytes);
            if found != *wanted {
                return Err(EngineError::invalid(format!(
                    "registry `{}` sent a manifest with digest `{found}` for `{wanted}`",
                    self.registry()
                )));
            }
        }
        Ok((bytes.to_vec(), media_type))
    }

    pub async fn blob(&self, digest: &Digest) -> Result<Incoming> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let response = self.get(url, "*/*").await?;
        let response = self
            .expect_ok(response, &format!("blob `{digest}`"))
            .await?;
        Ok(response.into_body())
    }

    fn url(&self, below: &str) -> Result<Url> {
        let Repository { host, path } = self.repository;
        // The name that people write is not the host that answers.
        let host = if host == "docker.io" {
            "registry-1.docker.io"
        } else {
            host
        };
        let scheme = if is_loopback(host) { "http" } else { "https" };
        Url::parse(&format!("{scheme}://{host}/v2/{path}/{below}"))
    }

    /// A GET that answers one challenge and follows redirects.
    async fn get(&self, mut url: Url, accept: &str) -> Result<Response<Incoming>> {
        let origin = url.origin();
        let mut challenged = false;
        let mut redirects = 0;
        loop {
            // Credentials are for the registry alone, not for where it sends us.
            let authorization = if url.origin() == origin {
                self.authorization.lock().await.clone()
            } else {
                None
            };
            let response = self
                .client
                .get(&self.whom(), &url, accept, authorization.as_deref())
                .await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && !challenged && url.origin() == origin {
                challenged = true;
                self.answer(response.headers()).await?;
            } else if status.is_redirection() && redirects < REDIRECTS_MAX {
                redirects += 1;
                let location = response.headers().get(header::LOCATION);
                let location = location.and_then(|value| value.to_str().ok());
                url = url.join(location.unwrap_or_default())?;
            } else {
                return Ok(response);
            }
        }
    }

    /// Gets what the registry's challenge asks for. Without a way to answer, the request is simply
    /// made again and its refusal reported.
    async fn answer(&self, headers: &HeaderMap) -> Result<()> {
        let challenges = headers.get_all(header::WWW_AUTHENTICATE).into_iter();
        let challenge = challenges
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .next();
        let basic = self.login.as_ref().map(super::auth::basic);
        let authorization = match challenge {
            Some(Challenge::Basic) => basic,
            Some(Challenge::Bearer { realm, service }) => {
                let scope = format!("repository:{}:pull", self.repository.path);
                let url = Url::parse(&realm)?
                    .with_query(&[("service", service.as_deref()), ("scope", Some(&scope))])?;
                let response = self
                    .client
                    .get(&self.whom(), &url, "application/json", basic.as_deref())
                    .await?;
                let response = self.expect_ok(response, "a token").await?;
                let bytes = collect(response.into_body(), ANSWER_BYTES_MAX).await?;
                Some(super::auth::bearer(&bytes)?)
            }
            None => None,
        };
        *self.authorization.lock().await = authorization;
        Ok(())
    }

    /// Turns a refusal into an error that says whose fault it is.
    async fn expect_ok(
        &self,
        response: Response<Incoming>,
        what: &str,
    ) -> Result<Response<Incoming>> {
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let Repository { host, path } = self.repository;
        let body = collect(response.into_body(), ANSWER_BYTES_MAX).await;
        let said = body.map(|body| error_message(&body)).unwrap_or_default();
        Err(match status {
            StatusCode::NOT_FOUND => EngineError::not_found(format!(
                "{what} of `{host}/{path}` not found: the registry answered {status}{said}"
            )),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => EngineError::not_found(format!(
                "pull access denied for `{host}/{path}`: it does not exist or needs a login \
                 (the registry answered {status}{said})"
            )),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                EngineError::unreachable(format!(
                    "registry `{host}` cannot serve {what} of `{path}` now: it answered {status}{said}"
                ))
            }
            status => EngineError::invalid(format!(
                "registry `{host}` refused {what} of `{path}` with {status}{said}"
            )),
        })
    }
}

/// A registry on this machine is spoken to in clear, as other clients do.
fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost"
        || name
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next()?.trim();
    MANIFEST_TYPES
        .contains(&media_type)
        .then(|| media_type.to_owned())
}

/// The first error of the specification's error document, shortened.
fn error_message(body: &[u8]) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = parsed.as_ref().and_then(|value| {
        value
            .pointer("/errors/0/message")
            .or_else(|| value.pointer("/details"))?
            .as_str()
    });
    message.map_or(String::new(), |message| {
        let shown: String = message.chars().take(SHOWN_CHARS_MAX).collect();
        format!(": {shown}")
    })
}
