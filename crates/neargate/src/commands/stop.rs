//! `neargate stop`: the daemon and everything that it runs. Records stay: the next start brings all
//! of it back.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use http_body_util::BodyExt;

use super::background::same_state;
use crate::client::{self, Client};
use crate::config::Config;
use crate::say::Step;

/// Containers get their stop time-out, which is at most two minutes.
const STOP_TIMEOUT: Duration = Duration::from_secs(150);

pub async fn run(config: &Config) -> Result<ExitCode> {
    let Some(health) = client::health(config.listen).await else {
        // The daemon may be gone while its tasks still run.
        let step = Step::begin("stop", config.json);
        crate::daemon::stop_what_runs(config).await?;
        step.done("no daemon was running; nothing of it is left");
        return Ok(ExitCode::SUCCESS);
    };
    same_state(config, &health)?;
    let step = Step::begin("stop", config.json);
    let answer = Client::new(config)?
        .post("/_neargate/v1/stop", &serde_json::json!({}))
        .await?;
    let _ = answer.collect().await?;
    let began = Instant::now();
    // It answers nobody while it stops what it runs: it is gone when its lock is.
    while crate::daemon::runs(&config.state) {
        if began.elapsed() > STOP_TIMEOUT {
            bail!("the daemon (process {}) does not end", health.pid);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    step.done("the daemon and everything that it ran; `neargate serve` brings it back");
    Ok(ExitCode::SUCCESS)
}
