//! A container's output on its way into the log, and to those who are attached: lines out of a pipe
//! or a terminal, into a file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use engine::{LOG_STREAM_BYTES_MAX, OutputStream, check_room, format_log_line, output_tag};
use nix::errno::Errno;

use super::attach::Attachments;
use super::process::set_nonblocking;
use crate::error::{Context, Result};
use crate::time::now_ms;

/// A longer line is cut into events of this size: CloudWatch's limit for one event.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// What is read at once: the default size of a pipe.
const READ_BYTES: usize = 64 * 1024;
/// Reads of one pipe before others get their turn.
const READS_IN_A_ROW: usize = 4;

/// Where output goes.
pub(super) struct Sink<'a> {
    pub log: &'a mut LogFile,
    pub attached: &'a mut Attachments,
}

/// One output stream of a container.
pub(super) struct LogPipe {
    pipe: File,
    stream: OutputStream,
    line: Vec<u8>,
    pub ended: bool,
}

impl LogPipe {
    /// Both ends of a new pipe: one to read here, one for the container.
    pub fn new(stream: OutputStream) -> Result<(Self, OwnedFd)> {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
            .context(|| "could not make a pipe".to_owned())?;
        set_nonblocking(&read)?;
        Ok((Self::reading(File::from(read), stream), write))
    }

    /// What comes out of this file, which does not wait.
    pub fn reading(pipe: File, stream: OutputStream) -> Self {
        Self {
            pipe,
            stream,
            line: Vec::new(),
            ended: false,
        }
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Copies what is there, as long as those who are attached can take it.
    pub fn copy_some(&mut self, to: &mut Sink<'_>) {
        for _ in 0..READS_IN_A_ROW {
            if to.attached.hold_up() || !self.copy_once(to) {
                return;
            }
        }
    }

    /// Copies all that is left. Called when no process is left that could write more.
    pub fn copy_rest(&mut self, to: &mut Sink<'_>) {
        while self.copy_once(to) {}
        self.end(to.log);
    }

    /// Whether there may be more.
    fn copy_once(&mut self, to: &mut Sink<'_>) -> bool {
        if self.ended {
            return false;
        }
        let mut bytes = vec![0; READ_BYTES];
        match self.pipe.read(&mut bytes) {
            Ok(0) => {
                self.end(to.log);
                false
            }
            Ok(count) => {
                to.attached.give(self.stream, &bytes[..count]);
                self.take(&bytes[..count], to.log);
                true
            }
            // How a terminal says that nobody is left at its other side.
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => {
                self.end(to.log);
                false
            }
            Err(error) => error.kind() == ErrorKind::Interrupted,
        }
    }

    fn take(&mut self, mut bytes: &[u8], log: &mut LogFile) {
        if log.is_none() {
            return;
        }
        let now = now_ms();
        let mut events = String::new();
        while !bytes.is_empty() {
            let space = LINE_BYTES_MAX - self.line.len();
            let end = bytes.iter().take(space).position(|byte| *byte == b'\n');
            let (part, rest) = match end {
                Some(end) => (&bytes[..end], &bytes[end + 1..]),
                None => bytes.split_at(space.min(bytes.len())),
            };
            self.line.extend_from_slice(part);
            bytes = rest;
            if end.is_some() || self.line.len() == LINE_BYTES_MAX {
                self.finish_line(now, end.is_some(), log, &mut events);
            }
        }
        log.append(&events);
    }

    fn finish_line(&mut self, now: i64, ends_line: bool, log: &LogFile, events: &mut String) {
        let message = if log.tagged {
            let mut message = String::from(output_tag(self.stream, ends_line));
            message.push_str(&String::from_utf8_lossy(&self.line));
            message
        } else {
            let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
            String::from_utf8_lossy(line).into_owned()
        };
        events.push_str(&format_log_line(now, now, &hide(message, &log.hides)));
        self.line.clear();
        // A long line must not keep its memory for good.
        self.line.shrink_to(READ_BYTES);
    }

    fn end(&mut self, log: &mut LogFile) {
        self.ended = true;
        if !self.line.is_empty() {
            let mut events = String::new();
            self.finish_line(now_ms(), false, log, &mut events);
            log.append(&events);
        }
    }
}

/// A message without what it must not show.
fn hide(mut message: String, hides: &[String]) -> String {
    for secret in hides {
        if message.contains(secret.as_str()) {
            message = message.replace(secret.as_str(), "***");
        }
    }
    message
}

/// The file that events are appended to. What cannot be written (the disk is full) is dropped: a
/// container never waits for its log.
pub(super) struct LogFile {
    path: Option<PathBuf>,
    file: Option<File>,
    /// See [`engine::ContainerSpec::log_tags`].
    tagged: bool,
    /// See [`engine::ContainerSpec::log_hides`].
    pub hides: Vec<String>,
    /// The last write stopped in the middle of a line.
    torn: bool,
    dropped_bytes: u64,
}

impl LogFile {
    pub fn open(path: Option<PathBuf>, tagged: bool) -> Result<Self> {
        let file = path.as_ref().map(|path| {
            open(path).context(|| format!("could not open the log `{}`", path.display()))
        });
        Ok(Self {
            path,
            file: file.transpose()?,
            tagged,
            hides: Vec::new(),
            torn: false,
            dropped_bytes: 0,
        })
    }

    fn is_none(&self) -> bool {
        self.file.is_none()
    }

    fn append(&mut self, events: &str) {
        self.reopen_if_replaced();
        if events.is_empty() || self.file.is_none() {
            return;
        }
        let mut text = String::new();
        if self.torn {
            text.push('\n');
        }
        if self.dropped_bytes > 0 {
            let now = now_ms();
            let notice = format!(
                "[{} bytes of output could not be written]",
                self.dropped_bytes
            );
            let notice = if self.tagged {
                format!("{}{notice}", output_tag(OutputStream::Stderr, true))
            } else {
                notice
            };
            text.push_str(&format_log_line(now, now, &notice));
        }
        text.push_str(events);
        if !self.has_room() {
            self.dropped_bytes += events.len() as u64;
            return;
        }
        let Some(file) = &mut self.file else {
            return;
        };
        // One write, so that lines of two streams never mix.
        match file.write(text.as_bytes()) {
            Ok(count) if count == text.len() => {
                self.torn = false;
                self.dropped_bytes = 0;
            }
            Ok(count) => {
                self.torn = true;
                self.dropped_bytes = (text.len() - count) as u64;
            }
            Err(_) => self.dropped_bytes += events.len() as u64,
        }
    }

    /// Whether the stream may grow, and the machine's disk has something left to give.
    fn has_room(&self) -> bool {
        let metadata = self.file.as_ref().and_then(|file| file.metadata().ok());
        let grown = metadata.is_some_and(|it| it.blocks() * 512 > LOG_STREAM_BYTES_MAX);
        let directory = self.path.as_ref().and_then(|path| path.parent());
        !grown && directory.is_none_or(|it| check_room(it, "a log").is_ok())
    }

    /// The log's owner may have replaced the file by a shorter one, or deleted it.
    fn reopen_if_replaced(&mut self) {
        let unlinked = |file: &File| file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        if let (Some(path), Some(file)) = (&self.path, &self.file)
            && unlinked(file)
            && let Ok(file) = OpenOptions::new().append(true).open(path)
        {
            self.file = Some(file);
        }
    }
}

fn open(path: &PathBuf) -> std::io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}
