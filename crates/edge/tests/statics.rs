//! The static web server as a process of its own.

mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Answer, read_answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Server {
    root: tempfile::TempDir,
    address: SocketAddr,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("www");
        fs::create_dir_all(path.join("sub dir")).unwrap();
        fs::write(root.path().join("secret"), "secret").unwrap();
        fs::write(path.join("index.html"), "<h1>front</h1>").unwrap();
        fs::write(path.join("style.css"), "0123456789").unwrap();
        fs::write(path.join("sub dir/index.html"), "sub").unwrap();
        fs::write(path.join(".hidden"), "hidden").unwrap();
        symlink("../secret", path.join("out.txt")).unwrap();
        symlink("style.css", path.join("in.css")).unwrap();
        // The port is free a moment before; nobody else on this machine takes such ports.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut child = Command::new(env!("CARGO_BIN_EXE_edge-role"));
        child.arg("static").arg(&path).arg(port.to_string());
        let child = child.stdout(Stdio::piped()).spawn().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Starting takes a moment, and longer where the machine has much else to do.
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = TcpStream::connect(address).await {
            assert!(Instant::now() < deadline, "{address}: {error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self {
            root,
            address,
            child,
        }
    }

    async fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{request}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a")).await
    }
}

#[tokio::test]
async fn files_and_folders() {
    let server = Server::start().await;
    let front = server.get("/").await;
    assert_eq!((front.status, front.text()), (200, "<h1>front</h1>".into()));
    assert_eq!(
        front.header("content-type").unwrap(),
        "text/html; charset=utf-8"
    );
    let style = server.get("/style.css?v=2").await;
    assert_eq!(
        style.header("content-type").unwrap(),
        "text/css; charset=utf-8"
    );
    assert_eq!(server.get("/in.css").await.text(), "0123456789");
    let folder = server.get("/sub%20dir?x").await;
    assert_eq!(folder.status, 301);
    assert_eq!(folder.header("location").unwrap(), "./sub%20dir/?x");
    assert_eq!(server.get("/sub%20dir/").await.text(), "sub");
}

#[tokio::test]
async fn nothing_outside_the_root() {
    let server = Server::start().await;
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/sub%20dir/..%2f../secret",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/out.txt",
        "/.hidden",
        "/index.html/",
        "/style.css%00.html",
        "/none",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let page = server.root.path().join("www/404.html");
    fs::write(page, "<p>lost</p>").unwrap();
    let lost = server.get("/none").await;
    assert_eq!((lost.status, lost.text()), (404, "<p>lost</p>".into()));
}

#[tokio::test]
async fn head_conditions_and_ranges() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "HEAD /style.css HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert!(
        all.contains("content-length: 10\r\n") && all.ends_with("\r\n\r\n"),
        "{all}"
    );

    let file = server.get("/style.css").await;
    let (tag, time) = (
        file.header("etag").unwrap(),
        file.header("last-modified").unwrap(),
    );
    let with = |header: String| {
        let server = &server;
        async move {
            server
                .ask(&format!("GET /style.css HTTP/1.1\r\nHost: a\r\n{header}"))
                .await
        }
    };
    assert_eq!(
        with(format!("If-None-Match: \"x\", {tag}")).await.status,
        304
    );
    assert_eq!(with("If-None-Match: \"x\"".into()).await.status, 200);
    assert_eq!(with(format!("If-Modified-Since: {time}")).await.status, 304);
    let part = with("Range: bytes=2-4".into()).await;
    assert_eq!((part.status, part.text()), (206, "234".into()));
    assert_eq!(part.header("content-range").unwrap(), "bytes 2-4/10");
    assert_eq!(with("Range: bytes=99-".into()).await.status, 416);
    let stale = with("Range: bytes=2-4\r\nIf-Range: \"x\"".into()).await;
    assert_eq!((stale.status, stale.text()), (200, "0123456789".into()));
    let posted = server
        .ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0")
        .await;
    assert_eq!(posted.status, 405);
}

/// A client that reads slowly gets the whole file though the server is told to end, and each
/// request is a line of the log.
#[tokio::test]
async fn the_end_is_graceful_and_requests_are_logged() {
    let mut server = Server::start().await;
    let big = vec![b'b'; 32 * 1024 * 1024];
    fs::write(server.root.path().join("www/big.bin"), &big).unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 4096];
    stream.read_exact(&mut first).await.unwrap();
    let idle = TcpStream::connect(server.address).await.unwrap();
    kill(Pid::from_raw(server.child.id() as i32), Signal::SIGTERM).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "it still takes clients"
    );
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(first.len() + rest.len() > big.len());
    drop(idle);
    let status = server.child.wait().unwrap();
    assert!(status.success(), "{status}");
    let mut log = String::new();
    let mut stdout = server.child.stdout.take().unwrap();
    std::io::Read::read_to_string(&mut stdout, &mut log).unwrap();
    assert!(
        log.contains(" 127.0.0.1 GET /big.bin 200 33554432 "),
        "{log}"
    );
}
