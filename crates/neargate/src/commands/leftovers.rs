//! `neargate leftovers`: what stays in the account when stacks are deleted, on AWS as here, and what
//! removes it.
//!
//! A thing is left when no stack that is there owns it: a stack that is gone retained it, or it was
//! made by hand or by a build.

mod kinds;
mod owners;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::client::Client;
use crate::config::Config;
use crate::say;
use owners::Owners;

#[derive(Debug, Args)]
pub struct Leftovers {
    /// Only what this deleted stack, or one nested in it, has left
    stack: Option<String>,
}

/// One thing that is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// `S3 bucket`.
    pub kind: &'static str,
    pub name: String,
    /// How much it is: `3 images`.
    pub holds: String,
    /// The deleted stack that retained it.
    pub stack: Option<String>,
    /// What removes it.
    pub command: String,
}

impl Leftovers {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let client = Client::new(config)?;
        let owners = Owners::read(&client).await?;
        let mut left = kinds::list(&client, &owners).await?;
        if let Some(stack) = &self.stack {
            left.retain(|it| it.stack.as_deref().is_some_and(|of| is_of(of, stack)));
        }
        if config.json {
            say::line(serde_json::to_string_pretty(&left)?);
        } else if left.is_empty() {
            say::line("Nothing is left.");
        } else {
            say::line(table(&left));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether a stack is the named one or nested in it: `PARENT-LogicalId-SUFFIX`.
fn is_of(stack: &str, named: &str) -> bool {
    stack
        .strip_prefix(named)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn table(left: &[Left]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["KIND", "NAME", "HOLDS", "LEFT BY", "WHAT REMOVES IT"]);
    for it in left {
        table.add_row([
            it.kind,
            &it.name,
            &it.holds,
            it.stack.as_deref().unwrap_or("-"),
            &it.command,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn nested_stacks_belong_to_their_root() {
        assert!(is_of("shop", "shop"));
        assert!(is_of("shop-Network-1A2B3C4D5E6F", "shop"));
        assert!(!is_of("shopping", "shop"));
    }
}
