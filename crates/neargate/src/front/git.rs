//! Git's own clients: `/v1/repos/<name>/…`, CodeCommit's path, in Git's smart protocol over HTTP.
//!
//! Who is asked for a user name and password may show
//! * what `aws iam create-service-specific-credential` made;
//! * what `aws codecommit credential-helper` makes (with `credential.UseHttpPath=true`, as on AWS): a
//!   signature, which ends after a quarter of an hour. It signs for AWS's hosts only: either the
//!   address is `http://git-codecommit.<region>.amazonaws.com.localhost:<port>/v1/repos/<name>`, or
//!   it is told `--ignore-host-check`;
//! * an access key and its secret.

use std::io;

use ::git::{Pack, Push, inflate, known_protocol};
use base64::Engine as _;
use bytes::Bytes;
use cloud::{Caller, Cx, Needs};
use engine::{ByteStream, EngineError, Fault};
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode, Uri};

use super::body::{self, Trouble};
use super::bounds::{Client, Reserved, Sender};
use super::{Body, Front, Visit, aws, full, request_id};

pub const PATH: &str = "/v1/repos/";

/// A compressed question: see [`inflate`].
const COMPRESSED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a client asks for.
struct Asked {
    name: String,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Refs(Pack),
    Exchange(Pack),
}

pub async fn answer(
    front: &Front,
    request: Request<Incoming>,
    visit: &Visit<'_>,
) -> Response<Body> {
    let Some(asked) = asked(request.method(), request.uri()) else {
        return refuse(
            StatusCode::NOT_FOUND,
            "there is no such path: Git's clients of protocol version 0 to 2 are served, dumb ones are not",
        );
    };
    // Nobody is told which repositories there are before it is known who asks.
    let host = header(&request, &HOST).unwrap_or_default();
    let repository = codecommit::find_by_path(&front.cloud, &host, &asked.name);
    let region = repository.as_ref().map(|it| it.region.as_str());
    let Some(caller) = caller(front, &request, &asked.name, region) else {
        let why = "log in with Git credentials of an IAM user, with the credential helper of the aws CLI, or with an access key and its secret";
        let mut response = refuse(StatusCode::UNAUTHORIZED, why);
        let realm = HeaderValue::from_static("Basic realm=\"neargate CodeCommit\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, realm);
        return response;
    };
    visit.believe();
    let Some(repository) = repository else {
        let why = format!("repository {} does not exist", asked.name);
        return refuse(StatusCode::NOT_FOUND, &why);
    };
    let mut cx = (front.cloud).context(&repository.region, caller, visit.origin.clone());
    cx.request_id = visit.request_id.clone();
    let access = Access {
        cx,
        repository: &repository,
    };
    match serve(front, request, &access, asked.what, visit.client).await {
        Ok(response) => response,
        Err(refused) => refused.answer(&visit.request_id),
    }
}

fn asked(method: &Method, uri: &Uri) -> Option<Asked> {
    let rest = uri.path().strip_prefix(PATH)?;
    let (name, what) = rest.split_once('/')?;
    let what = match (method, what) {
        (&Method::GET, "info/refs") => {
            let service = uri.query()?.split('&');
            let service = service
                .filter_map(|it| it.strip_prefix("service="))
                .next()?;
            What::Refs(Pack::from_service(service)?)
        }
        (&Method::POST, service) => What::Exchange(Pack::from_service(service)?),
        _ => return None,
    };
    Some(Asked {
        name: name.strip_suffix(".git").unwrap_or(name).to_owned(),
        what,
    })
}

fn header(request: &Request<Incoming>, name: &HeaderName) -> Option<String> {
    let value = request.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// Who asks, when what they show is true.
fn caller(
    front: &Front,
    request: &Request<Incoming>,
    name: &str,
    region: Option<&str>,
) -> Option<Caller> {
    let shown = header(request, &AUTHORIZATION)?;
    let (user, password) = login(&shown)?;
    let (user, password) = (user.as_str(), password.as_str());
    if let Some(caller) = iam::find_git_login(&front.cloud, user, password) {
        return Some(caller);
    }
    let (access_key, token) = key_of(user);
    let signer = front.find_key(access_key, token)?;
    if !codecommit::is_signature(password) {
        return signer.if_secret(password);
    }
    let host = header(request, &HOST).unwrap_or_default();
    let default_region = front.cloud.default_region.as_str();
    let regions = [region.unwrap_or(default_region), default_region];
    // The helper signs the address as the user wrote it, which may end in `.git`.
    let paths = [format!("{PATH}{name}"), format!("{PATH}{name}.git")];
    signer.if_signed(|secret| {
        paths.iter().any(|path| {
            let asked = codecommit::Asked { host: &host, path };
            codecommit::is_signed(password, &asked, secret, &regions, aws::now())
        })
    })
}

/// What somebody shows who logs in: a name and a password.
pub fn login(shown: &str) -> Option<(String, String)> {
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(shown.strip_prefix("Basic ")?.trim())
        .ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Temporary keys come with their token.
fn key_of(user: &str) -> (&str, Option<&str>) {
    match user.split_once('%') {
        Some((access_key, token)) => (access_key, Some(token)),
        None => (user, None),
    }
}

/// Whose repository is asked for, and by whom: whether policies let them.
struct Access<'a> {
    cx: Cx,
    repository: &'a codecommit::Found,
}

impl Access<'_> {
    /// A client asks for refs before it pulls or pushes, which changes none yet.
    fn enter(&self, pack: Pack) -> Result<(), cloud::Error> {
        let need = match pack {
            Pack::Upload => self.repository.pull(),
            Pack::Receive => self.repository.push(None),
        };
        self.cx.authorize_one("codecommit", need)
    }

    /// Whose turns an exchange takes: sessions of a role have its turns.
    fn taker(&self) -> String {
        match &self.cx.caller {
            Caller::AssumedRole { role_arn, .. } => role_arn.clone(),
            caller => caller.arn(self.cx.account()),
        }
    }

    /// What is pushed, when all the references that it changes may be changed.
    async fn admit(&self, input: ByteStream) -> Result<ByteStream, Refused> {
        let push = Push::read(input).await?;
        let references = push.references.iter();
        let needs = Needs {
            all: references
                .map(|it| self.repository.push(Some(it)))
                .collect(),
            ..Needs::default()
        };
        self.cx.authorize("codecommit", &needs)?;
        Ok(push.whole)
    }
}

/// Why a client is not served.
enum Refused {
    Forbidden(cloud::Error),
    /// It is not known whether the client may.
    Broken(cloud::Error),
    Failed(EngineError),
}

impl From<cloud::Error> for Refused {
    fn from(error: cloud::Error) -> Self {
        match error.status {
            500.. => Self::Broken(error),
            _ => Self::Forbidden(error),
        }
    }
}

impl Refused {
    fn answer(self, request_id: &str) -> Response<Body> {
        let (status, message) = match self {
            Self::Forbidden(error) => (StatusCode::FORBIDDEN, error.message),
            Self::Broken(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.message),
            Self::Failed(error) => {
                let status = match error.fault {
                    Fault::NotFound => StatusCode::NOT_FOUND,
                    Fault::Invalid => StatusCode::BAD_REQUEST,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                tracing::warn!(error = error.chain(), "cannot serve a client of Git");
                (status, error.lack_in_words().unwrap_or(error.message))
            }
        };
        refuse(
            status,
            &request_id::with(status.as_u16(), &message, request_id),
        )
    }
}

impl From<EngineError> for Refused {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

async fn serve(
    front: &Front,
    request: Request<Incoming>,
    access: &Access<'_>,
    what: What,
    client: &Client,
) -> Result<Response<Body>, Refused> {
    let id = &access.repository.id;
    let (What::Refs(pack) | What::Exchange(pack)) = what;
    access.enter(pack)?;
    let protocol = header(&request, &HeaderName::from_static("git-protocol"));
    let protocol = protocol.as_deref().and_then(known_protocol);
    let (body, kind) = match what {
        What::Refs(_) => {
            let refs = front.git.advertise(id, pack, protocol).await?;
            (full(refs), "advertisement")
        }
        What::Exchange(_) => {
            let input = input(request, client).await?;
            let input = match pack {
                Pack::Upload => input,
                Pack::Receive => access.admit(input).await?,
            };
            let who = access.taker();
            let output = front.git.exchange(&who, id, pack, protocol, input).await?;
            let frames = output.map(|piece| piece.map(Frame::data));
            (StreamBody::new(frames).boxed_unsync(), "result")
        }
    };
    let mut response = Response::new(body);
    let kind = format!("application/x-{}-{kind}", pack.service());
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// The request's body as it comes, or what was compressed in it.
async fn input(request: Request<Incoming>, client: &Client) -> Result<ByteStream, EngineError> {
    let encoding = header(&request, &CONTENT_ENCODING);
    let body = request.into_body();
    if !matches!(encoding.as_deref(), Some("gzip" | "x-gzip")) {
        let frames = TryStreamExt::map_err(BodyStream::new(body), io::Error::other);
        let pieces = frames.try_filter_map(|it| async move { Ok(it.into_data().ok()) });
        return Ok(Box::pin(pieces));
    }
    let compressed = body::read(body, COMPRESSED_BYTES_MAX, client, Sender::Known).await;
    let compressed = compressed.map_err(|trouble| {
        EngineError::invalid(match trouble {
            Trouble::Unfit => "the request is too large or ended early",
            Trouble::Busy => "too much is being pushed at the moment: try again",
        })
    })?;
    let inflating = tokio::task::spawn_blocking(move || {
        let whole = inflate(&compressed);
        (whole, compressed.into_reserved())
    });
    let inflated = inflating.await;
    let (whole, reserved): (_, Reserved) =
        inflated.map_err(|_| EngineError::machine("cannot read a request"))?;
    let whole = Bytes::from(whole?);
    // Its room is taken until it was read.
    let once = futures_util::stream::once(async move {
        drop(reserved);
        Ok(whole)
    });
    Ok(Box::pin(once))
}

/// Git shows its user the text of an answer that is not a success.
fn refuse(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(full(format!("{why}\n")));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

#[cfg(test)]
mod tests {
    use fuzz::{Target, bucket};

    use super::*;

    /// Hostile heads: a method and an address, a line of each.
    #[test]
    fn fuzz_git_head() {
        Target::new("git-head", env!("CARGO_MANIFEST_DIR"))
            .seeds([
                "GET /v1/repos/shop.git/info/refs?service=git-upload-pack\nBasic YTpi\nversion=2",
                "POST /v1/repos/shop/git-receive-pack\nBasic QVNJQSV0b2tlbjpwYXNz\nversion=1:x",
                "GET /v1/repos/../a/info/refs?a=b&service=git-receive-pack\n\nversion=0",
            ])
            .words([
                "/v1/repos/",
                "..",
                "%2e%2e%2f",
                ".git",
                "info/refs",
                "service=",
                "git-upload-pack",
                "&",
                "Basic ",
                "Og==",
                "version=2",
                ":",
            ])
            .run(|input| {
                let text = String::from_utf8_lossy(input);
                let mut lines = text.split('\n');
                let (method, address) = lines.next().and_then(|it| it.split_once(' '))?;
                let (method, uri) = (method.parse().ok()?, address.parse().ok()?);
                let asked = asked(&method, &uri).map(|it| {
                    assert!(!it.name.contains('/'), "a name leads to no other folder");
                    (bucket(it.name.len()), matches!(it.what, What::Refs(_)))
                });
                let login = login(lines.next().unwrap_or_default());
                let has_token = login.map(|(user, _)| key_of(&user).1.is_some());
                let protocol = lines.next().and_then(known_protocol);
                Some((asked, has_token, protocol))
            });
    }
}
