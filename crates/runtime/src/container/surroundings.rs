//! What containers find of names and addresses: their hosts file, their name servers, and what they are called.
//! All containers of a task find the same, but those with a network of their own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use engine::{ResolverSpec, TaskSpec};

use crate::error::{Context, Result};
use crate::order::{Order, TaskFiles};

/// Host path, path in the container, read-only.
pub(crate) type TaskMounts = Vec<(PathBuf, PathBuf, bool)>;

/// Where services that answer on the machine's loopback say whom they ask.
const STUBS: [&str; 2] = [
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
];

/// What is in the files of a task, or of one of its containers.
pub(super) struct Surroundings<'a> {
    pub hostname: &'a str,
    hosts: &'a [(String, String)],
    dns: &'a [String],
    search: &'a [String],
    resolver: Option<&'a ResolverSpec>,
    /// Its network namespace is not the machine's own.
    is_apart: bool,
    is_step: bool,
}

impl<'a> Surroundings<'a> {
    /// Of a container, or of the task.
    pub fn of(order: &'a Order, index: Option<usize>) -> Self {
        let spec = &order.spec;
        let own = index.and_then(|it| spec.containers[it].own_network.as_ref());
        let joined = index.and_then(|it| order.own.get(&it));
        let is_step = order.step.is_some();
        match own.zip(joined) {
            None => Self {
                resolver: order.resolver.as_ref(),
                is_step,
                ..Self::of_task(spec)
            },
            Some((own, joined)) => Self {
                hostname: &own.hostname,
                hosts: &own.hosts,
                dns: &own.dns,
                search: &own.search,
                resolver: joined.resolver.as_ref(),
                is_apart: true,
                is_step,
            },
        }
    }

    fn of_task(spec: &'a TaskSpec) -> Self {
        Self {
            hostname: &spec.hostname,
            hosts: &spec.hosts,
            dns: &spec.dns,
            search: &[],
            resolver: None,
            is_apart: spec.interface.is_some(),
            is_step: false,
        }
    }

    /// Name servers: its own; or its network's; or the machine's, as far as it can reach them. From a namespace
    /// of its own that leaves out those on the machine's loopback, which is its own there.
    fn resolv_conf(&self) -> String {
        let line = |word: &str, values: &[String]| match values {
            [] => String::new(),
            values => format!("{word} {}\n", values.join(" ")),
        };
        if !self.dns.is_empty() {
            let servers = self.dns.iter();
            let servers: String = servers.map(|it| format!("nameserver {it}\n")).collect();
            return servers + &line("search", self.search);
        }
        if let Some((resolver, at)) = self.resolver.and_then(|it| Some((it, it.at?))) {
            let search = match self.search {
                [] => &resolver.search,
                own => own,
            };
            let search = line("search", search);
            let options = line("options", &resolver.options);
            return format!("nameserver {at}\n{search}{options}");
        }
        self.machine_s_servers() + &line("search", self.search)
    }

    fn machine_s_servers(&self) -> String {
        let own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        if !self.is_apart {
            return own;
        }
        let reachable = reachable_lines(&own);
        if reachable.contains("nameserver") {
            return reachable;
        }
        // The machine's own are behind a stub on its loopback, which keeps them here.
        let behind = STUBS.iter().filter_map(|it| fs::read_to_string(it).ok());
        let mut behind = behind.map(|it| reachable_lines(&it));
        behind
            .find(|it| it.contains("nameserver"))
            .unwrap_or(reachable)
    }

    /// Names and addresses: in the machine's own namespace what the machine knows as well.
    fn hosts(&self) -> String {
        let own = match self.is_apart || self.is_step {
            false => fs::read_to_string("/etc/hosts").ok(),
            true => None,
        };
        let mut text = own
            .filter(|text| !text.trim().is_empty())
            .unwrap_or_else(|| {
                "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned()
            });
        if !text.ends_with('\n') {
            text.push('\n');
        }
        for (address, name) in self.hosts {
            text.push_str(&format!("{address}\t{name}\n"));
        }
        text
    }
}

/// Without the name servers on the loopback.
fn reachable_lines(text: &str) -> String {
    let reachable = |line: &&str| {
        let address = line
            .strip_prefix("nameserver")
            .map(|it| it.trim().parse::<std::net::IpAddr>());
        !matches!(address, Some(Ok(address)) if address.is_loopback())
    };
    let lines = text.lines().filter(reachable);
    lines.map(|line| format!("{line}\n")).collect()
}

/// Writes a task's hosts file anew, in place: it is mounted into containers.
pub(crate) fn write_hosts(files: &TaskFiles, spec: &TaskSpec) -> Result<()> {
    let text = Surroundings::of_task(spec).hosts();
    let path = files.directory.join("hosts");
    let failed = || format!("could not write `{}`", path.display());
    let file = fs::OpenOptions::new().write(true).open(&path);
    let mut file = file.context(failed)?;
    // Never empty for a moment: somebody may be reading.
    file.write_all(text.as_bytes()).context(failed)?;
    file.set_len(text.len() as u64).context(failed)
}

/// What the file of a container with a network of its own is called beside its task's.
fn own_name(name: &str, index: usize) -> String {
    format!("{name}-{index}")
}

/// Writes the files that all containers of a task share, and those of containers with a network of their own.
/// Says where the shared ones go.
pub(crate) fn write_task_files(files: &TaskFiles, order: &Order) -> Result<TaskMounts> {
    for index in order.own.keys() {
        let surroundings = Surroundings::of(order, Some(*index));
        write_files(files, &surroundings, |name| own_name(name, *index))?;
    }
    write_files(files, &Surroundings::of(order, None), str::to_owned)
}

fn write_files(
    files: &TaskFiles,
    surroundings: &Surroundings<'_>,
    called: impl Fn(&str) -> String,
) -> Result<TaskMounts> {
    let mut mounts = Vec::new();
    for (name, text) in [
        ("hosts", surroundings.hosts()),
        ("resolv.conf", surroundings.resolv_conf()),
        ("hostname", format!("{}\n", surroundings.hostname)),
    ] {
        let path = files.directory.join(called(name));
        fs::write(&path, text).context(|| format!("could not write `{}`", path.display()))?;
        mounts.push((path, Path::new("/etc").join(name), false));
    }
    Ok(mounts)
}

/// The shared files, or a container's own in their place.
pub(super) fn own_mounts(order: &Order, index: usize, shared: &TaskMounts) -> TaskMounts {
    let mut mounts = shared.clone();
    if order.own.contains_key(&index) {
        for (source, path, _) in &mut mounts {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            *source = source.with_file_name(own_name(&name, index));
        }
    }
    mounts
}
