//! Looking up what requests name.

use cloud::{Cx, Error, Records};
use shapes::codepipeline::errors::*;

use crate::record::{ActionRun, Execution, Pipeline, Version};

pub fn pipeline(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<Pipeline, Error> {
    tx.get(&Pipeline::key_of(&cx.region, name))?
        .ok_or_else(|| no_pipeline(cx, name))
}

pub fn no_pipeline(cx: &Cx, name: &str) -> Error {
    PipelineNotFoundException.because(format!(
        "Account '{}' does not have a pipeline with name '{name}'",
        cx.account()
    ))
}

pub fn version(tx: &Records<'_>, pipeline: &str, number: i32) -> Result<Version, Error> {
    let found = tx.get(&Version::key_of(pipeline, number))?;
    found.ok_or_else(|| {
        let name = pipeline.rsplit('/').next().unwrap_or_default();
        PipelineVersionNotFoundException.because(format!(
            "Pipeline '{name}' does not have a version {number}"
        ))
    })
}

/// The execution with this id.
pub fn execution(tx: &Records<'_>, pipeline: &Pipeline, id: &str) -> Result<Execution, Error> {
    let prefix = format!("{}/{}/", pipeline.region, pipeline.name);
    let keys = tx.keys::<Execution>(&prefix)?;
    let key = keys.iter().rfind(|it| it.rsplit('/').next() == Some(id));
    let found = match key {
        Some(key) => tx.get(key)?,
        None => None,
    };
    found.ok_or_else(|| {
        PipelineExecutionNotFoundException.because(format!(
            "Pipeline '{}' does not have an execution with id '{id}'",
            pipeline.name
        ))
    })
}

/// Every execution of a pipeline, newest first.
pub fn executions(tx: &Records<'_>, pipeline: &Pipeline) -> Result<Vec<Execution>, Error> {
    let prefix = format!("{}/{}/", pipeline.region, pipeline.name);
    let mut all = tx.list::<Execution>(&prefix)?;
    all.reverse();
    Ok(all)
}

pub fn run(tx: &Records<'_>, key: Option<&String>) -> Result<Option<ActionRun>, Error> {
    match key {
        Some(key) => tx.get(key),
        None => Ok(None),
    }
}
