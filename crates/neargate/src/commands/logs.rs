//! `neargate logs NAME [-f]`: what an application's containers print.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use console::style;
use shapes::logs::{FilterLogEventsInput, FilteredLogEvent};

use super::application;
use crate::client::Client;
use crate::config::Config;
use crate::say;

/// Following looks this often.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// Events that were ingested late are still shown when they are not older than this.
const LATE_MS: i64 = 2000;

#[derive(Debug, Args)]
pub struct Logs {
    /// The application's name
    name: String,
    /// Go on as new lines come
    #[arg(short, long)]
    follow: bool,
}

impl Logs {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let client = Client::new(config)?;
        let application = application::find(&client, &self.name).await?;
        let group = application.log_group.with_context(|| {
            format!(
                "`{}` has no logs yet: it is {}",
                self.name, application.status
            )
        })?;
        let mut from = None;
        let mut shown = std::collections::HashSet::new();
        loop {
            for event in events(&client, &group, from).await? {
                let id = event.event_id.clone().unwrap_or_default();
                from = from.max(event.timestamp.map(|it| it - LATE_MS));
                if shown.insert(id) {
                    print_event(&event, config.json);
                }
            }
            if !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    }
}

async fn events(client: &Client, group: &str, from: Option<i64>) -> Result<Vec<FilteredLogEvent>> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let page = client
            .call(FilterLogEventsInput {
                log_group_name: Some(group.to_owned()),
                start_time: from,
                next_token: token,
                ..Default::default()
            })
            .await?;
        found.extend(page.events.unwrap_or_default());
        token = page.next_token;
        if token.is_none() {
            return Ok(found);
        }
    }
}

fn print_event(event: &FilteredLogEvent, json: bool) {
    let message = event.message.as_deref().unwrap_or_default();
    let stream = event.log_stream_name.as_deref().unwrap_or_default();
    let timestamp = event.timestamp.unwrap_or(0);
    if json {
        say::output(
            serde_json::json!({ "timestamp": timestamp, "stream": stream, "message": message }),
        );
        return;
    }
    let time = wire::Timestamp(timestamp as f64 / 1000.0).to_string();
    let task = stream.rsplit('/').next().unwrap_or_default();
    say::output(format_args!(
        "{} {} {message}",
        style(time).dim(),
        style(&task[..task.len().min(8)]).cyan()
    ));
}
