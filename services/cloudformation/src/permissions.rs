//! The stacks that calls touch, for the table's permissions. A stack is the same by its name and by
//! its id; a change set given by its ARN is its stack's.

use cloud::permission::{Permission, on};
use cloud::{ConditionKey, Cx, Touched};
use wire::Operation;

use crate::change_set::require_change_set;
use crate::lookup::{find_head, version_of};
use crate::record::Stack;

/// CloudFormation's service principal, to which its roles are passed.
pub const PRINCIPAL: &str = "cloudformation.amazonaws.com";

fn of_record(cx: &Cx, stack: &Stack) -> Touched {
    let tags = cx.read(|tx| version_of(tx, stack));
    let tags = tags.ok().flatten().map(|it| it.tags).unwrap_or_default();
    Touched::named(&stack.id).tagged(tags)
}

/// A stack by its name or id. One that is not there yet has an id that nobody knows, and one that is there
/// has one that is not told.
pub fn stack_touched(cx: &Cx, name_or_id: &str) -> Touched {
    let asked = match name_or_id.starts_with("arn:") {
        true => name_or_id.to_owned(),
        false => cx.arn("cloudformation", &format!("stack/{name_or_id}/*")),
    };
    match cx.read(|tx| find_head(cx, tx, name_or_id)).ok().flatten() {
        Some(stack) => of_record(cx, &stack).asked_as(asked),
        None => Touched::absent(asked),
    }
}

pub fn any_stack(cx: &Cx) -> Touched {
    Touched::any(cx.arn("cloudformation", "stack/*"))
}

pub fn stack_or_any(cx: &Cx, name_or_id: Option<&String>) -> Touched {
    match name_or_id {
        Some(it) => stack_touched(cx, it),
        None => any_stack(cx),
    }
}

/// The stack of a change set, by the change set's name and its stack's, or by its ARN alone.
pub fn stack_of_change_set(cx: &Cx, change_set: &str, of: Option<&str>) -> Touched {
    let found = cx.read(|tx| require_change_set(cx, tx, change_set, of));
    let asked = of.map_or_else(
        || change_set.to_owned(),
        |of| stack_touched(cx, of).asked.unwrap_or_else(|| of.to_owned()),
    );
    match (found, of) {
        (Ok(it), _) => stack_touched(cx, &it.stack_id),
        (Err(_), Some(of)) => stack_touched(cx, of),
        (Err(_), None) => any_stack(cx),
    }
    .asked_as(asked)
}

/// The stack that has a resource, by the resource's physical id.
pub fn stack_with(cx: &Cx, physical_id: &str) -> Touched {
    let found = cx.read(|tx| crate::describe::holder_of(cx, tx, physical_id));
    match found.ok().flatten() {
        Some(stack) => of_record(cx, &stack),
        None => any_stack(cx),
    }
    .asked_as(physical_id)
}

/// A change set's name, also where it is given by its ARN: `…:changeSet/NAME/UUID`.
pub fn change_set_name(name_or_id: &str) -> &str {
    match name_or_id.split_once(":changeSet/") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest),
        None => name_or_id,
    }
}

/// Where a template comes from and whom it is made by, as condition keys name it.
#[derive(Default)]
pub struct Made<'a> {
    pub template_url: Option<&'a str>,
    pub policy_url: Option<&'a str>,
    pub role: Option<&'a str>,
    pub types: Option<&'a [String]>,
    pub change_set: Option<&'a str>,
}

const MADE: &[&str] = &[
    "cloudformation:TemplateUrl",
    "cloudformation:StackPolicyUrl",
    "cloudformation:RoleArn",
    "cloudformation:ResourceTypes",
];
pub const MADE_BY_CHANGE_SET: &[&str] = &[
    "cloudformation:ChangeSetName",
    "cloudformation:TemplateUrl",
    "cloudformation:StackPolicyUrl",
    "cloudformation:RoleArn",
    "cloudformation:ResourceTypes",
    "cloudformation:ImportResourceTypes",
];
pub const CHANGE_SET: &[&str] = &["cloudformation:ChangeSetName"];
pub const ROLE: &[&str] = &["cloudformation:RoleArn"];
pub const TEMPLATE: &[&str] = &["cloudformation:TemplateUrl"];
pub const POLICY: &[&str] = &["cloudformation:StackPolicyUrl"];

impl Made<'_> {
    /// The keys among `names`.
    pub fn only(self, names: &[&str]) -> Vec<ConditionKey> {
        let one = |name: &str, value: Option<&str>| {
            ConditionKey::new(format!("cloudformation:{name}"), value)
        };
        let mut keys = vec![
            one("TemplateUrl", self.template_url),
            one("StackPolicyUrl", self.policy_url),
            one("RoleArn", self.role),
            one("ChangeSetName", self.change_set),
        ];
        let types = self.types.unwrap_or_default().to_vec();
        keys.push(ConditionKey::of_many("cloudformation:ResourceTypes", types));
        keys.retain(|it| names.contains(&it.name.as_str()));
        keys
    }
}

/// A stack that is made or updated: its name, and out of what.
pub fn making<I: Operation>(made: fn(&I) -> (&str, Made<'_>)) -> Permission<I> {
    on("stack", move |cx, it: &I| stack_touched(cx, made(it).0))
        .supplying(MADE, move |_, it: &I| made(it).1.only(MADE))
        .passing(PRINCIPAL, move |it: &I| {
            made(it).1.role.map(str::to_owned).into_iter().collect()
        })
}

/// A stack that is changed with a role: the one that is given now.
pub fn with_role<I: Operation>(
    name: fn(&I) -> &str,
    role: fn(&I) -> Option<&str>,
) -> Permission<I> {
    on("stack", move |cx, it: &I| stack_touched(cx, name(it)))
        .supplying(ROLE, move |_, it: &I| {
            vec![ConditionKey::new("cloudformation:RoleArn", role(it))]
        })
        .passing(PRINCIPAL, move |it: &I| {
            role(it).map(str::to_owned).into_iter().collect()
        })
}
