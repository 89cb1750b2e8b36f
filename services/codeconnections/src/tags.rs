//! Tags of connections and hosts.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use shapes::codeconnections::*;

use crate::names::{add_tags, find_connection, find_host, is_host, shown_tags};

/// Changes the tags of what an ARN names, and answers them.
fn edit(
    cx: &Cx,
    arn: &str,
    body: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), Error>,
) -> Result<BTreeMap<String, String>, Error> {
    cx.write(|tx| {
        if is_host(arn) {
            let mut host = find_host(cx, tx, arn)?;
            body(&mut host.tags)?;
            tx.put(&host)?;
            return Ok(host.tags);
        }
        let mut connection = find_connection(cx, tx, arn)?;
        body(&mut connection.tags)?;
        tx.put(&connection)?;
        Ok(connection.tags)
    })
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    edit(&cx, &input.resource_arn, |it| add_tags(it, input.tags))?;
    Ok(TagResourceOutput {})
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    edit(&cx, &input.resource_arn, |it| {
        it.retain(|key, _| !input.tag_keys.contains(key));
        Ok(())
    })?;
    Ok(UntagResourceOutput {})
}

pub async fn list_tags_for_resource(
    cx: Cx,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let tags = edit(&cx, &input.resource_arn, |_| Ok(()))?;
    Ok(ListTagsForResourceOutput {
        tags: Some(shown_tags(&tags)),
    })
}
