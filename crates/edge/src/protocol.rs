//! What daemon and edge say to each other: JSON messages, each behind its length, over
//! `<dir>/edge.sock`.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use engine::{AccessEntry, GroupTraffic, Snapshot, TargetHealth};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Raised when an older peer could not understand the messages. A daemon that finds an edge of
/// another protocol replaces it.
pub const PROTOCOL: u32 = 4;

/// A snapshot of thousands of targets is a few MiB; anything near this is not from our peer.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A snapshot with what only the daemon knows: where the namespaces of its interfaces are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    pub snapshot: Snapshot,
    /// Interface id to its namespace. An interface that is missing here is not attached: its
    /// balancer answers 503 until it is.
    pub namespaces: BTreeMap<String, PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub ask: Ask,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Ask {
    Apply(Box<Configuration>),
    Health {
        group: String,
    },
    Traffic {
        group: String,
    },
    /// The oldest requests of a balancer's access log.
    TakeAccesses {
        balancer: String,
    },
    /// Whether it can still do something.
    Ping,
    /// The sockets that listen, but those with these numbers. Asked on a connection of its own,
    /// since who does not expect descriptors loses them.
    Sockets {
        known: Vec<u64>,
    },
    /// Finish what is under way, forget the snapshot and end.
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum FromEdge {
    /// The first message on every connection.
    Hello(Hello),
    Answer {
        id: u64,
        answer: Answer,
    },
    /// Health changed in this target group.
    Changed {
        group: String,
    },
    /// Comes with the sockets themselves.
    Listening(Listening),
}

/// The sockets that share an address, one per worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Told apart by this for as long as the edge lives.
    pub number: u64,
    pub place: ListeningPlace,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListeningPlace {
    /// Device and inode; `None` is where the edge runs. The sockets keep it alive, so nothing else
    /// gets these numbers meanwhile.
    pub namespace: Option<(u64, u64)>,
    pub address: SocketAddr,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    pub cookie: String,
    pub generation: u64,
    /// Protocols before the second did not say.
    #[serde(default)]
    pub listen_address: Option<IpAddr>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Applied,
    /// How many pings the slowest worker has not taken in.
    Alive {
        behind: u64,
    },
    /// The numbers of all that listen; those that were not known follow.
    Sockets {
        all: Vec<u64>,
    },
    Health(Vec<TargetHealth>),
    Traffic(GroupTraffic),
    Accesses(Vec<AccessEntry>),
    Stopping,
    NotFound(String),
    Invalid(String),
    Conflict(String),
    Machine(String),
}

pub async fn write_message<W: AsyncWrite + Unpin>(
    writer: &mut W,
    message: &impl Serialize,
) -> io::Result<()> {
    writer.write_all(&frame(message)?).await
}

/// A message behind its length.
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).map_err(|_| too_long())?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// `None` at the end of the stream.
pub async fn read_message<R: AsyncRead + Unpin, T: DeserializeOwned>(
    reader: &mut R,
) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(too_long());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    Ok(Some(serde_json::from_slice(&body)?))
}

pub fn too_long() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a control message is longer than {MESSAGE_BYTES_MAX} bytes"),
    )
}
