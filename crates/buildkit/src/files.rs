//! A folder as a client sends it. First come all its entries, then the contents of those files that were
//! asked for, by the number of their entries, in pieces and side by side; an empty piece ends a file.
//!
//! What comes is a stranger's: entries are counted and measured here, and what they may be named is
//! for whoever writes them.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use bytes::Bytes;

use crate::grpc::{Code, Status};
use crate::limits::{BYTES_MAX, ENTRIES_MAX, FILES_AHEAD, PATH_BYTES_MAX, PATHS_BYTES_MAX};
use crate::messages::{Packet, PacketKind, Stat};

/// Bits of Go's `os.FileMode`.
const FOLDER: u32 = 1 << 31;
const LINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SET_USER: u32 = 1 << 23;
const SET_GROUP: u32 = 1 << 22;
const CHARACTER_DEVICE: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;
const IRREGULAR: u32 = 1 << 19;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: PathBuf,
    pub kind: FileKind,
    /// As the kernel has it.
    pub mode: u32,
    /// Seconds since 1970.
    pub modified_s: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    Folder,
    /// Its content is still to come.
    File,
    Link(PathBuf),
    /// Another name of a file that came before.
    HardLink(PathBuf),
    Pipe,
}

/// What is to be done about a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Make(Entry),
    /// A piece of a file.
    Write(PathBuf, Bytes),
    /// A file is whole.
    Close(Entry),
    Nothing,
    /// All has come.
    Finished,
}

/// The state of a transfer: packets in, steps and packets out.
#[derive(Default)]
pub struct Transfer {
    entries: u32,
    bytes: u64,
    paths_bytes: usize,
    /// Files that have not been asked for yet.
    ahead: VecDeque<(u32, Entry)>,
    /// Files that are coming.
    coming: BTreeMap<u32, Entry>,
    has_all_entries: bool,
    has_finished: bool,
}

fn bad(what: impl Into<String>) -> Status {
    Status::new(Code::InvalidArgument, what)
}

impl Transfer {
    /// What a packet means.
    pub fn take(&mut self, packet: Packet) -> Result<Step, Status> {
        match PacketKind::try_from(packet.kind) {
            Ok(PacketKind::Stat) => match packet.stat {
                Some(stat) => self.entry(stat),
                None => {
                    self.has_all_entries = true;
                    Ok(Step::Nothing)
                }
            },
            Ok(PacketKind::Data) => self.data(packet.id, packet.data),
            Ok(PacketKind::Finish) => Ok(Step::Finished),
            Ok(PacketKind::Error) => {
                let said = String::from_utf8_lossy(&packet.data);
                Err(Status::new(
                    Code::Unknown,
                    format!("error from sender: {said}"),
                ))
            }
            Ok(PacketKind::Request) | Err(_) => Err(bad("a client asks for what it sends itself")),
        }
    }

    /// What to answer by now: files that are wanted next, or that all has come.
    pub fn answers(&mut self) -> Vec<Packet> {
        let mut answers = Vec::new();
        while self.coming.len() < FILES_AHEAD
            && let Some((id, entry)) = self.ahead.pop_front()
        {
            self.coming.insert(id, entry);
            answers.push(packet(PacketKind::Request, id));
        }
        if self.has_all_entries && self.coming.is_empty() && !self.has_finished {
            self.has_finished = true;
            answers.push(packet(PacketKind::Finish, 0));
        }
        answers
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn entry(&mut self, stat: Stat) -> Result<Step, Status> {
        let id = self.entries;
        self.entries += 1;
        if self.has_all_entries || self.entries > ENTRIES_MAX {
            return Err(bad(format!("a folder has more than {ENTRIES_MAX} entries")));
        }
        self.paths_bytes += stat.path.len() + stat.link.len();
        if self.paths_bytes > PATHS_BYTES_MAX {
            return Err(bad("the paths of a folder are too long together"));
        }
        let entry = entry_of(stat)?;
        if entry.kind == FileKind::File {
            self.ahead.push_back((id, entry.clone()));
        }
        Ok(Step::Make(entry))
    }

    fn data(&mut self, id: u32, data: Bytes) -> Result<Step, Status> {
        let unasked = || bad("a file was sent that nobody asked for");
        if data.is_empty() {
            return self.coming.remove(&id).map(Step::Close).ok_or_else(unasked);
        }
        let entry = self.coming.get(&id).ok_or_else(unasked)?;
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        match self.bytes <= BYTES_MAX {
            true => Ok(Step::Write(entry.path.clone(), data)),
            false => Err(bad(format!("a folder has more than {BYTES_MAX} bytes"))),
        }
    }
}

fn packet(kind: PacketKind, id: u32) -> Packet {
    Packet {
        kind: kind.into(),
        id,
        ..Packet::default()
    }
}

fn entry_of(stat: Stat) -> Result<Entry, Status> {
    if stat.path.len() > PATH_BYTES_MAX || stat.link.len() > PATH_BYTES_MAX {
        return Err(bad(format!("a path has more than {PATH_BYTES_MAX} bytes")));
    }
    let mode = stat.mode;
    let is = |bits: u32| mode & bits != 0;
    let kind = if is(FOLDER) {
        FileKind::Folder
    } else if is(LINK) {
        FileKind::Link(PathBuf::from(&stat.link))
    } else if is(PIPE) {
        FileKind::Pipe
    } else if is(DEVICE | CHARACTER_DEVICE | SOCKET | IRREGULAR) {
        return Err(bad(format!(
            "`{}` is a device or a socket, which is not supported in a context",
            stat.path
        )));
    } else if !stat.link.is_empty() {
        FileKind::HardLink(PathBuf::from(&stat.link))
    } else {
        FileKind::File
    };
    let extra = [(SET_USER, 0o4000), (SET_GROUP, 0o2000), (STICKY, 0o1000)];
    let extra = extra.iter().filter(|it| is(it.0)).map(|it| it.1);
    Ok(Entry {
        path: PathBuf::from(stat.path),
        kind,
        mode: extra.fold(mode & 0o777, |mode, bit| mode | bit),
        modified_s: stat.modified.div_euclid(1_000_000_000),
    })
}

/// A mode as the kernel has it, in Go's words; None for devices and sockets, which are not sent.
pub fn go_mode(mode: u32) -> Option<u32> {
    let kind = match mode & 0o170_000 {
        0o040_000 => FOLDER,
        0o100_000 => 0,
        0o120_000 => LINK,
        0o010_000 => PIPE,
        _ => return None,
    };
    let extra = [(SET_USER, 0o4000), (SET_GROUP, 0o2000), (STICKY, 0o1000)];
    let extra = extra.iter().filter(|it| mode & it.1 != 0).map(|it| it.0);
    Some(extra.fold(kind | (mode & 0o777), |mode, bit| mode | bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(path: &str, mode: u32, link: &str) -> Packet {
        Packet {
            stat: Some(Stat {
                path: path.into(),
                mode,
                link: link.into(),
                modified: 7_900_000_000,
                ..Stat::default()
            }),
            ..packet(PacketKind::Stat, 0)
        }
    }

    fn data(id: u32, data: &'static [u8]) -> Packet {
        Packet {
            data: Bytes::from_static(data),
            ..packet(PacketKind::Data, id)
        }
    }

    fn entry(path: &str, kind: FileKind, mode: u32) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode,
            modified_s: 7,
        }
    }

    #[test]
    fn a_folder_comes_whole() {
        let mut transfer = Transfer::default();
        let folder = entry("d", FileKind::Folder, 0o1755);
        let taken = transfer.take(stat("d", FOLDER | STICKY | 0o755, ""));
        assert_eq!(taken.unwrap(), Step::Make(folder));
        for (path, mode, link, kind) in [
            ("d/a", 0o644, "", FileKind::File),
            ("d/b", LINK | 0o777, "a", FileKind::Link("a".into())),
            ("d/c", 0o644, "d/a", FileKind::HardLink("d/a".into())),
        ] {
            let made = Step::Make(entry(path, kind, mode & 0o777));
            assert_eq!(transfer.take(stat(path, mode, link)).unwrap(), made);
        }
        assert_eq!(transfer.answers(), [packet(PacketKind::Request, 1)]);
        transfer.take(packet(PacketKind::Stat, 0)).unwrap();
        assert_eq!(transfer.answers(), []);
        let wrote = transfer.take(data(1, b"text")).unwrap();
        assert_eq!(wrote, Step::Write("d/a".into(), Bytes::from("text")));
        let closed = entry("d/a", FileKind::File, 0o644);
        assert_eq!(transfer.take(data(1, b"")).unwrap(), Step::Close(closed));
        assert_eq!(transfer.answers(), [packet(PacketKind::Finish, 0)]);
        assert_eq!(transfer.answers(), []);
        let end = transfer.take(packet(PacketKind::Finish, 0)).unwrap();
        assert_eq!((end, transfer.bytes()), (Step::Finished, 4));
    }

    #[test]
    fn modes_go_there_and_back() {
        for (mode, kind) in [
            (0o041_755, FileKind::Folder),
            (0o104_640, FileKind::File),
            (0o120_777, FileKind::Link("x".into())),
            (0o010_600, FileKind::Pipe),
        ] {
            let link = if mode == 0o120_777 { "x" } else { "" };
            let stat = stat("a", go_mode(mode).unwrap(), link).stat.unwrap();
            assert_eq!(entry_of(stat).unwrap(), entry("a", kind, mode & 0o7777));
        }
        assert_eq!(go_mode(0o020_600), None);
    }

    #[test]
    fn an_empty_folder_is_whole_at_once() {
        let mut transfer = Transfer::default();
        assert_eq!(transfer.answers(), []);
        transfer.take(packet(PacketKind::Stat, 0)).unwrap();
        assert_eq!(transfer.answers(), [packet(PacketKind::Finish, 0)]);
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        let long = "x".repeat(PATH_BYTES_MAX + 1);
        for packets in [
            vec![data(0, b"x")],
            vec![stat("a", 0o644, ""), data(0, b"x")],
            vec![packet(PacketKind::Request, 0)],
            vec![packet(PacketKind::Stat, 0), stat("a", 0o644, "")],
            vec![stat("a", DEVICE | 0o644, "")],
            vec![stat(&long, 0o644, "")],
            vec![stat("a", LINK, &long)],
            vec![Packet {
                kind: 9,
                ..Packet::default()
            }],
        ] {
            let mut transfer = Transfer::default();
            let outcome: Result<Vec<Step>, Status> =
                packets.into_iter().map(|it| transfer.take(it)).collect();
            assert_eq!(outcome.unwrap_err().code, Code::InvalidArgument);
        }
        let error = Packet {
            data: "no".into(),
            ..packet(PacketKind::Error, 0)
        };
        let status = Transfer::default().take(error).unwrap_err();
        assert_eq!(status.message, "error from sender: no");
    }

    #[test]
    fn only_so_many_files_are_open_at_a_time() {
        let mut transfer = Transfer::default();
        for number in 0..2 * FILES_AHEAD {
            transfer
                .take(stat(&format!("{number:04}"), 0o644, ""))
                .unwrap();
        }
        assert_eq!(transfer.answers().len(), FILES_AHEAD);
        assert_eq!(transfer.answers().len(), 0);
        transfer.take(data(3, b"")).unwrap();
        assert_eq!(
            transfer.answers(),
            [packet(PacketKind::Request, FILES_AHEAD as u32)]
        );
    }
}
