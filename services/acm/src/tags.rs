//! Tags of certificates.

use cloud::{Cx, Error, TagMap};
use shapes::acm::{
    AddTagsToCertificateInput, AddTagsToCertificateOutput, ListTagsForCertificateInput,
    ListTagsForCertificateOutput, RemoveTagsFromCertificateInput, RemoveTagsFromCertificateOutput,
    Tag, errors,
};

use crate::record::find;

/// The tags that something is made with.
pub fn given(cx: &Cx, tags: Vec<Tag>) -> Result<TagMap, Error> {
    let mut map = TagMap::new();
    add(cx, &mut map, tags)?;
    Ok(map)
}

/// Names that begin with `aws:` are AWS's own: a stack's, for instance.
fn add(cx: &Cx, map: &mut TagMap, tags: Vec<Tag>) -> Result<(), Error> {
    let is_client = cx.origin.client().is_some();
    let reserved = |it: &&Tag| is_client && it.key.starts_with("aws:");
    if let Some(reserved) = tags.iter().find(reserved) {
        return Err(errors::InvalidTagException.because(format!(
            "The tag key '{}' is reserved: it begins with 'aws:'",
            reserved.key
        )));
    }
    let pairs = tags
        .into_iter()
        .map(|it| (it.key, it.value.unwrap_or_default()));
    cloud::add_tags(map, pairs, errors::TooManyTagsException)
}

pub fn shown(map: &TagMap) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag {
        key: key.clone(),
        value: Some(value.clone()),
    };
    map.iter().map(tag).collect()
}

pub async fn add_tags_to_certificate(
    cx: Cx,
    input: AddTagsToCertificateInput,
) -> Result<AddTagsToCertificateOutput, Error> {
    cx.change(
        |tx| find(&cx, tx, &input.certificate_arn),
        |it| add(&cx, &mut it.tags, input.tags.clone()),
    )?;
    Ok(AddTagsToCertificateOutput {})
}

/// A tag that is given with a value goes only where it has that one (RemoveTagsFromCertificate).
pub async fn remove_tags_from_certificate(
    cx: Cx,
    input: RemoveTagsFromCertificateInput,
) -> Result<RemoveTagsFromCertificateOutput, Error> {
    cx.change(
        |tx| find(&cx, tx, &input.certificate_arn),
        |it| {
            it.tags.retain(|key, value| {
                let is_meant = |tag: &Tag| {
                    tag.key == *key && tag.value.as_ref().is_none_or(|wanted| wanted == value)
                };
                !input.tags.iter().any(is_meant)
            });
            Ok(())
        },
    )?;
    Ok(RemoveTagsFromCertificateOutput {})
}

pub async fn list_tags_for_certificate(
    cx: Cx,
    input: ListTagsForCertificateInput,
) -> Result<ListTagsForCertificateOutput, Error> {
    let found = cx.read(|tx| find(&cx, tx, &input.certificate_arn))?;
    Ok(ListTagsForCertificateOutput {
        tags: Some(shown(&found.tags)),
    })
}
