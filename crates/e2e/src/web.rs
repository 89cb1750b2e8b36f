//! A small server of the web at the loopback: files of a folder, and Git repositories by Git's own program.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// Serves what is in its folder for as long as the test's process runs.
pub struct Web {
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Request {
    method: String,
    target: String,
    content_type: String,
    protocol: String,
    body: Vec<u8>,
}

impl Web {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (root, seen) = (folder.path().to_owned(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, seen) = (root.clone(), seen.clone());
                std::thread::spawn(move || {
                    let _ = serve(stream, &root, &seen);
                });
            }
        });
        Self {
            address,
            folder,
            asked,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn put(&self, path: &str, text: &str) {
        fs::write(self.folder.path().join(path), text).unwrap();
    }

    /// What was asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Commits files to the branch `main` of a repository, which is made first if it is not there, and returns
    /// the commit.
    pub fn commit(&self, repository: &str, files: &[(&str, &str)]) -> String {
        let work = tempfile::tempdir().unwrap();
        let bare = self.folder.path().join(repository);
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=a", "-c", "user.email=a@b"]);
            command.args(arguments).current_dir(work.path());
            let output = command.output().unwrap();
            assert!(output.status.success(), "git {arguments:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let place = bare.display().to_string();
        if !bare.exists() {
            git(&["init", "-q", "--bare", "-b", "main", &place]);
        }
        git(&["clone", "-q", &place, "."]);
        git(&["checkout", "-q", "-B", "main"]);
        for (name, text) in files {
            let path = work.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "files"]);
        git(&["push", "-q", "origin", "main"]);
        git(&["rev-parse", "HEAD"])
    }
}

fn serve(mut stream: TcpStream, root: &Path, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let request = read(&stream)?;
    asked.lock().unwrap().push(request.target.clone());
    let path = request.target.split('?').next().unwrap_or_default();
    if path.contains(".git/") {
        return exchange(stream, &request, root);
    }
    let file: PathBuf = root.join(path.trim_start_matches('/'));
    let (status, body) = match fs::read(file) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nlast-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        content_type: String::new(),
        protocol: String::new(),
        body: Vec::new(),
    };
    let (mut length, mut is_packed) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or_default(),
            "content-type" => request.content_type = value.to_owned(),
            "content-encoding" => is_packed = value == "gzip",
            "git-protocol" => request.protocol = value.to_owned(),
            _ => {}
        }
    }
    assert!(!is_packed, "requests of these tests are short");
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

fn exchange(mut stream: TcpStream, request: &Request, root: &Path) -> std::io::Result<()> {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let mut command = Command::new("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", root);
    command
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path);
    command.env("QUERY_STRING", query);
    command.env("REQUEST_METHOD", &request.method);
    command.env("CONTENT_TYPE", &request.content_type);
    command.env("CONTENT_LENGTH", request.body.len().to_string());
    command.env("GIT_PROTOCOL", &request.protocol);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(&request.body)?;
    let output = child.wait_with_output()?.stdout;
    let at = output.windows(4).position(|it| it == b"\r\n\r\n");
    let (head, body) = output.split_at(at.map_or(0, |at| at + 4));
    let head = String::from_utf8_lossy(head);
    let status = head.lines().find_map(|it| it.strip_prefix("Status: "));
    let status = status.unwrap_or("200 OK");
    write!(
        stream,
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{head}",
        body.len()
    )?;
    stream.write_all(body)
}
