//! Lists: tags, repositories, and what refers to a manifest.

use engine::{Digest, Repository};
use http::{StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::answer::{self, NAME_INVALID, NAME_UNKNOWN, Refusal};
use super::route::Query;
use super::{Answer, Registry};
use crate::document::{Content, Manifest, OCI_INDEX};
use crate::limits::LIST_PAGE;

impl Registry {
    pub(super) async fn tags(&self, repository: Repository, query: &Query) -> Answer {
        let wanted = repository.clone();
        let tags = self
            .store
            .blocking(move |inner| inner.names.tags(&wanted))
            .await
            .map_err(|e| Refusal::from_engine(&e, NAME_UNKNOWN))?;
        let path = &repository.path;
        let (page, more) = page(tags.into_iter().map(|(tag, _)| tag).collect(), query)?;
        let body = json!({ "name": path, "tags": page });
        Ok(with_next(body, &format!("/v2/{path}/tags/list"), more))
    }

    pub(super) async fn catalog(&self, host: &str, query: &Query) -> Answer {
        let host = host.to_owned();
        let repositories = self
            .store
            .blocking(move |inner| inner.names.repositories(&host))
            .await
            .map_err(|e| Refusal::from_engine(&e, NAME_INVALID))?;
        let (page, more) = page(repositories, query)?;
        Ok(with_next(
            json!({ "repositories": page }),
            "/v2/_catalog",
            more,
        ))
    }

    /// Manifests of the repository whose subject is this digest.
    pub(super) async fn referrers(
        &self,
        repository: Repository,
        subject: Digest,
        query: &Query,
    ) -> Answer {
        let wanted_type = query.get("artifactType").map(str::to_owned);
        let filtered = wanted_type.is_some();
        let manifests = self
            .store
            .blocking(move |inner| {
                let mut found = Vec::new();
                for digest in inner.names.manifests(&repository)? {
                    let bytes = inner.manifest_bytes(&digest)?;
                    let manifest = Manifest::parse(&bytes, None)?;
                    if manifest.subject.as_ref() != Some(&subject) {
                        continue;
                    }
                    let entry = referrer(manifest, &digest, bytes.len());
                    if wanted_type
                        .as_ref()
                        .is_none_or(|wanted| entry["artifactType"] == wanted.as_str())
                    {
                        found.push(entry);
                    }
                }
                Ok(found)
            })
            .await
            .map_err(|e| Refusal::from_engine(&e, NAME_UNKNOWN))?;
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
        let bytes = index.to_string().into_bytes();
        let mut response = answer::bytes(StatusCode::OK, OCI_INDEX, bytes);
        if filtered {
            answer::set(&mut response, answer::FILTERS_APPLIED, "artifactType");
        }
        Ok(response)
    }
}

fn referrer(manifest: Manifest, digest: &Digest, size: usize) -> serde_json::Value {
    let artifact_type = manifest.artifact_type.or(match manifest.content {
        Content::Image { config, .. } => Some(config.media_type),
        Content::Index(_) => None,
    });
    let mut entry = json!({
        "mediaType": manifest.media_type,
        "digest": digest,
        "size": size,
    });
    if let Some(artifact_type) = artifact_type {
        entry["artifactType"] = artifact_type.into();
    }
    if !manifest.annotations.is_empty() {
        entry["annotations"] = json!(manifest.annotations);
    }
    entry
}

/// The page that `n` and `last` ask for, and the query of the next one when there is more.
fn page(names: Vec<String>, query: &Query) -> Result<(Vec<String>, Option<String>), Refusal> {
    let count = match query.get("n") {
        None => LIST_PAGE,
        Some(n) => {
            let count = n.parse::<usize>().map_err(|_| {
                Refusal::bad_request(answer::UNSUPPORTED, format!("`n={n}` is not a number"))
            })?;
            count.min(LIST_PAGE)
        }
    };
    let after = |name: &String| query.get("last").is_none_or(|last| name.as_str() > last);
    let mut rest: Vec<String> = names.into_iter().filter(after).collect();
    let more = rest.len() > count;
    rest.truncate(count);
    let next = rest.last().filter(|_| more).map(|last| {
        let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
        format!("n={count}&last={last}")
    });
    Ok((rest, next))
}

fn with_next(
    body: serde_json::Value,
    path: &str,
    next: Option<String>,
) -> http::Response<super::RegistryBody> {
    let mut response = answer::json(StatusCode::OK, &body);
    if let Some(query) = next {
        let link = format!("<{path}?{query}>; rel=\"next\"");
        answer::set(&mut response, header::LINK, &link);
    }
    response
}
