//! The image: built by the daemon, into its registry.

use anyhow::{Context, Result, bail};
use engine::{AssembleRequest, BuildEvent, BuildRequest, Built, ImageConfig, ImageName};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use shapes::ecr::CreateRepositoryInput;

use super::Timings;
use super::folder::{Folder, STATIC_PORT};
use crate::client::{CallError, Client};
use crate::config::Config;
use crate::say::Step;

/// Where things are in a static site's image.
const PROGRAM: &str = "/neargate";
const SITE: &str = "/site";
/// `nobody` on every Linux: the web server reads files and nothing else.
const NOBODY: &str = "65534:65534";

pub struct Image {
    /// With its digest.
    pub reference: String,
    pub exposed_ports: Vec<u16>,
}

/// One line of the daemon's answer to a build.
#[derive(Deserialize)]
enum Line {
    Event(BuildEvent),
    Error(String),
    #[serde(untagged)]
    Done {
        #[serde(rename = "Built")]
        built: Built,
        config: Box<ImageConfig>,
    },
}

pub async fn build(
    config: &Config,
    client: &Client,
    folder: &Folder,
    request: BuildRequest,
    name: &str,
    timings: &mut Timings,
) -> Result<Image> {
    let step = Step::begin("image", config.json);
    let repository = repository(client, name).await?;
    let tagged: ImageName = format!("{repository}:latest").parse()?;
    let request = if folder.is_static() {
        site(folder, tagged)
    } else {
        dockerfile(request, tagged)
    };
    let answer = client.post("/_neargate/v1/build", &request).await?;
    let (built, image) = follow(answer, &step).await?;
    let cached = match built.cached_steps {
        0 => String::new(),
        cached => format!(", {cached} of {} steps cached", built.steps),
    };
    let size = built.size_bytes as f64 / 1_048_576.0;
    timings.push((
        "image",
        step.done(&format!("{name} ({size:.1} MiB{cached})")),
    ));
    let port = |it: &String| it.split('/').next().and_then(|it| it.parse().ok());
    Ok(Image {
        reference: format!("{repository}@{}", built.digest),
        exposed_ports: image.exposed_ports.iter().filter_map(port).collect(),
    })
}

/// The repository's whole name; made when it is not there.
async fn repository(client: &Client, name: &str) -> Result<String> {
    let create = CreateRepositoryInput {
        repository_name: name.to_owned(),
        ..Default::default()
    };
    match client.call(create).await {
        Ok(_) => {}
        Err(error) => match error.downcast_ref::<CallError>() {
            Some(known) if known.code == "RepositoryAlreadyExistsException" => {}
            _ => return Err(error.context("cannot make the image's repository")),
        },
    }
    let describe = shapes::ecr::DescribeRepositoriesInput {
        repository_names: Some(vec![name.to_owned()]),
        ..Default::default()
    };
    let found = client
        .call(describe)
        .await?
        .repositories
        .unwrap_or_default();
    found
        .into_iter()
        .next()
        .and_then(|it| it.repository_uri)
        .context("the repository has no address")
}

fn dockerfile(mut request: BuildRequest, name: ImageName) -> serde_json::Value {
    request.names = vec![name];
    json!({ "Build": request })
}

fn site(folder: &Folder, name: ImageName) -> serde_json::Value {
    let words = [PROGRAM, "static", "--root", SITE, "--port"];
    let entrypoint = words
        .iter()
        .map(|it| (*it).to_owned())
        .chain([STATIC_PORT.to_string()])
        .collect();
    let config = ImageConfig {
        entrypoint,
        user: NOBODY.into(),
        working_dir: "/".into(),
        exposed_ports: vec![format!("{STATIC_PORT}/tcp")],
        stop_signal: Some("SIGTERM".into()),
        ..Default::default()
    };
    let request = AssembleRequest {
        config,
        files: vec![(folder.path.clone(), SITE.into())],
        names: vec![name],
    };
    json!({ "Assemble": { "request": request, "own_program": PROGRAM } })
}

async fn follow(mut answer: Incoming, step: &Step) -> Result<(Built, ImageConfig)> {
    let mut buffer = Vec::new();
    while let Some(frame) = answer.frame().await {
        if let Some(data) = frame.context("the daemon broke off the build")?.data_ref() {
            buffer.extend_from_slice(data);
        }
        while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            match serde_json::from_slice::<Line>(&line)
                .context("the daemon's answer is not understood")?
            {
                Line::Event(event) => show(&event, step),
                Line::Error(message) => bail!("the build failed: {message}"),
                Line::Done { built, config } => return Ok((built, *config)),
            }
        }
    }
    bail!("the daemon broke off the build")
}

fn show(event: &BuildEvent, step: &Step) {
    match event {
        BuildEvent::Step {
            number,
            total,
            text,
            ..
        } => step.detail(&format!("[{number}/{total}] {text}")),
        // The build's own error says how a command ended.
        BuildEvent::Cached { .. } | BuildEvent::Exited { .. } | BuildEvent::Ended { .. } => {}
        BuildEvent::Output { line, .. } => step.line(line),
    }
}
