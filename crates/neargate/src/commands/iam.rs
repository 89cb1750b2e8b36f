//! `neargate iam`: what roles and users needed, found out from their calls.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use comfy_table::{Table, presets};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use shapes::iam::{GetRoleInput, GetUserInput};

use crate::client::Client;
use crate::config::Config;
use crate::say;

#[derive(Debug, Subcommand)]
pub enum Iam {
    /// Print the least policy that the recorded calls of a role or user need
    Suggest {
        /// A role's or user's name or ARN
        name: String,
    },
    /// List the recorded calls of a role or user, and whether its policies allow them
    Calls {
        /// A role's or user's name or ARN
        name: String,
        /// Only what its policies do not allow
        #[arg(long)]
        denied: bool,
    },
}

#[derive(Debug, Deserialize)]
struct Found {
    policy: Value,
    calls: Vec<iam::Call>,
}

impl Iam {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let client = Client::new(config)?;
        match self {
            Self::Suggest { name } => suggest(&client, name).await,
            Self::Calls { name, denied } => calls(config, &client, name, *denied).await,
        }
    }
}

async fn suggest(client: &Client, name: &str) -> Result<ExitCode> {
    let principal = arn_of(client, name).await?;
    let found = recorded(client, &principal).await?;
    if found.calls.is_empty() {
        bail!("no call of `{principal}` was seen yet: let it do its work once, and ask again");
    }
    say::line(serde_json::to_string_pretty(&found.policy)?);
    Ok(ExitCode::SUCCESS)
}

async fn calls(config: &Config, client: &Client, name: &str, denied: bool) -> Result<ExitCode> {
    let principal = arn_of(client, name).await?;
    let mut calls = recorded(client, &principal).await?.calls;
    if denied {
        calls.retain(|it| !it.allowed);
    }
    if config.json {
        say::line(serde_json::to_string_pretty(&calls)?);
        return Ok(ExitCode::SUCCESS);
    }
    if calls.is_empty() {
        say::line(format_args!("No such call of {principal} was seen."));
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ALLOWED", "ACTION", "RESOURCE"]);
    for it in &calls {
        let allowed = if it.allowed { "yes" } else { "no" };
        table.add_row([allowed, &it.action, &it.resource]);
    }
    say::line(table);
    Ok(ExitCode::SUCCESS)
}

/// A role by this name, or a user.
async fn arn_of(client: &Client, name: &str) -> Result<String> {
    if name.starts_with("arn:") {
        return Ok(name.to_owned());
    }
    let role = GetRoleInput {
        role_name: name.to_owned(),
    };
    if let Ok(found) = client.call(role).await {
        return Ok(found.role.arn);
    }
    let user = GetUserInput {
        user_name: Some(name.to_owned()),
    };
    match client.call(user).await {
        Ok(found) => Ok(found.user.arn),
        Err(_) => bail!("there is no role and no user `{name}`"),
    }
}

async fn recorded(client: &Client, principal: &str) -> Result<Found> {
    let answer = client
        .post(
            "/_neargate/v1/iam/calls",
            &json!({ "principal": principal }),
        )
        .await?;
    let bytes = answer.collect().await?.to_bytes();
    serde_json::from_slice(&bytes).context("the daemon's answer is not understood")
}
