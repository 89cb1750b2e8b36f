//! What is stored of groups, and of what belongs to them.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::autoscaling::{
    AvailabilityZoneDistribution, CreateLaunchConfigurationInput, LaunchTemplateSpecification,
    LifecycleState, MixedInstancesPolicy,
};

use crate::rules::invalid;

/// What a group's instances are launched by: one of the three.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    pub configuration: Option<String>,
    pub template: Option<LaunchTemplateSpecification>,
    pub mixed: Option<MixedInstancesPolicy>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupTag {
    pub key: String,
    pub value: String,
    pub propagate: bool,
}

/// A zone that instances are launched in, and the subnet there; without one, the zone's default subnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    pub zone: String,
    pub subnet: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    pub region: String,
    pub account: String,
    /// The id in its ARN.
    pub id: String,
    pub name: String,
    pub min: i32,
    pub max: i32,
    pub desired: i32,
    pub launch: Launch,
    pub default_cooldown: i32,
    pub places: Vec<Place>,
    /// As it was given.
    pub vpc_zone_identifier: Option<String>,
    pub target_groups: Vec<String>,
    pub health_check_type: String,
    pub grace_s: i32,
    pub termination_policies: Vec<String>,
    pub protect_new: bool,
    pub tags: Vec<GroupTag>,
    pub service_linked_role: String,
    pub context: Option<String>,
    pub warmup_s: Option<i32>,
    pub distribution: Option<AvailabilityZoneDistribution>,
    /// Processes that are suspended, and why.
    pub suspended: BTreeMap<String, String>,
    pub metrics: Vec<String>,
    pub created_ms: i64,
    pub deleting: bool,
    /// Why the desired capacity is what it is, while instances are still missing or too many.
    pub cause: Option<String>,
    /// Instances that were taken away for their health and are to be launched again.
    pub replacing: i32,
    /// How often launching failed in a row, and until when none is tried.
    pub failures: u32,
    pub retry_at_ms: i64,
    pub failed_zone: Option<String>,
    /// When its capacity was last changed by a simple policy or a request that honours the cooldown.
    pub scaled_ms: Option<i64>,
    pub last_out_ms: Option<i64>,
    pub last_out_from: i32,
    pub last_in_ms: Option<i64>,
    pub next_serial: i64,
    pub next_activity: i64,
}

impl Record for GroupRecord {
    const KIND: &'static str = "autoscaling.group";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

impl GroupRecord {
    pub fn arn(&self) -> String {
        let resource = format!(
            "autoScalingGroup:{}:autoScalingGroupName/{}",
            self.id, self.name
        );
        cloud::arn("autoscaling", &self.region, &self.account, &resource)
    }

    /// What the keys of everything that belongs to it begin with.
    pub fn prefix(&self) -> String {
        format!("{}/", self.key())
    }

    pub fn suspends(&self, process: &str) -> bool {
        self.suspended.contains_key(process)
    }
}

/// What an instance was launched by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LaunchedBy {
    pub configuration: Option<String>,
    /// With the number of the version.
    pub template: Option<LaunchTemplateSpecification>,
}

/// An instance waits for somebody to say that it may go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HookWait {
    pub name: String,
    pub token: String,
    /// When its default result counts, and when waiting ends however often it is put off.
    pub deadline_ms: i64,
    pub last_ms: i64,
    pub heartbeat_s: i32,
    pub default_goes_on: bool,
    pub goes_on: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceRecord {
    pub region: String,
    pub group: String,
    /// Given in order, before the instance has an id.
    pub serial: i64,
    /// What makes a repeated launch the same launch.
    pub token: String,
    pub id: Option<String>,
    pub place: Place,
    pub instance_type: Option<String>,
    pub image_id: Option<String>,
    pub weight: Option<i32>,
    pub launched_by: LaunchedBy,
    pub state: LifecycleState,
    /// Why it is not healthy.
    pub unhealthy: Option<String>,
    pub protected: bool,
    pub launched_ms: i64,
    pub in_service_ms: Option<i64>,
    pub hook: Option<HookWait>,
    /// Names of hooks that it has passed on its way in this direction.
    pub passed: Vec<String>,
    /// It was taken out of its target groups.
    pub deregistered: bool,
    /// EC2 was told to end it.
    pub ended: bool,
    /// Its activity that is under way.
    pub activity: Option<i64>,
}

impl Record for InstanceRecord {
    const KIND: &'static str = "autoscaling.instance";
    fn key(&self) -> String {
        format!("{}/{}/{:012}", self.region, self.group, self.serial)
    }
}

impl InstanceRecord {
    pub fn units(&self) -> i32 {
        self.weight.unwrap_or(1)
    }

    /// Whether it is part of the group's capacity.
    pub fn counts(&self) -> bool {
        self.is_pending() || self.state == LifecycleState::InService
    }

    pub fn is_pending(&self) -> bool {
        matches!(
            self.state,
            LifecycleState::Pending | LifecycleState::PendingWait | LifecycleState::PendingProceed
        )
    }

    pub fn is_terminating(&self) -> bool {
        matches!(
            self.state,
            LifecycleState::Terminating
                | LifecycleState::TerminatingWait
                | LifecycleState::TerminatingProceed
        )
    }

    pub fn is_settled(&self) -> bool {
        matches!(
            self.state,
            LifecycleState::InService | LifecycleState::Standby
        )
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HookRecord {
    pub region: String,
    pub group: String,
    pub name: String,
    pub transition: String,
    pub role_arn: Option<String>,
    pub metadata: Option<String>,
    pub heartbeat_s: i32,
    /// `CONTINUE` or `ABANDON`.
    pub default_result: String,
}

impl Record for HookRecord {
    const KIND: &'static str = "autoscaling.hook";
    fn key(&self) -> String {
        format!("{}/{}/{}", self.region, self.group, self.name)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationRecord {
    pub region: String,
    pub account: String,
    pub id: String,
    pub created_ms: i64,
    pub given: CreateLaunchConfigurationInput,
}

impl Record for ConfigurationRecord {
    const KIND: &'static str = "autoscaling.launch-configuration";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.given.launch_configuration_name)
    }
}

impl ConfigurationRecord {
    pub fn arn(&self) -> String {
        let resource = format!(
            "launchConfiguration:{}:launchConfigurationName/{}",
            self.id, self.given.launch_configuration_name
        );
        cloud::arn("autoscaling", &self.region, &self.account, &resource)
    }
}

/// The group, unless it is there no more.
pub fn group(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<GroupRecord, Error> {
    tx.get::<GroupRecord>(&cx.key(name))?.ok_or_else(|| {
        invalid(format!(
            "AutoScalingGroup name not found - no such group: {name}"
        ))
    })
}

/// The same of one that is not being deleted, for who changes something.
pub fn living_group(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<GroupRecord, Error> {
    let found = group(cx, tx, name)?;
    match found.deleting {
        false => Ok(found),
        true => Err(shapes::autoscaling::errors::ScalingActivityInProgressFault
            .because(format!("AutoScalingGroup {name} is being deleted"))),
    }
}

pub fn instances(tx: &Records<'_>, group: &GroupRecord) -> Result<Vec<InstanceRecord>, Error> {
    tx.list(&group.prefix())
}

/// `2026-11-30T12:00:00Z`, as causes say it.
pub fn at(ms: i64) -> String {
    wire::Timestamp((ms / 1000) as f64).to_string()
}
