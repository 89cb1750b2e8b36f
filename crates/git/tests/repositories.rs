//! The program itself: repositories kept here, and the same ones read over HTTP as remote ones.

use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use engine::*;
use futures_util::{StreamExt, TryStreamExt};
use git::{GitStore, Pack, known_protocol};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

struct World {
    store: Arc<GitStore>,
    address: String,
    directory: tempfile::TempDir,
}

const LOGIN: (&str, &str) = ("somebody", "pass word");

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

async fn answer(store: Arc<GitStore>, request: Request<Incoming>) -> Response<Body> {
    let header = |name: &str| {
        let value = request.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let (user, password) = LOGIN;
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    if header("authorization") != Some(format!("Basic {login}")) {
        let response = Response::builder().status(401);
        let response = response.header("www-authenticate", "Basic realm=\"x\"");
        return response.body(full("")).unwrap();
    }
    let protocol = header("git-protocol").and_then(|it| known_protocol(&it));
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (id, rest) = path.split_once('/').unwrap();
    if rest == "info/refs" {
        let pack = Pack::from_service(query.strip_prefix("service=").unwrap()).unwrap();
        return match store.advertise(id, pack, protocol).await {
            Ok(refs) => {
                let kind = format!("application/x-{}-advertisement", pack.service());
                let response = Response::builder().header("content-type", kind);
                response.body(full(refs)).unwrap()
            }
            Err(_) => Response::builder().status(404).body(full("")).unwrap(),
        };
    }
    let pack = Pack::from_service(rest).unwrap();
    let input = TryStreamExt::map_err(BodyStream::new(request.into_body()), std::io::Error::other)
        .try_filter_map(|it| async move { Ok(it.into_data().ok()) });
    let output = store
        .exchange(id, pack, protocol, Box::pin(input))
        .await
        .unwrap();
    let body = StreamBody::new(output.map(|it| it.map(Frame::data))).boxed_unsync();
    let kind = format!("application/x-{}-result", pack.service());
    let response = Response::builder().header("content-type", kind);
    response.body(body).unwrap()
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(GitStore::open(directory.path().join("git")).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = store.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let store = serving.clone();
                let service = service_fn(move |request| {
                    let store = store.clone();
                    async move { Ok::<_, Infallible>(answer(store, request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self {
            store,
            address: format!("http://{address}"),
            directory,
        }
    }

    fn remote(&self, id: &str) -> GitSource {
        self.as_user(id, Some((LOGIN.0.into(), LOGIN.1.into())))
    }

    fn as_user(&self, id: &str, login: Option<(String, String)>) -> GitSource {
        let url = format!("{}/{id}", self.address);
        GitSource::Remote { url, login }
    }

    async fn write(&self, parent: Option<&str>, files: &[(&str, Option<&str>)]) -> GitCommit {
        let edit = |(path, text): &(&str, Option<&str>)| GitEdit {
            path: (*path).into(),
            content: text.map(|it| it.as_bytes().to_vec()),
            kind: GitFileKind::Plain,
        };
        let change = GitChange {
            branch: "trunk".into(),
            parent: parent.map(str::to_owned),
            author_name: "Ann <Other>".into(),
            author_email: "ann@example.com".into(),
            message: "Say hello\n\nLoudly.".into(),
            files: files.iter().map(edit).collect(),
        };
        self.store.write("a", &change).await.unwrap()
    }

    /// The client, as a user runs it.
    async fn client(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=Bob", "-c", "user.email=bob@example.com"])
            .args(arguments)
            .current_dir(self.directory.path())
            .env("GIT_TERMINAL_PROMPT", "0");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }
}

fn hosted() -> GitSource {
    GitSource::Hosted("a".into())
}

#[tokio::test]
async fn commits_are_written_and_read() {
    let world = World::new().await;
    let store = &world.store;
    let mut changes = store.changes();
    store.create("a").await.unwrap();
    store.create("a").await.unwrap();
    assert_eq!(store.default_branch(&hosted()).await.unwrap(), None);
    let files = [
        ("README", Some("hello\n")),
        ("src/odd \"name\"\\.txt", Some("x")),
        ("src/b", Some("b")),
    ];
    let first = world.write(None, &files).await;
    assert_eq!(first.author_name, "Ann Other");
    assert_eq!(first.message, "Say hello\n\nLoudly.");
    assert_eq!(changes.recv().await.unwrap(), "a");
    let default = store.default_branch(&hosted()).await.unwrap();
    assert_eq!(default.as_deref(), Some("trunk"));

    let edits = [("src/b", None), ("README", Some("hello!\n"))];
    let second = world.write(Some(&first.id), &edits).await;
    assert_eq!(second.parents.concat(), first.id);
    let stale = GitChange {
        branch: "trunk".into(),
        parent: Some(first.id.clone()),
        author_name: "x".into(),
        ..GitChange::default()
    };
    let error = store.write("a", &stale).await.unwrap_err();
    assert_eq!(error.fault, Fault::Conflict, "{error}");

    let changed = store.differences("a", Some(&first.id), "trunk");
    let changed = changed.await.unwrap();
    let paths: Vec<_> = changed.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["README", "src/b"]);
    assert!(changed[1].after.is_none() && changed[1].before.is_some());

    let top = store.entries("a", "trunk", "").await.unwrap();
    let paths: Vec<_> = top.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["README", "src"]);
    let inner = store.entries("a", "trunk", "src").await.unwrap();
    assert_eq!(inner[0].path, "src/odd \"name\"\\.txt");
    let readme = store.entry("a", "trunk", "README").await.unwrap();
    assert_eq!(readme.size_bytes, Some(7));
    assert_eq!(
        store.file("a", "trunk", "README", 7).await.unwrap(),
        b"hello!\n"
    );
    assert_eq!(store.blob("a", &readme.id, 7).await.unwrap(), b"hello!\n");
    let error = store.file("a", "trunk", "README", 6).await.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid);
    let error = store.entry("a", "trunk", "nothing").await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
    let error = store.commit(&hosted(), "other").await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
    let error = store.commit(&hosted(), "--all").await.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid);

    store.set_branch("a", "old", Some(&first.id)).await.unwrap();
    store.set_default_branch("a", "old").await.unwrap();
    let branches = store.branches(&hosted()).await.unwrap();
    assert_eq!(branches["old"], first.id);
    assert_eq!(branches["trunk"], second.id);
    store.set_branch("a", "old", None).await.unwrap();
    assert_eq!(store.branches(&hosted()).await.unwrap().len(), 1);
    store.delete("a").await.unwrap();
    store.delete("a").await.unwrap();
    let error = store.branches(&hosted()).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
}

#[tokio::test]
async fn files_are_checked_out_with_and_without_history() {
    let world = World::new().await;
    world.store.create("a").await.unwrap();
    let first = world
        .write(None, &[("a", Some("1")), ("b/c", Some("2"))])
        .await;
    let second = world.write(Some(&first.id), &[("a", Some("3"))]).await;
    for (number, source) in [hosted(), world.remote("a")].into_iter().enumerate() {
        let plain = world.directory.path().join(format!("plain{number}"));
        std::fs::create_dir(&plain).unwrap();
        let store = &world.store;
        let commit = store.checkout(&source, "trunk", &plain, GitHistory::FilesOnly);
        assert_eq!(commit.await.unwrap(), second);
        assert_eq!(std::fs::read(plain.join("a")).unwrap(), b"3");
        assert_eq!(std::fs::read(plain.join("b/c")).unwrap(), b"2");
        assert!(!plain.join(".git").exists());

        let full = world.directory.path().join(format!("full{number}"));
        std::fs::create_dir(&full).unwrap();
        let commit = store.checkout(&source, "trunk", &full, GitHistory::Full);
        assert_eq!(commit.await.unwrap(), second);
        let folder = full.display().to_string();
        let log = world.client(&["-C", &folder, "log", "--format=%H"]).await;
        assert_eq!(log.unwrap().lines().count(), 2);
        let status = world
            .client(&["-C", &folder, "status", "--porcelain", "-b"])
            .await;
        assert!(status.unwrap().starts_with("## trunk"));

        // By its id, too, and the first one of two.
        let old = world.directory.path().join(format!("old{number}"));
        std::fs::create_dir(&old).unwrap();
        let commit = store.checkout(&source, &first.id, &old, GitHistory::FilesOnly);
        assert_eq!(commit.await.unwrap(), first);
        assert_eq!(std::fs::read(old.join("a")).unwrap(), b"1");
    }
}

#[tokio::test]
async fn a_remote_repository_is_read() {
    let world = World::new().await;
    let store = &world.store;
    store.create("a").await.unwrap();
    let first = world
        .write(None, &[("a", Some("1")), ("b", Some("2"))])
        .await;
    let remote = world.remote("a");
    assert_eq!(store.branches(&remote).await.unwrap()["trunk"], first.id);
    let default = store.default_branch(&remote).await.unwrap();
    assert_eq!(default.as_deref(), Some("trunk"));
    assert_eq!(store.commit(&remote, "trunk").await.unwrap(), first);

    let second = world.write(Some(&first.id), &[("b", Some("3"))]).await;
    assert_eq!(store.commit(&remote, "trunk").await.unwrap(), second);
    assert_eq!(store.commit(&remote, &first.id[..10]).await.unwrap(), first);
    let paths = store.changed_paths(&remote, Some(&first.id), &second.id);
    assert_eq!(paths.await.unwrap(), ["b"]);

    let error = store.commit(&remote, "other").await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound, "{error}");
    let error = store.branches(&world.remote("nothing")).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound, "{error}");
    let wrong = world.as_user("a", Some(("somebody".into(), "hunter2".into())));
    let error = store.branches(&wrong).await.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid, "{error}");
    assert!(!error.chain().contains("hunter2"));
    let error = store.branches(&world.as_user("a", None)).await.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid, "{error}");
    let nobody = GitSource::Remote {
        url: "http://127.0.0.1:1/a".into(),
        login: None,
    };
    let error = store.branches(&nobody).await.unwrap_err();
    assert_eq!(error.fault, Fault::Unreachable, "{error}");
}

#[tokio::test]
async fn gits_own_client_pushes_and_is_heard() {
    let world = World::new().await;
    let store = &world.store;
    store.create("a").await.unwrap();
    let mut changes = store.changes();
    let url = format!(
        "{}/a",
        world
            .address
            .replace("http://", "http://somebody:pass%20word@")
    );
    world
        .client(&["init", "-q", "-b", "mine", "w"])
        .await
        .unwrap();
    std::fs::write(world.directory.path().join("w/file"), "x".repeat(3_000_000)).unwrap();
    world.client(&["-C", "w", "add", "."]).await.unwrap();
    world
        .client(&["-C", "w", "commit", "-q", "-m", "One"])
        .await
        .unwrap();
    world
        .client(&["-C", "w", "push", "-q", &url, "mine"])
        .await
        .unwrap();
    assert_eq!(changes.recv().await.unwrap(), "a");
    let branches = store.branches(&hosted()).await.unwrap();
    let head = world
        .client(&["-C", "w", "rev-parse", "HEAD"])
        .await
        .unwrap();
    assert_eq!(branches["mine"], head.trim());
    world.client(&["clone", "-q", &url, "copy"]).await.unwrap();
    let copied = std::fs::read(world.directory.path().join("copy/file")).unwrap();
    assert_eq!(copied.len(), 3_000_000);
    let refused = world
        .client(&["-C", "w", "push", "-q", &url, ":mine"])
        .await;
    assert!(
        refused
            .unwrap_err()
            .contains("refusing to delete the current branch")
    );
}
