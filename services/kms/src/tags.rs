//! Tags of keys.

use cloud::{Cx, Error, Records, TAGS_MAX, TagMap};
use shapes::kms::*;

use crate::find::{key_itself, limit, not_pending, own_key};

/// Keys of tags that AWS sets, as CloudFormation does.
const RESERVED: &str = "aws:";

fn check_key(cx: &Cx, key: &str) -> Result<(), Error> {
    let is_reserved = key.to_ascii_lowercase().starts_with(RESERVED);
    match is_reserved && cx.origin.client().is_some() {
        true => Err(errors::TagException.because("Tags cannot begin with aws:")),
        false => Ok(()),
    }
}

pub fn add(cx: &Cx, tags: &mut TagMap, more: Vec<Tag>) -> Result<(), Error> {
    for tag in more {
        check_key(cx, &tag.tag_key)?;
        tags.insert(tag.tag_key, tag.tag_value);
    }
    let own = tags.keys().filter(|it| !it.starts_with(RESERVED));
    match own.count() > TAGS_MAX {
        true => Err(errors::LimitExceededException.because("Too many tags")),
        false => Ok(()),
    }
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    let find = |tx: &Records<'_>| own_key(&cx, tx, &input.key_id, "TagResource");
    cx.change(find, |key| {
        not_pending(key)?;
        add(&cx, &mut key.tags, input.tags)
    })?;
    Ok(TagResourceOutput {})
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    let find = |tx: &Records<'_>| own_key(&cx, tx, &input.key_id, "UntagResource");
    cx.change(find, |key| {
        not_pending(key)?;
        for name in &input.tag_keys {
            check_key(&cx, name)?;
            key.tags.remove(name);
        }
        Ok(())
    })?;
    Ok(UntagResourceOutput {})
}

pub async fn list_resource_tags(
    cx: Cx,
    input: ListResourceTagsInput,
) -> Result<ListResourceTagsOutput, Error> {
    /// AWS's default and most.
    const PAGE: usize = 50;
    let key = cx.read(|tx| key_itself(&cx, tx, &input.key_id))?;
    let count = limit(input.limit, PAGE, PAGE);
    let after = input.marker.unwrap_or_default();
    let left = key.tags.into_iter().filter(|it| it.0 > after);
    let mut tags: Vec<Tag> = left
        .take(count + 1)
        .map(|(tag_key, tag_value)| Tag { tag_key, tag_value })
        .collect();
    let more = tags.len() > count;
    tags.truncate(count);
    Ok(ListResourceTagsOutput {
        next_marker: tags.last().filter(|_| more).map(|it| it.tag_key.clone()),
        tags: Some(tags),
        truncated: Some(more),
    })
}
