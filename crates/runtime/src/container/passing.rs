//! Messages between two processes of ours that carry descriptors, over a socket that waits.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

/// A longer message is none of ours.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Sends a message: its length in four bytes, with the descriptors, and the text.
pub(crate) fn send(to: &UnixStream, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the message is too long",
        ));
    }
    let length = (text.len() as u32).to_be_bytes();
    let raw: Vec<RawFd> = descriptors.iter().map(|it| it.as_raw_fd()).collect();
    let control = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &control };
    let slice = [IoSlice::new(&length)];
    let sent = sendmsg::<UnixAddr>(
        to.as_raw_fd(),
        &slice,
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    if sent != length.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let mut to = to;
    to.write_all(text)
}

/// Receives what [`send`] has sent.
pub(crate) fn receive(from: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut length = [0; 4];
    let (count, descriptors) = receive_some(from, &mut length)?;
    let mut reader = from;
    reader.read_exact(&mut length[count..])?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the message is too long",
        ));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    Ok((text, descriptors))
}

/// Reads some bytes, and the descriptors that came with them.
pub(super) fn receive_some(
    from: &UnixStream,
    bytes: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let mut slices = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(from.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            descriptors.extend(raw.into_iter().map(own));
        }
    }
    match message.bytes {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok((count, descriptors)),
    }
}

#[allow(unsafe_code)]
fn own(raw: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for this process, and nobody else has been told of it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
