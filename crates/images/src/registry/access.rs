//! What a request does, and who is asked whether it may.

use engine::{Digest, Reference, Repository};
use http::{Method, StatusCode};

use super::answer::{self, DIGEST_INVALID, NAME_INVALID, Refusal};
use super::route::{Place, Query, digest};
use crate::names::is_repository_path;

/// Something that a request does with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    ReadManifest,
    PutManifest,
    DeleteManifest,
    ListTags,
    ListReferrers,
    ProbeBlob,
    ReadBlob,
    DeleteBlob,
    StartUpload,
    WriteUpload,
    FinishUpload,
}

/// Decides over what requests do.
pub trait Gate: Send + Sync {
    fn check(&self, access: Access, repository: &Repository) -> Result<(), Closed>;

    /// Whether the names of all repositories may be listed.
    fn check_catalog(&self) -> Result<(), Closed>;
}

/// Why a request is not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Whoever asks may not.
    Denied(String),
    /// Nobody may: this registry has no such operation.
    Unsupported(String),
    /// It cannot be found out.
    Failed(String),
}

impl From<Closed> for Refusal {
    fn from(closed: Closed) -> Self {
        let (status, code, message) = match closed {
            Closed::Denied(why) => (StatusCode::FORBIDDEN, answer::DENIED, why),
            Closed::Unsupported(why) => (StatusCode::METHOD_NOT_ALLOWED, answer::UNSUPPORTED, why),
            Closed::Failed(why) => (StatusCode::INTERNAL_SERVER_ERROR, answer::UNKNOWN, why),
        };
        Self::new(status, code, message)
    }
}

/// A request that means something: a place, and what is done there.
#[derive(Debug, PartialEq, Eq)]
pub enum Deed {
    Ping,
    ListRepositories,
    OfRepository(String, RepositoryDeed),
}

#[derive(Debug, PartialEq, Eq)]
pub enum RepositoryDeed {
    ListTags,
    ListReferrers(Digest),
    ReadManifest(Reference),
    PutManifest(Reference),
    DeleteManifest(Reference),
    ProbeBlob(Digest),
    ReadBlob(Digest),
    DeleteBlob(Digest),
    StartUpload,
    /// A blob that is sent at once.
    SendBlob(Digest),
    MountBlob {
        blob: Digest,
        from: Option<String>,
    },
    UploadStatus(String),
    WriteUpload(String),
    FinishUpload {
        id: String,
        blob: Digest,
        /// Whether the last piece comes with it.
        writes: bool,
    },
    CancelUpload(String),
}

impl Deed {
    /// `has_body`: something comes with the request.
    pub fn of(
        method: &Method,
        place: Place,
        query: &Query,
        has_body: bool,
    ) -> Result<Self, Refusal> {
        use RepositoryDeed as Do;
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let (path, deed) = match (place, method.as_str()) {
            (Place::Base, _) if is_read => return Ok(Self::Ping),
            (Place::Catalog, _) if is_read => return Ok(Self::ListRepositories),
            (Place::Tags(path), _) if is_read => (path, Do::ListTags),
            (Place::Referrers(path, digest), _) if is_read => (path, Do::ListReferrers(digest)),
            (Place::Blob(path, digest), "HEAD") => (path, Do::ProbeBlob(digest)),
            (Place::Blob(path, digest), "GET") => (path, Do::ReadBlob(digest)),
            (Place::Blob(path, digest), "DELETE") => (path, Do::DeleteBlob(digest)),
            (Place::Manifest(path, reference), _) if is_read => (path, Do::ReadManifest(reference)),
            (Place::Manifest(path, reference), "PUT") => (path, Do::PutManifest(reference)),
            (Place::Manifest(path, reference), "DELETE") => (path, Do::DeleteManifest(reference)),
            (Place::Uploads(path), "POST") => (path, begin(query)?),
            (Place::Upload(path, id), _) if is_read => (path, Do::UploadStatus(id)),
            (Place::Upload(path, id), "PATCH") => (path, Do::WriteUpload(id)),
            (Place::Upload(path, id), "DELETE") => (path, Do::CancelUpload(id)),
            (Place::Upload(path, id), "PUT") => {
                let blob = query.get("digest").ok_or_else(|| {
                    Refusal::bad_request(DIGEST_INVALID, "the query does not say the `digest`")
                })?;
                let blob = digest(blob)?;
                let writes = has_body;
                (path, Do::FinishUpload { id, blob, writes })
            }
            _ => return Err(Refusal::method(method)),
        };
        // Whoever decides is told of names that can be names, spelled in one way.
        check_path(&path)?;
        Ok(Self::OfRepository(path, deed))
    }
}

fn begin(query: &Query) -> Result<RepositoryDeed, Refusal> {
    if let Some(blob) = query.get("mount") {
        let from = query.get("from").map(str::to_owned);
        from.as_deref().map(check_path).transpose()?;
        let blob = digest(blob)?;
        return Ok(RepositoryDeed::MountBlob { blob, from });
    }
    Ok(match query.get("digest") {
        Some(blob) => RepositoryDeed::SendBlob(digest(blob)?),
        None => RepositoryDeed::StartUpload,
    })
}

fn check_path(path: &str) -> Result<(), Refusal> {
    if is_repository_path(path) {
        return Ok(());
    }
    let message = format!("`{}` is not a repository name", path.escape_debug());
    Err(Refusal::bad_request(NAME_INVALID, message))
}

impl RepositoryDeed {
    /// What it does with its own repository, all of which must be allowed.
    pub fn accesses(&self) -> &'static [Access] {
        match self {
            Self::ListTags => &[Access::ListTags],
            Self::ListReferrers(_) => &[Access::ListReferrers],
            Self::ReadManifest(_) => &[Access::ReadManifest],
            Self::PutManifest(_) => &[Access::PutManifest],
            Self::DeleteManifest(_) => &[Access::DeleteManifest],
            Self::ProbeBlob(_) => &[Access::ProbeBlob],
            Self::ReadBlob(_) => &[Access::ReadBlob],
            Self::DeleteBlob(_) => &[Access::DeleteBlob],
            Self::StartUpload | Self::MountBlob { .. } => &[Access::StartUpload],
            Self::SendBlob(_) => &[
                Access::StartUpload,
                Access::WriteUpload,
                Access::FinishUpload,
            ],
            Self::UploadStatus(_) | Self::WriteUpload(_) | Self::CancelUpload(_) => {
                &[Access::WriteUpload]
            }
            Self::FinishUpload { writes: false, .. } => &[Access::FinishUpload],
            Self::FinishUpload { writes: true, .. } => &[Access::WriteUpload, Access::FinishUpload],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::route::Route;
    use super::*;

    fn deed(method: &str, path: &str, has_body: bool) -> Result<Deed, Refusal> {
        let method: Method = method.parse().unwrap();
        let Route { place, query } = Route::parse(&path.parse().unwrap()).unwrap();
        Deed::of(&method, place, &query, has_body)
    }

    #[test]
    fn what_each_request_does_is_what_is_asked_for() {
        use Access::*;
        let blob = format!("sha256:{}", "a".repeat(64));
        let check = |method: &str, path: &str, expected: &[Access]| {
            let path = format!("/v2/site/{path}").replace("BLOB", &blob);
            let Ok(Deed::OfRepository(name, deed)) = deed(method, &path, method == "PATCH") else {
                panic!("{method} {path}");
            };
            assert_eq!(
                (&name[..], deed.accesses()),
                ("site", expected),
                "{method} {path}"
            );
        };
        check("GET", "manifests/v1", &[ReadManifest]);
        check("HEAD", "manifests/BLOB", &[ReadManifest]);
        check("PUT", "manifests/v1", &[PutManifest]);
        check("DELETE", "manifests/v1", &[DeleteManifest]);
        check("GET", "blobs/BLOB", &[ReadBlob]);
        check("HEAD", "blobs/BLOB", &[ProbeBlob]);
        check("DELETE", "blobs/BLOB", &[DeleteBlob]);
        check("GET", "tags/list", &[ListTags]);
        check("GET", "referrers/BLOB", &[ListReferrers]);
        check("POST", "blobs/uploads/", &[StartUpload]);
        check(
            "POST",
            "blobs/uploads/?mount=BLOB&from=other",
            &[StartUpload],
        );
        let whole = [StartUpload, WriteUpload, FinishUpload];
        check("POST", "blobs/uploads/?digest=BLOB", &whole);
        for method in ["GET", "PATCH", "DELETE"] {
            check(method, "blobs/uploads/7", &[WriteUpload]);
        }
        check("PUT", "blobs/uploads/7?digest=BLOB", &[FinishUpload]);
        let path = format!("/v2/site/blobs/uploads/7?digest={blob}");
        let Ok(Deed::OfRepository(_, last)) = deed("PUT", &path, true) else {
            panic!("it is a deed");
        };
        assert_eq!(last.accesses(), [WriteUpload, FinishUpload]);
    }

    #[test]
    fn what_does_nothing_that_is_known_is_refused_before_anybody_is_asked() {
        for (method, path) in [
            ("POST", "/v2/site/manifests/v1"),
            ("OPTIONS", "/v2/site/tags/list"),
            ("PUT", "/v2/site/blobs/uploads/"),
            ("PATCH", "/v2/"),
            ("DELETE", "/v2/_catalog"),
            ("get", "/v2/site/tags/list"),
            ("GET", "/v2/a//b/tags/list"),
            ("GET", "/v2/../b/tags/list"),
            ("GET", "/v2/a%0ab/tags/list"),
            ("GET", "/v2/A/tags/list"),
            ("POST", "/v2/site/blobs/uploads/?mount=sha256:12"),
        ] {
            assert!(deed(method, path, false).is_err(), "{method} {path}");
        }
        let from = format!(
            "/v2/site/blobs/uploads/?mount=sha256:{}&from=%2e%2e",
            "a".repeat(64)
        );
        assert!(deed("POST", &from, false).is_err());
    }
}
