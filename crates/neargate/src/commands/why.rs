//! `neargate why`: what is wrong with a thing, or with whatever is red, and what mends it.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use console::{Term, measure_text_width, style};
use http_body_util::BodyExt;
use serde_json::json;
use why::{Basis, Finding, Hop, MendPlace, Outcome, Report, Severity};

use crate::client::{CallError, Client};
use crate::config::Config;
use crate::say;

#[derive(Debug, Args)]
pub struct Why {
    /// A stack, application, cluster, service, task, instance, load balancer, target group, pipeline or build project:
    /// by its name, its ARN, or how its id begins; an execution's id; or a URL. Without: whatever is red now
    thing: Option<String>,
    /// Whether the thing reaches this one: a thing or an address, with a port, as `db:5432`
    #[arg(value_name = "TO:PORT")]
    to: Option<String>,
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
            say::line(shown(&report, width()).trim_end());
        }
        Ok(match report.outcome {
            Outcome::NothingWrong => ExitCode::SUCCESS,
            Outcome::CauseFound => ExitCode::from(CAUSE_FOUND),
            Outcome::Unknown => ExitCode::from(UNKNOWN),
        })
    }

    async fn ask(&self, config: &Config) -> Result<Report> {
        let client = Client::new(config)?;
        let question = json!({ "thing": self.thing, "to": self.to });
        let answer = client.post("/_neargate/v1/why", &question).await;
        let bytes = answer.map_err(in_words)?.collect().await?.to_bytes();
        serde_json::from_slice(&bytes).context("the daemon's answer is not understood")
    }
}

/// The first cause of what is wrong with a thing, for commands that have failed with it. What cannot be asked now is
/// left to whoever asks later.
pub async fn first_cause(client: &Client, thing: &str) -> Option<String> {
    let question = json!({ "thing": thing });
    let answer = client.post("/_neargate/v1/why", &question).await.ok()?;
    let bytes = answer.collect().await.ok()?.to_bytes();
    let report: Report = serde_json::from_slice(&bytes).ok()?;
    let first = report.findings.first()?;
    Some(finding_shown(first, None))
}

/// What the daemon says, without the code that is for programs.
fn in_words(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<CallError>() {
        Ok(known) => anyhow!(known.message),
        Err(other) => other,
    }
}

/// A label and its place before what it labels: `  because  `.
const INDENT: usize = 11;

/// How long lines may get; none where no terminal shows them.
pub fn width() -> Option<usize> {
    let terminal = Term::stdout();
    let columns = terminal.size_checked().map(|it| usize::from(it.1));
    columns.filter(|_| terminal.is_term())
}

fn shown(report: &Report, width: Option<usize>) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text += &finding_shown(finding, width);
    }
    for it in &report.unexplained {
        let mark = style("?").yellow().bold();
        text += &format!("{mark} {}: no cause is known\n", it.thing);
        text += &labelled("it says", &it.symptom, width);
        text.push('\n');
    }
    if report.outcome == Outcome::NothingWrong {
        let mark = style("✓").green().bold();
        text += &format!("{mark} {}: nothing is wrong\n", report.thing);
    }
    for hop in &report.path {
        text += &format!("  path     {}\n", hop_shown(hop));
    }
    if report.outcome != Outcome::CauseFound {
        let looked = match report.looked_at.is_empty() {
            true => "nothing: there is nothing".to_owned(),
            false => report.looked_at.join(", "),
        };
        text += &hanging("  looked at: ", &looked, width, |it| it.to_owned());
    }
    if !report.not_looked_at.is_empty() {
        let rest = report.not_looked_at.join(", ");
        text += &hanging("  not looked at: ", &rest, width, |it| it.to_owned());
    }
    text
}

pub fn finding_shown(it: &Finding, width: Option<usize>) -> String {
    let mark = match it.severity {
        Some(Severity::Warning) => style("!").yellow().bold(),
        Some(Severity::Note) => style("i").cyan().bold(),
        Some(Severity::Error) | None => style("✗").red().bold(),
    };
    // Terminals and editors lead to a place that begins its line's text.
    let place = it
        .place
        .as_ref()
        .map_or(String::new(), |it| format!("{it}: "));
    let headline = format!("{place}{}: {}", it.thing, it.cause);
    let bold = |line: &str| style(line).bold().to_string();
    let mut text = format!("{mark} {}", &hanging("  ", &headline, width, bold)[2..]);
    for evidence in &it.because {
        let seen = format!("{}: {}", evidence.object, evidence.seen);
        text += &labelled("because", &seen, width);
    }
    for hop in &it.path {
        text += &format!("  path     {}\n", hop_shown(hop));
    }
    for mend in &it.mend {
        let place = match mend.place {
            MendPlace::Template => "template",
            MendPlace::Environment => "environment",
        };
        text += &labelled("mend", &format!("{} ({place})", mend.what), width);
        if let Some(command) = &mend.command {
            // It is copied as one line.
            text += &format!("           $ {command}\n");
        }
    }
    if !it.cause.contains(&it.aws_says) {
        text += &labelled("AWS says", &it.aws_says, width);
    }
    for other in &it.also_seen {
        text += &labelled("and", other, width);
    }
    let basis = match it.basis {
        Basis::Observed => "observed",
        Basis::Derived => "derived",
        Basis::Guessed => "guessed",
    };
    text + &format!("  {} {}, {basis}\n\n", it.id, it.name)
}

fn labelled(label: &str, text: &str, width: Option<usize>) -> String {
    let label = format!("  {label:<8} ");
    hanging(&label, text, width, |it| it.to_owned())
}

/// The text behind its label, in lines that begin below each other. A word that is longer than a line stays whole:
/// it is a name, and is copied.
pub fn hanging(
    label: &str,
    text: &str,
    width: Option<usize>,
    styled: impl Fn(&str) -> String,
) -> String {
    let indent = measure_text_width(label).min(INDENT);
    let room = width.map_or(usize::MAX, |it| it.saturating_sub(indent));
    let (mut lines, mut used) = (vec![String::new()], measure_text_width(label) - indent);
    for word in text.split_whitespace() {
        let long = measure_text_width(word);
        let line = lines
            .last_mut()
            .filter(|it| it.is_empty() || used < room.saturating_sub(long));
        match line {
            Some(line) => {
                used += usize::from(!line.is_empty()) + long;
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            None => {
                used = long;
                lines.push(word.to_owned());
            }
        }
    }
    let lines: Vec<String> = lines.iter().map(|it| styled(it)).collect();
    format!(
        "{label}{}\n",
        lines.join(&format!("\n{}", " ".repeat(indent)))
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(label: &str, text: &str, width: Option<usize>) -> String {
        hanging(label, text, width, |it| it.to_owned())
    }

    #[test]
    fn long_lines_hang_below_their_beginning() {
        let text = "one two three four";
        assert_eq!(
            plain("  mend     ", text, None),
            format!("  mend     {text}\n")
        );
        assert_eq!(
            plain("  mend     ", text, Some(20)),
            "  mend     one two\n           three\n           four\n"
        );
        assert_eq!(
            plain("  mend     ", text, Some(24)),
            "  mend     one two three\n           four\n"
        );
        // A name stays whole, and a terminal without columns shows one word a line.
        assert_eq!(
            plain("  ", "see arn:aws:ecs:us-east-1:0 now", Some(12)),
            "  see\n  arn:aws:ecs:us-east-1:0\n  now\n"
        );
        assert_eq!(plain("  ", "a b", Some(0)), "  a\n  b\n");
        assert_eq!(plain("  ", "", Some(80)), "  \n");
        assert_eq!(
            plain("  not looked at: ", "one two", Some(21)),
            "  not looked at: one\n           two\n"
        );
    }
}
