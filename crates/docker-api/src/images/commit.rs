//! An image out of a container, and the changes that imports and commits make to how it is run.

use std::io::{self, Write};
use std::path::Path;

use engine::{EngineError, ImageConfig, ImageName, Result};
use http::StatusCode;
use rustix::fs::FileType;
use serde_json::json;

use crate::answer::{self, Answer, Refusal};
use crate::disk::blocking;
use crate::events::Event;
use crate::limits::FOLDER_DEPTH_MAX;
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
pub async fn commit(mut call: Call) -> Answer {
    let overrides: serde_json::Value = call.json().await?;
    if overrides.as_object().is_some_and(|it| !it.is_empty()) {
        return Err(Refusal::not_built(
            "a configuration for the committed image (use `changes`)",
        ));
    }
    let docker = call.docker.clone();
    let text = call.query.get("container").unwrap_or_default().to_owned();
    let container = docker.containers.find(&text)?;
    let record = container.record();
    let prepared = docker.images.prepare_digest(&record.image_id).await?;
    let mut config = record.image_config(&prepared.config);
    for line in call.query.all("changes").flat_map(str::lines) {
        change(&mut config, line)?;
    }
    let (upper, scratch) = (docker.containers.upper(&record.id), docker.scratch());
    let tar = blocking(move || {
        let file = tempfile::NamedTempFile::new_in(scratch)?;
        let mut writer = io::BufWriter::new(file.reopen()?);
        write_upper(&upper, &mut writer)
            .and_then(|()| writer.flush())
            .map_err(|error| {
                EngineError::machine("cannot pack the container's changes").because(error)
            })?;
        Ok(file.into_temp_path())
    })
    .await?;
    let mut layers = prepared.layers;
    layers.push(docker.images.put_layer(&tar).await?);
    let comment = call
        .query
        .get("comment")
        .unwrap_or("RUN (committed)")
        .to_owned();
    let digest = docker
        .images
        .put_image(&config, &layers, &[comment], None)
        .await?;
    let name = call.query.get("repo").map(|repository| {
        let tag = call
            .query
            .get("tag")
            .map_or(String::new(), |tag| format!(":{tag}"));
        format!("{repository}{tag}")
    });
    match name {
        Some(text) => {
            let name = text.parse::<ImageName>();
            let name =
                name.map_err(|_| Refusal::bad(format!("invalid reference format: `{text}`")))?;
            docker.name_digest(&digest, &docker.kept(&name)).await?;
        }
        None => docker.keep_unnamed(&digest).await?,
    }
    docker
        .events
        .tell(Event::image("commit", digest.as_str(), None));
    Ok(answer::json(StatusCode::CREATED, &json!({ "Id": digest })))
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
}
