//! `neargate version`.

use std::process::ExitCode;

use anyhow::Result;

use crate::config::Config;

pub fn run(config: &Config) -> Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    if config.json {
        println!("{}", serde_json::json!({ "version": version }));
    } else {
        println!("neargate {version}");
    }
    Ok(ExitCode::SUCCESS)
}
