//! Tags of roles, users, policies and instance profiles.

use cloud::{Cx, Error, TAGS_MAX};
use shapes::iam::errors::InvalidInputException;
use shapes::iam::*;

use crate::grants::Holder;
use crate::names::{limit, page};
use crate::policy::CustomerPolicy;
use crate::profile::Profile;
use crate::role::RoleRecord;
use crate::user::UserRecord;

pub use cloud::TagMap as Tags;

pub fn add(tags: &mut Tags, more: Vec<Tag>) -> Result<(), Error> {
    let mut seen = Vec::with_capacity(more.len());
    for tag in more {
        let lower = tag.key.to_lowercase();
        if seen.contains(&lower) {
            return Err(InvalidInputException.because(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        seen.push(lower);
        tags.insert(tag.key, tag.value);
    }
    if tags.len() > TAGS_MAX {
        return Err(limit("TagsPerResource", TAGS_MAX));
    }
    Ok(())
}

/// The tags of a resource that is being made.
pub fn new(given: Option<Vec<Tag>>) -> Result<Tags, Error> {
    let mut tags = Tags::new();
    add(&mut tags, given.unwrap_or_default())?;
    Ok(tags)
}

/// As they are answered; absent when there are none.
pub fn shown(tags: &Tags) -> Option<Vec<Tag>> {
    (!tags.is_empty()).then(|| list(tags))
}

fn list(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag {
        key: key.clone(),
        value: value.clone(),
    };
    tags.iter().map(tag).collect()
}

pub async fn tag_role(cx: Cx, input: TagRoleInput) -> Result<TagRoleOutput, Error> {
    cx.change(
        |tx| RoleRecord::find(tx, &input.role_name),
        |it| add(&mut it.tags, input.tags),
    )?;
    Ok(TagRoleOutput {})
}

pub async fn untag_role(cx: Cx, input: UntagRoleInput) -> Result<UntagRoleOutput, Error> {
    cx.change(
        |tx| RoleRecord::find(tx, &input.role_name),
        |it| remove(&mut it.tags, &input.tag_keys),
    )?;
    Ok(UntagRoleOutput {})
}

pub async fn list_role_tags(cx: Cx, input: ListRoleTagsInput) -> Result<ListRoleTagsOutput, Error> {
    let role = cx.read(|tx| RoleRecord::find(tx, &input.role_name))?;
    let tags = list(&role.tags);
    let page = page(tags, |it| &it.key, input.marker.as_deref(), input.max_items)?;
    Ok(ListRoleTagsOutput {
        tags: page.items,
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn tag_user(cx: Cx, input: TagUserInput) -> Result<TagUserOutput, Error> {
    cx.change(
        |tx| UserRecord::find(tx, &input.user_name),
        |it| add(&mut it.tags, input.tags),
    )?;
    Ok(TagUserOutput {})
}

pub async fn untag_user(cx: Cx, input: UntagUserInput) -> Result<UntagUserOutput, Error> {
    cx.change(
        |tx| UserRecord::find(tx, &input.user_name),
        |it| remove(&mut it.tags, &input.tag_keys),
    )?;
    Ok(UntagUserOutput {})
}

pub async fn list_user_tags(cx: Cx, input: ListUserTagsInput) -> Result<ListUserTagsOutput, Error> {
    let user = cx.read(|tx| UserRecord::find(tx, &input.user_name))?;
    let tags = list(&user.tags);
    let page = page(tags, |it| &it.key, input.marker.as_deref(), input.max_items)?;
    Ok(ListUserTagsOutput {
        tags: page.items,
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn tag_policy(cx: Cx, input: TagPolicyInput) -> Result<TagPolicyOutput, Error> {
    cx.change(
        |tx| CustomerPolicy::find(&cx, tx, &input.policy_arn),
        |it| add(&mut it.tags, input.tags),
    )?;
    Ok(TagPolicyOutput {})
}

pub async fn untag_policy(cx: Cx, input: UntagPolicyInput) -> Result<UntagPolicyOutput, Error> {
    cx.change(
        |tx| CustomerPolicy::find(&cx, tx, &input.policy_arn),
        |it| remove(&mut it.tags, &input.tag_keys),
    )?;
    Ok(UntagPolicyOutput {})
}

pub async fn list_policy_tags(
    cx: Cx,
    input: ListPolicyTagsInput,
) -> Result<ListPolicyTagsOutput, Error> {
    let policy = cx.read(|tx| CustomerPolicy::find(&cx, tx, &input.policy_arn))?;
    let tags = list(&policy.tags);
    let page = page(tags, |it| &it.key, input.marker.as_deref(), input.max_items)?;
    Ok(ListPolicyTagsOutput {
        tags: page.items,
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn tag_instance_profile(
    cx: Cx,
    input: TagInstanceProfileInput,
) -> Result<TagInstanceProfileOutput, Error> {
    cx.change(
        |tx| Profile::find(tx, &input.instance_profile_name),
        |it| add(&mut it.tags, input.tags),
    )?;
    Ok(TagInstanceProfileOutput {})
}

pub async fn list_instance_profile_tags(
    cx: Cx,
    input: ListInstanceProfileTagsInput,
) -> Result<ListInstanceProfileTagsOutput, Error> {
    let profile = cx.read(|tx| Profile::find(tx, &input.instance_profile_name))?;
    let tags = list(&profile.tags);
    let page = page(tags, |it| &it.key, input.marker.as_deref(), input.max_items)?;
    Ok(ListInstanceProfileTagsOutput {
        tags: page.items,
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn untag_instance_profile(
    cx: Cx,
    input: UntagInstanceProfileInput,
) -> Result<UntagInstanceProfileOutput, Error> {
    cx.change(
        |tx| Profile::find(tx, &input.instance_profile_name),
        |it| remove(&mut it.tags, &input.tag_keys),
    )?;
    Ok(UntagInstanceProfileOutput {})
}

fn remove(tags: &mut Tags, keys: &[String]) -> Result<(), Error> {
    cloud::remove_tags(tags, keys);
    Ok(())
}
