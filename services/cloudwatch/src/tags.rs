//! Tags of alarms.

use cloud::{Cx, Error, Records, remove_tags};
use shapes::cloudwatch::errors::ResourceNotFoundException;
use shapes::cloudwatch::{
    ListTagsForResourceInput, ListTagsForResourceOutput, Tag, TagResourceInput, TagResourceOutput,
    UntagResourceInput, UntagResourceOutput,
};

use crate::alarm::{Alarm, tag_map};

/// The alarm's name in an ARN of this account and region.
pub fn name_in<'a>(cx: &Cx, arn: &'a str) -> Option<&'a str> {
    arn.strip_prefix(&cx.arn("cloudwatch", "alarm:"))
}

fn by_arn(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<Alarm, Error> {
    let name = name_in(cx, arn);
    let found = name.map(|it| tx.get(&cx.key(it))).transpose()?.flatten();
    found.ok_or_else(|| ResourceNotFoundException.because(format!("Unknown resource: {arn}")))
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    let find = |tx: &Records<'_>| by_arn(&cx, tx, &input.resource_arn);
    cx.change(find, |alarm| {
        let old = std::mem::take(&mut alarm.tags);
        let old = old.into_iter().map(|(key, value)| Tag { key, value });
        alarm.tags = tag_map(old.chain(input.tags).collect())?;
        Ok(())
    })?;
    Ok(TagResourceOutput {})
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    let find = |tx: &Records<'_>| by_arn(&cx, tx, &input.resource_arn);
    cx.change(find, |it| {
        remove_tags(&mut it.tags, &input.tag_keys);
        Ok(())
    })?;
    Ok(UntagResourceOutput {})
}

pub async fn list_tags_for_resource(
    cx: Cx,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let alarm = cx.read(|tx| by_arn(&cx, tx, &input.resource_arn))?;
    let tags = alarm
        .tags
        .into_iter()
        .map(|(key, value)| Tag { key, value });
    Ok(ListTagsForResourceOutput {
        tags: Some(tags.collect()),
    })
}
