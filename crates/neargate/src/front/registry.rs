//! Docker's and OCI's clients: `/v2/`. The user is `AWS`, the password an ECR token, and every request is
//! an action of ECR's on a repository, which the token's holder must be allowed.

use std::sync::Arc;

use cloud::Origin;
use engine::{Digest, Repository};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode, Uri};
use images::{Access, Closed, Gate, RegistryScope};
use serde_json::json;

use super::git::login;
use super::{Body, Front, Visit, full, request_id};
use crate::daemon::RegistryClient;

pub async fn answer(
    front: &Front,
    request: Request<Incoming>,
    visit: &Visit<'_>,
) -> Response<Body> {
    let host = embedded_host(front, &request);
    let with_token = client(front, &request, visit.origin.clone()).map(|it| (host, it));
    let found = with_token.or_else(|| with_address(front, &request, visit.origin.clone()));
    let Some((host, client)) = found else {
        let body = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "authentication required: use the token of `aws ecr get-login-password`", "detail": null }] });
        let mut response = super::json(StatusCode::UNAUTHORIZED, &body);
        let realm =
            HeaderValue::from_static("Basic realm=\"neargate\",service=\"ecr.amazonaws.com\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, realm);
        return response;
    };
    visit.believe();
    let scope = RegistryScope { host };
    let response = front.registry.handle(request, scope, &client).await;
    let response = response.map(|body| body.map_err(std::io::Error::other).boxed_unsync());
    match response.status() {
        StatusCode::INTERNAL_SERVER_ERROR => name_request(response, &visit.request_id).await,
        _ => response,
    }
}

/// Docker shows its user the message of a registry's error and nothing else of the answer.
async fn name_request(response: Response<Body>, request_id: &str) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => {
            tracing::warn!(%error, "an answer of the registry cannot be told");
            Default::default()
        }
    };
    let mut told: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    for error in told["errors"].as_array_mut().into_iter().flatten() {
        let message = error["message"].as_str().unwrap_or_default();
        error["message"] = request_id::with(head.status.as_u16(), message, request_id).into();
        error["detail"] = json!({ "requestId": request_id });
    }
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, full(told.to_string()))
}

/// The Host that the client named when it is the registry's own; the default region's otherwise
/// (`localhost:4566/repository` is a short form of it).
fn embedded_host(front: &Front, request: &Request<Incoming>) -> String {
    let named = request
        .headers()
        .get(HOST)
        .and_then(|it| it.to_str().ok())
        .unwrap_or_default();
    let named = named.split(':').next().unwrap_or_default();
    let own = format!("{}.dkr.ecr.", front.cloud.account);
    if named.starts_with(&own) && named.ends_with(".amazonaws.com") {
        named.to_owned()
    } else {
        format!("{own}{}.amazonaws.com", front.cloud.default_region)
    }
}

/// Who asks, when what they show is true.
fn client(
    front: &Front,
    request: &Request<Incoming>,
    origin: Arc<Origin>,
) -> Option<RegistryClient> {
    let shown = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (username, password) = login(shown)?;
    RegistryClient::find(&front.cloud, &username, &password, origin)
}

/// Who comes with an address that `GetDownloadUrlForLayer` made, and the host of the layer's repository. Such an
/// address is for reading that layer.
fn with_address(
    front: &Front,
    request: &Request<Incoming>,
    origin: Arc<Origin>,
) -> Option<(String, RegistryClient)> {
    if request.method() != Method::GET {
        return None;
    }
    let (repository, digest, shown) = layer_of(request.uri())?;
    let (region, client) =
        RegistryClient::of_layer(&front.cloud, shown, repository, &digest, origin)?;
    let host = format!("{}.dkr.ecr.{region}.amazonaws.com", front.cloud.account);
    Some((host, client))
}

/// The repository, the layer, and what is shown for it, in an address of a layer.
fn layer_of(uri: &Uri) -> Option<(&str, Digest, &str)> {
    let shown = (uri.query()?.split('&'))
        .filter_map(|it| it.split_once('='))
        .find(|(name, _)| *name == ecr::LAYER_QUERY)?
        .1;
    let (repository, digest) = uri.path().strip_prefix("/v2/")?.rsplit_once("/blobs/")?;
    Some((repository, digest.parse().ok()?, shown))
}

/// The action that stands for a request ("Actions, resources, and condition keys for Amazon Elastic
/// Container Registry"). None for what ECR's registry does not do.
fn action(access: Access) -> Option<&'static str> {
    Some(match access {
        Access::ReadManifest => "BatchGetImage",
        Access::PutManifest => "PutImage",
        Access::DeleteManifest => "BatchDeleteImage",
        Access::ListTags => "ListImages",
        Access::ListReferrers => "ListImageReferrers",
        Access::ProbeBlob => "BatchCheckLayerAvailability",
        Access::ReadBlob => "GetDownloadUrlForLayer",
        Access::StartUpload => "InitiateLayerUpload",
        Access::WriteUpload => "UploadLayerPart",
        Access::FinishUpload => "CompleteLayerUpload",
        // Layers go with the images that they are of.
        Access::DeleteBlob => return None,
    })
}

/// All that the registry asks for.
#[cfg(test)]
pub fn actions() -> impl Iterator<Item = String> {
    use Access::*;
    let all = [
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
    ];
    all.into_iter()
        .filter_map(action)
        .map(|it| format!("ecr:{it}"))
}

impl Gate for RegistryClient {
    fn check(&self, access: Access, repository: &Repository) -> Result<(), Closed> {
        let Some(action) = action(access) else {
            return Err(unsupported());
        };
        self.authorize(action, repository).map_err(|error| {
            if error.status >= 500 {
                Closed::Failed(error.message)
            } else {
                Closed::Denied(error.message)
            }
        })
    }

    /// `DescribeRepositories` tells them.
    fn check_catalog(&self) -> Result<(), Closed> {
        Err(unsupported())
    }
}

fn unsupported() -> Closed {
    Closed::Unsupported("The operation is unsupported.".to_owned())
}
