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
use reach::{Reach, Target};

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
        .exchange("somebody", id, pack, protocol, Box::pin(input))
        .await
        .unwrap();
    let body = StreamBody::new(output.map(|it| it.map(Frame::data))).boxed_unsync();
    let kind = format!("application/x-{}-result", pack.service());
    let response = Response::builder().header("content-type", kind);
    response.body(body).unwrap()
}

/// The servers of these tests are on this machine, which its owner has to say.
fn here() -> Reach {
    Reach::new(vec!["127.0.0.1".parse().unwrap()], vec![])
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(GitStore::open(directory.path().join("git"), here()).unwrap());
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

/// A server that only counts who comes, and answers all of them alike.
async fn counting(answer: String) -> (u16, Arc<std::sync::atomic::AtomicUsize>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, count)
}

fn reaching(reach: Reach) -> (tempfile::TempDir, GitStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = GitStore::open(directory.path().join("git"), reach).unwrap();
    (directory, store)
}

fn open_to_all(url: String) -> GitSource {
    GitSource::Remote { url, login: None }
}

#[tokio::test]
async fn a_server_on_this_machine_is_asked_only_where_its_owner_says_so() {
    let gone = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (port, asked) = counting(gone.into()).await;
    let (_directory, store) = reaching(Reach::default());
    for host in [
        "127.0.0.1",
        "localhost",
        "LocalHost",
        "127.1",
        "2130706433",
        "0x7f.1",
        "%31%32%37.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        let source = open_to_all(format!("http://{host}:{port}/a"));
        let error = store.branches(&source).await.unwrap_err();
        assert_eq!(error.fault, Fault::Invalid, "{host}: {error}");
        let error = store.commit(&source, "main").await.unwrap_err();
        assert_eq!(error.fault, Fault::Invalid, "{host}: {error}");
    }
    let asked = || asked.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(asked(), 0, "nobody was asked");
    let server = Target::of(&format!("http://localhost:{port}")).unwrap();
    let (_directory, store) = reaching(Reach::new(vec![], vec![server]));
    let source = open_to_all(format!("http://localhost:{port}/a"));
    assert_eq!(
        store.branches(&source).await.unwrap_err().fault,
        Fault::NotFound
    );
    assert!(asked() > 0, "the owner's own server is asked");
}

#[tokio::test]
async fn a_server_cannot_send_git_to_this_machine() {
    let (inner, asked) = counting(String::new()).await;
    let location = format!("http://127.0.0.1:{inner}/a/info/refs?service=git-upload-pack");
    let (outer, sent) = counting(format!(
        "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    ))
    .await;
    let allowed = format!("127.0.0.1:{outer}").parse().unwrap();
    let (_directory, store) = reaching(Reach::new(vec![allowed], vec![]));
    // By its address and by a name, which is pinned to the address.
    for host in ["127.0.0.1", "localhost"] {
        let source = open_to_all(format!("http://{host}:{outer}/a"));
        let error = store.branches(&source).await.unwrap_err();
        assert_eq!(error.fault, Fault::Invalid, "{error}");
    }
    let count = |it: &std::sync::atomic::AtomicUsize| it.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!((count(&sent), count(&asked)), (2, 0));
}

/// Writes an object into a client's repository without any of Git's own checks.
fn write_object(repository: &std::path::Path, kind: &str, content: &[u8]) -> String {
    use std::io::Write;
    let mut child = Command::new("git")
        .args(["hash-object", "-w", "--literally", "--stdin", "-t", kind])
        .current_dir(repository)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn tree(entries: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(format!("{mode} {name}\0").as_bytes());
        let pairs = (0..id.len()).step_by(2);
        bytes.extend(pairs.map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()));
    }
    bytes
}

#[tokio::test]
async fn a_push_of_what_would_harm_who_clones_it_is_refused() {
    let world = World::new().await;
    world.store.create("a").await.unwrap();
    let address = world
        .address
        .replace("http://", "http://somebody:pass%20word@");
    let url = format!("{address}/a");
    world
        .client(&["init", "-q", "-b", "main", "w"])
        .await
        .unwrap();
    let place = world.directory.path().join("w");
    let blob = write_object(&place, "blob", b"../../outside");
    let bad_modules = b"[submodule \"a\"]\n\tpath = a\n\turl = --upload-pack=touch /tmp/x\n";
    let modules = write_object(&place, "blob", bad_modules);
    let inner = write_object(&place, "tree", &tree(&[("100644", "config", &blob)]));
    let trees: [(&str, Vec<u8>); 7] = [
        ("a folder .git", tree(&[("40000", ".git", &inner)])),
        ("a folder .GIT", tree(&[("40000", ".GIT", &inner)])),
        ("a way up", tree(&[("40000", "..", &inner)])),
        ("a way through", tree(&[("100644", "a/b", &blob)])),
        ("linked modules", tree(&[("120000", ".gitmodules", &blob)])),
        (
            "modules with options",
            tree(&[("100644", ".gitmodules", &modules)]),
        ),
        (
            "one name twice",
            tree(&[("120000", "a", &blob), ("40000", "a", &inner)]),
        ),
    ];
    let commit = |tree: &[u8]| {
        let tree = write_object(&place, "tree", tree);
        let text = format!(
            "tree {tree}\nauthor A <a@b> 1700000000 +0000\ncommitter A <a@b> 1700000000 +0000\n\nX\n"
        );
        write_object(&place, "commit", text.as_bytes())
    };
    for (number, (what, tree)) in trees.iter().enumerate() {
        let spec = format!("{}:refs/heads/bad-{number}", commit(tree));
        let refused = world.client(&["-C", "w", "push", "-q", &url, &spec]).await;
        assert!(refused.is_err(), "{what} was taken");
    }
    assert!(world.store.branches(&hosted()).await.unwrap().is_empty());
    // Neither a sound one nor a flaw of old programs is refused.
    let sound = tree(&[("100644", "a", &blob), ("040000", "b", &inner)]);
    let spec = format!("{}:refs/heads/good", commit(&sound));
    world
        .client(&["-C", "w", "push", "-q", &url, &spec])
        .await
        .unwrap();
}
