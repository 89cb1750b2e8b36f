//! The table of paths, and a request as handlers see it.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answer::{Answer, Body, Refusal};
use crate::docker::Docker;
use crate::query::{Query, decode};
use crate::upload::Upload;
use crate::{build, buildkit, containers, events, images, networks, system, volumes};

/// The newest version of the API that is spoken, and the oldest.
pub const VERSION_MAX: (u32, u32) = (1, 50);
pub const VERSION_MIN: (u32, u32) = (1, 24);

pub struct Call {
    pub docker: Arc<Docker>,
    pub query: Query,
    pub head: Parts,
    pub body: Upload,
    pub version: (u32, u32),
}

impl Call {
    /// A body of JSON. Members that are null are absent; null, or no body at all, is an empty object.
    pub async fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let bytes = self.body.bytes().await?;
        let bad = |error: serde_json::Error| Refusal::bad(format!("invalid JSON: {error}"));
        let mut value: Value = match bytes.is_empty() {
            true => serde_json::json!({}),
            false => serde_json::from_slice(&bytes).map_err(bad)?,
        };
        remove_nulls(&mut value);
        if value.is_null() {
            value = serde_json::json!({});
        }
        serde_json::from_value(value).map_err(bad)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

pub async fn answer(docker: Arc<Docker>, request: Request<Incoming>) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let (head, body) = request.into_parts();
    let body = Upload::new(body, &head.headers);
    let mut response = match dispatch(docker.clone(), head, body.clone()).await {
        Ok(response) => response,
        Err(refusal) => {
            body.drain().await;
            refusal.into_response()
        }
    };
    if is_head {
        *response.body_mut() = crate::answer::full("");
    }
    system::sign(&docker, &mut response);
    response
}

/// The version that the path begins with, and the rest.
fn version_of(path: &str) -> Result<((u32, u32), &str), Refusal> {
    let versioned = path.strip_prefix("/v").and_then(|rest| {
        let (version, rest) = rest.split_once('/')?;
        let (major, minor) = version.split_once('.')?;
        Some(((major.parse().ok()?, minor.parse().ok()?), rest))
    });
    let Some((version, rest)) = versioned else {
        return Ok((VERSION_MAX, path.trim_start_matches('/')));
    };
    let text = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    if version < VERSION_MIN {
        return Err(Refusal::bad(format!(
            "client version {} is too old. Minimum supported API version is {}, please upgrade your client to a newer version",
            text(version),
            text(VERSION_MIN)
        )));
    }
    if version > VERSION_MAX {
        return Err(Refusal::bad(format!(
            "client version {} is too new. Maximum supported API version is {}",
            text(version),
            text(VERSION_MAX)
        )));
    }
    Ok((version, rest))
}

async fn dispatch(docker: Arc<Docker>, head: Parts, body: Upload) -> Answer {
    let path = head.uri.path().to_owned();
    let (version, rest) = version_of(&path)?;
    let words: Vec<String> = rest.trim_end_matches('/').split('/').map(decode).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let call = Call {
        docker,
        query: Query::parse(head.uri.query().unwrap_or_default()),
        version,
        body,
        head,
    };
    let method = match call.head.method.clone() {
        // Answered like GET, without the body; two paths know it by itself.
        Method::HEAD if !words.ends_with(&["archive"]) => Method::GET,
        method => method,
    };
    if let Some(refusal) = build::other_buildkit(&method, &words, &call.query) {
        return Err(refusal);
    }
    match (method.as_str(), &words[..]) {
        ("GET", ["_ping"]) => system::ping(),
        ("GET", ["version"]) => system::version(call).await,
        ("GET", ["info"]) => system::info(call).await,
        ("GET", ["events"]) => events::stream(call).await,
        ("GET", ["system", "df"]) => system::disk_usage(call).await,
        ("POST", ["auth"]) => system::log_in(call).await,
        ("POST", ["build"]) => build::build(call).await,
        ("POST", ["build", "prune"]) => build::prune(call).await,
        ("POST", ["session"]) => buildkit::session(call),
        ("POST", ["grpc"]) => buildkit::grpc(call),
        ("POST", ["commit"]) => images::commit(call).await,
        (_, ["images", rest @ ..]) if !rest.is_empty() => images::route(call, &method, rest).await,
        ("GET", ["distribution", rest @ .., "json"]) if !rest.is_empty() => {
            Err(Refusal::not_built("asking a registry about an image"))
        }
        (_, ["containers", rest @ ..]) if !rest.is_empty() => {
            containers::route(call, &method, rest).await
        }
        (_, ["exec", id, what]) => containers::route_exec(call, &method, id, what).await,
        (_, ["networks", rest @ ..]) => networks::route(call, &method, rest).await,
        (_, ["volumes", rest @ ..]) => volumes::route(call, &method, rest).await,
        (
            _,
            [
                what @ ("swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs"),
                ..,
            ],
        ) => Err(Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: format!("this node is not a swarm manager: `{what}` is not supported"),
        }),
        (_, ["plugins", ..]) => Err(Refusal::not_built("`plugins`")),
        _ => Err(Refusal::not_found("page not found")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_bounded() {
        assert_eq!(
            version_of("/v1.41/images/json").unwrap(),
            ((1, 41), "images/json")
        );
        assert_eq!(version_of("/_ping").unwrap(), (VERSION_MAX, "_ping"));
        assert_eq!(version_of("/version").unwrap(), (VERSION_MAX, "version"));
        assert!(
            version_of("/v1.51/info")
                .unwrap_err()
                .message
                .contains("too new")
        );
        assert!(
            version_of("/v1.12/info")
                .unwrap_err()
                .message
                .contains("too old")
        );
    }
}
