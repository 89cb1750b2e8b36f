//! Repositories: a record, and a bare repository under the record's id in the engine.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{
    Cloud, ConditionKey, Cx, Error, Need, Next, Reconciler, Record, StoreError, Touched, all_keys,
};
use serde::{Deserialize, Serialize};
use shapes::codecommit::*;
use tokio::sync::Mutex;

use crate::names::{find, no_repository, repository, source, unsupported};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepositoryRecord {
    pub region: String,
    pub account: String,
    pub name: String,
    /// Also its name in the engine.
    pub id: String,
    pub description: Option<String>,
    pub created_ms: i64,
    pub modified_ms: i64,
    pub tags: BTreeMap<String, String>,
    /// The token of the request that made it, when it had one.
    pub made_by: Option<String>,
}

impl Record for RepositoryRecord {
    const KIND: &'static str = "codecommit.repository";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

/// A repository that is deleted and whose contents are still to go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leftover {
    pub region: String,
    pub id: String,
}

impl Record for Leftover {
    const KIND: &'static str = "codecommit.leftover";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// A repository as Git's own clients ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name in the engine.
    pub id: String,
    pub region: String,
    pub arn: String,
    pub tags: BTreeMap<String, String>,
}

impl Found {
    /// What a client of Git needs permission for, pulling.
    pub fn pull(&self) -> Need {
        Need::new("codecommit:GitPull", Some(self.touched()))
    }

    /// The same for pushing: to this reference, or to none while it only asks what is there.
    pub fn push(&self, reference: Option<&str>) -> Need {
        let reference = ConditionKey::new("codecommit:References", reference);
        Need::new("codecommit:GitPush", Some(self.touched())).with_keys([reference])
    }

    fn touched(&self) -> Touched {
        Touched::named(&self.arn).tagged(self.tags.clone())
    }
}

/// The region in AWS's own name of the host, `git-codecommit.<region>.amazonaws.com`, whatever comes
/// after it.
fn region_of(host: &str) -> Option<&str> {
    let rest = host.strip_prefix("git-codecommit.")?;
    let (region, rest) = rest.split_once('.')?;
    rest.starts_with("amazonaws.com").then_some(region)
}

/// The repository that a path means: without a region in the host's name, the daemon's own region
/// comes first.
pub fn find_by_path(cloud: &Cloud, host: &str, name: &str) -> Option<Found> {
    let named = region_of(host);
    let own = format!("{}/{name}", named.unwrap_or(&cloud.default_region));
    let found = cloud.store.read(|tx| -> Result<_, StoreError> {
        if let Some(found) = tx.get::<RepositoryRecord>(&own)? {
            return Ok(Some(found));
        }
        if named.is_some() {
            return Ok(None);
        }
        let all = tx.list::<RepositoryRecord>("")?;
        Ok(all.into_iter().find(|it| it.name == name))
    });
    let found = found.ok()??;
    Some(Found {
        arn: found.arn(),
        id: found.id,
        region: found.region,
        tags: found.tags,
    })
}

impl RepositoryRecord {
    pub fn arn(&self) -> String {
        cloud::arn("codecommit", &self.region, &self.account, &self.name)
    }

    /// The default branch is Git's own, not the record's.
    async fn shown(&self, cx: &Cx) -> Result<RepositoryMetadata, Error> {
        let branch = cx.engine().git.default_branch(&source(self)).await;
        let date = |ms: i64| Some(wire::Timestamp(ms as f64 / 1000.0));
        Ok(RepositoryMetadata {
            account_id: Some(self.account.clone()),
            repository_id: Some(self.id.clone()),
            repository_name: Some(self.name.clone()),
            repository_description: self.description.clone(),
            default_branch: branch.map_err(cloud::internal)?,
            last_modified_date: date(self.modified_ms),
            creation_date: date(self.created_ms),
            clone_url_http: Some(clone_url_http(cx, &self.name)),
            clone_url_ssh: Some(clone_url_ssh(&self.region, &self.name)),
            arn: Some(self.arn()),
            kms_key_id: None,
        })
    }
}

pub fn clone_url_http(cx: &Cx, name: &str) -> String {
    format!("{}/v1/repos/{name}", cx.engine().access.api)
}

pub fn clone_url_ssh(region: &str, name: &str) -> String {
    format!("ssh://git-codecommit.{region}.amazonaws.com/v1/repos/{name}")
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.ends_with(".git") || name == "." || name == ".." {
        return Err(errors::InvalidRepositoryNameException.because(format!(
            "The repository name {name} is not valid. Repository names cannot end in .git"
        )));
    }
    Ok(())
}

fn name_exists(name: &str) -> Error {
    errors::RepositoryNameExistsException.because(format!("Repository named {name} already exists"))
}

/// A version 4 UUID, as AWS's ids of repositories are.
fn new_id(cx: &Cx) -> String {
    cloud::uuid(&cx.new_id("", 32))
}

pub async fn create_repository(
    cx: Cx,
    input: CreateRepositoryInput,
) -> Result<CreateRepositoryOutput, Error> {
    check_name(&input.repository_name)?;
    let now = cx.clock().now_ms();
    let mut made = RepositoryRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        id: new_id(&cx),
        name: input.repository_name,
        description: input.repository_description,
        created_ms: now,
        modified_ms: now,
        tags: BTreeMap::new(),
        made_by: cx.token.clone(),
    };
    let tags = input.tags.unwrap_or_default();
    cloud::add_tags(&mut made.tags, tags, errors::TooManyTagsException)?;
    let made = cx.write(|tx| match tx.get::<RepositoryRecord>(&made.key())? {
        Some(there) if there.made_by.is_some() && there.made_by == made.made_by => Ok(there),
        Some(there) => Err(name_exists(&there.name)),
        None => {
            tx.put(&made)?;
            Ok(made)
        }
    })?;
    settle(&cx, &made.key()).await?;
    Ok(CreateRepositoryOutput {
        repository_metadata: Some(made.shown(&cx).await?),
    })
}

pub async fn get_repository(
    cx: Cx,
    input: GetRepositoryInput,
) -> Result<GetRepositoryOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    Ok(GetRepositoryOutput {
        repository_metadata: Some(found.shown(&cx).await?),
    })
}

pub async fn batch_get_repositories(
    cx: Cx,
    input: BatchGetRepositoriesInput,
) -> Result<BatchGetRepositoriesOutput, Error> {
    /// AWS's limit of a call.
    const NAMES_MAX: usize = 100;
    if input.repository_names.len() > NAMES_MAX {
        return Err(
            errors::MaximumRepositoryNamesExceededException.because(format!(
                "No more than {NAMES_MAX} repositories can be named"
            )),
        );
    }
    let (mut repositories, mut missing) = (Vec::new(), Vec::new());
    for name in input.repository_names {
        match repository(&cx, &name) {
            Ok(found) => repositories.push(found.shown(&cx).await?),
            Err(_) => missing.push(name),
        }
    }
    Ok(BatchGetRepositoriesOutput {
        repositories: Some(repositories),
        repositories_not_found: Some(missing),
        errors: Some(Vec::new()),
    })
}

pub async fn list_repositories(
    cx: Cx,
    input: ListRepositoriesInput,
) -> Result<ListRepositoriesOutput, Error> {
    let mut all = cx.read(|tx| tx.list::<RepositoryRecord>(&cx.key("")))?;
    if input.sort_by == Some(SortByEnum::LastModifiedDate) {
        all.sort_by_key(|it| it.modified_ms);
    }
    if input.order == Some(OrderEnum::Descending) {
        all.reverse();
    }
    let pair = |it: RepositoryRecord| RepositoryNameIdPair {
        repository_name: Some(it.name),
        repository_id: Some(it.id),
    };
    Ok(ListRepositoriesOutput {
        repositories: Some(all.into_iter().map(pair).collect()),
        next_token: None,
    })
}

pub async fn delete_repository(
    cx: Cx,
    input: DeleteRepositoryInput,
) -> Result<DeleteRepositoryOutput, Error> {
    let name = &input.repository_name;
    let deleted = cx.write(|tx| {
        let Some(found) = tx.get::<RepositoryRecord>(&cx.key(name))? else {
            return Ok(None);
        };
        tx.delete::<RepositoryRecord>(&found.key())?;
        tx.put(&Leftover {
            region: found.region,
            id: found.id.clone(),
        })?;
        Ok(Some(found.id))
    })?;
    Ok(DeleteRepositoryOutput {
        repository_id: deleted,
    })
}

pub async fn update_repository_name(
    cx: Cx,
    input: UpdateRepositoryNameInput,
) -> Result<UpdateRepositoryNameOutput, Error> {
    check_name(&input.new_name)?;
    cx.write(|tx| {
        let mut found = find(&cx, tx, &input.old_name)?;
        let there: Option<RepositoryRecord> = tx.get(&cx.key(&input.new_name))?;
        if there.is_some() {
            return Err(name_exists(&input.new_name));
        }
        tx.delete::<RepositoryRecord>(&found.key())?;
        found.name = input.new_name.clone();
        found.modified_ms = cx.clock().now_ms();
        tx.put(&found)?;
        Ok(UpdateRepositoryNameOutput {})
    })
}

pub async fn update_repository_description(
    cx: Cx,
    input: UpdateRepositoryDescriptionInput,
) -> Result<UpdateRepositoryDescriptionOutput, Error> {
    cx.write(|tx| {
        let mut found = find(&cx, tx, &input.repository_name)?;
        found.description = input.repository_description.clone();
        found.modified_ms = cx.clock().now_ms();
        tx.put(&found)?;
        Ok(UpdateRepositoryDescriptionOutput {})
    })
}

pub async fn get_repository_triggers(
    cx: Cx,
    input: GetRepositoryTriggersInput,
) -> Result<GetRepositoryTriggersOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    Ok(GetRepositoryTriggersOutput {
        configuration_id: Some(found.id),
        triggers: Some(Vec::new()),
    })
}

pub async fn put_repository_triggers(
    cx: Cx,
    input: PutRepositoryTriggersInput,
) -> Result<PutRepositoryTriggersOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    if !input.triggers.is_empty() {
        return Err(unsupported("a repository trigger"));
    }
    Ok(PutRepositoryTriggersOutput {
        configuration_id: Some(found.id),
    })
}

/// One at a time, so that none makes again what another has just deleted.
static SETTLING: Mutex<()> = Mutex::const_new(());

/// Makes the engine follow the record.
async fn settle(cx: &Cx, key: &str) -> Result<(), Error> {
    let _alone = SETTLING.lock().await;
    let Some(found) = cx.read(|tx| tx.get::<RepositoryRecord>(key))? else {
        return Ok(());
    };
    let made = cx.engine().git.create(&found.id).await;
    made.map_err(cloud::internal)
}

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
        Ok(Next::Idle)
    }
}

pub struct LeftoverReconciler;

#[async_trait]
impl Reconciler for LeftoverReconciler {
    fn kind(&self) -> &'static str {
        Leftover::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<Leftover>(cloud)
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let _alone = SETTLING.lock().await;
        if let Some(leftover) = cx.read(|tx| tx.get::<Leftover>(key))? {
            cx.engine().git.delete(&leftover.id).await?;
            cx.write(|tx| tx.delete::<Leftover>(key))?;
        }
        Ok(Next::Idle)
    }
}

/// The record of a repository that is known by its id.
pub fn by_id(cx: &Cx, id: &str) -> Result<RepositoryRecord, Error> {
    let all = cx.read(|tx| tx.list::<RepositoryRecord>(&cx.key("")))?;
    let found = all.into_iter().find(|it| it.id == id);
    found.ok_or_else(|| no_repository(id))
}
