//! Reads a tar entry by entry, with every length bounded before memory is taken for it.
//!
//! The `tar` crate parses the single header; the walk from header to header is done here, because
//! long names and attributes are to be bounded and attribute values may hold any byte.

use std::io::{self, Read};

use engine::{EngineError, Result};
use tar::Header;

use super::read_failed;
use crate::limits::TAR_EXTENSION_BYTES_MAX;

const BLOCK: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    Device,
}

/// Ownership, mode, time and extended attributes.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime_s: i64,
    pub mtime_ns: u32,
    pub xattrs: Vec<(String, Vec<u8>)>,
}

#[derive(Debug)]
pub struct Entry {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: Kind,
    pub attributes: Attributes,
}

/// Reading from it gives the content of the entry that came last.
pub struct TarReader<R> {
    inner: R,
    path_bytes_max: usize,
    content: u64,
    padding: u64,
}

/// What extension headers said about the entry that follows.
#[derive(Debug, Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(String, Vec<u8>)>,
}

fn bad(why: impl std::fmt::Display) -> EngineError {
    EngineError::invalid(format!("the layer is not a valid tar: {why}"))
}

impl<R: Read> TarReader<R> {
    pub fn new(inner: R, path_bytes_max: usize) -> Self {
        Self {
            inner,
            path_bytes_max,
            content: 0,
            padding: 0,
        }
    }

    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extension = Extension::default();
        loop {
            self.skip_content()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let size = field(&header, 124..136, Header::entry_size)?;
            match header.entry_type().as_byte() {
                b'L' => extension.path = Some(until_zero(self.extension(size)?)),
                b'K' => extension.link = Some(until_zero(self.extension(size)?)),
                b'x' => extension.read(&self.extension(size)?)?,
                // Defaults for all that follows: a comment in practice.
                b'g' => drop(self.extension(size)?),
                _ => return self.entry(&header, extension).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Header, extension: Extension) -> Result<Entry> {
        let path = extension
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extension
            .link
            .or_else(|| header.link_name_bytes().map(|link| link.into_owned()))
            .unwrap_or_default();
        if path.len().max(link.len()) > self.path_bytes_max {
            return Err(bad(format!(
                "a path has more than {} bytes",
                self.path_bytes_max
            )));
        }
        let shown = String::from_utf8_lossy(&path).into_owned();
        let kind = match header.entry_type().as_byte() {
            // Tars from before directories had a type of their own.
            b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
            b'0' | b'7' | 0 => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'S' => return Err(bad(format!("`{shown}` is sparse, which is not supported"))),
            other => return Err(bad(format!("`{shown}` is of unknown type {other:#04x}"))),
        };
        if kind == Kind::File {
            let size = match extension.size {
                Some(size) => size,
                None => field(header, 124..136, Header::entry_size)?,
            };
            self.expect_content(size);
        }
        let id = |id: u64| {
            u32::try_from(id)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| bad(format!("`{shown}` belongs to the impossible id {id}")))
        };
        let uid = extension
            .uid
            .map_or_else(|| field(header, 108..116, Header::uid), Ok)?;
        let gid = extension
            .gid
            .map_or_else(|| field(header, 116..124, Header::gid), Ok)?;
        let mtime_s = || i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0);
        let (mtime_s, mtime_ns) = extension.mtime.unwrap_or_else(|| (mtime_s(), 0));
        Ok(Entry {
            kind,
            attributes: Attributes {
                mode: field(header, 100..108, Header::mode)? & 0o7777,
                uid: id(uid)?,
                gid: id(gid)?,
                mtime_s,
                mtime_ns,
                xattrs: extension.xattrs,
            },
            path,
            link,
        })
    }

    /// The next header; None at the end, which is a block of zeros or simply no more bytes.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]).map_err(read_failed)? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(bad("it ends within a header")),
                count => filled += count,
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let checksum_bytes = 148..156;
        let sum: u32 = (0..BLOCK)
            .map(|at| {
                if checksum_bytes.contains(&at) {
                    u32::from(b' ')
                } else {
                    u32::from(block[at])
                }
            })
            .sum();
        if header.cksum().map_err(bad)? != sum {
            return Err(bad("a header's checksum is wrong"));
        }
        Ok(Some(header))
    }

    fn expect_content(&mut self, size: u64) {
        self.content = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > TAR_EXTENSION_BYTES_MAX {
            return Err(bad(format!(
                "an extension header has more than {TAR_EXTENSION_BYTES_MAX} bytes"
            )));
        }
        self.expect_content(size);
        let mut bytes = Vec::with_capacity(size as usize);
        self.read_to_end(&mut bytes).map_err(read_failed)?;
        Ok(bytes)
    }

    fn skip_content(&mut self) -> Result<()> {
        io::copy(self, &mut io::sink()).map_err(read_failed)?;
        let mut padding = self.inner.by_ref().take(self.padding);
        io::copy(&mut padding, &mut io::sink()).map_err(read_failed)?;
        self.padding = 0;
        Ok(())
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer
            .len()
            .min(usize::try_from(self.content).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::Error::other(bad("it ends within a file")));
        }
        self.content -= count as u64;
        Ok(count)
    }
}

/// A number of the header. Some writers leave fields empty that they do not care for.
fn field<T: Default>(
    header: &Header,
    at: std::ops::Range<usize>,
    parse: impl FnOnce(&Header) -> io::Result<T>,
) -> Result<T> {
    if header.as_bytes()[at].iter().all(|b| matches!(b, 0 | b' ')) {
        return Ok(T::default());
    }
    parse(header).map_err(bad)
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}

impl Extension {
    /// Records of the form `<length> <key>=<value>\n`, where the length counts the whole record.
    fn read(&mut self, mut bytes: &[u8]) -> Result<()> {
        let damaged = || bad("an extension record is malformed");
        while !bytes.is_empty() {
            let space = bytes.iter().position(|b| *b == b' ').ok_or_else(damaged)?;
            let length: usize = text(&bytes[..space])?.parse().map_err(|_| damaged())?;
            let record = bytes.get(space + 1..length).ok_or_else(damaged)?;
            bytes = &bytes[length..];
            let record = record.strip_suffix(b"\n").ok_or_else(damaged)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(damaged)?;
            self.record(text(&record[..equals])?, &record[equals + 1..])?;
        }
        Ok(())
    }

    fn record(&mut self, key: &str, value: &[u8]) -> Result<()> {
        let number = || {
            let number = text(value)?.parse::<u64>();
            number.map_err(|_| bad(format!("`{key}` is not a number")))
        };
        match key {
            "path" => self.path = Some(value.to_vec()),
            "linkpath" => self.link = Some(value.to_vec()),
            "size" => self.size = Some(number()?),
            "uid" => self.uid = Some(number()?),
            "gid" => self.gid = Some(number()?),
            "mtime" => self.mtime = Some(time(text(value)?)?),
            _ if key.starts_with("GNU.sparse.") => {
                return Err(bad("it holds a sparse file, which is not supported"));
            }
            _ => {
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    self.xattrs.push((name.to_owned(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| bad("an extension record is not text"))
}

/// `seconds` or `seconds.fraction`, possibly before 1970.
fn time(text: &str) -> Result<(i64, u32)> {
    let damaged = || bad(format!("`{text}` is not a time"));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().map_err(|_| damaged())?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(damaged());
    }
    let nanoseconds = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = nanoseconds.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    match (text.starts_with('-'), nanoseconds) {
        (true, 1..) => Ok((seconds.saturating_sub(1), 1_000_000_000 - nanoseconds)),
        _ => Ok((seconds, nanoseconds)),
    }
}
