//! Pulling from another registry: the same registry on the loopback, with a door of its own.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::{HOST, Server, digest};
use engine::{Fault, ImageName, Images, RegistryLogin};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use images::{EmbeddedHosts, ImageStore, RegistryBody};
use reach::Reach;
use serde_json::json;

/// A store with nothing in it.
fn fresh() -> (tempfile::TempDir, ImageStore) {
    reaching(here())
}

fn reaching(reach: Reach) -> (tempfile::TempDir, ImageStore) {
    let root = tempfile::tempdir().unwrap();
    let embedded = EmbeddedHosts::matching(|host| host == HOST);
    let store = ImageStore::open(root.path().to_owned(), embedded, reach).unwrap();
    (root, store)
}

/// The registries of these tests are on this machine, which its owner has to say.
fn here() -> Reach {
    Reach::new(vec!["127.0.0.1".parse().unwrap()], vec![])
}

fn name(server: &Server, rest: &str) -> ImageName {
    format!("127.0.0.1:{}/{rest}", server.port).parse().unwrap()
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<RegistryBody> {
    let body = Full::new(Bytes::from(body.to_owned()));
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let body = body.map_err(|never| match never {}).boxed();
    response.body(body).unwrap()
}

fn authorization(request: &Request<Incoming>) -> &str {
    let value = request.headers().get("authorization");
    value.map_or("", |value| value.to_str().unwrap())
}

fn login() -> Option<RegistryLogin> {
    Some(RegistryLogin {
        username: "me".to_owned(),
        password: "secret".to_owned(),
    })
}
/// `me:secret`.
const BASIC: &str = "Basic bWU6c2VjcmV0";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_once_and_kept() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let server = Server::behind(Arc::new(move |request: &Request<Incoming>| {
        if request.method() == "GET" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        None
    }))
    .await;
    server.push_image("site", "v1", "hello").await;
    let (root, store) = fresh();
    let wanted = name(&server, "site:v1");
    assert_eq!(
        store.resolve(&wanted).await.unwrap_err().fault,
        Fault::NotFound
    );
    let all = (0..10).map(|_| store.prepare(&wanted, None));
    let images = futures_util::future::try_join_all(all).await.unwrap();
    let greeting = images[9].directories[0].join("greeting");
    assert_eq!(std::fs::read_to_string(greeting).unwrap(), "hello");
    // The manifest, the configuration, the layer.
    assert_eq!(requests.load(Ordering::SeqCst), 3);
    // Nobody has asked to keep it, until somebody does; a task that comes later changes nothing.
    let tag = root.path().join("repositories");
    let tag = tag.join(&wanted.repository.host).join("site/_tags/v1");
    let is_fetched = || std::fs::read_to_string(&tag).unwrap().ends_with(" fetched");
    assert!(is_fetched());
    store.pull(&wanted, None).await.unwrap();
    assert!(!is_fetched());
    store.prepare(&wanted, None).await.unwrap();
    assert!(!is_fetched());
    drop((server, store));
    let embedded = EmbeddedHosts::matching(|_| false);
    let store = ImageStore::open(root.path().to_owned(), embedded, here()).unwrap();
    assert_eq!(store.prepare(&wanted, None).await.unwrap(), images[0]);
    let by_digest = format!("{}@{}", wanted.repository, images[0].digest);
    let by_digest = by_digest.parse().unwrap();
    assert_eq!(store.prepare(&by_digest, None).await.unwrap(), images[0]);
}

#[tokio::test]
async fn an_index_leads_to_the_image_for_this_machine() {
    let server = Server::start().await;
    let image = server.push_image("site", "amd", "amd64").await;
    let other = server.push_image("site", "arm", "riscv").await;
    let entry = async |name: &ImageName, architecture: &str| {
        let stored = server.store.manifest(name).await.unwrap();
        json!({
            "mediaType": stored.media_type,
            "digest": stored.digest,
            "size": stored.bytes.len(),
            "platform": { "os": "linux", "architecture": architecture },
        })
    };
    let host = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let index = |entries: Vec<serde_json::Value>| {
        json!({ "schemaVersion": 2, "mediaType": list, "manifests": entries }).to_string()
    };
    let foreign = entry(&other, "riscv64").await;
    let both = index(vec![foreign.clone(), entry(&image, host).await]);
    let put = server.put_manifest("site", "all", list, &both).await;
    assert_eq!(put.status, StatusCode::CREATED);
    let only = index(vec![foreign]);
    server.put_manifest("site", "none", list, &only).await;
    let (_root, store) = fresh();
    let prepared = store
        .prepare(&name(&server, "site:all"), None)
        .await
        .unwrap();
    let greeting = prepared.directories[0].join("greeting");
    assert_eq!(std::fs::read_to_string(greeting).unwrap(), "amd64");
    // Pulled parts are named, so that they are no garbage.
    assert_eq!(
        store
            .resolve(&name(&server, "site:all"))
            .await
            .unwrap()
            .as_str(),
        digest(both.as_bytes())
    );
    let missing = store.prepare(&name(&server, "site:none"), None).await;
    let error = missing.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
    assert!(
        error.to_string().contains("no matching manifest"),
        "{error}"
    );
}

#[tokio::test]
async fn refusals_say_whose_fault_it_is() {
    let server = Server::start().await;
    let (_root, store) = fresh();
    let failed = async |name: ImageName| store.prepare(&name, None).await.unwrap_err();
    for missing in ["site:none", "nothing:v1"] {
        let error = failed(name(&server, missing)).await;
        assert_eq!(error.fault, Fault::NotFound, "{error}");
        assert!(error.to_string().contains("not found"), "{error}");
    }
    let closed = name(&server, "site:v1");
    let host = closed.repository.host.clone();
    drop(server);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let error = failed(closed).await;
    assert_eq!(error.fault, Fault::Unreachable);
    let expected = format!("cannot reach registry `{host}`");
    assert!(error.to_string().contains(&expected), "{error}");
    let broken = Server::behind(Arc::new(|_| Some(answer(503, &[], "")))).await;
    let error = failed(name(&broken, "site:v1")).await;
    assert_eq!(error.fault, Fault::Unreachable, "{error}");
    assert!(store.resolve(&name(&broken, "site:v1")).await.is_err());
}

#[tokio::test]
async fn basic_logins_are_used() {
    let server = Server::behind(Arc::new(|request: &Request<Incoming>| {
        let refused = request.method() == "GET" && authorization(request) != BASIC;
        refused.then(|| answer(401, &[("www-authenticate", "Basic realm=\"here\"")], ""))
    }))
    .await;
    server.push_image("site", "v1", "hello").await;
    let (_root, store) = fresh();
    let wanted = name(&server, "site:v1");
    let error = store.prepare(&wanted, None).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
    assert!(error.to_string().contains("access denied"), "{error}");
    store.prepare(&wanted, login()).await.unwrap();
}

#[tokio::test]
async fn tokens_are_fetched() {
    let port = Arc::new(AtomicUsize::new(0));
    let own_port = port.clone();
    let server = Server::behind(Arc::new(move |request: &Request<Incoming>| {
        if request.method() != "GET" {
            return None;
        }
        if request.uri().path() == "/token" {
            let query = request.uri().query().unwrap();
            let asked = query.contains("service=reg")
                && query.contains("scope=repository%3Asite%3Apull")
                && authorization(request) == BASIC;
            let body = r#"{"access_token":"sesame"}"#;
            return Some(answer(if asked { 200 } else { 401 }, &[], body));
        }
        if authorization(request) == "Bearer sesame" {
            return None;
        }
        let port = own_port.load(Ordering::SeqCst);
        let challenge = format!("Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"reg\"");
        Some(answer(401, &[("www-authenticate", &challenge)], ""))
    }))
    .await;
    port.store(server.port.into(), Ordering::SeqCst);
    server.push_image("site", "v1", "hello").await;
    let (_root, store) = fresh();
    let wanted = name(&server, "site:v1");
    assert!(store.prepare(&wanted, None).await.is_err());
    store.prepare(&wanted, login()).await.unwrap();
}

#[tokio::test]
async fn redirects_are_followed_without_the_credentials() {
    // Blobs come from elsewhere, which must not be told who asks.
    let origin = Server::behind(Arc::new(|request: &Request<Incoming>| {
        let told = request.method() == "GET" && !authorization(request).is_empty();
        told.then(|| answer(400, &[], ""))
    }))
    .await;
    origin.push_image("site", "v1", "hello").await;
    let elsewhere = origin.port;
    let front = Server::behind(Arc::new(move |request: &Request<Incoming>| {
        if request.method() != "GET" {
            return None;
        }
        if authorization(request) != BASIC {
            return Some(answer(401, &[("www-authenticate", "Basic")], ""));
        }
        let path = request.uri().path();
        if !path.contains("/blobs/") {
            return None;
        }
        let location = format!("http://127.0.0.1:{elsewhere}{path}");
        Some(answer(307, &[("location", &location)], ""))
    }))
    .await;
    front.push_image("site", "v1", "hello").await;
    let (_root, store) = fresh();
    let wanted = name(&front, "site:v1");
    store.prepare(&wanted, login()).await.unwrap();
    // A circle ends.
    let circle = Server::behind(Arc::new(|request: &Request<Incoming>| {
        let path = request.uri().path().to_owned();
        Some(answer(302, &[("location", &path)], ""))
    }))
    .await;
    let around = store.prepare(&name(&circle, "site:v1"), None).await;
    assert_eq!(around.unwrap_err().fault, Fault::Invalid);
}

#[tokio::test]
async fn what_a_lying_registry_sends_is_not_kept() {
    let server = Server::behind(Arc::new(|request: &Request<Incoming>| {
        let blob = request.method() == "GET" && request.uri().path().contains("/blobs/");
        blob.then(|| answer(200, &[], "something else"))
    }))
    .await;
    let pushed = server.push_image("site", "v1", "hello").await;
    let (root, store) = fresh();
    let error = store.prepare(&name(&server, "site:v1"), None).await;
    let error = error.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid, "{error}");
    assert!(store.resolve(&name(&server, "site:v1")).await.is_err());
    // What was fetched beside the blob that was refused is given up, and removes its file as it ends.
    let left = || {
        std::fs::read_dir(root.path().join("uploads"))
            .unwrap()
            .count()
    };
    for _ in 0..500 {
        if left() == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(left(), 0);
    // A manifest that is not what its digest says.
    let zeros = "0".repeat(64);
    let manifest = server.store.manifest(&pushed).await.unwrap().bytes;
    let manifest = String::from_utf8(manifest).unwrap();
    let liar = Server::behind(Arc::new(move |request: &Request<Incoming>| {
        let asked = request.uri().path().contains("/manifests/");
        asked.then(|| answer(200, &[], &manifest))
    }))
    .await;
    let wanted = name(&liar, &format!("site@sha256:{zeros}"));
    let error = store.prepare(&wanted, None).await.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid);
    assert!(
        error.to_string().contains("sent a manifest with digest"),
        "{error}"
    );
}

/// Allows one registry on this machine, and nothing beside it.
fn only(server: &Server) -> Reach {
    let place = format!("127.0.0.1:{}", server.port);
    Reach::new(vec![place.parse().unwrap()], vec![])
}

#[tokio::test]
async fn a_registry_on_this_machine_is_asked_only_where_its_owner_says_so() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = Server::behind(Arc::new(move |_: &Request<Incoming>| {
        count.fetch_add(1, Ordering::SeqCst);
        None
    }))
    .await;
    server.push_image("site", "v1", "hello").await;
    let pushed = asked.load(Ordering::SeqCst);
    let (_root, store) = reaching(Reach::default());
    for host in ["127.0.0.1", "localhost", "127.1", "0.0.0.0", "2130706433"] {
        let wanted = format!("{host}:{}/site:v1", server.port).parse();
        let Ok(wanted) = wanted else { continue };
        let error = store.prepare(&wanted, None).await.unwrap_err();
        assert_ne!(error.fault, Fault::NotFound, "{host}: {error}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), pushed, "nobody was asked");
    let (_root, store) = reaching(only(&server));
    store
        .prepare(&name(&server, "site:v1"), None)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_registry_cannot_send_the_daemon_to_this_machine() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let inner = Server::behind(Arc::new(move |_: &Request<Incoming>| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(answer(200, &[], r#"{"token":"sesame"}"#))
    }))
    .await;
    let port = inner.port;
    let bearer = format!("Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"reg\"");
    let realm = Server::behind(Arc::new(move |_: &Request<Incoming>| {
        Some(answer(401, &[("www-authenticate", &bearer)], ""))
    }))
    .await;
    let redirect = Server::behind(Arc::new(move |_: &Request<Incoming>| {
        let location = format!("http://127.0.0.1:{port}/v2/site/manifests/v1");
        Some(answer(307, &[("location", &location)], ""))
    }))
    .await;
    for server in [&realm, &redirect] {
        let (_root, store) = reaching(only(server));
        let error = store.prepare(&name(server, "site:v1"), None).await;
        let error = error.unwrap_err();
        assert!(error.message.contains("--allow-address"), "{error}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody was asked");
}
