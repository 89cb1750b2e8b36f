//! What `libcontainer` says about a failure before it reduces it to "failed syscall".
//!
//! It logs the cause inside the process that is to become the container, where nobody would see it.
//! So its error events are sent through the pipe that also says whether the program was executed,
//! each on a line that starts with [`MARK`].
#![allow(unsafe_code)]

use std::fmt::{Debug, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// Before a complaint; nothing else that goes through the pipe starts with it.
const MARK: char = '\u{1}';
const NOWHERE: RawFd = -1;

static PIPE: AtomicI32 = AtomicI32::new(NOWHERE);

/// While it is there, complaints of this process and of those it forks go to the pipe.
pub(super) struct Listening;

impl Listening {
    pub fn to(pipe: &OwnedFd) -> Self {
        static ONCE: Once = Once::new();
        // Only in the shim and its helpers, which log nothing themselves.
        ONCE.call_once(|| {
            let _ = tracing::subscriber::set_global_default(Complaints);
        });
        PIPE.store(pipe.as_raw_fd(), Ordering::Relaxed);
        Self
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        PIPE.store(NOWHERE, Ordering::Relaxed);
    }
}

/// What came through the pipe: the message of whoever executes the program, and the first complaint.
pub(super) fn split(text: &str) -> (String, Option<&str>) {
    let message = text
        .lines()
        .filter(|line| !line.starts_with(MARK))
        .collect::<Vec<_>>()
        .join("\n");
    (
        message,
        text.lines().find_map(|line| line.strip_prefix(MARK)),
    )
}

struct Complaints;

impl Subscriber for Complaints {
    /// Asked for each line anew, in forks too, and not once for all.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        super::forked::notice();
        *metadata.level() == Level::ERROR
    }
    fn event(&self, event: &Event<'_>) {
        let pipe = PIPE.load(Ordering::Relaxed);
        if pipe == NOWHERE {
            return;
        }
        let mut line = Line(String::from(MARK));
        event.record(&mut line);
        let line = line.0.replace('\n', " ") + "\n";
        // SAFETY: the descriptor is open as long as `Listening` is there, and in forked processes
        // until they execute a program.
        let _ = nix::unistd::write(unsafe { BorrowedFd::borrow_raw(pipe) }, line.as_bytes());
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, ", {name}: {value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn complaints_are_told_from_messages() {
        assert_eq!(split(""), (String::new(), None));
        let (message, complaint) = split("\u{1}first, err: EPERM\n\u{1}second\nno such file");
        assert_eq!(message, "no such file");
        assert_eq!(complaint, Some("first, err: EPERM"));
    }
}
