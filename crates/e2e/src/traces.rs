//! What a daemon may not leave on the machine once it was stopped: processes, mounts, control groups,
//! links, packet filter tables. Network namespaces need no look of their own: one that no process is
//! in and no mount holds is gone.

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::path::Path;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

/// Everything on this machine that belongs to the daemon of a state directory, one line for each.
pub fn find_traces(state: &Path) -> Vec<String> {
    let state_text = state.display().to_string();
    let tag = network::instance_tag(state);
    let group = format!("neargate-{tag}");
    let mut found = processes(&state_text, &group);
    found.extend(mounts(&state_text));
    found.extend(control_groups(&group));
    found.extend(links(&format!("ng{tag}-")));
    if packet_filter_tables().contains(&group) {
        found.push(format!("packet filter table {group}"));
    }
    found
}

/// What belongs to networks and tasks, and may not be there when there are none.
pub fn find_work(state: &Path) -> Vec<String> {
    let is_lasting = |it: &String| {
        ["control group ", "packet filter table "]
            .iter()
            .any(|kind| it.starts_with(kind))
            || [" serve ", " edge "].iter().any(|role| it.contains(role))
    };
    let found = find_traces(state).into_iter();
    found.filter(|it| !is_lasting(it)).collect()
}

/// What tasks leave beside what is looked for above when they are not wholly taken down, of a daemon that
/// has nothing to do: files of theirs, their control groups, loop devices of their disks, and sockets
/// of load balancers that are gone.
pub fn find_remains(state: &Path, edge: IpAddr) -> Vec<String> {
    let mut found = Vec::new();
    for place in [
        "tasks",
        "run/tasks",
        "images/uploads",
        "builds/scratch",
        "objects/new",
        "workspaces",
        "docker/scratch",
        "git/scratch",
    ] {
        let entries = fs::read_dir(state.join(place)).into_iter().flatten();
        let entries = entries.flatten().map(|it| it.path());
        found.extend(entries.map(|it| format!("file {}", it.display())));
    }
    let group = format!("neargate-{}", network::instance_tag(state));
    let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
    let roots = roots.flatten().map(|it| it.path());
    for place in roots.chain([Path::new("/sys/fs/cgroup").to_owned()]) {
        let entries = fs::read_dir(place.join(&group)).into_iter().flatten();
        let below = entries.flatten().map(|it| it.path());
        let below = below.filter(|it| it.is_dir());
        found.extend(below.map(|it| format!("control group {}", it.display())));
    }
    let text = state.display().to_string();
    for device in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let backing = fs::read_to_string(device.path().join("loop/backing_file"));
        if backing.is_ok_and(|it| it.contains(&text)) {
            found.push(format!("loop device {}", device.path().display()));
        }
    }
    if TcpStream::connect((edge, 80)).is_ok() {
        found.push(format!("a socket that listens at {edge}, port 80"));
    }
    found
}

/// Processes that name the state directory in their arguments, or are in its control groups.
fn processes(state: &str, group: &str) -> Vec<String> {
    let found = find_processes(state, group).into_iter();
    found
        .map(|(id, arguments)| format!("process {id}: {arguments}"))
        .collect()
}

/// The ids of a daemon's processes whose arguments contain a text.
pub fn processes_with(state: &Path, text: &str) -> Vec<i32> {
    let group = format!("neargate-{}", network::instance_tag(state));
    let found = find_processes(&state.display().to_string(), &group).into_iter();
    let matching = found.filter(|(_, arguments)| arguments.contains(text));
    matching.map(|(id, _)| id).collect()
}

fn find_processes(state: &str, group: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(id) = name.parse::<i32>() else {
            continue;
        };
        if id.unsigned_abs() == std::process::id() {
            continue;
        }
        let read = |file: &str| {
            let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let arguments = read("cmdline");
        if arguments.contains(state) || read("cgroup").contains(group) {
            found.push((id, arguments));
        }
    }
    found
}

fn mounts(state: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let ours = table.lines().filter(|line| line.contains(state));
    ours.map(|line| format!("mount {line}")).collect()
}

fn control_groups(group: &str) -> Vec<String> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
    let places = hierarchies.map(|it| it.path()).chain([root.to_owned()]);
    places
        .map(|it| it.join(group))
        .filter(|it| it.exists())
        .map(|it| format!("control group {}", it.display()))
        .collect()
}

fn links(prefix: &str) -> Vec<String> {
    let links = fs::read_dir("/sys/class/net").into_iter().flatten();
    let names = links.flatten().map(|it| it.file_name());
    let names = names.map(|it| it.to_string_lossy().into_owned());
    let ours = names.filter(|it| it.starts_with(prefix));
    ours.map(|it| format!("link {it}")).collect()
}

/// What the kernel answers when asked for all tables: their names are in it as text.
fn packet_filter_tables() -> String {
    const GET_TABLES: u16 = 10 << 8 | 1;
    const REQUEST_DUMP: u16 = 0x301;
    const DONE: u16 = 3;
    const ERROR: u16 = 2;
    let mut socket = Socket::new(NETLINK_NETFILTER).unwrap();
    socket.bind_auto().unwrap();
    socket.connect(&SocketAddr::new(0, 0)).unwrap();
    let mut message = Vec::new();
    message.extend(20_u32.to_ne_bytes());
    message.extend(GET_TABLES.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
    message.extend([0; 12]);
    socket.send(&message, 0).unwrap();
    let mut all = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full().unwrap();
        let kind = u16::from_ne_bytes([answer[4], answer[5]]);
        if kind == DONE || kind == ERROR {
            return String::from_utf8_lossy(&all).into_owned();
        }
        // The last message may be in the same datagram.
        let ends = answer.len() >= 20 && ends_with_done(&answer, DONE);
        all.extend(answer);
        if ends {
            return String::from_utf8_lossy(&all).into_owned();
        }
    }
}

fn ends_with_done(mut messages: &[u8], done: u16) -> bool {
    while messages.len() >= 16 {
        let length = u32::from_ne_bytes([messages[0], messages[1], messages[2], messages[3]]);
        if u16::from_ne_bytes([messages[4], messages[5]]) == done {
            return true;
        }
        let padded = (length as usize).next_multiple_of(4).max(16);
        messages = messages.get(padded..).unwrap_or_default();
    }
    false
}
