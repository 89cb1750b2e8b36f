//! Task definitions: registered once, never changed, only made inactive and deleted.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use shapes::ecs::errors::ClientException;
use shapes::ecs::*;

use crate::cluster::{missing, page};
use crate::definition_rules;
use crate::history::{self, PastDefinition};
use crate::names::{definition_name, find_definition, is_active};
use crate::record::{Definition, Request, timestamp};

pub async fn register_task_definition(
    cx: Cx,
    mut input: RegisterTaskDefinitionInput,
) -> Result<RegisterTaskDefinitionOutput, Error> {
    definition_rules::check(&mut input)?;
    let tags = input.tags.take().unwrap_or_default();
    cx.write(|tx| {
        let request = (cx.token.as_ref()).map(|it| Request::key_of(&cx.region, &input.family, it));
        if let Some(request) = &request
            && let Some(made) = tx.get::<Request>(request)?
            && let Some(made) = history::revision(tx, &made.definition)?
        {
            return Ok(made);
        }
        let revision = tx.next(&format!("ecs.revision/{}/{}", cx.region, input.family))?;
        let revision = i32::try_from(revision).unwrap_or(i32::MAX);
        let definition = Definition {
            region: cx.region.clone(),
            family: input.family.clone(),
            revision,
            shape: shape(&cx, input, revision),
            tags,
            made_by: cx.token.clone(),
        };
        if let Some(key) = request {
            tx.put(&Request {
                key,
                definition: cloud::Record::key(&definition),
            })?;
        }
        tx.put(&definition)?;
        Ok(definition)
    })
    .map(|made| RegisterTaskDefinitionOutput {
        task_definition: Some(made.shape),
        tags: Some(made.tags),
    })
}

fn shape(cx: &Cx, input: RegisterTaskDefinitionInput, revision: i32) -> TaskDefinition {
    let compatibilities = definition_rules::compatibilities(&input);
    TaskDefinition {
        task_definition_arn: Some(cx.arn(
            "ecs",
            &format!("task-definition/{}:{revision}", input.family),
        )),
        container_definitions: Some(input.container_definitions),
        family: Some(input.family),
        task_role_arn: input.task_role_arn.filter(|it| !it.is_empty()),
        execution_role_arn: input.execution_role_arn.filter(|it| !it.is_empty()),
        network_mode: input.network_mode,
        revision: Some(revision),
        volumes: Some(input.volumes.unwrap_or_default()),
        status: Some(TaskDefinitionStatus::Active),
        placement_constraints: Some(input.placement_constraints.unwrap_or_default()),
        compatibilities: Some(compatibilities),
        runtime_platform: input.runtime_platform,
        requires_compatibilities: input.requires_compatibilities,
        cpu: input.cpu,
        memory: input.memory,
        registered_at: Some(timestamp(cx.clock().now_ms())),
        registered_by: Some(format!("arn:aws:iam::{}:root", cx.account())),
        ephemeral_storage: input.ephemeral_storage,
        enable_fault_injection: Some(false),
        ..Default::default()
    }
}

pub async fn describe_task_definition(
    cx: Cx,
    input: DescribeTaskDefinitionInput,
) -> Result<DescribeTaskDefinitionOutput, Error> {
    let found = cx.read(|tx| find_definition(&cx, tx, &input.task_definition))?;
    let found =
        found.ok_or_else(|| ClientException.because("Unable to describe task definition."))?;
    let with_tags = input
        .include
        .unwrap_or_default()
        .contains(&TaskDefinitionField::Tags);
    Ok(DescribeTaskDefinitionOutput {
        task_definition: Some(found.shape),
        tags: with_tags.then_some(found.tags),
    })
}

pub async fn deregister_task_definition(
    cx: Cx,
    input: DeregisterTaskDefinitionInput,
) -> Result<DeregisterTaskDefinitionOutput, Error> {
    if definition_name(&cx, &input.task_definition)?.1.is_none() {
        return Err(ClientException.because("Missing revision."));
    }
    cx.write(|tx| {
        let mut found = find_definition(&cx, tx, &input.task_definition)?.ok_or_else(|| {
            ClientException.because("The specified task definition does not exist.")
        })?;
        if is_active(&found) {
            found.shape.status = Some(TaskDefinitionStatus::Inactive);
            found.shape.deregistered_at = Some(timestamp(cx.clock().now_ms()));
            if let Some(token) = &found.made_by {
                let request = Request::key_of(&cx.region, &found.family, token);
                tx.delete::<Request>(&request)?;
            }
            found = history::put_revision(tx, found)?;
        }
        Ok(DeregisterTaskDefinitionOutput {
            task_definition: Some(found.shape),
        })
    })
}

/// AWS keeps a deleted definition while a task or service uses it, in DELETE_IN_PROGRESS. Here tasks
/// and services that run it hold it in the same way: the record stays in that status.
pub async fn delete_task_definitions(
    cx: Cx,
    input: DeleteTaskDefinitionsInput,
) -> Result<DeleteTaskDefinitionsOutput, Error> {
    /// The API reference of `DeleteTaskDefinitions`.
    const AT_ONCE_MAX: usize = 10;
    if input.task_definitions.len() > AT_ONCE_MAX {
        return Err(ClientException.because("At most 10 task definitions can be deleted at once."));
    }
    cx.write(|tx| {
        let (mut deleted, mut failures) = (Vec::new(), Vec::new());
        for given in &input.task_definitions {
            if definition_name(&cx, given)?.1.is_none() {
                return Err(ClientException.because("Missing revision."));
            }
            let Some(mut found) = find_definition(&cx, tx, given)? else {
                failures.push(missing(given.clone()));
                continue;
            };
            if is_active(&found) {
                failures.push(Failure {
                    arn: Some(found.arn()),
                    reason: Some("The specified task definition is still in ACTIVE status. Please deregister the target and try again.".into()),
                    detail: None,
                });
                continue;
            }
            found.shape.status = Some(TaskDefinitionStatus::DeleteInProgress);
            found.shape.delete_requested_at.get_or_insert(timestamp(cx.clock().now_ms()));
            deleted.push(history::put_revision(tx, found)?.shape);
        }
        Ok(DeleteTaskDefinitionsOutput {
            task_definitions: Some(deleted),
            failures: Some(failures),
        })
    })
}

pub async fn list_task_definitions(
    cx: Cx,
    input: ListTaskDefinitionsInput,
) -> Result<ListTaskDefinitionsOutput, Error> {
    let status = input.status.unwrap_or(TaskDefinitionStatus::Active);
    // AWS: `familyPrefix` is a whole family's name here.
    let prefix = input
        .family_prefix
        .map(|family| format!("{family}:"))
        .unwrap_or_default();
    let prefix = cx.key(&prefix);
    let mut all = cx.read(|tx| {
        let mut all = tx.list::<Definition>(&prefix)?;
        if status != TaskDefinitionStatus::Active {
            let past = tx.list::<PastDefinition>(&prefix)?;
            all.extend(past.into_iter().map(|it| it.0));
        }
        Ok(all)
    })?;
    all.retain(|it| it.shape.status == Some(status));
    all.sort_by_key(cloud::Record::key);
    let mut arns: Vec<String> = all.iter().map(Definition::arn).collect();
    if input.sort == Some(SortOrder::Desc) {
        arns.reverse();
    }
    let (arns, next_token) = page(arns, input.max_results, input.next_token.as_deref())?;
    Ok(ListTaskDefinitionsOutput {
        task_definition_arns: Some(arns),
        next_token,
    })
}

pub async fn list_task_definition_families(
    cx: Cx,
    input: ListTaskDefinitionFamiliesInput,
) -> Result<ListTaskDefinitionFamiliesOutput, Error> {
    let prefix = input.family_prefix.unwrap_or_default();
    let prefix = cx.key(&prefix);
    let wants_past = !matches!(
        input.status,
        None | Some(TaskDefinitionFamilyStatus::Active)
    );
    let (all, past) = cx.read(|tx| {
        let past = match wants_past {
            true => tx.keys::<PastDefinition>(&prefix)?,
            false => Vec::new(),
        };
        Ok((tx.list::<Definition>(&prefix)?, past))
    })?;
    let mut families: BTreeMap<String, bool> = BTreeMap::new();
    for key in &past {
        let family = key.split(['/', ':']).nth(1).unwrap_or_default();
        families.entry(family.to_owned()).or_default();
    }
    for definition in &all {
        *families.entry(definition.family.clone()).or_default() |= is_active(definition);
    }
    let wanted = |active: bool| match input.status {
        None | Some(TaskDefinitionFamilyStatus::Active) => active,
        Some(TaskDefinitionFamilyStatus::Inactive) => !active,
        Some(TaskDefinitionFamilyStatus::All) => true,
    };
    let names = families
        .into_iter()
        .filter(|(_, active)| wanted(*active))
        .map(|it| it.0)
        .collect();
    let (families, next_token) = page(names, input.max_results, input.next_token.as_deref())?;
    Ok(ListTaskDefinitionFamiliesOutput {
        families: Some(families),
        next_token,
    })
}
