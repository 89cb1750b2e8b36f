//! The command line's own requests: `/_neargate/v1/…`. All are signed like AWS's,
//! but the question whether a daemon is there. And
//! `/_neargate/webhooks/…`, which Git hosts call.

mod connections;
pub mod exec;
mod permissions;
mod webhook;

use bytes::Bytes;
use cloud::{Caller, Cx};
use engine::{AssembleRequest, BuildEvent, BuildRequest};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use wire::Doubt;

use super::body::{self, Trouble};
use super::bounds::Sender;
use super::{Body, Front, Visit, aws, json, request_id, streamed};

/// Templates and build requests are text; files are read from this machine by their path.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Lines of a build that a slow reader may be behind.
const EVENTS_MAX: usize = 256;

pub async fn answer(
    front: &Front,
    request: Request<Incoming>,
    visit: &Visit<'_>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let is_post = request.method() == Method::POST;
    if path == "/_neargate/v1/health" && !is_post {
        // Anybody may know that a daemon is here, and the owner what it is.
        return json(StatusCode::OK, &json!({ "neargate": "up" }));
    }
    if let (true, Some(hook)) = (is_post, path.strip_prefix(webhook::PATH)) {
        return webhook::answer(front, hook, request, visit).await;
    }
    if !is_post {
        return refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "send a POST",
        );
    }
    let (head, sent) = request.into_parts();
    if let Err(doubt) = admit(front, &head) {
        return body::without(sent, unbelieved(&doubt));
    }
    let key = wire::claimed_key(&head).unwrap_or_default();
    let body = match body::read(sent, BODY_BYTES_MAX, visit.client, Sender::Says(&key)).await {
        Ok(body) => body,
        Err(trouble) => return unread(trouble),
    };
    let cx = match authenticate(front, &head, &body, visit) {
        Ok(cx) => cx,
        Err(doubt) => return unbelieved(&doubt),
    };
    visit.believe();
    let input = match wire::parse_json(&body) {
        Ok(input) => wire::write_json(&input),
        Err(error) => return refusal(StatusCode::BAD_REQUEST, error.code, &error.message),
    };
    let _room = body.into_reserved();
    let words: Vec<&str> = path
        .strip_prefix("/_neargate/v1/")
        .unwrap_or_default()
        .split('/')
        .collect();
    // Operations ask for permissions themselves. What AWS has not, no policy can allow: a build reads
    // any file of this machine. It takes the owner's own key; a session of the owner's may have been
    // handed on.
    if words.first() != Some(&"call") && !matches!(cx.caller, Caller::Root(_)) {
        return refusal(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "only the account's owner may do this",
        );
    }
    tracing::Span::current().record("call", words.join("/").as_str());
    match words[..] {
        ["health"] => health(front),
        ["call", service, operation] => call(&cx, service, operation, input).await,
        ["build"] => build(front, input),
        ["listening"] => listening(&cx, &input).await,
        ["why"] => why(&cx, input).await,
        ["console"] => console(front, cx, &input),
        ["exec"] => exec::begin(front, head, input).await,
        ["known"] => known(&cx, input).await,
        ["connection", "authorize"] => connections::authorize(&cx, &input).await,
        ["authority"] => authority(&cx),
        ["iam", "calls"] => permissions::calls(&cx, &input),
        ["stop"] => {
            front.ask_to_stop.send_replace(true);
            json(StatusCode::OK, &json!({}))
        }
        _ => refusal(StatusCode::NOT_FOUND, "NotFound", "there is no such path"),
    }
}

/// Whom a client has to trust that speaks with what has certificates of this installation.
fn authority(cx: &Cx) -> Response<Body> {
    match acm::authority_certificate(cx) {
        Ok((name, certificate)) => json(
            StatusCode::OK,
            &json!({ "name": name, "certificate": certificate }),
        ),
        Err(error) => refused(&error, &cx.request_id),
    }
}

/// An operation's error, in the words of its code.
fn refused(error: &cloud::Error, request_id: &str) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = request_id::with(error.status, &error.message, request_id);
    refusal(status, error.code, &message)
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json(status, &json!({ "code": code, "message": message }))
}

fn unbelieved(doubt: &Doubt) -> Response<Body> {
    let message = format!("the request is not accepted: {doubt}");
    refusal(StatusCode::FORBIDDEN, "AccessDenied", &message)
}

fn unread(trouble: Trouble) -> Response<Body> {
    match trouble {
        Trouble::Unfit => refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            "the request is too large or ended early",
        ),
        Trouble::Busy => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            "too much is being sent at the moment: try again",
        ),
    }
}

/// Whether the body is worth reading, as far as the head tells.
fn admit(front: &Front, head: &Parts) -> Result<(), Doubt> {
    let credentials = wire::Credentials::of(head)?;
    let find_key = |key: &str, token: Option<&str>| front.find_key(key, token);
    wire::check_head(head, &credentials, &find_key, aws::now())
}

fn authenticate(front: &Front, head: &Parts, body: &[u8], visit: &Visit<'_>) -> Result<Cx, Doubt> {
    let credentials = wire::Credentials::of(head)?;
    let find_key = |key: &str, token: Option<&str>| front.find_key(key, token);
    let caller = wire::verify(head, body, &credentials, &find_key, aws::now())?;
    let mut cx = (front.cloud).context(&credentials.region, caller, visit.origin.clone());
    cx.request_id = visit.request_id.clone();
    Ok(cx)
}

/// What the daemon is: two daemons are told apart by their state directories.
fn health(front: &Front) -> Response<Body> {
    let version = env!("CARGO_PKG_VERSION");
    json(
        StatusCode::OK,
        &json!({ "version": version, "pid": std::process::id(), "state": front.state }),
    )
}

/// An operation of a service, in JSON whatever the service speaks.
async fn call(cx: &Cx, service: &str, operation: &str, input: serde_json::Value) -> Response<Body> {
    match cx.serve_json(service, operation, input).await {
        Ok(output) => json(StatusCode::OK, &output),
        Err(error) => refused(&error, &cx.request_id),
    }
}

/// Where the programs of `task` accept connections.
async fn listening(cx: &Cx, input: &serde_json::Value) -> Response<Body> {
    let task = input["task"].as_str().unwrap_or_default();
    match cx.engine().tasks.listening(task).await {
        Ok(addresses) => {
            let addresses = addresses.unwrap_or_default();
            json(StatusCode::OK, &json!({ "addresses": addresses }))
        }
        Err(error) => refused(&cloud::internal(error), &cx.request_id),
    }
}

/// A link that lets one browser in, once.
fn console(front: &Front, cx: Cx, input: &serde_json::Value) -> Response<Body> {
    let can_write = input["write"] == true;
    let path = front.console.invite(cx.caller, &cx.region, can_write);
    json(StatusCode::OK, &json!({ "path": path }))
}

/// What is wrong with a thing, or with whatever is red.
async fn why(cx: &Cx, input: serde_json::Value) -> Response<Body> {
    let question: why::Question = match serde_json::from_value(input) {
        Ok(question) => question,
        Err(error) => {
            return refusal(
                StatusCode::BAD_REQUEST,
                "ValidationError",
                &error.to_string(),
            );
        }
    };
    match why::answer(cx, &question).await {
        Ok(report) => json(StatusCode::OK, &json!(report)),
        Err(error) => refused(&error, &cx.request_id),
    }
}

/// What the account has of what files only name.
async fn known(cx: &Cx, input: serde_json::Value) -> Response<Body> {
    let wanted: why::ahead::Wanted = match serde_json::from_value(input) {
        Ok(wanted) => wanted,
        Err(error) => {
            return refusal(
                StatusCode::BAD_REQUEST,
                "ValidationError",
                &error.to_string(),
            );
        }
    };
    match why::ahead::look_up(cx, &wanted).await {
        Ok(known) => json(StatusCode::OK, &json!(known)),
        Err(error) => refused(&error, &cx.request_id),
    }
}

#[derive(Deserialize)]
enum BuildInput {
    /// From a Dockerfile.
    Build(BuildRequest),
    /// From plain files; `own_program` is the path in the image that this program itself is put at.
    Assemble {
        request: AssembleRequest,
        own_program: Option<std::path::PathBuf>,
    },
}

/// Builds, and answers a line of JSON per event; the last is `Built` or `Error`.
fn build(front: &Front, input: serde_json::Value) -> Response<Body> {
    let input: BuildInput = match serde_json::from_value(input) {
        Ok(input) => input,
        Err(error) => {
            return refusal(
                StatusCode::BAD_REQUEST,
                "ValidationError",
                &error.to_string(),
            );
        }
    };
    let (builds, images) = (
        front.cloud.engine.builds.clone(),
        front.cloud.engine.images.clone(),
    );
    let program = front.program.clone();
    let (lines, receiver) = mpsc::channel::<String>(EVENTS_MAX);
    tokio::spawn(async move {
        let (events, mut seen) = mpsc::channel::<BuildEvent>(EVENTS_MAX);
        let copy = lines.clone();
        let copying = tokio::spawn(async move {
            while let Some(event) = seen.recv().await {
                if copy
                    .send(json!({ "Event": event }).to_string())
                    .await
                    .is_err()
                {
                    break;
                }
            }
        });
        let outcome = match input {
            BuildInput::Build(request) => builds.build(request, events).await,
            BuildInput::Assemble {
                mut request,
                own_program,
            } => {
                drop(events);
                if let Some(path) = own_program {
                    request.files.insert(0, (program, path));
                }
                builds.assemble(request).await
            }
        };
        let _ = copying.await;
        let last = match outcome {
            Ok(built) => match images.prepare_digest(&built.digest).await {
                Ok(image) => json!({ "Built": built, "config": image.config }),
                Err(error) => json!({ "Error": error.chain() }),
            },
            Err(error) => json!({ "Error": error.chain() }),
        };
        let _ = lines.send(last.to_string()).await;
    });
    Response::new(streamed(receiver, |line| Bytes::from(line + "\n")))
}
