//! The daemon: opens what is on disk and on the machine, composes the services, answers requests,
//! reconciles.

mod compose;
mod docker;
mod inside;
mod lock;
#[cfg(test)]
mod passing;
#[cfg(test)]
mod permissions;
mod records;
mod registry;

use std::fs;
use std::io::IsTerminal;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base::Lack;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::Config;
use crate::credentials::Credentials;
use crate::descriptors;
use crate::front::Front;
pub use compose::{Machine, services};
pub use docker::socket as docker_socket;
pub use inside::Visit;
pub use lock::is_taken as runs;
pub use records::{copies, restore};
pub use registry::RegistryClient;

/// How often unneeded layers are looked for: as long as they are kept after their last use.
const GARBAGE_EVERY: Duration = Duration::from_secs(3600);
/// How often it is asked whether the disk is short of room: one question to the kernel.
const ROOM_LOOK: Duration = Duration::from_secs(5);
/// A collection that found too little is not repeated at once.
const SHORT_EVERY: Duration = Duration::from_secs(300);

/// Runs the daemon until it is told to end. What it runs goes on, unless `neargate stop` asked.
pub fn serve(config: Config) -> Result<ExitCode> {
    // The library at S3's door calls every refusal an error.
    let filter = tracing_subscriber::EnvFilter::try_from_env("NEARGATE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,s3s=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would be said at the same place, where it panics.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let state = config.state.clone();
    (runtime.block_on(run(config))).map_err(|error| explain(error, &state))?;
    // What still runs in the background (a pull, a build) is of no use any more.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// What to do when there was too little of something to start with.
fn explain(error: anyhow::Error, state: &Path) -> anyhow::Error {
    let Some(lack) = cloud::lack_of(error.as_ref()) else {
        return error;
    };
    let advice = match lack {
        Lack::Space => format!(
            "the daemon cannot start without a few MiB for its records: remove what is not needed from the \
             disk of `{}`, and start it again",
            state.display()
        ),
        Lack::Descriptors => "raise the limit (`neargate doctor` tells it), and start the daemon \
                              again"
            .to_owned(),
    };
    error.context(format!("{lack}: {advice}"))
}

async fn run(config: Config) -> Result<()> {
    let open_files = descriptors::raise().unwrap_or_else(|error| {
        tracing::warn!(%error, "the limit of open files stays as it was");
        0
    });
    prepare_directories(&config)?;
    let _lock = lock::take(&config.state)?;
    // Bound first: a taken address must not cost anything.
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "cannot listen at {}: choose another with --listen",
            config.listen
        )
    })?;
    let credentials = Credentials::read_or_make(&config.state)?;
    // Records that are lost or damaged cost nothing of what runs either.
    let records = records::open(&config)?;
    let machine = compose::machine(&config).await?;
    let cloud = compose::cloud(&config, &machine, records);
    let (ask_to_stop, stop_asked) = watch::channel(false);
    let front = Arc::new(Front::new(
        &config,
        credentials,
        cloud.clone(),
        &machine,
        ask_to_stop,
    ));
    let visits = machine.visits.lock().ok().and_then(|mut it| it.take());
    let visits = visits.context("the doors are composed once")?;
    let answering = tokio::spawn(front.clone().receive_visits(visits));
    let registry = docker::connect(&machine, &cloud);
    let docker = docker::serve(&config, &machine, registry)?;
    let reconciling = tokio::spawn(cloud.clone().run());
    let cleaning = tokio::spawn(collect_garbage(
        machine.engine.images.clone(),
        config.state.clone(),
    ));
    let copying = tokio::spawn(records::keep_copies(cloud.clone()));
    let followed = cloud.clone();
    let following = tokio::spawn(async move { followed.follow_clock().await });
    keep_private(&config)?;
    tracing::info!(listen = %config.listen, state = %config.state.display(), open_files, "ready");
    let stop_everything = tokio::select! {
        () = front.serve(listener) => false,
        () = terminated() => false,
        () = asked(stop_asked) => true,
    };
    cleaning.abort();
    copying.abort();
    following.abort();
    // Before anything is stopped, so that no container is restarted for it.
    docker.close().await;
    answering.abort();
    cloud.converge.stop();
    reconciling.await??;
    if stop_everything {
        machine.stop().await?;
    }
    cloud.store.end();
    tracing::info!(everything = stop_everything, "stopped");
    Ok(())
}

/// Ends what a daemon that is not running any more has left running.
pub async fn stop_what_runs(config: &Config) -> Result<()> {
    if !records::were_there(config) {
        return Ok(());
    }
    prepare_directories(config)?;
    let _lock = lock::take(&config.state)?;
    compose::machine(config).await?.stop().await
}

/// The state directory is the owner's alone: it holds secrets and images.
fn prepare_directories(config: &Config) -> Result<()> {
    for directory in [&config.state, &config.run_dir()] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("cannot make `{}`", directory.display()))?;
    }
    // Containers' own users need no way through: their roots are mounted before they are anybody.
    for directory in [&config.state, &config.run_dir()] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// What is directly in these directories is the owner's alone as well, so that nothing below is
/// anybody else's even when a directory is copied, moved or opened to others.
fn keep_private(config: &Config) -> Result<()> {
    for directory in [&config.state, &config.run_dir()] {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                continue;
            }
            let mode = if kind.is_dir() { 0o700 } else { 0o600 };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))
                .with_context(|| format!("cannot protect `{}`", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Blobs and layers that no image needs any more go away, an hour or more after their last use; when the disk
/// is short of room, at once, with what can be had again.
async fn collect_garbage(images: Arc<dyn engine::Images>, directory: PathBuf) {
    let (mut last, mut last_short): (_, Option<Instant>) = (Instant::now(), None);
    loop {
        let is_short = engine::room_in(&directory).is_ok_and(|it| it.is_short());
        let makes_room = is_short && last_short.is_none_or(|it| it.elapsed() >= SHORT_EVERY);
        if !makes_room && last.elapsed() < GARBAGE_EVERY {
            tokio::time::sleep(ROOM_LOOK).await;
            continue;
        }
        last = Instant::now();
        last_short = is_short.then_some(last).or(last_short);
        match images.collect_garbage().await {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(bytes, "removed layers that no image needs"),
            Err(error) => tracing::warn!(error = error.chain(), "cannot remove unneeded layers"),
        }
    }
}

async fn terminated() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn asked(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|it| *it).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Machine {
    /// Stops every task, then the edge, then the networks. The records stay as they are.
    async fn stop(&self) -> Result<()> {
        let tasks = self.engine.tasks.list().await?;
        let ends = tasks.into_iter().map(|task| {
            let tasks = self.engine.tasks.clone();
            async move {
                tasks.stop(&task.id, "neargate is stopping").await?;
                while let Some(status) = tasks.status(&task.id).await? {
                    if status.state == engine::TaskState::Stopped {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok::<(), engine::EngineError>(())
            }
        });
        let ends: Vec<tokio::task::JoinHandle<_>> = ends.map(tokio::spawn).collect();
        for end in ends {
            end.await??;
        }
        self.edge.stop().await?;
        self.network.cleanup_all().await?;
        self.runtime.remove_shared_groups();
        Ok(())
    }
}
