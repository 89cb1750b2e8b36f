//! Pipelines: making, changing, showing, deleting.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error, FoundRole, Record, Records};
use shapes::codepipeline::errors::*;
use shapes::codepipeline::*;

use crate::catalog;
use crate::find;
use crate::page::page;
use crate::permissions::PRINCIPAL;
use crate::record::{
    ActionRun, Execution, Pipeline, SourceWatch, StageMemory, Version, Webhook, timestamp,
};
use crate::roles;
use crate::start::{Trigger, start};
use crate::structure;
use crate::tags;

/// What stands in place of a secret.
pub const MASK: &str = "****";

pub async fn create_pipeline(
    cx: Cx,
    input: CreatePipelineInput,
) -> Result<CreatePipelineOutput, Error> {
    let tags = tags::new(input.tags.unwrap_or_default())?;
    let declaration = checked(&cx, input.pipeline, None)?;
    let (pipeline, new) = cx.write(|tx| {
        let key = Pipeline::key_of(&cx.region, &declaration.name);
        if let Some(there) = tx.get::<Pipeline>(&key)? {
            if cx.token.is_some() && there.made_by == cx.token {
                return Ok((there, false));
            }
            return Err(PipelineNameInUseException.because(format!(
                "A pipeline with the name '{}' already exists in account '{}'",
                declaration.name,
                cx.account()
            )));
        }
        let now_ms = cx.clock().now_ms();
        let mut pipeline = Pipeline {
            region: cx.region.clone(),
            name: declaration.name.clone(),
            version: 1,
            created_ms: now_ms,
            updated_ms: now_ms,
            stages: memories(&declaration, &BTreeMap::new()),
            declaration: PipelineDeclaration {
                version: Some(1),
                ..declaration
            },
            tags,
            executions: 0,
            live: Vec::new(),
            made_by: cx.token.clone(),
        };
        put_version(tx, &pipeline)?;
        tx.put(&SourceWatch {
            region: pipeline.region.clone(),
            pipeline: pipeline.name.clone(),
            seen: BTreeMap::new(),
            looked: BTreeSet::new(),
        })?;
        // Variables without a default must be given by hand: such a pipeline does not run by itself.
        let by = format!("arn:aws:iam::{}:root", cx.account());
        if variables_have_defaults(&pipeline.declaration) {
            start(
                &cx,
                tx,
                &mut pipeline,
                Trigger::new(TriggerType::CreatePipeline, by),
            )?;
        }
        tx.put(&pipeline)?;
        Ok((pipeline, true))
    })?;
    tracing::info!(pipeline = pipeline.name, new, "a pipeline was asked for");
    Ok(CreatePipelineOutput {
        tags: Some(pipeline.tags.clone()),
        pipeline: Some(shown(&pipeline.declaration)),
    })
}

fn variables_have_defaults(declaration: &PipelineDeclaration) -> bool {
    let all = declaration.variables.iter().flatten();
    all.into_iter().all(|it| it.default_value.is_some())
}

/// A structure with AWS's defaults in it, when it can work. `old` has the secrets that a caller who
/// saw only their masks sends back.
fn checked(
    cx: &Cx,
    mut declaration: PipelineDeclaration,
    old: Option<&PipelineDeclaration>,
) -> Result<PipelineDeclaration, Error> {
    declaration.pipeline_type.get_or_insert(PipelineType::V1);
    declaration
        .execution_mode
        .get_or_insert(ExecutionMode::Superseded);
    for action in declaration.stages.iter_mut().flat_map(|it| &mut it.actions) {
        action.run_order.get_or_insert(1);
        action.configuration.get_or_insert_default();
        action.input_artifacts.get_or_insert_default();
        action.output_artifacts.get_or_insert_default();
    }
    if let Some(old) = old {
        keep_secrets(&mut declaration, old);
    }
    structure::check(&declaration, &cx.region)?;
    let pipeline = arn(cx, &declaration.name);
    let service = cx.as_service_for(PRINCIPAL, pipeline);
    let found = roles::check(&service, &declaration.role_arn)?;
    declaration.role_arn = usable(&declaration.role_arn, found)?;
    for action in declaration.stages.iter_mut().flat_map(|it| &mut it.actions) {
        if let Some(own) = &mut action.role_arn {
            // The pipeline's role assumes it, which is asked about when it does.
            *own = usable(own, roles::find(cx, own)?)?;
        }
    }
    Ok(declaration)
}

/// A role's ARN, when it may be assumed: it is given by its ARN or its name.
fn usable(given: &str, found: Result<FoundRole, String>) -> Result<String, Error> {
    let found = found.map_err(|doubt| InvalidStructureException.because(refused(given, &doubt)))?;
    Ok(found.arn)
}

/// In AWS's words, with why.
pub fn refused(role: &str, doubt: &str) -> String {
    format!("CodePipeline is not authorized to perform AssumeRole on role {role}: {doubt}")
}

fn keep_secrets(declaration: &mut PipelineDeclaration, old: &PipelineDeclaration) {
    let before = |stage: &str, action: &str, name: &str| -> Option<String> {
        let stage = old.stages.iter().find(|it| it.name == stage)?;
        let action = stage.actions.iter().find(|it| it.name == action)?;
        action.configuration.as_ref()?.get(name).cloned()
    };
    for stage in &mut declaration.stages {
        for action in &mut stage.actions {
            let all = action.configuration.iter_mut().flatten();
            for (name, value) in all.filter(|it| it.1 == MASK) {
                if let Some(secret) = before(&stage.name, &action.name, name) {
                    *value = secret;
                }
            }
        }
    }
}

/// As callers may see it.
pub fn shown(declaration: &PipelineDeclaration) -> PipelineDeclaration {
    let mut declaration = declaration.clone();
    for action in declaration.stages.iter_mut().flat_map(|it| &mut it.actions) {
        let id = action.action_type_id.clone();
        if let Some(configuration) = &mut action.configuration {
            mask(&id, configuration);
        }
    }
    declaration
}

/// Hides the secrets of an action's configuration.
pub fn mask(id: &ActionTypeId, configuration: &mut BTreeMap<String, String>) {
    let settings = catalog::find(id).map(|it| it.settings).unwrap_or_default();
    for secret in settings.iter().filter(|it| it.secret) {
        if let Some(value) = configuration.get_mut(secret.name) {
            MASK.clone_into(value);
        }
    }
}

/// What is remembered of the stages of a structure; that of others is forgotten.
fn memories(
    declaration: &PipelineDeclaration,
    old: &BTreeMap<String, StageMemory>,
) -> BTreeMap<String, StageMemory> {
    let stages = declaration.stages.iter();
    stages
        .map(|stage| {
            let mut memory = old.get(&stage.name).cloned().unwrap_or_default();
            let names = |name: &str| stage.actions.iter().any(|it| it.name == name);
            memory.runs.retain(|name, _| names(name));
            (stage.name.clone(), memory)
        })
        .collect()
}

fn put_version(tx: &Records<'_>, pipeline: &Pipeline) -> Result<(), Error> {
    tx.put(&Version {
        pipeline: pipeline.key(),
        number: pipeline.version,
        declaration: pipeline.declaration.clone(),
    })
}

pub async fn update_pipeline(
    cx: Cx,
    input: UpdatePipelineInput,
) -> Result<UpdatePipelineOutput, Error> {
    let old = cx.read(|tx| find::pipeline(&cx, tx, &input.pipeline.name))?;
    let declaration = checked(&cx, input.pipeline, Some(&old.declaration))?;
    let declaration = cx.write(|tx| {
        let mut pipeline = find::pipeline(&cx, tx, &declaration.name)?;
        pipeline.version += 1;
        pipeline.updated_ms = cx.clock().now_ms();
        pipeline.stages = memories(&declaration, &pipeline.stages);
        pipeline.declaration = PipelineDeclaration {
            version: Some(pipeline.version),
            ..declaration
        };
        put_version(tx, &pipeline)?;
        forget_changed_sources(tx, &old.declaration, &pipeline)?;
        tx.put(&pipeline)?;
        Ok(pipeline.declaration)
    })?;
    Ok(UpdatePipelineOutput {
        pipeline: Some(shown(&declaration)),
    })
}

/// A source that reads elsewhere now has not been seen yet.
fn forget_changed_sources(
    tx: &Records<'_>,
    old: &PipelineDeclaration,
    pipeline: &Pipeline,
) -> Result<(), Error> {
    let Some(mut watch) = tx.get::<SourceWatch>(&pipeline.key())? else {
        return Ok(());
    };
    let sources = |it: &PipelineDeclaration| -> Vec<ActionDeclaration> {
        let first = it.stages.first();
        first.map(|it| it.actions.clone()).unwrap_or_default()
    };
    let (before, now) = (sources(old), sources(&pipeline.declaration));
    watch.seen.retain(|name, _| {
        let of = |all: &[ActionDeclaration]| all.iter().find(|it| it.name == *name).cloned();
        let same = |one: &ActionDeclaration, other: &ActionDeclaration| {
            one.action_type_id == other.action_type_id && one.configuration == other.configuration
        };
        matches!((of(&before), of(&now)), (Some(one), Some(other)) if same(&one, &other))
    });
    let seen = &watch.seen;
    watch.looked.retain(|name| seen.contains_key(name));
    tx.put(&watch)
}

pub async fn get_pipeline(cx: Cx, input: GetPipelineInput) -> Result<GetPipelineOutput, Error> {
    let (pipeline, declaration) = cx.read(|tx| {
        let pipeline = find::pipeline(&cx, tx, &input.name)?;
        let declaration = match input.version {
            Some(number) => find::version(tx, &pipeline.key(), number)?.declaration,
            None => pipeline.declaration.clone(),
        };
        Ok((pipeline, declaration))
    })?;
    Ok(GetPipelineOutput {
        pipeline: Some(shown(&declaration)),
        metadata: Some(PipelineMetadata {
            pipeline_arn: Some(arn(&cx, &pipeline.name)),
            created: Some(timestamp(pipeline.created_ms)),
            updated: Some(timestamp(pipeline.updated_ms)),
            polling_disabled_at: None,
        }),
    })
}

/// `arn:aws:codepipeline:<region>:<account>:<name>`.
pub fn arn(cx: &Cx, name: &str) -> String {
    cx.arn("codepipeline", name)
}

pub async fn list_pipelines(
    cx: Cx,
    input: ListPipelinesInput,
) -> Result<ListPipelinesOutput, Error> {
    let all = cx.read(|tx| tx.list::<Pipeline>(&cx.key("")))?;
    let (items, next_token) = page(all, input.next_token.as_deref(), input.max_results)?;
    let summary = |it: Pipeline| PipelineSummary {
        version: Some(it.version),
        pipeline_type: it.declaration.pipeline_type,
        execution_mode: Some(it.mode()),
        created: Some(timestamp(it.created_ms)),
        updated: Some(timestamp(it.updated_ms)),
        name: Some(it.name),
    };
    Ok(ListPipelinesOutput {
        pipelines: Some(items.into_iter().map(summary).collect()),
        next_token,
    })
}

/// Succeeds when there is none, as on AWS. What its actions have begun elsewhere goes on.
pub async fn delete_pipeline(
    cx: Cx,
    input: DeletePipelineInput,
) -> Result<DeletePipelineOutput, Error> {
    cx.write(|tx| {
        let key = Pipeline::key_of(&cx.region, &input.name);
        let prefix = format!("{key}/");
        for it in tx.keys::<Execution>(&prefix)? {
            tx.delete::<Execution>(&it)?;
        }
        for it in tx.keys::<ActionRun>(&prefix)? {
            tx.delete::<ActionRun>(&it)?;
        }
        for it in tx.keys::<Version>(&prefix)? {
            tx.delete::<Version>(&it)?;
        }
        for it in tx.list::<Webhook>(&cx.key(""))? {
            if it.definition.target_pipeline == input.name {
                tx.delete::<Webhook>(&it.key())?;
            }
        }
        tx.delete::<SourceWatch>(&key)?;
        tx.delete::<Pipeline>(&key)?;
        Ok(DeletePipelineOutput {})
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(token: &str) -> PipelineDeclaration {
        let source = ActionDeclaration {
            name: "App".into(),
            action_type_id: ActionTypeId {
                category: ActionCategory::Source,
                owner: ActionOwner::ThirdParty,
                provider: "GitHub".into(),
                version: "1".into(),
            },
            configuration: Some(BTreeMap::from([("OAuthToken".into(), token.into())])),
            ..Default::default()
        };
        PipelineDeclaration {
            stages: vec![StageDeclaration {
                name: "Source".into(),
                actions: vec![source],
            }],
            ..Default::default()
        }
    }

    #[test]
    fn a_masked_token_that_is_sent_back_is_kept() {
        let old = declaration("secret");
        let mut sent = shown(&old);
        assert_eq!(sent, declaration(MASK));
        keep_secrets(&mut sent, &old);
        assert_eq!(sent, old);
        let mut other = declaration("other");
        keep_secrets(&mut other, &old);
        assert_eq!(other, declaration("other"));
    }
}
