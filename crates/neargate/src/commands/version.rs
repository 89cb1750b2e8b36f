//! `neargate version`.

use std::process::ExitCode;

use anyhow::Result;

use crate::config::Config;
use crate::say;

pub fn run(config: &Config) -> Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    if config.json {
        say::line(serde_json::json!({ "version": version }));
    } else {
        say::line(format_args!("neargate {version}"));
    }
    Ok(ExitCode::SUCCESS)
}
