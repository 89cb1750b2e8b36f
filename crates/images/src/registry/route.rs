//! From a request's path to what it is about.
//!
//! A repository's name may hold any number of slashes and any words, so paths are read from their
//! end.

use engine::{Digest, Reference};
use http::Uri;
use percent_encoding::percent_decode_str;

use super::answer::{DIGEST_INVALID, MANIFEST_INVALID, NAME_UNKNOWN, Refusal};

#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Base,
    Catalog,
    Tags(String),
    Referrers(String, Digest),
    Blob(String, Digest),
    Manifest(String, Reference),
    Uploads(String),
    Upload(String, String),
}

#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub struct Route {
    pub place: Place,
    pub query: Query,
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl Route {
    pub fn parse(uri: &Uri) -> Result<Self, Refusal> {
        let pairs = uri.query().unwrap_or_default().split('&');
        let query = pairs.filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Ok(Self {
            place: Place::parse(&decode(uri.path()))?,
            query: Query(query.collect()),
        })
    }
}

impl Place {
    fn parse(path: &str) -> Result<Self, Refusal> {
        let unknown = || Refusal::not_found(NAME_UNKNOWN, format!("`{path}` is not a place here"));
        let below = path.strip_prefix("/v2").ok_or_else(unknown)?;
        if matches!(below, "" | "/") {
            return Ok(Self::Base);
        }
        let below = below.strip_prefix('/').ok_or_else(unknown)?;
        if below == "_catalog" {
            return Ok(Self::Catalog);
        }
        if let Some(name) = below.strip_suffix("/tags/list") {
            return Ok(Self::Tags(name.to_owned()));
        }
        let uploads = below.strip_suffix('/').unwrap_or(below);
        if let Some(name) = uploads.strip_suffix("/blobs/uploads") {
            return Ok(Self::Uploads(name.to_owned()));
        }
        let (rest, last) = below.rsplit_once('/').ok_or_else(unknown)?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            return Ok(Self::Upload(name.to_owned(), last.to_owned()));
        }
        if let Some(name) = rest.strip_suffix("/blobs") {
            return Ok(Self::Blob(name.to_owned(), digest(last)?));
        }
        if let Some(name) = rest.strip_suffix("/referrers") {
            return Ok(Self::Referrers(name.to_owned(), digest(last)?));
        }
        if let Some(name) = rest.strip_suffix("/manifests") {
            let reference = last.parse::<Reference>();
            let reference =
                reference.map_err(|e| Refusal::bad_request(reference_code(last), e.to_string()))?;
            return Ok(Self::Manifest(name.to_owned(), reference));
        }
        Err(unknown())
    }
}

pub fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse()
        .map_err(|e: engine::EngineError| Refusal::bad_request(DIGEST_INVALID, e.to_string()))
}

fn reference_code(text: &str) -> &'static str {
    if text.contains(':') {
        DIGEST_INVALID
    } else {
        MANIFEST_INVALID
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let check = |path: &str, expected: Place| {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(Route::parse(&uri).unwrap().place, expected, "{path}");
        };
        check("/v2/", Place::Base);
        check("/v2", Place::Base);
        check("/v2/_catalog?n=3", Place::Catalog);
        check("/v2/a/b/tags/list", Place::Tags("a/b".to_owned()));
        check(
            "/v2/blobs/uploads/blobs/uploads/",
            Place::Uploads("blobs/uploads".to_owned()),
        );
        check(
            "/v2/a/blobs/uploads/77",
            Place::Upload("a".to_owned(), "77".to_owned()),
        );
        check(
            &format!("/v2/a/manifests/blobs/sha256%3A{}", "a".repeat(64)),
            Place::Blob("a/manifests".to_owned(), digest),
        );
        check(
            "/v2/a/tags/manifests/v1",
            Place::Manifest("a/tags".to_owned(), Reference::Tag("v1".to_owned())),
        );
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for path in [
            "/v3/",
            "/v2x",
            "/v2/a",
            "/v2/a/blobs/sha256:12",
            "/v2/a/manifests/..",
            "/v2/a/manifests/%2e%2e%2fx",
        ] {
            let uri: Uri = path.parse().unwrap();
            assert!(Route::parse(&uri).is_err(), "{path}");
        }
    }
}
