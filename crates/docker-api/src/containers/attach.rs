//! Connections that turn into a container's, or a command's, input and output.
//!
//! Without a terminal, output is framed: one byte that says which stream, three zeros, four bytes of
//! length, and the bytes. With one it is sent as it is.

use std::future::Future;
use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use engine::{AttachInput, Attached, OutputStream};
use http::{Request, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::detach::{DetachKeys, Typed};
use super::logs::LogOptions;
use super::{Container, MAIN, logs};
use crate::answer::{self, Answer};
use crate::limits::PIECES_MAX;
use crate::routes::Call;

const READ_BYTES: usize = 32 * 1024;

/// Which output goes to a client, and how.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub stdout: bool,
    pub stderr: bool,
    pub terminal: bool,
}

impl Wanted {
    pub fn takes(self, stream: OutputStream) -> bool {
        match stream {
            OutputStream::Stdout => self.stdout || self.terminal,
            OutputStream::Stderr => self.stderr,
        }
    }

    pub fn frame(self, stream: OutputStream, bytes: &[u8]) -> Bytes {
        if self.terminal {
            return Bytes::copy_from_slice(bytes);
        }
        let mut frame = BytesMut::with_capacity(bytes.len() + 8);
        frame.put_u32(match stream {
            OutputStream::Stdout => 0x0100_0000,
            OutputStream::Stderr => 0x0200_0000,
        });
        frame.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        frame.put_slice(bytes);
        frame.freeze()
    }

    pub fn content_type(self) -> &'static str {
        match self.terminal {
            true => "application/vnd.docker.raw-stream",
            false => "application/vnd.docker.multiplexed-stream",
        }
    }
}

/// The client's side of such a connection.
pub enum Client {
    Both(ReadHalf<TokioIo<Upgraded>>, WriteHalf<TokioIo<Upgraded>>),
    /// One that did not ask for an upgrade: it only listens.
    Listening(mpsc::Sender<io::Result<Bytes>>),
}

/// Answers, and then lets `serve` have the connection: once the answer's head has been sent, so that
/// what writes at once writes after it. Some clients lose what comes along with the head.
pub fn hijack<F: Future<Output = ()> + Send + 'static>(
    call: Call,
    wanted: Wanted,
    serve: impl FnOnce(Client) -> F + Send + 'static,
) -> Answer {
    if call.header("upgrade").is_none() {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        tokio::spawn(serve(Client::Listening(sender)));
        let mut response = Response::new(answer::pieces(receiver));
        answer::set(&mut response, header::CONTENT_TYPE, wanted.content_type());
        return Ok(response);
    }
    let upgrade = hyper::upgrade::on(Request::from_parts(call.head, ()));
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
                serve(Client::Both(reader, writer)).await;
            }
            Err(error) => tracing::debug!(%error, "a connection was not taken over"),
        }
    });
    let mut response = Response::new(answer::full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer::set(&mut response, header::CONNECTION, "Upgrade");
    answer::set(&mut response, header::UPGRADE, "tcp");
    answer::set(&mut response, header::CONTENT_TYPE, wanted.content_type());
    Ok(response)
}

/// Where output goes.
pub enum Output {
    Connection(WriteHalf<TokioIo<Upgraded>>),
    Body(mpsc::Sender<io::Result<Bytes>>),
}

impl Output {
    /// Whether whoever listens is still there.
    pub async fn write(&mut self, bytes: Bytes) -> bool {
        match self {
            Self::Connection(writer) => {
                writer.write_all(&bytes).await.is_ok() && writer.flush().await.is_ok()
            }
            Self::Body(sender) => sender.send(Ok(bytes)).await.is_ok(),
        }
    }

    pub async fn close(self) {
        if let Self::Connection(mut writer) = self {
            let _ = writer.shutdown().await;
        }
    }
}

impl Client {
    pub fn split(self) -> (Option<ReadHalf<TokioIo<Upgraded>>>, Output) {
        match self {
            Self::Both(reader, writer) => (Some(reader), Output::Connection(writer)),
            Self::Listening(sender) => (None, Output::Body(sender)),
        }
    }
}

/// Copies both ways until the output ends, the client is gone, or it detaches.
pub async fn carry(
    attached: Attached,
    reader: Option<ReadHalf<TokioIo<Upgraded>>>,
    output: &mut Output,
    wanted: Wanted,
    keys: Option<DetachKeys>,
) -> End {
    let Attached {
        input,
        output: mut from,
    } = attached;
    let writing = async {
        while let Some((stream, bytes)) = from.recv().await {
            if wanted.takes(stream) && !output.write(wanted.frame(stream, &bytes)).await {
                break;
            }
        }
        End::Whole
    };
    let reading = async {
        let keys = keys.map(Typed::new);
        if let (Some(reader), Some(input)) = (reader, input)
            && copy_input(reader, input, keys).await == End::Detached
        {
            return End::Detached;
        }
        // The end of the input is not the end of the output.
        std::future::pending().await
    };
    tokio::select! {
        end = writing => end,
        end = reading => end,
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    /// By its keys.
    Detached,
}

async fn copy_input(
    mut reader: ReadHalf<TokioIo<Upgraded>>,
    input: mpsc::Sender<Bytes>,
    mut keys: Option<Typed>,
) -> End {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let count = reader.read(&mut bytes).await.unwrap_or(0);
        if count == 0 {
            return End::Whole;
        }
        let read = &bytes[..count];
        let (piece, detached) = match &mut keys {
            Some(keys) => keys.pass(read),
            None => (read.to_vec(), false),
        };
        if !piece.is_empty() && input.send(Bytes::from(piece)).await.is_err() {
            return End::Whole;
        }
        if detached {
            return End::Detached;
        }
    }
}

/// `POST /containers/{id}/attach`
pub async fn attach(call: Call, container: Arc<Container>) -> Answer {
    let query = &call.query;
    let record = container.record();
    let wanted = Wanted {
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        terminal: record.config.tty,
    };
    let input = match query.flag("stdin") && record.config.open_stdin {
        true => AttachInput::Join,
        false => AttachInput::Leave,
    };
    let keys = DetachKeys::parse(query.get("detachKeys").unwrap_or_default())?;
    let keys = record.config.tty.then_some(keys);
    let with_logs = query.flag("logs");
    let with_stream = query.flag_or("stream", "0");
    let docker = call.docker.clone();
    let (sender, receiver) = oneshot::channel();
    if with_stream {
        // With the work held, so that no start comes between the look and the waiting.
        let _working = container.working.lock().await;
        if container.record().is_running() {
            let attached = docker.tasks.attach(&record.task(), MAIN, input).await?;
            let _ = sender.send(attached);
        } else {
            let mut waiting = container.waiting.lock().expect("no holder panics");
            waiting.retain(|it| !it.1.is_closed());
            waiting.push((input, sender));
        }
    } else {
        drop(sender);
    }
    docker.tell(&container, "attach", &[]);
    hijack(call, wanted, move |client| async move {
        let (reader, mut output) = client.split();
        if with_logs {
            logs::send_past(&container, LogOptions::all(wanted), &mut output).await;
        }
        if let Ok(attached) = receiver.await
            && carry(attached, reader, &mut output, wanted, keys).await == End::Detached
        {
            docker.tell(&container, "detach", &[]);
        }
        output.close().await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_framed_unless_it_is_a_terminals() {
        let wanted = |terminal| Wanted {
            stdout: true,
            stderr: false,
            terminal,
        };
        let framed = wanted(false).frame(OutputStream::Stderr, b"hi");
        assert_eq!(&framed[..], b"\x02\0\0\0\0\0\0\x02hi");
        assert_eq!(&wanted(true).frame(OutputStream::Stdout, b"hi")[..], b"hi");
        assert!(!wanted(false).takes(OutputStream::Stderr));
    }
}
