//! Tells subscribers which groups got new events, by asking the kernel to say when files change.
//! The files are written by other processes, so there is nobody else to ask. A thread watches while
//! someone listens.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::Changes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::sync::broadcast;

use crate::store::group_name;

/// Changes that wait for a slow receiver; one that lags looks at everything.
const CHANGES_WAITING: usize = 1024;
/// How often the thread looks whether anyone still listens.
const LISTENERS_CHECK_MS: u16 = 1000;
/// After a change, others that come right after are told together.
const GATHER: Duration = Duration::from_millis(20);

pub struct Watch {
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

struct State {
    sender: broadcast::Sender<String>,
    running: bool,
}

impl Watch {
    pub fn new(root: PathBuf) -> Self {
        let (sender, _) = broadcast::channel(CHANGES_WAITING);
        let running = false;
        Self {
            root,
            state: Arc::new(Mutex::new(State { sender, running })),
        }
    }

    pub fn subscribe(&self) -> Changes {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = state.sender.subscribe();
        if !state.running {
            state.running = true;
            // Watched from here on, so that nothing is missed after this returns.
            let watcher = Watcher::new(&self.root);
            let (shared, sender) = (self.state.clone(), state.sender.clone());
            let started = std::thread::Builder::new()
                .name("log-watch".to_owned())
                .spawn(move || watcher.run(&sender, &shared));
            if let Err(error) = started {
                state.running = false;
                tracing::error!("cannot watch log files: {error}");
            }
        }
        receiver
    }
}

struct Watcher {
    root: PathBuf,
    inotify: Result<Inotify, Errno>,
    groups: HashMap<WatchDescriptor, String>,
    root_watch: Option<WatchDescriptor>,
}

impl Watcher {
    fn new(root: &Path) -> Self {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let mut watcher = Self {
            root: root.to_owned(),
            inotify: Inotify::init(flags),
            groups: HashMap::new(),
            root_watch: None,
        };
        match &watcher.inotify {
            Ok(inotify) => {
                let made = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
                watcher.root_watch = inotify.add_watch(root, made).ok();
                watcher.watch_groups();
            }
            Err(error) => {
                tracing::warn!("cannot watch log files, looking every second instead: {error}");
            }
        }
        watcher
    }

    /// Watches every group's directory and returns those that were not watched before.
    fn watch_groups(&mut self) -> BTreeSet<String> {
        let mut added = BTreeSet::new();
        let Ok(inotify) = &self.inotify else {
            return self.all_groups();
        };
        for directory in directories(&self.root) {
            let changed =
                AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR;
            let watch = inotify.add_watch(&directory, changed);
            if let (Ok(watch), Some(name)) = (watch, group_name(&directory))
                && self.groups.insert(watch, name.clone()).is_none()
            {
                added.insert(name);
            }
        }
        added
    }

    fn all_groups(&self) -> BTreeSet<String> {
        let directories = directories(&self.root).into_iter();
        directories.filter_map(|d| group_name(&d)).collect()
    }

    fn run(mut self, sender: &broadcast::Sender<String>, state: &Mutex<State>) {
        loop {
            self.wait();
            std::thread::sleep(GATHER);
            for group in self.changed() {
                // No receiver is no error; the look below ends the thread.
                let _ = sender.send(group);
            }
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if sender.receiver_count() == 0 {
                state.running = false;
                return;
            }
        }
    }

    fn wait(&self) {
        match &self.inotify {
            Ok(inotify) => {
                let mut files = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
                // Interrupted or timed out: the look that follows finds nothing.
                let _ = poll(&mut files, PollTimeout::from(LISTENERS_CHECK_MS));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(LISTENERS_CHECK_MS.into())),
        }
    }

    fn changed(&mut self) -> BTreeSet<String> {
        let Ok(inotify) = &self.inotify else {
            return self.all_groups();
        };
        let mut changed = BTreeSet::new();
        let mut look_for_groups = false;
        while let Ok(events) = inotify.read_events() {
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    changed.extend(self.groups.values().cloned());
                    look_for_groups = true;
                } else if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    self.groups.remove(&event.wd);
                } else if Some(event.wd) == self.root_watch {
                    look_for_groups = true;
                } else {
                    changed.extend(self.groups.get(&event.wd).cloned());
                }
            }
        }
        if look_for_groups {
            changed.extend(self.watch_groups());
        }
        changed
    }
}

fn directories(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.is_dir()).collect()
}
