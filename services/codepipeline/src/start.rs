//! How an execution begins, whatever started it.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use shapes::codepipeline::errors::*;
use shapes::codepipeline::*;

use crate::record::{Execution, Pipeline, new_uuid};

/// "Quotas in CodePipeline": executions of one pipeline at a time, in the modes that let them queue.
const LIVE_MAX: usize = 50;

/// Why an execution starts, and with what.
#[derive(Debug, Clone)]
pub struct Trigger {
    pub kind: TriggerType,
    pub detail: String,
    pub variables: BTreeMap<String, String>,
    /// Revisions for source actions, by action.
    pub revisions: BTreeMap<String, String>,
    /// The branches that they are of, where these are not the actions' own.
    pub branches: BTreeMap<String, String>,
    pub client_token: Option<String>,
}

impl Trigger {
    pub fn new(kind: TriggerType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            variables: BTreeMap::new(),
            revisions: BTreeMap::new(),
            branches: BTreeMap::new(),
            client_token: None,
        }
    }
}

/// Writes down a new execution, which waits before the first stage.
pub fn start(
    cx: &Cx,
    tx: &Records<'_>,
    pipeline: &mut Pipeline,
    trigger: Trigger,
) -> Result<Execution, Error> {
    let mode = pipeline.mode();
    if mode != ExecutionMode::Superseded && pipeline.live.len() >= LIVE_MAX {
        return Err(
            ConcurrentPipelineExecutionsLimitExceededException.because(format!(
                "The pipeline '{}' has {LIVE_MAX} executions already",
                pipeline.name
            )),
        );
    }
    let variables = variables(pipeline, &trigger.variables)?;
    let now_ms = cx.clock().now_ms();
    pipeline.executions += 1;
    let execution = Execution {
        region: pipeline.region.clone(),
        pipeline: pipeline.name.clone(),
        number: pipeline.executions,
        id: new_uuid(),
        version: pipeline.version,
        mode,
        status: PipelineExecutionStatus::InProgress,
        summary: None,
        trigger: trigger.kind,
        trigger_detail: trigger.detail,
        started_ms: now_ms,
        updated_ms: now_ms,
        variables,
        at: 0,
        inside: false,
        last: pipeline.declaration.stages.len().saturating_sub(1),
        stages: BTreeMap::new(),
        artifacts: BTreeMap::new(),
        revisions: Vec::new(),
        namespaces: BTreeMap::new(),
        overrides: trigger.revisions,
        branches: trigger.branches,
        stop: None,
        client_token: trigger.client_token,
        rollback_to: None,
    };
    tx.put(&execution)?;
    pipeline.live.push(execution.key());
    tx.put(pipeline)?;
    Ok(execution)
}

/// The pipeline's variables: as given, or else their defaults.
fn variables(
    pipeline: &Pipeline,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Error> {
    let declared = pipeline
        .declaration
        .variables
        .as_deref()
        .unwrap_or_default();
    if let Some(unknown) = given
        .keys()
        .find(|name| !declared.iter().any(|it| it.name == **name))
    {
        return Err(ValidationException.because(format!(
            "The pipeline '{}' does not declare a variable '{unknown}'",
            pipeline.name
        )));
    }
    let resolved = declared.iter().map(|it| {
        let value = given.get(&it.name).or(it.default_value.as_ref());
        match value {
            Some(value) => Ok((it.name.clone(), value.clone())),
            None => Err(ValidationException.because(format!(
                "The variable '{}' of the pipeline '{}' has no default value: it must be given",
                it.name, pipeline.name
            ))),
        }
    });
    resolved.collect()
}
