//! Serves repositories to Git's own clients: the two halves of a request of the smart protocol over
//! HTTP, without the HTTP.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use engine::{ByteStream, EngineError, Result, Turn};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{broadcast, mpsc};

use crate::limits::{PIECES_MAX, PUSH_BYTES_MAX, SERVE_TIMEOUT};
use crate::run::{self, Call, Running, git};
use crate::write::settle_head;

/// Which way objects travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pack {
    /// To the client: clone and fetch.
    Upload,
    /// From the client: push.
    Receive,
}

impl Pack {
    /// `git-upload-pack`, as clients name the service.
    pub fn service(self) -> &'static str {
        match self {
            Self::Upload => "git-upload-pack",
            Self::Receive => "git-receive-pack",
        }
    }
    pub fn from_service(name: &str) -> Option<Self> {
        [Self::Upload, Self::Receive]
            .into_iter()
            .find(|it| it.service() == name)
    }
}

/// How the client says that it speaks a newer protocol (`version=2`): nothing else is passed on.
pub fn known_protocol(header: &str) -> Option<&'static str> {
    match header {
        "version=2" => Some("version=2"),
        "version=1" => Some("version=1"),
        _ => None,
    }
}

/// What old programs wrote into histories that are still pushed. Everything else that is not as it
/// should be is refused before it is kept: trees with `.git` in them or with `..`, a `.gitmodules` that
/// is a link or that names options, objects that do not parse.
const HARMLESS_FLAWS: &[&str] = &[
    "zeroPaddedFilemode",
    "missingSpaceBeforeDate",
    "badTimezone",
];

fn call(repository: &Path, pack: Pack, protocol: Option<&'static str>, advertise: bool) -> Call {
    let program = match pack {
        Pack::Upload => "upload-pack",
        Pack::Receive => "receive-pack",
    };
    let mut arguments = vec![program.as_ref(), "--stateless-rpc".as_ref()];
    if advertise {
        arguments.push("--advertise-refs".as_ref());
    }
    arguments.push(repository.as_os_str());
    let mut call = git(arguments)
        .set("transfer.hideRefs", "refs/neargate")
        // Version 2 of the protocol gives out every object by its id, whatever is set. Older clients
        // get the same: what was pushed once is known to whoever may clone, until it is tidied up.
        .set("uploadpack.allowAnySHA1InWant", "true")
        .set("uploadpack.allowFilter", "true")
        .set("receive.fsckObjects", "true")
        .set("receive.maxInputSize", PUSH_BYTES_MAX.to_string());
    for flaw in HARMLESS_FLAWS {
        call = call.set(format!("receive.fsck.{flaw}"), "ignore");
    }
    match protocol {
        Some(protocol) => call.with("GIT_PROTOCOL", protocol),
        None => call,
    }
}

/// What the repository has, as a client asks first (`GET …/info/refs?service=…`).
pub async fn advertise(
    repository: &Path,
    pack: Pack,
    protocol: Option<&'static str>,
) -> Result<Vec<u8>> {
    let refs = call(repository, pack, protocol, true).run().await?;
    if protocol == Some("version=2") && pack == Pack::Upload {
        return Ok(refs);
    }
    let line = format!("# service={}\n", pack.service());
    let mut answer = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    answer.extend(refs);
    Ok(answer)
}

/// What happens when a push is over.
pub struct Pushed {
    pub id: String,
    pub changes: broadcast::Sender<String>,
}

/// The exchange itself (`POST …/git-upload-pack`): the client's part in, the repository's out. It
/// ends early when the answer is dropped.
pub fn exchange(
    repository: Arc<Path>,
    pack: Pack,
    protocol: Option<&'static str>,
    input: ByteStream,
    pushed: Pushed,
    turn: Turn,
) -> Result<ByteStream> {
    let running = call(&repository, pack, protocol, false).spawn()?;
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        let _turn = turn;
        let work = carry(running, input, &pieces);
        let outcome = match tokio::time::timeout(SERVE_TIMEOUT, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(EngineError::unreachable("the client took too long")),
        };
        if pack == Pack::Receive {
            // Even of a push that broke off something may have arrived.
            if let Err(error) = settle_head(&repository, None).await {
                tracing::warn!(
                    error = error.chain(),
                    "cannot set a repository's default branch"
                );
            }
            let _ = pushed.changes.send(pushed.id);
        }
        if let Err(error) = outcome {
            tracing::debug!(error = error.chain(), "a client of Git was served in part");
            let _ = pieces.send(Err(io::Error::other(error.message))).await;
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    Ok(Box::pin(stream) as Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>)
}

async fn carry(
    mut running: Running,
    mut input: ByteStream,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<()> {
    const PIECE_BYTES: usize = 64 * 1024;
    let (mut stdin, mut stdout, stderr) = running.pipes()?;
    let feed = async move {
        while let Some(piece) = input.next().await {
            // What breaks off is told by the program itself, which sees its input end.
            let Ok(piece) = piece else { break };
            if stdin.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    let drain = async {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let count = stdout.read(&mut piece).await?;
            if count == 0 {
                return Ok(());
            }
            piece.truncate(count);
            if pieces.send(Ok(piece.into())).await.is_err() {
                return Err(EngineError::unreachable("the client is gone"));
            }
        }
    };
    let complaints = run::complaint(stderr);
    let both = async { tokio::join!(feed, complaints).1 };
    tokio::pin!(both, drain);
    let complaint = tokio::select! {
        // The answer is over, or nobody reads it.
        ended = &mut drain => {
            ended?;
            None
        }
        complaint = &mut both => Some(complaint),
    };
    if complaint.is_some() {
        drain.await?;
    }
    let status = running.wait().await?;
    if status.success() {
        return Ok(());
    }
    Err(run::failure(&complaint.unwrap_or_default()))
}
