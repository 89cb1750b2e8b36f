//! A machine of its own for each test: directories, a root file system, a runtime; and the check
//! that nothing of it is left.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use engine::*;
use runtime::{Executable, Runtime};

pub const HELPER: &str = env!("CARGO_BIN_EXE_runtime-test-helper");
/// Long enough for a busy machine; no test takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network that knows one interface, if any.
pub struct OneInterface(pub Option<PathBuf>);

#[async_trait::async_trait]
impl Network for OneInterface {
    async fn apply_vpc(&self, _: VpcSpec) -> Result<()> {
        unreachable!("the runtime makes no networks")
    }
    async fn remove_vpc(&self, _: &str) -> Result<()> {
        unreachable!("the runtime removes no networks")
    }
    async fn attach(&self, _: InterfaceSpec) -> Result<()> {
        unreachable!("the runtime attaches nothing")
    }
    async fn detach(&self, _: &str) -> Result<()> {
        unreachable!("the runtime detaches nothing")
    }
    async fn namespace(&self, interface: &str) -> Result<PathBuf> {
        let missing = || EngineError::not_found(format!("no interface `{interface}`"));
        self.0.clone().ok_or_else(missing)
    }
    async fn resolver(&self, _: &str) -> Result<Option<engine::ResolverSpec>> {
        Ok(None)
    }
    async fn list(&self) -> Result<(Vec<String>, Vec<String>)> {
        unreachable!("the runtime lists nothing")
    }
    async fn connect(&self, _: &str, _: SocketAddr, _: u64) -> Result<()> {
        unreachable!("the runtime connects to nothing")
    }
    async fn dial(&self, _: &str, _: SocketAddr, _: u64) -> Result<std::net::TcpStream> {
        unimplemented!("no test asks")
    }
    async fn listen_beside(
        &self,
        _: &str,
        _: std::net::SocketAddrV4,
    ) -> Result<std::net::TcpListener> {
        unimplemented!("no test asks")
    }
    async fn has_way_out(&self, _: &str) -> Result<bool> {
        unreachable!("the runtime asks for no way out")
    }
}

pub struct Machine {
    pub directory: tempfile::TempDir,
    pub instance: String,
    pub runtime: Option<Runtime>,
    pub namespace: Option<PathBuf>,
}

impl Machine {
    pub async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut machine = Self {
            directory: tempfile::tempdir().unwrap(),
            instance: format!("test-{}-{count}", std::process::id()),
            runtime: None,
            namespace: None,
        };
        machine.begin().await;
        machine
    }

    /// Makes the runtime anew, as a daemon that was restarted does.
    pub async fn begin(&mut self) {
        let runtime = Runtime::new(
            self.path("run"),
            self.path("state"),
            Arc::new(OneInterface(self.namespace.clone())),
            Executable {
                program: HELPER.into(),
                args: vec!["shim".into()],
            },
            self.instance.clone(),
        );
        let runtime = runtime.unwrap();
        runtime.recover().await.unwrap();
        self.runtime = Some(runtime);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
    pub fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }
    pub fn log(&self, container: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(container)).unwrap_or_default();
        // A line without its end is just being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let events = whole
            .lines()
            .map(|line| parse_log_line(line, 0).expect("a well-formed line"));
        events.map(|event| event.message).collect()
    }

    /// A container of the helper that runs these commands.
    pub fn container(&self, name: &str, commands: &str) -> ContainerSpec {
        let words = commands.split_whitespace().map(str::to_owned);
        ContainerSpec {
            name: name.to_owned(),
            directories: vec![layer()],
            argv: std::iter::once("/helper".to_owned()).chain(words).collect(),
            essential: true,
            stop_timeout_ms: 100,
            log_file: Some(self.path(name)),
            ..ContainerSpec::default()
        }
    }

    pub async fn start(&self, id: &str, containers: Vec<ContainerSpec>) {
        self.runtime().start(task(id, containers)).await.unwrap();
    }

    pub async fn status(&self, id: &str) -> TaskStatus {
        self.runtime()
            .status(id)
            .await
            .unwrap()
            .expect("the task is known")
    }

    pub async fn wait(&self, id: &str, wanted: impl Fn(&TaskStatus) -> bool) -> TaskStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(id).await;
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "waited in vain: {status:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    pub async fn wait_state(&self, id: &str, state: TaskState) -> TaskStatus {
        self.wait(id, |status| status.state == state).await
    }

    /// Waits until the container has written this line.
    pub async fn wait_log(&self, container: &str, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log(container).iter().any(|have| have == line) {
            assert!(
                Instant::now() < deadline,
                "no `{line}` in {:?}",
                self.log(container)
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops a task and waits for its end.
    pub async fn end(&self, id: &str) -> TaskStatus {
        self.runtime().stop(id, "enough").await.unwrap();
        let killed = Instant::now();
        let status = self.wait_state(id, TaskState::Stopped).await;
        assert!(killed.elapsed() < PATIENCE);
        status
    }

    /// Runs one container to its end and returns its status and output.
    pub async fn run(&self, container: ContainerSpec) -> (TaskStatus, Vec<String>) {
        let name = container.name.clone();
        self.start(&name, vec![container]).await;
        let status = self.wait_state(&name, TaskState::Stopped).await;
        (status, self.log(&name))
    }

    /// Checks that no process, mount, control group or data is left, even of tasks not removed.
    pub fn check_clean(&self) {
        let left = left_over(&self.instance, self.directory.path());
        assert!(left.is_empty(), "left over: {left:#?}");
    }
}

impl Drop for Machine {
    /// A failed test must not leave anything either.
    fn drop(&mut self) {
        self.runtime = None;
        // Supervisors and what they have forked name the directory, what runs in containers does not.
        let supervisors = processes(self.directory.path());
        let contained = groups(&self.instance);
        let contained = contained.iter().flat_map(|group| processes_in(group));
        for pid in supervisors.into_iter().map(|it| it.0).chain(contained) {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
        for mount in mounts(self.directory.path()) {
            let _ = nix::mount::umount2(Path::new(&mount), nix::mount::MntFlags::MNT_DETACH);
        }
        for group in groups(&self.instance) {
            remove_group(&group);
            let _ = std::fs::remove_dir(group.parent().expect("it is below the shared one"));
        }
    }
}

fn remove_group(group: &Path) {
    let children = std::fs::read_dir(group).into_iter().flatten().flatten();
    for child in children.filter(|child| child.path().is_dir()) {
        remove_group(&child.path());
    }
    let _ = std::fs::remove_dir(group);
}

pub fn task(id: &str, containers: Vec<ContainerSpec>) -> TaskSpec {
    TaskSpec {
        id: id.to_owned(),
        interface: None,
        within: None,
        hostname: "box".to_owned(),
        dns: vec!["10.0.0.2".to_owned()],
        hosts: vec![("10.0.0.9".to_owned(), "friend".to_owned())],
        cpu_units: Some(512),
        memory_mib: Some(256),
        pids_max: Some(100),
        disk: None,
        gives_way_to_a_full_disk: false,
        containers,
        volumes: Vec::new(),
        labels: [("colour".to_owned(), "blue".to_owned())].into(),
    }
}

/// An image layer that holds the helper and lists of users.
pub fn layer() -> PathBuf {
    static LAYER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let layer = LAYER.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::copy(HELPER, root.join("helper")).unwrap();
        let as_root = root.join("as-root");
        std::fs::copy(HELPER, &as_root).unwrap();
        let setuid = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
        std::fs::set_permissions(&as_root, setuid).unwrap();
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::create_dir_all(root.join("tmp")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
        std::fs::write(root.join("etc/passwd"), passwd).unwrap();
        std::fs::write(
            root.join("etc/group"),
            "root:x:0:\napp:x:1001:\nvideo:x:44:app\n",
        )
        .unwrap();
        std::fs::write(root.join("plain"), "not a program").unwrap();
        use std::os::unix::fs::PermissionsExt;
        // As an image's root is: everybody may look into it.
        std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o755)).unwrap();
        directory
    });
    layer.path().to_owned()
}

/// A network namespace that a path leads to.
pub struct NetworkNamespace(PathBuf);

impl NetworkNamespace {
    pub fn new(path: &Path) -> Self {
        std::fs::write(path, "").unwrap();
        let target = path.to_owned();
        // A thread can have a namespace of its own, which the mount then keeps.
        let thread = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let own = Some("/proc/thread-self/ns/net");
            let nothing: Option<&str> = None;
            nix::mount::mount(own, &target, nothing, nix::mount::MsFlags::MS_BIND, nothing)
                .unwrap();
        });
        thread.join().unwrap();
        Self(path.to_owned())
    }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

fn left_over(instance: &str, directory: &Path) -> Vec<String> {
    let mut left = mounts(directory);
    left.extend(
        groups(instance)
            .iter()
            .map(|group| group.display().to_string()),
    );
    let data = std::fs::read_dir(directory.join("state/tasks"))
        .into_iter()
        .flatten()
        .flatten();
    left.extend(data.map(|entry| entry.path().display().to_string()));
    left.extend(
        processes(directory)
            .iter()
            .map(|(pid, command)| format!("{pid}: {command}")),
    );
    left
}

/// Processes whose command names something below a directory.
pub fn processes(directory: &Path) -> Vec<(i32, String)> {
    let directory = directory.to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(process.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        command.contains(&directory).then_some((pid, command))
    });
    commands.collect()
}

/// Processes in a group and all below it.
fn processes_in(group: &Path) -> Vec<i32> {
    let listed = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = listed.lines().filter_map(|it| it.parse().ok()).collect();
    let children = std::fs::read_dir(group).into_iter().flatten().flatten();
    for child in children.filter(|child| child.path().is_dir()) {
        pids.extend(processes_in(&child.path()));
    }
    pids
}

fn mounts(directory: &Path) -> Vec<String> {
    let directory = directory.to_string_lossy().into_owned();
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .filter(|point| point.starts_with(&directory))
        .map(str::to_owned)
        .collect()
}

/// A task's groups, not the empty one that all tasks of a daemon share.
fn groups(instance: &str) -> Vec<PathBuf> {
    let mut roots = vec![PathBuf::from("/sys/fs/cgroup")];
    let below = std::fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    roots.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
    let shared = roots
        .iter()
        .map(|root| root.join(format!("neargate-{instance}")));
    let tasks = shared.flat_map(|shared| std::fs::read_dir(shared).into_iter().flatten().flatten());
    tasks
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}
