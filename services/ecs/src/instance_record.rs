//! What is stored of a container instance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shapes::ecs::{Resource, Tag, VersionInfo};

/// An agent says that it is there every ten seconds; after three that did not come it is lost.
const SILENCE_MS: i64 = 30_000;
/// What it says is written down when this has passed: not each of its words is a write.
const REMEMBER_MS: i64 = 8000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceStatus {
    Active,
    Draining,
}

impl InstanceStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
        }
    }
}

/// Where an EC2 instance is, and what tasks on it find there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub id: String,
    pub kind: String,
    pub image: String,
    pub zone: String,
    pub vpc: String,
    pub subnet: String,
    /// Its first interface, whose namespace tasks may join.
    pub interface: String,
    pub address: String,
    /// The role of its instance profile, which its agent acts as.
    pub role: Option<String>,
    /// The Auto Scaling group that it is of.
    pub group: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerInstance {
    pub region: String,
    pub cluster: String,
    /// 32 hexadecimal digits.
    pub id: String,
    pub machine: Machine,
    pub status: InstanceStatus,
    pub registered_ms: i64,
    /// When its agent was heard last; it was not yet at 0.
    pub seen_ms: i64,
    pub version: i64,
    pub version_info: Option<VersionInfo>,
    /// As its agent has told them.
    pub resources: Vec<Resource>,
    /// What the agent and EC2 say of it. An empty value is none.
    pub attributes: BTreeMap<String, String>,
    /// What somebody has put there.
    pub custom: BTreeMap<String, String>,
    pub tags: Vec<Tag>,
}

impl ContainerInstance {
    pub fn key_of(region: &str, cluster: &str, id: &str) -> String {
        format!("{region}/{cluster}/{id}")
    }

    pub fn is_connected(&self, now_ms: i64) -> bool {
        self.seen_ms > 0 && now_ms - self.seen_ms < SILENCE_MS
    }

    /// Its agent was heard. False: that is known well enough already.
    pub fn note_seen(&mut self, now_ms: i64) -> bool {
        if (0..REMEMBER_MS).contains(&(now_ms - self.seen_ms)) {
            return false;
        }
        self.seen_ms = now_ms;
        true
    }

    /// A number of its resources.
    pub fn amount(&self, name: &str) -> i64 {
        let found = self
            .resources
            .iter()
            .find(|it| it.name.as_deref() == Some(name));
        found.map_or(0, |it| {
            let integer = it.integer_value.filter(|it| *it != 0).map(i64::from);
            let long = it.long_value.filter(|it| *it != 0);
            let double = it.double_value.map(|it| it as i64);
            integer.or(long).or(double).unwrap_or(0)
        })
    }

    /// Ports that its agent keeps free.
    pub fn reserved_ports(&self, name: &str) -> Vec<u16> {
        let found = self
            .resources
            .iter()
            .find(|it| it.name.as_deref() == Some(name));
        let texts = found.and_then(|it| it.string_set_value.as_ref());
        (texts.into_iter().flatten())
            .filter_map(|it| it.parse().ok())
            .collect()
    }
}

impl cloud::Record for ContainerInstance {
    const KIND: &'static str = "ecs.container-instance";
    fn key(&self) -> String {
        Self::key_of(&self.region, &self.cluster, &self.id)
    }
}
