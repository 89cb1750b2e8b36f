//! Files of a finished image, sent to its client as an archive or as a folder.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use buildkit::grpc::{Code, Messages, Outgoing, Sender, Status};
use buildkit::messages::{BytesMessage, Packet, PacketKind, Stat};
use buildkit::{Session, go_mode};
use bytes::Bytes;
use engine::{Digest, EngineError, Result, RootOf};
use rustix::fs::{FileType, OFlags, fstat};
use tokio::time::timeout;

use super::failed;
use super::options::Files;
use super::progress::Progress;
use crate::archive::pack;
use crate::disk::blocking;
use crate::docker::Docker;
use crate::limits::{BODY_TIMEOUT, FOLDER_DEPTH_MAX, PIECE_BYTES};
use crate::tree::{Links, Tree, link_target};

/// Pieces in which files are sent, as BuildKit's own are.
const FILE_PIECE_BYTES: usize = 32 << 10;

/// Sends them, in a step of their own.
pub async fn send(
    docker: &Docker,
    session: &Session,
    progress: &Progress,
    digest: &Digest,
    (wish, form): (usize, Files),
) -> Result<(), Status> {
    let step = progress.begin(match form {
        Files::Archive => "exporting to client tarball",
        Files::Folder => "exporting to client directory",
    });
    let sending = async {
        let image = docker.images.prepare_digest(digest).await.map_err(failed)?;
        let upper = tempfile::tempdir_in(docker.scratch()).map_err(|error| failed(error.into()))?;
        let root = docker.tasks.root(RootOf::Layers {
            directories: image.directories,
            upper: upper.path().to_owned(),
            mounts: Vec::new(),
        });
        let root = root.await.map_err(failed)?;
        let call = session.send(wish).await?;
        match form {
            Files::Archive => archive(call, root).await,
            Files::Folder => folder(call, root).await,
        }
    };
    let sent = sending.await;
    let part = match form {
        Files::Archive => "sending tarball",
        Files::Folder => "copying files",
    };
    if let Ok(bytes) = &sent {
        step.part(part, *bytes, true);
    }
    step.end(sent.as_ref().err().map(|it| it.message.clone()));
    sent.map(drop)
}

fn late<T>(_: T) -> Status {
    Status::new(Code::DeadlineExceeded, "the client does not take its files")
}

/// Waits until the client has said that it has all.
async fn until_taken(mut messages: Messages) -> Result<(), Status> {
    let ending = async {
        while messages.next::<BytesMessage>().await?.is_some() {}
        Ok(())
    };
    timeout(BODY_TIMEOUT, ending).await.map_err(late)?
}

async fn archive(call: Outgoing, root: Arc<OwnedFd>) -> Result<u64, Status> {
    let Outgoing { sender, messages } = call;
    let writing = blocking(move || {
        let mut to = BufWriter::with_capacity(PIECE_BYTES, Pieces { sender, bytes: 0 });
        pack(&root, Path::new(""), Path::new("."), &mut to)?;
        let pieces = to.into_inner().map_err(|error| error.into_error())?;
        Ok(pieces.bytes)
    });
    let bytes = writing.await.map_err(failed)?;
    until_taken(messages).await?;
    Ok(bytes)
}

/// What is written, as messages of a call.
struct Pieces {
    sender: Sender,
    bytes: u64,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let data = Bytes::copy_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        match self.sender.send_blocking(&BytesMessage { data }) {
            true => Ok(bytes.len()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// First all entries, then the contents of those that the client asks for.
async fn folder(call: Outgoing, root: Arc<OwnedFd>) -> Result<u64, Status> {
    let Outgoing {
        sender,
        mut messages,
    } = call;
    let (walked, to) = (root.clone(), sender.clone());
    let walking = blocking(move || {
        let mut paths = Vec::new();
        walk(
            &Tree::new(&walked, Links::Within),
            Path::new(""),
            0,
            &to,
            &mut paths,
        )?;
        tell(&to, &Packet::default())?;
        Ok(paths)
    });
    let paths = Arc::new(walking.await.map_err(failed)?);
    let mut bytes = 0;
    loop {
        let packet = timeout(BODY_TIMEOUT, messages.next::<Packet>()).await;
        let Some(packet) = packet.map_err(late)?? else {
            return Err(Status::new(Code::Unavailable, "the client went away"));
        };
        match PacketKind::try_from(packet.kind) {
            Ok(PacketKind::Request) => {
                let (root, to, paths) = (root.clone(), sender.clone(), paths.clone());
                let sending = blocking(move || content(&root, &paths, packet.id, &to));
                bytes += sending.await.map_err(failed)?;
            }
            Ok(PacketKind::Finish) => break,
            Ok(PacketKind::Error) => {
                let said = String::from_utf8_lossy(&packet.data);
                return Err(Status::new(
                    Code::Unknown,
                    format!("error from receiver: {said}"),
                ));
            }
            _ => return Err(Status::new(Code::InvalidArgument, "a receiver sends files")),
        }
    }
    let finish = Packet {
        kind: PacketKind::Finish.into(),
        ..Packet::default()
    };
    sender.send(&finish).await;
    drop(sender);
    until_taken(messages).await?;
    Ok(bytes)
}

fn tell(to: &Sender, packet: &Packet) -> Result<()> {
    match to.send_blocking(packet) {
        true => Ok(()),
        false => Err(EngineError::unreachable("the client went away")),
    }
}

/// Tells of all that is in a folder, in the order that receivers hold senders to: a folder, what is in it,
/// and then its next neighbour.
fn walk(
    tree: &Tree<'_>,
    folder: &Path,
    depth: usize,
    to: &Sender,
    paths: &mut Vec<PathBuf>,
) -> Result<()> {
    if depth > FOLDER_DEPTH_MAX {
        return Err(EngineError::invalid("folders are nested too deeply"));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let opened = tree.open(folder, flags).map_err(io::Error::from)?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&opened).map_err(io::Error::from)? {
        let entry = entry.map_err(io::Error::from)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(std::ffi::OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort();
    for name in names {
        let path = folder.join(name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let handle = tree.open(&path, flags).map_err(io::Error::from)?;
        let stat = fstat(&handle).map_err(io::Error::from)?;
        // Sockets and devices mean nothing elsewhere.
        let (Some(mode), Some(text)) = (go_mode(stat.st_mode), path.to_str()) else {
            continue;
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let told = Stat {
            path: text.to_owned(),
            mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: if kind == FileType::RegularFile {
                stat.st_size
            } else {
                0
            },
            modified: stat.st_mtime.saturating_mul(1_000_000_000),
            link: match kind {
                FileType::Symlink => {
                    let target = link_target(&handle, Path::new(""))?;
                    target.to_string_lossy().into_owned()
                }
                _ => String::new(),
            },
            ..Stat::default()
        };
        let stat = Some(told);
        tell(
            to,
            &Packet {
                stat,
                ..Packet::default()
            },
        )?;
        paths.push(path.clone());
        if kind == FileType::Directory {
            walk(tree, &path, depth + 1, to, paths)?;
        }
    }
    Ok(())
}

/// Sends a file, by the number of its entry.
fn content(root: &OwnedFd, paths: &[PathBuf], id: u32, to: &Sender) -> Result<u64> {
    let path = paths.get(id as usize);
    let path =
        path.ok_or_else(|| EngineError::invalid("a client asks for a file that is not there"))?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = Tree::new(root, Links::Within).open(path, flags);
    let mut file = File::from(file.map_err(io::Error::from)?);
    let mut buffer = vec![0; FILE_PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut buffer)?;
        let data = Bytes::copy_from_slice(&buffer[..count]);
        let kind = PacketKind::Data.into();
        tell(
            to,
            &Packet {
                kind,
                id,
                data,
                ..Packet::default()
            },
        )?;
        if count == 0 {
            return Ok(bytes);
        }
        bytes += count as u64;
    }
}
