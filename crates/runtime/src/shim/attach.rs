//! Those who are attached to a container: its output goes to them, and their input to it.
//!
//! Output is sent in frames: a byte for the stream (1 or 2), four for the length (big endian), and
//! the bytes. Input comes as it is, and ends when they close their direction.
//!
//! One that does not take what it is sent holds the container's output up for [`HELD_UP_MAX`] and no
//! longer; then it is cut off. Nothing here ever waits.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use engine::OutputStream;
use nix::poll::PollFlags;

use super::process::{Interest, has_hung_up};

/// Output that one may be behind with before it holds the container up, besides what the kernel
/// keeps for it.
const UNSENT_BYTES_MAX: usize = 256 * 1024;
/// How long one may hold the container up before it has taken half of what it is behind with.
const HELD_UP_MAX: Duration = Duration::from_secs(3);
/// More are refused.
pub(super) const ATTACHED_MAX: usize = 64;
/// Input that the container has not read yet.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// What is read of one's input before others get their turn.
const READ_BYTES: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct Attachments {
    all: Vec<Attachment>,
    /// Whether somebody was attached at some time.
    pub ever: bool,
}

struct Attachment {
    stream: UnixStream,
    /// Whether its input is read. Not for one that does not give any, or has ended it.
    gives_input: bool,
    unsent: VecDeque<u8>,
    full_since: Option<Instant>,
    /// There will be no more output.
    ending: bool,
    /// It takes no more output; what it has given may still be there to be read.
    deaf: bool,
    gone: bool,
}

impl Attachments {
    pub fn add(&mut self, stream: UnixStream, gives_input: bool) {
        self.ever = true;
        self.all.push(Attachment {
            stream,
            gives_input,
            unsent: VecDeque::new(),
            full_since: None,
            ending: false,
            deaf: false,
            gone: false,
        });
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether output had better wait.
    pub fn hold_up(&self) -> bool {
        self.all.iter().any(|one| one.full_since.is_some())
    }

    pub fn give(&mut self, stream: OutputStream, bytes: &[u8]) {
        for one in &mut self.all {
            one.give(stream, bytes);
        }
    }

    /// Reads input as far as the container takes it.
    pub fn take_input(&mut self, input: &mut Input) {
        for one in self.all.iter_mut().filter(|one| one.gives_input) {
            one.take_input(input);
        }
    }

    /// Sends what can be sent, and lets go of those who are gone, done, or too slow.
    pub fn flush(&mut self, now: Instant) {
        for one in &mut self.all {
            one.flush(now);
        }
        self.all.retain(|one| !one.gone);
    }

    /// The container has ended: each is let go when it has got everything.
    pub fn finish(&mut self) {
        for one in &mut self.all {
            one.ending = true;
            one.gives_input = false;
        }
        self.flush(Instant::now());
    }

    pub fn interests(&self, wants_input: bool) -> impl Iterator<Item = Interest<'_>> {
        // One whose input has to wait is not looked at: that it has left is no news until then.
        let ripe =
            move |one: &&Attachment| wants_input || !one.gives_input || !one.unsent.is_empty();
        self.all.iter().filter(ripe).map(move |one| {
            let mut events = PollFlags::empty();
            if one.gives_input && wants_input {
                events |= PollFlags::POLLIN;
            }
            if !one.unsent.is_empty() {
                events |= PollFlags::POLLOUT;
            }
            (one.stream.as_fd(), events)
        })
    }

    pub fn next_turn(&self) -> Option<Instant> {
        let full = self.all.iter().filter_map(|one| one.full_since);
        full.map(|since| since + HELD_UP_MAX).min()
    }
}

impl Attachment {
    fn give(&mut self, stream: OutputStream, bytes: &[u8]) {
        if self.deaf {
            return;
        }
        let stream = match stream {
            OutputStream::Stdout => 1,
            OutputStream::Stderr => 2,
        };
        let length = u32::try_from(bytes.len()).expect("a read is shorter");
        self.unsent.push_back(stream);
        self.unsent.extend(length.to_be_bytes());
        self.unsent.extend(bytes);
        self.send();
        if self.unsent.len() > UNSENT_BYTES_MAX {
            self.full_since.get_or_insert_with(Instant::now);
        }
    }

    fn flush(&mut self, now: Instant) {
        self.send();
        if self.unsent.len() <= UNSENT_BYTES_MAX / 2 {
            self.full_since = None;
        }
        let late = |since: Instant| now >= since + HELD_UP_MAX;
        let done = self.ending && self.unsent.is_empty();
        let left = !self.gives_input && (self.deaf || has_hung_up(self.stream.as_fd()));
        self.gone |= done || left || self.full_since.is_some_and(late);
    }

    fn send(&mut self) {
        while !self.unsent.is_empty() {
            let (first, _) = self.unsent.as_slices();
            match self.stream.write(first) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.deaf = true;
                    self.unsent.clear();
                }
            }
        }
        // What a burst needed is given back.
        self.unsent.shrink_to(0);
    }

    fn take_input(&mut self, input: &mut Input) {
        let mut bytes = [0; READ_BYTES];
        if !input.wants_more() {
            return;
        }
        match self.stream.read(&mut bytes) {
            Ok(0) => {
                self.gives_input = false;
                input.end();
            }
            Ok(count) => input.push(&bytes[..count]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => {
                self.gives_input = false;
                self.deaf = true;
                input.end();
            }
        }
    }
}

/// The way into a container.
pub(super) struct Input {
    /// A pipe, or the terminal. None when it has ended, or the container has closed it.
    to: Option<File>,
    unread: VecDeque<u8>,
    /// Whether it ends with that of one who is attached.
    once: bool,
    ending: bool,
}

impl Input {
    /// Into a file that does not wait.
    pub fn new(to: File, once: bool) -> Self {
        Self {
            to: Some(to),
            unread: VecDeque::new(),
            once,
            ending: false,
        }
    }

    /// What nobody will read is taken as well, and thrown away.
    pub fn wants_more(&self) -> bool {
        self.unread.len() < INPUT_BYTES_MAX
    }

    pub fn interest(&self) -> Option<Interest<'_>> {
        let to: Option<BorrowedFd<'_>> = self.to.as_ref().map(|to| to.as_fd());
        to.filter(|_| !self.unread.is_empty())
            .map(|to| (to, PollFlags::POLLOUT))
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.to.is_some() && !self.ending {
            self.unread.extend(bytes);
            self.flush();
        }
    }

    fn end(&mut self) {
        self.ending |= self.once;
        self.flush();
    }

    /// Passes on what the container takes.
    pub fn flush(&mut self) {
        while let Some(to) = &mut self.to
            && !self.unread.is_empty()
        {
            let (first, _) = self.unread.as_slices();
            match to.write(first) {
                Ok(count) => drop(self.unread.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.to = None;
                    self.unread.clear();
                }
            }
        }
        if self.ending {
            self.to = None;
        }
    }
}
