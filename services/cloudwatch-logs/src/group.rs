//! Log groups.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use serde::{Deserialize, Serialize};
use shapes::logs::errors::{OperationAbortedException, ResourceAlreadyExistsException};
use shapes::logs::{
    CreateLogGroupInput, CreateLogGroupOutput, DeleteLogGroupInput, DeleteLogGroupOutput,
    DescribeLogGroupsInput, DescribeLogGroupsOutput, LogGroup, LogGroupClass,
};
use tokio::sync::Mutex;

use crate::names::{find, find_by_identifier, group_arn, invalid, unsupported};
use crate::page::page;
use crate::tags;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub region: String,
    pub name: String,
    pub created_ms: i64,
    pub retention_days: Option<i32>,
    pub tags: BTreeMap<String, String>,
    /// The token of the request that made it, when it had one.
    pub made_by: Option<String>,
}

impl Record for Group {
    const KIND: &'static str = "logs.group";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

/// A group that was deleted and whose streams are still to go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leftover {
    key: String,
}

impl Record for Leftover {
    const KIND: &'static str = "logs.leftover";
    fn key(&self) -> String {
        self.key.clone()
    }
}

pub async fn create_log_group(
    cx: Cx,
    input: CreateLogGroupInput,
) -> Result<CreateLogGroupOutput, Error> {
    let class = input.log_group_class.unwrap_or(LogGroupClass::Standard);
    if class != LogGroupClass::Standard {
        return Err(unsupported(format!("the log group class {class}")));
    }
    let name = input.log_group_name;
    if name.starts_with("aws/") {
        return Err(invalid(
            "Log groups starting with AWS/ are reserved for AWS.",
        ));
    }
    let mut group = Group {
        region: cx.region.clone(),
        name,
        created_ms: cx.clock().now_ms(),
        retention_days: None,
        tags: BTreeMap::new(),
        made_by: cx.token.clone(),
    };
    tags::add(&mut group.tags, input.tags.unwrap_or_default())?;
    sweep(&cx, &group.key()).await?;
    cx.write(|tx| {
        if let Some(there) = tx.get::<Group>(&group.key())? {
            if there.made_by.is_some() && there.made_by == group.made_by {
                return Ok(CreateLogGroupOutput {});
            }
            return Err(ResourceAlreadyExistsException
                .because("The specified log group already exists"));
        }
        if tx.get::<Leftover>(&group.key())?.is_some() {
            return Err(OperationAbortedException.because(
                "A conflicting operation is currently in progress against this resource. Please try again.",
            ));
        }
        tx.put(&group)?;
        Ok(CreateLogGroupOutput {})
    })
}

pub async fn delete_log_group(
    cx: Cx,
    input: DeleteLogGroupInput,
) -> Result<DeleteLogGroupOutput, Error> {
    let key = cx.key(&input.log_group_name);
    cx.write(|tx| {
        find(&cx, tx, &input.log_group_name)?;
        tx.delete::<Group>(&key)?;
        tx.put(&Leftover { key: key.clone() })
    })?;
    sweep(&cx, &key).await?;
    Ok(DeleteLogGroupOutput {})
}

/// Removes the streams of a deleted group. One at a time, so that none removes what a new group of
/// the same name has already begun.
async fn sweep(cx: &Cx, key: &str) -> Result<(), Error> {
    static SWEEPING: Mutex<()> = Mutex::const_new(());
    if cx.read(|tx| tx.get::<Leftover>(key))?.is_none() {
        return Ok(());
    }
    let _alone = SWEEPING.lock().await;
    if cx.read(|tx| tx.get::<Leftover>(key))?.is_none() {
        return Ok(());
    }
    let logs = &cx.engine().logs;
    logs.delete_group(key).await.map_err(cloud::internal)?;
    cx.write(|tx| tx.delete::<Leftover>(key))?;
    Ok(())
}

/// Finishes deletions that were cut short.
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
        sweep(&cx, key).await?;
        Ok(Next::Idle)
    }
}

pub async fn describe_log_groups(
    cx: Cx,
    input: DescribeLogGroupsInput,
) -> Result<DescribeLogGroupsOutput, Error> {
    if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
        return Err(invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    // Of the accounts that are named, this is the only one that there is.
    let others_only = input
        .account_identifiers
        .as_ref()
        .is_some_and(|it| !it.is_empty() && !it.iter().any(|it| it == cx.account()));
    let groups = match others_only {
        true => Vec::new(),
        false => selected(&cx, &input)?,
    };
    let (groups, next_token) = page(
        groups,
        |it| &it.name,
        input.next_token.as_deref(),
        input.limit,
    )?;
    let mut shown = Vec::with_capacity(groups.len());
    for group in groups {
        shown.push(describe(&cx, group).await?);
    }
    Ok(DescribeLogGroupsOutput {
        log_groups: Some(shown),
        next_token,
    })
}

/// The groups that are asked for, by name.
fn selected(cx: &Cx, input: &DescribeLogGroupsInput) -> Result<Vec<Group>, Error> {
    if input
        .log_group_class
        .is_some_and(|it| it != LogGroupClass::Standard)
    {
        return Ok(Vec::new());
    }
    if let Some(identifiers) = &input.log_group_identifiers {
        let found = identifiers.iter().map(|it| find_by_identifier(cx, it));
        return found.collect();
    }
    let prefix = input.log_group_name_prefix.as_deref().unwrap_or_default();
    let mut groups = cx.read(|tx| tx.list::<Group>(&cx.key(prefix)))?;
    if let Some(pattern) = &input.log_group_name_pattern {
        let pattern = pattern.to_lowercase();
        groups.retain(|it| it.name.to_lowercase().contains(&pattern));
    }
    Ok(groups)
}

async fn describe(cx: &Cx, group: Group) -> Result<LogGroup, Error> {
    let streams = cx.engine().logs.streams(&group.key()).await;
    let streams = streams.map_err(cloud::internal)?;
    let stored: u64 = streams.iter().map(|it| it.stored_bytes).sum();
    let arn = group_arn(cx, &group.name);
    Ok(LogGroup {
        arn: Some(format!("{arn}:*")),
        log_group_arn: Some(arn),
        log_group_name: Some(group.name),
        creation_time: Some(group.created_ms),
        retention_in_days: group.retention_days,
        metric_filter_count: Some(0),
        stored_bytes: Some(i64::try_from(stored).unwrap_or(i64::MAX)),
        log_group_class: Some(LogGroupClass::Standard),
        deletion_protection_enabled: Some(false),
        ..Default::default()
    })
}
