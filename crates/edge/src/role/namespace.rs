//! Network namespaces of interfaces. A socket belongs to the namespace that its thread is in when
//! it is made, for as long as it lives, so a thread enters one only for the moment of making it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sched::{CloneFlags, setns};

use super::say::say;

/// Where sockets are made.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The namespace that the edge runs in.
    Host,
    Namespace(Arc<Namespace>),
    /// The interface is not attached, so nothing can be reached from it.
    Missing(Arc<str>),
}

#[derive(Debug)]
pub struct Namespace {
    /// Never used twice, unlike inode numbers.
    pub id: u64,
    device: u64,
    inode: u64,
    file: File,
}

/// Opened before any thread has gone anywhere.
static HOST: OnceLock<File> = OnceLock::new();

pub fn remember_host() -> io::Result<()> {
    let file = File::open("/proc/thread-self/ns/net")?;
    HOST.get_or_init(|| file);
    Ok(())
}

impl Namespace {
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let file = File::open(path)?;
        let found = file.metadata()?;
        Ok(Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            device: found.dev(),
            inode: found.ino(),
            file,
        }))
    }

    /// Whether the path still leads to this namespace: an interface that was detached and attached
    /// again has the same path and another namespace.
    pub fn is_still_at(&self, path: &Path) -> bool {
        std::fs::metadata(path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }
}

impl Origin {
    /// Tells origins apart as a key.
    pub fn id(&self) -> u64 {
        match self {
            Origin::Host | Origin::Missing(_) => 0,
            Origin::Namespace(namespace) => namespace.id,
        }
    }

    /// As another process can compare it: device and inode, `None` for the host.
    pub fn numbers(&self) -> Option<(u64, u64)> {
        match self {
            Origin::Host | Origin::Missing(_) => None,
            Origin::Namespace(namespace) => Some((namespace.device, namespace.inode)),
        }
    }

    /// Runs `make`, which makes a socket and does not wait, in this place.
    pub fn enter<T>(&self, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let namespace = match self {
            Origin::Host => return make(),
            Origin::Missing(interface) => {
                return Err(io::Error::new(
                    io::ErrorKind::NetworkUnreachable,
                    format!("the interface `{interface}` is not attached"),
                ));
            }
            Origin::Namespace(namespace) => namespace,
        };
        let host = HOST
            .get()
            .ok_or_else(|| io::Error::other("the host's namespace was not remembered"))?;
        setns(&namespace.file, CloneFlags::CLONE_NEWNET)?;
        let made = make();
        if let Err(error) = setns(host, CloneFlags::CLONE_NEWNET) {
            // A thread that cannot come back would answer the host's clients from a stranger's
            // network. The daemon starts a fresh edge at once.
            say(format_args!("cannot come back from a namespace: {error}"));
            std::process::abort();
        }
        made
    }
}
