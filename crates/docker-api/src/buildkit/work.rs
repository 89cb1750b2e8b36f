//! A build, from what its client's session gives to an image that has no name yet.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use buildkit::Session;
use buildkit::grpc::{Code, Status};
use engine::{
    BuildEvent, BuildRequest, BuildSecret, Digest, EngineError, Foreseen, ImageName, RegistryLogin,
    StepNetwork,
};
use tokio::sync::mpsc;

use super::agents::Agent;
use super::files::{Telling, read_text, receive, receive_archive};
use super::job::Job;
use super::options::{Context, Options};
use super::progress::{Progress, Step};
use super::{excerpt, failed};
use crate::build::pull_bases;
use crate::docker::Docker;
use crate::limits::PIECES_MAX;

/// Dockerfiles and ignore files are a few KiB.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// As BuildKit's own clients bound it.
const SECRET_BYTES_MAX: usize = 500 << 10;
/// Secrets, agents and registries of one build that its client is asked about.
const ASKED_MAX: usize = 100;
/// What docker's registry is called where logins are kept.
const DOCKERS_REGISTRY: (&str, &str) = ("docker.io", "registry-1.docker.io");
const IGNORE_FILE: &str = ".dockerignore";

/// What is asked of one build.
struct Work<'a> {
    docker: &'a Docker,
    session: Arc<Session>,
    progress: &'a Progress,
    options: &'a Options,
    /// Everything of it that is a file, until it ends.
    folder: &'a Path,
}

pub async fn build(docker: &Arc<Docker>, job: &Job, options: &Options) -> Result<Digest, Status> {
    if options.network == StepNetwork::Host {
        docker.policy().allow("the host's network")?;
    }
    for warning in &options.warnings {
        job.progress.warn(warning);
    }
    let session = docker.buildkit.sessions.find(&job.session).await?;
    let folder = tempfile::tempdir_in(docker.scratch()).map_err(|error| failed(error.into()))?;
    let work = Work {
        docker,
        session,
        progress: &job.progress,
        options,
        folder: folder.path(),
    };
    let built = work.run().await;
    let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
    built
}

impl Work<'_> {
    async fn run(&self) -> Result<Digest, Status> {
        let options = self.options;
        let definition = match &options.dockerfile_folder {
            Some(name) => Some(self.definition(name).await?),
            None => None,
        };
        let ignore = match (&definition, &options.context) {
            (Some(definition), Context::Folder(name)) => {
                Some(self.ignore(definition.ignore.clone(), name).await?)
            }
            _ => None,
        };
        let mut request = BuildRequest {
            context: self.context(ignore.as_deref().unwrap_or_default()).await?,
            dockerfile: PathBuf::from(&options.dockerfile),
            dockerfile_text: definition.map(|it| it.text),
            ignore_text: ignore,
            args: options.args.clone(),
            target: options.target.clone(),
            labels: options.labels.clone(),
            no_cache: options.no_cache,
            network: options.network,
            scope: self.docker.scope.clone(),
            ..BuildRequest::default()
        };
        if request.dockerfile_text.is_none() {
            // Of the context, never of this machine.
            request.dockerfile = crate::tree::clean(&request.dockerfile).map_err(failed)?;
        }
        self.make(request).await
    }

    /// The builder's error, with where it is in the Dockerfile and, where BuildKit has its own, other words.
    fn wrong(&self, error: EngineError, words: Option<String>, text: Option<&str>) -> Status {
        let file = &self.options.dockerfile;
        let line = excerpt::place(&error.message, file);
        let mut status = failed(error);
        status.message = words.unwrap_or(status.message);
        match (line, text) {
            (Some(line), Some(text)) => excerpt::with_source(status, file, text, line),
            _ => status,
        }
    }

    /// The rest, once everything is here that the client has sent.
    async fn make(&self, mut request: BuildRequest) -> Result<Digest, Status> {
        let foreseen = self.docker.builds.foresee(&request).await;
        let text = request.dockerfile_text.as_deref();
        let foreseen = foreseen.map_err(|error| self.wrong(error, None, text))?;
        request.logins = self.logins(&foreseen).await?;
        request.secrets = self.secrets(&foreseen).await?;
        if self.options.pulls {
            let bases: Vec<ImageName> = foreseen.images.iter().cloned().collect();
            let pulled = pull_bases(self.docker, &bases, &request.logins).await;
            pulled.map_err(failed)?;
        }
        let (paths, _agents) = self.agents(&foreseen)?;
        request.agents = paths;
        self.steps(request).await
    }

    fn place(&self, name: &str) -> Result<PathBuf, Status> {
        let path = self.folder.join(name);
        std::fs::create_dir(&path).map_err(|error| failed(error.into()))?;
        Ok(path)
    }

    /// Some files of a folder of the client's, in a step of their own.
    async fn fetch(
        &self,
        title: &str,
        folder: &str,
        follow: &[String],
        into: PathBuf,
        part: &str,
    ) -> Result<(), Status> {
        let step = self.progress.begin(title);
        let fetching = async {
            let call = self.session.files(folder, &[], follow).await?;
            let telling = Telling {
                step: &step,
                name: part,
            };
            receive(self.docker, call, into, telling).await
        };
        let fetched = fetching.await;
        step.end(fetched.as_ref().err().map(|it| it.message.clone()));
        fetched
    }

    async fn definition(&self, folder: &str) -> Result<Definition, Status> {
        let name = &self.options.dockerfile;
        let ignore = format!("{name}{IGNORE_FILE}");
        let place = self.place("definition")?;
        let title = format!("[internal] load build definition from {name}");
        let wanted = [name.clone(), ignore.clone()];
        self.fetch(
            &title,
            folder,
            &wanted,
            place.clone(),
            "transferring dockerfile:",
        )
        .await?;
        let text = read_text(&place, name, TEXT_BYTES_MAX).await;
        let text = text.map_err(failed)?.ok_or_else(|| {
            let message =
                format!("failed to read dockerfile: open {name}: no such file or directory");
            Status::new(Code::Unknown, message)
        })?;
        let ignore = read_text(&place, &ignore, TEXT_BYTES_MAX).await;
        Ok(Definition {
            text,
            ignore: ignore.map_err(failed)?,
        })
    }

    /// What of the context is left out: what lies beside the Dockerfile goes before the context's own.
    async fn ignore(&self, beside: Option<String>, context: &str) -> Result<String, Status> {
        if let Some(text) = beside {
            return Ok(text);
        }
        let place = self.place("ignore")?;
        let title = "[internal] load .dockerignore";
        let wanted = [IGNORE_FILE.to_owned()];
        self.fetch(
            title,
            context,
            &wanted,
            place.clone(),
            "transferring context:",
        )
        .await?;
        let text = read_text(&place, IGNORE_FILE, TEXT_BYTES_MAX).await;
        Ok(text.map_err(failed)?.unwrap_or_default())
    }

    async fn context(&self, ignore: &str) -> Result<PathBuf, Status> {
        let place = self.place("context")?;
        let step = self.progress.begin("[internal] load build context");
        let telling = Telling {
            step: &step,
            name: "transferring context:",
        };
        let fetching = async {
            match &self.options.context {
                Context::Folder(name) => {
                    let call = self.session.files(name, &patterns(ignore), &[]).await?;
                    receive(self.docker, call, place.clone(), telling).await
                }
                Context::Upload(path) => {
                    let call = self.session.upload(path).await?;
                    receive_archive(self.docker, call, place.clone(), telling).await
                }
            }
        };
        let fetched = fetching.await;
        step.end(fetched.as_ref().err().map(|it| it.message.clone()));
        fetched.map(|()| place)
    }

    /// The client's logins at the registries that images come from.
    async fn logins(&self, foreseen: &Foreseen) -> Result<BTreeMap<String, RegistryLogin>, Status> {
        let mut logins = BTreeMap::new();
        let hosts = foreseen.images.iter().map(|it| &it.repository.host);
        let hosts: std::collections::BTreeSet<&String> = hosts.collect();
        for host in hosts.into_iter().take(ASKED_MAX) {
            let asked = match host == DOCKERS_REGISTRY.0 {
                true => DOCKERS_REGISTRY.1,
                false => host,
            };
            if let Some((username, password)) = self.session.credentials(asked).await? {
                logins.insert(host.clone(), RegistryLogin { username, password });
            }
        }
        Ok(logins)
    }

    async fn secrets(&self, foreseen: &Foreseen) -> Result<BTreeMap<String, BuildSecret>, Status> {
        let mut secrets = BTreeMap::new();
        for id in foreseen.secrets.iter().take(ASKED_MAX) {
            let Some(secret) = self.session.secret(id).await? else {
                continue;
            };
            if secret.len() > SECRET_BYTES_MAX {
                let message = format!("the secret `{id}` has more than {SECRET_BYTES_MAX} bytes");
                return Err(Status::new(Code::InvalidArgument, message));
            }
            secrets.insert(id.clone(), BuildSecret(secret));
        }
        Ok(secrets)
    }

    fn agents(
        &self,
        foreseen: &Foreseen,
    ) -> Result<(BTreeMap<String, PathBuf>, Vec<Agent>), Status> {
        let (mut paths, mut agents) = (BTreeMap::new(), Vec::new());
        if !self.session.offers_agents() {
            return Ok((paths, agents));
        }
        for (number, id) in foreseen.agents.iter().take(ASKED_MAX).enumerate() {
            let path = Agent::path(self.folder, number);
            agents.push(Agent::listen(&path, self.session.clone(), id)?);
            paths.insert(id.clone(), path);
        }
        Ok((paths, agents))
    }

    /// The builder's own part, whose events are told as BuildKit's.
    async fn steps(&self, request: BuildRequest) -> Result<Digest, Status> {
        let (sender, mut events) = mpsc::channel(PIECES_MAX);
        let mut steps = Steps::default();
        let telling = async {
            while let Some(event) = events.recv().await {
                steps.take(self.progress, event);
            }
        };
        let text = request.dockerfile_text.clone();
        let building = self.docker.builds.build(request, sender);
        let (built, ()) = tokio::join!(building, telling);
        built.map(|it| it.digest).map_err(|error| {
            let words = steps.words.remove(&error.chain());
            self.wrong(error, words, text.as_deref())
        })
    }
}

/// A Dockerfile, and the ignore file of its own.
struct Definition {
    text: String,
    ignore: Option<String>,
}

/// The patterns of an ignore file, as a client takes them.
fn patterns(ignore: &str) -> Vec<String> {
    let lines = ignore.trim_start_matches('\u{feff}').lines();
    let lines = lines.filter(|it| !it.starts_with('#')).map(str::trim);
    let cleaned = lines.map(|line| {
        let (mark, pattern) = match line.strip_prefix('!') {
            Some(rest) => ("!", rest.trim()),
            None => ("", line),
        };
        let pattern = pattern.trim_start_matches("./").trim_start_matches('/');
        format!("{mark}{pattern}")
    });
    cleaned
        .filter(|it| !matches!(it.as_str(), "" | "!" | "." | "!."))
        .collect()
}

/// The steps that go on, by the builder's numbers.
#[derive(Default)]
struct Steps {
    going: HashMap<usize, Step>,
    /// What BuildKit says of commands that failed, by number, and then by the builder's error.
    exits: HashMap<usize, String>,
    words: HashMap<String, String>,
}

impl Steps {
    fn take(&mut self, progress: &Progress, event: BuildEvent) {
        match event {
            BuildEvent::Step {
                number,
                counted: Some(name),
                ..
            } => {
                self.going.insert(number, progress.begin(name));
            }
            // A setting.
            BuildEvent::Step { .. } => {}
            BuildEvent::Cached { number } => {
                if let Some(step) = self.going.get_mut(&number) {
                    step.is_cached();
                }
            }
            BuildEvent::Output { number, line } => {
                if let Some(step) = self.going.get_mut(&number) {
                    step.log(&line);
                }
            }
            BuildEvent::Exited {
                number,
                command,
                code,
            } => {
                let command = command.join(" ");
                let words =
                    format!("process {command:?} did not complete successfully: exit code: {code}");
                self.exits.insert(number, words);
            }
            BuildEvent::Ended { number, error } => {
                let words = match (error, self.exits.remove(&number)) {
                    (Some(error), Some(words)) => {
                        self.words.insert(error, words.clone());
                        Some(words)
                    }
                    (error, _) => error,
                };
                if let Some(step) = self.going.remove(&number) {
                    step.end(words);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_sent_as_clients_take_them() {
        let text = "# no\nnode_modules\n\n  /a/b \n!./keep\n.\n! c\n";
        assert_eq!(patterns(text), ["node_modules", "a/b", "!keep", "!c"]);
    }

    #[tokio::test]
    async fn events_are_told_as_buildkits() {
        let progress = Progress::default();
        let mut steps = Steps::default();
        let step = |number, counted: Option<&str>| BuildEvent::Step {
            number,
            total: 3,
            text: "[stage-0 1/3] x".into(),
            counted: counted.map(str::to_owned),
        };
        for event in [
            step(1, Some("[1/2] FROM docker.io/library/x:latest")),
            BuildEvent::Ended {
                number: 1,
                error: None,
            },
            step(2, None),
            BuildEvent::Ended {
                number: 2,
                error: None,
            },
            step(3, Some("[2/2] RUN x")),
            BuildEvent::Exited {
                number: 3,
                command: vec!["/bin/sh".into(), "-c".into(), "x \"y\"".into()],
                code: 2,
            },
            BuildEvent::Ended {
                number: 3,
                error: Some("no".into()),
            },
        ] {
            steps.take(&progress, event);
        }
        let told = progress.after(0).await.unwrap();
        let told = told.iter().flat_map(|it| &it.vertexes);
        let told: Vec<_> = told
            .map(|it| {
                (
                    it.name.as_str(),
                    it.cached,
                    it.completed.is_some(),
                    it.error.as_str(),
                )
            })
            .collect();
        let words = r#"process "/bin/sh -c x \"y\"" did not complete successfully: exit code: 2"#;
        assert_eq!(steps.words["no"], words);
        assert_eq!(
            told,
            [
                ("[1/2] FROM docker.io/library/x:latest", false, false, ""),
                ("[1/2] FROM docker.io/library/x:latest", false, true, ""),
                ("[2/2] RUN x", false, false, ""),
                ("[2/2] RUN x", false, true, words),
            ]
        );
    }
}
