//! What is stored about stacks.
//!
//! A stack's record is the whole truth about its operation: which phase it is in and what is known
//! of each resource. It never holds a position in code, so that any process can go on from it.

use std::collections::{BTreeMap, BTreeSet};

use cloud::Record;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use shapes::cloudformation::{Capability, DifferenceType, StackStatus};
use template::DeletionPolicy;

use crate::asker::Asker;
use crate::resources::Resources;

/// A stack, with what was read of its resources. [`crate::kept`] says how it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    pub region: String,
    pub name: String,
    pub uuid: String,
    pub id: String,
    pub status: StackStatus,
    pub status_reason: Option<String>,
    pub created_ms: i64,
    pub updated_ms: Option<i64>,
    pub deleted_ms: Option<i64>,
    /// The version that the stack shows: what it was made from last. None while in review.
    pub version: Option<u64>,
    /// The newest version there is: numbers are never used twice.
    pub versions: u64,
    /// What is under way. None when the stack rests.
    pub operation: Option<Operation>,
    /// How many operations there have been: part of every token.
    pub operations: u64,
    #[serde(default, skip_serializing)]
    pub resources: Resources,
    pub outputs: Vec<Output>,
    /// Names of exports that its properties use.
    pub imports: BTreeSet<String>,
    pub termination_protection: bool,
    pub policy: Option<String>,
    pub disable_rollback: bool,
    pub retain_except_on_create: bool,
    pub timeout_minutes: Option<i32>,
    pub change_set_id: Option<String>,
    /// The newest event's number.
    pub events: u64,
    /// The token of the request that made the stack, and of the last that changed it.
    pub create_token: Option<String>,
    pub update_token: Option<String>,
    /// Set for a stack that is a resource of another.
    #[serde(default)]
    pub nested: Option<Nested>,
    /// What was found when somebody last looked.
    #[serde(default)]
    pub drift: Option<StackDrift>,
    /// The role that its resources are made with, from when it was given on.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// Who asked for the operation that is under way, or was last.
    #[serde(default)]
    pub asked_by: Option<Asker>,
    /// How often it was kept: who has it in memory sees whether somebody else has changed it.
    #[serde(default)]
    pub saves: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackDrift {
    pub checked_ms: i64,
    /// How many resources had drifted.
    pub drifted: usize,
}

/// What has become of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    pub is_deleted: bool,
    pub checked_ms: i64,
    pub expected: Json,
    pub actual: Json,
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    pub path: String,
    pub expected: String,
    pub actual: String,
    pub kind: DifferenceType,
}

/// One look at a stack's drift, under `<region>/<id>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    pub region: String,
    pub id: String,
    pub stack_id: String,
    pub at_ms: i64,
    pub drifted: usize,
    /// What could not be looked at, and why.
    pub failure: Option<String>,
}

impl Record for Detection {
    const KIND: &'static str = "cloudformation.drift-detection";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// What a nested stack knows of the stack that it is in; see [`crate::nested`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nested {
    /// The parent's key.
    pub parent: String,
    pub parent_id: String,
    pub root_id: String,
    /// What the parent asked for last, and the token that it asked with.
    pub wanted: Wanted,
    pub token: String,
    /// Why it has not become so.
    pub failure: Option<String>,
    /// What the stack showed before the update that may still be taken back.
    pub was: Option<Was>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    Create,
    Update,
    /// Back to what it was before the update.
    Restore,
    /// The last request found everything as it should be.
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Was {
    pub version: Option<u64>,
    pub outputs: Vec<Output>,
    pub imports: BTreeSet<String>,
}

/// A template with everything that was given along with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The key of the stack.
    pub stack: String,
    pub number: u64,
    /// What the stack is made from.
    pub template: String,
    /// The template before its transforms, where they changed it.
    #[serde(default)]
    pub original: Option<String>,
    /// As they were given: defaults are the template's.
    pub parameters: BTreeMap<String, String>,
    /// What was found in the Parameter Store, by the template's names of the parameters.
    #[serde(default)]
    pub stored: BTreeMap<String, String>,
    /// Parameters that are secret because they are so in the stack above.
    #[serde(default)]
    pub hidden: BTreeSet<String>,
    pub tags: BTreeMap<String, String>,
    pub capabilities: Vec<Capability>,
}

impl Version {
    pub fn key_of(stack: &str, number: u64) -> String {
        format!("{stack}/{number:06}")
    }
}

impl Record for Version {
    const KIND: &'static str = "cloudformation.version";
    fn key(&self) -> String {
        Self::key_of(&self.stack, self.number)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub number: u64,
    pub phase: Phase,
    /// The version that is being made (or was, while it is undone).
    pub target: u64,
    pub on_failure: OnFailure,
    pub began_ms: i64,
    /// When the stack itself gives up (`TimeoutInMinutes`).
    pub deadline_ms: Option<i64>,
    /// Why the whole operation failed, beyond its resources.
    pub failure: Option<String>,
    /// Resources that a deletion leaves alone.
    pub retain: BTreeSet<String>,
    pub token: Option<String>,
    /// It is part of an operation of the stack above: its cleaning up is held.
    #[serde(default)]
    pub is_part: bool,
    /// Everything is done but the cleaning up, which waits for the stack above.
    #[serde(default)]
    pub is_held: bool,
    /// A deletion that undoes a failed operation of the stack above.
    #[serde(default)]
    pub is_undone: bool,
    /// The stack policy that holds for this operation instead of the stack's own.
    #[serde(default)]
    pub policy: Option<String>,
}

/// What an operation is doing.
///
/// ```text
/// Create ──> done            Update ──> UpdateCleanup ──> done        Delete ──> done
///   └─> Rollback ──> done      └─> UpdateRollback ──> RollbackCleanup ──> done
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Create,
    /// Deletes what a failed creation made.
    Rollback,
    Update,
    /// Deletes what the update replaced or left out.
    UpdateCleanup,
    /// Brings back what the update changed.
    UpdateRollback,
    /// Deletes what the failed update made.
    RollbackCleanup,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    Rollback,
    DoNothing,
    Delete,
}

/// What is known of one logical id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    pub resource_type: String,
    pub status: String,
    pub status_reason: Option<String>,
    pub updated_ms: i64,
    /// The physical id that is shown, also after the resource is gone.
    pub shown_id: Option<String>,
    pub current: Option<Instance>,
    /// What `current` was before this update touched it.
    pub before: Before,
    /// Instances that have been replaced and are still there.
    pub leftovers: Vec<Leftover>,
    pub work: Option<Work>,
    /// Signals by their sender, since the resource was last begun to be made: true for success.
    #[serde(default)]
    pub signals: BTreeMap<String, bool>,
    /// What was found when somebody last looked, since it was last changed.
    #[serde(default)]
    pub drift: Option<Drift>,
    /// How the present phase has ended for this resource, if it has.
    pub outcome: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Before {
    Untouched,
    Absent,
    Was(Box<Instance>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Settled,
    Failed,
    /// Was stopped because something else failed.
    Cancelled,
}

/// A resource that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub physical_id: String,
    pub resource_type: String,
    /// What it was made from.
    pub goal: Goal,
    /// What `Fn::GetAtt` answers.
    pub attributes: BTreeMap<String, Json>,
}

/// What a resource is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    pub properties: Json,
    /// The same with NoEcho parameters masked: for events.
    pub shown: Json,
    pub tags: BTreeMap<String, String>,
    /// Logical ids that have to exist as long as this does.
    pub needs: BTreeSet<String>,
    pub deletion_policy: Policy,
    pub update_replace_policy: Policy,
    /// What has to be heard before it counts as made.
    #[serde(default)]
    pub signals: Option<Signals>,
    /// How it is updated, where its type lets a template say so.
    #[serde(default)]
    pub update_policy: Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    pub count: u32,
    pub timeout_ms: i64,
}

/// [`DeletionPolicy`], stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    Delete,
    Retain,
    RetainExceptOnCreate,
}

impl From<DeletionPolicy> for Policy {
    fn from(policy: DeletionPolicy) -> Self {
        match policy {
            DeletionPolicy::Delete => Self::Delete,
            // A snapshot is refused before anything is made; what cannot be saved is kept.
            DeletionPolicy::Retain | DeletionPolicy::Snapshot => Self::Retain,
            DeletionPolicy::RetainExceptOnCreate => Self::RetainExceptOnCreate,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leftover {
    pub instance: Instance,
    /// What decides whether it may be deleted.
    pub policy: Policy,
    /// It could not be deleted; tried again when the stack is deleted.
    pub failed: bool,
}

/// Something that is being done to a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    pub action: Action,
    /// The same for every repetition of this work, and for no other.
    pub token: String,
    pub resource_type: String,
    pub goal: Goal,
    /// Of what it is done to; of what it made, once that is known.
    pub physical_id: Option<String>,
    pub stage: Stage,
    pub began_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Create,
    /// Create a new one; the present one becomes a leftover.
    Replace,
    Update,
    /// Update back to what it was.
    Restore,
    /// Deletes the instance with the work's physical id.
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The call may or may not have been made.
    Started,
    /// The call was made: waiting until it is true.
    Applied,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub key: String,
    pub value: String,
    pub description: Option<String>,
    pub export: Option<String>,
    /// What the template says, when it refers to the Parameter Store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

/// An export of the region, under `<region>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    pub region: String,
    pub name: String,
    pub value: String,
    pub stack_id: String,
}

impl Record for Export {
    const KIND: &'static str = "cloudformation.export";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

/// Under the stack's key and its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub stack: String,
    pub number: u64,
    pub event_id: String,
    pub at_ms: i64,
    pub logical_id: String,
    pub physical_id: Option<String>,
    pub resource_type: String,
    pub status: String,
    pub reason: Option<String>,
    pub properties: Option<String>,
    pub token: Option<String>,
    /// The operation of the stack that it is of.
    #[serde(default)]
    pub operation: Option<u64>,
}

impl Event {
    pub fn key_of(stack: &str, number: u64) -> String {
        format!("{stack}/{number:012}")
    }
}

impl Record for Event {
    const KIND: &'static str = "cloudformation.event";
    fn key(&self) -> String {
        Self::key_of(&self.stack, self.number)
    }
}

pub const STACK_TYPE: &str = "AWS::CloudFormation::Stack";

impl Resource {
    pub fn new(resource_type: &str, now_ms: i64) -> Self {
        Self {
            resource_type: resource_type.to_owned(),
            status: String::new(),
            status_reason: None,
            updated_ms: now_ms,
            shown_id: None,
            current: None,
            before: Before::Untouched,
            leftovers: Vec::new(),
            work: None,
            signals: BTreeMap::new(),
            drift: None,
            outcome: None,
        }
    }

    /// Every instance that exists.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        (self.current.iter()).chain(self.leftovers.iter().map(|it| &it.instance))
    }
}

impl Stack {
    /// What a wake-up of a stack is called by.
    pub const KIND: &'static str = <crate::kept::Live as Record>::KIND;

    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.region, self.name, self.uuid)
    }

    /// Takes over what was just kept of it, and answers the resources that it is about. None when it is
    /// not what was kept next: somebody else has changed the stack.
    pub fn absorb(&mut self, mut newer: Self) -> Option<Vec<String>> {
        if newer.saves != self.saves + 1 {
            return None;
        }
        let mut resources = std::mem::take(&mut self.resources);
        let ids = resources.absorb(std::mem::take(&mut newer.resources));
        *self = Self { resources, ..newer };
        Some(ids)
    }

    pub fn is_deleted(&self) -> bool {
        self.status == StackStatus::DeleteComplete
    }
}

/// Under the stack's key and its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// The key of the stack.
    pub stack: String,
    pub stack_id: String,
    pub stack_name: String,
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub is_creation: bool,
    /// What it would make; it has no number before it is executed.
    pub version: Version,
    pub on_failure: Option<OnFailure>,
    pub created_ms: i64,
    pub changes: Vec<shapes::cloudformation::Change>,
    /// Whether the stacks in the stack were to be looked into as well.
    #[serde(default)]
    pub include_nested_stacks: bool,
    #[serde(default)]
    pub import_existing_resources: bool,
    /// Why there is nothing to execute.
    pub failure: Option<String>,
    /// The operation of the stack that executes it.
    pub executed_by: Option<u64>,
    /// The stack as it was when the changes were computed: another operation makes them obsolete.
    pub operations: u64,
    /// The role that its execution gives to the stack.
    #[serde(default)]
    pub role_arn: Option<String>,
    pub token: Option<String>,
}

impl Record for ChangeSet {
    const KIND: &'static str = "cloudformation.change-set";
    fn key(&self) -> String {
        format!("{}/{}", self.stack, self.name)
    }
}
