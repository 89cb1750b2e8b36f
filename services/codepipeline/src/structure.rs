//! Whether a pipeline's structure can work: everything that can be known before it runs (CodePipeline
//! User Guide, "Pipeline structure reference").

use std::collections::BTreeSet;

use cloud::Error;
use shapes::codepipeline::errors::*;
use shapes::codepipeline::*;

use crate::catalog::{self, Driver, Kind, UNBUILT_SETTINGS};
use crate::variables;

/// "Quotas in CodePipeline": stages of a pipeline, actions of a stage and of a pipeline.
const STAGES_MIN: usize = 2;
const STAGES_MAX: usize = 50;
const STAGE_ACTIONS_MAX: usize = 100;
const ACTIONS_MAX: usize = 1000;

fn structure(message: impl Into<String>) -> Error {
    InvalidStructureException.because(message)
}

fn action(message: impl Into<String>) -> Error {
    InvalidActionDeclarationException.because(message)
}

/// What AWS has and this build has not.
pub fn unbuilt(what: impl std::fmt::Display) -> Error {
    structure(format!("{what} is not supported by neargate."))
}

pub fn check(pipeline: &PipelineDeclaration, region: &str) -> Result<(), Error> {
    check_stores(pipeline, region)?;
    check_type(pipeline)?;
    check_stages(pipeline)?;
    let mut produced: BTreeSet<&str> = BTreeSet::new();
    for (index, stage) in pipeline.stages.iter().enumerate() {
        check_stage(stage)?;
        for it in in_order(stage) {
            check_action(it, region)?;
            check_artifacts(it, &produced, stage)?;
            let outputs = it.output_artifacts.iter().flatten();
            for output in outputs {
                if !produced.insert(&output.name) {
                    return Err(structure(format!(
                        "Output Artifact Bundle name must be unique within the pipeline. {} has been used more than once.",
                        output.name
                    )));
                }
            }
        }
        check_place_of_sources(index, stage)?;
    }
    check_namespaces(pipeline)?;
    check_triggers(pipeline)
}

/// The actions of a stage as they run: what runs earlier may make what runs later takes.
fn in_order(stage: &StageDeclaration) -> Vec<&ActionDeclaration> {
    let mut actions: Vec<_> = stage.actions.iter().collect();
    actions.sort_by_key(|it| it.run_order.unwrap_or(1));
    actions
}

fn check_stores(pipeline: &PipelineDeclaration, region: &str) -> Result<(), Error> {
    let store = match (&pipeline.artifact_store, &pipeline.artifact_stores) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(structure(
                "Pipeline must have either artifactStore or artifactStores, and not both.",
            ));
        }
        (Some(store), None) => store,
        (None, Some(stores)) => {
            if let Some(other) = stores.keys().find(|it| *it != region) {
                return Err(unbuilt(format!(
                    "An artifact store in another region ({other})"
                )));
            }
            stores.get(region).ok_or_else(|| {
                structure(format!(
                    "Pipeline does not have an artifact store for its own region {region}."
                ))
            })?
        }
    };
    match &store.encryption_key {
        Some(key) if key.id.is_empty() => Err(structure("The encryptionKey has no id.")),
        _ => Ok(()),
    }
}

fn check_type(pipeline: &PipelineDeclaration) -> Result<(), Error> {
    if pipeline.pipeline_type == Some(PipelineType::V2) {
        return Ok(());
    }
    let v2_only = [
        (
            pipeline.triggers.as_ref().is_some_and(|it| !it.is_empty()),
            "Triggers",
        ),
        (
            pipeline.variables.as_ref().is_some_and(|it| !it.is_empty()),
            "Pipeline level variables",
        ),
        (
            matches!(
                pipeline.execution_mode,
                Some(ExecutionMode::Queued | ExecutionMode::Parallel)
            ),
            "Execution modes QUEUED and PARALLEL",
        ),
    ];
    match v2_only.into_iter().find(|(used, _)| *used) {
        Some((_, what)) => Err(structure(format!(
            "{what} can only be used in pipelines of type V2."
        ))),
        None => Ok(()),
    }
}

fn check_stages(pipeline: &PipelineDeclaration) -> Result<(), Error> {
    let count = pipeline.stages.len();
    if count < STAGES_MIN {
        return Err(structure(format!(
            "Pipeline has only {count} stage(s). There should be a minimum of {STAGES_MIN} stages in a pipeline"
        )));
    }
    let actions: usize = pipeline.stages.iter().map(|it| it.actions.len()).sum();
    if count > STAGES_MAX || actions > ACTIONS_MAX {
        return Err(structure(format!(
            "A pipeline has at most {STAGES_MAX} stages and {ACTIONS_MAX} actions."
        )));
    }
    let mut names = BTreeSet::new();
    for stage in &pipeline.stages {
        if !names.insert(&stage.name) {
            return Err(structure(format!(
                "Stage name must be unique within the pipeline. {} has been used more than once.",
                stage.name
            )));
        }
    }
    Ok(())
}

fn check_stage(stage: &StageDeclaration) -> Result<(), Error> {
    let name = &stage.name;
    if stage.actions.is_empty() {
        return Err(InvalidStageDeclarationException
            .because(format!("Stage {name} must have at least one action.")));
    }
    if stage.actions.len() > STAGE_ACTIONS_MAX {
        return Err(InvalidStageDeclarationException.because(format!(
            "Stage {name} has more than {STAGE_ACTIONS_MAX} actions."
        )));
    }
    let mut names = BTreeSet::new();
    for it in &stage.actions {
        if !names.insert(&it.name) {
            return Err(InvalidStageDeclarationException.because(format!(
                "Action name must be unique within a stage. {} has been used more than once in stage {name}.",
                it.name
            )));
        }
    }
    Ok(())
}

fn check_place_of_sources(index: usize, stage: &StageDeclaration) -> Result<(), Error> {
    let is_source = |it: &ActionDeclaration| it.action_type_id.category == ActionCategory::Source;
    if index == 0 && !stage.actions.iter().all(is_source) {
        return Err(structure(
            "Pipeline should start with a stage that only contains source actions",
        ));
    }
    match stage.actions.iter().find(|it| is_source(it)) {
        Some(it) if index > 0 => Err(structure(format!(
            "Source actions can only occur in the first stage: action {} is in stage {}.",
            it.name, stage.name
        ))),
        _ => Ok(()),
    }
}

fn check_action(it: &ActionDeclaration, region: &str) -> Result<(), Error> {
    let kind = kind_of(it)?;
    for (given, what) in [
        (it.commands.is_some(), "commands"),
        (it.environment_variables.is_some(), "environmentVariables"),
        (
            it.output_variables.is_some(),
            "outputVariables (of the Commands action)",
        ),
        (
            it.region.as_deref().is_some_and(|it| it != region),
            "an action in another region",
        ),
        (
            it.output_artifacts
                .iter()
                .flatten()
                .any(|it| it.files.is_some()),
            "files of an output artifact",
        ),
        (
            it.timeout_in_minutes.is_some() && kind.driver != Driver::Manual,
            "timeoutInMinutes of an action that is no approval",
        ),
    ] {
        if given {
            return Err(action(format!(
                "Action {}: {what} is not supported by neargate.",
                it.name
            )));
        }
    }
    check_settings(it, kind)
}

fn kind_of(it: &ActionDeclaration) -> Result<&'static Kind, Error> {
    let id = &it.action_type_id;
    catalog::find(id).ok_or_else(|| {
        action(format!(
            "ActionType (Category: '{}', Provider: '{}', Owner: '{}', Version: '{}') in action '{}' is not supported by neargate",
            id.category.as_str(),
            id.provider,
            id.owner.as_str(),
            id.version,
            it.name
        ))
    })
}

fn check_settings(it: &ActionDeclaration, kind: &Kind) -> Result<(), Error> {
    let name = &it.name;
    let empty = Default::default();
    let given = it.configuration.as_ref().unwrap_or(&empty);
    for key in given.keys() {
        if UNBUILT_SETTINGS.contains(&key.as_str()) {
            return Err(action(format!(
                "Action configuration for action '{name}': {key} is not supported by neargate"
            )));
        }
        if !kind.settings.iter().any(|it| it.name == key) {
            return Err(action(format!(
                "Action configuration for action '{name}' contains unknown configuration '{key}'"
            )));
        }
    }
    for setting in kind.settings.iter().filter(|it| it.required) {
        if given.get(setting.name).is_none_or(String::is_empty) {
            return Err(action(format!(
                "Action configuration for action '{name}' is missing required configuration '{}'",
                setting.name
            )));
        }
    }
    crate::actions::check_settings(it, kind.driver).map_err(|why| {
        action(format!(
            "Action configuration for action '{name}' is not valid: {why}"
        ))
    })
}

fn check_artifacts(
    it: &ActionDeclaration,
    produced: &BTreeSet<&str>,
    stage: &StageDeclaration,
) -> Result<(), Error> {
    let kind = kind_of(it)?;
    let inputs: Vec<&str> = (it.input_artifacts.iter().flatten())
        .map(|it| it.name.as_str())
        .collect();
    let outputs = it.output_artifacts.as_ref().map_or(0, Vec::len);
    for (what, count, (least, most)) in [
        ("input", inputs.len(), kind.inputs),
        ("output", outputs, kind.outputs),
    ] {
        if count < least || count > most {
            return Err(action(format!(
                "Action '{}' declares {count} {what} artifacts, and an action of its type has {least} to {most}",
                it.name
            )));
        }
    }
    for name in &inputs {
        if !produced.contains(name) {
            return Err(structure(format!(
                "Input Artifact Bundle {name} in action {} of stage {} is not the output of an action that runs before it.",
                it.name, stage.name
            )));
        }
    }
    if kind.driver == Driver::CodeBuild && inputs.len() > 1 {
        let primary = it
            .configuration
            .as_ref()
            .and_then(|it| it.get("PrimarySource"));
        if !primary.is_some_and(|it| inputs.contains(&it.as_str())) {
            return Err(action(format!(
                "Action '{}' has several input artifacts: its configuration PrimarySource must name one of them",
                it.name
            )));
        }
    }
    Ok(())
}

/// Namespaces are unique, and what refers to one refers to an action that is over by then.
fn check_namespaces(pipeline: &PipelineDeclaration) -> Result<(), Error> {
    let mut known: BTreeSet<&str> =
        BTreeSet::from([variables::OF_THE_EXECUTION, variables::OF_THE_PIPELINE]);
    let mut names = BTreeSet::new();
    for it in pipeline.variables.iter().flatten() {
        if !names.insert(&it.name) {
            return Err(structure(format!(
                "Variable name must be unique within the pipeline. {} has been used more than once.",
                it.name
            )));
        }
    }
    for stage in &pipeline.stages {
        let mut group: Vec<&ActionDeclaration> = Vec::new();
        for it in in_order(stage) {
            let order = |it: &ActionDeclaration| it.run_order.unwrap_or(1);
            if group.first().is_some_and(|first| order(first) < order(it)) {
                known.extend(group.drain(..).filter_map(|it| it.namespace.as_deref()));
            }
            for (name, value) in it.configuration.iter().flatten() {
                for reference in variables::references(value) {
                    if !known.contains(reference.namespace) {
                        return Err(action(format!(
                            "Action '{}': configuration '{name}' refers to the namespace '{}', which no action that runs before it has",
                            it.name, reference.namespace
                        )));
                    }
                    if reference.namespace == variables::OF_THE_PIPELINE
                        && !names.iter().any(|it| it.as_str() == reference.name)
                    {
                        return Err(action(format!(
                            "Action '{}': configuration '{name}' refers to the variable '{}', which the pipeline does not declare",
                            it.name, reference.name
                        )));
                    }
                }
            }
            group.push(it);
        }
        known.extend(group.into_iter().filter_map(|it| it.namespace.as_deref()));
    }
    let all = pipeline.stages.iter().flat_map(|it| &it.actions);
    let mut seen = BTreeSet::new();
    for namespace in all.filter_map(|it| it.namespace.as_deref()) {
        if [variables::OF_THE_EXECUTION, variables::OF_THE_PIPELINE].contains(&namespace) {
            return Err(action(format!("The namespace '{namespace}' is reserved")));
        }
        if !seen.insert(namespace) {
            return Err(structure(format!(
                "Namespace must be unique within the pipeline. {namespace} has been used more than once."
            )));
        }
    }
    Ok(())
}

fn check_triggers(pipeline: &PipelineDeclaration) -> Result<(), Error> {
    let sources = pipeline
        .stages
        .first()
        .into_iter()
        .flat_map(|it| &it.actions);
    let connections: Vec<&str> = sources
        .filter(|it| it.action_type_id.provider == "CodeStarSourceConnection")
        .map(|it| it.name.as_str())
        .collect();
    let mut named = BTreeSet::new();
    for trigger in pipeline.triggers.iter().flatten() {
        let git = &trigger.git_configuration;
        let name = &git.source_action_name;
        if !connections.contains(&name.as_str()) {
            return Err(structure(format!(
                "The trigger's source action {name} is not a CodeStarSourceConnection action of the pipeline."
            )));
        }
        if !named.insert(name) {
            return Err(structure(format!(
                "The source action {name} has more than one trigger."
            )));
        }
        let push = git.push.as_deref().unwrap_or_default();
        let globs = push.iter().flat_map(|it| {
            let branches = it.branches.iter();
            let paths = it.file_paths.iter();
            branches
                .flat_map(|it| it.includes.iter().chain(&it.excludes))
                .chain(paths.flat_map(|it| it.includes.iter().chain(&it.excludes)))
                .flatten()
        });
        for glob in globs {
            crate::glob::check(glob).map_err(structure)?;
        }
    }
    Ok(())
}
