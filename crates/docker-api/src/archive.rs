//! Archives that are sent and received. What is sent is hostile: it is spooled to a file, its bare
//! headers are counted and bounded before anything of it is read into memory, and its entries are
//! written by handles that nothing leads out of (`tree.rs`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use engine::{EngineError, Result};
use rustix::fs::{AtFlags, FileType, OFlags, Stat, fstat, statat};
use rustix::io::Errno;
use tar::EntryType;
use tokio::sync::mpsc;

use crate::answer::{Body, Refusal, pieces};
use crate::disk::blocking;
use crate::docker::{Docker, Receiving};
use crate::limits::{
    ARCHIVE_BYTES_MAX, ARCHIVE_ENTRIES_MAX, ARCHIVE_FREE_BYTES, ARCHIVE_HEADER_BYTES_MAX,
    ARCHIVE_RATIO_MAX, FOLDER_DEPTH_MAX, PIECE_BYTES, PIECES_MAX,
};
use crate::tree::{Attributes, Links, Tree, clean, is_directory, link_target};
use crate::upload::Upload;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const OTHERS: [(&[u8], &str); 2] = [(b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz")];
/// What zstd's own tools accept without being told.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

fn cannot_read(error: io::Error) -> EngineError {
    // What a reader here refuses is the archive's fault; what the disk says is not.
    match error.raw_os_error() {
        None => EngineError::invalid(format!("the archive cannot be read: {error}")),
        Some(_) => EngineError::machine("the archive cannot be read").because(error),
    }
}

/// Writes a body to a file without a name.
pub async fn spool(body: &Upload, docker: &Docker) -> Result<File, Refusal> {
    let mut spool = Spool::new(docker)?;
    while let Some(frame) = body.frame().await? {
        if let Ok(bytes) = frame.into_data() {
            spool = spool.add(bytes).await?;
        }
    }
    Ok(spool.file)
}

/// A file without a name that an archive is written to as it comes.
pub struct Spool<'a> {
    pub file: File,
    pub written: u64,
    receiving: Receiving<'a>,
}

impl<'a> Spool<'a> {
    pub fn new(docker: &'a Docker) -> Result<Self, Refusal> {
        Ok(Self {
            file: tempfile::tempfile_in(docker.scratch())?,
            written: 0,
            receiving: docker.receive()?,
        })
    }

    pub async fn add(mut self, bytes: Bytes) -> Result<Self, Refusal> {
        self.written += bytes.len() as u64;
        if self.written > ARCHIVE_BYTES_MAX {
            return Err(Refusal::bad(format!(
                "the archive has more than the {ARCHIVE_BYTES_MAX} bytes allowed"
            )));
        }
        self.receiving.add(bytes.len() as u64)?;
        let mut file = self.file;
        let file = blocking(move || {
            file.write_all(&bytes)?;
            Ok(file)
        })
        .await?;
        Ok(Self { file, ..self })
    }
}

/// A file's content, decompressed when it is compressed.
pub fn reader(mut file: File) -> Result<Box<dyn Read + Send>> {
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    let mut start = Vec::new();
    (&mut file).take(6).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    if let Some((_, name)) = OTHERS.iter().find(|it| start.starts_with(it.0)) {
        return Err(EngineError::invalid(format!(
            "archives compressed with {name} are not supported: use gzip or zstd"
        )));
    }
    let file = BufReader::with_capacity(PIECE_BYTES, file);
    let bytes_max = size
        .saturating_mul(ARCHIVE_RATIO_MAX)
        .clamp(ARCHIVE_FREE_BYTES, ARCHIVE_BYTES_MAX);
    Ok(if start.starts_with(GZIP_MAGIC) {
        Box::new(Bounded(
            flate2::bufread::MultiGzDecoder::new(file),
            bytes_max,
        ))
    } else if start.starts_with(ZSTD_MAGIC) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Box::new(Bounded(decoder, bytes_max))
    } else {
        Box::new(file)
    })
}

/// Decompressed bytes, as many as are allowed.
struct Bounded<R>(R, u64);

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1 = self.1.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other("it unpacks to more than its compressed size allows")
        })?;
        Ok(count)
    }
}

const BLOCK_BYTES: u64 = 512;

/// Fills the last block up with zeros: docker's client leaves them out, and the end's marks, when it
/// adds a Dockerfile to a context.
struct Padded<R> {
    inner: R,
    /// What really came.
    bytes: Arc<AtomicU64>,
    missing: Option<u64>,
}

impl<R> Padded<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            bytes: Arc::default(),
            missing: None,
        }
    }
}

impl<R: Read> Read for Padded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.missing.is_none() {
            let count = self.inner.read(buffer)?;
            let bytes = self.bytes.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.missing = Some(bytes.next_multiple_of(BLOCK_BYTES) - bytes);
        }
        let missing = self.missing.get_or_insert_default();
        let count = (*missing).min(buffer.len() as u64);
        buffer[..count as usize].fill(0);
        *missing -= count;
        Ok(count as usize)
    }
}

/// Looks at the bare headers: long names and extended headers are read into memory later, so they
/// must be known to be small.
pub fn check(file: &File) -> Result<()> {
    let reader = Padded::new(reader(file.try_clone()?)?);
    let really = reader.bytes.clone();
    let mut archive = tar::Archive::new(reader);
    let too_much = |what: &str| Err(EngineError::invalid(format!("the archive holds {what}")));
    let mut count = 0;
    let mut bytes = 0_u64;
    let mut end = 0;
    for entry in archive.entries().map_err(cannot_read)?.raw(true) {
        let mut entry = entry.map_err(cannot_read)?;
        let kind = entry.header().entry_type();
        let is_header = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        let size = entry.size();
        if is_header && size > ARCHIVE_HEADER_BYTES_MAX {
            return too_much("a name or header that is too long");
        }
        // Neither is as long as its header says: what is counted here would not be what is written.
        if kind.is_gnu_sparse() {
            return too_much("a sparse file, which is not supported");
        }
        count += 1;
        bytes = bytes.saturating_add(size);
        end = entry.raw_file_position().saturating_add(size);
        if kind.is_pax_local_extensions() && holds_size(&mut entry).map_err(cannot_read)? {
            return too_much("a size in an extended header, which is not supported");
        }
        if count > ARCHIVE_ENTRIES_MAX || bytes > ARCHIVE_BYTES_MAX {
            return too_much("too much");
        }
    }
    match end <= really.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err(EngineError::invalid("the archive breaks off")),
    }
}

/// Whether an extended header says how long the file after it is.
fn holds_size(header: impl Read) -> io::Result<bool> {
    let mut text = Vec::new();
    header
        .take(ARCHIVE_HEADER_BYTES_MAX)
        .read_to_end(&mut text)?;
    // `<length> <name>=<value>\n`
    let mut lines = text.split(|it| *it == b'\n');
    Ok(lines.any(|line| {
        let name = line.splitn(2, |it| *it == b' ').nth(1);
        name.is_some_and(|it| it.starts_with(b"size=") || it.starts_with(b"GNU.sparse."))
    }))
}

/// Whether an archive holds an image, as `docker save` writes it or as an OCI layout, and not a root
/// file system.
pub fn holds_image(file: File) -> Result<bool> {
    check(&file)?;
    let mut archive = tar::Archive::new(Padded::new(reader(file)?));
    for entry in archive.entries().map_err(cannot_read)? {
        let entry = entry.map_err(cannot_read)?;
        let path = entry.path().map_err(cannot_read)?;
        let name = path.strip_prefix(".").unwrap_or(&path);
        if ["oci-layout", "index.json", "manifest.json"]
            .iter()
            .any(|it| name == Path::new(it))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whose files are those of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// As the archive says.
    Kept,
    /// Whoever runs this: it is a build's context.
    Own,
}

/// Looks a stranger's archive through, and unpacks it to a new folder, where all belongs to whoever runs this.
pub fn unpack_new(file: &File, root: &OwnedFd) -> Result<()> {
    check(file)?;
    unpack(file, root, Links::Refuse, Path::new(""), Owners::Own)
}

/// Unpacks an archive that was checked into a folder of the tree.
pub fn unpack(
    file: &File,
    root: &OwnedFd,
    links: Links,
    below: &Path,
    owners: Owners,
) -> Result<()> {
    let mut archive = tar::Archive::new(Padded::new(reader(file.try_clone()?)?));
    let tree = Tree::new(root, links);
    // Times of folders change while they are filled.
    let mut folders: Vec<(PathBuf, Attributes)> = Vec::new();
    for entry in archive.entries().map_err(cannot_read)? {
        let mut entry = entry.map_err(cannot_read)?;
        let name = clean(&entry.path().map_err(cannot_read)?)?;
        let path = below.join(&name);
        let attributes = attributes(entry.header(), owners)?;
        let kind = entry.header().entry_type();
        let link = entry
            .link_name()
            .map_err(cannot_read)?
            .map(|it| it.into_owned());
        match (kind, link) {
            (EntryType::Directory, _) if name.as_os_str().is_empty() => {}
            (EntryType::Directory, _) => {
                tree.make_directory(&path, &attributes)?;
                folders.push((path, attributes));
            }
            (EntryType::Regular | EntryType::Continuous, _) => {
                tree.write_file(&path, &attributes, &mut entry)?;
            }
            (EntryType::Symlink, Some(to)) => tree.make_link(&path, &to, &attributes)?,
            (EntryType::Link, Some(to)) => tree.make_hard_link(&path, &below.join(clean(&to)?))?,
            (EntryType::Fifo, _) => tree.make_fifo(&path, &attributes)?,
            (EntryType::XGlobalHeader, _) => {}
            (EntryType::Block | EntryType::Char, _) => {
                return Err(EngineError::invalid(format!(
                    "the archive holds a device node, `{}`, which is not supported",
                    name.display()
                )));
            }
            _ => {
                return Err(EngineError::invalid(format!(
                    "the archive's entry `{}` is of an unknown kind",
                    name.display()
                )));
            }
        }
    }
    for (path, attributes) in folders.iter().rev() {
        // One that was replaced by something else since is not a folder any more.
        let _ = tree.make_directory(path, attributes);
    }
    Ok(())
}

fn attributes(header: &tar::Header, owners: Owners) -> Result<Attributes> {
    let number = |text: io::Result<u64>| -> Result<u32> {
        u32::try_from(text.map_err(cannot_read)?)
            .map_err(|_| EngineError::invalid("the archive holds an owner that is too large"))
    };
    Ok(Attributes {
        mode: header.mode().map_err(cannot_read)?,
        owner: match owners {
            Owners::Own => None,
            Owners::Kept => Some((number(header.uid())?, number(header.gid())?)),
        },
        modified_s: header.mtime().map_err(cannot_read)?.min(i64::MAX as u64) as i64,
    })
}

/// Runs a writer on a thread of its own; what it writes is the answer's body.
pub fn written_by(write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) -> Body {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let channel = Channel(sender.clone());
        let mut buffer = io::BufWriter::with_capacity(PIECE_BYTES, channel);
        let result = write(&mut buffer).and_then(|()| buffer.flush());
        // The rest of a broken answer is not to look whole.
        if let Err(error) = result {
            drop(buffer.into_parts());
            let _ = sender.blocking_send(Err(error));
        }
    });
    pieces(receiver)
}

struct Channel(mpsc::Sender<io::Result<Bytes>>);

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(piece)).map_err(gone)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Packs a file or folder of a tree, under the name that it is to have. A path that ends with `/.` is
/// that of the folder that a link leads to.
pub fn pack(root: &OwnedFd, path: &Path, name: &Path, to: &mut dyn Write) -> io::Result<()> {
    pack_tree(&Tree::new(root, Links::Within), path, name, to)
}

/// The same, of a tree whose links are taken as it says.
pub fn pack_tree(tree: &Tree<'_>, path: &Path, name: &Path, to: &mut dyn Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(to);
    builder.sparse(false);
    pack_one(tree, path, name, &mut builder, 0)?;
    builder.into_inner().map(drop)
}

fn pack_one(
    tree: &Tree<'_>,
    path: &Path,
    name: &Path,
    to: &mut tar::Builder<&mut dyn Write>,
    depth: usize,
) -> io::Result<()> {
    if depth > FOLDER_DEPTH_MAX {
        return Err(io::Error::other("folders are nested too deeply"));
    }
    let handle = match tree.open(path, OFlags::PATH | OFlags::NOFOLLOW) {
        Err(Errno::XDEV) => return pack_covered(tree, path, name, to),
        opened => opened?,
    };
    let stat = fstat(&handle)?;
    let mut header = header_of(&stat);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            header.set_entry_type(EntryType::Directory);
            append(to, &mut header, &name.join(""), io::empty())?;
            let directory = tree.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            for entry in rustix::fs::Dir::read_from(&directory)? {
                let entry = entry?;
                let child = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
                if child != Path::new(".") && child != Path::new("..") {
                    pack_one(tree, &path.join(child), &name.join(child), to, depth + 1)?;
                }
            }
            Ok(())
        }
        FileType::RegularFile => {
            // Exactly the file that was looked at: a container that runs may have put a pipe or a
            // device in its place since.
            let file = File::open(format!("/proc/self/fd/{}", handle.as_raw_fd()))?;
            let size = stat.st_size as u64;
            header.set_entry_type(EntryType::Regular);
            header.set_size(size);
            // What grows or shrinks meanwhile must not spoil the archive.
            let content = file.take(size).chain(io::repeat(0)).take(size);
            append(to, &mut header, name, content)
        }
        FileType::Symlink => {
            header.set_entry_type(EntryType::Symlink);
            let target = link_target(&handle, Path::new("")).map_err(io::Error::other)?;
            set_link(to, &mut header, &target)?;
            append(to, &mut header, name, io::empty())
        }
        FileType::Fifo => {
            header.set_entry_type(EntryType::Fifo);
            append(to, &mut header, name, io::empty())
        }
        // Sockets and devices mean nothing elsewhere.
        _ => Ok(()),
    }
}

fn header_of(stat: &Stat) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(u64::from(stat.st_uid));
    header.set_gid(u64::from(stat.st_gid));
    header.set_mtime(stat.st_mtime.max(0) as u64);
    header.set_size(0);
    header
}

/// What something is mounted over: an empty folder or file, as it is without.
fn pack_covered(tree: &Tree<'_>, path: &Path, name: &Path, to: &mut Packing<'_>) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let parent = tree.open(parent, OFlags::PATH | OFlags::DIRECTORY)?;
    let last = path.file_name().unwrap_or_default();
    let stat = statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW)?;
    let mut header = header_of(&stat);
    let is_folder = is_directory(&stat);
    header.set_entry_type(match is_folder {
        true => EntryType::Directory,
        false => EntryType::Regular,
    });
    let name = if is_folder {
        name.join("")
    } else {
        name.to_owned()
    };
    append(to, &mut header, &name, io::empty())
}

type Packing<'a> = tar::Builder<&'a mut dyn Write>;

/// Appends an entry, whose name may begin with `/`: what is in a container's root does, and clients
/// put what they call it in front. The library does not take such names.
fn append(
    to: &mut Packing<'_>,
    header: &mut tar::Header,
    name: &Path,
    content: impl Read,
) -> io::Result<()> {
    let kept = fitting(to, EntryType::GNULongName, name.as_os_str().as_bytes())?;
    let field = &mut gnu(header)?.name;
    field[..kept.len()].copy_from_slice(kept);
    header.set_cksum();
    to.append(header, content)
}

fn set_link(to: &mut Packing<'_>, header: &mut tar::Header, target: &Path) -> io::Result<()> {
    let kept = fitting(to, EntryType::GNULongLink, target.as_os_str().as_bytes())?;
    let field = &mut gnu(header)?.linkname;
    field[..kept.len()].copy_from_slice(kept);
    Ok(())
}

fn gnu(header: &mut tar::Header) -> io::Result<&mut tar::GnuHeader> {
    let header = header.as_gnu_mut();
    header.ok_or_else(|| io::Error::other("the header is of another kind"))
}

/// As much of a name as a header takes. All of a longer one goes into an entry before it.
fn fitting<'n>(to: &mut Packing<'_>, kind: EntryType, name: &'n [u8]) -> io::Result<&'n [u8]> {
    const NAME_BYTES_MAX: usize = 100;
    if name.len() <= NAME_BYTES_MAX {
        return Ok(name);
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path("././@LongLink")?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    // The name, and a zero.
    header.set_size(name.len() as u64 + 1);
    header.set_cksum();
    to.append(&header, name.chain(&[0u8][..]))?;
    Ok(&name[..NAME_BYTES_MAX])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::open_directory;

    fn archive(entries: &[(&str, EntryType, &str, &[u8])]) -> File {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        for (name, kind, link, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            // By hand: the library itself refuses the names that matter here.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(entries: &[(&str, EntryType, &str, &[u8])]) -> (tempfile::TempDir, Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        let root = open_directory(&inside).unwrap();
        let file = archive(entries);
        let result = check(&file)
            .and_then(|()| unpack(&file, &root, Links::Refuse, Path::new(""), Owners::Own));
        (folder, result)
    }

    #[test]
    fn files_folders_and_links_are_unpacked() {
        let (folder, result) = unpacked(&[
            ("./", EntryType::Directory, "", b""),
            ("./a/b", EntryType::Regular, "", b"text"),
            ("a/hard", EntryType::Link, "a/b", b""),
            ("soft", EntryType::Symlink, "a/b", b""),
            ("a/b", EntryType::Regular, "", b"newer"),
        ]);
        result.unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join("inside").join(name));
        assert_eq!(read("soft").unwrap(), "newer");
        assert_eq!(read("a/hard").unwrap(), "text");
    }

    /// Otherwise what is counted would not be what is written: a hole has no bytes in the archive,
    /// and behind a size of its own an extended header can hide another that is never counted.
    #[test]
    fn what_is_not_as_long_as_its_header_says_is_refused() {
        let (_folder, result) = unpacked(&[("hole", EntryType::GNUSparse, "", b"")]);
        assert!(result.unwrap_err().message.contains("sparse"));
        let (_folder, result) = unpacked(&[
            ("header", EntryType::XHeader, "", b"12 size=512\n"),
            ("a", EntryType::Regular, "", b""),
        ]);
        assert!(result.unwrap_err().message.contains("extended header"));
        let (_folder, result) = unpacked(&[
            ("header", EntryType::XHeader, "", b"12 mtime=1.5\n"),
            ("a", EntryType::Regular, "", b""),
        ]);
        result.unwrap();
    }

    /// Names and links of any length, also from the root on, as docker's client wants them.
    #[test]
    fn what_is_packed_is_named_as_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let long = "long".repeat(40);
        std::fs::create_dir(folder.path().join(&long)).unwrap();
        std::fs::write(folder.path().join(&long).join("file"), "text").unwrap();
        std::os::unix::fs::symlink(&long, folder.path().join("link")).unwrap();
        let root = open_directory(folder.path()).unwrap();
        let packed = |path: &str, name: &str| {
            let mut bytes = Vec::new();
            pack(&root, Path::new(path), Path::new(name), &mut bytes).unwrap();
            let mut archive = tar::Archive::new(&bytes[..]);
            let entries = archive.entries().unwrap().map(|entry| {
                let entry = entry.unwrap();
                let link = entry.link_name_bytes().unwrap_or_default();
                let texts = [entry.path_bytes(), link];
                texts.map(|it| String::from_utf8(it.into_owned()).unwrap())
            });
            let mut names: Vec<[String; 2]> = entries.collect();
            names.sort();
            names
        };
        let plain = |names: &[&str]| -> Vec<[String; 2]> {
            let pair = |name: &&str| [(*name).to_owned(), String::new()];
            names.iter().map(pair).collect()
        };
        let (inside, file) = (format!("/{long}/"), format!("/{long}/file"));
        let mut expected = plain(&["/", &inside, &file]);
        expected.insert(1, ["/link".to_owned(), long.clone()]);
        assert_eq!(packed("", "/"), expected);
        // What a link leads to, or the link.
        assert_eq!(packed("link/.", "."), plain(&["./", "./file"]));
        assert_eq!(packed("link", "link"), [["link".to_owned(), long.clone()]]);
    }

    #[test]
    fn an_end_that_is_left_out_is_borne_and_one_that_is_cut_off_is_not() {
        let whole = archive(&[("a", EntryType::Regular, "", b"text")]);
        for (bytes, fits) in [
            (512 + 4, true),
            (512 + 3, false),
            (512, false),
            (100, false),
        ] {
            whole.set_len(bytes).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let root = open_directory(folder.path()).unwrap();
            let result = check(&whole)
                .and_then(|()| unpack(&whole, &root, Links::Refuse, Path::new(""), Owners::Own));
            assert_eq!(result.is_ok(), fits, "{bytes}");
            let read = std::fs::read_to_string(folder.path().join("a"));
            assert_eq!(read.ok().as_deref(), fits.then_some("text"));
        }
    }

    #[test]
    fn nothing_leads_out() {
        for entries in [
            &[("../out", EntryType::Regular, "", &b"x"[..])][..],
            &[
                ("link", EntryType::Symlink, "..", b""),
                ("link/out", EntryType::Regular, "", b"x"),
            ],
            &[("out", EntryType::Link, "../../etc/passwd", b"")],
            &[
                ("link", EntryType::Symlink, "/etc", b""),
                ("out", EntryType::Link, "link/passwd", b""),
            ],
            &[("null", EntryType::Char, "", b"")],
        ] {
            let (folder, result) = unpacked(entries);
            let error = result.unwrap_err();
            assert_eq!(error.fault, engine::Fault::Invalid, "{}", error.chain());
            assert!(!folder.path().join("out").exists());
        }
    }
}
