//! A blocking netlink socket that sends many requests in one datagram and collects the answers.
//!
//! The kernel handles a request before `send` returns, so there is nothing to wait for: a blocking
//! socket on a short-lived thread is both the simplest and the fastest form. A socket belongs to
//! the network namespace of the thread that opened it, for good.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};

/// Room for one large datagram: rules and set elements of a network with thousands of interfaces.
const BUFFER_BYTES: usize = 16 << 20;
/// Length of a netlink message's header.
const HEADER_BYTES: usize = 16;
/// The kinds of a netlink message that every protocol shares.
const KIND_ERROR: u16 = libc::NLMSG_ERROR as u16;
const KIND_DONE: u16 = libc::NLMSG_DONE as u16;

/// A request that the kernel refused, or a socket that failed.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused to {doing}")]
pub struct NetlinkError {
    /// What the request was for, as in "make the veth pair".
    pub doing: String,
    #[source]
    pub source: io::Error,
}

impl NetlinkError {
    pub fn is(&self, errno: nix::errno::Errno) -> bool {
        self.source.raw_os_error() == Some(errno as i32)
    }
}

impl From<NetlinkError> for engine::EngineError {
    fn from(error: NetlinkError) -> Self {
        engine::EngineError::machine(error.to_string()).because(error.source)
    }
}

/// One message of an answer, its header taken apart.
pub(crate) struct Reply {
    pub kind: u16,
    pub sequence: u32,
    bytes: Vec<u8>,
}

impl Reply {
    /// The error number of an acknowledgement: 0 when all is well.
    pub fn errno(&self) -> i32 {
        let number = self.bytes.get(HEADER_BYTES..HEADER_BYTES + 4);
        number.map_or(0, |bytes| {
            -i32::from_ne_bytes(bytes.try_into().expect("four bytes were cut out"))
        })
    }

    pub fn is_acknowledgement(&self) -> bool {
        self.kind == KIND_ERROR
    }
}

/// A socket of one netlink protocol in one namespace.
pub(crate) struct Channel {
    socket: Socket,
    sequence: u32,
}

impl Channel {
    /// Opens a socket in the calling thread's namespace.
    pub fn open(protocol: isize) -> Result<Self, NetlinkError> {
        let connected = || -> io::Result<Socket> {
            let mut socket = Socket::new(protocol)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_cap_ack(true)?;
            setsockopt(&socket, sockopt::SndBufForce, &BUFFER_BYTES)?;
            setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES)?;
            Ok(socket)
        };
        let socket = connected().map_err(|source| NetlinkError {
            doing: "open a netlink socket".into(),
            source,
        })?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Appends a message to a datagram; returns its sequence number.
    pub fn append<M>(&mut self, datagram: &mut Vec<u8>, message: M, flags: u16) -> u32
    where
        M: NetlinkSerializable,
        NetlinkPayload<M>: From<M>,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let start = datagram.len();
        datagram.resize(start + message.buffer_len(), 0);
        message.serialize(&mut datagram[start..]);
        self.sequence
    }

    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram, 0).map(|_| ())
    }

    /// The messages of the next datagram.
    pub fn receive(&self) -> io::Result<Vec<Reply>> {
        let (datagram, _) = self.socket.recv_from_full()?;
        let mut replies = Vec::new();
        let mut rest = datagram.as_slice();
        while rest.len() >= HEADER_BYTES {
            let length = u32::from_ne_bytes(rest[0..4].try_into().expect("four bytes")) as usize;
            if length < HEADER_BYTES || length > rest.len() {
                return Err(io::Error::other("a netlink answer is cut short"));
            }
            replies.push(Reply {
                kind: u16::from_ne_bytes(rest[4..6].try_into().expect("two bytes")),
                sequence: u32::from_ne_bytes(rest[8..12].try_into().expect("four bytes")),
                bytes: rest[..length].to_vec(),
            });
            let aligned = (length + 3) & !3;
            rest = rest.get(aligned..).unwrap_or_default();
        }
        Ok(replies)
    }

    /// Asks one question; returns the messages of the answer. With [`NLM_F_DUMP`] these are all
    /// things of a kind.
    pub fn ask<M>(&mut self, doing: &str, message: M, dump: Dump) -> Result<Vec<M>, NetlinkError>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
        NetlinkPayload<M>: From<M>,
    {
        let refused = |source| NetlinkError {
            doing: doing.to_owned(),
            source,
        };
        let mut datagram = Vec::new();
        let flags = match dump {
            Dump::All => NLM_F_DUMP,
            Dump::One => NLM_F_ACK,
        };
        let sequence = self.append(&mut datagram, message, flags);
        self.send(&datagram).map_err(refused)?;
        let mut found = Vec::new();
        loop {
            for reply in self.receive().map_err(refused)? {
                if reply.sequence != sequence {
                    continue;
                }
                match reply.kind {
                    KIND_DONE => return Ok(found),
                    KIND_ERROR if reply.errno() == 0 => return Ok(found),
                    KIND_ERROR => {
                        return Err(refused(io::Error::from_raw_os_error(reply.errno())));
                    }
                    _ => {
                        // What this version of the message types cannot read is not ours.
                        if let Ok(message) = NetlinkMessage::<M>::deserialize(&reply.bytes)
                            && let NetlinkPayload::InnerMessage(message) = message.payload
                        {
                            found.push(message);
                        }
                    }
                }
            }
        }
    }
}

/// Whether a question is about one thing or about all of a kind.
#[derive(Clone, Copy)]
pub(crate) enum Dump {
    One,
    All,
}
