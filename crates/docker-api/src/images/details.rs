//! What an image's documents say.

use std::collections::BTreeMap;

use engine::{Descriptor, Digest, EngineError, Result};
use serde_json::{Value, json};

use super::no_such;
use crate::answer::{self, Answer};
use crate::disk::blocking;
use crate::docker::Docker;
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::routes::Call;

/// An index may lead to an index, but not without end.
const INDEX_DEPTH_MAX: usize = 3;

pub struct Details {
    /// Of the manifest for this machine.
    pub manifest: Value,
    pub manifest_digest: Digest,
    pub media_type: String,
    pub manifest_bytes: usize,
    /// The configuration file.
    pub config: Value,
    pub layers: Vec<Descriptor>,
}

fn descriptor(value: &Value) -> Option<Descriptor> {
    Some(Descriptor {
        media_type: value["mediaType"].as_str()?.to_owned(),
        digest: value["digest"].as_str()?.parse().ok()?,
        size_bytes: value["size"].as_u64()?,
    })
}

/// Digests of the manifests that an index names; none when it is a manifest itself.
pub fn manifests_below(bytes: &[u8]) -> Vec<Digest> {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return Vec::new();
    };
    let below = value["manifests"].as_array().into_iter().flatten();
    below
        .filter_map(|it| Some(descriptor(it)?.digest))
        .collect()
}

impl Details {
    /// How containers of it are run, as docker words it: `Cmd`, `Env` and so on.
    pub fn run_config(&self) -> Value {
        let mut config = match &self.config["config"] {
            Value::Object(config) => Value::Object(config.clone()),
            _ => json!({}),
        };
        for absent in ["Cmd", "Entrypoint", "Env", "Labels", "Volumes", "OnBuild"] {
            if config.get(absent).is_none() {
                config[absent] = Value::Null;
            }
        }
        for absent in ["WorkingDir", "User", "Image"] {
            if !config[absent].is_string() {
                config[absent] = json!("");
            }
        }
        config
    }

    /// Of the last step that led to it.
    pub fn comment(&self) -> &str {
        let last = self.config["history"].as_array().and_then(|it| it.last());
        last.and_then(|it| it["comment"].as_str())
            .unwrap_or_default()
    }

    /// A member of the configuration file that is a text.
    pub fn text(&self, name: &str) -> &str {
        self.config[name].as_str().unwrap_or_default()
    }

    pub fn labels(&self) -> BTreeMap<String, String> {
        serde_json::from_value(self.config["config"]["Labels"].clone()).unwrap_or_default()
    }
}

impl Docker {
    async fn document(&self, digest: &Digest) -> Result<(Value, usize)> {
        let path = self.images.read_blob(digest).await?;
        let digest = digest.clone();
        blocking(move || {
            let bad =
                |why: String| EngineError::invalid(format!("`{digest}` is no document: {why}"));
            if std::fs::metadata(&path)?.len() > DOCUMENT_BYTES_MAX {
                return Err(bad("it is too large".to_owned()));
            }
            let bytes = std::fs::read(&path)?;
            let value = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
            Ok((value, bytes.len()))
        })
        .await
    }

    pub(crate) async fn details(&self, id: &Digest) -> Result<Details> {
        let bad = |what: &str| EngineError::invalid(format!("image `{id}` has {what}"));
        let (mut manifest, mut manifest_bytes) = self.document(id).await?;
        let mut manifest_digest = id.clone();
        for _ in 0..INDEX_DEPTH_MAX {
            let Some(below) = manifest["manifests"].as_array() else {
                break;
            };
            let own = if cfg!(target_arch = "x86_64") {
                "amd64"
            } else {
                "arm64"
            };
            let fits = |it: &&Value| {
                it["platform"]["os"] == "linux" && it["platform"]["architecture"] == own
            };
            let chosen = below.iter().find(fits).and_then(descriptor);
            let chosen = chosen.ok_or_else(|| bad("no manifest for this machine"))?;
            (manifest, manifest_bytes) = self.document(&chosen.digest).await?;
            manifest_digest = chosen.digest;
        }
        let config = descriptor(&manifest["config"]).ok_or_else(|| bad("no configuration"))?;
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let layers = layers.map(descriptor).collect::<Option<Vec<_>>>();
        let media_type = manifest["mediaType"].as_str();
        Ok(Details {
            media_type: media_type
                .unwrap_or("application/vnd.oci.image.manifest.v1+json")
                .to_owned(),
            manifest_bytes,
            manifest_digest,
            config: self.document(&config.digest).await?.0,
            layers: layers.ok_or_else(|| bad("a layer without a digest"))?,
            manifest,
        })
    }
}

pub async fn history(call: Call, text: &str) -> Answer {
    let docker = &call.docker;
    let found = docker.find_image(text).await?;
    let image = docker
        .local_image(&found.id)
        .await?
        .ok_or_else(|| no_such(text))?;
    let details = docker.details(&found.id).await?;
    let mut layers = details.layers.iter();
    let steps = details.config["history"].as_array().into_iter().flatten();
    let mut lines: Vec<Value> = steps
        .map(|step| {
            let empty = step["empty_layer"].as_bool().unwrap_or_default();
            let size = match empty {
                true => 0,
                false => layers.next().map_or(0, |it| it.size_bytes),
            };
            json!({
                "Id": "<missing>", "Created": image.created_ms / 1000,
                "CreatedBy": step["created_by"].as_str().unwrap_or_default(), "Tags": null,
                "Size": size, "Comment": step["comment"].as_str().unwrap_or_default(),
            })
        })
        .collect();
    lines.reverse();
    if let Some(first) = lines.first_mut() {
        first["Id"] = json!(image.id);
        first["Tags"] = json!(image.tags());
    }
    answer::ok(json!(lines))
}
