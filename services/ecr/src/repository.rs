//! Repositories: a record, and the place of the same name in the engine that images are pushed to.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use engine::TagRule;
use serde::{Deserialize, Serialize};
use shapes::ecr::{
    CreateRepositoryInput, CreateRepositoryOutput, DeleteRepositoryInput, DeleteRepositoryOutput,
    DescribeRegistryInput, DescribeRegistryOutput, DescribeRepositoriesInput,
    DescribeRepositoriesOutput, EncryptionConfiguration, EncryptionType,
    ImageScanningConfiguration, ImageTagMutability, ImageTagMutabilityExclusionFilter,
    ImageTagMutabilityExclusionFilterType, ReplicationConfiguration, Repository, errors,
};
use tokio::sync::Mutex;

use crate::lifecycle::{self, Lifecycle};
use crate::names::{
    find, in_registry, invalid, no_repository, own_registry, registry_host, unsupported,
};
use crate::page::page;
use crate::tags;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepositoryRecord {
    pub region: String,
    pub account: String,
    pub name: String,
    /// The registry that it belongs to.
    pub host: String,
    pub created_ms: i64,
    pub scan_on_push: bool,
    pub tags: BTreeMap<String, String>,
    /// Who may use it, as text: evaluated with the policies of whoever asks.
    pub policy: Option<String>,
    /// Which of its images expire.
    #[serde(default)]
    pub lifecycle: Option<Lifecycle>,
    /// Which tags may be moved, and which are the exceptions from it.
    #[serde(default)]
    pub mutability: ImageTagMutability,
    #[serde(default)]
    pub exclusions: Vec<String>,
    /// The lifecycle policy of which somebody asked to see what it would do.
    #[serde(default)]
    pub preview: Option<String>,
    /// Gone for callers; its images are still to go.
    pub deleting: bool,
    /// The token of the request that made it, when it had one.
    pub made_by: Option<String>,
}

impl Record for RepositoryRecord {
    const KIND: &'static str = "ecr.repository";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

impl RepositoryRecord {
    pub fn in_engine(&self) -> engine::Repository {
        engine::Repository {
            host: self.host.clone(),
            path: self.name.clone(),
        }
    }

    pub fn arn(&self) -> String {
        let resource = format!("repository/{}", self.name);
        cloud::arn("ecr", &self.region, &self.account, &resource)
    }

    pub fn shown_exclusions(&self) -> Option<Vec<ImageTagMutabilityExclusionFilter>> {
        let filter = |it: &String| ImageTagMutabilityExclusionFilter {
            filter_type: ImageTagMutabilityExclusionFilterType::Wildcard,
            filter: it.clone(),
        };
        let shown: Vec<_> = self.exclusions.iter().map(filter).collect();
        (!shown.is_empty()).then_some(shown)
    }

    /// The rule as the engine keeps it, which is where every push ends.
    fn tag_rule(&self) -> TagRule {
        let exclusions = self.exclusions.clone();
        match self.mutability {
            ImageTagMutability::Mutable => TagRule::Free,
            ImageTagMutability::Immutable => TagRule::FixedBut(Vec::new()),
            ImageTagMutability::ImmutableWithExclusion => TagRule::FixedBut(exclusions),
            ImageTagMutability::MutableWithExclusion => TagRule::FreeBut(exclusions),
        }
    }

    fn shown(&self) -> Repository {
        Repository {
            repository_arn: Some(self.arn()),
            registry_id: Some(self.account.clone()),
            repository_name: Some(self.name.clone()),
            repository_uri: Some(self.in_engine().to_string()),
            created_at: Some(wire::Timestamp(self.created_ms as f64 / 1000.0)),
            image_tag_mutability: Some(self.mutability),
            image_tag_mutability_exclusion_filters: self.shown_exclusions(),
            image_scanning_configuration: Some(ImageScanningConfiguration {
                scan_on_push: Some(self.scan_on_push),
            }),
            encryption_configuration: Some(EncryptionConfiguration {
                encryption_type: EncryptionType::Aes256,
                kms_key: None,
            }),
        }
    }
}

/// The most `*` in one filter (User Guide, "Image tag mutability exclusion filters").
const WILDCARDS_MAX: usize = 2;

/// The exceptions from a repository's mutability, which it has where its name says so.
pub fn exclusions(
    mutability: ImageTagMutability,
    filters: Option<Vec<ImageTagMutabilityExclusionFilter>>,
) -> Result<Vec<String>, Error> {
    use ImageTagMutability as Is;
    let filters: Vec<String> = filters
        .unwrap_or_default()
        .into_iter()
        .map(|it| it.filter)
        .collect();
    let wrong = |why: String| {
        invalid(format!(
            "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: '{why}'"
        ))
    };
    let has_some = matches!(
        mutability,
        Is::ImmutableWithExclusion | Is::MutableWithExclusion
    );
    if has_some == filters.is_empty() {
        return Err(wrong(match has_some {
            true => {
                format!("at least one filter is required when imageTagMutability is {mutability}")
            }
            false => format!("filters must not be given when imageTagMutability is {mutability}"),
        }));
    }
    if let Some(filter) = filters
        .iter()
        .find(|it| it.matches('*').count() > WILDCARDS_MAX)
    {
        return Err(wrong(format!(
            "the filter {filter} has more than {WILDCARDS_MAX} wildcards"
        )));
    }
    Ok(filters)
}

pub async fn create_repository(
    cx: Cx,
    input: CreateRepositoryInput,
) -> Result<CreateRepositoryOutput, Error> {
    own_registry(&cx, input.registry_id.as_deref())?;
    let mutability = input.image_tag_mutability.unwrap_or_default();
    let exclusions = exclusions(mutability, input.image_tag_mutability_exclusion_filters)?;
    let encryption = input.encryption_configuration.map(|it| it.encryption_type);
    if let Some(other) = encryption.filter(|it| *it != EncryptionType::Aes256) {
        return Err(unsupported(format!("the encryption type {other}")));
    }
    let scanning = input.image_scanning_configuration;
    let mut repository = RepositoryRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        name: input.repository_name,
        host: registry_host(&cx),
        created_ms: cx.clock().now_ms(),
        scan_on_push: scanning.and_then(|it| it.scan_on_push) == Some(true),
        tags: BTreeMap::new(),
        policy: None,
        lifecycle: None,
        mutability,
        exclusions,
        preview: None,
        deleting: false,
        made_by: cx.token.clone(),
    };
    tags::add(&mut repository.tags, input.tags.unwrap_or_default())?;
    let key = repository.key();
    let there: Option<RepositoryRecord> = cx.read(|tx| tx.get(&key))?;
    if there.is_some_and(|it| it.deleting) {
        settle(&cx, &key).await?;
    }
    let repository = cx.write(|tx| match tx.get::<RepositoryRecord>(&key)? {
        Some(there) if there.made_by.is_some() && there.made_by == repository.made_by => Ok(there),
        Some(there) => Err(
            errors::RepositoryAlreadyExistsException.because(in_registry(
                &cx,
                "The repository",
                &there.name,
                "already exists in",
            )),
        ),
        None => {
            tx.put(&repository)?;
            Ok(repository)
        }
    })?;
    settle(&cx, &key).await?;
    Ok(CreateRepositoryOutput {
        repository: Some(repository.shown()),
    })
}

pub async fn delete_repository(
    cx: Cx,
    input: DeleteRepositoryInput,
) -> Result<DeleteRepositoryOutput, Error> {
    let (registry, name) = (input.registry_id.as_deref(), &input.repository_name);
    let repository = cx.read(|tx| find(&cx, tx, registry, name))?;
    if input.force != Some(true) && !images(&cx, &repository).await?.is_empty() {
        return Err(errors::RepositoryNotEmptyException.because(format!(
            "The repository with name '{name}' in registry with id '{}' cannot be deleted because it still contains images",
            cx.account()
        )));
    }
    cx.write(|tx| {
        let mut repository = find(&cx, tx, registry, name)?;
        repository.deleting = true;
        tx.put(&repository)
    })?;
    settle(&cx, &repository.key()).await?;
    Ok(DeleteRepositoryOutput {
        repository: Some(repository.shown()),
    })
}

/// What a repository holds. One that the engine has not made yet holds nothing.
pub async fn images(
    cx: &Cx,
    repository: &RepositoryRecord,
) -> Result<Vec<engine::StoredManifest>, Error> {
    match cx.engine().images.manifests(&repository.in_engine()).await {
        Err(error) if error.fault == engine::Fault::NotFound => Ok(Vec::new()),
        other => other.map_err(cloud::internal),
    }
}

/// Makes the engine follow the record. One at a time, so that none makes again what another has
/// just deleted.
pub async fn settle(cx: &Cx, key: &str) -> Result<(), Error> {
    static SETTLING: Mutex<()> = Mutex::const_new(());
    let _alone = SETTLING.lock().await;
    let Some(repository) = cx.read(|tx| tx.get::<RepositoryRecord>(key))? else {
        return Ok(());
    };
    let images = &cx.engine().images;
    let in_engine = repository.in_engine();
    if !repository.deleting {
        let made = images.create_repository(&in_engine).await;
        made.map_err(cloud::internal)?;
        let ruled = images
            .set_tag_rule(&in_engine, &repository.tag_rule())
            .await;
        return ruled.map_err(cloud::internal);
    }
    images
        .delete_repository(&in_engine)
        .await
        .map_err(cloud::internal)?;
    cx.write(|tx| tx.delete::<RepositoryRecord>(key))?;
    Ok(())
}

/// Notes that the lifecycle policy has been looked at. The commit of that wakes this key again, so it
/// is noted once for each policy and interval.
fn note_evaluation(cx: &Cx, key: &str) -> Result<(), Error> {
    let now_ms = cx.clock().now_ms();
    let interval_ms = i64::try_from(cx.clock().paced_ms(lifecycle::INTERVAL)).unwrap_or(i64::MAX);
    cx.write(|tx| {
        let Some(mut repository) = tx.get::<RepositoryRecord>(key)? else {
            return Ok(());
        };
        if let Some(lifecycle) = &mut repository.lifecycle
            && (lifecycle.evaluated_ms).is_none_or(|it| now_ms - it >= interval_ms)
        {
            lifecycle.evaluated_ms = Some(now_ms);
            tx.put(&repository)?;
        }
        Ok(())
    })
}

/// Finishes what was cut short, and lets images expire.
pub struct RepositoryReconciler;

#[async_trait]
impl Reconciler for RepositoryReconciler {
    fn kind(&self) -> &'static str {
        RepositoryRecord::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<RepositoryRecord>(cloud)
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        settle(&cx, key).await?;
        let repository: Option<RepositoryRecord> = cx.read(|tx| tx.get(key))?;
        let Some(repository) = repository.filter(|it| it.lifecycle.is_some()) else {
            return Ok(Next::Idle);
        };
        lifecycle::enforce(&cx, &repository).await?;
        note_evaluation(&cx, key)?;
        Ok(Next::After(cx.clock().paced(lifecycle::INTERVAL)))
    }
}

pub async fn describe_repositories(
    cx: Cx,
    input: DescribeRepositoriesInput,
) -> Result<DescribeRepositoriesOutput, Error> {
    own_registry(&cx, input.registry_id.as_deref())?;
    let mut all = cx.read(|tx| tx.list::<RepositoryRecord>(&cx.key("")))?;
    all.retain(|it| !it.deleting);
    if let Some(names) = &input.repository_names {
        let missing = names
            .iter()
            .find(|name| all.iter().all(|it| it.name != **name));
        if let Some(name) = missing {
            return Err(no_repository(&cx, name));
        }
        all.retain(|it| names.contains(&it.name));
    }
    let token = input.next_token.as_deref();
    let (all, next_token) = page(all, |it| it.name.clone(), token, input.max_results);
    Ok(DescribeRepositoriesOutput {
        repositories: Some(all.iter().map(RepositoryRecord::shown).collect()),
        next_token,
    })
}

pub async fn describe_registry(
    cx: Cx,
    _: DescribeRegistryInput,
) -> Result<DescribeRegistryOutput, Error> {
    Ok(DescribeRegistryOutput {
        registry_id: Some(cx.account().to_owned()),
        replication_configuration: Some(ReplicationConfiguration { rules: Vec::new() }),
    })
}
