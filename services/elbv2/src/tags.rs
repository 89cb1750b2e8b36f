//! Tags of load balancers, target groups, listeners and rules.

use cloud::{Cx, Error, Record, Records};
use shapes::elbv2::{
    AddTagsInput, AddTagsOutput, DescribeTagsInput, DescribeTagsOutput, RemoveTagsInput,
    RemoveTagsOutput, Tag, TagDescription,
};

use crate::record::{self, Tags};

pub fn given(tags: Option<&Vec<Tag>>) -> Tags {
    let tags = tags.into_iter().flatten();
    tags.map(|it| (it.key.clone(), it.value.clone().unwrap_or_default()))
        .collect()
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
        if before != after {
            tx.put(&record)?;
        }
        Ok(after)
    }
    if arn.contains(":loadbalancer/") {
        change(tx, record::balancer(cx, tx, arn)?, |it| &mut it.tags, edit)
    } else if arn.contains(":targetgroup/") {
        change(
            tx,
            record::target_group(cx, tx, arn)?,
            |it| &mut it.tags,
            edit,
        )
    } else if arn.contains(":listener/") {
        change(tx, record::listener(cx, tx, arn)?, |it| &mut it.tags, edit)
    } else {
        let (mut listener, id) = record::rule(cx, tx, arn)?;
        let Some(rule) = listener.rules.iter_mut().find(|it| it.id == id) else {
            return Ok(Tags::new());
        };
        edit(&mut rule.tags);
        let tags = rule.tags.clone();
        tx.put(&listener)?;
        Ok(tags)
    }
}

pub async fn add_tags(cx: Cx, input: AddTagsInput) -> Result<AddTagsOutput, Error> {
    cx.write(|tx| {
        for arn in &input.resource_arns {
            edit(&cx, tx, arn, |tags| tags.extend(given(Some(&input.tags))))?;
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

pub async fn describe_tags(cx: Cx, input: DescribeTagsInput) -> Result<DescribeTagsOutput, Error> {
    cx.write(|tx| {
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
