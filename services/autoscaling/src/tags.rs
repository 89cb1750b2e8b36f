//! Tags of groups, which instances that are launched get where the tag says so.

use cloud::{Cx, Error};
use shapes::autoscaling::errors::LimitExceededFault;
use shapes::autoscaling::*;

use crate::page::{MAX, page};
use crate::record::{self, GroupRecord, GroupTag};
use crate::rules::invalid;

/// Of one group (Amazon EC2 Auto Scaling User Guide, "Tag Auto Scaling groups and instances").
const TAGS_MAX: usize = 50;
const KIND: &str = "auto-scaling-group";

fn add(tags: &mut Vec<GroupTag>, tag: Tag) -> Result<(), Error> {
    let is_reserved = tag.key.starts_with("aws:") && !tag.key.starts_with("aws:cloudformation:");
    if tag.key.is_empty() || is_reserved {
        return Err(invalid(format!(
            "'{}' is no key of a tag: keys have 1 to 128 characters and do not begin with aws:",
            tag.key
        )));
    }
    tags.retain(|it| it.key != tag.key);
    tags.push(GroupTag {
        key: tag.key,
        value: tag.value.unwrap_or_default(),
        propagate: tag.propagate_at_launch.unwrap_or(true),
    });
    if tags.len() > TAGS_MAX {
        return Err(LimitExceededFault.because(format!("A group has at most {TAGS_MAX} tags")));
    }
    Ok(())
}

/// Those that a group is made with.
pub fn given(group: &str, given: Vec<Tag>) -> Result<Vec<GroupTag>, Error> {
    let mut tags = Vec::new();
    for tag in given {
        let named = tag.resource_id.as_deref().filter(|it| !it.is_empty());
        if named.is_some_and(|it| it != group) {
            return Err(invalid(
                "The resource of a tag must be the group that is created",
            ));
        }
        add(&mut tags, tag)?;
    }
    Ok(tags)
}

pub fn of(group: &GroupRecord) -> Vec<TagDescription> {
    let mut tags: Vec<TagDescription> = (group.tags.iter())
        .map(|it| TagDescription {
            resource_id: Some(group.name.clone()),
            resource_type: Some(KIND.to_owned()),
            key: Some(it.key.clone()),
            value: Some(it.value.clone()),
            propagate_at_launch: Some(it.propagate),
        })
        .collect();
    tags.sort_by(|a, b| a.key.cmp(&b.key));
    tags
}

/// Whether a filter of groups selects one: by its tags.
pub fn selects(group: &GroupRecord, filter: &Filter) -> Result<bool, Error> {
    let name = filter.name.as_deref().unwrap_or_default();
    let values = filter.values.as_deref().unwrap_or_default();
    let has = |it: &String| values.contains(it);
    match name {
        "tag-key" => Ok(group.tags.iter().any(|it| has(&it.key))),
        "tag-value" => Ok(group.tags.iter().any(|it| has(&it.value))),
        _ => match name.strip_prefix("tag:") {
            Some(key) => Ok((group.tags.iter()).any(|it| it.key == key && has(&it.value))),
            None => Err(invalid(format!("The filter '{name}' is invalid"))),
        },
    }
}

/// The group that a tag is of.
fn named(tag: &Tag) -> Result<&str, Error> {
    if tag.resource_type.as_deref().is_some_and(|it| it != KIND) {
        return Err(invalid(format!("The type of a tag's resource is {KIND}")));
    }
    let id = tag.resource_id.as_deref();
    id.ok_or_else(|| invalid("The ResourceId of a tag is required"))
}

pub async fn create_or_update_tags(
    cx: Cx,
    input: CreateOrUpdateTagsInput,
) -> Result<CreateOrUpdateTagsOutput, Error> {
    cx.write(|tx| {
        for tag in input.tags {
            let mut group = record::living_group(&cx, tx, named(&tag)?)?;
            add(&mut group.tags, tag)?;
            tx.put(&group)?;
        }
        Ok(CreateOrUpdateTagsOutput {})
    })
}

pub async fn delete_tags(cx: Cx, input: DeleteTagsInput) -> Result<DeleteTagsOutput, Error> {
    cx.write(|tx| {
        for tag in input.tags {
            let mut group = record::living_group(&cx, tx, named(&tag)?)?;
            group.tags.retain(|it| {
                it.key != tag.key || tag.value.as_ref().is_some_and(|value| it.value != *value)
            });
            tx.put(&group)?;
        }
        Ok(DeleteTagsOutput {})
    })
}

pub async fn describe_tags(cx: Cx, input: DescribeTagsInput) -> Result<DescribeTagsOutput, Error> {
    let groups = cx.read(|tx| tx.list::<GroupRecord>(&cx.key("")))?;
    let mut all: Vec<TagDescription> = groups.iter().flat_map(of).collect();
    for filter in input.filters.iter().flatten() {
        let values = filter.values.as_deref().unwrap_or_default();
        let has = |it: &Option<String>| it.as_ref().is_some_and(|it| values.contains(it));
        match filter.name.as_deref().unwrap_or_default() {
            "auto-scaling-group" => all.retain(|it| has(&it.resource_id)),
            "key" => all.retain(|it| has(&it.key)),
            "value" => all.retain(|it| has(&it.value)),
            "propagate-at-launch" => {
                all.retain(|it| has(&it.propagate_at_launch.map(|it| it.to_string())));
            }
            other => return Err(invalid(format!("The filter '{other}' is invalid"))),
        }
    }
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let keyed = (all.into_iter())
        .map(|it| (format!("{}/{}", text(&it.resource_id), text(&it.key)), it))
        .collect();
    let token = input.next_token.as_deref();
    let (all, next_token) = page(keyed, token, input.max_records, MAX)?;
    Ok(DescribeTagsOutput {
        tags: Some(all),
        next_token,
    })
}
