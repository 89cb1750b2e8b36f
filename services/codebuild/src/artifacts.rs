//! UPLOAD_ARTIFACTS: what a build has made, into S3.

use cloud::Cx;
use engine::{Fault, Selection};
use shapes::codebuild::{
    ArtifactNamespace, ArtifactPackaging, ArtifactsType, BuildArtifacts, ProjectArtifacts,
};

use crate::buildspec::{Artifacts, Buildspec};
use crate::log;
use crate::record::BuildRecord;
use crate::s3;
use crate::source::Failure;

pub async fn upload(cx: &Cx, build: &mut BuildRecord, spec: &Buildspec) -> Result<(), Failure> {
    let own = build.artifacts.clone();
    if own.r#type == ArtifactsType::S3 {
        let made = upload_one(cx, build, &own, spec.artifacts.as_ref()).await?;
        build.shape.artifacts = Some(made);
    }
    let mut all = Vec::new();
    for target in build.secondary_artifacts.clone() {
        let identifier = target.artifact_identifier.clone().unwrap_or_default();
        let asked = spec
            .secondary_artifacts
            .iter()
            .find(|it| it.0 == identifier);
        let Some((_, asked)) = asked else {
            return Err(Failure::client(format!(
                "the buildspec has no secondary artifacts named `{identifier}`"
            )));
        };
        all.push(upload_one(cx, build, &target, Some(asked)).await?);
    }
    build.shape.secondary_artifacts = Some(all);
    Ok(())
}

async fn upload_one(
    cx: &Cx,
    build: &BuildRecord,
    target: &ProjectArtifacts,
    asked: Option<&Artifacts>,
) -> Result<BuildArtifacts, Failure> {
    let selection = selection(build, asked)?;
    let mut lines = vec![
        format!("Expanding base directory path: {}", shown_base(&selection)),
        "Assembling file list".to_owned(),
    ];
    lines.extend(selection.files.iter().map(|it| format!("Expanding {it}")));
    let workspace = build.source_workspace();
    let workspaces = &cx.engine().workspaces;
    let found = workspaces.matching(&workspace, &selection).await;
    if let Ok(names) = &found {
        lines.push(format!("Found {} file(s)", names.len()));
    }
    log::say(cx, build, &lines).await;
    let names = found.map_err(no_match)?;
    let bucket = bucket_of(target.location.as_deref().unwrap_or_default());
    let key = object_key(build, target, asked);
    let kms_key = s3::own_key(build).filter(|_| target.encryption_disabled != Some(true));
    let mut made = BuildArtifacts {
        location: Some(format!("arn:aws:s3:::{bucket}/{key}")),
        override_artifact_name: target.override_artifact_name,
        encryption_disabled: target.encryption_disabled,
        artifact_identifier: target.artifact_identifier.clone(),
        ..Default::default()
    };
    if target.packaging == Some(ArtifactPackaging::Zip) {
        let archive = workspaces
            .zip(&workspace, &selection)
            .await
            .map_err(no_match)?;
        let bytes = s3::collect(archive).await.map_err(Failure::client)?;
        made.sha256sum = Some(sha256(&bytes));
        s3::put(cx, &bucket, &key, bytes, kms_key).await?;
    } else {
        let place = (bucket.as_str(), key.as_str(), kms_key);
        upload_files(cx, build, &selection, &names, place).await?;
    }
    Ok(made)
}

fn no_match(error: engine::EngineError) -> Failure {
    match error.fault {
        Fault::Invalid if error.message.starts_with("no matching") => {
            Failure::client("no matching artifact paths found")
        }
        _ => error.into(),
    }
}

/// Each file as an object of its own.
async fn upload_files(
    cx: &Cx,
    build: &BuildRecord,
    selection: &Selection,
    names: &[String],
    (bucket, key, kms_key): (&str, &str, Option<&str>),
) -> Result<(), Failure> {
    let workspace = build.source_workspace();
    for name in names {
        // One at a time, by the pattern of its own name: base and flattening stay as they are.
        let path = match (selection.discard_paths, selection.base.as_str()) {
            (false, "" | ".") => name.clone(),
            (false, base) if !base.contains(['*', '?', '[']) => format!("{base}/{name}"),
            _ => {
                return Err(Failure::client(
                    "discard-paths and patterns in base-directory without packaging ZIP are not \
                     supported by neargate",
                ));
            }
        };
        let workspaces = &cx.engine().workspaces;
        let path = std::path::Path::new(&path);
        let bytes = workspaces.read(&workspace, path, FILE_BYTES_MAX).await?;
        s3::put(cx, bucket, &format!("{key}/{name}"), bytes, kms_key).await?;
    }
    Ok(())
}

/// One file that is uploaded as it is, through memory.
const FILE_BYTES_MAX: u64 = 2 << 30;

fn shown_base(selection: &Selection) -> &str {
    match selection.base.as_str() {
        "" => ".",
        base => base,
    }
}

fn selection(build: &BuildRecord, asked: Option<&Artifacts>) -> Result<Selection, Failure> {
    let asked = asked.ok_or_else(|| {
        Failure::client("the project has artifacts and the buildspec names no files for them")
    })?;
    let inside = |text: &String| {
        inner_path(build, text).ok_or_else(|| {
            Failure::client(format!(
                "the artifact path `{text}` is outside of the source folder, which is not supported \
                 by neargate: copy the files there"
            ))
        })
    };
    Ok(Selection {
        base: inside(&asked.base)?,
        files: asked.files.iter().map(inside).collect::<Result<_, _>>()?,
        exclude: asked.exclude.iter().map(inside).collect::<Result<_, _>>()?,
        discard_paths: asked.discard_paths,
    })
}

/// A path relative to the source folder; it may be written with that folder before it.
pub fn inner_path(build: &BuildRecord, text: &str) -> Option<String> {
    let directory = build.source_dir();
    for before in ["$CODEBUILD_SRC_DIR", "${CODEBUILD_SRC_DIR}", &directory] {
        if let Some(rest) = text.strip_prefix(before) {
            return Some(rest.trim_start_matches('/').to_owned());
        }
    }
    (!text.starts_with(['/', '$', '~'])).then(|| text.to_owned())
}

/// A bucket's name, also out of its ARN.
fn bucket_of(location: &str) -> String {
    let plain = location.strip_prefix("arn:aws:s3:::").unwrap_or(location);
    plain.trim_end_matches('/').to_owned()
}

/// `path/<build id>/name` (API reference, `ProjectArtifacts`).
fn object_key(build: &BuildRecord, target: &ProjectArtifacts, asked: Option<&Artifacts>) -> String {
    let own = target.name.clone().unwrap_or_default();
    let name = match (
        target.override_artifact_name,
        asked.and_then(|it| it.name.clone()),
    ) {
        (Some(true), Some(name)) => name,
        _ => own,
    };
    let mut parts = Vec::new();
    parts.extend(target.path.clone());
    if target.namespace_type == Some(ArtifactNamespace::BuildId) {
        parts.push(build.uuid.clone());
    }
    parts.push(name);
    let parts = parts.iter().map(|it| it.trim_matches('/'));
    parts
        .filter(|it| !it.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect()
}
