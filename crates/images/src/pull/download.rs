//! Files of the world, for `ADD https://…`: as pulled images are, only from where [`Reach`] leads.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use async_trait::async_trait;
use engine::{Downloaded, Downloads, EngineError, Result, RoomWatch, RoomyWriter};
use http::{Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use reach::Reach;
use tokio::time::timeout;

use super::http::{Client, Url};
use super::tls::Tls;
use crate::ingest::describe;
use crate::limits::{READ_TIMEOUT, REDIRECTS_MAX};
use crate::store::blocking;

pub struct Downloader {
    client: Client,
}

impl Downloader {
    pub fn new(reach: Reach) -> Self {
        Self {
            client: Client::new(Tls::default(), reach),
        }
    }

    /// The answer at the end of all redirects. One from an encrypted place to one that is not is not
    /// followed.
    async fn get(&self, url: &str) -> Result<Response<Incoming>> {
        let mut place = Url::parse(url)?;
        let (begins_secure, ..) = place.origin();
        for _ in 0..=REDIRECTS_MAX {
            let whom = format!("`{url}`");
            let response = self.client.get(&whom, &place, "*/*", None).await?;
            let status = response.status();
            if status == StatusCode::OK {
                return Ok(response);
            }
            if !status.is_redirection() {
                let message = format!("`{url}` cannot be fetched: the server answered {status}");
                return Err(match status.is_server_error() {
                    true => EngineError::unreachable(message),
                    false => EngineError::not_found(message),
                });
            }
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            place = place.join(location.unwrap_or_default())?;
            if begins_secure && !place.origin().0 {
                return Err(EngineError::invalid(format!(
                    "`{url}` leads to a place that is not encrypted, which is not followed"
                )));
            }
        }
        Err(EngineError::invalid(format!(
            "`{url}` leads on more than {REDIRECTS_MAX} times"
        )))
    }
}

#[async_trait]
impl Downloads for Downloader {
    async fn download(&self, url: &str, into: &Path, bytes_max: u64) -> Result<Downloaded> {
        let response = self.get(url).await?;
        let modified = response.headers().get(header::LAST_MODIFIED);
        let modified =
            modified.and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
        let mut writer = RoomyWriter {
            inner: File::create_new(into)?,
            room: RoomWatch::new(into.parent().unwrap_or(into), "a download of a build"),
        };
        let mut body = response.into_body();
        let broken = |why: &str| EngineError::unreachable(format!("`{url}` broke off: {why}"));
        let mut length = 0_u64;
        loop {
            let frame = match timeout(READ_TIMEOUT, body.frame()).await {
                Err(_) => return Err(broken("nothing was sent for too long")),
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(broken(&describe(&error))),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(bytes) = frame.into_data() else {
                continue;
            };
            length = length.saturating_add(bytes.len() as u64);
            if length > bytes_max {
                return Err(EngineError::invalid(format!(
                    "`{url}` is larger than {bytes_max} bytes"
                )));
            }
            writer = blocking(move || {
                writer.write_all(&bytes)?;
                Ok(writer)
            })
            .await?;
        }
        Ok(Downloaded { modified })
    }
}
