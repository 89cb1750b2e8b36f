//! `neargate connection`: connections to Git hosts, and completing them without a browser.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use comfy_table::{Table, presets};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shapes::codeconnections::{Connection as Shown, ListConnectionsInput};

use crate::client::Client;
use crate::config::Config;
use crate::say;

/// A token is a line.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub enum Connection {
    /// List connections and whether they are complete
    Ls,
    /// Complete a connection, so that pipelines and builds can read through it
    Authorize {
        /// The connection's name or ARN
        name: String,
        /// A token that may read the repositories; `-` reads it from the standard input. Without
        /// one, only what everybody may read is read
        #[arg(long)]
        token: Option<String>,
    },
}

impl Connection {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let client = Client::new(config)?;
        match self {
            Self::Ls => list(config, &client).await,
            Self::Authorize { name, token } => authorize(config, &client, name, token).await,
        }
    }
}

async fn list(config: &Config, client: &Client) -> Result<ExitCode> {
    let mut all: Vec<Shown> = Vec::new();
    let mut input = ListConnectionsInput::default();
    loop {
        let page = client.call(input.clone()).await?;
        all.extend(page.connections.unwrap_or_default());
        input.next_token = page.next_token;
        if input.next_token.is_none() {
            break;
        }
    }
    if config.json {
        let all: Vec<Value> = all.iter().map(wire::to_json).collect();
        say::line(serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        say::line(
            "No connections. `aws codeconnections create-connection --provider-type GitHub --connection-name NAME` makes one.",
        );
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["NAME", "PROVIDER", "STATUS", "ARN"]);
    for it in &all {
        let text = |it: Option<String>| it.unwrap_or_default();
        table.add_row([
            text(it.connection_name.clone()),
            text(it.provider_type.map(|it| it.to_string())),
            text(it.connection_status.map(|it| it.to_string())),
            text(it.connection_arn.clone()),
        ]);
    }
    say::line(table);
    Ok(ExitCode::SUCCESS)
}

fn read_token(token: &Option<String>) -> Result<Option<String>> {
    let Some(token) = token else {
        return Ok(None);
    };
    if token != "-" {
        return Ok(Some(token.clone()));
    }
    let mut text = String::new();
    std::io::stdin()
        .take(TOKEN_BYTES_MAX)
        .read_to_string(&mut text)
        .context("cannot read the token")?;
    let text = text.trim();
    if text.is_empty() {
        bail!("the standard input has no token");
    }
    Ok(Some(text.to_owned()))
}

async fn authorize(
    config: &Config,
    client: &Client,
    name: &str,
    token: &Option<String>,
) -> Result<ExitCode> {
    let input = json!({ "connection": name, "token": read_token(token)? });
    let path = "/_neargate/v1/connection/authorize";
    let answer = client.post(path, &input).await?.collect().await?.to_bytes();
    let answer: Value =
        serde_json::from_slice(&answer).context("the daemon's answer is not JSON")?;
    if config.json {
        say::line(serde_json::to_string_pretty(&answer)?);
    } else {
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        say::line(format_args!(
            "{} is {} ({})",
            text("name"),
            text("status"),
            text("arn")
        ));
    }
    Ok(ExitCode::SUCCESS)
}
