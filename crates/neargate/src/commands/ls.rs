//! `neargate ls`: the applications of this region.

use std::process::ExitCode;

use anyhow::Result;
use comfy_table::{Table, presets};

use super::application;
use super::up::curl_hint;
use crate::client::Client;
use crate::config::Config;
use crate::say;

pub async fn run(config: &Config) -> Result<ExitCode> {
    let applications = application::list(&Client::new(config)?).await?;
    if config.json {
        say::line(serde_json::to_string_pretty(&applications)?);
        return Ok(ExitCode::SUCCESS);
    }
    if applications.is_empty() {
        say::line("No applications. `neargate up DIR` makes one.");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["NAME", "STATUS", "TASKS", "URL"]);
    for it in &applications {
        let tasks = format!("{}/{}", it.running, it.desired);
        table.add_row([
            it.name.as_str(),
            &it.status,
            &tasks,
            it.url.as_deref().unwrap_or("-"),
        ]);
    }
    say::line(table);
    let first = applications.iter().find_map(|it| it.url.as_deref());
    if let Some(hint) = first.and_then(|it| curl_hint(config, it)) {
        say::note(hint);
    }
    Ok(ExitCode::SUCCESS)
}
