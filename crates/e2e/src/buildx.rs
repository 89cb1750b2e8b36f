//! A client of BuildKit's API at docker's socket, in the steps of buildx with its driver `docker`: it leads
//! its builds itself, and offers its folders and secrets in a session.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use buildkit::grpc::{Call, Channel, Code, Outgoing, Replies, Service, Status};
use buildkit::messages::{
    BUILD_ID, BridgeSolveRequest, BridgeSolveResponse, BytesMessage, CredentialsResponse, Exporter,
    Nothing, Packet, PacketKind, PongResponse, ReturnRequest, RpcStatus, SecretRequest,
    SecretResponse, SolveRequest, SolveResponse, Stat, StatusRequest, StatusResponse,
};
use buildkit::{FileKind, Step, Transfer};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::machine::Machine;

const CONTROL: &str = "/moby.buildkit.v1.Control";
const BRIDGE: &str = "/moby.buildkit.v1.frontend.LLBBridge";
const FILES: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const SENDS: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const SECRETS: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
/// Bits of Go's file modes.
const FOLDER: u32 = 1 << 31;
const LINK: u32 = 1 << 27;

pub struct Buildx {
    socket: PathBuf,
}

/// What a build asks for.
#[derive(Default)]
pub struct Wanted {
    pub options: BTreeMap<String, String>,
    /// For the image; None when none is wanted.
    pub name: Option<String>,
    /// Folders of the client, by name.
    pub folders: BTreeMap<String, PathBuf>,
    pub secrets: BTreeMap<String, String>,
    /// Files of the image, as a `tar` or `local` of the client's.
    pub output: Option<String>,
}

impl Wanted {
    /// The build of a folder with a Dockerfile.
    pub fn folder(path: &Path, name: &str) -> Self {
        let folders = ["dockerfile", "context"].map(|it| (it.to_owned(), path.to_owned()));
        Self {
            name: Some(name.to_owned()),
            folders: folders.into(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.options.insert(option.to_owned(), value.to_owned());
        self
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub exported: Result<BTreeMap<String, String>, Status>,
    /// Steps that ended: their names, with `CACHED` and their errors.
    pub steps: Vec<String>,
    /// What steps said.
    pub output: String,
    pub warnings: Vec<String>,
    /// The paths of files that were asked for.
    pub sent: Vec<String>,
    /// What the client was sent: an archive, or files by their paths.
    pub archive: Vec<u8>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Buildx {
    pub fn of(machine: &Machine) -> Self {
        Self {
            socket: machine.state.join("run/docker.sock"),
        }
    }

    pub fn build(&self, wanted: Wanted) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        runtime.unwrap().block_on(self.run(wanted))
    }

    /// A connection that was upgraded.
    async fn connect(&self, path: &str, headers: &str) -> UnixStream {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        stream
    }

    async fn open_session(&self, id: &str, offers: Arc<Offers>) {
        let methods = [FILES, SENDS, SECRETS, CREDENTIALS];
        let methods = methods.map(|it| format!("X-Docker-Expose-Session-Grpc-Method: {it}\r\n"));
        let headers = format!("X-Docker-Expose-Session-Uuid: {id}\r\n{}", methods.concat());
        let stream = self.connect("/session", &headers).await;
        tokio::spawn(buildkit::grpc::serve(TokioIo::new(stream), offers));
    }

    async fn run(&self, wanted: Wanted) -> Outcome {
        let stream = self.connect("/grpc", "").await;
        let (channel, work) = Channel::open(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(work);
        // As buildx finds out what it may ask for: a build of nothing.
        let [nothing_id, id, session] = ["nothing", "build", "session"].map(own_id);
        let nothing = SolveRequest {
            id: nothing_id.clone(),
            ..SolveRequest::default()
        };
        let (asked, ()) = tokio::join!(solve(&channel, &nothing), async {
            let give = ReturnRequest::default();
            let _: Nothing = bridge(&channel, &nothing_id, "Return", &give)
                .await
                .unwrap();
        });
        asked.unwrap();

        let offers = Arc::new(Offers {
            folders: wanted.folders,
            secrets: wanted.secrets,
            takes_archive: wanted.output.as_deref() == Some("tar"),
            sent: Mutex::default(),
            archive: Mutex::default(),
            files: Mutex::default(),
        });
        self.open_session(&session, offers.clone()).await;
        let exporter = wanted.name.map(|name| Exporter {
            kind: "moby".to_owned(),
            options: BTreeMap::from([("name".to_owned(), name)]),
        });
        let output = wanted.output.map(|kind| Exporter {
            kind,
            ..Exporter::default()
        });
        let request = SolveRequest {
            id: id.clone(),
            session,
            exporters: output.into_iter().chain(exporter).collect(),
            ..SolveRequest::default()
        };
        let (exported, told, ()) = tokio::join!(
            solve(&channel, &request),
            status(&channel, &id),
            lead(&channel, &id, wanted.options)
        );
        let mut outcome = Outcome {
            exported: exported.map(|it| it.exported),
            steps: Vec::new(),
            output: String::new(),
            warnings: Vec::new(),
            sent: offers.sent.lock().unwrap().clone(),
            archive: offers.archive.lock().unwrap().clone(),
            files: offers.files.lock().unwrap().clone(),
        };
        for response in told {
            outcome.hear(response);
        }
        outcome
    }
}

impl Outcome {
    fn hear(&mut self, response: StatusResponse) {
        for vertex in response.vertexes {
            if vertex.completed.is_some() {
                let cached = if vertex.cached { " CACHED" } else { "" };
                let error = match vertex.error.as_str() {
                    "" => String::new(),
                    error => format!(" ERROR: {error}"),
                };
                self.steps.push(format!("{}{cached}{error}", vertex.name));
            }
        }
        for log in response.logs {
            self.output.push_str(&String::from_utf8_lossy(&log.bytes));
        }
        for warning in response.warnings {
            let text = String::from_utf8(warning.short).unwrap();
            self.warnings.push(text);
        }
    }
}

/// A name that no other build of this test's process has.
fn own_id(kind: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{kind}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn solve(channel: &Channel, request: &SolveRequest) -> Result<SolveResponse, Status> {
    channel.unary(&format!("{CONTROL}/Solve"), request).await
}

async fn status(channel: &Channel, id: &str) -> Vec<StatusResponse> {
    let path = format!("{CONTROL}/Status");
    let Outgoing {
        sender,
        mut messages,
    } = channel.stream(&path, &[]).await.unwrap();
    sender.send(&StatusRequest { id: id.to_owned() }).await;
    drop(sender);
    let mut told = Vec::new();
    while let Some(response) = messages.next().await.unwrap() {
        told.push(response);
    }
    told
}

async fn bridge<A: Message + Default>(
    channel: &Channel,
    id: &str,
    method: &str,
    request: &impl Message,
) -> Result<A, Status> {
    let headers = [(BUILD_ID.to_owned(), id.to_owned())];
    let path = format!("{BRIDGE}/{method}");
    let Outgoing {
        sender,
        mut messages,
    } = channel.stream(&path, &headers).await?;
    sender.send(request).await;
    drop(sender);
    let answer = messages.next().await?;
    Ok(answer.expect("a call is answered"))
}

/// Asks for the Dockerfile's build, and gives its result back.
async fn lead(channel: &Channel, id: &str, options: BTreeMap<String, String>) {
    let pong: PongResponse = bridge(channel, id, "Ping", &Nothing {}).await.unwrap();
    assert!(
        pong.frontend_capabilities
            .iter()
            .any(|it| it.id == "return")
    );
    let request = BridgeSolveRequest {
        frontend: "dockerfile.v0".to_owned(),
        options,
        takes_result: true,
        takes_references: true,
        ..BridgeSolveRequest::default()
    };
    let solved: Result<BridgeSolveResponse, Status> = bridge(channel, id, "Solve", &request).await;
    let give = match solved {
        Ok(solved) => ReturnRequest {
            result: solved.result,
            error: None,
        },
        Err(status) => ReturnRequest {
            result: None,
            error: Some(RpcStatus {
                code: status.code as i32,
                message: status.message,
                details: Vec::new(),
            }),
        },
    };
    let _: Nothing = bridge(channel, id, "Return", &give).await.unwrap();
}

/// What the client's session offers.
struct Offers {
    folders: BTreeMap<String, PathBuf>,
    secrets: BTreeMap<String, String>,
    takes_archive: bool,
    sent: Mutex<Vec<String>>,
    archive: Mutex<Vec<u8>>,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

#[async_trait]
impl Service for Offers {
    async fn call(&self, mut call: Call, replies: Replies) -> Result<(), Status> {
        match call.path.as_str() {
            FILES => self.send_folder(call, &replies).await,
            SENDS if self.takes_archive => {
                while let Some(piece) = call.messages.next::<BytesMessage>().await? {
                    self.archive.lock().unwrap().extend_from_slice(&piece.data);
                }
                Ok(())
            }
            SENDS => self.take_folder(call, &replies).await,
            CREDENTIALS => {
                replies.send(&CredentialsResponse::default()).await;
                Ok(())
            }
            SECRETS => {
                let request: SecretRequest = call.message().await?;
                let secret = self.secrets.get(&request.id);
                let secret = secret.ok_or_else(|| Status::new(Code::NotFound, "not found"))?;
                let data = secret.clone().into_bytes();
                replies.send(&SecretResponse { data }).await;
                Ok(())
            }
            other => Err(Status::unimplemented(other)),
        }
    }
}

impl Offers {
    async fn take_folder(&self, mut call: Call, replies: &Replies) -> Result<(), Status> {
        let mut transfer = Transfer::default();
        while let Some(packet) = call.messages.next::<Packet>().await? {
            match transfer.take(packet)? {
                Step::Finished => return Ok(()),
                Step::Make(entry) if entry.kind == FileKind::File => {
                    let path = entry.path.display().to_string();
                    self.files.lock().unwrap().insert(path, Vec::new());
                }
                Step::Write(path, bytes) => {
                    let path = path.display().to_string();
                    let mut files = self.files.lock().unwrap();
                    files.entry(path).or_default().extend_from_slice(&bytes);
                }
                _ => {}
            }
            for answer in transfer.answers() {
                replies.send(&answer).await;
            }
        }
        Err(Status::new(Code::Unknown, "the sender is gone"))
    }

    async fn send_folder(&self, mut call: Call, replies: &Replies) -> Result<(), Status> {
        let values = |name: &str| -> Vec<String> {
            let all = call.headers.get_all(name).iter();
            all.map(|it| it.to_str().unwrap().to_owned()).collect()
        };
        let name = values("dir-name").concat();
        let folder = self.folders.get(&name);
        let missing = || Status::new(Code::NotFound, format!("no access allowed to dir {name:?}"));
        let folder = folder.ok_or_else(missing)?;
        let (follow, excludes) = (values("followpaths"), values("exclude-patterns"));
        let is_wanted = |path: &str| {
            let below = |it: &String| path == it || path.starts_with(&format!("{it}/"));
            (follow.is_empty() || follow.iter().any(|it| it == path)) && !excludes.iter().any(below)
        };
        let mut entries = Vec::new();
        walk(folder, "", &mut entries).unwrap();
        entries.retain(|(stat, _)| is_wanted(&stat.path));
        for (stat, _) in &entries {
            let stat = Some(stat.clone());
            replies
                .send(&Packet {
                    stat,
                    ..Packet::default()
                })
                .await;
        }
        replies.send(&Packet::default()).await;
        while let Some(packet) = call.messages.next::<Packet>().await? {
            let kind = PacketKind::try_from(packet.kind).unwrap();
            match kind {
                PacketKind::Request => {
                    let (stat, path) = &entries[packet.id as usize];
                    self.sent.lock().unwrap().push(stat.path.clone());
                    let bytes = fs::read(path).unwrap();
                    for piece in bytes.chunks(32 << 10).chain([&[][..]]) {
                        let data = bytes::Bytes::copy_from_slice(piece);
                        let kind = PacketKind::Data.into();
                        let id = packet.id;
                        let packet = Packet {
                            kind,
                            id,
                            data,
                            ..Packet::default()
                        };
                        replies.send(&packet).await;
                    }
                }
                PacketKind::Finish => {
                    let kind = PacketKind::Finish.into();
                    replies
                        .send(&Packet {
                            kind,
                            ..Packet::default()
                        })
                        .await;
                    return Ok(());
                }
                other => panic!("a receiver sent {other:?}"),
            }
        }
        Err(Status::new(Code::Unknown, "the receiver is gone"))
    }
}

/// All that is below a folder, in the order in which it is sent.
fn walk(root: &Path, below: &str, entries: &mut Vec<(Stat, PathBuf)>) -> io::Result<()> {
    let mut names: Vec<String> = fs::read_dir(root.join(below))?
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in names {
        let path = match below {
            "" => name,
            below => format!("{below}/{name}"),
        };
        let real = root.join(&path);
        let metadata = fs::symlink_metadata(&real)?;
        let kind = match metadata.file_type() {
            it if it.is_dir() => FOLDER,
            it if it.is_symlink() => LINK,
            _ => 0,
        };
        let stat = Stat {
            path: path.clone(),
            mode: kind | (metadata.permissions().mode() & 0o777),
            size: metadata.len() as i64,
            modified: metadata.mtime() * 1_000_000_000,
            link: match kind {
                LINK => fs::read_link(&real)?.display().to_string(),
                _ => String::new(),
            },
            ..Stat::default()
        };
        entries.push((stat, real));
        if kind == FOLDER {
            walk(root, &path, entries)?;
        }
    }
    Ok(())
}
