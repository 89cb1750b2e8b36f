//! What a build's container gets: its size, its variables, its spec.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cloud::Cx;
use engine::{
    ContainerSpec, DOCKER_SOCKET, EngineError, INSIDE, MountSpec, PreparedImage, TaskSpec,
    VolumeSpec,
};
use shapes::codebuild::{ComputeType, EnvironmentVariableType};
use shapes::secretsmanager::GetSecretValueInput;
use shapes::ssm::GetParameterInput;

use crate::buildspec::Buildspec;
use crate::image::is_docker;
use crate::record::BuildRecord;
use crate::source::Failure;
use crate::{driver, inside, network};

/// A build may start many compilers at once; a fork bomb stays within.
const PIDS_MAX: u32 = 16_384;
/// A build that is stopped has nothing to finish.
const STOP_TIMEOUT_MS: u64 = 500;
pub const CONTAINER: &str = "build";
/// Where the folder of docker's socket is seen by the container.
const DOCKER_DIR: &str = "/codebuild/docker";

/// CPU units and MiB (user guide, "Build environment compute modes and types").
pub fn size(compute: ComputeType) -> Option<(u32, u32)> {
    match compute {
        ComputeType::BuildGeneral1Small => Some((2 * 1024, 4 * 1024)),
        ComputeType::BuildGeneral1Medium => Some((4 * 1024, 8 * 1024)),
        ComputeType::BuildGeneral1Large => Some((8 * 1024, 16 * 1024)),
        ComputeType::BuildGeneral1Xlarge => Some((36 * 1024, 72 * 1024)),
        ComputeType::BuildGeneral12xlarge => Some((72 * 1024, 144 * 1024)),
        _ => None,
    }
}

/// Variables of a container, and those values of them that no log may show.
#[derive(Debug, Default)]
pub struct Variables {
    pub env: Vec<(String, String)>,
    pub secrets: Vec<String>,
}

impl Variables {
    fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.env.iter_mut().find(|it| it.0 == name) {
            Some(known) => known.1 = value,
            None => self.env.push((name.to_owned(), value)),
        }
    }
}

/// The image's variables, CodeBuild's, the buildspec's, the project's: later ones win.
pub async fn variables(
    cx: &Cx,
    build: &BuildRecord,
    spec: &Buildspec,
    image: &PreparedImage,
) -> Result<Variables, Failure> {
    let mut out = Variables::default();
    for pair in &image.config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        out.set(name, value);
    }
    own_variables(cx, build, &mut out);
    for (name, value) in &spec.variables {
        out.set(name, value);
    }
    for (name, parameter) in &spec.parameters {
        let value = parameter_value(cx, parameter).await?;
        set_secret(&mut out, name, value);
    }
    for (name, reference) in &spec.secrets {
        let value = secret_value(cx, reference).await?;
        set_secret(&mut out, name, value);
    }
    let environment = build.shape.environment.clone().unwrap_or_default();
    for it in environment.environment_variables.iter().flatten() {
        match it.r#type {
            Some(EnvironmentVariableType::ParameterStore) => {
                let value = parameter_value(cx, &it.value).await?;
                set_secret(&mut out, &it.name, value);
            }
            Some(EnvironmentVariableType::SecretsManager) => {
                let value = secret_value(cx, &it.value).await?;
                set_secret(&mut out, &it.name, value);
            }
            _ => out.set(&it.name, &it.value),
        }
    }
    Ok(out)
}

fn set_secret(out: &mut Variables, name: &str, value: String) {
    out.secrets.push(value.clone());
    out.set(name, value);
}

fn own_variables(cx: &Cx, build: &BuildRecord, out: &mut Variables) {
    let shape = &build.shape;
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let source = shape.source.clone().unwrap_or_default();
    let image = shape.environment.clone().unwrap_or_default().image;
    // Of a repository that is kept here, the address that is reached from inside.
    let repository = text(&source.location).replacen(&cx.engine().access.api, &door(), 1);
    for (name, value) in [
        ("HOME", "/root".to_owned()),
        ("CODEBUILD_CI", "true".into()),
        ("CODEBUILD_BUILD_ID", text(&shape.id)),
        ("CODEBUILD_BUILD_ARN", text(&shape.arn)),
        (
            "CODEBUILD_BUILD_NUMBER",
            shape.build_number.unwrap_or_default().to_string(),
        ),
        ("CODEBUILD_BUILD_IMAGE", image.clone()),
        ("CODEBUILD_INITIATOR", text(&shape.initiator)),
        ("CODEBUILD_KMS_KEY_ID", text(&shape.encryption_key)),
        (
            "CODEBUILD_RESOLVED_SOURCE_VERSION",
            text(&shape.resolved_source_version),
        ),
        ("CODEBUILD_SOURCE_VERSION", text(&shape.source_version)),
        ("CODEBUILD_SOURCE_REPO_URL", repository),
        ("CODEBUILD_SRC_DIR", build.source_dir()),
        ("CODEBUILD_START_TIME", build.submitted_ms.to_string()),
        (
            "CODEBUILD_LOG_PATH",
            text(&shape.logs.clone().unwrap_or_default().stream_name),
        ),
        ("AWS_REGION", build.region.clone()),
        ("AWS_DEFAULT_REGION", build.region.clone()),
        ("AWS_ENDPOINT_URL", door()),
        (
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            inside::credentials_path(build),
        ),
        ("AWS_EXECUTION_ENV", "AWS_CodeBuild".into()),
    ] {
        out.set(name, value);
    }
    for (identifier, directory) in secondary_directories(build) {
        out.set(&format!("CODEBUILD_SRC_DIR_{identifier}"), directory);
    }
    if wants_docker(build) {
        // Not below /var/run, which images may have a folder of their own at.
        out.set(
            "DOCKER_HOST",
            format!("unix://{DOCKER_DIR}/{DOCKER_SOCKET}"),
        );
    }
}

/// AWS's API, as the container reaches it.
fn door() -> String {
    format!("http://{}", INSIDE.ip())
}

/// Where the container sees its secondary sources.
pub fn secondary_directories(build: &BuildRecord) -> Vec<(String, String)> {
    let sources = build.shape.secondary_sources.iter().flatten();
    sources
        .enumerate()
        .map(|(index, it)| {
            let number = build.source_number + 1 + u32::try_from(index).unwrap_or(0);
            let identifier = it.source_identifier.clone().unwrap_or_default();
            (identifier, format!("/codebuild/output/src{number}/src"))
        })
        .collect()
}

/// The workspace of a secondary source.
pub fn secondary_workspace(build: &BuildRecord, index: usize) -> String {
    format!("{}-src-{}", build.uuid, index + 1)
}

/// Docker is there for builds that are privileged, as on AWS.
fn wants_docker(build: &BuildRecord) -> bool {
    let environment = build.shape.environment.as_ref();
    environment.is_some_and(|it| it.privileged_mode == Some(true) || is_docker(&it.image))
}

/// Serves the build's own docker, also after a restart of the daemon: the folder of its socket. Builds of
/// one project share the steps of `docker build` and nothing else.
pub async fn open_docker(cx: &Cx, build: &BuildRecord) -> Result<Option<PathBuf>, EngineError> {
    if !wants_docker(build) {
        return Ok(None);
    }
    let cache = format!("{}/{}", build.region, build.project);
    cx.engine().docker.open(&build.uuid, &cache).await
}

async fn parameter_value(cx: &Cx, name: &str) -> Result<String, Failure> {
    let asked = GetParameterInput {
        name: name.to_owned(),
        with_decryption: Some(true),
    };
    match cx.call(asked).await {
        Ok(answer) => Ok(answer.parameter.and_then(|it| it.value).unwrap_or_default()),
        Err(error) if error.status >= 500 && error.status != 501 => Err(error.into()),
        Err(error) => Err(Failure::Phase(
            "Decrypted Variables Error",
            format!("parameter `{name}`: {}: {}", error.code, error.message),
        )),
    }
}

/// `secret-id:json-key:version-stage:version-id`, of which all but the first may be missing. An ARN
/// has colons of its own.
async fn secret_value(cx: &Cx, reference: &str) -> Result<String, Failure> {
    let failed = |why: String| {
        Failure::Phase(
            "Secrets Manager Error Message",
            format!("secret `{reference}`: {why}"),
        )
    };
    let parts: Vec<&str> = reference.split(':').collect();
    // arn:aws:secretsmanager:region:account:secret:name
    let own = if reference.starts_with("arn:") { 7 } else { 1 };
    let own = own.min(parts.len());
    let part = |index: usize| parts.get(own + index).filter(|it| !it.is_empty());
    let asked = GetSecretValueInput {
        secret_id: parts[..own].join(":"),
        version_stage: part(1).map(|it| (*it).to_owned()),
        version_id: part(2).map(|it| (*it).to_owned()),
    };
    let answer = match cx.call(asked).await {
        Ok(answer) => answer,
        Err(error) if error.status >= 500 && error.status != 501 => return Err(error.into()),
        Err(error) => return Err(failed(format!("{}: {}", error.code, error.message))),
    };
    let text = answer.secret_string.unwrap_or_default();
    let Some(key) = part(0) else {
        return Ok(text);
    };
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    match &json[*key] {
        serde_json::Value::Null => Err(failed(format!("it has no key `{key}`"))),
        serde_json::Value::String(value) => Ok(value.clone()),
        other => Ok(other.to_string()),
    }
}

/// The folders that a container sees.
pub struct Folders {
    pub agent: PathBuf,
    /// Where it is, and where the container sees it.
    pub sources: Vec<(PathBuf, String)>,
    pub caches: Vec<(PathBuf, String)>,
    /// Of docker's socket, when the build has docker.
    pub docker: Option<PathBuf>,
}

pub fn task_spec(
    build: &BuildRecord,
    spec: &Buildspec,
    image: &PreparedImage,
    variables: Variables,
    folders: Folders,
    log_file: Option<PathBuf>,
) -> TaskSpec {
    let environment = build.shape.environment.clone().unwrap_or_default();
    let (cpu_units, memory_mib) = size(environment.compute_type).unwrap_or((2048, 4096));
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    let mut mount = |name: String, from: &Path, to: &str, read_only: bool| {
        volumes.push(VolumeSpec {
            name: name.clone(),
            host_path: Some(from.to_owned()),
            of_outer: false,
        });
        mounts.push(MountSpec {
            volume: name,
            path: to.into(),
            read_only,
        });
    };
    mount("agent".into(), &folders.agent, driver::AGENT_DIR, false);
    for (index, (from, to)) in folders.sources.iter().enumerate() {
        mount(format!("source-{index}"), from, to, false);
    }
    for (index, (from, to)) in folders.caches.iter().enumerate() {
        mount(format!("cache-{index}"), from, to, false);
    }
    if let Some(folder) = &folders.docker {
        // The folder and not the socket: a daemon that starts anew makes another socket there. The build
        // makes none: whoever connects to it is to find docker, and not the build.
        mount("docker".into(), folder, DOCKER_DIR, true);
    }
    let env = variables.env.iter();
    let container = ContainerSpec {
        name: CONTAINER.into(),
        directories: image.directories.clone(),
        argv: vec![
            spec.shell.clone(),
            format!("{}/{}", driver::AGENT_DIR, driver::SCRIPT),
        ],
        env: env.map(|(name, value)| format!("{name}={value}")).collect(),
        working_dir: "/".into(),
        essential: true,
        // AWS gives such a build a machine of its own. Here it gets docker and not the machine.
        privileged: false,
        init_process: true,
        mounts,
        stop_signal: "SIGTERM".into(),
        stop_timeout_ms: STOP_TIMEOUT_MS,
        log_file,
        log_hides: hidden(&variables.secrets),
        ..Default::default()
    };
    TaskSpec {
        id: build.uuid.clone(),
        interface: Some(network::interface(build)),
        within: None,
        hostname: build.uuid.chars().take(12).collect(),
        dns: Vec::new(),
        hosts: Vec::new(),
        cpu_units: Some(cpu_units),
        memory_mib: Some(memory_mib),
        disk: None,
        gives_way_to_a_full_disk: true,
        pids_max: Some(PIDS_MAX),
        containers: vec![container],
        volumes,
        labels: BTreeMap::from([("codebuild.build".to_owned(), build.id())]),
    }
}

/// A shorter one would hide half of the log and no secret.
const SECRET_BYTES_MIN: usize = 3;

/// What a log must not show: secrets, each line of them, the longest first.
fn hidden(secrets: &[String]) -> Vec<String> {
    let lines = secrets.iter().flat_map(|it| it.lines());
    let mut all: Vec<String> = lines.map(|it| it.trim().to_owned()).collect();
    all.retain(|it| it.len() >= SECRET_BYTES_MIN);
    all.sort_by_key(|it| std::cmp::Reverse(it.len()));
    all.dedup();
    all
}

/// How long a build may wait, and run. These are the user's own times: no pace compresses them.
pub fn minutes_ms(minutes: Option<i32>, default: i64) -> i64 {
    minutes.map_or(default, i64::from) * 60_000
}
