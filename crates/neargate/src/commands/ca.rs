//! `neargate ca`: the local authority's certificate, and the system's trust in it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::config::Config;
use crate::say;

/// Where Debian's `update-ca-certificates` looks for what an administrator trusts (its manual page).
const TRUSTED: &str = "/usr/local/share/ca-certificates";
const UPDATER: &str = "/usr/sbin/update-ca-certificates";

/// Prints the certificate of the local authority, which issues the certificates that ACM is asked for.
#[derive(Debug, Args)]
pub struct Ca {
    #[command(subcommand)]
    what: Option<Trust>,
}

#[derive(Debug, Subcommand)]
enum Trust {
    /// Make this machine trust the local authority
    Install,
    /// Make this machine trust it no longer
    Remove,
}

#[derive(Debug, Deserialize)]
struct Authority {
    name: String,
    certificate: String,
}

impl Authority {
    /// Installations on one machine have authorities of their own, whose names end in what tells them apart.
    fn path(&self) -> PathBuf {
        let own = self.name.rsplit(' ').next().unwrap_or_default();
        Path::new(TRUSTED).join(format!("neargate-{own}.crt"))
    }
}

impl Ca {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let authority = ask(&Client::new(config)?).await?;
        match self.what {
            None if config.json => say::line(json!({
                "name": authority.name,
                "certificate": authority.certificate,
            })),
            None => say::output(authority.certificate.trim_end()),
            Some(Trust::Install) => install(&authority)?,
            Some(Trust::Remove) => remove(&authority)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn ask(client: &Client) -> Result<Authority> {
    let answer = client.post("/_neargate/v1/authority", &json!({})).await?;
    let bytes = answer.collect().await?.to_bytes();
    serde_json::from_slice(&bytes).context("the daemon's answer is not understood")
}

fn check_system() -> Result<()> {
    if !Path::new(TRUSTED).is_dir() || !Path::new(UPDATER).is_file() {
        bail!(
            "only the trust of Debian and its kin is known here (`{UPDATER}` and `{TRUSTED}`): put what `neargate ca` prints where your system keeps authorities"
        );
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("the system's trust is root's to change: run this with sudo");
    }
    Ok(())
}

fn install(authority: &Authority) -> Result<()> {
    check_system()?;
    let path = authority.path();
    let shown = path.display();
    std::fs::write(&path, &authority.certificate)
        .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o644)))
        .with_context(|| format!("cannot write `{shown}`"))?;
    update(&[])?;
    say::line(format_args!(
        "This machine trusts `{}` (`{shown}`). `neargate ca remove` ends that.",
        authority.name
    ));
    Ok(())
}

fn remove(authority: &Authority) -> Result<()> {
    check_system()?;
    let path = authority.path();
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove `{}`", path.display()));
        }
        _ => {}
    }
    // What is gone stays trusted until the list is made anew.
    update(&["--fresh"])?;
    say::line(format_args!(
        "This machine does not trust `{}`.",
        authority.name
    ));
    Ok(())
}

fn update(arguments: &[&str]) -> Result<()> {
    let done = Command::new(UPDATER).args(arguments).output();
    let done = done.with_context(|| format!("cannot run `{UPDATER}`"))?;
    if !done.status.success() {
        let words = String::from_utf8_lossy(&done.stderr);
        bail!("`{UPDATER}` failed: {}", words.trim());
    }
    Ok(())
}
