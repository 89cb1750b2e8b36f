//! `neargate console`: a link to the web console that works once.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::json;

use super::open;
use crate::client::Client;
use crate::config::Config;
use crate::say;

#[derive(Debug, Args)]
pub struct Web {
    /// Let this browser change things, too: deploy again, scale, roll back
    #[arg(long)]
    write: bool,
}

#[derive(Deserialize)]
struct Invitation {
    path: String,
}

impl Web {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let address = reached_at(config.listen)?;
        let asked = json!({ "write": self.write });
        let answer = Client::new(config)?
            .post("/_neargate/v1/console", &asked)
            .await?;
        let bytes = answer.collect().await?.to_bytes();
        let invitation: Invitation =
            serde_json::from_slice(&bytes).context("the daemon's answer is not understood")?;
        let url = format!("http://{address}{}", invitation.path);
        if config.json {
            say::line(json!({ "url": url }));
            return Ok(ExitCode::SUCCESS);
        }
        say::line(&url);
        say::note("this link works once, on this machine, for ten minutes");
        open::show(&url);
        Ok(ExitCode::SUCCESS)
    }
}

/// The console answers at this machine's loopback alone.
fn reached_at(listen: SocketAddr) -> Result<SocketAddr> {
    let ip = listen.ip();
    ensure!(
        ip.is_loopback() || ip.is_unspecified(),
        "the daemon listens at {listen} alone, and the console is for its own machine: let it listen at 127.0.0.1 (--listen), and reach it from elsewhere by a tunnel"
    );
    Ok(match ip.is_unspecified() {
        true => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port()),
        false => listen,
    })
}
