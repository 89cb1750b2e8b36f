//! Images out of archives: `docker load` (what `docker save` wrote, and OCI layouts) and
//! `docker import` (a root file system).

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Digest, EngineError, ImageConfig, ImageName, Reference, Result};
use rustix::fs::OFlags;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Lines, Refusal};
use crate::archive::{check, reader, spool, unpack_new};
use crate::disk::blocking;
use crate::docker::Docker;
use crate::events::Event;
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::names::shown;
use crate::routes::Call;
use crate::tree::{Links, Tree, open_directory};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The name of an image in an OCI layout: whole, or a tag alone.
const WHOLE_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// An index may lead to an index, but not without end.
const INDEX_DEPTH_MAX: usize = 3;

/// An archive that was unpacked.
struct Layout {
    root: OwnedFd,
    scratch: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub async fn load(call: Call) -> Answer {
    if call.query.get("platform").is_some() {
        return Err(Refusal::not_built("loading one platform of an image"));
    }
    let scratch = call.docker.scratch();
    let file = spool(&call.body, &call.docker).await?;
    let folder = tempfile::tempdir_in(&scratch)?;
    let path = folder.path().to_owned();
    let (lines, answer) = Lines::new();
    // Whatever is wrong with the archive is told as the answer's last line, as clients expect it.
    tokio::spawn(async move {
        let unpacking = blocking(move || {
            let root = open_directory(&path)?;
            unpack_new(&file, &root)?;
            Ok::<_, EngineError>(Layout { root, scratch })
        });
        let loaded = match unpacking.await {
            Ok(layout) => load_layout(&call.docker, &Arc::new(layout), &lines).await,
            Err(error) => Err(error),
        };
        if let Err(error) = loaded {
            lines.error(error.chain()).await;
        }
        let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
    });
    Ok(answer)
}

async fn load_layout(docker: &Docker, layout: &Arc<Layout>, lines: &Lines) -> Result<()> {
    let saved = layout.document("manifest.json").await?;
    let index = layout.document("index.json").await?;
    let mut loaded = 0;
    if let Some(index) = index {
        // Newer archives hold both, and the index knows the manifests as they were.
        let names = saved.as_ref().map(names_by_config).unwrap_or_default();
        for entry in index["manifests"].as_array().into_iter().flatten() {
            let digest: Digest = entry["digest"].as_str().unwrap_or_default().parse()?;
            let mut below = Vec::new();
            let config = layout.take_manifest(docker, &digest, 0, &mut below).await?;
            let mut named: Vec<String> = names
                .iter()
                .filter(|it| {
                    config
                        .as_deref()
                        .is_some_and(|config| it.0.contains(config))
                })
                .map(|it| it.1.clone())
                .collect();
            if named.is_empty() {
                named.extend(annotated_name(entry));
            }
            tell_loaded(docker, &digest, &below, &named, lines).await?;
            loaded += 1;
        }
    } else if let Some(saved) = saved {
        let images: Vec<SavedImage> = serde_json::from_value(saved)
            .map_err(|error| EngineError::invalid(format!("`manifest.json`: {error}")))?;
        for image in images {
            let digest = layout.take_saved(docker, &image).await?;
            let names = image.repo_tags.unwrap_or_default();
            tell_loaded(docker, &digest, &[], &names, lines).await?;
            loaded += 1;
        }
    }
    match loaded {
        0 => Err(EngineError::invalid(
            "the archive holds no image: neither `index.json` nor `manifest.json` names one (a root file system is imported: `docker import`)",
        )),
        _ => Ok(()),
    }
}

/// Configurations' paths and the names of their images.
fn names_by_config(saved: &Value) -> Vec<(String, String)> {
    let images: Vec<SavedImage> = serde_json::from_value(saved.clone()).unwrap_or_default();
    let pairs = images.into_iter().flat_map(|image| {
        let names = image.repo_tags.unwrap_or_default();
        names
            .into_iter()
            .map(move |name| (image.config.clone(), name))
    });
    pairs.collect()
}

fn annotated_name(entry: &Value) -> Option<String> {
    let annotations = &entry["annotations"];
    if let Some(name) = annotations[WHOLE_NAME].as_str() {
        return Some(name.to_owned());
    }
    let name = annotations[REF_NAME].as_str()?;
    // A tag alone names no repository.
    name.contains([':', '/']).then(|| name.to_owned())
}

async fn tell_loaded(
    docker: &Docker,
    digest: &Digest,
    below: &[Digest],
    names: &[String],
    lines: &Lines,
) -> Result<()> {
    if names.is_empty() {
        for part in below {
            docker.keep_unnamed(part).await?;
        }
        docker.keep_unnamed(digest).await?;
        lines.stream(format!("Loaded image ID: {digest}\n")).await;
    }
    for name in names {
        let name: ImageName = name.parse()?;
        let kept = docker.kept(&name);
        for part in below {
            let reference = Reference::Digest(part.clone());
            let repository = kept.repository.clone();
            let part_name = ImageName {
                repository,
                reference,
            };
            docker.name_digest(part, &part_name).await?;
        }
        docker.name_digest(digest, &kept).await?;
        let name = shown(&name);
        docker
            .events
            .tell(Event::image("load", digest.as_str(), Some(&name)));
        lines.stream(format!("Loaded image: {name}\n")).await;
    }
    Ok(())
}

impl Layout {
    fn open(&self, name: &str) -> Result<Option<File>> {
        let tree = Tree::new(&self.root, Links::Within);
        match tree.open(Path::new(name), OFlags::RDONLY) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(EngineError::invalid(format!(
                "cannot read `{name}`: {error}"
            ))),
        }
    }

    async fn document(self: &Arc<Self>, name: &'static str) -> Result<Option<Value>> {
        let layout = self.clone();
        blocking(move || {
            let Some(file) = layout.open(name)? else {
                return Ok(None);
            };
            let mut bytes = Vec::new();
            file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes)?;
            let value = serde_json::from_slice(&bytes);
            value
                .map(Some)
                .map_err(|error| EngineError::invalid(format!("`{name}`: {error}")))
        })
        .await
    }

    /// Stores a file of the archive as a blob. Returns its beginning, too.
    async fn take(
        self: &Arc<Self>,
        docker: &Docker,
        name: String,
    ) -> Result<(Digest, u64, Vec<u8>)> {
        let layout = self.clone();
        let (copy, start) = blocking(move || {
            let missing = || EngineError::invalid(format!("the archive has no `{name}`"));
            let mut file = layout.open(&name)?.ok_or_else(missing)?;
            let mut copy = tempfile::NamedTempFile::new_in(&layout.scratch)?;
            std::io::copy(&mut file, &mut copy)?;
            let mut start = Vec::new();
            File::open(copy.path())?.take(4).read_to_end(&mut start)?;
            Ok((copy.into_temp_path(), start))
        })
        .await?;
        let (digest, size) = docker.images.put_blob(&copy).await?;
        Ok((digest, size, start))
    }

    /// Stores a manifest of an OCI layout and all below it; what is not in the archive must be here
    /// already. Returns its configuration's digits, and tells which manifests stand below it.
    async fn take_manifest(
        self: &Arc<Self>,
        docker: &Docker,
        digest: &Digest,
        depth: usize,
        below: &mut Vec<Digest>,
    ) -> Result<Option<String>> {
        if depth == INDEX_DEPTH_MAX {
            return Err(EngineError::invalid("indexes are nested too deeply"));
        }
        self.take_blob(docker, digest).await?;
        let path = docker.images.read_blob(digest).await?;
        let value: Value = blocking(move || {
            let mut bytes = Vec::new();
            File::open(path)?
                .take(DOCUMENT_BYTES_MAX)
                .read_to_end(&mut bytes)?;
            serde_json::from_slice(&bytes)
                .map_err(|error| EngineError::invalid(format!("a manifest: {error}")))
        })
        .await?;
        let parse = |value: &Value| {
            value["digest"]
                .as_str()
                .unwrap_or_default()
                .parse::<Digest>()
        };
        if let Some(entries) = value["manifests"].as_array() {
            let mut config = None;
            for entry in entries {
                // Other machines' images are often left out.
                let digest = parse(entry)?;
                if self.has(&digest)? {
                    let taking = self.take_manifest(docker, &digest, depth + 1, below);
                    config = Box::pin(taking).await?;
                    below.push(digest);
                }
            }
            return Ok(config);
        }
        let config = parse(&value["config"])?;
        self.take_blob(docker, &config).await?;
        for layer in value["layers"].as_array().into_iter().flatten() {
            self.take_blob(docker, &parse(layer)?).await?;
        }
        Ok(Some(config.hex().to_owned()))
    }

    fn has(&self, digest: &Digest) -> Result<bool> {
        Ok(self
            .open(&format!("blobs/sha256/{}", digest.hex()))?
            .is_some())
    }

    async fn take_blob(self: &Arc<Self>, docker: &Docker, digest: &Digest) -> Result<()> {
        if docker.images.has_blob(digest).await?.is_some() {
            return Ok(());
        }
        let name = format!("blobs/sha256/{}", digest.hex());
        let (found, ..) = self.take(docker, name).await?;
        match found == *digest {
            true => Ok(()),
            false => Err(EngineError::invalid(format!(
                "the archive's blob `{digest}` has digest `{found}`"
            ))),
        }
    }

    /// An image as older `docker save` wrote it: a configuration and layers, without a manifest.
    async fn take_saved(self: &Arc<Self>, docker: &Docker, image: &SavedImage) -> Result<Digest> {
        let (config, config_size, _) = self.take(docker, image.config.clone()).await?;
        let mut layers = Vec::new();
        for layer in &image.layers {
            let (digest, size, start) = self.take(docker, layer.clone()).await?;
            let compression = match start[..] {
                [0x1f, 0x8b, ..] => "+gzip",
                [0x28, 0xb5, 0x2f, 0xfd] => "+zstd",
                _ => "",
            };
            layers.push(json!({ "mediaType": format!("{OCI_LAYER}{compression}"), "digest": digest, "size": size }));
        }
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": { "mediaType": OCI_CONFIG, "digest": config, "size": config_size },
            "layers": layers,
        });
        docker
            .put_blob_bytes(manifest.to_string().into_bytes())
            .await
    }
}

impl Docker {
    pub(crate) async fn put_blob_bytes(&self, bytes: Vec<u8>) -> Result<Digest> {
        let scratch = self.scratch();
        let file = blocking(move || {
            let mut file = tempfile::NamedTempFile::new_in(scratch)?;
            std::io::Write::write_all(&mut file, &bytes)?;
            Ok(file.into_temp_path())
        })
        .await?;
        Ok(self.images.put_blob(&file).await?.0)
    }

    /// Lets a name stand for a manifest that is among the blobs.
    pub(crate) async fn name_digest(&self, digest: &Digest, name: &ImageName) -> Result<()> {
        let path = self.images.read_blob(digest).await?;
        let bytes = blocking(move || Ok(std::fs::read(path)?)).await?;
        self.images.put_manifest(name, "", &bytes).await?;
        Ok(())
    }

    /// Lets an image that has no name be listed, and stay.
    pub(crate) async fn keep_unnamed(&self, digest: &Digest) -> Result<()> {
        self.name_digest(digest, &crate::names::unnamed(digest))
            .await
    }
}

/// `POST /images/create?fromSrc=-`: the body is a root file system.
pub async fn import(call: Call) -> Answer {
    let query = &call.query;
    let name = match query.get("repo") {
        None => None,
        Some(repository) => {
            let tag = query
                .get("tag")
                .map_or(String::new(), |tag| format!(":{tag}"));
            let text = format!("{repository}{tag}");
            let name = text.parse::<ImageName>();
            Some(name.map_err(|_| Refusal::bad(format!("invalid reference format: `{text}`")))?)
        }
    };
    let mut config = ImageConfig::default();
    for change in query.all("changes").flat_map(str::lines) {
        super::commit::change(&mut config, change)?;
    }
    let message = query.get("message").unwrap_or("COPY / /").to_owned();
    let scratch = call.docker.scratch();
    let file = spool(&call.body, &call.docker).await?;
    let tar = blocking(move || {
        check(&file)?;
        let mut plain = tempfile::NamedTempFile::new_in(scratch)?;
        std::io::copy(&mut reader(file)?, &mut plain)
            .map_err(|error| EngineError::invalid("the archive cannot be read").because(error))?;
        Ok(plain.into_temp_path())
    })
    .await?;
    let docker = &call.docker;
    let layer = docker.images.put_layer(&tar).await?;
    let digest = docker
        .images
        .put_image(&config, &[layer], &[message], None)
        .await?;
    // Unpacked now, so that what cannot be unpacked is refused now.
    docker.images.prepare_digest(&digest).await?;
    match &name {
        Some(name) => {
            docker.name_digest(&digest, &docker.kept(name)).await?;
            docker
                .offer_if_asked(&call.query, &docker.kept(name))
                .await?;
        }
        None => docker.keep_unnamed(&digest).await?,
    }
    docker
        .events
        .tell(Event::image("import", digest.as_str(), None));
    let (lines, answer) = Lines::new();
    lines.status(&digest).await;
    Ok(answer)
}
