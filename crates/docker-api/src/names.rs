//! Names of images as docker's users write them, and where they are kept.
//!
//! The embedded registry's names are kept by the registry itself, so a local image of such a name
//! would be a pushed one. Local images of these hosts are therefore kept under a host of their own,
//! which no name can have: `local_<host>`.

use engine::{Digest, ImageName, Reference, Repository};

const LOCAL: &str = "local_";
/// Where images are kept that have no name.
const UNNAMED_HOST: &str = "local_unnamed";
const UNNAMED_PATH: &str = "image";

/// Where the local image of this name is kept.
pub fn kept(name: &ImageName, is_own: impl Fn(&str) -> bool) -> ImageName {
    let mut name = name.clone();
    if is_own(&name.repository.host) {
        name.repository.host.insert_str(0, LOCAL);
    }
    name
}

/// Where an image without a name is kept.
pub fn unnamed(digest: &Digest) -> ImageName {
    ImageName {
        repository: Repository {
            host: UNNAMED_HOST.to_owned(),
            path: UNNAMED_PATH.to_owned(),
        },
        reference: Reference::Digest(digest.clone()),
    }
}

/// The repository as users write it; None when it is not one that they could.
pub fn shown_repository(repository: &Repository) -> Option<String> {
    let Repository { host, path } = repository;
    if host == UNNAMED_HOST {
        return None;
    }
    if host == "docker.io" {
        return Some(path.strip_prefix("library/").unwrap_or(path).to_owned());
    }
    let host = host.strip_prefix(LOCAL).unwrap_or(host);
    Some(format!("{host}/{path}"))
}

/// `rea:latest`, `host/path@sha256:…`.
pub fn shown(name: &ImageName) -> String {
    let repository = shown_repository(&name.repository);
    let repository = repository.unwrap_or_else(|| "<none>".to_owned());
    match &name.reference {
        Reference::Tag(tag) => format!("{repository}:{tag}"),
        Reference::Digest(digest) => format!("{repository}@{digest}"),
    }
}

/// Twelve digits, as docker shortens ids.
pub fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names_of_the_embedded_registry_are_kept_elsewhere_and_shown_as_written() {
        let own = |host: &str| host == "own.example";
        for (written, kept_as) in [
            ("rea", "docker.io/library/rea:latest"),
            ("team/rea:1", "docker.io/team/rea:1"),
            ("own.example/rea:1", "local_own.example/rea:1"),
            ("other.example/a/b:1", "other.example/a/b:1"),
        ] {
            let name: ImageName = written.parse().unwrap();
            let kept = kept(&name, own);
            assert_eq!(kept.to_string(), kept_as);
            assert!(shown(&kept).starts_with(written));
        }
    }
}
