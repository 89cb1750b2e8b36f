//! `neargate instance`: this region's EC2 instances, and what they write to their consoles.

use std::process::ExitCode;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Subcommand;
use comfy_table::{Table, presets};
use serde_json::json;
use shapes::ec2::{DescribeInstancesInput, GetConsoleOutputInput, Instance};

use crate::client::Client;
use crate::config::Config;
use crate::say;

#[derive(Debug, Subcommand)]
pub enum InstanceCommand {
    /// List them
    Ls,
    /// Show what one has written to its console: what it does when it boots, user data too
    Logs {
        /// The instance's id
        id: String,
    },
}

impl InstanceCommand {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let client = Client::new(config)?;
        match self {
            Self::Ls => list(&client, config).await?,
            Self::Logs { id } => logs(&client, config, id).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn instances(client: &Client) -> Result<Vec<Instance>> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let page = client
            .call(DescribeInstancesInput {
                next_token: token,
                ..Default::default()
            })
            .await?;
        let reservations = page.reservations.unwrap_or_default().into_iter();
        found.extend(reservations.flat_map(|it| it.instances.unwrap_or_default()));
        token = page.next_token;
        if token.is_none() {
            return Ok(found);
        }
    }
}

async fn list(client: &Client, config: &Config) -> Result<()> {
    let all = instances(client).await?;
    let state = |it: &Instance| {
        let name = it.state.as_ref().and_then(|it| it.name);
        name.map(|it| it.to_string()).unwrap_or_default()
    };
    let kind = |it: &Instance| {
        let kind = it.instance_type.as_ref();
        kind.map(ToString::to_string).unwrap_or_default()
    };
    let name = |it: &Instance| {
        let mut tags = it.tags.iter().flatten();
        let name = tags.find(|it| it.key.as_deref() == Some("Name"));
        name.and_then(|it| it.value.clone())
    };
    if config.json {
        let shown = |it: &Instance| {
            json!({
                "id": it.instance_id, "name": name(it), "state": state(it), "type": kind(it),
                "private_address": it.private_ip_address, "public_address": it.public_ip_address,
                "image": it.image_id, "subnet": it.subnet_id,
            })
        };
        let shown: Vec<_> = all.iter().map(shown).collect();
        say::line(serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    if all.is_empty() {
        say::line("No instances. `aws ec2 run-instances` makes one.");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "NAME", "STATE", "TYPE", "PRIVATE", "PUBLIC"]);
    for it in &all {
        let or_none =
            |text: Option<&str>| text.filter(|it| !it.is_empty()).unwrap_or("-").to_owned();
        table.add_row([
            or_none(it.instance_id.as_deref()),
            or_none(name(it).as_deref()),
            state(it),
            kind(it),
            or_none(it.private_ip_address.as_deref()),
            or_none(it.public_ip_address.as_deref()),
        ]);
    }
    say::line(table);
    Ok(())
}

async fn logs(client: &Client, config: &Config, id: &str) -> Result<()> {
    let answer = client
        .call(GetConsoleOutputInput {
            instance_id: id.to_owned(),
            ..Default::default()
        })
        .await?;
    let bytes = BASE64
        .decode(answer.output.unwrap_or_default())
        .context("the daemon's answer is not base64")?;
    let text = String::from_utf8_lossy(&bytes);
    for line in text.lines() {
        match config.json {
            true => say::output(json!({ "instance": id, "message": line })),
            false => say::output(line),
        }
    }
    Ok(())
}
