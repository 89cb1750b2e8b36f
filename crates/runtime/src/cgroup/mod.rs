//! A task's control groups: limits for the whole task, with a child for each container.
//!
//! Hosts come in two forms. On cgroup v2 there is one tree. On cgroup v1 (and on "hybrid" hosts,
//! whose v2 tree has no controllers) every controller has a tree of its own, and a task has a
//! directory in each. The children are made by `libcontainer`; this module makes, reads, empties
//! and removes the task's part.

mod hierarchy;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use engine::{LimitChange, TaskUsage};

use crate::error::{Context, Failure, Result};
use crate::time::now_ms;
pub(crate) use hierarchy::{CGROUP_ROOT, Hierarchy};

/// The kernel's customary accounting period for CPU quotas, in microseconds.
pub(crate) const CPU_PERIOD_US: u64 = 100_000;
/// 1024 CPU units are one core.
const CPU_UNITS_PER_CORE: u64 = 1024;
/// The kernel refuses quotas below this, in microseconds.
const CPU_QUOTA_US_MIN: u64 = 1_000;
/// What cgroup v1 says where there is no limit is about the largest number there is.
const NO_LIMIT_BYTES: u64 = 1 << 62;
/// How long processes may take to vanish after SIGKILL. One that takes longer hangs in the kernel.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// How long processes may take to be held: one that waits for a disk is held when it has got it.
const FREEZE_WAIT: Duration = Duration::from_secs(2);
/// The kernel's range of CPU shares.
const SHARES_MIN: u32 = 2;
const SHARES_MAX: u32 = 262_144;

/// How often a group is made that is found without the one above it: more than daemons end at once.
const MAKE_ATTEMPTS: u32 = 16;

#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub cpu_units: Option<u32>,
    pub memory_mib: Option<u32>,
    pub pids_max: Option<u32>,
}

/// The control groups of one task, whether they exist or not.
#[derive(Debug, Clone)]
pub(crate) struct TaskCgroup {
    hierarchy: Hierarchy,
    /// Relative to every tree's root.
    path: PathBuf,
}

impl TaskCgroup {
    pub fn new(path: &Path) -> Result<Self> {
        Ok(Self {
            hierarchy: Hierarchy::detect()?,
            path: path.to_owned(),
        })
    }

    /// Makes the task's group in every tree and sets its limits.
    pub fn create(&self, limits: &Limits) -> Result<()> {
        for root in self.hierarchy.roots() {
            let directory = root.join(&self.path);
            make_tree(&directory)
                .context(|| format!("could not make the cgroup `{}`", directory.display()))?;
        }
        if let Hierarchy::Unified { root } = &self.hierarchy {
            enable_controllers(root, &self.path)?;
        }
        if let Some(mib) = limits.memory_mib {
            let bytes = u64::from(mib) * 1024 * 1024;
            let file = self.pick("memory.limit_in_bytes", "memory.max");
            self.write("memory", file, &bytes.to_string())?;
        }
        if let Some(units) = limits.cpu_units {
            self.limit_cpu(units)?;
        }
        if let Some(pids) = limits.pids_max {
            self.write("pids", "pids.max", &pids.to_string())?;
        }
        Ok(())
    }

    /// Makes a container's group in every tree, unless it is there. Returns its path, relative to each.
    pub fn make_child(&self, container: &str) -> Result<PathBuf> {
        let path = self.path.join(container);
        for root in self.hierarchy.roots() {
            let directory = root.join(&path);
            make_tree(&directory)
                .context(|| format!("could not make the cgroup `{}`", directory.display()))?;
        }
        Ok(path)
    }

    fn limit_cpu(&self, units: u32) -> Result<()> {
        let quota = cpu_quota_us(units);
        match &self.hierarchy {
            Hierarchy::Unified { .. } => {
                self.write("cpu", "cpu.max", &format!("{quota} {CPU_PERIOD_US}"))
            }
            Hierarchy::Split { .. } => {
                self.write("cpu", "cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
                self.write("cpu", "cpu.cfs_quota_us", &quota.to_string())
            }
        }
    }

    /// Holds all processes in it, or lets them go on. Returns when they are held.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let word = match (&self.hierarchy, frozen) {
            (Hierarchy::Split { .. }, true) => "FROZEN",
            (Hierarchy::Split { .. }, false) => "THAWED",
            (Hierarchy::Unified { .. }, true) => "1",
            (Hierarchy::Unified { .. }, false) => "0",
        };
        let file = self.pick("freezer.state", "cgroup.freeze");
        self.write("freezer", file, word)?;
        let deadline = Instant::now() + FREEZE_WAIT;
        while frozen && !self.is_frozen() {
            if Instant::now() > deadline {
                self.freeze(false)?;
                return Err(Failure(
                    "its processes cannot be held: try again".to_owned(),
                ));
            }
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        let Some(root) = self.hierarchy.root_of("freezer") else {
            return false;
        };
        let file = self.pick("freezer.state", "cgroup.events");
        let text = fs::read_to_string(root.join(&self.path).join(file)).unwrap_or_default();
        match self.hierarchy {
            Hierarchy::Split { .. } => text.trim() == "FROZEN",
            Hierarchy::Unified { .. } => number_after(&text, "frozen ") == Some(1),
        }
    }

    /// Changes what a task is limited to, and its container as well, so that its programs see it.
    pub fn change(&self, change: &LimitChange) -> Result<()> {
        if let Some(units) = change.cpu_units {
            self.limit_cpu(units)?;
        }
        Ok(())
    }

    /// Changes how many processes a task may have.
    pub fn change_pids(&self, change: &LimitChange) -> Result<()> {
        match change.pids_max {
            Some(pids) => self.write("pids", "pids.max", &pids.to_string()),
            None => Ok(()),
        }
    }

    /// Changes what a container is limited to, whose group this is.
    pub fn change_container(&self, change: &LimitChange) -> Result<()> {
        self.change(change)?;
        if let Some(shares) = change.cpu_shares {
            let shares = u64::from(shares.clamp(SHARES_MIN, SHARES_MAX));
            // As container runtimes translate them: the ends of one range are those of the other.
            let weight = 1 + (shares - 2) * 9_999 / 262_142;
            let value = self.pick_number(shares, weight);
            self.write("cpu", self.pick("cpu.shares", "cpu.weight"), &value)?;
        }
        if let Some(bytes) = change.memory_bytes {
            let file = self.pick("memory.limit_in_bytes", "memory.max");
            self.write("memory", file, &bytes.to_string())?;
        }
        if let Some(bytes) = change.memory_reservation_bytes {
            let file = self.pick("memory.soft_limit_in_bytes", "memory.low");
            self.write("memory", file, &bytes.to_string())?;
        }
        if let Some(cpuset) = &change.cpuset {
            self.write("cpuset", "cpuset.cpus", cpuset)?;
        }
        Ok(())
    }

    fn pick_number(&self, split: u64, unified: u64) -> String {
        match self.hierarchy {
            Hierarchy::Unified { .. } => unified.to_string(),
            Hierarchy::Split { .. } => split.to_string(),
        }
    }

    /// How many processes of a container were killed because memory ran out.
    pub fn oom_kills(&self, container: &str) -> u64 {
        let file = self.pick("memory.oom_control", "memory.events");
        let Some(root) = self.hierarchy.root_of("memory") else {
            return 0;
        };
        let text = fs::read_to_string(root.join(&self.path).join(container).join(file));
        text.ok()
            .and_then(|text| number_after(&text, "oom_kill "))
            .unwrap_or(0)
    }

    /// None when the task has no group any more.
    pub fn usage(&self) -> Option<TaskUsage> {
        let directory = |controller| Some(self.hierarchy.root_of(controller)?.join(&self.path));
        let read =
            |controller, file: &str| fs::read_to_string(directory(controller)?.join(file)).ok();
        let cpu_ns = match &self.hierarchy {
            Hierarchy::Unified { .. } => {
                number_after(&read("cpu", "cpu.stat")?, "usage_usec ")? * 1000
            }
            Hierarchy::Split { .. } => read("cpuacct", "cpuacct.usage")?.trim().parse().ok()?,
        };
        let used = self.pick("memory.usage_in_bytes", "memory.current");
        let used: u64 = read("memory", used)?.trim().parse().ok()?;
        // Cached file pages that nobody uses can be had back at any time, so they are not counted.
        let stat = read("memory", "memory.stat")?;
        let idle = self.pick("total_inactive_file ", "inactive_file ");
        let idle = number_after(&stat, idle).unwrap_or(0);
        let limit = read("memory", self.pick("memory.limit_in_bytes", "memory.max"));
        let limit = limit.and_then(|text| text.trim().parse().ok());
        let processes = read("pids", "pids.current").and_then(|text| text.trim().parse().ok());
        let (read_bytes, written_bytes) = self.disk_bytes();
        Some(TaskUsage {
            cpu_ns,
            memory_bytes: used.saturating_sub(idle),
            cache_bytes: number_after(&stat, self.pick("total_cache ", "file ")).unwrap_or(0),
            memory_max_bytes: limit.filter(|bytes| *bytes < NO_LIMIT_BYTES),
            processes: processes.unwrap_or(0),
            read_bytes,
            written_bytes,
            ..TaskUsage::default()
        })
    }

    /// Read from and written to all disks. Zero where the kernel does not count.
    fn disk_bytes(&self) -> (u64, u64) {
        let (controller, file) = match self.hierarchy {
            Hierarchy::Unified { .. } => ("io", "io.stat"),
            Hierarchy::Split { .. } => ("blkio", "blkio.throttle.io_service_bytes_recursive"),
        };
        let root = self.hierarchy.root_of(controller);
        let text = root.and_then(|root| fs::read_to_string(root.join(&self.path).join(file)).ok());
        disk_bytes(&text.unwrap_or_default())
    }

    /// Kills whatever still runs in the task and removes its groups. Nothing to do is a success.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + KILL_WAIT;
        loop {
            let left: Vec<PathBuf> = self
                .hierarchy
                .roots()
                .map(|root| root.join(&self.path))
                .filter(|directory| !remove_tree(directory))
                .collect();
            let Some(first) = left.first() else {
                return Ok(());
            };
            if Instant::now() > deadline {
                return Err(Failure(format!(
                    "could not remove the cgroup `{}`: its processes do not end",
                    first.display()
                )));
            }
            left.iter().for_each(|directory| kill_tree(directory));
            sleep(Duration::from_millis(1));
        }
    }

    fn pick<'a>(&self, split: &'a str, unified: &'a str) -> &'a str {
        match self.hierarchy {
            Hierarchy::Unified { .. } => unified,
            Hierarchy::Split { .. } => split,
        }
    }

    fn write(&self, controller: &str, file: &str, value: &str) -> Result<()> {
        let root = self.hierarchy.root_of(controller).ok_or_else(|| {
            Failure(format!(
                "this machine has no `{controller}` cgroup controller"
            ))
        })?;
        let path = root.join(&self.path).join(file);
        fs::write(&path, value).context(|| format!("could not set `{}` to {value}", path.display()))
    }
}

/// How long so many CPU units may run in each period.
pub(crate) fn cpu_quota_us(units: u32) -> u64 {
    (u64::from(units) * CPU_PERIOD_US / CPU_UNITS_PER_CORE).max(CPU_QUOTA_US_MIN)
}

/// Makes a group and those above it. A daemon that ends may remove the shared one between the two,
/// because it is empty still (see [`remove_shared_parent`]); each does so once or twice.
fn make_tree(directory: &Path) -> std::io::Result<()> {
    for _ in 1..MAKE_ATTEMPTS {
        match fs::create_dir_all(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => return done,
        }
    }
    fs::create_dir_all(directory)
}

/// Removes a group that all tasks of a daemon share, when it is empty.
pub(crate) fn remove_shared_parent(path: &Path) {
    if let Ok(hierarchy) = Hierarchy::detect() {
        for root in hierarchy.roots() {
            // Not being empty is the expected failure: tasks outlive the daemon.
            let _ = fs::remove_dir(root.join(path));
        }
    }
}

/// How long moves are kept fast after [`warm_up`]: as long as a shim may take to get to its own.
const WARM_MS: i64 = 40;
/// Between two moves that keep it so: less than the kernel takes to go back.
const WARM_AGAIN: Duration = Duration::from_millis(3);

/// Makes the next moves of processes between groups fast, by making some that move nothing.
///
/// The kernel guards moves by a lock whose first holder waits until every core has passed a point of
/// rest (about 10 ms), while those that follow shortly do not. Done when a task is asked for, that
/// wait passes while its shim starts. Blocks for [`WARM_MS`], unless another thread is at it.
pub(crate) fn warm_up() {
    static UNTIL_MS: AtomicI64 = AtomicI64::new(0);
    static BUSY: AtomicBool = AtomicBool::new(false);
    UNTIL_MS.store(now_ms() + WARM_MS, Ordering::Relaxed);
    if BUSY.swap(true, Ordering::Acquire) {
        return;
    }
    if let Some(path) = own_processes() {
        // It is only about time: whatever fails, fails again where it matters.
        while fs::write(&path, "0").is_ok() && now_ms() < UNTIL_MS.load(Ordering::Relaxed) {
            sleep(WARM_AGAIN);
        }
    }
    BUSY.store(false, Ordering::Release);
}

/// The list of processes of the group that this process is in.
fn own_processes() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let hierarchy = Hierarchy::detect().ok()?;
    let group = match &hierarchy {
        Hierarchy::Unified { root } => {
            let path = own.lines().find_map(|line| line.strip_prefix("0::/"));
            path.map(|path| root.join(path))
        }
        Hierarchy::Split { .. } => own.lines().find_map(|line| {
            let path = line.split_once(":pids:/")?.1;
            Some(
                hierarchy
                    .root_of("pids")?
                    .join(path.trim_start_matches('/')),
            )
        }),
    };
    Some(group?.join("cgroup.procs"))
}

/// Passes controllers down from the root to a group's children. A controller that cannot be passed
/// on is missed when a limit that needs it is set, which says so by name.
fn enable_controllers(root: &Path, path: &Path) -> Result<()> {
    let available = fs::read_to_string(root.join("cgroup.controllers"))
        .context(|| "could not read the cgroup controllers".to_owned())?;
    let mut directory = root.to_owned();
    let mut below = path.components();
    loop {
        for controller in available.split_whitespace() {
            let _ = fs::write(
                directory.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
        match below.next() {
            Some(component) => directory.push(component),
            None => return Ok(()),
        }
    }
}

/// Whether the directory is gone.
fn remove_tree(directory: &Path) -> bool {
    for child in children(directory) {
        remove_tree(&child);
    }
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn kill_tree(directory: &Path) {
    // All that is in it and below, at one stroke; only v2 can.
    if fs::write(directory.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for child in children(directory) {
        kill_tree(&child);
    }
    // What is held on v1 does not even die. Elsewhere there is no such file.
    let _ = fs::write(directory.join("freezer.state"), "THAWED");
    let listed = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    for pid in listed.lines().filter_map(|line| line.parse().ok()) {
        let pid = nix::unistd::Pid::from_raw(pid);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Sums up `254:0 Read 4096` (v1) and `254:0 rbytes=4096 wbytes=0` (v2).
fn disk_bytes(text: &str) -> (u64, u64) {
    let (mut read, mut written) = (0, 0);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, "Read", count] => read += count.parse().unwrap_or(0),
            [_, "Write", count] => written += count.parse().unwrap_or(0),
            _ => {
                for word in words {
                    match word.split_once('=') {
                        Some(("rbytes", count)) => read += count.parse().unwrap_or(0),
                        Some(("wbytes", count)) => written += count.parse().unwrap_or(0),
                        _ => {}
                    }
                }
            }
        }
    }
    (read, written)
}

/// The number on the line that starts with `key`.
fn number_after(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hybrid hosts have a v2 tree too, without controllers: enough to see that what runs in a task
    /// is killed and its groups removed.
    #[test]
    fn a_unified_task_is_emptied_and_removed() {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
        let root = roots
            .into_iter()
            .find(|root| root.join("cgroup.controllers").exists());
        let root = root.expect("this kernel has a cgroup v2 tree");
        let task = TaskCgroup {
            path: PathBuf::from(format!("neargate-unit-{}/task", std::process::id())),
            hierarchy: Hierarchy::Unified { root: root.clone() },
        };
        task.create(&Limits::default()).unwrap();
        let container = root.join(&task.path).join("0");
        fs::create_dir(&container).unwrap();
        let mut sleeper = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        fs::write(container.join("cgroup.procs"), sleeper.id().to_string()).unwrap();
        task.remove().unwrap();
        assert!(!sleeper.wait().unwrap().success());
        assert!(!root.join(&task.path).exists());
        task.remove().unwrap();
        let shared = root.join(&task.path);
        fs::remove_dir(shared.parent().unwrap()).unwrap();
    }

    #[test]
    fn disk_traffic_is_summed_up_in_both_forms() {
        let split = "8:0 Read 10\n8:0 Write 2\n8:0 Total 12\n8:1 Read 5\nTotal 17\n";
        assert_eq!(disk_bytes(split), (15, 2));
        let unified = "8:0 rbytes=10 wbytes=2 rios=1 wios=1 dbytes=0 dios=0\n8:1 rbytes=5\n";
        assert_eq!(disk_bytes(unified), (15, 2));
        assert_eq!(disk_bytes(""), (0, 0));
    }

    #[test]
    fn numbers_are_found_by_their_whole_key() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(number_after(text, "oom_kill "), Some(3));
        assert_eq!(number_after(text, "missing "), None);
    }
}
