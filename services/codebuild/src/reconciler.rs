//! What carries a build through its phases.
//!
//! ```text
//! Queued → Provisioning → DownloadingSource → Running ──────────→ UploadingArtifacts → Finalizing
//!          role, log,      sources, buildspec,  marks become        S3                  cache, task
//!          image           script, task         phases                                  and folders go
//! ```
//!
//! Every stage may be done again after a crash. The container does not notice one: it is found again
//! by its id, and what it marked meanwhile is read.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, all_keys};
use engine::{StopReason, TaskState, TaskStatus};
use shapes::codebuild::{BuildPhaseType, StatusType};
use wire::Timestamp;

use crate::buildspec::{Buildspec, parse};
use crate::driver;
use crate::marks;
use crate::names::BUILD_KIND;
use crate::observe::{self, End};
use crate::provision::{self, Folders, minutes_ms};
use crate::record::{BuildRecord, FinishedBuild, Stage};
use crate::role;
use crate::source::{self, Failure};
use crate::{artifacts, image, log, network};

/// Builds that run at the same time on one machine, in one region; others wait in the queue.
const RUNNING_MAX: usize = 20;
/// How often marks are read while a build runs, so that its phases are seen as they come: often at
/// first, seldom in a long build. Its end wakes the reconciler by itself.
const POLL_MIN_MS: i64 = 100;
const POLL_MAX_MS: i64 = 2000;
/// The queue is looked at again this often, should nobody wake it.
const QUEUE_POLL: Duration = Duration::from_millis(500);
/// The session of a build's role is made anew when it is this old; it holds for an hour.
const SESSION_AGE_MS: i64 = 40 * 60 * 1000;
/// Defaults of the API reference, in minutes.
const TIMEOUT_MINUTES: i64 = 60;
const QUEUED_TIMEOUT_MINUTES: i64 = 480;
/// Builds of a project that are kept once they are over.
const FINISHED_MAX: usize = 500;

pub struct BuildReconciler;

enum Progress {
    /// The build is in its next stage.
    On,
    Wait(Next),
}

type Step = Result<Progress, Failure>;

#[async_trait]
impl Reconciler for BuildReconciler {
    fn kind(&self) -> &'static str {
        BUILD_KIND
    }

    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, store::StoreError> {
        all_keys::<BuildRecord>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(mut build) = cx.read(|tx| tx.get::<BuildRecord>(key))? else {
            return Ok(Next::Idle);
        };
        loop {
            let before = build.clone();
            let progress = advance(&cx, &mut build).await;
            if build.stage == Stage::Completed {
                archive(&cx, build)?;
                return Ok(Next::Idle);
            }
            let progress = match progress {
                Err(Failure::Phase(code, message)) => {
                    fail(&cx, &mut build, StatusType::Failed, code, message).await;
                    Ok(Progress::On)
                }
                Err(Failure::Again(error)) => Err(error),
                Ok(progress) => Ok(progress),
            };
            if build != before {
                commit(&cx, &mut build)?;
            }
            match progress? {
                Progress::On => {}
                Progress::Wait(next) => return Ok(next),
            }
        }
    }
}

/// The engine's id of a build's task is the build's own.
pub fn keys_of_task(cloud: &Cloud, id: &str) -> Vec<(&'static str, String)> {
    let keys = all_keys::<BuildRecord>(cloud).unwrap_or_default();
    let suffix = format!(":{id}");
    keys.into_iter()
        .filter(|key| key.ends_with(&suffix))
        .map(|key| (BUILD_KIND, key))
        .collect()
}

async fn advance(cx: &Cx, build: &mut BuildRecord) -> Step {
    match build.stage {
        Stage::Queued => queue(cx, build).await,
        Stage::Provisioning => provision(cx, build).await,
        Stage::DownloadingSource => download(cx, build).await,
        Stage::Running => run(cx, build).await,
        Stage::UploadingArtifacts => upload(cx, build).await,
        Stage::Finalizing => finalize(cx, build).await,
        Stage::Completed => Ok(Progress::Wait(Next::Idle)),
    }
}

fn on(build: &mut BuildRecord, stage: Stage, phase: BuildPhaseType, cx: &Cx) -> Progress {
    let now = cx.clock().now();
    build.leave(StatusType::Succeeded, None, now);
    build.enter(phase, now);
    build.stage = stage;
    Progress::On
}

/// Ends the phase that is under way with an error, and goes to the end.
async fn fail(cx: &Cx, build: &mut BuildRecord, status: StatusType, code: &str, message: String) {
    build.leave(status, Some((code, message)), cx.clock().now());
    log::say_phase(cx, build).await;
    if build.stage != Stage::Finalizing {
        build.enter(BuildPhaseType::Finalizing, cx.clock().now());
    }
    build.stage = Stage::Finalizing;
}

/// Whether somebody asked for an end: then the phase that is under way is the last.
async fn is_stopped(cx: &Cx, build: &mut BuildRecord) -> bool {
    if build.stop_asked {
        fail(cx, build, StatusType::Stopped, "", String::new()).await;
    }
    build.stop_asked
}

async fn queue(cx: &Cx, build: &mut BuildRecord) -> Step {
    if is_stopped(cx, build).await {
        return Ok(Progress::On);
    }
    let others = cx.read(|tx| tx.list::<BuildRecord>(&format!("{}/", cx.region)))?;
    let running = others.iter().filter(|it| it.stage != Stage::Queued);
    let is_next = others
        .iter()
        .filter(|it| it.stage == Stage::Queued)
        .all(|it| (it.submitted_ms, &it.uuid) >= (build.submitted_ms, &build.uuid));
    let free = running.count() < RUNNING_MAX;
    if free && is_next {
        build.begun_ms = Some(cx.clock().now_ms());
        return Ok(on(
            build,
            Stage::Provisioning,
            BuildPhaseType::Provisioning,
            cx,
        ));
    }
    let waited = cx.clock().now_ms() - build.submitted_ms;
    if waited
        > minutes_ms(
            build.shape.queued_timeout_in_minutes,
            QUEUED_TIMEOUT_MINUTES,
        )
    {
        build.timed_out = true;
        let message = "Build has timed out while it was queued.".to_owned();
        fail(cx, build, StatusType::TimedOut, "BUILD_TIMED_OUT", message).await;
        return Ok(Progress::On);
    }
    Ok(Progress::Wait(Next::After(QUEUE_POLL)))
}

async fn provision(cx: &Cx, build: &mut BuildRecord) -> Step {
    if is_stopped(cx, build).await {
        return Ok(Progress::On);
    }
    let role = build.shape.service_role.clone().unwrap_or_default();
    let session = role::assume(cx, &role, &build.project, &build.uuid)
        .await
        .map_err(|error| match error.status {
            500.. => Failure::from(error),
            _ => Failure::Phase("ACCESS_DENIED", error.message),
        })?;
    build.session_key = Some(session.credentials.access_key_id);
    build.session_role_id = session.role_id;
    build.credentials_ms = Some(cx.clock().now_ms());
    let own = role::acting(cx, build);
    log::open(&own, build)
        .await
        .map_err(|error| match error.status {
            500.. => Failure::from(error),
            _ => no_log(build, &error),
        })?;
    let environment = build.shape.environment.clone().unwrap_or_default();
    image::prepare(&own, &environment)
        .await
        .map_err(|error| match error.fault {
            engine::Fault::Machine => Failure::Again(error.into()),
            _ => Failure::Phase(
                "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE",
                format!(
                    "Unable to pull customer's container image. {}",
                    error.chain()
                ),
            ),
        })?;
    Ok(on(
        build,
        Stage::DownloadingSource,
        BuildPhaseType::DownloadSource,
        cx,
    ))
}

/// What AWS says when the role may not keep the build's log.
fn no_log(build: &BuildRecord, error: &cloud::Error) -> Failure {
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let message = format!(
        "Service role {} does not allow AWS CodeBuild to create Amazon CloudWatch Logs log streams for \
         build {}. Error message: {}",
        text(&build.shape.service_role),
        text(&build.shape.arn),
        error.message
    );
    Failure::Phase("ACCESS_DENIED", message)
}

async fn download(cx: &Cx, build: &mut BuildRecord) -> Step {
    // After a crash it may run already.
    if cx.engine().tasks.status(&build.uuid).await?.is_some() {
        build.stage = Stage::Running;
        build.leave(StatusType::Succeeded, None, cx.clock().now());
        return Ok(Progress::On);
    }
    if is_stopped(cx, build).await {
        return Ok(Progress::On);
    }
    let source_dir = build.source_dir();
    let lines = [
        "Phase is DOWNLOAD_SOURCE".to_owned(),
        format!("CODEBUILD_SRC_DIR={source_dir}"),
    ];
    log::say(cx, build, &lines).await;
    let own = role::acting(cx, build);
    let spec = download_sources(&own, build).await?;
    let folders = folders(cx, build).await?;
    let environment = build.shape.environment.clone().unwrap_or_default();
    let image = image::prepare(&own, &environment).await?;
    let variables = provision::variables(&own, build, &spec, &image).await?;
    crate::cache::restore(&own, build, &spec).await?;
    write_agent(cx, build, &spec).await?;
    say_buildspec(cx, build, &spec).await;
    build.leave(StatusType::Succeeded, None, cx.clock().now());
    log::say_phase(cx, build).await;
    let log_file = match log::place(build) {
        Some((group, stream)) => {
            let group = format!("{}/{group}", cx.region);
            Some(cx.engine().logs.stream_file(&group, &stream).await?)
        }
        None => None,
    };
    network::plug(cx, build).await?;
    let task = provision::task_spec(build, &spec, &image, variables, folders, log_file);
    cx.engine().tasks.start(task).await?;
    build.stage = Stage::Running;
    Ok(Progress::On)
}

async fn download_sources(own: &Cx, build: &mut BuildRecord) -> Result<Buildspec, Failure> {
    let source = build.shape.source.clone().unwrap_or_default();
    let version = build.shape.source_version.clone();
    let is_git = source.r#type != shapes::codebuild::SourceType::S3;
    // What a pipeline calls the version of its archive is no version of the object.
    let from_pipeline = build
        .shape
        .initiator
        .as_deref()
        .is_some_and(|it| it.starts_with("codepipeline/"));
    let asked = version.as_deref().filter(|_| is_git || !from_pipeline);
    let workspace = build.source_workspace();
    let found = source::download(own, &source, asked, &workspace).await?;
    build.shape.resolved_source_version = build.shape.resolved_source_version.take().or(found);
    let versions = build.shape.secondary_source_versions.clone();
    let secondary = build.shape.secondary_sources.clone();
    for (index, source) in secondary.iter().flatten().enumerate() {
        let version = versions
            .iter()
            .flatten()
            .find(|it| Some(&it.source_identifier) == source.source_identifier.as_ref());
        let version = version.map(|it| it.source_version.as_str());
        let workspace = provision::secondary_workspace(build, index);
        source::download(own, source, version, &workspace).await?;
    }
    let text = source::read_buildspec(own, build).await?;
    let spec = parse(&text).map_err(|why| Failure::Phase("YAML_FILE_ERROR", why))?;
    build.buildspec = Some(text);
    Ok(spec)
}

async fn folders(cx: &Cx, build: &BuildRecord) -> Result<Folders, Failure> {
    let workspaces = &cx.engine().workspaces;
    let place = workspaces.create(&build.uuid).await?;
    let mut sources = vec![(
        workspaces.path(&build.source_workspace()).await?,
        build.source_dir(),
    )];
    for (index, (_, directory)) in provision::secondary_directories(build)
        .into_iter()
        .enumerate()
    {
        let workspace = provision::secondary_workspace(build, index);
        sources.push((workspaces.path(&workspace).await?, directory));
    }
    Ok(Folders {
        agent: place.join(driver::AGENT_PATH),
        sources,
        caches: crate::cache::folders(cx, build).await?,
        docker: provision::open_docker(cx, build).await?,
    })
}

/// The script of the container.
async fn write_agent(cx: &Cx, build: &BuildRecord, spec: &Buildspec) -> Result<(), Failure> {
    let script = driver::script(spec, &build.source_dir(), crate::cache::is_kept(build));
    let path = Path::new(driver::AGENT_PATH).join(driver::SCRIPT);
    let workspaces = &cx.engine().workspaces;
    Ok(workspaces
        .write(&build.uuid, &path, script.as_bytes())
        .await?)
}

/// The session that what is done for the build is done in: its artifacts, its cache. The container
/// fetches its own.
async fn renew_session(cx: &Cx, build: &mut BuildRecord) -> Result<(), Failure> {
    let role = build.shape.service_role.clone().unwrap_or_default();
    let session = role::assume(cx, &role, &build.project, &build.uuid).await?;
    build.session_key = Some(session.credentials.access_key_id);
    build.session_role_id = session.role_id;
    build.credentials_ms = Some(cx.clock().now_ms());
    Ok(())
}

async fn say_buildspec(cx: &Cx, build: &BuildRecord, spec: &Buildspec) {
    let with_commands = || spec.phases.iter().filter(|it| !it.commands.is_empty());
    let mut lines = vec![
        "Processing environment variables".to_owned(),
        format!("Moving to directory {}", build.source_dir()),
        format!("Phases found in YAML: {}", with_commands().count()),
    ];
    lines.extend(with_commands().map(|it| {
        format!(
            " {}: {} commands",
            it.name.to_uppercase(),
            it.commands.len()
        )
    }));
    log::say(cx, build, &lines).await;
}

fn known_spec(build: &BuildRecord) -> Buildspec {
    // It was read before it was stored.
    parse(build.buildspec.as_deref().unwrap_or_default()).unwrap_or_default()
}

async fn run(cx: &Cx, build: &mut BuildRecord) -> Step {
    let spec = known_spec(build);
    let status = cx.engine().tasks.status(&build.uuid).await?;
    let marks = read_marks(cx, build).await?;
    observe::replay(build, &spec, &marks, cx.clock().now());
    // Also of one that has ended while there was no daemon: its artifacts are still to go.
    let old = cx.clock().now_ms() - build.credentials_ms.unwrap_or(0);
    if old > SESSION_AGE_MS {
        // A role that is gone does not end a build that runs: its next call to AWS fails.
        let _ = renew_session(cx, build).await;
    }
    match status {
        Some(status) if status.state != TaskState::Stopped => {
            end_in_time(cx, build, &status).await?;
            // A new daemon opens it again. A build that holds the address itself has no door: its
            // own loss.
            let _ = cx.engine().inside.open(&network::interface(build)).await;
            provision::open_docker(cx, build).await?;
            Ok(Progress::Wait(Next::After(poll(cx, build))))
        }
        stopped => {
            let end = end_of(stopped.as_ref());
            let now = cx.clock().now();
            observe::conclude(build, &spec, &marks, &end, now);
            take_exported(cx, build).await?;
            if !observe::may_upload(build) {
                build.enter(BuildPhaseType::Finalizing, now);
                build.stage = Stage::Finalizing;
            } else {
                build.enter(BuildPhaseType::UploadArtifacts, now);
                build.stage = Stage::UploadingArtifacts;
            }
            Ok(Progress::On)
        }
    }
}

fn poll(cx: &Cx, build: &BuildRecord) -> Duration {
    let ran = cx.clock().now_ms() - build.begun_ms.unwrap_or(build.submitted_ms);
    let wait = (ran / 16).clamp(POLL_MIN_MS, POLL_MAX_MS);
    Duration::from_millis(wait.unsigned_abs())
}

/// Stops the container when somebody asked for it, or when its time is over.
async fn end_in_time(cx: &Cx, build: &mut BuildRecord, status: &TaskStatus) -> Result<(), Failure> {
    let ran = cx.clock().now_ms() - build.begun_ms.unwrap_or(build.submitted_ms);
    if ran > minutes_ms(build.shape.timeout_in_minutes, TIMEOUT_MINUTES) {
        build.timed_out = true;
    }
    if (build.stop_asked || build.timed_out) && status.state != TaskState::Stopping {
        cx.engine()
            .tasks
            .stop(&build.uuid, "the build ends")
            .await?;
    }
    Ok(())
}

fn end_of(status: Option<&TaskStatus>) -> End {
    let Some(status) = status else {
        return End::Lost;
    };
    match &status.reason {
        Some(StopReason::CannotStart { message, .. }) => End::NotStarted(message.clone()),
        Some(StopReason::SupervisorLost) | None => End::Lost,
        _ => End::Exited(
            status
                .containers
                .first()
                .and_then(|it| it.exit_code)
                .unwrap_or(1),
        ),
    }
}

async fn read_marks(cx: &Cx, build: &BuildRecord) -> Result<Vec<marks::TimedMark>, Failure> {
    let path = Path::new(driver::AGENT_PATH).join(driver::MARKS);
    let workspaces = &cx.engine().workspaces;
    // Whatever a build has made of the file, it is the build's own loss.
    let bytes = workspaces
        .read(&build.uuid, &path, marks::BYTES_MAX)
        .await
        .unwrap_or_default();
    Ok(marks::read(&String::from_utf8_lossy(&bytes)))
}

async fn take_exported(cx: &Cx, build: &mut BuildRecord) -> Result<(), Failure> {
    let path = Path::new(driver::AGENT_PATH).join(driver::EXPORTED);
    let workspaces = &cx.engine().workspaces;
    let found = workspaces
        .read(&build.uuid, &path, marks::EXPORTED_BYTES_MAX)
        .await
        .unwrap_or_default();
    let exported = marks::read_exported(&found).into_iter();
    build.shape.exported_environment_variables = Some(
        exported
            .map(
                |(name, value)| shapes::codebuild::ExportedEnvironmentVariable {
                    name: Some(name),
                    value: Some(value),
                },
            )
            .collect(),
    );
    Ok(())
}

async fn upload(cx: &Cx, build: &mut BuildRecord) -> Step {
    if is_stopped(cx, build).await {
        return Ok(Progress::On);
    }
    let spec = known_spec(build);
    artifacts::upload(&role::acting(cx, build), build, &spec).await?;
    build.leave(StatusType::Succeeded, None, cx.clock().now());
    log::say_phase(cx, build).await;
    build.enter(BuildPhaseType::Finalizing, cx.clock().now());
    build.stage = Stage::Finalizing;
    Ok(Progress::On)
}

async fn finalize(cx: &Cx, build: &mut BuildRecord) -> Step {
    let wrong = match keep_results(cx, build).await {
        Ok(()) => None,
        Err(Failure::Phase(code, message)) => Some((code, message)),
        Err(again) => return Err(again),
    };
    // What is left on the machine is removed, however long it takes.
    let again = |error: engine::EngineError| Failure::Again(error.into());
    cx.engine().tasks.remove(&build.uuid).await.map_err(again)?;
    cx.engine().docker.close(&build.uuid).await.map_err(again)?;
    network::unplug(cx, build).await.map_err(again)?;
    remove_folders(cx, build).await.map_err(again)?;
    let now = cx.clock().now();
    match wrong {
        Some(error) => build.leave(StatusType::Failed, Some(error), now),
        None => build.leave(StatusType::Succeeded, None, now),
    }
    let statuses = build.shape.phases.iter().flatten();
    let statuses: Vec<StatusType> = statuses.filter_map(|it| it.phase_status).collect();
    let worst = [
        StatusType::Stopped,
        StatusType::TimedOut,
        StatusType::Fault,
        StatusType::Failed,
    ];
    let status = worst.into_iter().find(|it| statuses.contains(it));
    build.enter(BuildPhaseType::Completed, now);
    build.shape.build_status = Some(status.unwrap_or(StatusType::Succeeded));
    build.shape.build_complete = Some(true);
    build.shape.end_time = Some(Timestamp(now));
    build.stage = Stage::Completed;
    Ok(Progress::On)
}

/// Reports, the cache and the log's copy.
async fn keep_results(cx: &Cx, build: &mut BuildRecord) -> Result<(), Failure> {
    let spec = known_spec(build);
    let own = role::acting(cx, build);
    if !build.stop_asked && !build.timed_out && build.buildspec.is_some() {
        crate::report::take(&own, build, &spec).await?;
        crate::cache::save(&own, build, &spec).await?;
    }
    log::upload(&own, build).await
}

async fn remove_folders(cx: &Cx, build: &BuildRecord) -> Result<(), engine::EngineError> {
    let workspaces = &cx.engine().workspaces;
    for workspace in [
        build.uuid.clone(),
        build.source_workspace(),
        build.cache_workspace(),
    ] {
        workspaces.remove(&workspace).await?;
    }
    let secondary = build.shape.secondary_sources.iter().flatten().count();
    for index in 0..secondary {
        let workspace = provision::secondary_workspace(build, index);
        workspaces.remove(&workspace).await?;
    }
    Ok(())
}

/// Writes what was learnt, and keeps what a caller asked for meanwhile.
fn commit(cx: &Cx, build: &mut BuildRecord) -> Result<(), cloud::Error> {
    cx.write(|tx| {
        if let Some(now) = tx.get::<BuildRecord>(&cloud::Record::key(build))? {
            build.stop_asked |= now.stop_asked;
        }
        tx.put(build)
    })
}

/// The build is over: its record moves to where start-up does not look, and old ones go.
fn archive(cx: &Cx, build: BuildRecord) -> Result<(), cloud::Error> {
    cx.write(|tx| {
        tx.delete::<BuildRecord>(&cloud::Record::key(&build))?;
        let prefix = format!("{}/{}:", build.region, build.project);
        let mut kept: Vec<FinishedBuild> = tx.list(&prefix)?;
        kept.sort_by_key(|it| it.0.submitted_ms);
        let surplus = (kept.len() + 1).saturating_sub(FINISHED_MAX);
        for old in kept.iter().take(surplus) {
            tx.delete::<FinishedBuild>(&cloud::Record::key(old))?;
        }
        tx.put(&FinishedBuild(build))
    })
}
