//! Looks for changes in a pipeline's sources, and starts an execution for each: the reconciler of
//! source watches. A repository that is kept here wakes it with every push; others are asked at
//! intervals.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use shapes::codepipeline::*;
use shapes::ecr::ImageIdentifier;

use crate::actions::{Session, Trouble, ecr_source, git_source, s3_source};
use crate::catalog::{self, Driver};
use crate::delivery;
use crate::record::{Pipeline, SourceWatch, Webhook};
use crate::start::{Trigger, start};
use crate::triggers::{self, Filters};

/// AWS does not say how often it asks; this is about twice as often as it is seen to.
const POLL: Duration = Duration::from_secs(30);

pub struct WatchReconciler;

#[async_trait]
impl Reconciler for WatchReconciler {
    fn kind(&self) -> &'static str {
        SourceWatch::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<SourceWatch>(cloud)
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let found = cx.read(|tx| {
            let pipeline = tx.get::<Pipeline>(key)?;
            Ok(pipeline.zip(tx.get::<SourceWatch>(key)?))
        })?;
        let Some((pipeline, watch)) = found else {
            return Ok(Next::Idle);
        };
        let registered = registered(&cx, &pipeline)?;
        let watched = watched(&pipeline, &registered);
        if watched.is_empty() {
            return Ok(Next::Idle);
        }
        for source in &watched {
            look(&cx, &pipeline, &watch, source).await?;
        }
        Ok(Next::After(cx.clock().paced(POLL)))
    }
}

/// A repository that is kept here was pushed to: every pipeline that may read from it looks.
pub fn keys_of_push(cloud: &Cloud, _: &str) -> Vec<(&'static str, String)> {
    let pipelines = cloud.store.read(|tx| tx.readable::<Pipeline>(""));
    let reads_here = |it: &Pipeline| {
        watched(it, &[])
            .iter()
            .any(|it| it.driver == Driver::CodeCommit)
    };
    let pipelines = pipelines.unwrap_or_else(|error: StoreError| {
        tracing::error!(%error, "cannot read the pipelines");
        Vec::new()
    });
    let concerned = pipelines.iter().filter(|it| reads_here(it));
    concerned.map(|it| (SourceWatch::KIND, it.key())).collect()
}

/// A source action whose changes start executions.
pub struct Source {
    pub action: ActionDeclaration,
    pub driver: Driver,
    pub filters: Option<Filters>,
    /// The webhook in whose place it is looked at.
    pub webhook: Option<Webhook>,
}

/// Webhooks of the pipeline that are served by looking.
fn registered(cx: &Cx, pipeline: &Pipeline) -> Result<Vec<Webhook>, Error> {
    let mut all = cx.read(|tx| tx.list::<Webhook>(&cx.key("")))?;
    all.retain(|it| it.registered && it.definition.target_pipeline == pipeline.name);
    Ok(all)
}

/// The sources that are asked for changes.
fn watched(pipeline: &Pipeline, registered: &[Webhook]) -> Vec<Source> {
    let declaration = &pipeline.declaration;
    let actions = declaration
        .stages
        .first()
        .into_iter()
        .flat_map(|it| &it.actions);
    actions
        .filter_map(|action| {
            let driver = catalog::find(&action.action_type_id)?.driver;
            let filters = triggers::of(declaration, &action.name);
            let names = |it: &&Webhook| it.definition.target_action == action.name;
            let webhook = registered.iter().find(names).cloned();
            let is_on = |name: &str| {
                let set = action.configuration.as_ref().and_then(|it| it.get(name));
                !set.is_some_and(|it| it.eq_ignore_ascii_case("false"))
            };
            let detects = match driver {
                // A trigger says more than the action's own setting.
                Driver::Connection => filters.is_some() || is_on("DetectChanges"),
                // As with the rule that AWS's console makes for it.
                Driver::EcrSource => true,
                _ => webhook.is_some() || is_on("PollForSourceChanges"),
            };
            detects.then(|| Source {
                action: action.clone(),
                driver,
                filters,
                webhook,
            })
        })
        .collect()
}

/// What a source is at: by branch, or by one empty name where there are none.
type Heads = BTreeMap<String, String>;

async fn look(cx: &Cx, pipeline: &Pipeline, watch: &SourceWatch, it: &Source) -> Result<(), Error> {
    let key = &pipeline.key();
    let role = &pipeline.declaration.role_arn;
    let looked = async {
        let name = &pipeline.declaration.name;
        let session = Session::of_pipeline(cx.clone(), name, role, "polling")?;
        let heads = heads(&session, it).await?;
        Ok::<_, Trouble>((session, heads))
    };
    let (session, heads) = match looked.await {
        Ok(looked) => looked,
        // A source that cannot be read fails the executions that read it, and they say why.
        Err(trouble) => {
            tracing::debug!(?trouble, action = it.action.name, "cannot look for changes");
            return Ok(());
        }
    };
    let name = &it.action.name;
    let before = watch.seen.get(name).cloned().unwrap_or_default();
    let looked = watch.looked.contains(name);
    if looked && before == heads {
        return Ok(());
    }
    // The first look only takes note: the new pipeline's own execution takes what is there.
    let mut known = before.clone();
    if !looked {
        for (branch, to) in &heads {
            known.entry(branch.clone()).or_insert_with(|| to.clone());
        }
    }
    let changed = changes(&known, &heads);
    let mut to_start = Vec::new();
    for (branch, from, to) in changed {
        let wanted = it.webhook.as_ref();
        let wanted = wanted.is_none_or(|it| delivery::takes_push(it, pipeline, &branch));
        if wanted && triggers::let_through(&session, it, &branch, from.as_deref(), &to).await? {
            to_start.push((branch, to));
        }
    }
    cx.write(|tx| {
        let (Some(mut pipeline), Some(mut watch)) =
            (tx.get::<Pipeline>(key)?, tx.get::<SourceWatch>(key)?)
        else {
            return Ok(());
        };
        // An execution that took the newest meanwhile has written so.
        let now = watch.seen.get(name).cloned().unwrap_or_default();
        for (branch, to) in &to_start {
            if now.get(branch) != before.get(branch) && now.get(branch) == Some(to) {
                continue;
            }
            start(cx, tx, &mut pipeline, trigger(cx, it, branch, to))?;
        }
        watch.seen.insert(name.clone(), heads.clone());
        watch.looked.insert(name.clone());
        tx.put(&watch)
    })
}

/// Branches that are new or at another commit: name, where they were, where they are.
fn changes(seen: &Heads, heads: &Heads) -> Vec<(String, Option<String>, String)> {
    let each = heads
        .iter()
        .filter(|(name, to)| seen.get(*name) != Some(*to));
    each.map(|(name, to)| (name.clone(), seen.get(name).cloned(), to.clone()))
        .collect()
}

fn trigger(cx: &Cx, it: &Source, branch: &str, to: &str) -> Trigger {
    let configuration = it.action.configuration.clone().unwrap_or_default();
    let setting = |name: &str| configuration.get(name).cloned().unwrap_or_default();
    let (kind, detail) = match it.driver {
        Driver::GitHub if it.webhook.is_some() => {
            let name = it.webhook.as_ref().map_or("", |it| &it.definition.name);
            let arn = cx.arn("codepipeline", &format!("webhook:{name}"));
            (TriggerType::Webhook, arn)
        }
        Driver::Connection => (TriggerType::WebhookV2, setting("ConnectionArn")),
        Driver::EcrSource => (TriggerType::CloudWatchEvent, setting("RepositoryName")),
        _ => (TriggerType::PollForSourceChanges, it.action.name.clone()),
    };
    let mut trigger = Trigger::new(kind, detail);
    trigger
        .revisions
        .insert(it.action.name.clone(), to.to_owned());
    if !branch.is_empty() {
        let name = it.action.name.clone();
        trigger.branches.insert(name, branch.to_owned());
    }
    trigger
}

async fn heads(cx: &Session, it: &Source) -> Result<Heads, Trouble> {
    let settings = git_source::settings(&it.action);
    let setting = |name: &str| settings.get(name).map_or("", String::as_str);
    let one = |revision: Option<String>| Heads::from_iter(revision.map(|it| (String::new(), it)));
    match it.driver {
        Driver::S3Source => {
            let head = s3_source::newest(cx, setting("S3Bucket"), setting("S3ObjectKey")).await?;
            Ok(one(head.version_id))
        }
        Driver::EcrSource => {
            let id = ImageIdentifier {
                image_digest: None,
                image_tag: Some(ecr_source::tag(
                    settings.get("ImageTag").map(String::as_str),
                )),
            };
            let image = ecr_source::find(cx, setting("RepositoryName"), id).await?;
            Ok(one(image.image_digest))
        }
        driver => {
            let origin = git_source::origin(cx, driver, &settings).await?;
            let mut heads = git_source::heads(cx, &origin).await?;
            let filters = it.filters.as_ref();
            heads.retain(|branch, _| match filters {
                Some(filters) if filters.choose_branches() => filters.take_branch(branch),
                _ => *branch == origin.branch,
            });
            Ok(heads)
        }
    }
}
