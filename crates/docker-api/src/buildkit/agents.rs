//! SSH agents of a client, as sockets that steps of its build may use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use buildkit::Session;
use buildkit::grpc::{Outgoing, Status};
use buildkit::messages::BytesMessage;
use engine::EngineError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::failed;
use crate::limits::PIECE_BYTES;

/// Connections to one agent at a time: a step has one or two.
const CONNECTIONS_MAX: usize = 16;

/// A socket that leads to an agent for as long as this is kept.
pub struct Agent(JoinSet<()>);

impl Agent {
    /// Listens at a path where nothing is yet.
    pub fn listen(path: &Path, session: Arc<Session>, id: &str) -> Result<Self, Status> {
        let what = || format!("cannot listen for the SSH agent `{id}`");
        let listener = UnixListener::bind(path)
            .map_err(|error| failed(EngineError::machine(what()).because(error)))?;
        let id = id.to_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                if connections.len() < CONNECTIONS_MAX {
                    connections.spawn(lead(stream, session.clone(), id.clone()));
                }
            }
        });
        Ok(Self(tasks))
    }

    /// The path within a folder of a build.
    pub fn path(folder: &Path, number: usize) -> PathBuf {
        folder.join(format!("agent-{number}"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.abort_all();
    }
}

async fn lead(stream: UnixStream, session: Arc<Session>, id: String) {
    let Ok(call) = session.agent(&id).await else {
        return;
    };
    let Outgoing {
        sender,
        mut messages,
    } = call;
    let (mut reader, mut writer) = stream.into_split();
    let asking = async move {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            let data = bytes::Bytes::copy_from_slice(&buffer[..count]);
            if !sender.send(&BytesMessage { data }).await {
                break;
            }
        }
    };
    let answering = async move {
        while let Ok(Some(message)) = messages.next::<BytesMessage>().await {
            if writer.write_all(&message.data).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(asking, answering);
}
