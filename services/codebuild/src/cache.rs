//! The cache between builds: a folder that the container copies its cache paths from before INSTALL
//! and to after POST_BUILD (see [`crate::driver`]). With the type LOCAL it is a workspace that stays on
//! this machine; with S3 it is packed and unpacked.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, Record, all_keys};
use engine::Selection;
use shapes::codebuild::{CacheMode, CacheType};
use shapes::s3::errors::NoSuchKey;

use crate::buildspec::Buildspec;
use crate::driver::{CACHE_DIR, name_of_text};
use crate::record::{BuildRecord, ProjectRecord};
use crate::source::Failure;
use crate::{log, s3};

/// Workspaces of local caches begin with this and the project's own part.
fn prefix(project_key: &str) -> String {
    format!("cache-{}-", name_of_text(project_key))
}

#[derive(Debug, PartialEq)]
enum Kept {
    Nowhere,
    /// In a workspace that stays.
    Here(String),
    /// In S3: bucket and key.
    There(String, String),
}

fn kept(build: &BuildRecord) -> Kept {
    let Some(cache) = &build.shape.cache else {
        return Kept::Nowhere;
    };
    let project = ProjectRecord::key_of(&build.region, &build.project);
    match cache.r#type {
        CacheType::NoCache => Kept::Nowhere,
        CacheType::Local => {
            let modes = cache.modes.as_deref().unwrap_or_default();
            match modes.contains(&CacheMode::LocalCustomCache) {
                true => Kept::Here(format!("{}{}", prefix(&project), build.cache_version)),
                false => Kept::Nowhere,
            }
        }
        CacheType::S3 => {
            let location = cache.location.clone().unwrap_or_default();
            let location = format!(
                "{}/{}-{}",
                location.trim_end_matches('/'),
                name_of_text(&project),
                build.cache_version
            );
            match s3::split(&location) {
                Some((bucket, key)) => Kept::There(bucket, key),
                None => Kept::Nowhere,
            }
        }
    }
}

fn workspace(build: &BuildRecord) -> Option<String> {
    match kept(build) {
        Kept::Nowhere => None,
        Kept::Here(workspace) => Some(workspace),
        Kept::There(..) => Some(build.cache_workspace()),
    }
}

pub async fn folders(cx: &Cx, build: &BuildRecord) -> Result<Vec<(PathBuf, String)>, Failure> {
    let Some(workspace) = workspace(build) else {
        return Ok(Vec::new());
    };
    let place = cx.engine().workspaces.create(&workspace).await?;
    Ok(vec![(place, CACHE_DIR.to_owned())])
}

/// Whether the container is to copy anything.
pub fn is_kept(build: &BuildRecord) -> bool {
    kept(build) != Kept::Nowhere
}

/// Brings what S3 has. A cache that is not there yet, or cannot be read, is none.
pub async fn restore(cx: &Cx, build: &BuildRecord, spec: &Buildspec) -> Result<(), Failure> {
    let Kept::There(bucket, key) = kept(build) else {
        return Ok(());
    };
    if spec.cache_paths.is_empty() {
        return Ok(());
    }
    let workspaces = &cx.engine().workspaces;
    let workspace = build.cache_workspace();
    workspaces.remove(&workspace).await?;
    workspaces.create(&workspace).await?;
    let restored = match s3::get(cx, &bucket, &key, None).await {
        Ok(object) => workspaces
            .unzip(&workspace, Path::new(""), s3::stream(object.bytes))
            .await
            .map_err(|error| error.chain()),
        Err(error) if error.is(NoSuchKey) => Ok(()),
        Err(error) => Err(error.message),
    };
    if let Err(why) = restored {
        let line = format!("Unable to download cache: {why}");
        log::say(cx, build, &[line]).await;
    }
    Ok(())
}

/// Takes what the container left to S3. A cache that cannot be kept fails no build.
pub async fn save(cx: &Cx, build: &BuildRecord, spec: &Buildspec) -> Result<(), Failure> {
    let Kept::There(bucket, key) = kept(build) else {
        return Ok(());
    };
    if spec.cache_paths.is_empty() {
        return Ok(());
    }
    let selection = Selection {
        files: vec!["**/*".into()],
        ..Default::default()
    };
    let workspaces = &cx.engine().workspaces;
    let saved = match workspaces.zip(&build.cache_workspace(), &selection).await {
        Ok(archive) => match s3::collect(archive).await {
            Ok(bytes) => s3::put(cx, &bucket, &key, bytes, s3::own_key(build))
                .await
                .map_err(|error| error.message),
            Err(why) => Err(why),
        },
        Err(error) => Err(error.chain()),
    };
    if let Err(why) = saved {
        let line = format!("Unable to upload cache: {why}");
        log::say(cx, build, &[line]).await;
    }
    Ok(())
}

/// Removes local caches that no build will read again: those of deleted projects, and those from
/// before they were invalidated.
pub struct CacheReconciler;

#[async_trait]
impl Reconciler for CacheReconciler {
    fn kind(&self) -> &'static str {
        ProjectRecord::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, store::StoreError> {
        all_keys::<ProjectRecord>(cloud)
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let project = cx.read(|tx| tx.get::<ProjectRecord>(key))?;
        let prefix = prefix(key);
        let current = project.map(|it| format!("{prefix}{}", it.cache_version));
        let workspaces = &cx.engine().workspaces;
        for workspace in workspaces.list().await? {
            if workspace.starts_with(&prefix) && Some(&workspace) != current.as_ref() {
                workspaces.remove(&workspace).await?;
            }
        }
        Ok(Next::Idle)
    }
}
