//! `neargate why`: what is wrong with a thing, or with whatever is red, and what mends it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use console::style;
use http_body_util::BodyExt;
use serde_json::json;
use why::{Basis, Finding, Hop, MendPlace, Outcome, Report};

use crate::client::Client;
use crate::config::Config;
use crate::say;

#[derive(Debug, Args)]
pub struct Why {
    /// A stack, application, service, task, load balancer, target group, pipeline or build project: by its
    /// name, its ARN, or how its id begins. Without: whatever is red now
    thing: Option<String>,
}

/// What the command ends with, for scripts.
const CAUSE_FOUND: u8 = 1;
const COULD_NOT_ASK: u8 = 2;
const UNKNOWN: u8 = 3;

impl Why {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let report = match self.ask(config).await {
            Ok(report) => report,
            // Another code than that of a cause that was found.
            Err(error) => {
                say::failure(&error, config.json);
                return Ok(ExitCode::from(COULD_NOT_ASK));
            }
        };
        if config.json {
            say::line(serde_json::to_string_pretty(&report)?);
        } else {
            say::line(shown(&report).trim_end());
        }
        Ok(match report.outcome {
            Outcome::NothingWrong => ExitCode::SUCCESS,
            Outcome::CauseFound => ExitCode::from(CAUSE_FOUND),
            Outcome::Unknown => ExitCode::from(UNKNOWN),
        })
    }

    async fn ask(&self, config: &Config) -> Result<Report> {
        let client = Client::new(config)?;
        let question = json!({ "thing": self.thing });
        let answer = client.post("/_neargate/v1/why", &question);
        let bytes = answer.await?.collect().await?.to_bytes();
        serde_json::from_slice(&bytes).context("the daemon's answer is not understood")
    }
}

fn shown(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text += &finding_shown(finding);
    }
    for it in &report.unexplained {
        let mark = style("?").yellow().bold();
        text += &format!(
            "{mark} {}: no cause is known\n  it says: {}\n\n",
            it.thing, it.symptom
        );
    }
    if report.outcome == Outcome::NothingWrong {
        let mark = style("✓").green().bold();
        text += &format!("{mark} {}: nothing is wrong\n", report.thing);
    }
    if report.outcome != Outcome::CauseFound {
        let looked = report.looked_at.join(", ");
        text += &format!(
            "  looked at: {}\n",
            if looked.is_empty() {
                "nothing: there is nothing"
            } else {
                &looked
            }
        );
    }
    if !report.not_looked_at.is_empty() {
        text += &format!("  not looked at: {}\n", report.not_looked_at.join(", "));
    }
    text
}

fn finding_shown(it: &Finding) -> String {
    let mark = style("✗").red().bold();
    let mut text = format!("{mark} {}: {}\n", it.thing, style(&it.cause).bold());
    for evidence in &it.because {
        text += &format!("  because  {}: {}\n", evidence.object, evidence.seen);
    }
    for hop in &it.path {
        text += &format!("  path     {}\n", hop_shown(hop));
    }
    for mend in &it.mend {
        let place = match mend.place {
            MendPlace::Template => "template",
            MendPlace::Environment => "environment",
        };
        text += &format!("  mend     {} ({place})\n", mend.what);
        if let Some(command) = &mend.command {
            text += &format!("           $ {command}\n");
        }
    }
    text += &format!("  AWS says {}\n", it.aws_says);
    for other in &it.also_seen {
        text += &format!("  and      {other}\n");
    }
    let basis = match it.basis {
        Basis::Observed => "observed",
        Basis::Derived => "derived",
        Basis::Guessed => "guessed",
    };
    text + &format!("  {} {}, {basis}\n\n", it.id, it.name)
}

fn hop_shown(hop: &Hop) -> String {
    let mark = match hop.passes {
        true => style("✓").green(),
        false => style("✗").red(),
    };
    let mut text = format!("{mark} {}", hop.component);
    for more in [&hop.code, &hop.rule].into_iter().flatten() {
        text += &format!("  {more}");
    }
    text
}
