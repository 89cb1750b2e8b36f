//! `neargate open NAME`: prints the address and, on a desktop, opens it.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use super::application;
use super::up::curl_hint;
use crate::client::Client;
use crate::config::Config;
use crate::say;

pub async fn run(config: &Config, name: &str) -> Result<ExitCode> {
    let application = application::find(&Client::new(config)?, name).await?;
    let url = application
        .url
        .with_context(|| format!("`{name}` has no address yet: it is {}", application.status))?;
    if config.json {
        say::line(serde_json::json!({ "name": name, "url": url }));
        return Ok(ExitCode::SUCCESS);
    }
    say::line(&url);
    if let Some(hint) = curl_hint(config, &url) {
        say::note(hint);
    }
    show(&url);
    Ok(ExitCode::SUCCESS)
}

/// Opens an address on a desktop.
pub fn show(url: &str) {
    let desktop =
        std::env::var_os("DISPLAY").is_some() || std::env::var_os("WAYLAND_DISPLAY").is_some();
    if desktop {
        let opener = Command::new("xdg-open")
            .arg(url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if let Err(error) = opener {
            say::note(format_args!("no browser was opened: {error}"));
        }
    }
}
