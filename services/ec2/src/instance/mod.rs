//! Instances: machines of their own.
//!
//! A handler records what is wanted of an instance, and [`reconciler`] makes it so: an instance is a task of
//! the engine with one container whose init stays ([`engine::ContainerSpec::init_stays`]). Its root file
//! system is that of its image ([`root`]), with its own changes over it in a workspace, so that they outlive
//! a stop and a start; its network is the namespace of its interface; its control group has what its type
//! has ([`kinds`]). What it does when it boots is written into its root before ([`boot`]), and what it asks
//! at 169.254.169.254 is answered by [`metadata`].
//!
//! | record | key | |
//! |---|---|---|
//! | `ec2.instance` | region/id | woken by its task |
//! | `ec2.key-pair` | region/id | the public half |
//!
//! **Where others find it**: the engine's task is called as the instance is (`i-…`), with one container
//! called [`CONTAINER`]; [`instance_place`] names its interface, whose namespace the engine tells.

pub mod boot;
pub mod catalogue;
pub mod change;
pub mod describe;
pub mod image;
pub mod key_pair;
pub mod kinds;
pub mod metadata;
pub mod options;
pub mod permission;
pub mod plan;
pub mod profile;
pub mod reconciler;
pub mod record;
pub mod root;
pub mod run;
pub mod status;
pub mod user_data;
pub mod view;

use cloud::Cloud;

pub use metadata::{MetadataAnswer, MetadataRequest, MetadataTold, instance_credentials};
use record::InstanceRecord;

/// What the one container of an instance's task is called.
pub const CONTAINER: &str = "machine";

/// Where an instance's things are on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstancePlace {
    pub id: String,
    pub region: String,
    /// Its first interface. [`engine::Network::namespace`] tells the namespace; tasks that name it as their own
    /// interface join that.
    pub interface: String,
    /// The engine's task: its status tells the process of its init, its usage what it uses, and
    /// [`engine::Tasks::root`] its root. Its control group is called as it is.
    pub task: String,
    /// It is to run, and does as far as is known.
    pub runs: bool,
}

/// Finds an instance by its id, whatever its region; None when there is none, or it is terminated.
pub fn instance_place(cloud: &Cloud, id: &str) -> Option<InstancePlace> {
    let keys = cloud::all_keys::<InstanceRecord>(cloud).ok()?;
    let key = (keys.into_iter()).find(|key| key.split_once('/').is_some_and(|it| it.1 == id))?;
    let found: Option<InstanceRecord> = cloud.store.read(|tx| tx.get(&key)).ok()?;
    let found = found.filter(|it| it.state != record::State::Terminated)?;
    Some(InstancePlace {
        runs: found.state == record::State::Running,
        task: found.id.clone(),
        id: found.id,
        region: found.region,
        interface: found.interface,
    })
}
