//! Tags of load balancers, target groups, listeners and rules.

use cloud::{Cx, Error, Record, Records};
use shapes::elbv2::errors::{DuplicateTagKeysException, TooManyTagsException};
use shapes::elbv2::{
    AddTagsInput, AddTagsOutput, DescribeTagsInput, DescribeTagsOutput, RemoveTagsInput,
    RemoveTagsOutput, Tag, TagDescription,
};

use crate::balancer::unsupported;
use crate::names;
use crate::record::{self, Kind, Tags};

/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 50;

pub fn given(tags: Option<&Vec<Tag>>) -> Result<Tags, Error> {
    let mut given = Tags::new();
    for tag in tags.into_iter().flatten() {
        let value = tag.value.clone().unwrap_or_default();
        if given.insert(tag.key.clone(), value).is_some() {
            return Err(DuplicateTagKeysException
                .because(format!("The tag key '{}' is given more than once", tag.key)));
        }
    }
    check_count(&given)?;
    Ok(given)
}

fn check_count(tags: &Tags) -> Result<(), Error> {
    if tags.len() <= TAGS_MAX {
        return Ok(());
    }
    Err(TooManyTagsException.because(format!("A resource has at most {TAGS_MAX} tags")))
}

/// Runs `edit` on the tags of whatever has this ARN, stores the result and returns it.
fn edit(cx: &Cx, tx: &Records<'_>, arn: &str, edit: impl FnOnce(&mut Tags)) -> Result<Tags, Error> {
    fn change<R: Record>(
        tx: &Records<'_>,
        mut record: R,
        tags: fn(&mut R) -> &mut Tags,
        edit: impl FnOnce(&mut Tags),
    ) -> Result<Tags, Error> {
        let before = tags(&mut record).clone();
        edit(tags(&mut record));
        let after = tags(&mut record).clone();
        check_count(&after)?;
        if before != after {
            tx.put(&record)?;
        }
        Ok(after)
    }
    match record::kind_of(arn) {
        Kind::Balancer => change(tx, record::balancer(cx, tx, arn)?, |it| &mut it.tags, edit),
        Kind::TargetGroup => change(
            tx,
            record::target_group(cx, tx, arn)?,
            |it| &mut it.tags,
            edit,
        ),
        Kind::Listener => change(tx, record::listener(cx, tx, arn)?, |it| &mut it.tags, edit),
        Kind::Rule => edit_rule(cx, tx, arn, edit),
    }
}

fn edit_rule(
    cx: &Cx,
    tx: &Records<'_>,
    arn: &str,
    edit: impl FnOnce(&mut Tags),
) -> Result<Tags, Error> {
    let (mut listener, id) = record::rule(cx, tx, arn)?;
    let default = id == listener.default_rule();
    let mut none = Tags::new();
    let rule = listener.rules.iter_mut().find(|it| it.id == id);
    let tags = rule.map_or(&mut none, |it| &mut it.tags);
    let before = tags.clone();
    edit(tags);
    let after = tags.clone();
    check_count(&after)?;
    if before != after && default {
        return Err(unsupported("a tag of a default rule"));
    }
    if before != after {
        tx.put(&listener)?;
    }
    Ok(after)
}

pub async fn add_tags(cx: Cx, input: AddTagsInput) -> Result<AddTagsOutput, Error> {
    let more = given(Some(&input.tags))?;
    cx.write(|tx| {
        for arn in &input.resource_arns {
            edit(&cx, tx, arn, |tags| tags.extend(more.clone()))?;
        }
        Ok(AddTagsOutput {})
    })
}

pub async fn remove_tags(cx: Cx, input: RemoveTagsInput) -> Result<RemoveTagsOutput, Error> {
    cx.write(|tx| {
        for arn in &input.resource_arns {
            edit(&cx, tx, arn, |tags| {
                tags.retain(|key, _| !input.tag_keys.contains(key))
            })?;
        }
        Ok(RemoveTagsOutput {})
    })
}

/// Of a request (ELBv2 API reference, "DescribeTags").
const DESCRIBED_MAX: usize = 20;

pub async fn describe_tags(cx: Cx, input: DescribeTagsInput) -> Result<DescribeTagsOutput, Error> {
    names::check_count(Some(&input.resource_arns), "resource ARNs", DESCRIBED_MAX)?;
    cx.read(|tx| {
        let mut descriptions = Vec::new();
        for arn in &input.resource_arns {
            let tags = edit(&cx, tx, arn, |_| {})?;
            let tags = tags
                .into_iter()
                .map(|(key, value)| Tag {
                    key,
                    value: Some(value),
                })
                .collect();
            descriptions.push(TagDescription {
                resource_arn: Some(arn.clone()),
                tags: Some(tags),
            });
        }
        Ok(DescribeTagsOutput {
            tag_descriptions: Some(descriptions),
        })
    })
}
