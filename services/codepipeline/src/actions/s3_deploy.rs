//! Deployment of an artifact to a bucket: its files, or the archive as it is.

use shapes::s3::PutObjectInput;

use super::artifacts::{self, Workspace};
use super::{Progress, Session, Trouble};
use crate::record::ActionRun;

/// One object is held in memory on its way.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What browsers are told of files, by the end of their names.
const CONTENT_TYPES: &[(&str, &str)] = &[
    ("css", "text/css"),
    ("gif", "image/gif"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "application/javascript"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("md", "text/markdown"),
    ("mjs", "application/javascript"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("wasm", "application/wasm"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

pub async fn drive(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    let archive = artifacts::read(cx, artifacts::input(run, None)?).await?;
    let key = run.setting("ObjectKey").unwrap_or_default().to_owned();
    if !run.flag("Extract") {
        put(cx, run, &key, archive).await?;
        run.summary = Some(format!("Deployed {key}"));
        return Ok(Progress::Succeeded);
    }
    let workspace = Workspace::of(cx, run, archive).await?;
    let deployed = put_all(cx, run, &workspace, key.trim_end_matches('/')).await;
    workspace.remove().await;
    run.summary = Some(format!("Deployed {} objects", deployed?));
    Ok(Progress::Succeeded)
}

async fn put_all(
    cx: &Session,
    run: &ActionRun,
    workspace: &Workspace<'_>,
    prefix: &str,
) -> Result<usize, Trouble> {
    let files = workspace.files().await?;
    for path in &files {
        let content = workspace.read(path, FILE_BYTES_MAX).await?;
        let key = match prefix {
            "" => path.clone(),
            prefix => format!("{prefix}/{path}"),
        };
        put(cx, run, &key, content.unwrap_or_default()).await?;
    }
    Ok(files.len())
}

async fn put(cx: &Session, run: &ActionRun, key: &str, content: Vec<u8>) -> Result<(), Trouble> {
    let input = PutObjectInput {
        bucket: run.required("BucketName").to_owned(),
        key: key.to_owned(),
        cache_control: run.setting("CacheControl").map(str::to_owned),
        content_type: Some(content_type(key).to_owned()),
        body: Some(wire::Blob(content)),
        ..Default::default()
    };
    cx.call(input).await?;
    Ok(())
}

fn content_type(key: &str) -> &'static str {
    let end = key.rsplit_once('.').map_or("", |it| it.1).to_lowercase();
    let known = CONTENT_TYPES.iter().find(|it| it.0 == end);
    known.map_or("application/octet-stream", |it| it.1)
}
