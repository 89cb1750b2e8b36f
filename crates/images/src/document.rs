//! Manifests, indexes and configurations as JSON (OCI image-spec v1.1 and docker's schema 2).
//!
//! Only what is acted on is read; the bytes themselves are stored and served untouched.

use std::collections::BTreeMap;

use engine::{Descriptor, Digest, EngineError, HealthCheck, ImageConfig, Layer, Result};
use serde::{Deserialize, Serialize};

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Every manifest media type that is understood.
pub const MANIFEST_TYPES: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];

/// A parsed manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub media_type: String,
    pub content: Content,
    pub subject: Option<Digest>,
    pub artifact_type: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub enum Content {
    Image {
        config: Descriptor,
        layers: Vec<Descriptor>,
    },
    Index(Vec<IndexEntry>),
}

#[derive(Debug, Clone)]
pub struct IndexEntry {
    pub manifest: Descriptor,
    pub platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default)]
    pub variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    platform: Option<Platform>,
}

impl From<RawDescriptor> for Descriptor {
    fn from(raw: RawDescriptor) -> Self {
        Self {
            media_type: raw.media_type,
            digest: raw.digest,
            size_bytes: raw.size,
        }
    }
}

impl Manifest {
    /// Parses a manifest. `declared` is the media type that came with it, if any; the document's
    /// own word must not contradict it.
    pub fn parse(bytes: &[u8], declared: Option<&str>) -> Result<Self> {
        let bad = |why: String| EngineError::invalid(format!("the manifest is not valid: {why}"));
        let raw: RawManifest = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        if raw.schema_version != 2 {
            return Err(bad(format!(
                "schema version {} is not supported",
                raw.schema_version
            )));
        }
        if let (Some(declared), Some(own)) = (declared, &raw.media_type)
            && declared != own
        {
            return Err(bad(format!("it is sent as `{declared}` and says `{own}`")));
        }
        let known_type = declared.map(str::to_owned).or(raw.media_type);
        let (content, implied) = match (raw.config, raw.layers, raw.manifests) {
            (Some(config), Some(layers), None) => {
                let layers = layers.into_iter().map(Descriptor::from).collect();
                let config = config.into();
                (Content::Image { config, layers }, OCI_MANIFEST)
            }
            (None, None, Some(manifests)) => {
                let entries = manifests.into_iter().map(|mut raw| IndexEntry {
                    platform: raw.platform.take(),
                    manifest: raw.into(),
                });
                (Content::Index(entries.collect()), OCI_INDEX)
            }
            _ => return Err(bad("it is neither an image nor an index".to_owned())),
        };
        let media_type = known_type.unwrap_or_else(|| implied.to_owned());
        let is_index = matches!(content, Content::Index(_));
        if is_index != matches!(media_type.as_str(), OCI_INDEX | DOCKER_LIST)
            || !MANIFEST_TYPES.contains(&media_type.as_str())
        {
            return Err(bad(format!("media type `{media_type}` is not supported")));
        }
        Ok(Self {
            media_type,
            content,
            subject: raw.subject.map(|subject| subject.digest),
            artifact_type: raw.artifact_type,
            annotations: raw.annotations.unwrap_or_default(),
        })
    }

    /// Digests of everything below it that its repository must have: configuration and layers, or manifests.
    /// Foreign layers are kept by others, whom the manifest names.
    pub fn own_references(&self) -> Vec<&Descriptor> {
        let mut all = self.references();
        all.retain(|it| !is_foreign(&it.media_type));
        all
    }

    /// Digests of everything below it: configuration and layers, or manifests.
    pub fn references(&self) -> Vec<&Descriptor> {
        match &self.content {
            Content::Image { config, layers } => std::iter::once(config).chain(layers).collect(),
            Content::Index(entries) => entries.iter().map(|entry| &entry.manifest).collect(),
        }
    }

    pub fn size_bytes(&self) -> u64 {
        let sizes = self.references().into_iter().map(|below| below.size_bytes);
        sizes.fold(0, u64::saturating_add)
    }
}

/// Layers that may not be handed on ("nondistributable", and Docker's "foreign").
fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

/// The platform that containers run on here, in the image specification's words.
pub fn host_platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Platform {
        os: "linux".to_owned(),
        architecture: architecture.to_owned(),
        variant: None,
    }
}

/// The manifest for this machine.
pub fn choose<'a>(entries: &'a [IndexEntry], host: &Platform) -> Option<&'a Descriptor> {
    let fits = |entry: &&IndexEntry| {
        entry.platform.as_ref().is_some_and(|platform| {
            platform.os == host.os && platform.architecture == host.architecture
        })
    };
    entries.iter().find(fits).map(|entry| &entry.manifest)
}

/// A whole configuration file. Members that are absent and members that are `null` mean the same.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    pub architecture: String,
    pub os: String,
    config: Option<RunConfig>,
    pub rootfs: RootFs,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    pub diff_ids: Vec<Digest>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    pub created_by: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

type Empty = BTreeMap<String, serde_json::Value>;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RunConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_ports: Option<BTreeMap<String, Empty>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<BTreeMap<String, Empty>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<RunHealthCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_build: Option<Vec<String>>,
}

/// Times are nanoseconds; zero means the default.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RunHealthCheck {
    test: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_zero")]
    interval: u64,
    #[serde(skip_serializing_if = "is_zero")]
    timeout: u64,
    #[serde(skip_serializing_if = "is_zero")]
    start_period: u64,
    #[serde(skip_serializing_if = "is_zero")]
    start_interval: u64,
    #[serde(skip_serializing_if = "is_zero")]
    retries: u32,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

const NANOSECONDS_PER_MS: u64 = 1_000_000;

impl ConfigFile {
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| {
            EngineError::invalid(format!("the image's configuration is not valid: {e}"))
        })
    }

    pub fn image_config(self) -> ImageConfig {
        let run = self.config.unwrap_or_default();
        let keys = |map: Option<BTreeMap<String, Empty>>| {
            map.unwrap_or_default().into_keys().collect::<Vec<_>>()
        };
        ImageConfig {
            entrypoint: run.entrypoint.unwrap_or_default(),
            cmd: run.cmd.unwrap_or_default(),
            env: run.env.unwrap_or_default(),
            working_dir: run.working_dir.unwrap_or_default(),
            user: run.user.unwrap_or_default(),
            exposed_ports: keys(run.exposed_ports),
            volumes: keys(run.volumes),
            labels: run.labels.unwrap_or_default(),
            stop_signal: run.stop_signal.filter(|signal| !signal.is_empty()),
            healthcheck: run.healthcheck.and_then(|check| {
                Some(HealthCheck {
                    command: check.test.filter(|test| !test.is_empty())?,
                    interval_ms: check.interval / NANOSECONDS_PER_MS,
                    timeout_ms: check.timeout / NANOSECONDS_PER_MS,
                    start_period_ms: check.start_period / NANOSECONDS_PER_MS,
                    start_interval_ms: check.start_interval / NANOSECONDS_PER_MS,
                    retries: check.retries,
                })
            }),
            shell: run.shell.unwrap_or_default(),
            on_build: run.on_build.unwrap_or_default(),
            author: self.author.filter(|author| !author.is_empty()),
        }
    }

    /// The configuration of an image built here. It holds no time, so that the same build gives the
    /// same image.
    pub fn built(config: &ImageConfig, layers: &[Layer], history: &[String]) -> Self {
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let keys = |list: &[String]| {
            let entries = list.iter().map(|key| (key.clone(), Empty::new()));
            (!list.is_empty()).then(|| entries.collect())
        };
        let platform = host_platform();
        Self {
            created: Some(EPOCH.to_owned()),
            author: config.author.clone(),
            architecture: platform.architecture,
            os: platform.os,
            config: Some(RunConfig {
                user: text(&config.user),
                exposed_ports: keys(&config.exposed_ports),
                env: some(&config.env),
                entrypoint: some(&config.entrypoint),
                cmd: some(&config.cmd),
                volumes: keys(&config.volumes),
                working_dir: text(&config.working_dir),
                labels: (!config.labels.is_empty()).then(|| config.labels.clone()),
                stop_signal: config.stop_signal.clone(),
                healthcheck: config.healthcheck.as_ref().map(|check| RunHealthCheck {
                    test: some(&check.command),
                    interval: check.interval_ms.saturating_mul(NANOSECONDS_PER_MS),
                    timeout: check.timeout_ms.saturating_mul(NANOSECONDS_PER_MS),
                    start_period: check.start_period_ms.saturating_mul(NANOSECONDS_PER_MS),
                    start_interval: check.start_interval_ms.saturating_mul(NANOSECONDS_PER_MS),
                    retries: check.retries,
                }),
                shell: some(&config.shell),
                on_build: some(&config.on_build),
            }),
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: layers.iter().map(|layer| layer.diff_id.clone()).collect(),
            },
            history: history_of(layers.len(), history),
        }
    }
}

const EPOCH: &str = "1970-01-01T00:00:00Z";

/// The specification wants as many non-empty history entries as there are layers. Which lines made
/// a layer follows from the instruction; where that does not add up (a base image's layers come
/// without their history), the layers are counted first and the lines follow as empty steps.
fn history_of(layers: usize, lines: &[String]) -> Vec<History> {
    let entry = |line: &str, empty_layer| History {
        created: Some(EPOCH.to_owned()),
        created_by: line.to_owned(),
        empty_layer,
    };
    let makes_layer = |line: &str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        ["RUN", "COPY", "ADD"]
            .iter()
            .any(|name| word.eq_ignore_ascii_case(name))
    };
    let makers = lines.iter().filter(|line| makes_layer(line)).count();
    if makers == layers {
        return lines.iter().map(|l| entry(l, !makes_layer(l))).collect();
    }
    if lines.len() == layers {
        return lines.iter().map(|l| entry(l, false)).collect();
    }
    if makers < layers {
        let base = (makers..layers).map(|_| entry("", false));
        let own = lines.iter().map(|l| entry(l, !makes_layer(l)));
        return base.chain(own).collect();
    }
    let counted = (0..layers).map(|_| entry("", false));
    counted
        .chain(lines.iter().map(|l| entry(l, true)))
        .collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenManifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: WrittenDescriptor<'a>,
    layers: Vec<WrittenDescriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenDescriptor<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
}

/// The manifest of an image built here.
pub fn write_manifest(config: &Descriptor, layers: &[Layer]) -> Vec<u8> {
    fn written(descriptor: &Descriptor) -> WrittenDescriptor<'_> {
        WrittenDescriptor {
            media_type: &descriptor.media_type,
            digest: &descriptor.digest,
            size: descriptor.size_bytes,
        }
    }
    let manifest = WrittenManifest {
        schema_version: 2,
        media_type: OCI_MANIFEST,
        config: written(config),
        layers: layers.iter().map(|layer| written(&layer.blob)).collect(),
    };
    serde_json::to_vec(&manifest).expect("plain text and numbers are JSON")
}
