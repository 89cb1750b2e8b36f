//! What is stored of an instance.

use std::net::Ipv4Addr;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ec2::{InstanceStateName, VolumeType};

use crate::errors::{InvalidInstanceIdMalformed, InvalidInstanceIdNotFound};
use crate::filters::Filtered;
use crate::tags::Tags;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceRecord {
    pub id: String,
    pub region: String,
    pub reservation: String,
    pub launch_index: i32,
    pub client_token: Option<String>,
    /// A digest of the request that a client's token stands for.
    pub asked: String,
    pub image: String,
    /// Its type: `t3.micro`.
    pub kind: String,
    pub key_name: Option<String>,
    /// The public half of the key, as its first boot puts it into `authorized_keys`.
    pub public_key: Option<String>,
    /// As it was given, in base64.
    pub user_data: Option<String>,
    pub interface: String,
    pub keeps_interface: bool,
    pub vpc: String,
    pub subnet: String,
    pub zone: String,
    pub address: Ipv4Addr,
    /// Whether it gets a public address each time that it starts.
    pub public: bool,
    pub profile: Option<ProfileUse>,
    pub metadata: MetadataOptions,
    /// What its metadata's tokens are made with.
    pub metadata_key: String,
    pub is_monitored: bool,
    pub is_ebs_optimized: bool,
    pub is_kept_from_termination: bool,
    pub is_kept_from_stop: bool,
    pub terminates_on_shutdown: bool,
    pub cpu_credits: Option<String>,
    pub volume: RootVolume,
    pub launched_ms: i64,
    pub state: State,
    pub want: Want,
    /// Counts its boots: a task of another boot is not this one's.
    pub boot: u32,
    /// Digest of the image that its root was first made of.
    pub root: Option<String>,
    /// Code and message of why it is as it is.
    pub reason: Option<(String, String)>,
    pub transition: String,
    pub ended_ms: Option<i64>,
    pub tags: Tags,
}

impl Record for InstanceRecord {
    const KIND: &'static str = "ec2.instance";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// What tags are of. Instances are looked for by [`super::describe::FoundInstance`].
impl Filtered for InstanceRecord {
    const FILTERS: &'static [&'static str] = &["instance-id"];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, _: &str) -> Vec<String> {
        vec![self.id.clone()]
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

/// As callers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Pending,
    Running,
    Stopping,
    Stopped,
    ShuttingDown,
    Terminated,
}

impl State {
    /// The low byte of the code that AWS shows beside its name (API reference, "InstanceState").
    pub fn code(self) -> i32 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    pub fn name(self) -> InstanceStateName {
        match self {
            Self::Pending => InstanceStateName::Pending,
            Self::Running => InstanceStateName::Running,
            Self::ShuttingDown => InstanceStateName::ShuttingDown,
            Self::Terminated => InstanceStateName::Terminated,
            Self::Stopping => InstanceStateName::Stopping,
            Self::Stopped => InstanceStateName::Stopped,
        }
    }

    pub fn is_ending(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

/// What is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    Run,
    Stop(Haste),
    Terminate(Haste),
}

/// Whether its programs are asked to end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Haste {
    Ask,
    Kill,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileUse {
    pub association: String,
    pub arn: String,
    pub id: String,
    pub name: String,
    pub since_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    pub is_served: bool,
    /// Nothing is told without a token.
    pub needs_token: bool,
    pub hops: i32,
    pub has_tags: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RootVolume {
    pub id: String,
    pub device: String,
    pub snapshot: String,
    pub gib: i32,
    pub kind: VolumeType,
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
    pub goes_with_instance: bool,
    pub attached_ms: i64,
    pub tags: Tags,
}

/// One that is there, or was an hour ago.
pub fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<InstanceRecord, Error> {
    check_id(id)?;
    tx.get(&cx.key(id))?.ok_or_else(|| {
        InvalidInstanceIdNotFound.because(format!("The instance ID '{id}' does not exist"))
    })
}

fn check_id(id: &str) -> Result<(), Error> {
    let hex = id.strip_prefix("i-").unwrap_or_default();
    match !hex.is_empty() && hex.bytes().all(|it| it.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(InvalidInstanceIdMalformed.because(format!("Invalid id: \"{id}\""))),
    }
}
