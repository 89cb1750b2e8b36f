//! `POST /build`: the classic builder. The context is unpacked to a folder, and the engine builds it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use engine::{
    BuildEvent, BuildRequest, Built, EngineError, ImageName, Reference, RegistryLogin, Result,
    StepNetwork,
};
use http::Method;
use rustix::fs::OFlags;
use serde_json::json;
use tokio::sync::mpsc;

use crate::answer::{self, Answer, Lines, Refusal};
use crate::archive::{spool, unpack_new};
use crate::clock::now_ms;
use crate::containers::check_hosts;
use crate::disk::blocking;
use crate::docker::Docker;
use crate::events::Event;
use crate::images::{is_own_platform, own_platform};
use crate::limits::{DOCUMENT_BYTES_MAX, PIECES_MAX};
use crate::names::{short, shown};
use crate::query::Query;
use crate::routes::Call;
use crate::system::logins_in;
use crate::tree::{Links, Tree, clean, open_directory};

/// What would change the image or its making, and is not built.
const REFUSED: &[&str] = &[
    "remote",
    "squash",
    "memory",
    "memswap",
    "cpushares",
    "cpuquota",
    "cpuperiod",
    "cpusetcpus",
    "cpusetmems",
    "ulimits",
    "securityopt",
    "cgroupparent",
    "outputs",
];

pub async fn build(call: Call) -> Answer {
    let query = &call.query;
    query.refuse(REFUSED)?;
    let mut request = request(query, |name| call.docker.kept(name))?;
    request.hosts = hosts(query, &call.docker)?;
    request.no_cache |= !is_cache_there(query, &call.docker).await?;
    if request.network == StepNetwork::Host {
        call.docker.policy().allow("the host's network")?;
    }
    let quiet = query.flag("q");
    let file = spool(&call.body, &call.docker).await?;
    let folder = tempfile::tempdir_in(call.docker.scratch())?;
    let path = folder.path().to_owned();
    blocking(move || unpack_new(&file, &open_directory(&path)?)).await?;
    request.context = folder.path().to_owned();
    request.scope = call.docker.scope.clone();
    let logins = logins_of(&call)?;
    request.logins = logins.clone();
    let bases = match call.query.flag("pull") {
        true => bases(&request, folder.path())?,
        false => Vec::new(),
    };
    let (lines, answer) = Lines::new();
    tokio::spawn(async move {
        let told = (!quiet).then(|| lines.clone());
        let building = async {
            pull_bases(&call.docker, &bases, &logins).await?;
            run(&call.docker, request, told).await
        };
        let outcome = tokio::select! {
            outcome = building => outcome,
            // Whoever wanted it is gone: dropping the build stops it.
            () = lines.closed() => return,
        };
        match outcome {
            Ok((built, names)) => tell_built(&lines, &built, &names, quiet).await,
            Err(BuildFailure::Other(error)) => lines.error(error.chain()).await,
            Err(BuildFailure::Command { command, code }) => {
                let message = format!("The command '{command}' returned a non-zero code: {code}");
                let detail = json!({ "code": code, "message": message });
                lines
                    .say(json!({ "errorDetail": detail, "error": message }))
                    .await;
            }
        }
        let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
    });
    Ok(answer)
}

/// `POST /build/prune`: the next build does anew what it would have found. Its size is what the records of
/// steps had; their layers go with the images that have them, or with the next collection.
pub async fn prune(call: Call) -> Answer {
    let query = &call.query;
    let limits = [
        "keep-storage",
        "reserved-space",
        "max-used-space",
        "min-free-space",
    ];
    for name in limits {
        if query.get(name).is_some_and(|it| !matches!(it, "" | "0")) {
            return Err(Refusal::not_built(format!(
                "pruning up to a size (`{name}`)"
            )));
        }
    }
    let before_ms = query.filters(&["until"])?.until(now_ms())?.time_ms();
    let docker = &call.docker;
    let pruned = docker
        .builds
        .prune(docker.scope.as_ref(), before_ms)
        .await?;
    let bytes: u64 = pruned.iter().map(|it| it.bytes).sum();
    let ids: Vec<String> = pruned.into_iter().map(|it| it.id).collect();
    answer::ok(json!({ "CachesDeleted": ids, "SpaceReclaimed": bytes }))
}

/// Why a request is refused that asks for BuildKit in a way that is not there: as clients did before they
/// had buildx, or in the container that `docker buildx create` runs it in. Whatever else such a request
/// holds, this is what to say to it.
pub fn other_buildkit(method: &Method, words: &[&str], query: &Query) -> Option<Refusal> {
    let is_its_container = |it: &str| it.starts_with("buildx_buildkit_");
    let what = match (method.as_str(), words) {
        ("POST", ["build"]) if query.get("version") == Some("2") => {
            "BuildKit by `POST /build` (install buildx, or a client that comes with it)"
        }
        ("POST", ["containers", "create"]) if query.get("name").is_some_and(is_its_container) => {
            "BuildKit in a container (use buildx's driver `docker`: `docker buildx use default`)"
        }
        _ => return None,
    };
    Some(Refusal::not_built(what))
}

fn request(query: &Query, kept: impl Fn(&ImageName) -> ImageName) -> Result<BuildRequest, Refusal> {
    let names = names_of(query.all("t").filter(|it| !it.is_empty()), kept)?;
    // An argument without a value is one that the client's environment does not have.
    let args: BTreeMap<String, Option<String>> = query.json("buildargs")?;
    let args = args
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let platform = query.get("platform").unwrap_or_default();
    if !is_own_platform(platform) {
        return Err(Refusal::not_built(format!(
            "building for `{platform}` on `{}`",
            own_platform()
        )));
    }
    if !matches!(query.get("isolation").unwrap_or_default(), "" | "default") {
        return Err(Refusal::bad(
            "Unsupported isolation: linux knows `default` only",
        ));
    }
    let shm_bytes = query.number("shmsize")?.map(u64::try_from).transpose();
    let shm_bytes = shm_bytes.map_err(|_| Refusal::bad("invalid `shmsize`"))?;
    let network = match query.get("networkmode") {
        None | Some("" | "default" | "bridge") => StepNetwork::Outward,
        Some("none") => StepNetwork::None,
        Some("host") => StepNetwork::Host,
        Some(other) => {
            return Err(Refusal::not_built(format!(
                "the network `{other}` for RUN steps"
            )));
        }
    };
    Ok(BuildRequest {
        context: PathBuf::new(),
        // Of the context, never of this machine.
        dockerfile: clean(query.get("dockerfile").unwrap_or_default().as_ref())?,
        dockerfile_text: None,
        args: args.collect(),
        target: query.get("target").map(str::to_owned),
        labels: query.json("labels")?,
        names,
        no_cache: query.flag("nocache"),
        shm_bytes: shm_bytes.filter(|it| *it > 0),
        network,
        ..BuildRequest::default()
    })
}

/// `--add-host`: addresses and names.
fn hosts(query: &Query, docker: &Docker) -> Result<Vec<(String, String)>, Refusal> {
    let asked: Vec<&str> = query
        .all("extrahosts")
        .flat_map(|it| it.split(','))
        .collect();
    let asked: Vec<String> = asked
        .into_iter()
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect();
    check_hosts(&asked, docker.policy())?;
    Ok(docker.entries_of_hosts(&asked))
}

/// A build whose cache is to be that of certain images has none when none of them is there.
async fn is_cache_there(query: &Query, docker: &Docker) -> Result<bool, Refusal> {
    let images: Vec<String> = query.json("cachefrom")?;
    for image in &images {
        if docker.find_image(image).await.is_ok() {
            return Ok(true);
        }
    }
    Ok(images.is_empty())
}

/// Names for the image that is built, as they are kept.
pub fn names_of<'a>(
    texts: impl Iterator<Item = &'a str>,
    kept: impl Fn(&ImageName) -> ImageName,
) -> Result<Vec<ImageName>, Refusal> {
    let names = texts.map(|text| {
        let name: ImageName = text
            .parse()
            .map_err(|_| Refusal::bad(format!("invalid reference format: `{text}`")))?;
        match name.reference {
            Reference::Tag(_) => Ok(kept(&name)),
            Reference::Digest(_) => Err(Refusal::bad(
                "refusing to create a tag with a digest reference",
            )),
        }
    });
    names.collect()
}

/// Logins by host, for images that the build stands on.
type Logins = BTreeMap<String, RegistryLogin>;

fn logins_of(call: &Call) -> Result<Logins, Refusal> {
    let Some(header) = call.header("x-registry-config").filter(|it| !it.is_empty()) else {
        return Ok(Logins::new());
    };
    logins_in(header).ok_or_else(|| Refusal::bad("invalid X-Registry-Config header"))
}

/// Names of the images that a Dockerfile's stages stand on.
fn bases(request: &BuildRequest, folder: &Path) -> Result<Vec<ImageName>, Refusal> {
    let name = match request.dockerfile.as_os_str().is_empty() {
        true => Path::new("Dockerfile"),
        false => &request.dockerfile,
    };
    let root = open_directory(folder)?;
    let file = Tree::new(&root, Links::Within).open(name, OFlags::RDONLY);
    let mut text = String::new();
    match file {
        Ok(file) => File::from(file)
            .take(DOCUMENT_BYTES_MAX)
            .read_to_string(&mut text)?,
        // The builder says so.
        Err(_) => return Ok(Vec::new()),
    };
    bases_in(&text)
}

fn bases_in(text: &str) -> Result<Vec<ImageName>, Refusal> {
    let mut stages: Vec<String> = Vec::new();
    let mut bases = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().filter(|it| !it.starts_with("--"));
        if !words
            .next()
            .is_some_and(|it| it.eq_ignore_ascii_case("FROM"))
        {
            continue;
        }
        let image = words.next().unwrap_or_default().to_owned();
        if image.contains('$') {
            return Err(Refusal::not_built(format!(
                "`--pull` with a variable in `FROM {image}`"
            )));
        }
        let is_stage = stages.iter().any(|it| it.eq_ignore_ascii_case(&image));
        if image != "scratch" && !is_stage {
            let name = image.parse();
            bases.push(
                name.map_err(|_| Refusal::bad(format!("invalid reference format: `{image}`")))?,
            );
        }
        if words.next().is_some_and(|it| it.eq_ignore_ascii_case("AS")) {
            stages.extend(words.next().map(str::to_owned));
        }
    }
    Ok(bases)
}

pub async fn pull_bases(docker: &Docker, bases: &[ImageName], logins: &Logins) -> Result<()> {
    for name in bases {
        let host = &name.repository.host;
        if !docker.registry.is_own(host) {
            docker.images.pull(name, logins.get(host).cloned()).await?;
        }
    }
    Ok(())
}

/// Why there is no image.
enum BuildFailure {
    /// A RUN step's command ended badly. Clients read its code.
    Command {
        command: String,
        code: i32,
    },
    Other(EngineError),
}

impl From<EngineError> for BuildFailure {
    fn from(error: EngineError) -> Self {
        Self::Other(error)
    }
}

/// Builds and gives an image without a name a place, so that it stays.
async fn run(
    docker: &Docker,
    request: BuildRequest,
    told: Option<Lines>,
) -> Result<(Built, Vec<ImageName>), BuildFailure> {
    let names = request.names.clone();
    let (sender, mut events) = mpsc::channel(PIECES_MAX);
    let telling = async {
        let mut failed = None;
        while let Some(event) = events.recv().await {
            if let BuildEvent::Exited { command, code, .. } = event {
                failed = Some((command.join(" "), code));
            } else if let (Some(lines), Some(text)) = (&told, text_of(event)) {
                lines.stream(text).await;
            }
        }
        failed
    };
    let (built, failed) = tokio::join!(docker.builds.build(request, sender), telling);
    let built = built.map_err(|error| match failed {
        None => BuildFailure::Other(error),
        Some((command, code)) => BuildFailure::Command { command, code },
    })?;
    if names.is_empty() {
        docker.keep_unnamed(&built.digest).await?;
    }
    for name in &names {
        let name = shown(name);
        docker
            .events
            .tell(Event::image("tag", built.digest.as_str(), Some(&name)));
    }
    Ok((built, names))
}

fn text_of(event: BuildEvent) -> Option<String> {
    Some(match event {
        BuildEvent::Step {
            number,
            total,
            text,
            ..
        } => {
            // Ours begins with the stage: `[builder 1/3] FROM …`.
            let plain = text.split_once("] ").map_or(text.as_str(), |it| it.1);
            format!("Step {number}/{total} : {plain}\n")
        }
        BuildEvent::Cached { .. } => " ---> Using cache\n".to_owned(),
        BuildEvent::Output { line, .. } => line + "\n",
        // What a command ended with is the build's error, which comes last.
        BuildEvent::Exited { .. } | BuildEvent::Ended { .. } => return None,
    })
}

async fn tell_built(lines: &Lines, built: &Built, names: &[ImageName], quiet: bool) {
    let id = built.digest.as_str();
    if quiet {
        lines.stream(format!("{id}\n")).await;
        return;
    }
    lines.say(json!({ "aux": { "ID": id } })).await;
    lines
        .stream(format!("Successfully built {}\n", short(id)))
        .await;
    for name in names {
        lines
            .stream(format!("Successfully tagged {}\n", shown(name)))
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read() {
        let query = Query::parse(
            "t=rea&t=own/x:1&buildargs=%7B%22A%22%3A%22b%22%2C%22C%22%3Anull%7D&target=builder&nocache=1&version=1",
        );
        let request = request(&query, |name| name.clone()).ok().unwrap();
        assert_eq!(
            request.args,
            BTreeMap::from([("A".to_owned(), "b".to_owned())])
        );
        assert_eq!(request.names.len(), 2);
        assert!(request.no_cache && request.target.as_deref() == Some("builder"));
    }

    #[test]
    fn buildkits_clients_are_told_what_to_do() {
        let check = |method: Method, path: &str, query: &str, expected: bool| {
            let words: Vec<&str> = path.split('/').collect();
            let refusal = other_buildkit(&method, &words, &Query::parse(query));
            assert_eq!(refusal.is_some(), expected, "{method} {path}?{query}");
            assert!(refusal.is_none_or(|it| it.message.contains("buildx")));
        };
        check(Method::POST, "grpc", "", false);
        check(Method::POST, "session", "", false);
        check(Method::POST, "build", "version=2&cgroupparent=x", true);
        check(Method::POST, "build", "version=1", false);
        check(Method::POST, "build", "", false);
        let create = "containers/create";
        check(Method::POST, create, "name=buildx_buildkit_ci0", true);
        check(Method::POST, create, "name=own", false);
        check(Method::POST, create, "", false);
        check(Method::GET, "containers/json", "", false);
    }

    #[test]
    fn what_a_dockerfile_stands_on_is_found() {
        let text = "ARG A\nFROM --platform=linux/amd64 ruby:alpine AS builder\nRUN x\nfrom builder\nFROM scratch\n";
        let found: Vec<String> = bases_in(text).unwrap().iter().map(shown).collect();
        assert_eq!(found, ["ruby:alpine"]);
        assert!(
            bases_in("FROM $A")
                .unwrap_err()
                .message
                .contains("`--pull`")
        );
    }

    #[test]
    fn steps_look_as_dockers() {
        let step = BuildEvent::Step {
            number: 2,
            total: 3,
            text: "[stage-0 2/3] RUN [ -e /x ] && echo".to_owned(),
            counted: None,
        };
        let text = text_of(step).unwrap();
        assert_eq!(text, "Step 2/3 : RUN [ -e /x ] && echo\n");
    }
}
