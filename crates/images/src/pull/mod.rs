//! Pulling from other registries (OCI Distribution v1.1, the client's side). What was pulled is
//! kept under its own name, so that the next time nobody has to be asked.

mod auth;
mod http;
mod session;
mod tls;

use engine::{Descriptor, Digest, EngineError, ImageName, Reference, RegistryLogin, Result};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::document::{Content, Manifest, choose, host_platform};
use crate::ingest::{Received, ingest};
use crate::limits::{BLOB_BYTES_MAX, PULL_PARALLEL_MAX};
use crate::store::ImageStore;
use reach::Reach;
use session::Session;

/// Pulls images into a store.
pub struct Puller {
    client: http::Client,
}

impl Puller {
    pub fn new(reach: Reach) -> Self {
        Self {
            client: http::Client::new(tls::Tls::default(), reach),
        }
    }

    /// Fetches an image for this machine and names it. Returns the digest that the name stands for.
    pub async fn pull(
        &self,
        store: &ImageStore,
        name: &ImageName,
        login: Option<RegistryLogin>,
    ) -> Result<Digest> {
        let session = Session::new(&self.client, &name.repository, login);
        let (bytes, media_type) = session.manifest(&name.reference).await?;
        let top = Manifest::parse(&bytes, media_type.as_deref())?;
        if let Content::Index(entries) = &top.content {
            let host = host_platform();
            let chosen = choose(entries, &host).ok_or_else(|| {
                EngineError::not_found(format!(
                    "no matching manifest for {}/{} in the manifest list of `{name}`",
                    host.os, host.architecture
                ))
            })?;
            let reference = Reference::Digest(chosen.digest.clone());
            let (bytes, media_type) = session.manifest(&reference).await?;
            let below = Manifest::parse(&bytes, media_type.as_deref())?;
            let below_name = ImageName {
                repository: name.repository.clone(),
                reference,
            };
            fetch_parts(store, &session, &below).await?;
            keep(store, below_name, below, bytes).await?;
        } else {
            fetch_parts(store, &session, &top).await?;
        }
        keep(store, name.clone(), top, bytes).await
    }
}

async fn keep(
    store: &ImageStore,
    name: ImageName,
    manifest: Manifest,
    bytes: Vec<u8>,
) -> Result<Digest> {
    let work = move |inner: &crate::store::Inner| {
        let _gate = inner.gate.read().unwrap_or_else(|e| e.into_inner());
        inner.name_manifest(&name, &manifest.media_type, &bytes)
    };
    store.blocking(work).await
}

async fn fetch_parts(store: &ImageStore, session: &Session<'_>, manifest: &Manifest) -> Result<()> {
    let Content::Image { .. } = &manifest.content else {
        return Err(EngineError::invalid(
            "an index that leads to another index is not supported",
        ));
    };
    let parts: Vec<Descriptor> = manifest.references().into_iter().cloned().collect();
    stream::iter(parts)
        .map(|part| fetch_blob(store, session, part))
        .buffer_unordered(PULL_PARALLEL_MAX)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

async fn fetch_blob(store: &ImageStore, session: &Session<'_>, part: Descriptor) -> Result<()> {
    let digest = part.digest.clone();
    let there = store
        .blocking(move |inner| inner.blobs.size(&digest))
        .await?;
    if there == Some(part.size_bytes) {
        return Ok(());
    }
    if part.size_bytes > BLOB_BYTES_MAX {
        return Err(EngineError::invalid(format!(
            "blob `{}` has {} bytes; {BLOB_BYTES_MAX} are supported",
            part.digest, part.size_bytes
        )));
    }
    let body = session.blob(&part.digest).await?;
    let writer = store
        .blocking(move |inner| inner.blobs.writer_up_to(part.size_bytes))
        .await?;
    let inner = store.inner.clone();
    let registry = session.registry().to_owned();
    ingest(body, writer, move |writer, outcome| match outcome? {
        Received::Broken(why) => Err(EngineError::unreachable(format!(
            "cannot reach registry `{registry}`: blob `{}` broke off: {why}",
            part.digest
        ))),
        Received::Whole => inner.blobs.keep(writer, Some(&part.digest)).map(drop),
    })
    .await
}
