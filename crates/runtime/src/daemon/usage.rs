//! What tasks and containers use.

use std::fs;
use std::os::unix::fs::MetadataExt;

use engine::{ContainerState, ContainerStatus, Result, TaskUsage};

use super::Inner;
use crate::cgroup::TaskCgroup;
use crate::container::container_id;

impl Inner {
    /// The control group of a container that runs.
    pub(super) fn container_group(&self, id: &str, container: &str) -> Result<TaskCgroup> {
        self.expect_running(id, container)?;
        let task = self.group_of(id);
        let entries = self.entries();
        let mut containers = entries
            .get(id)
            .into_iter()
            .flat_map(|it| &it.status.containers);
        let index = containers.position(|it| it.name == container);
        let group = container_id(index.unwrap_or_default());
        Ok(TaskCgroup::new(&task.join(group))?)
    }

    /// Of the whole task, or of one of its containers. None when it is not there.
    pub(super) fn usage(&self, id: &str, container: Option<&str>) -> Result<Option<TaskUsage>> {
        let mut path = self.group_of(id);
        let running: Vec<i32> = {
            let entries = self.entries();
            let Some(entry) = entries.get(id) else {
                return Ok(None);
            };
            let containers = &entry.status.containers;
            if let Some(name) = container {
                let Some(index) = containers.iter().position(|it| it.name == name) else {
                    return Ok(None);
                };
                path.push(container_id(index));
            }
            let is_meant = |it: &&ContainerStatus| container.is_none_or(|name| it.name == name);
            let running = containers
                .iter()
                .filter(|it| it.state == ContainerState::Running)
                .filter(is_meant);
            running.filter_map(|it| it.pid).collect()
        };
        let mut usage = TaskCgroup::new(&path)?.usage();
        if let Some(usage) = &mut usage {
            for pid in distinct_networks(&running) {
                add_network(usage, pid);
            }
        }
        Ok(usage)
    }
}

/// One of those processes of each network namespace.
pub(super) fn distinct_networks(processes: &[i32]) -> Vec<i32> {
    let mut seen = Vec::new();
    let mut is_first = |pid: &i32| {
        let namespace = namespace(&pid.to_string());
        let is_new = !seen.contains(&namespace);
        seen.push(namespace);
        is_new
    };
    let mut first = processes.to_vec();
    first.retain(&mut is_first);
    first
}

/// The network namespace of a process, as far as it is there.
fn namespace(process: &str) -> Option<(u64, u64)> {
    let found = fs::metadata(format!("/proc/{process}/ns/net")).ok()?;
    Some((found.dev(), found.ino()))
}

/// Counts what went through the namespace of this process, unless that is the machine's own.
fn add_network(usage: &mut TaskUsage, pid: i32) {
    if namespace(&pid.to_string()) == namespace("thread-self") {
        return;
    }
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    for line in text.lines() {
        add_link(usage, line);
    }
}

/// `eth0: <bytes> <packets> <6 more> <bytes sent> <packets sent> …`
fn add_link(usage: &mut TaskUsage, line: &str) {
    let Some((name, numbers)) = line.split_once(':') else {
        return;
    };
    if name.trim() == "lo" {
        return;
    }
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .map(|number| number.parse().unwrap_or(0))
        .collect();
    let number = |place: usize| numbers.get(place).copied().unwrap_or(0);
    usage.received_bytes += number(0);
    usage.received_packets += number(1);
    usage.sent_bytes += number(8);
    usage.sent_packets += number(9);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_but_the_loopback_are_counted() {
        let mut usage = TaskUsage::default();
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs
    lo:     100       1    0    0    0     0          0         0      100       1    0
  eth0:    1500      10    0    0    0     0          0         0      700       7    0
";
        text.lines().for_each(|line| add_link(&mut usage, line));
        let seen = [
            usage.received_bytes,
            usage.received_packets,
            usage.sent_bytes,
            usage.sent_packets,
        ];
        assert_eq!(seen, [1500, 10, 700, 7]);
    }
}
