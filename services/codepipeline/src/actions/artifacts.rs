//! Artifacts: ZIP archives in the pipeline's bucket, through S3's own operations.

use std::io;
use std::path::Path;

use bytes::Bytes;
use engine::{ByteStream, Selection};
use futures_util::StreamExt;
use shapes::s3::{GetObjectInput, PutObjectInput, ServerSideEncryption};

use super::{Session, Trouble};
use crate::record::{ActionRun, Location};

/// "Quotas in CodePipeline": the largest artifact of a source. It is held in memory on its way.
const ARTIFACT_BYTES_MAX: usize = 1024 * 1024 * 1024;

pub async fn read(cx: &Session, location: &Location) -> Result<Vec<u8>, Trouble> {
    let input = GetObjectInput {
        bucket: location.bucket.clone(),
        key: location.key.clone(),
        ..Default::default()
    };
    let answer = cx.call(input).await?;
    Ok(answer.body.unwrap_or_default().0)
}

pub async fn write(cx: &Session, location: &Location, archive: Vec<u8>) -> Result<(), Trouble> {
    let input = PutObjectInput {
        bucket: location.bucket.clone(),
        key: location.key.clone(),
        content_type: Some("application/zip".into()),
        body: Some(wire::Blob(archive)),
        server_side_encryption: (location.kms_key.as_ref()).map(|_| ServerSideEncryption::AwsKms),
        ssekms_key_id: location.kms_key.clone(),
        ..Default::default()
    };
    cx.call(input).await?;
    Ok(())
}

/// The only output of an action that has one.
pub fn output(run: &ActionRun) -> Result<&Location, Trouble> {
    let first = run.outputs.first().map(|it| &it.1);
    first.ok_or_else(|| Trouble::configuration("the action has no output artifact"))
}

/// The input of this name, or the first.
pub fn input<'a>(run: &'a ActionRun, name: Option<&str>) -> Result<&'a Location, Trouble> {
    let found = match name {
        Some(name) => run.inputs.iter().find(|it| it.0 == name),
        None => run.inputs.first(),
    };
    found.map(|it| &it.1).ok_or_else(|| {
        let what = name.unwrap_or("any");
        Trouble::configuration(format!("the action has no input artifact {what}"))
    })
}

fn stream(bytes: Vec<u8>) -> ByteStream {
    let bytes = Bytes::from(bytes);
    Box::pin(futures_util::stream::once(async { Ok(bytes) }))
}

async fn collect(mut stream: ByteStream) -> Result<Vec<u8>, io::Error> {
    let mut all = Vec::new();
    while let Some(part) = stream.next().await {
        all.extend_from_slice(&part?);
        if all.len() > ARTIFACT_BYTES_MAX {
            return Err(io::Error::other(format!(
                "the artifact is larger than {ARTIFACT_BYTES_MAX} bytes"
            )));
        }
    }
    Ok(all)
}

/// A folder for as long as an action needs one in one look. What a lost daemon left in it is removed
/// first.
pub struct Workspace<'a> {
    cx: &'a Session,
    id: String,
    pub path: std::path::PathBuf,
}

impl<'a> Workspace<'a> {
    pub async fn new(cx: &'a Session, run: &ActionRun) -> Result<Self, Trouble> {
        let id = format!("pipeline-{}", run.id);
        let workspaces = &cx.engine().workspaces;
        workspaces.remove(&id).await?;
        let path = workspaces.create(&id).await?;
        Ok(Self { cx, id, path })
    }

    /// The files of an artifact.
    pub async fn of(cx: &'a Session, run: &ActionRun, archive: Vec<u8>) -> Result<Self, Trouble> {
        let it = Self::new(cx, run).await?;
        let unpacked = it.unzip(archive).await;
        match unpacked {
            Ok(()) => Ok(it),
            Err(error) => {
                it.remove().await;
                Err(error)
            }
        }
    }

    async fn unzip(&self, archive: Vec<u8>) -> Result<(), Trouble> {
        let workspaces = &self.cx.engine().workspaces;
        workspaces
            .unzip(&self.id, Path::new(""), stream(archive))
            .await?;
        Ok(())
    }

    pub async fn zip(&self, exclude: &[&str]) -> Result<Vec<u8>, Trouble> {
        let selection = Selection {
            base: String::new(),
            files: vec!["**/*".into()],
            exclude: exclude.iter().map(|it| (*it).to_owned()).collect(),
            discard_paths: false,
        };
        let packed = self
            .cx
            .engine()
            .workspaces
            .zip(&self.id, &selection)
            .await?;
        let packed = collect(packed).await;
        packed.map_err(|error| Trouble::failed(format!("cannot pack the artifact: {error}")))
    }

    pub async fn write(&self, path: &str, content: &[u8]) -> Result<(), Trouble> {
        let workspaces = &self.cx.engine().workspaces;
        Ok(workspaces.write(&self.id, Path::new(path), content).await?)
    }

    /// None when there is no such file.
    pub async fn read(&self, path: &str, size_max: u64) -> Result<Option<Vec<u8>>, Trouble> {
        let workspaces = &self.cx.engine().workspaces;
        match workspaces.read(&self.id, Path::new(path), size_max).await {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.fault == engine::Fault::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn files(&self) -> Result<Vec<String>, Trouble> {
        let selection = Selection {
            files: vec!["**/*".into()],
            ..Default::default()
        };
        let workspaces = &self.cx.engine().workspaces;
        Ok(workspaces.matching(&self.id, &selection).await?)
    }

    pub async fn remove(self) {
        if let Err(error) = self.cx.engine().workspaces.remove(&self.id).await {
            tracing::warn!(
                error = error.chain(),
                workspace = self.id,
                "cannot remove a workspace"
            );
        }
    }
}

/// One file of an artifact, if it is there.
pub async fn file(
    cx: &Session,
    run: &ActionRun,
    location: &Location,
    path: &str,
    size_max: u64,
) -> Result<Option<Vec<u8>>, Trouble> {
    let archive = read(cx, location).await?;
    let workspace = Workspace::of(cx, run, archive).await?;
    let content = workspace.read(path, size_max).await;
    workspace.remove().await;
    content
}

/// An artifact of one file that is made here.
pub async fn write_file(
    cx: &Session,
    run: &ActionRun,
    location: &Location,
    path: &str,
    content: &[u8],
) -> Result<(), Trouble> {
    let workspace = Workspace::new(cx, run).await?;
    let packed = match workspace.write(path, content).await {
        Ok(()) => workspace.zip(&[]).await,
        Err(error) => Err(error),
    };
    workspace.remove().await;
    write(cx, location, packed?).await
}
