//! BuildKit's API, as docker's client with buildx speaks it: `POST /session`, on which a client offers its
//! files, logins and secrets, and `POST /grpc`, on which it asks for builds. Both begin as requests that
//! are upgraded to HTTP/2 (crate `buildkit`); the engine's own builder does the work.
//!
//! A client asks for a build in one of two ways. It names the Dockerfile's frontend in `Solve`, or it leads
//! the build itself, as buildx does: `Solve` then waits until the client has asked for what it wants by
//! calls of another service (`LLBBridge`), and said that it has all.
//!
//! Where to read: `service.rs` is the table of calls, `job.rs` a build that is asked for, `options.rs` what
//! its options say, `work.rs` how it is done, `files.rs` how folders come, `progress.rs` what its client is
//! told meanwhile, `export.rs` and `send.rs` what becomes of it.

mod agents;
mod excerpt;
mod export;
mod files;
mod job;
mod options;
mod progress;
mod send;
mod service;
mod work;

use std::sync::Arc;

use buildkit::grpc::{Code, Status};
use buildkit::{Header, Sessions};
use engine::EngineError;
use http::{Request, Response, StatusCode, header};
use hyper::upgrade::Upgraded;

use crate::answer::{self, Answer, Refusal};
use crate::routes::Call;

/// HTTP/2 without encryption.
const PROTOCOL: &str = "h2c";

/// What BuildKit's clients have open here.
#[derive(Default)]
pub struct BuildKit {
    sessions: Sessions,
    jobs: job::Jobs,
}

/// `POST /session`
pub fn session(call: Call) -> Answer {
    let header = Header::read(&call.head.headers).map_err(Refusal::bad)?;
    if !call.docker.buildkit.sessions.has_room() {
        return Err(Refusal::conflict("there are too many sessions"));
    }
    let docker = call.docker.clone();
    upgrade(call, |connection| async move {
        docker.buildkit.sessions.keep(header, connection).await
    })
}

/// `POST /grpc`
pub fn grpc(call: Call) -> Answer {
    let service = Arc::new(service::Builder(call.docker.clone()));
    upgrade(call, |connection| async move {
        buildkit::grpc::serve(connection, service).await
    })
}

/// Answers, and lets `serve` have the connection once the answer has been sent.
fn upgrade<F>(call: Call, serve: impl FnOnce(Upgraded) -> F + Send + 'static) -> Answer
where
    F: Future<Output = hyper::Result<()>> + Send,
{
    if !call
        .header("upgrade")
        .is_some_and(|it| it.eq_ignore_ascii_case(PROTOCOL))
    {
        return Err(Refusal::bad(format!(
            "no upgrade proto in request, only {PROTOCOL} is spoken here"
        )));
    }
    let upgrade = hyper::upgrade::on(Request::from_parts(call.head, ()));
    tokio::spawn(async move {
        let served = match upgrade.await {
            Ok(upgraded) => serve(upgraded).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a connection of BuildKit's client ended early");
        }
    });
    let mut response = Response::new(answer::full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer::set(&mut response, header::CONNECTION, "Upgrade");
    answer::set(&mut response, header::UPGRADE, PROTOCOL);
    Ok(response)
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.status {
            StatusCode::BAD_REQUEST => Code::InvalidArgument,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Code::PermissionDenied,
            StatusCode::CONFLICT => Code::AlreadyExists,
            StatusCode::NOT_IMPLEMENTED => Code::Unimplemented,
            _ => Code::Unknown,
        };
        Self::new(code, refusal.message)
    }
}

/// A failed build has no code of its own: its clients would say it before the words.
fn failed(error: EngineError) -> Status {
    let message = error.lack_in_words().unwrap_or_else(|| error.chain());
    Status::new(Code::Unknown, message)
}
