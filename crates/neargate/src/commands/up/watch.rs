//! What happens to the containers while the stack waits for them: shown as it happens, and kept for
//! the verdict, because a stack that rolls back takes its tasks and targets away.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::json;
use shapes::cloudformation::DescribeStackResourcesInput;
use shapes::ecs::{DescribeTasksInput, DesiredStatus, ListTasksInput, Task};
use shapes::elbv2::{DescribeTargetHealthInput, TargetHealthStateEnum};
use shapes::logs::GetLogEventsInput;

use super::verdict::{self, Stopped};
use crate::client::Client;
use crate::say::Step;

/// A task that starts and fails at once is still seen to listen, or not to.
const LOOK_EVERY: Duration = Duration::from_millis(80);
/// A program that opens several ports has opened them all by then.
const HINT_AFTER: Duration = Duration::from_secs(1);
/// How many tasks are described in one call; AWS's limit.
const TASKS_MAX: usize = 100;
/// What a container prints last says why it ended.
const LOG_LINES: i32 = 15;
/// Scaling and deployments stop tasks that did nothing wrong.
const NO_FAILURE: &str = "Scaling activity";

pub struct Watch<'a> {
    client: &'a Client,
    name: &'a str,
    looked: Option<Instant>,
    /// Tasks that stopped before this belong to an earlier deployment, or to an earlier stack.
    began: f64,
    known: HashSet<String>,
    target_group: Option<String>,
    log_group: Option<String>,
    seen: verdict::Seen,
    port: u16,
    first_unhealthy: Option<Instant>,
    has_hinted: bool,
}

impl<'a> Watch<'a> {
    pub fn begin(client: &'a Client, name: &'a str, port: u16) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            client,
            name,
            looked: None,
            began: since_epoch.unwrap_or_default().as_secs_f64(),
            known: HashSet::new(),
            target_group: None,
            log_group: None,
            seen: verdict::Seen::default(),
            port,
            first_unhealthy: None,
            has_hinted: false,
        }
    }

    /// Looks once. What is not there yet, or not any more, is no error: the stack says what failed.
    pub async fn look(&mut self, step: &Step) {
        if self.looked.is_some_and(|it| it.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        if self.target_group.is_none() || self.log_group.is_none() {
            let _ = self.find_resources().await;
        }
        let _ = self.look_at_stopped(step).await;
        let _ = self.look_at_listeners().await;
        let _ = self.look_at_targets(step).await;
        self.hint(step);
    }

    /// Why it failed and what to do, when that has been seen.
    pub async fn verdict(mut self, wanted: verdict::Wanted<'_>) -> Option<String> {
        if let Some(last) = self.seen.stopped.last().map(|it| it.id.clone()) {
            self.seen.printed = self.printed(&last).await.unwrap_or_default();
        }
        verdict::verdict(&self.seen, wanted)
    }

    async fn find_resources(&mut self) -> Result<()> {
        let input = DescribeStackResourcesInput {
            stack_name: Some(self.name.to_owned()),
            ..Default::default()
        };
        let found = self.client.call(input).await?.stack_resources;
        for resource in found.into_iter().flatten() {
            let place = match resource.logical_resource_id.as_str() {
                "Targets" => &mut self.target_group,
                "LogGroup" => &mut self.log_group,
                _ => continue,
            };
            *place = resource.physical_resource_id.filter(|it| !it.is_empty());
        }
        Ok(())
    }

    async fn tasks(&self, desired_status: DesiredStatus) -> Result<Vec<String>> {
        let input = ListTasksInput {
            cluster: Some(self.name.to_owned()),
            service_name: Some(self.name.to_owned()),
            desired_status: Some(desired_status),
            ..Default::default()
        };
        Ok(self.client.call(input).await?.task_arns.unwrap_or_default())
    }

    async fn look_at_stopped(&mut self, step: &Step) -> Result<()> {
        let mut fresh = self.tasks(DesiredStatus::Stopped).await?;
        fresh.retain(|it| !self.known.contains(it));
        fresh.truncate(TASKS_MAX);
        if fresh.is_empty() {
            return Ok(());
        }
        let input = DescribeTasksInput {
            cluster: Some(self.name.to_owned()),
            tasks: fresh,
            ..Default::default()
        };
        let mut tasks = self.client.call(input).await?.tasks.unwrap_or_default();
        tasks.retain(|it| it.last_status.as_deref() == Some("STOPPED"));
        tasks.sort_by(|a, b| stopped_at(a).total_cmp(&stopped_at(b)));
        for task in tasks {
            let (at, arn) = (stopped_at(&task), task.task_arn.clone().unwrap_or_default());
            let stopped = stopped(&task);
            self.known.insert(arn);
            if at < self.began || stopped.reason.starts_with(NO_FAILURE) {
                continue;
            }
            // The next one that stops for the same reason says nothing new.
            let before = self.seen.stopped.last();
            if before.is_none_or(|it| it.why() != stopped.why()) {
                step.line(&format!("a task stopped: {}", stopped.why()));
            }
            self.seen.stopped.push(stopped);
        }
        Ok(())
    }

    async fn look_at_listeners(&mut self) -> Result<()> {
        for arn in self.tasks(DesiredStatus::Running).await? {
            let task = arn.rsplit('/').next().unwrap_or_default();
            let found = self.listening(task).await?;
            if !found.is_empty() {
                self.seen.listening.insert(task.to_owned(), found);
            }
        }
        Ok(())
    }

    async fn listening(&self, task: &str) -> Result<BTreeSet<SocketAddr>> {
        #[derive(Deserialize)]
        struct Answer {
            addresses: BTreeSet<SocketAddr>,
        }
        let body = (self.client)
            .post("/_neargate/v1/listening", &json!({ "task": task }))
            .await?
            .collect()
            .await?
            .to_bytes();
        Ok(serde_json::from_slice::<Answer>(&body)?.addresses)
    }

    async fn look_at_targets(&mut self, step: &Step) -> Result<()> {
        let Some(group) = &self.target_group else {
            return Ok(());
        };
        let input = DescribeTargetHealthInput {
            target_group_arn: group.clone(),
            ..Default::default()
        };
        let found = self.client.call(input).await?.target_health_descriptions;
        for described in found.into_iter().flatten() {
            let (Some(target), Some(health)) = (described.target, described.target_health) else {
                continue;
            };
            if health.state != Some(TargetHealthStateEnum::Unhealthy) {
                continue;
            }
            let description = health.description.unwrap_or_default();
            self.first_unhealthy.get_or_insert_with(Instant::now);
            if self.seen.unhealthy.last() != Some(&description) {
                let port = target.port.unwrap_or_default();
                step.line(&format!(
                    "target {}:{port} unhealthy: {description}",
                    target.id
                ));
                self.seen.unhealthy.push(description);
            }
        }
        Ok(())
    }

    /// The scheduler is patient with what may still be starting. Who waits hears at once what looks
    /// wrong.
    fn hint(&mut self, step: &Step) {
        let is_time = self
            .first_unhealthy
            .is_some_and(|it| it.elapsed() > HINT_AFTER);
        if self.has_hinted || !is_time {
            return;
        }
        for addresses in self.seen.listening.values() {
            if let Some((why, _)) = verdict::misplaced(addresses, self.port) {
                step.line(&format!("still waiting, but {why}"));
                self.has_hinted = true;
                return;
            }
        }
    }

    /// The last lines of a task's container.
    async fn printed(&self, task: &str) -> Result<Vec<String>> {
        let input = GetLogEventsInput {
            log_group_name: self.log_group.clone(),
            log_stream_name: format!("web/web/{task}"),
            limit: Some(LOG_LINES),
            ..Default::default()
        };
        let events = self.client.call(input).await?.events.unwrap_or_default();
        Ok(events.into_iter().filter_map(|it| it.message).collect())
    }
}

fn stopped(task: &Task) -> Stopped {
    let arn = task.task_arn.as_deref().unwrap_or_default();
    let container = task.containers.iter().flatten().next();
    Stopped {
        id: arn.rsplit('/').next().unwrap_or_default().to_owned(),
        reason: task.stopped_reason.clone().unwrap_or_default(),
        exit_code: container.and_then(|it| it.exit_code),
        container_reason: container.and_then(|it| it.reason.clone()),
    }
}

/// Seconds since 1970.
fn stopped_at(task: &Task) -> f64 {
    task.stopped_at.as_ref().map_or(0.0, |it| it.0)
}
