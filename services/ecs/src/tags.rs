//! Tags of everything that ECS keeps.

use cloud::{Cx, Error, Records};
use shapes::ecs::errors::ResourceNotFoundException;
use shapes::ecs::{
    ListTagsForResourceInput, ListTagsForResourceOutput, Tag, TagResourceInput, TagResourceOutput,
    UntagResourceInput, UntagResourceOutput,
};

use crate::history;
use crate::instance_record::ContainerInstance;
use crate::launch::invalid;
use crate::record::{self, Definition};
use crate::run_task::find_task;
use crate::task_record::{StoppedTask, Task as TaskRecord};

/// The API reference of `TagResource`.
const TAGS_MAX: usize = 50;

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    change(&cx, &input.resource_arn, |tags| {
        for tag in input.tags {
            tags.retain(|it| it.key != tag.key);
            tags.push(tag);
        }
    })?;
    Ok(TagResourceOutput {})
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    change(&cx, &input.resource_arn, |tags| {
        tags.retain(|it| {
            it.key
                .as_ref()
                .is_none_or(|key| !input.tag_keys.contains(key))
        });
    })?;
    Ok(UntagResourceOutput {})
}

pub async fn list_tags_for_resource(
    cx: Cx,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let mut found = Vec::new();
    cx.read(|tx| {
        visit(
            &cx,
            tx,
            &input.resource_arn,
            |tags| found.clone_from(tags),
            false,
        )
    })?;
    Ok(ListTagsForResourceOutput { tags: Some(found) })
}

fn change(cx: &Cx, arn: &str, edit: impl FnOnce(&mut Vec<Tag>)) -> Result<(), Error> {
    cx.write(|tx| {
        let mut count = 0;
        visit(
            cx,
            tx,
            arn,
            |tags| {
                edit(tags);
                count = tags.len();
            },
            true,
        )?;
        if count > TAGS_MAX {
            return Err(invalid(format!(
                "A resource can have at most {TAGS_MAX} tags."
            )));
        }
        Ok(())
    })
}

/// Shows the tags of a resource to `edit`, and stores them when `keep` says so.
fn visit(
    cx: &Cx,
    tx: &Records<'_>,
    arn: &str,
    edit: impl FnOnce(&mut Vec<Tag>),
    keep: bool,
) -> Result<(), Error> {
    let start = cx.arn("ecs", "");
    let Some(path) = arn.strip_prefix(&start) else {
        return Err(invalid(format!("Invalid identifier: {arn}")));
    };
    let parts: Vec<&str> = path.split('/').collect();
    let missing = || {
        ResourceNotFoundException.because(
            "The specified resource wasn't found. You can list your resources and try again.",
        )
    };
    match parts.as_slice() {
        ["cluster", name] => {
            let mut found = tx
                .get::<record::Cluster>(&cx.key(name))?
                .ok_or_else(missing)?;
            edit(&mut found.tags);
            if keep { tx.put(&found) } else { Ok(()) }
        }
        ["service", cluster, name] => {
            let key = record::Service::key_of(&cx.region, cluster, name);
            let mut found = tx.get::<record::Service>(&key)?.ok_or_else(missing)?;
            edit(&mut found.tags);
            if keep { tx.put(&found) } else { Ok(()) }
        }
        ["container-instance", cluster, id] => {
            let key = ContainerInstance::key_of(&cx.region, cluster, id);
            let mut found = tx.get::<ContainerInstance>(&key)?.ok_or_else(missing)?;
            edit(&mut found.tags);
            if keep { tx.put(&found) } else { Ok(()) }
        }
        ["task", cluster, id] => {
            let found = find_task(tx, id)?.filter(|it| it.cluster == *cluster);
            let mut found = found.ok_or_else(missing)?;
            edit(&mut found.tags);
            match (keep, found.stopped_ms) {
                (false, _) => Ok(()),
                (true, None) => tx.put::<TaskRecord>(&found),
                (true, Some(_)) => tx.put(&StoppedTask(found)),
            }
        }
        ["task-definition", name] => {
            let Some((family, revision)) = name.split_once(':') else {
                return Err(missing());
            };
            let revision = revision.parse().map_err(|_| missing())?;
            let key = Definition::key_of(&cx.region, family, revision);
            let mut found = history::revision(tx, &key)?.ok_or_else(missing)?;
            edit(&mut found.tags);
            match keep {
                true => history::put_revision(tx, found).map(drop),
                false => Ok(()),
            }
        }
        _ => Err(missing()),
    }
}
