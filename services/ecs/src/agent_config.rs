//! `/etc/ecs/ecs.config`, as the agent reads it ("Amazon ECS container agent configuration"). Pure.

use std::collections::BTreeMap;

use crate::names::DEFAULT_CLUSTER;

/// What the agent keeps for itself and for who looks after the machine: SSH, and Docker's and its own ports.
const RESERVED_PORTS: [u16; 5] = [22, 2375, 2376, 51_678, 51_679];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    pub cluster: String,
    pub attributes: BTreeMap<String, String>,
    pub reserved_memory: i64,
    pub reserved_ports: Vec<u16>,
    pub reserved_udp_ports: Vec<u16>,
    /// What the file says that is not understood.
    pub complaints: Vec<String>,
}

impl AgentConfig {
    /// Reads lines of `NAME=value`; a later one wins.
    pub fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut found: BTreeMap<&str, &str> = BTreeMap::new();
        for line in lines {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            if let Some((name, value)) = line.split_once('=')
                && !line.starts_with('#')
            {
                found.insert(name.trim(), unquoted(value.trim()));
            }
        }
        let mut complaints = Vec::new();
        let mut json = |name: &str| {
            let text = found.get(name).copied().filter(|it| !it.is_empty())?;
            let read = serde_json::from_str::<serde_json::Value>(text).ok();
            if read.is_none() {
                complaints.push(format!("Invalid format for {name}. Expected JSON: {text}"));
            }
            read
        };
        let attributes = json("ECS_INSTANCE_ATTRIBUTES").map(|it| texts(&it));
        let mut ports = |name: &str| {
            let read = json(name)?;
            let all = read.as_array()?.iter();
            Some(
                all.filter_map(|it| u16::try_from(it.as_u64()?).ok())
                    .collect(),
            )
        };
        let reserved_ports = ports("ECS_RESERVED_PORTS");
        let reserved_udp_ports = ports("ECS_RESERVED_PORTS_UDP");
        let cluster = found
            .get("ECS_CLUSTER")
            .copied()
            .filter(|it| !it.is_empty());
        let memory = found.get("ECS_RESERVED_MEMORY");
        Self {
            cluster: cluster.unwrap_or(DEFAULT_CLUSTER).to_owned(),
            attributes: attributes.unwrap_or_default(),
            reserved_memory: memory.and_then(|it| it.parse().ok()).unwrap_or(0).max(0),
            reserved_ports: reserved_ports.unwrap_or(RESERVED_PORTS.to_vec()),
            reserved_udp_ports: reserved_udp_ports.unwrap_or_default(),
            complaints,
        }
    }
}

fn texts(json: &serde_json::Value) -> BTreeMap<String, String> {
    let members = json.as_object().into_iter().flatten();
    members
        .map(|(name, it)| (name.clone(), it.as_str().unwrap_or_default().to_owned()))
        .collect()
}

fn unquoted(text: &str) -> &str {
    for quote in ['\'', '"'] {
        let inner = text
            .strip_prefix(quote)
            .and_then(|it| it.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_as_the_agent_reads_it() {
        let read = |text: &str| AgentConfig::read(text.lines());
        let empty = read("");
        assert_eq!(empty.cluster, "default");
        assert_eq!(empty.reserved_ports, RESERVED_PORTS);
        let full = read(
            "# ECS_CLUSTER=nope\nECS_CLUSTER=first\n ECS_CLUSTER = \"web\"\nECS_RESERVED_MEMORY=256\n\
             ECS_INSTANCE_ATTRIBUTES='{\"stack\": \"prod\"}'\nECS_RESERVED_PORTS=[22, 99999]\nnonsense",
        );
        assert_eq!(full.cluster, "web");
        assert_eq!(full.reserved_memory, 256);
        assert_eq!(full.reserved_ports, [22]);
        assert_eq!(full.attributes["stack"], "prod");
        assert!(full.complaints.is_empty());
        let broken = read("ECS_INSTANCE_ATTRIBUTES={stack: prod}\nECS_RESERVED_MEMORY=-5");
        assert_eq!(broken.complaints.len(), 1);
        assert_eq!(broken.reserved_memory, 0);
    }
}
