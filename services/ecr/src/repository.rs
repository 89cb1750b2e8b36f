//! Repositories.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ecr::errors::{
    InvalidParameterException, RepositoryAlreadyExistsException, RepositoryNotEmptyException,
    RepositoryNotFoundException, RepositoryPolicyNotFoundException,
};
use shapes::ecr::{self, *};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    pub region: String,
    pub name: String,
    /// Seconds since 1970.
    pub created: f64,
    pub scan_on_push: bool,
    pub policy: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub made_by: Option<String>,
}

impl Record for Repository {
    const KIND: &'static str = "ecr.repository";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

/// The registry of the caller's region.
pub fn registry_host(cx: &Cx) -> String {
    format!("{}.dkr.ecr.{}.amazonaws.com", cx.account(), cx.region)
}

/// The repository as the engine names it.
pub fn place(cx: &Cx, name: &str) -> engine::Repository {
    engine::Repository {
        host: registry_host(cx),
        path: name.to_owned(),
    }
}

fn missing(cx: &Cx, name: &str) -> Error {
    RepositoryNotFoundException.because(format!(
        "The repository with name '{name}' does not exist in the registry with id '{}'",
        cx.account()
    ))
}

pub fn check_registry(cx: &Cx, registry: Option<&String>) -> Result<(), Error> {
    match registry {
        Some(id) if id != cx.account() => Err(InvalidParameterException.because(format!(
            "registry `{id}` belongs to another account, and neargate has this one only"
        ))),
        _ => Ok(()),
    }
}

pub fn get(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<Repository, Error> {
    tx.get(&cx.key(name))?.ok_or_else(|| missing(cx, name))
}

fn check_mutability(mutability: Option<ImageTagMutability>) -> Result<(), Error> {
    match mutability {
        None | Some(ImageTagMutability::Mutable) => Ok(()),
        Some(other) => Err(InvalidParameterException.because(format!(
            "the image tag mutability '{other}' is not supported by neargate"
        ))),
    }
}

pub async fn create_repository(
    cx: Cx,
    input: CreateRepositoryInput,
) -> Result<CreateRepositoryOutput, Error> {
    check_registry(&cx, input.registry_id.as_ref())?;
    check_mutability(input.image_tag_mutability)?;
    let encryption = input
        .encryption_configuration
        .as_ref()
        .map(|it| it.encryption_type);
    if encryption.is_some_and(|it| it != EncryptionType::Aes256) {
        return Err(
            InvalidParameterException.because("encryption with KMS is not supported by neargate")
        );
    }
    let name = &input.repository_name;
    cx.engine()
        .images
        .create_repository(&place(&cx, name))
        .await
        .map_err(cloud::internal)?;
    cx.write(|tx| {
        if let Some(existing) = tx.get::<Repository>(&cx.key(name))? {
            if cx.token.is_some() && existing.made_by == cx.token {
                return Ok(CreateRepositoryOutput {
                    repository: Some(shown(&cx, &existing)),
                });
            }
            return Err(RepositoryAlreadyExistsException.because(format!(
                "The repository with name '{name}' already exists in the registry with id '{}'",
                cx.account()
            )));
        }
        let scanning = input.image_scanning_configuration.as_ref();
        let repository = Repository {
            region: cx.region.clone(),
            name: name.clone(),
            created: cx.clock().now(),
            scan_on_push: scanning.and_then(|it| it.scan_on_push).unwrap_or(false),
            policy: None,
            tags: tag_map(input.tags.as_deref()),
            made_by: cx.token.clone(),
        };
        tx.put(&repository)?;
        Ok(CreateRepositoryOutput {
            repository: Some(shown(&cx, &repository)),
        })
    })
}

fn tag_map(tags: Option<&[Tag]>) -> BTreeMap<String, String> {
    tags.unwrap_or_default()
        .iter()
        .map(|it| (it.key.clone(), it.value.clone()))
        .collect()
}

fn shown(cx: &Cx, repository: &Repository) -> ecr::Repository {
    ecr::Repository {
        repository_arn: Some(cx.arn("ecr", &format!("repository/{}", repository.name))),
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(repository.name.clone()),
        repository_uri: Some(place(cx, &repository.name).to_string()),
        created_at: Some(wire::Timestamp(repository.created)),
        image_tag_mutability: Some(ImageTagMutability::Mutable),
        image_scanning_configuration: Some(ImageScanningConfiguration {
            scan_on_push: Some(repository.scan_on_push),
        }),
        encryption_configuration: Some(EncryptionConfiguration {
            encryption_type: EncryptionType::Aes256,
            kms_key: None,
        }),
        ..Default::default()
    }
}

pub async fn describe_repositories(
    cx: Cx,
    input: DescribeRepositoriesInput,
) -> Result<DescribeRepositoriesOutput, Error> {
    check_registry(&cx, input.registry_id.as_ref())?;
    cx.read(|tx| {
        if let Some(names) = &input.repository_names {
            let found = names
                .iter()
                .map(|name| get(&cx, tx, name))
                .collect::<Result<Vec<_>, _>>()?;
            let repositories = found.iter().map(|it| shown(&cx, it)).collect();
            return Ok(DescribeRepositoriesOutput {
                repositories: Some(repositories),
                next_token: None,
            });
        }
        let limit = input
            .max_results
            .and_then(|it| usize::try_from(it).ok())
            .unwrap_or(100)
            .clamp(1, 1000);
        let after = input
            .next_token
            .as_ref()
            .map(|name| cx.key(name))
            .unwrap_or_default();
        let mut found = tx.page::<Repository>(&cx.key(""), &after, limit + 1)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next_token = found.last().filter(|_| more).map(|it| it.name.clone());
        let repositories = found.iter().map(|it| shown(&cx, it)).collect();
        Ok(DescribeRepositoriesOutput {
            repositories: Some(repositories),
            next_token,
        })
    })
}

pub async fn delete_repository(
    cx: Cx,
    input: DeleteRepositoryInput,
) -> Result<DeleteRepositoryOutput, Error> {
    check_registry(&cx, input.registry_id.as_ref())?;
    let name = &input.repository_name;
    let repository = cx.read(|tx| get(&cx, tx, name))?;
    let place = place(&cx, name);
    if input.force != Some(true) {
        let images = cx
            .engine()
            .images
            .manifests(&place)
            .await
            .unwrap_or_default();
        if !images.is_empty() {
            return Err(RepositoryNotEmptyException.because(format!(
                "The repository with name '{name}' in registry with id '{}' cannot be deleted because it still contains images",
                cx.account()
            )));
        }
    }
    // The place first: a crash between leaves a record without images, which can be deleted again.
    cx.engine()
        .images
        .delete_repository(&place)
        .await
        .map_err(cloud::internal)?;
    cx.write(|tx| tx.delete::<Repository>(&cx.key(name)))?;
    Ok(DeleteRepositoryOutput {
        repository: Some(shown(&cx, &repository)),
    })
}

pub async fn put_image_tag_mutability(
    cx: Cx,
    input: PutImageTagMutabilityInput,
) -> Result<PutImageTagMutabilityOutput, Error> {
    check_registry(&cx, input.registry_id.as_ref())?;
    cx.read(|tx| get(&cx, tx, &input.repository_name))?;
    check_mutability(Some(input.image_tag_mutability))?;
    Ok(PutImageTagMutabilityOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        image_tag_mutability: Some(ImageTagMutability::Mutable),
        ..Default::default()
    })
}

/// Kept and answered; there is no scanner, and asking for findings says so (501).
pub async fn put_image_scanning_configuration(
    cx: Cx,
    input: PutImageScanningConfigurationInput,
) -> Result<PutImageScanningConfigurationOutput, Error> {
    check_registry(&cx, input.registry_id.as_ref())?;
    let on = input
        .image_scanning_configuration
        .scan_on_push
        .unwrap_or(false);
    change(&cx, &input.repository_name, |it| it.scan_on_push = on)?;
    Ok(PutImageScanningConfigurationOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        image_scanning_configuration: Some(ImageScanningConfiguration {
            scan_on_push: Some(on),
        }),
    })
}

fn change<T>(cx: &Cx, name: &str, edit: impl FnOnce(&mut Repository) -> T) -> Result<T, Error> {
    cx.write(|tx| {
        let mut repository = get(cx, tx, name)?;
        let answer = edit(&mut repository);
        tx.put(&repository)?;
        Ok(answer)
    })
}

pub async fn set_repository_policy(
    cx: Cx,
    input: SetRepositoryPolicyInput,
) -> Result<SetRepositoryPolicyOutput, Error> {
    check_registry(&cx, input.registry_id.as_ref())?;
    if serde_json::from_str::<serde_json::Value>(&input.policy_text).is_err() {
        return Err(InvalidParameterException
            .because("Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"));
    }
    change(&cx, &input.repository_name, |it| {
        it.policy = Some(input.policy_text.clone())
    })?;
    Ok(SetRepositoryPolicyOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        policy_text: Some(input.policy_text),
    })
}

fn no_policy(cx: &Cx, name: &str) -> Error {
    RepositoryPolicyNotFoundException.because(format!(
        "Repository policy does not exist for the repository with name '{name}' in the registry with id '{}'",
        cx.account()
    ))
}

pub async fn get_repository_policy(
    cx: Cx,
    input: GetRepositoryPolicyInput,
) -> Result<GetRepositoryPolicyOutput, Error> {
    check_registry(&cx, input.registry_id.as_ref())?;
    let repository = cx.read(|tx| get(&cx, tx, &input.repository_name))?;
    let policy = repository
        .policy
        .ok_or_else(|| no_policy(&cx, &input.repository_name))?;
    Ok(GetRepositoryPolicyOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        policy_text: Some(policy),
    })
}

pub async fn delete_repository_policy(
    cx: Cx,
    input: DeleteRepositoryPolicyInput,
) -> Result<DeleteRepositoryPolicyOutput, Error> {
    check_registry(&cx, input.registry_id.as_ref())?;
    let policy = change(&cx, &input.repository_name, |it| it.policy.take())?;
    let policy = policy.ok_or_else(|| no_policy(&cx, &input.repository_name))?;
    Ok(DeleteRepositoryPolicyOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        policy_text: Some(policy),
    })
}

/// A repository's name from its ARN.
fn named_by(arn: &str) -> Result<&str, Error> {
    arn.split_once(":repository/")
        .map(|it| it.1)
        .ok_or_else(|| {
            InvalidParameterException
                .because(format!("Invalid parameter at 'resourceArn': '{arn}'"))
        })
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    change(&cx, named_by(&input.resource_arn)?, |it| {
        it.tags.extend(tag_map(Some(&input.tags)))
    })?;
    Ok(TagResourceOutput {})
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    let name = named_by(&input.resource_arn)?;
    change(&cx, name, |it| {
        it.tags.retain(|key, _| !input.tag_keys.contains(key))
    })?;
    Ok(UntagResourceOutput {})
}

pub async fn list_tags_for_resource(
    cx: Cx,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let repository = cx.read(|tx| get(&cx, tx, named_by(&input.resource_arn)?))?;
    let tags = repository
        .tags
        .into_iter()
        .map(|(key, value)| Tag { key, value })
        .collect();
    Ok(ListTagsForResourceOutput { tags: Some(tags) })
}
