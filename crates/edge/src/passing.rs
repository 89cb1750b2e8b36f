//! Listening sockets on their way from one process to another, over a unix socket: so that they
//! outlive the edge that made them, and connections wait in them for the next one.
//!
//! ```text
//!              edge.sock                        standard input
//!  edge ───────────────────────► daemon ───────────────────────► next edge
//!        after every snapshot,            once, when it starts
//!        and when a daemon attaches
//! ```
//!
//! Nothing is passed on from an edge that dies together with its daemon; the next one binds anew.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::protocol::{MESSAGE_BYTES_MAX, frame, too_long};

/// As many as the kernel passes at once (`SCM_MAX_FD`).
pub const PASSED_MAX: usize = 253;

/// Sends a message with what belongs to it.
pub async fn send(
    stream: &UnixStream,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let frame = frame(message)?;
    let mut sent = 0;
    while sent < frame.len() {
        // They travel with the first byte.
        let with = if sent == 0 { descriptors } else { &[] };
        let send = || send_some(stream.as_fd(), &frame[sent..], with);
        sent += stream.async_io(Interest::WRITABLE, send).await?;
    }
    Ok(())
}

fn send_some(
    stream: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_MAX))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !with.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "more descriptors than one message takes",
        ));
    }
    let sent = sendmsg(
        stream,
        &[IoSlice::new(bytes)],
        &mut with,
        SendFlags::NOSIGNAL,
    );
    Ok(sent?)
}

/// The next message, with what came with it; `None` at the end of the stream.
pub async fn receive<T: DeserializeOwned>(
    stream: &UnixStream,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut descriptors = Vec::new();
    let mut length = [0; 4];
    if !fill(stream, &mut length, &mut descriptors).await? {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(too_long());
    }
    let mut body = vec![0; length];
    if !fill(stream, &mut body, &mut descriptors).await? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((serde_json::from_slice(&body)?, descriptors)))
}

/// `false` at an end of the stream before the first byte.
async fn fill(
    stream: &UnixStream,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        let read = stream.async_io(Interest::READABLE, || {
            receive_some(stream.as_fd(), rest, descriptors)
        });
        match read.await? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(true)
}

fn receive_some(
    stream: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_MAX))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    // A program that is started meanwhile must not inherit them.
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(stream, &mut [IoSliceMut::new(buffer)], &mut with, flags)?;
    for message in with.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other(
            "this process may have no more descriptors",
        ));
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn descriptors_arrive_with_their_messages() {
        let (here, there) = UnixStream::pair().unwrap();
        let sockets: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let sending = async {
            let two = [sockets[0].as_fd(), sockets[1].as_fd()];
            send(&here, &"x".repeat(500_000), &two).await.unwrap();
            send(&here, &"none", &[]).await.unwrap();
            send(&here, &"one", &[sockets[2].as_fd()]).await.unwrap();
            drop(here);
        };
        let receiving = async {
            let mut found = Vec::new();
            while let Some((message, descriptors)) = receive::<String>(&there).await.unwrap() {
                let ports = descriptors.into_iter().map(|it| {
                    let socket = TcpListener::from(it);
                    socket.local_addr().unwrap().port()
                });
                found.push((message.len(), ports.collect::<Vec<_>>()));
            }
            found
        };
        let ((), found) = tokio::join!(sending, receiving);
        let port = |index: usize| sockets[index].local_addr().unwrap().port();
        let expect = [
            (500_000, vec![port(0), port(1)]),
            (4, vec![]),
            (3, vec![port(2)]),
        ];
        assert_eq!(found, expect);
    }
}
