//! Images: repositories, their tags and sizes, and which services run them.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::ecr::{DescribeImagesInput, DescribeRepositoriesInput};
use why::list;

use super::{last_part, ms, now_ms};

/// Repositories that are looked into for one page, and images of each that are shown.
const REPOSITORIES_MAX: usize = 100;
const IMAGES_MAX: usize = 50;

#[derive(Debug, Clone, Serialize)]
pub struct ImagesFacts {
    pub repositories: Vec<RepositoryRow>,
    pub left_off: usize,
    pub now_ms: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct RepositoryRow {
    pub name: String,
    pub uri: String,
    pub images: Vec<ImageRow>,
    pub left_off: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct ImageRow {
    pub digest: String,
    pub tags: Vec<String>,
    pub bytes: i64,
    pub pushed_ms: Option<i64>,
    /// `cluster/service` of tasks that run it.
    pub used_by: Vec<String>,
}

pub async fn gather(cx: &Cx) -> Result<ImagesFacts, Error> {
    let mut repositories = Vec::new();
    let mut next = None;
    loop {
        let page = cx.call(DescribeRepositoriesInput {
            next_token: next,
            ..Default::default()
        });
        let page = page.await?;
        repositories.extend(page.repositories.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    let left_off = repositories.len().saturating_sub(REPOSITORIES_MAX);
    repositories.truncate(REPOSITORIES_MAX);
    let users = users(cx).await?;
    let mut rows = Vec::new();
    for it in repositories {
        let name = it.repository_name.unwrap_or_default();
        let asked = cx.call(DescribeImagesInput {
            repository_name: name.clone(),
            ..Default::default()
        });
        let mut images = match asked.await {
            Ok(found) => found.image_details.unwrap_or_default(),
            // It was deleted meanwhile.
            Err(error) if error.status < 500 => continue,
            Err(error) => return Err(error),
        };
        images.sort_by_key(|it| -ms(it.image_pushed_at).unwrap_or_default());
        let left_off = images.len().saturating_sub(IMAGES_MAX);
        images.truncate(IMAGES_MAX);
        rows.push(RepositoryRow {
            name,
            uri: it.repository_uri.unwrap_or_default(),
            images: images
                .into_iter()
                .map(|it| {
                    let digest = it.image_digest.unwrap_or_default();
                    ImageRow {
                        tags: it.image_tags.unwrap_or_default(),
                        bytes: it.image_size_in_bytes.unwrap_or_default(),
                        pushed_ms: ms(it.image_pushed_at),
                        used_by: users.get(&digest).into_iter().flatten().cloned().collect(),
                        digest,
                    }
                })
                .collect(),
            left_off,
        });
    }
    Ok(ImagesFacts {
        repositories: rows,
        left_off,
        now_ms: now_ms(cx),
    })
}

/// Who runs which digest.
async fn users(cx: &Cx) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for cluster in list::clusters(cx).await? {
        let ids = list::task_ids(cx, &cluster, None).await?;
        for task in list::tasks(cx, &cluster, &ids).await? {
            if task.stop_code.is_some() {
                continue;
            }
            let service = task
                .group
                .as_deref()
                .and_then(|it| it.strip_prefix("service:"));
            let id = last_part(task.task_arn.as_deref().unwrap_or_default());
            let who = format!("{cluster}/{}", service.unwrap_or(&id));
            for container in task.containers.into_iter().flatten() {
                if let Some(digest) = container.image_digest {
                    users.entry(digest).or_default().insert(who.clone());
                }
            }
        }
    }
    Ok(users)
}
