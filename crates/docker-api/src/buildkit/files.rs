//! Folders and archives that a client's session sends, written to a folder here. Names are a stranger's:
//! nothing leads out of the folder, and no link in it is followed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use buildkit::grpc::{Code, Outgoing, Status};
use buildkit::messages::{BytesMessage, Packet};
use buildkit::{Entry, FileKind, Step, Transfer};
use engine::{EngineError, Result, RoomWatch};
use rustix::fs::OFlags;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{failed, progress};
use crate::archive::{Spool, unpack_new};
use crate::disk::blocking;
use crate::docker::Docker;
use crate::limits::{BODY_TIMEOUT, PIECES_MAX};
use crate::tree::{Attributes, Links, Tree, clean, dress, open_directory};

/// What an entry takes of the disk besides its content, about.
const ENTRY_BYTES: usize = 4 << 10;

/// What an entry counts for while its folder comes: it is remembered until its content has come, and builds of
/// one engine may send many folders at once.
const ENTRY_COUNTS: u64 = 64 << 10;

/// How much comes between two words about it.
const TOLD_BYTES: u64 = 4 << 20;

/// What a transfer is told of, and by which words.
pub struct Telling<'a> {
    pub step: &'a progress::Step,
    pub name: &'a str,
}

fn counted(packet: &Packet) -> u64 {
    let entry = packet.stat.as_ref().map_or(0, |_| ENTRY_COUNTS);
    entry + packet.data.len() as u64
}

fn late<T>(_: T) -> Status {
    Status::new(
        Code::DeadlineExceeded,
        "the client does not go on sending its files",
    )
}

/// Takes in a folder.
pub async fn receive(
    docker: &Docker,
    mut call: Outgoing,
    into: PathBuf,
    telling: Telling<'_>,
) -> Result<(), Status> {
    let mut receiving = docker.receive()?;
    let (steps, coming) = mpsc::channel(PIECES_MAX);
    let writing = tokio::spawn(blocking(move || write(coming, &into)));
    let mut transfer = Transfer::default();
    let mut told = 0;
    loop {
        let packet = timeout(BODY_TIMEOUT, call.messages.next::<Packet>()).await;
        let packet = packet.map_err(late)??;
        let packet = packet.ok_or_else(|| Status::new(Code::Unavailable, "a folder broke off"))?;
        receiving.add(counted(&packet))?;
        match transfer.take(packet)? {
            Step::Finished => break,
            Step::Nothing => {}
            step => {
                if steps.send(step).await.is_err() {
                    // It has an error to tell, below.
                    break;
                }
            }
        }
        for answer in transfer.answers() {
            let sending = timeout(BODY_TIMEOUT, call.sender.send(&answer));
            sending.await.map_err(late)?;
        }
        if transfer.bytes() >= told + TOLD_BYTES {
            told = transfer.bytes();
            telling.step.part(telling.name, told, false);
        }
    }
    drop(steps);
    let written = writing
        .await
        .map_err(|error| Status::new(Code::Internal, error.to_string()))?;
    written.map_err(failed)?;
    telling.step.part(telling.name, transfer.bytes(), true);
    Ok(())
}

/// Writes what comes, on a thread of its own.
fn write(mut coming: mpsc::Receiver<Step>, folder: &Path) -> Result<()> {
    let root = open_directory(folder)?;
    let tree = Tree::new(&root, Links::Refuse);
    let mut room = RoomWatch::new(folder, "a build's context");
    let mut open: BTreeMap<PathBuf, File> = BTreeMap::new();
    // Times of folders change while they are filled.
    let mut folders = Vec::new();
    while let Some(step) = coming.blocking_recv() {
        match step {
            Step::Make(entry) => {
                room.before(ENTRY_BYTES)?;
                make(&tree, &entry)?;
                if entry.kind == FileKind::Folder {
                    folders.push(entry);
                }
            }
            Step::Write(path, bytes) => {
                room.before(bytes.len())?;
                let path = clean(&path)?;
                let file = match open.get_mut(&path) {
                    Some(file) => file,
                    None => open.entry(path.clone()).or_insert(tree.append_to(&path)?),
                };
                file.write_all(&bytes)?;
            }
            Step::Close(entry) => {
                if let Some(file) = open.remove(&clean(&entry.path)?) {
                    dress(file.into(), &attributes(&entry), &entry.path)?;
                }
            }
            Step::Nothing | Step::Finished => {}
        }
    }
    for entry in folders.iter().rev() {
        // One that was replaced by something else since is not a folder any more.
        let _ = make(&tree, entry);
    }
    Ok(())
}

fn make(tree: &Tree<'_>, entry: &Entry) -> Result<()> {
    let path = clean(&entry.path)?;
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let attributes = attributes(entry);
    match &entry.kind {
        FileKind::Folder => tree.make_directory(&path, &attributes),
        FileKind::File => tree.write_file(&path, &attributes, &mut io::empty()),
        FileKind::Link(to) => tree.make_link(&path, to, &attributes),
        FileKind::HardLink(to) => tree.make_hard_link(&path, &clean(to)?),
        FileKind::Pipe => tree.make_fifo(&path, &attributes),
    }
}

/// Owned by whoever runs this: it is a build's context.
fn attributes(entry: &Entry) -> Attributes {
    Attributes {
        mode: entry.mode,
        owner: None,
        modified_s: entry.modified_s,
    }
}

/// Takes in an archive, and unpacks it.
pub async fn receive_archive(
    docker: &Docker,
    mut call: Outgoing,
    into: PathBuf,
    telling: Telling<'_>,
) -> Result<(), Status> {
    let mut spool = Spool::new(docker)?;
    loop {
        let message = timeout(BODY_TIMEOUT, call.messages.next::<BytesMessage>()).await;
        let Some(message) = message.map_err(late)?? else {
            break;
        };
        spool = spool.add(message.data).await?;
    }
    let (file, bytes) = (spool.file, spool.written);
    let unpacking = blocking(move || unpack_new(&file, &open_directory(&into)?));
    unpacking.await.map_err(failed)?;
    telling.step.part(telling.name, bytes, true);
    Ok(())
}

/// A small text in a folder that was sent; None when it is not there.
pub async fn read_text(folder: &Path, name: &str, bytes_max: u64) -> Result<Option<String>> {
    let (folder, name) = (folder.to_owned(), PathBuf::from(name));
    blocking(move || {
        let root = open_directory(&folder)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match Tree::new(&root, Links::Within).open(&clean(&name)?, flags) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(unreadable(&name, error)),
        };
        let mut bytes = Vec::new();
        // One byte more than allowed, so that too much is noticed.
        let read = file.take(bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&name, error))?;
        match String::from_utf8(bytes) {
            Ok(text) if text.len() as u64 <= bytes_max => Ok(Some(text)),
            _ => Err(EngineError::invalid(format!(
                "`{}` is not a text of at most {bytes_max} bytes",
                name.display()
            ))),
        }
    })
    .await
}

fn unreadable(name: &Path, why: impl std::fmt::Display) -> EngineError {
    EngineError::invalid(format!("cannot read `{}`: {why}", name.display()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry(path: &str, kind: FileKind) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode: 0o640,
            modified_s: 7,
        }
    }

    fn written(steps: Vec<Step>) -> (tempfile::TempDir, Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        let (sender, receiver) = mpsc::channel(steps.len());
        for step in steps {
            sender.try_send(step).unwrap();
        }
        drop(sender);
        (folder, write(receiver, &inside))
    }

    #[test]
    fn entries_count_besides_their_contents() {
        let entry = Packet {
            stat: Some(buildkit::messages::Stat::default()),
            ..Packet::default()
        };
        let piece = Packet {
            data: Bytes::from("text"),
            ..Packet::default()
        };
        assert_eq!((counted(&entry), counted(&piece)), (ENTRY_COUNTS, 4));
    }

    #[test]
    fn a_folder_is_written_as_it_was_sent() {
        use std::os::unix::fs::MetadataExt;
        let file = || entry("d/a", FileKind::File);
        let (folder, outcome) = written(vec![
            Step::Make(Entry {
                mode: 0o500,
                ..entry("d", FileKind::Folder)
            }),
            Step::Make(file()),
            Step::Make(entry("d/empty", FileKind::File)),
            Step::Make(entry("d/hard", FileKind::HardLink("d/a".into()))),
            Step::Make(entry("link", FileKind::Link("../../etc".into()))),
            Step::Write("d/a".into(), Bytes::from("te")),
            Step::Write("d/a".into(), Bytes::from("xt")),
            Step::Close(file()),
        ]);
        outcome.unwrap();
        let path = |name: &str| folder.path().join("inside").join(name);
        assert_eq!(std::fs::read_to_string(path("d/hard")).unwrap(), "text");
        let look = |name: &str| {
            let metadata = std::fs::symlink_metadata(path(name)).unwrap();
            (metadata.mode() & 0o7777, metadata.mtime())
        };
        assert_eq!(look("d"), (0o500, 7));
        assert_eq!(look("d/a"), (0o640, 7));
        assert_eq!(look("d/empty"), (0o640, 7));
        assert_eq!(
            std::fs::read_link(path("link")).unwrap(),
            Path::new("../../etc")
        );
    }

    #[test]
    fn nothing_leads_out() {
        let up = || entry("up", FileKind::Link("..".into()));
        for steps in [
            vec![Step::Make(entry("../out", FileKind::File))],
            vec![
                Step::Make(up()),
                Step::Make(entry("up/out", FileKind::File)),
            ],
            vec![Step::Make(entry(
                "out",
                FileKind::HardLink("../../etc/passwd".into()),
            ))],
            vec![Step::Make(up()), Step::Write("up".into(), Bytes::from("x"))],
            vec![Step::Write("../out".into(), Bytes::from("x"))],
            // Would be waited for, for ever.
            vec![
                Step::Make(entry("pipe", FileKind::Pipe)),
                Step::Write("pipe".into(), Bytes::from("x")),
            ],
        ] {
            let (folder, outcome) = written(steps);
            outcome.unwrap_err();
            assert!(!folder.path().join("out").exists());
        }
    }
}
