//! Pulling from other registries (OCI Distribution v1.1, the client's side). What was pulled is
//! kept under its own name, so that the next time nobody has to be asked.

mod auth;
pub mod download;
mod http;
mod session;
mod tls;

use std::collections::HashSet;
use std::sync::Arc;

use engine::{
    Descriptor, Digest, EngineError, ImageName, Reference, RegistryLogin, Repository, Result,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::document::{Content, Manifest, choose, host_platform};
use crate::ingest::{Received, ingest};
use crate::limits::{BLOB_BYTES_MAX, PULL_PARALLEL_MAX};
use crate::space::SpaceState;
use crate::store::ImageStore;
use reach::Reach;
use session::Session;

/// Whose names what is pulled gets.
#[derive(Clone)]
pub enum Destination {
    /// Everybody's, as the registry calls it.
    Shared,
    /// The same for a task or a build, which keeps nothing: a name that is new may be given up when nobody uses it.
    Task,
    Space(Arc<SpaceState>),
}

/// Pulls that may be one: of a name, by a login (another may be refused where this one is not), to the same
/// destination.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PullKey {
    name: String,
    login: Option<(String, String)>,
    kept: String,
    is_for_task: bool,
}

impl PullKey {
    pub fn new(name: &ImageName, login: Option<&RegistryLogin>, destination: &Destination) -> Self {
        Self {
            name: name.to_string(),
            login: login.map(|it| (it.username.clone(), it.password.clone())),
            kept: destination.kept(&name.repository).to_string(),
            is_for_task: matches!(destination, Destination::Task),
        }
    }
}

impl Destination {
    fn kept(&self, repository: &Repository) -> Repository {
        match self {
            Self::Shared | Self::Task => repository.clone(),
            Self::Space(space) => space.kept(repository),
        }
    }

    fn space(&self) -> Option<&SpaceState> {
        match self {
            Self::Shared | Self::Task => None,
            Self::Space(space) => Some(space),
        }
    }
}

/// Pulls images into a store.
pub struct Puller {
    client: http::Client,
}

/// One pull.
struct Pull<'a> {
    store: &'a ImageStore,
    session: Session<'a>,
    name: &'a ImageName,
    destination: Destination,
    is_anonymous: bool,
    /// Of the repository that is pulled from: whoever may read its manifest may have them.
    known: HashSet<Digest>,
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
        destination: Destination,
    ) -> Result<Digest> {
        let repository = name.repository.clone();
        let pull = Pull {
            store,
            name,
            is_anonymous: login.is_none(),
            session: Session::new(&self.client, &name.repository, login),
            destination,
            known: store
                .blocking(move |inner| inner.blobs_of(&repository))
                .await?,
        };
        pull.run().await
    }
}

impl Pull<'_> {
    async fn run(&self) -> Result<Digest> {
        let (bytes, media_type) = self.session.manifest(&self.name.reference).await?;
        let top = Manifest::parse(&bytes, media_type.as_deref())?;
        if let Content::Index(entries) = &top.content {
            let host = host_platform();
            let chosen = choose(entries, &host).ok_or_else(|| {
                EngineError::not_found(format!(
                    "no matching manifest for {}/{} in the manifest list of `{}`",
                    host.os, host.architecture, self.name
                ))
            })?;
            let reference = Reference::Digest(chosen.digest.clone());
            let (bytes, media_type) = self.session.manifest(&reference).await?;
            let below = Manifest::parse(&bytes, media_type.as_deref())?;
            self.fetch_parts(&below).await?;
            self.keep(reference, below, bytes).await?;
        } else {
            self.fetch_parts(&top).await?;
        }
        self.keep(self.name.reference.clone(), top, bytes).await
    }

    async fn keep(
        &self,
        reference: Reference,
        manifest: Manifest,
        bytes: Vec<u8>,
    ) -> Result<Digest> {
        let destination = self.destination.clone();
        let name = ImageName {
            repository: destination.kept(&self.name.repository),
            reference,
        };
        let work = move |inner: &crate::store::Inner| {
            let _gate = inner.gate.read().unwrap_or_else(|e| e.into_inner());
            let size = bytes.len() as u64;
            if let Some(space) = destination.space() {
                space.check()?;
            }
            let is_new = inner
                .names
                .resolve(&name.repository, &name.reference)
                .is_err();
            let digest = inner.name_manifest(&name, &manifest.media_type, &bytes)?;
            if let (Destination::Task, Reference::Tag(tag), true) =
                (&destination, &name.reference, is_new)
            {
                inner.names.mark_fetched(&name.repository, tag)?;
            }
            if let Some(space) = destination.space() {
                space.hold([(digest.clone(), size)])?;
            }
            Ok(digest)
        };
        self.store.blocking(work).await
    }

    async fn fetch_parts(&self, manifest: &Manifest) -> Result<()> {
        let Content::Image { .. } = &manifest.content else {
            return Err(EngineError::invalid(
                "an index that leads to another index is not supported",
            ));
        };
        let parts: Vec<Descriptor> = manifest.references().into_iter().cloned().collect();
        stream::iter(parts)
            .map(|part| self.fetch_blob(part))
            .buffer_unordered(PULL_PARALLEL_MAX)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    /// Whether a blob that is here need not be fetched. That it is here does not suffice: a registry that
    /// names in a manifest what it does not have would get it for whoever asks it. It is to be public, of
    /// the same repository, or of the same space.
    fn is_had(&self, digest: &Digest) -> bool {
        let held = self.destination.space().is_some_and(|it| it.holds(digest));
        held || self.known.contains(digest) || self.store.inner.blobs.is_public(digest)
    }

    async fn fetch_blob(&self, part: Descriptor) -> Result<()> {
        if part.size_bytes > BLOB_BYTES_MAX {
            return Err(EngineError::invalid(format!(
                "blob `{}` has {} bytes; {BLOB_BYTES_MAX} are supported",
                part.digest, part.size_bytes
            )));
        }
        if let Some(space) = self.destination.space() {
            space.check()?;
            space.has_room(&part.digest, part.size_bytes)?;
        }
        let digest = part.digest.clone();
        let there = self
            .store
            .blocking(move |inner| inner.blobs.size(&digest))
            .await?;
        let held = (part.digest.clone(), part.size_bytes);
        if there != Some(part.size_bytes) || !self.is_had(&part.digest) {
            self.fetch(part).await?;
        }
        match self.destination.space() {
            Some(space) => space.hold([held]),
            None => Ok(()),
        }
    }

    async fn fetch(&self, part: Descriptor) -> Result<()> {
        let body = self.session.blob(&part.digest).await?;
        let writer = self
            .store
            .blocking(move |inner| inner.blobs.writer_up_to(part.size_bytes))
            .await?;
        let inner = self.store.inner.clone();
        let registry = self.session.registry().to_owned();
        let is_public = self.is_anonymous;
        ingest(body, writer, move |writer, outcome| match outcome? {
            Received::Broken(why) => Err(EngineError::unreachable(format!(
                "cannot reach registry `{registry}`: blob `{}` broke off: {why}",
                part.digest
            ))),
            Received::Whole => {
                inner.blobs.keep(writer, Some(&part.digest))?;
                match is_public {
                    true => inner.blobs.set_public(&part.digest),
                    false => Ok(()),
                }
            }
        })
        .await
    }
}
