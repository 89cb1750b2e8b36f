//! Docker's and OCI's clients: `/v2/`. The user is `AWS`, the password an ECR token.

use base64::Engine as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use images::RegistryScope;
use serde_json::json;

use super::{Body, Front};

pub async fn answer(front: &Front, request: Request<Incoming>) -> Response<Body> {
    if !allowed(front, &request) {
        let body = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "authentication required: use the token of `aws ecr get-login-password`", "detail": null }] });
        let mut response = super::json(StatusCode::UNAUTHORIZED, &body);
        let realm =
            HeaderValue::from_static("Basic realm=\"neargate\",service=\"ecr.amazonaws.com\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, realm);
        return response;
    }
    let scope = RegistryScope {
        host: embedded_host(front, &request),
    };
    front
        .registry
        .handle(request, scope)
        .await
        .map(|body| body.map_err(std::io::Error::other).boxed_unsync())
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

fn allowed(front: &Front, request: &Request<Incoming>) -> bool {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|it| it.to_str().ok());
    let decoded = header
        .and_then(|it| it.strip_prefix("Basic "))
        .and_then(|it| {
            base64::engine::general_purpose::STANDARD
                .decode(it.trim())
                .ok()
        })
        .and_then(|it| String::from_utf8(it).ok());
    let Some(decoded) = decoded else { return false };
    let Some(("AWS", token)) = decoded.split_once(':') else {
        return false;
    };
    ecr::token_is_valid(&front.cloud, token)
}
