//! The stack: created, or updated, and watched until it is complete.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use shapes::cloudformation::{
    Capability, CreateStackInput, DeleteStackInput, DescribeStackEventsInput, Parameter, Stack,
    StackEvent, Tag, UpdateStackInput,
};

use super::watch::Watch;
use super::{Timings, Up, verdict};
use crate::client::{CallError, Client};
use crate::commands::application::{TAG, find_stack};
use crate::commands::why::first_cause;
use crate::config::Config;
use crate::say::Step;

const TEMPLATE: &str = include_str!("../../templates/application.yaml");
/// Between looks at a stack that changes: what a person sees as at once.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// Between looks at a stack that somebody else changes: each is a line where there is no terminal.
const REST_LOOK_EVERY: Duration = Duration::from_millis(300);

pub struct Wanted<'a> {
    pub name: &'a str,
    pub image: &'a str,
    pub port: u16,
    pub options: &'a Up,
    /// What was typed, shortly: for advice.
    pub command: &'a str,
}

impl Wanted<'_> {
    fn for_verdict(&self, is_update: bool) -> verdict::Wanted<'_> {
        verdict::Wanted {
            port: self.port,
            health_path: &self.options.health_path,
            memory: self.options.memory,
            is_update,
            command: self.command,
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let options = self.options;
        let pairs = [
            ("Name", self.name.to_owned()),
            ("Image", self.image.to_owned()),
            ("Count", options.count.to_string()),
            ("ContainerPort", self.port.to_string()),
            ("HealthPath", options.health_path.clone()),
            ("Grace", options.grace.to_string()),
            ("Cpu", options.cpu.to_string()),
            ("Memory", options.memory.to_string()),
        ];
        pairs
            .into_iter()
            .map(|(key, value)| Parameter {
                parameter_key: Some(key.to_owned()),
                parameter_value: Some(value),
                ..Default::default()
            })
            .collect()
    }
}

/// Returns the URL that the stack puts out.
pub async fn bring_up(
    config: &Config,
    client: &Client,
    wanted: &Wanted<'_>,
    timings: &mut Timings,
) -> Result<String> {
    let step = Step::begin("stack", config.json);
    let before = standing(client, wanted.name, &step).await?;
    let watch = Watch::begin(client, wanted.name, wanted.port);
    let known = match &before {
        Some(_) => event_ids(client, wanted.name).await?,
        None => HashSet::new(),
    };
    let outcome = match &before {
        None => create(client, wanted).await.map(|()| "created"),
        Some(_) => update(client, wanted).await,
    }?;
    let is_update = before.is_some();
    let stack = wait(client, wanted, is_update, known, watch, &step).await?;
    timings.push(("stack", step.done(&format!("{} {outcome}", wanted.name))));
    let outputs = stack.outputs.unwrap_or_default();
    let url = outputs
        .into_iter()
        .find(|it| it.output_key.as_deref() == Some("Url"));
    url.and_then(|it| it.output_value)
        .context("the stack puts out no Url")
}

/// The application's stack, when there is one to update. What a failed start left is an empty stack
/// that AWS wants deleted first; another's stack is left alone.
async fn standing(client: &Client, name: &str, step: &Step) -> Result<Option<Stack>> {
    let Some(stack) = at_rest(client, name, step).await? else {
        return Ok(None);
    };
    let is_application = stack.tags.iter().flatten().any(|it| it.key == TAG);
    ensure!(
        is_application,
        "there is a stack `{name}` that is no application of `neargate up`: choose another name with --name"
    );
    match stack.stack_status.as_str() {
        "ROLLBACK_COMPLETE" => {
            step.detail("removing what the failed start left");
            remove(client, name).await?;
            Ok(None)
        }
        "ROLLBACK_FAILED" | "CREATE_FAILED" | "DELETE_FAILED" => bail!(
            "the stack `{name}` is {}: `neargate down {name}` removes it, then try again",
            stack.stack_status
        ),
        _ => Ok(Some(stack)),
    }
}

/// The stack, when nothing is in progress: what an `up` that was interrupted began goes on to its end.
async fn at_rest(client: &Client, name: &str, step: &Step) -> Result<Option<Stack>> {
    loop {
        let stack = find_stack(client, name).await?;
        match stack.as_ref().map(|it| it.stack_status.as_str()) {
            Some(status) if status.ends_with("_IN_PROGRESS") => {
                step.detail(&format!("waiting for the end of {status}"));
            }
            _ => return Ok(stack),
        }
        tokio::time::sleep(REST_LOOK_EVERY).await;
    }
}

async fn remove(client: &Client, name: &str) -> Result<()> {
    let input = DeleteStackInput {
        stack_name: name.to_owned(),
        ..Default::default()
    };
    client.call(input).await?;
    while let Some(stack) = find_stack(client, name).await? {
        ensure!(
            stack.stack_status.as_str() != "DELETE_FAILED",
            "the stack `{name}` cannot be deleted: {}",
            stack.stack_status_reason.unwrap_or_default()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn create(client: &Client, wanted: &Wanted<'_>) -> Result<()> {
    let input = CreateStackInput {
        stack_name: wanted.name.to_owned(),
        template_body: Some(TEMPLATE.to_owned()),
        parameters: Some(wanted.parameters()),
        capabilities: Some(vec![Capability::CapabilityIam]),
        tags: Some(vec![Tag {
            key: TAG.to_owned(),
            value: wanted.name.to_owned(),
        }]),
        ..Default::default()
    };
    client.call(input).await?;
    Ok(())
}

async fn update(client: &Client, wanted: &Wanted<'_>) -> Result<&'static str> {
    let input = UpdateStackInput {
        stack_name: wanted.name.to_owned(),
        template_body: Some(TEMPLATE.to_owned()),
        parameters: Some(wanted.parameters()),
        capabilities: Some(vec![Capability::CapabilityIam]),
        tags: Some(vec![Tag {
            key: TAG.to_owned(),
            value: wanted.name.to_owned(),
        }]),
        ..Default::default()
    };
    match client.call(input).await {
        Ok(_) => Ok("updated"),
        Err(error) => match error.downcast_ref::<CallError>() {
            Some(known) if known.message.contains("No updates are to be performed") => {
                Ok("unchanged")
            }
            _ => Err(error),
        },
    }
}

async fn events(client: &Client, name: &str) -> Result<Vec<StackEvent>> {
    let input = DescribeStackEventsInput {
        stack_name: name.to_owned(),
        ..Default::default()
    };
    // Newest first, as AWS answers; the first page is more than a stack of ours ever has.
    Ok(client.call(input).await?.stack_events.unwrap_or_default())
}

async fn event_ids(client: &Client, name: &str) -> Result<HashSet<String>> {
    Ok(events(client, name)
        .await?
        .into_iter()
        .map(|it| it.event_id)
        .collect())
}

/// Shows what happens until nothing is in progress. A stack that did not get there is an error that
/// says why.
async fn wait(
    client: &Client,
    wanted: &Wanted<'_>,
    is_update: bool,
    mut known: HashSet<String>,
    mut watch: Watch<'_>,
    step: &Step,
) -> Result<Stack> {
    let name = wanted.name;
    let mut failures = Vec::new();
    loop {
        let stack = find_stack(client, name)
            .await?
            .with_context(|| format!("the stack `{name}` is gone"))?;
        for event in events(client, name).await?.into_iter().rev() {
            if known.insert(event.event_id.clone()) {
                show(&event, step, &mut failures);
            }
        }
        watch.look(step).await;
        match stack.stack_status.as_str() {
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" => return Ok(stack),
            status if status.ends_with("IN_PROGRESS") => tokio::time::sleep(LOOK_EVERY).await,
            status => {
                if let Some(verdict) = watch.verdict(wanted.for_verdict(is_update)).await {
                    bail!(
                        "{verdict}\n\nThe stack `{name}` is {status}; `neargate why {name}` says what is known of it."
                    );
                }
                if failures.is_empty() {
                    failures.extend(stack.stack_status_reason.clone());
                }
                let cause = first_cause(client, name).await.unwrap_or_default();
                bail!(
                    "the stack `{name}` is {status}: {}\n\n{cause}`neargate why {name}` says what is known of it.",
                    failures.join("; ")
                );
            }
        }
    }
}

/// Shows an event. Once something has failed, what the rollback does is of no interest.
fn show(event: &StackEvent, step: &Step, failures: &mut Vec<String>) {
    let logical = event.logical_resource_id.as_deref().unwrap_or_default();
    let status = event.resource_status.clone().unwrap_or_default();
    let reason = event.resource_status_reason.as_deref().unwrap_or_default();
    if status.ends_with("_FAILED") && !reason.contains("cancelled") {
        failures.push(format!("{logical}: {reason}"));
        step.line(&format!("{logical} {status}: {reason}"));
    } else if failures.is_empty() || status.contains("ROLLBACK") {
        step.detail(&format!("{logical} {status}"));
    }
}
