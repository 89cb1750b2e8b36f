//! A command in a container, for the owner: the request's connection becomes its input and output, in
//! frames of a byte that says what follows, four of length, and that.

use bytes::{BufMut, Bytes, BytesMut};
use engine::{ExecSession, ExecSpec, OutputStream, Tasks};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::super::{Body, Front, full};
use super::refusal;

/// What the connection is upgraded to.
pub const PROTOCOL: &str = "neargate-exec";
/// Of one frame: what a terminal or a pipe gives at once, several times.
const FRAME_BYTES_MAX: usize = 256 * 1024;

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    pub task: String,
    pub container: String,
    pub argv: Vec<String>,
    pub env: Vec<String>,
    pub user: String,
    /// Its input and output are a terminal of this size (rows, columns).
    pub terminal: Option<(u16, u16)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Input(Bytes),
    EndOfInput,
    Size(u16, u16),
    Output(OutputStream, Bytes),
    Exit(i32),
}

pub async fn write(to: &mut (impl AsyncWrite + Unpin), piece: &Piece) -> io::Result<()> {
    let (kind, bytes) = match piece {
        Piece::Input(bytes) => (0, bytes.clone()),
        Piece::Output(OutputStream::Stdout, bytes) => (1, bytes.clone()),
        Piece::Output(OutputStream::Stderr, bytes) => (2, bytes.clone()),
        Piece::EndOfInput => (3, Bytes::new()),
        Piece::Size(rows, columns) => {
            let both = [rows.to_be_bytes(), columns.to_be_bytes()].concat();
            (4, both.into())
        }
        Piece::Exit(code) => (5, code.to_be_bytes().to_vec().into()),
    };
    let mut frame = BytesMut::with_capacity(bytes.len() + 5);
    frame.put_u8(kind);
    frame.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    frame.put_slice(&bytes);
    to.write_all(&frame).await?;
    to.flush().await
}

pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Piece> {
    let unfit = || io::Error::new(io::ErrorKind::InvalidData, "a frame is not understood");
    let kind = from.read_u8().await?;
    let length = from.read_u32().await? as usize;
    if length > FRAME_BYTES_MAX {
        return Err(unfit());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    let four = || <[u8; 4]>::try_from(&bytes[..]).map_err(|_| unfit());
    Ok(match kind {
        0 => Piece::Input(bytes.into()),
        1 => Piece::Output(OutputStream::Stdout, bytes.into()),
        2 => Piece::Output(OutputStream::Stderr, bytes.into()),
        3 => Piece::EndOfInput,
        4 => {
            let [a, b, c, d] = four()?;
            Piece::Size(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        }
        5 => Piece::Exit(i32::from_be_bytes(four()?)),
        _ => return Err(unfit()),
    })
}

pub async fn begin(front: &Front, head: Parts, input: serde_json::Value) -> Response<Body> {
    let asked: Asked = match serde_json::from_value(input) {
        Ok(asked) => asked,
        Err(error) => {
            let status = StatusCode::BAD_REQUEST;
            return refusal(status, "ValidationError", &error.to_string());
        }
    };
    let spec = ExecSpec {
        id: cloud::random_hex(32),
        argv: asked.argv,
        env: asked.env,
        user: asked.user,
        terminal: asked.terminal.is_some(),
        terminal_size: asked.terminal,
        stdin: true,
        ends_when_left: true,
        ..ExecSpec::default()
    };
    let tasks = front.cloud.engine.tasks.clone();
    let id = spec.id.clone();
    let ran = tasks.exec_attached(&asked.task, &asked.container, spec);
    let session = match ran.await {
        Ok(session) => session,
        Err(error) => {
            let status = StatusCode::BAD_REQUEST;
            return refusal(status, "CannotExecute", &error.chain());
        }
    };
    let upgrade = hyper::upgrade::on(Request::from_parts(head, ()));
    let place = (asked.task, asked.container, id);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => carry(&tasks, &place, session, upgraded).await,
            Err(error) => tracing::debug!(%error, "a connection was not taken over"),
        }
    });
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

/// Carries input and output until the command has ended or its client is gone, who takes it along.
async fn carry(
    tasks: &Arc<dyn Tasks>,
    (task, container, id): &(String, String, String),
    session: ExecSession,
    upgraded: Upgraded,
) {
    let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
    let (mut input, mut output) = (session.attached.input, session.attached.output);
    let reading = async {
        while let Ok(piece) = read(&mut reader).await {
            match (piece, &input) {
                (Piece::Input(bytes), Some(to)) => {
                    // A command that reads no more still prints.
                    let _ = to.send(bytes).await;
                }
                (Piece::EndOfInput, _) => input = None,
                (Piece::Size(rows, columns), _) => {
                    let resized = tasks.resize(task, container, Some(id), rows, columns);
                    let _ = resized.await;
                }
                _ => {}
            }
        }
    };
    let writing = async {
        while let Some((stream, bytes)) = output.recv().await {
            write(&mut writer, &Piece::Output(stream, bytes)).await?;
        }
        const KILLED: i32 = 137;
        let code = match session.exit.await {
            Ok(Ok(code)) => code,
            Ok(Err(_)) | Err(_) => KILLED,
        };
        write(&mut writer, &Piece::Exit(code)).await?;
        writer.shutdown().await
    };
    tokio::select! {
        () = reading => {}
        _ = writing => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_read_as_they_were_written_and_others_refused() {
        let all = [
            Piece::Input(Bytes::from_static(b"ls\n")),
            Piece::EndOfInput,
            Piece::Size(24, 80),
            Piece::Output(OutputStream::Stdout, Bytes::from_static(b"a")),
            Piece::Output(OutputStream::Stderr, Bytes::from_static(b"b")),
            Piece::Exit(-3),
        ];
        for piece in all {
            let mut bytes = Vec::new();
            write(&mut bytes, &piece).await.unwrap();
            assert_eq!(read(&mut &bytes[..]).await.unwrap(), piece);
            assert!(read(&mut &bytes[..bytes.len() - 1]).await.is_err());
        }
        for bad in [
            &b"\x09\0\0\0\0"[..],
            b"\0\xff\xff\xff\xff",
            b"\x05\0\0\0\x01a",
        ] {
            assert!(read(&mut &bad[..]).await.is_err(), "{bad:?}");
        }
    }
}
