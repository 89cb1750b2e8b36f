//! How stacks are kept: what is under way apart from what is over, and each resource on its own.
//!
//! | kind | key | what |
//! |---|---|---|
//! | `cloudformation.stack` | `<region>/<name>/<uuid>` | a stack that is not deleted, without its resources |
//! | `cloudformation.deleted-stack` | the same | one that is; it is still described by its id |
//! | `cloudformation.resource` | the stack's key, and the logical id | |
//! | `cloudformation.deleted-by-age` | `<region>/<newest first>` | the order in which deleted stacks are listed |
//! | `cloudformation.deleted-by-end` | `<region>/<first deleted first>` | the order in which they are forgotten |
//!
//! So a name leads to its stack however many had it before, and what a step costs does not depend on the
//! number of its stack's resources. Stacks of older versions, deleted ones among them, are one record each
//! of the first kind, with their resources inside; they are kept in the new way when they are looked at
//! first, which the daemon does when it starts.

use cloud::{Error, Record, Records};
use serde::{Deserialize, Serialize};

use crate::record::{ChangeSet, Event, Resource, Stack, Version};
use crate::resources::Resources;

/// How many deleted stacks of a region are remembered, beside AWS's bound in days: a machine that runs
/// tests all day would fill its disk.
const DELETED_STACKS_MAX: u64 = 5_000;
/// How many events they have together: about 100 MB.
const DELETED_EVENTS_MAX: u64 = 200_000;
/// The API reference of `ListStacks`: deleted stacks are shown for 90 days.
const DELETED_MS_MAX: i64 = 90 * 24 * 60 * 60 * 1000;
/// How many are forgotten at once, with the end of another one: more than one, so that their number falls.
const FORGET_AT_ONCE: usize = 3;

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Live(Stack);

impl Record for Live {
    const KIND: &'static str = "cloudformation.stack";
    fn key(&self) -> String {
        self.0.key()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Deleted(Stack);

impl Record for Deleted {
    const KIND: &'static str = "cloudformation.deleted-stack";
    fn key(&self) -> String {
        self.0.key()
    }
}

#[derive(Serialize, Deserialize)]
struct KeptResource {
    stack: String,
    id: String,
    resource: Resource,
}

impl KeptResource {
    fn key_of(stack: &str, id: &str) -> String {
        format!("{stack}/{id}")
    }
}

impl Record for KeptResource {
    const KIND: &'static str = "cloudformation.resource";
    fn key(&self) -> String {
        Self::key_of(&self.stack, &self.id)
    }
}

/// The place of a deleted stack in the order of listing.
#[derive(Serialize, Deserialize)]
struct ByAge {
    key: String,
}

impl Record for ByAge {
    const KIND: &'static str = "cloudformation.deleted-by-age";
    fn key(&self) -> String {
        self.key.clone()
    }
}

/// The place of a deleted stack in the order of forgetting, and how many events go with it.
#[derive(Serialize, Deserialize)]
struct ByEnd {
    key: String,
    stack: String,
    events: u64,
}

impl Record for ByEnd {
    const KIND: &'static str = "cloudformation.deleted-by-end";
    fn key(&self) -> String {
        self.key.clone()
    }
}

/// What is remembered of a region's deleted stacks together.
#[derive(Serialize, Deserialize)]
struct DeletedTally {
    region: String,
    stacks: u64,
    events: u64,
}

impl Record for DeletedTally {
    const KIND: &'static str = "cloudformation.deleted-tally";
    fn key(&self) -> String {
        self.region.clone()
    }
}

/// A stack without its resources.
pub fn head(tx: &Records<'_>, key: &str) -> Result<Option<Stack>, Error> {
    if let Some(live) = tx.get::<Live>(key)? {
        return Ok(Some(live.0));
    }
    Ok(tx.get::<Deleted>(key)?.map(|it| it.0))
}

/// A stack with one of its resources.
pub fn part(tx: &Records<'_>, key: &str, id: &str) -> Result<Option<Stack>, Error> {
    let Some(mut stack) = head(tx, key)? else {
        return Ok(None);
    };
    if !stack.resources.is_whole() {
        let resource = tx.get::<KeptResource>(&KeptResource::key_of(key, id))?;
        stack.resources = Resources::one(id, resource.map(|it| it.resource));
    }
    Ok(Some(stack))
}

pub fn whole(tx: &Records<'_>, key: &str) -> Result<Option<Stack>, Error> {
    match head(tx, key)? {
        Some(stack) => completed(tx, stack).map(Some),
        None => Ok(None),
    }
}

/// A stack with all its resources, whatever was read of them.
pub fn completed(tx: &Records<'_>, mut stack: Stack) -> Result<Stack, Error> {
    if !stack.resources.is_whole() {
        let kept: Vec<KeptResource> = tx.list(&format!("{}/", stack.key()))?;
        let kept = kept.into_iter().map(|it| (it.id, it.resource));
        stack.resources = Resources::all(kept.collect());
    }
    Ok(stack)
}

/// The stack that has a name now, without its resources.
pub fn named(tx: &Records<'_>, region: &str, name: &str) -> Result<Option<Stack>, Error> {
    let found: Vec<Live> = tx.list(&format!("{region}/{name}/"))?;
    let mut found = found.into_iter().map(|it| it.0);
    Ok(found.find(|it| !it.is_deleted()))
}

/// Every stack of a region that is not deleted, without its resources.
pub fn living(tx: &Records<'_>, region: &str) -> Result<Vec<Stack>, Error> {
    let mut found = in_the_way(tx, region)?;
    found.retain(|it| !it.is_deleted());
    Ok(found)
}

/// The same with those that an older version deleted and nobody has put away yet.
pub fn in_the_way(tx: &Records<'_>, region: &str) -> Result<Vec<Stack>, Error> {
    let found: Vec<Live> = tx.list(&format!("{region}/"))?;
    Ok(found.into_iter().map(|it| it.0).collect())
}

/// A stack's place among others, newest first: what pages begin after.
pub fn place_by_age(stack: &Stack) -> String {
    let (name, uuid) = (&stack.name, &stack.uuid);
    format!("{:020}/{name}/{uuid}", i64::MAX - stack.created_ms.max(0))
}

/// At most `limit` deleted stacks that come after a place in that order, without their resources.
pub fn deleted_after(
    tx: &Records<'_>,
    region: &str,
    place: &str,
    limit: usize,
) -> Result<Vec<Stack>, Error> {
    let prefix = format!("{region}/");
    let places = tx.page_keys::<ByAge>(&prefix, &format!("{prefix}{place}"), limit)?;
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        let path = place.splitn(3, '/').nth(2).unwrap_or_default();
        found.extend(
            tx.get::<Deleted>(&format!("{prefix}{path}"))?
                .map(|it| it.0),
        );
    }
    Ok(found)
}

/// Keeps a stack, with those of its resources that were changed.
pub fn save(tx: &Records<'_>, mut stack: Stack) -> Result<Stack, Error> {
    let key = stack.key();
    stack.saves += 1;
    for (id, resource) in stack.resources.take_changed() {
        match resource {
            Some(resource) => tx.put(&KeptResource {
                stack: key.clone(),
                id,
                resource: resource.clone(),
            })?,
            None => {
                tx.delete::<KeptResource>(&KeptResource::key_of(&key, &id))?;
            }
        }
    }
    if stack.is_deleted() {
        return put_away(tx, &key, stack);
    }
    let live = Live(stack);
    tx.put(&live)?;
    Ok(live.0)
}

/// A deleted stack is out of the way of those that live.
fn put_away(tx: &Records<'_>, key: &str, stack: Stack) -> Result<Stack, Error> {
    tx.delete::<Live>(key)?;
    let is_new = tx.get::<Deleted>(key)?.is_none();
    let deleted = Deleted(stack);
    tx.put(&deleted)?;
    let stack = deleted.0;
    if !is_new {
        return Ok(stack);
    }
    let region = &stack.region;
    tx.put(&ByAge {
        key: format!("{region}/{}", place_by_age(&stack)),
    })?;
    let end_ms = stack.deleted_ms.unwrap_or_default().max(0);
    let events = stack.events.min(EVENTS_MAX);
    tx.put(&ByEnd {
        key: format!("{region}/{end_ms:020}/{}/{}", stack.name, stack.uuid),
        stack: key.to_owned(),
        events,
    })?;
    let tally = tx.get::<DeletedTally>(region)?;
    let (stacks, before) = tally.map_or((0, 0), |it| (it.stacks, it.events));
    let tally = DeletedTally {
        region: region.clone(),
        stacks: stacks + 1,
        events: before + events,
    };
    forget_old(tx, tally, end_ms)?;
    Ok(stack)
}

/// Forgets deleted stacks that are beyond the bounds, first deleted first.
fn forget_old(tx: &Records<'_>, mut tally: DeletedTally, now_ms: i64) -> Result<(), Error> {
    let prefix = format!("{}/", tally.region);
    for oldest in tx.page::<ByEnd>(&prefix, "", FORGET_AT_ONCE)? {
        let horizon = format!("{prefix}{:020}", now_ms - DELETED_MS_MAX);
        let is_over = tally.stacks > DELETED_STACKS_MAX
            || tally.events > DELETED_EVENTS_MAX
            || oldest.key < horizon;
        if !is_over {
            break;
        }
        tally.stacks = tally.stacks.saturating_sub(1);
        tally.events = tally.events.saturating_sub(oldest.events);
        forget(tx, &oldest)?;
    }
    tx.put(&tally)
}

fn forget(tx: &Records<'_>, place: &ByEnd) -> Result<(), Error> {
    let key = &place.stack;
    if let Some(Deleted(stack)) = tx.get::<Deleted>(key)? {
        tx.delete::<ByAge>(&format!("{}/{}", stack.region, place_by_age(&stack)))?;
    }
    let inside = format!("{key}/");
    delete_all::<Event>(tx, &inside)?;
    delete_all::<Version>(tx, &inside)?;
    delete_all::<ChangeSet>(tx, &inside)?;
    delete_all::<KeptResource>(tx, &inside)?;
    tx.delete::<Deleted>(key)?;
    tx.delete::<ByEnd>(&place.key)?;
    Ok(())
}

fn delete_all<R: Record>(tx: &Records<'_>, prefix: &str) -> Result<(), Error> {
    for key in tx.keys::<R>(prefix)? {
        tx.delete::<R>(&key)?;
    }
    Ok(())
}

/// How many events of a stack are remembered, the newest. AWS keeps those of 90 days; one of a stack that
/// is updated all day would fill the disk.
pub const EVENTS_MAX: u64 = 10_000;
