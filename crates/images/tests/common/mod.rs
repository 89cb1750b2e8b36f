//! A registry on the loopback over a store of its own, and a client that knows only HTTP.

#![allow(dead_code)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{ImageName, Images, Repository};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use images::{
    Access, Closed, EmbeddedHosts, Gate, ImageStore, Registry, RegistryBody, RegistryScope,
};
use reach::Reach;
use ring::digest::{SHA256, digest as hash};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub const HOST: &str = "own.registry.test";

pub fn digest(bytes: &[u8]) -> String {
    let hash = hash(&SHA256, bytes);
    let hex: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

pub fn manifest_of(config: (&str, usize), layers: &[(&str, usize)]) -> String {
    let layers: Vec<Value> = layers
        .iter()
        .map(|(digest, size)| {
            json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": digest,
                "size": size,
            })
        })
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config.0,
            "size": config.1,
        },
        "layers": layers,
    })
    .to_string()
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no `{name}` in {:?}", self.headers));
        value.to_str().unwrap()
    }
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Decides about a request before the registry sees it: what a front door does.
pub type Door = dyn Fn(&Request<Incoming>) -> Option<Response<RegistryBody>> + Send + Sync;

type Decision = dyn Fn(Access, &str) -> bool + Send + Sync;

/// Lets through what it is told to.
struct Rule(Box<Decision>);

impl Gate for Rule {
    fn check(&self, access: Access, repository: &Repository) -> Result<(), Closed> {
        match (self.0)(access, &repository.path) {
            true => Ok(()),
            false => Err(Closed::Denied("not you".into())),
        }
    }
    fn check_catalog(&self) -> Result<(), Closed> {
        Ok(())
    }
}

pub struct Server {
    pub root: tempfile::TempDir,
    pub store: ImageStore,
    pub port: u16,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::behind(Arc::new(|_| None)).await
    }

    pub async fn behind(door: Arc<Door>) -> Self {
        Self::with(door, Rule(Box::new(|_, _| true))).await
    }

    /// Where some things with some repositories are allowed.
    pub async fn where_allowed(
        rule: impl Fn(Access, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::with(Arc::new(|_| None), Rule(Box::new(rule))).await
    }

    async fn with(door: Arc<Door>, gate: Rule) -> Self {
        let gate = Arc::new(gate);
        let root = tempfile::tempdir().unwrap();
        let embedded = EmbeddedHosts::matching(|host| host == HOST);
        let store = ImageStore::open(root.path().to_owned(), embedded, Reach::default()).unwrap();
        for path in ["site", "other", "team/app"] {
            let repository = Repository {
                host: HOST.to_owned(),
                path: path.to_owned(),
            };
            store.create_repository(&repository).await.unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let registry = Arc::new(Registry::new(store.clone()));
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (registry, door, gate) = (registry.clone(), door.clone(), gate.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (registry, door, gate) = (registry.clone(), door.clone(), gate.clone());
                    async move {
                        if let Some(answer) = door(&request) {
                            return Ok::<_, std::convert::Infallible>(answer);
                        }
                        let host = HOST.to_owned();
                        let scope = RegistryScope { host };
                        Ok(registry.handle(request, scope, &*gate).await)
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            root,
            store,
            port,
            serving,
        }
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("host", HOST).body(Full::new(body.into()));
        let response = sender.send_request(request.unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    /// Promises more bytes than it sends, then goes away.
    pub async fn break_off(&self, method: Method, path: &str, promised: usize, sent: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {promised}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }

    pub async fn wait_until(&self, done: impl Fn(&Self) -> bool) {
        for _ in 0..250 {
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it did not come to pass");
    }

    pub fn temporary_files(&self) -> usize {
        fs::read_dir(self.uploads()).unwrap().count()
    }

    fn uploads(&self) -> PathBuf {
        self.root.path().join("uploads")
    }

    pub async fn has_blob(&self, digest: &str) -> bool {
        let digest = digest.parse().unwrap();
        self.store.has_blob(&digest).await.unwrap().is_some()
    }

    pub async fn push_blob(&self, repository: &str, content: &[u8]) -> String {
        let blob = digest(content);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={blob}");
        let answer = self.call(Method::POST, &path, &[], content.to_vec()).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        blob
    }

    pub async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        body: &str,
    ) -> Answer {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let headers = [("content-type", media_type)];
        self.call(Method::PUT, &path, &headers, body.to_owned())
            .await
    }

    /// An image of one gzipped layer with one file, `greeting`.
    pub async fn push_image(&self, repository: &str, tag: &str, greeting: &str) -> ImageName {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(greeting.len() as u64);
        header.set_mode(0o644);
        let content = greeting.as_bytes();
        tar.append_data(&mut header, "greeting", content).unwrap();
        let tar = tar.into_inner().unwrap();
        let level = flate2::Compression::fast();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
        std::io::Write::write_all(&mut gzip, &tar).unwrap();
        let gzip = gzip.finish().unwrap();
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Cmd": ["/greeting"] },
            "rootfs": { "type": "layers", "diff_ids": [digest(&tar)] },
        })
        .to_string();
        let layer = self.push_blob(repository, &gzip).await;
        let config_digest = self.push_blob(repository, config.as_bytes()).await;
        let manifest = manifest_of((&config_digest, config.len()), &[(&layer, gzip.len())]);
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let put = self
            .put_manifest(repository, tag, media_type, &manifest)
            .await;
        assert_eq!(put.status, StatusCode::CREATED);
        format!("{HOST}/{repository}:{tag}").parse().unwrap()
    }
}
