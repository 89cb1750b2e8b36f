//! `neargate stop`: the daemon and everything that it runs. Records stay: the next start brings all
//! of it back.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use http_body_util::BodyExt;

use super::background::own_daemon;
use crate::client::Client;
use crate::config::Config;
use crate::say::Step;

/// Containers get their stop time-out, which is at most two minutes.
const STOP_TIMEOUT: Duration = Duration::from_secs(150);

pub async fn run(config: &Config) -> Result<ExitCode> {
    let Some(health) = own_daemon(config).await? else {
        // The daemon may be gone while its tasks still run.
        let step = Step::begin("stop", config.json);
        crate::daemon::stop_what_runs(config).await?;
        step.done("no daemon was running; nothing of it is left");
        return Ok(ExitCode::SUCCESS);
    };
    let step = Step::begin("stop", config.json);
    let asked = Client::new(config)?
        .post("/_neargate/v1/stop", &serde_json::json!({}))
        .await;
    match asked {
        Ok(answer) => drop(answer.collect().await),
        // A daemon that has nothing to stop may be gone before its answer is: that it ends is what
        // counts, and is waited for.
        Err(error) if was_cut_short(&error) => {}
        Err(error) => return Err(error),
    }
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

/// Whether a request was taken and its connection ended without an answer.
fn was_cut_short(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<hyper::Error>();
    error.is_some_and(hyper::Error::is_incomplete_message)
}
