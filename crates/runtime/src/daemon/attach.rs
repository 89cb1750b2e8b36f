//! Questions to a task's shim, and being attached to one of its containers.

use bytes::Bytes;
use engine::{AttachInput, Attached, EngineError, HealthLog, OutputStream, Result, TaskState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::mpsc;

use super::Inner;
use super::follow::Connection;
use crate::shim::Request;

/// Pieces of input or output on their way: with each as long as a pipe, half a megabyte.
pub(super) const PIECES_MAX: usize = 8;
/// A shim sends no longer ones.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Asks a task's shim for something.
pub(super) async fn ask(inner: &Inner, id: &str, request: &Request) -> Result<()> {
    connect(inner, id).await?.ask(request).await
}

/// Asks a task's shim what became of health checks.
pub(super) async fn ask_health(inner: &Inner, id: &str, request: &Request) -> Result<HealthLog> {
    let answered = connect(inner, id).await?.exchange(request).await?;
    answered.ok_or_else(|| EngineError::machine("the shim did not say what became of them"))
}

/// A connection of its own to a task's shim.
async fn connect(inner: &Inner, id: &str) -> Result<Connection> {
    let missing = || EngineError::not_found(format!("there is no task `{id}` that runs"));
    let state = inner.entries().get(id).map(|entry| entry.status.state);
    if state.is_none_or(|state| state == TaskState::Stopped) {
        return Err(missing());
    }
    let files = inner.files(id);
    let order = files.read_order()?;
    match Connection::to_living(files.clone(), order).await {
        // It has ended since.
        Err(_) if !files.directory.join("shim.sock").exists() => Err(missing()),
        other => other,
    }
}

/// See [`engine::Tasks::attach`].
pub(super) async fn attach(
    inner: &Inner,
    id: &str,
    container: &str,
    input: AttachInput,
) -> Result<Attached> {
    let mut connection = connect(inner, id).await?;
    connection
        .ask(&Request::Attach {
            container: container.to_owned(),
            input,
        })
        .await?;
    let specs = &connection.order.spec.containers;
    let spec = specs.iter().find(|it| it.name == container);
    let has_input = spec.is_some_and(|it| it.stdin) && input == AttachInput::Join;

    let (output, received) = mpsc::channel(PIECES_MAX);
    let stream = connection.into_stream();
    let read_ahead = stream.buffer().to_vec();
    let (reader, mut writer) = stream.into_inner().into_split();
    inner.spawn(async move {
        let reader = std::io::Cursor::new(read_ahead).chain(reader);
        deliver(reader, output).await;
    });
    let given = has_input.then(|| {
        let (given, mut taken) = mpsc::channel::<Bytes>(PIECES_MAX);
        inner.spawn(async move {
            while let Some(bytes) = taken.recv().await {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // Dropping it closes this direction, which is how the input ends.
        });
        given
    });
    Ok(Attached {
        input: given,
        output: received,
    })
}

type Output = mpsc::Sender<(OutputStream, Bytes)>;

/// Takes frames apart until they end or nobody listens any more.
async fn deliver(
    mut from: tokio::io::Chain<std::io::Cursor<Vec<u8>>, OwnedReadHalf>,
    output: Output,
) {
    loop {
        let frame = tokio::select! {
            frame = read_frame(&mut from) => frame,
            () = output.closed() => return,
        };
        let Some(frame) = frame else { return };
        if output.send(frame).await.is_err() {
            return;
        }
    }
}

async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> Option<(OutputStream, Bytes)> {
    let stream = match from.read_u8().await.ok()? {
        1 => OutputStream::Stdout,
        _ => OutputStream::Stderr,
    };
    let length = from.read_u32().await.ok()? as usize;
    if length > FRAME_BYTES_MAX {
        return None;
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await.ok()?;
    Some((stream, bytes.into()))
}
