//! An image out of a container, and the changes that imports and commits make to how it is run.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use engine::{Descriptor, Digest, EngineError, Fault, ImageConfig, ImageName, Layer, Result};
use http::StatusCode;
use rustix::fs::FileType;
use serde_json::{Value, json};

use crate::answer::{self, Answer, Refusal};
use crate::clock::{now_ms, rfc3339};
use crate::containers::{Config, MAIN, Record, merge};
use crate::disk::{blocking, hex};
use crate::docker::Docker;
use crate::events::Event;
use crate::limits::FOLDER_DEPTH_MAX;
use crate::names::unnamed;
use crate::routes::Call;

/// One instruction of a Dockerfile that changes how an image is run.
pub fn change(config: &mut ImageConfig, line: &str) -> Result<(), Refusal> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(());
    }
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let command = || -> Vec<String> {
        serde_json::from_str(rest)
            .unwrap_or_else(|_| vec!["/bin/sh".into(), "-c".into(), rest.to_owned()])
    };
    let list = || -> Vec<String> {
        serde_json::from_str(rest)
            .unwrap_or_else(|_| rest.split_whitespace().map(str::to_owned).collect())
    };
    match word.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = command(),
        "ENTRYPOINT" => config.entrypoint = command(),
        "ENV" => {
            for (name, value) in pairs(rest)? {
                config.env.retain(|it| it.split('=').next() != Some(&name));
                config.env.push(format!("{name}={value}"));
            }
        }
        "LABEL" => config.labels.extend(pairs(rest)?),
        "EXPOSE" => config.exposed_ports.extend(list().into_iter().map(|port| {
            if port.contains('/') {
                port
            } else {
                format!("{port}/tcp")
            }
        })),
        "USER" => config.user = rest.to_owned(),
        "WORKDIR" => config.working_dir = rest.to_owned(),
        "VOLUME" => config.volumes.extend(list()),
        "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
        other => {
            return Err(Refusal::not_built(format!(
                "`{other}` as a change of an image"
            )));
        }
    }
    Ok(())
}

/// `A=b "C=d e"`, or the older `A b c`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let bad = || Refusal::bad(format!("`{text}` is not NAME=value"));
    let first = text.split_whitespace().next().ok_or_else(bad)?;
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).ok_or_else(bad)?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            (c, None) if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            (c, _) => word.push(c),
        }
    }
    words.push(word);
    let pair = |word: String| {
        let (name, value) = word.split_once('=').ok_or_else(bad)?;
        Ok((name.to_owned(), value.to_owned()))
    };
    words
        .into_iter()
        .filter(|it| !it.is_empty())
        .map(pair)
        .collect()
}

/// `POST /commit`: the container's image, and what it changed in its root.
pub async fn commit(call: Call) -> Answer {
    let asked: Config = call.json().await?;
    let docker = call.docker.clone();
    let text = call.query.get("container").unwrap_or_default().to_owned();
    let container = docker.containers.find(&text)?;
    let record = container.record();
    let prepared = docker.images.prepare_digest(&record.image_id).await?;
    let details = docker.details(&record.image_id).await?;
    let own = record.image_config(&prepared.config);
    // What the request says goes before what the container was run with.
    let mut config = Record {
        config: merge(asked, &own),
        ..record.clone()
    }
    .image_config(&own);
    for line in call.query.all("changes").flat_map(str::lines) {
        change(&mut config, line)?;
    }
    let (upper, scratch) = (docker.containers.upper(&record.id), docker.scratch());
    let mut holds = record.is_running() && !record.state.paused && call.query.flag_or("pause", "1");
    if holds {
        match docker.tasks.freeze(&record.task(), MAIN, true).await {
            // It has ended in this moment: nobody changes anything any more.
            Err(error) if error.fault == Fault::NotFound => holds = false,
            held => held?,
        }
    }
    let packing = blocking(move || {
        let file = tempfile::NamedTempFile::new_in(scratch)?;
        let mut writer = io::BufWriter::new(file.reopen()?);
        write_upper(&upper, &mut writer)
            .and_then(|()| writer.flush())
            .map_err(|error| {
                EngineError::machine("cannot pack the container's changes").because(error)
            })?;
        Ok(file.into_temp_path())
    });
    let tar = packing.await;
    if holds {
        let let_go = docker.tasks.freeze(&record.task(), MAIN, false).await;
        if !Docker::is_absent(&let_go) {
            let_go?;
        }
    }
    let tar = tar?;
    let layer = docker.images.put_layer(&tar).await?;
    let text = |name: &str| call.query.get(name).unwrap_or_default().to_owned();
    let step = Step {
        made_ms: now_ms(),
        created_by: record.config.cmd.clone().unwrap_or_default().join(" "),
        author: text("author"),
        comment: text("comment"),
    };
    let mut document = document(details.config, &config, &layer, &step);
    document["parent"] = json!(record.image_id);
    document["container"] = json!(record.id);
    document["container_config"] = json!(record.config);
    document["container_config"]["Image"] = json!(record.image);
    let mut layers = prepared.layers;
    layers.push(layer);
    let bytes = document.to_string().into_bytes();
    let size = bytes.len();
    let document = docker.put_blob_bytes(bytes).await?;
    let descriptors = layers.iter().map(|it| {
        let Descriptor {
            media_type,
            digest,
            size_bytes,
        } = &it.blob;
        json!({ "mediaType": media_type, "digest": digest, "size": size_bytes })
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
        "config": { "mediaType": CONFIG_TYPE, "digest": document, "size": size },
        "layers": descriptors.collect::<Vec<_>>(),
    });
    let name = call.query.get("repo").map(|repository| {
        let tag = call
            .query
            .get("tag")
            .map_or(String::new(), |tag| format!(":{tag}"));
        format!("{repository}{tag}")
    });
    let digest = put_manifest(&docker, manifest.to_string().as_bytes(), name).await?;
    docker
        .events
        .tell(Event::image("commit", digest.as_str(), None));
    Ok(answer::json(StatusCode::CREATED, &json!({ "Id": digest })))
}

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// Stores it under a name, or as an image that has none.
async fn put_manifest(
    docker: &Docker,
    bytes: &[u8],
    name: Option<String>,
) -> Result<Digest, Refusal> {
    let name = match name {
        Some(text) => {
            let name = text.parse::<ImageName>();
            let name =
                name.map_err(|_| Refusal::bad(format!("invalid reference format: `{text}`")))?;
            docker.kept(&name)
        }
        None => {
            let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
            let text = format!("sha256:{}", hex(hash.as_ref()));
            unnamed(&text.parse().expect("it is a digest's text"))
        }
    };
    let stored = docker.images.put_manifest(&name, MANIFEST_TYPE, bytes);
    Ok(stored.await?)
}

/// What is said of a commit.
struct Step {
    made_ms: i64,
    created_by: String,
    author: String,
    comment: String,
}

/// The image's configuration file, out of that of the image below it.
fn document(mut below: Value, config: &ImageConfig, layer: &Layer, step: &Step) -> Value {
    let made = rfc3339(step.made_ms);
    let map = |keys: &[String]| -> BTreeMap<String, Value> {
        keys.iter().map(|it| (it.clone(), json!({}))).collect()
    };
    if !below["config"].is_object() {
        below["config"] = json!({});
    }
    for (name, value) in [
        ("Entrypoint", json!(config.entrypoint)),
        ("Cmd", json!(config.cmd)),
        ("Env", json!(config.env)),
        ("WorkingDir", json!(config.working_dir)),
        ("User", json!(config.user)),
        ("ExposedPorts", json!(map(&config.exposed_ports))),
        ("Volumes", json!(map(&config.volumes))),
        ("Labels", json!(config.labels)),
        ("StopSignal", json!(config.stop_signal)),
    ] {
        let is_nothing = match &value {
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::String(text) => text.is_empty(),
            _ => value.is_null(),
        };
        if let Some(members) = below["config"].as_object_mut() {
            match is_nothing {
                true => drop(members.remove(name)),
                false => drop(members.insert(name.to_owned(), value)),
            }
        }
    }
    below["created"] = json!(made);
    below["author"] = json!(step.author);
    let history = json!({
        "created": made, "created_by": step.created_by, "author": step.author,
        "comment": step.comment,
    });
    push(&mut below["rootfs"]["diff_ids"], json!(layer.diff_id));
    push(&mut below["history"], history);
    below
}

fn push(list: &mut Value, entry: Value) {
    match list {
        Value::Array(items) => items.push(entry),
        other => *other = json!([entry]),
    }
}

/// An overlay's upper directory as a layer: what is gone is told by names (OCI image-spec, "layer").
fn write_upper(upper: &Path, to: &mut dyn Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(to);
    builder.follow_symlinks(false);
    builder.sparse(false);
    write_folder(upper, Path::new(""), &mut builder, 0)?;
    builder.into_inner().map(drop)
}

fn write_folder(
    real: &Path,
    name: &Path,
    to: &mut tar::Builder<&mut dyn Write>,
    depth: usize,
) -> io::Result<()> {
    if depth > FOLDER_DEPTH_MAX {
        return Err(io::Error::other("folders are nested too deeply"));
    }
    let mut entries = std::fs::read_dir(real)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), name.join(entry.file_name()));
        let stat = rustix::fs::lstat(&path)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                let hidden = format!(".wh.{}", entry.file_name().to_string_lossy());
                write_empty(&name.with_file_name(hidden), to)?;
            }
            FileType::Directory => {
                to.append_path_with_name(&path, &name)?;
                if is_opaque(&path) {
                    write_empty(&name.join(".wh..wh..opq"), to)?;
                }
                write_folder(&path, &name, to, depth + 1)?;
            }
            FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice => {}
            _ => to.append_path_with_name(&path, &name)?,
        }
    }
    Ok(())
}

fn write_empty(name: &Path, to: &mut tar::Builder<&mut dyn Write>) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o600);
    header.set_size(0);
    to.append_data(&mut header, name, io::empty())
}

pub fn is_opaque(path: &Path) -> bool {
    let mut value = [0u8; 1];
    rustix::fs::lgetxattr(path, "trusted.overlay.opaque", &mut value[..])
        .is_ok_and(|length| length == 1 && value[0] == b'y')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_a_dockerfiles_instructions() {
        let mut config = ImageConfig::default();
        for line in [
            r#"CMD ["ruby", "-v"]"#,
            "ENTRYPOINT run it",
            "ENV A=b \"C=d e\"",
            "ENV A c",
            "EXPOSE 9292",
            "WORKDIR /app",
        ] {
            change(&mut config, line).unwrap();
        }
        assert_eq!(config.cmd, ["ruby", "-v"]);
        assert_eq!(config.entrypoint, ["/bin/sh", "-c", "run it"]);
        assert_eq!(config.env, ["C=d e", "A=c"]);
        assert_eq!(config.exposed_ports, ["9292/tcp"]);
        assert!(change(&mut config, "RUN x").is_err());
    }

    #[test]
    fn a_commit_goes_on_from_the_image_below() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let below = json!({
            "architecture": "amd64", "os": "linux", "author": "below",
            "config": { "Env": ["A=b"], "Cmd": ["x"], "OnBuild": ["RUN y"] },
            "rootfs": { "type": "layers", "diff_ids": [digest("1")] },
            "history": [{ "created_by": "COPY" }],
        });
        let layer = Layer {
            blob: Descriptor {
                media_type: String::new(),
                digest: digest("2").parse().unwrap(),
                size_bytes: 1,
            },
            diff_id: digest("3").parse().unwrap(),
        };
        let config = ImageConfig {
            env: vec!["A=c".to_owned()],
            ..ImageConfig::default()
        };
        let step = Step {
            made_ms: 0,
            created_by: "sh".to_owned(),
            author: "me".to_owned(),
            comment: "why".to_owned(),
        };
        let made = document(below, &config, &layer, &step);
        assert_eq!(
            made["config"],
            json!({ "Env": ["A=c"], "OnBuild": ["RUN y"] })
        );
        assert_eq!(
            made["rootfs"]["diff_ids"],
            json!([digest("1"), digest("3")])
        );
        assert_eq!(made["author"], "me");
        assert_eq!(made["history"][1]["comment"], "why");
        assert_eq!(made["history"][1]["created_by"], "sh");
        assert_eq!(made["created"], "1970-01-01T00:00:00.000000000Z");
    }
}
