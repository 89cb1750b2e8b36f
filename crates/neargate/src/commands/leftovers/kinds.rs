//! The kinds of things that stay: buckets, repositories, log groups, task definitions, secrets.

use std::collections::BTreeMap;

use anyhow::Result;
use shapes::codecommit::ListRepositoriesInput;
use shapes::ecr::{DescribeImagesInput, DescribeRepositoriesInput};
use shapes::ecs::{ListTaskDefinitionsInput, TaskDefinitionStatus};
use shapes::logs::DescribeLogGroupsInput;
use shapes::s3::{ListBucketsInput, ListObjectsV2Input};
use shapes::secretsmanager::ListSecretsInput;
use wire::Operation;

use super::Left;
use super::owners::Owners;
use crate::client::Client;
use crate::say;

/// Everything that is left, kind by kind.
pub async fn list(client: &Client, owners: &Owners) -> Result<Vec<Left>> {
    let mut left = Vec::new();
    left.extend(buckets(client, owners).await?);
    left.extend(repositories(client, owners).await?);
    left.extend(log_groups(client, owners).await?);
    left.extend(task_definitions(client, owners).await?);
    left.extend(secrets(client, owners).await?);
    left.extend(git_repositories(client, owners).await?);
    Ok(left)
}

/// All pages of a listing: `next` makes the input of a page out of the token of the last one.
async fn pages<I: Operation>(
    client: &Client,
    next: impl Fn(Option<String>) -> I,
    token: impl Fn(&I::Output) -> Option<String>,
) -> Result<Vec<I::Output>> {
    let mut found = Vec::new();
    let mut at = None;
    loop {
        let page = client.call(next(at)).await?;
        at = token(&page);
        found.push(page);
        if at.is_none() {
            return Ok(found);
        }
    }
}

async fn buckets(client: &Client, owners: &Owners) -> Result<Vec<Left>> {
    let buckets = client.call(ListBucketsInput::default()).await?;
    let mut left = Vec::new();
    for name in (buckets.buckets.unwrap_or_default().into_iter()).filter_map(|it| it.name) {
        if owners.owns(&name) {
            continue;
        }
        let objects = ListObjectsV2Input {
            bucket: name.clone(),
            ..Default::default()
        };
        let objects = client.call(objects).await?;
        let count = objects.contents.unwrap_or_default().len();
        let more = objects.is_truncated == Some(true);
        left.push(Left {
            kind: "S3 bucket",
            holds: format!(
                "{}{}",
                if more { "more than " } else { "" },
                say::counted(count, "object")
            ),
            stack: owners.retained_by(&name),
            command: format!("aws s3 rb s3://{name} --force"),
            name,
        });
    }
    Ok(left)
}

async fn repositories(client: &Client, owners: &Owners) -> Result<Vec<Left>> {
    let found = pages(
        client,
        |next_token| DescribeRepositoriesInput {
            next_token,
            ..Default::default()
        },
        |page| page.next_token.clone(),
    );
    let mut left = Vec::new();
    let found = found.await?.into_iter();
    for name in found
        .flat_map(|page| page.repositories.unwrap_or_default())
        .filter_map(|it| it.repository_name)
    {
        if owners.owns(&name) {
            continue;
        }
        let images = DescribeImagesInput {
            repository_name: name.clone(),
            ..Default::default()
        };
        let images = client.call(images).await?.image_details.unwrap_or_default();
        left.push(Left {
            kind: "ECR repository",
            holds: say::counted(images.len(), "image"),
            stack: owners.retained_by(&name),
            command: format!("aws ecr delete-repository --force --repository-name {name}"),
            name,
        });
    }
    Ok(left)
}

async fn log_groups(client: &Client, owners: &Owners) -> Result<Vec<Left>> {
    let found = pages(
        client,
        |next_token| DescribeLogGroupsInput {
            next_token,
            ..Default::default()
        },
        |page| page.next_token.clone(),
    );
    let found = found.await?.into_iter();
    let groups = found.flat_map(|page| page.log_groups.unwrap_or_default());
    let left = groups.filter_map(|group| {
        let name = group.log_group_name.filter(|name| !owners.owns(name))?;
        Some(Left {
            kind: "log group",
            holds: format!("{} bytes", group.stored_bytes.unwrap_or_default()),
            stack: owners.retained_by(&name),
            command: format!("aws logs delete-log-group --log-group-name {name}"),
            name,
        })
    });
    Ok(left.collect())
}

/// Revisions by family: deleting a stack deregisters its task definitions and no more.
async fn task_definitions(client: &Client, owners: &Owners) -> Result<Vec<Left>> {
    let mut left = Vec::new();
    for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
        let found = pages(
            client,
            |next_token| ListTaskDefinitionsInput {
                status: Some(status),
                next_token,
                ..Default::default()
            },
            |page| page.next_token.clone(),
        );
        let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let found = found.await?.into_iter();
        for arn in found.flat_map(|page| page.task_definition_arns.unwrap_or_default()) {
            if owners.owns(&arn) {
                continue;
            }
            let short = arn.rsplit('/').next().unwrap_or(&arn).to_owned();
            let family = short.split(':').next().unwrap_or(&short).to_owned();
            families.entry(family).or_default().push(short);
        }
        for (family, revisions) in families {
            let command = match status {
                TaskDefinitionStatus::Active => {
                    let each = revisions.iter().map(|it| {
                        format!("aws ecs deregister-task-definition --task-definition {it}")
                    });
                    each.collect::<Vec<_>>().join("; ")
                }
                _ => format!(
                    "aws ecs delete-task-definitions --task-definitions {}",
                    revisions.join(" ")
                ),
            };
            left.push(Left {
                kind: "task definition",
                holds: format!("{} ({status})", say::counted(revisions.len(), "revision")),
                stack: None,
                command,
                name: family,
            });
        }
    }
    Ok(left)
}

async fn secrets(client: &Client, owners: &Owners) -> Result<Vec<Left>> {
    let found = pages(
        client,
        |next_token| ListSecretsInput {
            next_token,
            ..Default::default()
        },
        |page| page.next_token.clone(),
    );
    let found = found.await?.into_iter();
    let secrets = found.flat_map(|page| page.secret_list.unwrap_or_default());
    let left = secrets.filter_map(|secret| {
        let (name, arn) = (secret.name?, secret.arn?);
        (!owners.owns(&arn)).then(|| Left {
            kind: "secret",
            holds: String::new(),
            stack: owners.retained_by(&arn),
            command: format!("aws secretsmanager delete-secret --secret-id {name}"),
            name,
        })
    });
    Ok(left.collect())
}

async fn git_repositories(client: &Client, owners: &Owners) -> Result<Vec<Left>> {
    let found = pages(
        client,
        |next_token| ListRepositoriesInput {
            next_token,
            ..Default::default()
        },
        |page| page.next_token.clone(),
    );
    let found = found.await?.into_iter();
    let repositories = found.flat_map(|page| page.repositories.unwrap_or_default());
    let left = repositories.filter_map(|it| {
        let (name, id) = (it.repository_name?, it.repository_id?);
        (!owners.owns(&id)).then(|| Left {
            kind: "Git repository",
            holds: String::new(),
            stack: owners.retained_by(&id),
            command: format!("aws codecommit delete-repository --repository-name {name}"),
            name,
        })
    });
    Ok(left.collect())
}
