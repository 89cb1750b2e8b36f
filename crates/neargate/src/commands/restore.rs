//! `neargate restore`: puts a copy of the records in their place, while no daemon runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use comfy_table::{Table, presets};
use engine::bytes_in_words;
use serde_json::{Value, json};
use store::{Restored, StoreCopy};

use crate::config::Config;
use crate::daemon;
use crate::say;

#[derive(Debug, Args)]
pub struct Restore {
    /// A file that is a copy of `store.db`, or the name of one that `--list` shows; without one, the
    /// newest of these
    copy: Option<PathBuf>,
    /// Only list the copies that the daemon has made
    #[arg(long, conflicts_with = "copy")]
    list: bool,
}

impl Restore {
    pub fn run(&self, config: &Config) -> Result<ExitCode> {
        if self.list {
            list(config, &daemon::copies(config)?);
            return Ok(ExitCode::SUCCESS);
        }
        let restored = daemon::restore(config, self.copy.as_deref())?;
        if config.json {
            say::line(as_json(&restored));
        } else {
            tell(&restored);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tell(restored: &Restored) {
    say::line(format_args!(
        "{} records are as they were in `{}`.",
        restored.records,
        restored.copy.display()
    ));
    if restored.unreadable > 0 {
        say::line(format_args!(
            "{} of them cannot be read: an older copy may have them (`neargate restore --list`).",
            restored.unreadable
        ));
    }
    if let Some(replaced) = &restored.replaced {
        say::line(format_args!(
            "What was there is `{}`; remove it when it is not needed.",
            replaced.display()
        ));
    }
    say::line(
        "What was made since then is not known: `neargate serve` goes on from these records. Tasks that \
         began to run since then go on until `neargate stop`.",
    );
}

fn as_json(restored: &Restored) -> Value {
    json!({
        "copy": restored.copy,
        "records": restored.records,
        "unreadable": restored.unreadable,
        "replaced": restored.replaced,
    })
}

fn list(config: &Config, copies: &[StoreCopy]) {
    if config.json {
        let all: Vec<Value> = copies
            .iter()
            .map(|it| {
                let since = it.state_of.duration_since(SystemTime::UNIX_EPOCH);
                let seconds = since.map_or(0, |it| it.as_secs());
                json!({ "path": it.path, "state_of": seconds, "bytes": it.bytes })
            })
            .collect();
        say::line(json!(all));
    } else if copies.is_empty() {
        say::line("There are no copies.");
    } else {
        say::line(table(copies));
    }
}

fn table(copies: &[StoreCopy]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["NAME", "STATE OF", "SIZE"]);
    for copy in copies {
        let name = copy.path.file_name().unwrap_or_default().to_string_lossy();
        let age = SystemTime::now().duration_since(copy.state_of);
        table.add_row([
            name.into_owned(),
            format!("{} ago", in_words(age.map_or(0, |it| it.as_secs()))),
            bytes_in_words(copy.bytes),
        ]);
    }
    table
}

/// `5 s`, `12 min`, `3 h`, `2 d`: the largest unit that is there.
fn in_words(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3600, "h"), (60, "min")];
    let unit = UNITS.iter().find(|it| seconds >= it.0);
    let (size, name) = unit.copied().unwrap_or((1, "s"));
    format!("{} {name}", seconds / size)
}

#[cfg(test)]
mod tests {
    #[test]
    fn ages_are_said_in_the_largest_unit() {
        for (seconds, said) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (7300, "2 h"),
            (200_000, "2 d"),
        ] {
            assert_eq!(super::in_words(seconds), said);
        }
    }
}
