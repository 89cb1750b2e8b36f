//! What a build's options say. Whatever would change the image or its making and is not done is refused
//! by name.

use std::collections::BTreeMap;

use buildkit::grpc::{Code, Status};
use buildkit::messages::{CacheOptions, Exporter, SolveRequest};
use engine::StepNetwork;

use crate::answer::Refusal;
use crate::images::{is_own_platform, own_platform};

/// Options of BuildKit's Dockerfiles, as clients send them.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    pub dockerfile: String,
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub no_cache: bool,
    /// Whether images are asked for anew that are here.
    pub pulls: bool,
    pub network: StepNetwork,
    /// The folders' names in the client's session; no name of its own for a Dockerfile of the context.
    pub dockerfile_folder: Option<String>,
    pub context: Context,
    /// What is not done, and changes nothing of the image.
    pub warnings: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub enum Context {
    /// A folder of the client's, by its name in the session.
    Folder(String),
    /// An archive that the client was sent on its standard input, by its path there.
    Upload(String),
}

impl Default for Context {
    fn default() -> Self {
        Self::Folder("context".to_owned())
    }
}

/// The host of addresses that lead into the client's session.
const UPLOADS: &str = "http://buildkit-session/";

/// Options that change nothing here: what they ask for is so, or is for others to do.
const WITHOUT_EFFECT: &[&str] = &[
    "cache-from",
    "cache-imports",
    "frontend.caps",
    "cmdline",
    "source",
];

impl Options {
    pub fn read(options: &BTreeMap<String, String>) -> Result<Self, Status> {
        let mut read = Self {
            dockerfile: "Dockerfile".to_owned(),
            dockerfile_folder: Some("dockerfile".to_owned()),
            ..Self::default()
        };
        for (name, value) in options {
            read.option(name, value)?;
        }
        // Of a context that is no folder, the Dockerfile is in it unless it is said to be elsewhere.
        if matches!(read.context, Context::Upload(_)) && !options.contains_key("dockerfilekey") {
            read.dockerfile_folder = None;
        }
        Ok(read)
    }

    fn option(&mut self, name: &str, value: &str) -> Result<(), Status> {
        let refused = |what: String| Err(Refusal::not_built(what).into());
        if let Some(name) = name.strip_prefix("build-arg:") {
            self.args.insert(name.to_owned(), value.to_owned());
            return Ok(());
        }
        if let Some(name) = name.strip_prefix("label:") {
            self.labels.insert(name.to_owned(), value.to_owned());
            return Ok(());
        }
        if let Some(name) = name.strip_prefix("context:") {
            return refused(format!("the named context `{name}`"));
        }
        if name.starts_with("vcs:") || WITHOUT_EFFECT.contains(&name) {
            return Ok(());
        }
        match name {
            "filename" if value.is_empty() => {}
            "filename" => self.dockerfile = value.to_owned(),
            "target" => self.target = Some(value.to_owned()).filter(|it| !it.is_empty()),
            "no-cache" => {
                self.no_cache = true;
                if !value.is_empty() {
                    let text = format!(
                        "no step is taken from the cache, and not of the stages `{value}` alone"
                    );
                    self.warnings.push(text);
                }
            }
            "image-resolve-mode" => self.pulls = value == "pull",
            "dockerfilekey" => self.dockerfile_folder = Some(value.to_owned()),
            "contextkey" => self.context = Context::Folder(value.to_owned()),
            "context" => match value.strip_prefix(UPLOADS) {
                Some(path) => self.context = Context::Upload(format!("/{path}")),
                None => return refused(format!("the remote context `{value}`")),
            },
            "platform" if is_own_platform(value) => {}
            "platform" => {
                return refused(format!("building for `{value}` on `{}`", own_platform()));
            }
            "multi-platform" if value == "false" => {}
            "force-network-mode" => {
                self.network = match value {
                    "" | "default" | "sandbox" => StepNetwork::Outward,
                    "none" => StepNetwork::None,
                    "host" => StepNetwork::Host,
                    other => return refused(format!("the network `{other}` for RUN steps")),
                };
            }
            // Asked for, and then not.
            _ if value.is_empty() => {}
            _ if name.starts_with("attest:") && value.contains("disabled=true") => {}
            _ => return refused(format!("the build's option `{name}={value}`")),
        }
        Ok(())
    }
}

/// What is to become of a build.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Names for the image; None when no image is wanted.
    pub names: Option<Vec<String>>,
    /// Files of it that its client wants, with the number of the wish.
    pub files: Vec<(usize, Files)>,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    Archive,
    Folder,
}

impl Wanted {
    pub fn read(request: &SolveRequest) -> Result<Self, Status> {
        let mut exporters = request.exporters.clone();
        if exporters.is_empty() && !request.exporter.is_empty() {
            exporters.push(Exporter {
                kind: request.exporter.clone(),
                options: request.exporter_options.clone(),
            });
        }
        let mut wanted = Self::default();
        for (number, exporter) in exporters.into_iter().enumerate() {
            wanted.add(number, &exporter)?;
        }
        Ok(wanted)
    }

    fn add(&mut self, number: usize, exporter: &Exporter) -> Result<(), Status> {
        let Exporter { kind, options } = exporter;
        // Clients push what the engine has built by its other API, and say so to it all the same.
        let pushes = options.get("push").is_some_and(|it| it == "true");
        match kind.as_str() {
            "moby" => {}
            "image" if !pushes => {}
            "image" => return Err(Status::unimplemented("`push=true` of the exporter `image`")),
            "tar" => {
                self.files.push((number, Files::Archive));
                return Ok(());
            }
            "local" => {
                self.files.push((number, Files::Folder));
                return Ok(());
            }
            other => return Err(Status::unimplemented(format!("the exporter `{other}`"))),
        }
        let names = options.get("name").map_or("", String::as_str);
        let names = names.split(',').map(str::trim).filter(|it| !it.is_empty());
        let all = self.names.get_or_insert_default();
        all.extend(names.map(str::to_owned));
        Ok(())
    }
}

/// What of a request is refused before anything is done, and what is only warned about.
pub fn check(request: &SolveRequest) -> Result<Vec<String>, Status> {
    let has = |bytes: &Option<Vec<u8>>| bytes.as_ref().is_some_and(|it| !it.is_empty());
    refuse_graphs(request.definition.as_deref(), &request.inputs)?;
    if has(&request.source_policy) {
        return Err(Status::unimplemented("a source policy"));
    }
    if !["", "dockerfile.v0"].contains(&request.frontend.as_str()) {
        return Err(frontend(&request.frontend));
    }
    cache(&request.cache.clone().unwrap_or_default())
}

/// Steps that are no Dockerfile's, as either of the two ways to ask for a build can bring them.
pub fn refuse_graphs(
    definition: Option<&[u8]>,
    inputs: &BTreeMap<String, Vec<u8>>,
) -> Result<(), Status> {
    if definition.is_some_and(|it| !it.is_empty()) {
        return Err(Status::unimplemented("a build of a graph of steps (LLB)"));
    }
    if !inputs.is_empty() {
        let what = "an input of a build that is another build's result";
        return Err(Status::unimplemented(what));
    }
    Ok(())
}

pub fn frontend(name: &str) -> Status {
    match name {
        "" => Status::new(Code::InvalidArgument, "a build names no frontend"),
        name => Status::unimplemented(format!("the frontend `{name}`")),
    }
}

/// The cache is the builder's own: what others have would only be quicker.
fn cache(cache: &CacheOptions) -> Result<Vec<String>, Status> {
    let mut warnings = Vec::new();
    if !cache.export_reference.is_empty() {
        return Err(Status::unimplemented("exporting the build cache"));
    }
    for entry in &cache.exports {
        if entry.kind != "inline" {
            let what = format!("exporting the build cache to `{}`", entry.kind);
            return Err(Status::unimplemented(what));
        }
        warnings.push("the build cache is not put into the image (`type=inline`)".to_owned());
    }
    let references = cache.imports.iter().map(|it| {
        let reference = it.options.get("ref").or_else(|| it.options.get("src"));
        reference.map_or(it.kind.clone(), |it| it.clone())
    });
    for reference in cache.import_references.iter().cloned().chain(references) {
        warnings.push(format!("no build cache is imported from `{reference}`"));
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        pairs.collect()
    }

    #[test]
    fn options_are_read() {
        let read = Options::read(&map(&[
            ("filename", "Containerfile"),
            ("target", "t"),
            ("build-arg:A", "b"),
            ("label:l", "m"),
            ("no-cache", ""),
            ("image-resolve-mode", "pull"),
            ("platform", own_platform()),
            ("force-network-mode", "none"),
            ("add-hosts", ""),
            ("vcs:source", "x"),
            ("attest:provenance", "disabled=true"),
        ]));
        let expected = Options {
            dockerfile: "Containerfile".into(),
            target: Some("t".into()),
            args: map(&[("A", "b")]),
            labels: map(&[("l", "m")]),
            no_cache: true,
            pulls: true,
            network: StepNetwork::None,
            dockerfile_folder: Some("dockerfile".into()),
            ..Options::default()
        };
        assert_eq!(read.unwrap(), expected);
        let upload = [("context", "http://buildkit-session/abc")];
        let read = Options::read(&map(&upload)).unwrap();
        assert_eq!(read.context, Context::Upload("/abc".into()));
        assert_eq!(read.dockerfile_folder, None);
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (name, value) in [
            ("platform", "linux/s390x"),
            ("context", "https://x/y.git"),
            ("context:base", "docker-image://x"),
            ("add-hosts", "a=1.2.3.4"),
            ("shm-size", "1"),
            ("attest:sbom", ""),
            ("requestid", "frontend.outline"),
            ("force-network-mode", "mine"),
            ("tomorrow", "x"),
        ] {
            let read = Options::read(&map(&[(name, value)]));
            match value {
                "" => assert!(read.is_ok(), "{name}"),
                _ => {
                    let status = read.unwrap_err();
                    assert_eq!(status.code, Code::Unimplemented, "{name}");
                    let told = status.message.contains(value) || status.message.contains("`base`");
                    assert!(told, "{}", status.message);
                }
            }
        }
    }

    #[test]
    fn exporters_are_read() {
        let wanted = |kind: &str, options: &[(&str, &str)]| {
            Wanted::read(&SolveRequest {
                exporter: kind.into(),
                exporter_options: map(options),
                ..SolveRequest::default()
            })
        };
        assert_eq!(wanted("", &[]).unwrap().names, None);
        assert_eq!(wanted("moby", &[]).unwrap().names, Some(vec![]));
        let names = wanted("moby", &[("name", "a,b:1"), ("push", "true")]);
        assert_eq!(names.unwrap().names, Some(vec!["a".into(), "b:1".into()]));
        let files = wanted("local", &[]).unwrap();
        assert_eq!((files.names, files.files), (None, vec![(0, Files::Folder)]));
        for refused in [wanted("image", &[("push", "true")]), wanted("oci", &[])] {
            assert_eq!(refused.unwrap_err().code, Code::Unimplemented);
        }
    }

    #[test]
    fn only_dockerfiles_are_built() {
        let request = |change: fn(&mut SolveRequest)| {
            let mut request = SolveRequest::default();
            change(&mut request);
            check(&request)
        };
        assert!(
            request(|it| it.frontend = "dockerfile.v0".into())
                .unwrap()
                .is_empty()
        );
        for change in [
            (|it| it.definition = Some(vec![1])) as fn(&mut SolveRequest),
            |it| it.frontend = "gateway.v0".into(),
            |it| it.source_policy = Some(vec![1]),
            |it| drop(it.inputs.insert("a".into(), vec![])),
        ] {
            assert_eq!(request(change).unwrap_err().code, Code::Unimplemented);
        }
        let entry = |kind: &str| buildkit::messages::CacheEntry {
            kind: kind.into(),
            options: map(&[("ref", "host/x")]),
        };
        let with = |exports: &[&str], imports: &[&str]| {
            cache(&CacheOptions {
                exports: exports.iter().map(|it| entry(it)).collect(),
                imports: imports.iter().map(|it| entry(it)).collect(),
                ..CacheOptions::default()
            })
        };
        let warned = with(&["inline"], &["registry"]).unwrap();
        assert!(warned[1].contains("`host/x`"), "{warned:?}");
        assert_eq!(with(&["local"], &[]).unwrap_err().code, Code::Unimplemented);
    }
}
