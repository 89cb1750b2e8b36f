//! Carries executions through a pipeline: facts out of the records, a plan, and its steps written
//! down in the same transaction. Nothing here has an effect beyond records: what an action does is
//! [`crate::act`]'s.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, Records, StoreError, all_keys};
use shapes::codepipeline::*;

use crate::find;
use crate::plan::{ExecutionFact, Facts, RunState, StageFact, Step, StopHow, plan};
use crate::record::{
    ActionRun, Execution, Failure, Location, Pipeline, StageRun, Version, Work, new_uuid,
};
use crate::variables;

/// Ended executions that are remembered of a pipeline, with their actions. AWS remembers a year.
const HISTORY_MAX: usize = 1000;
/// Rounds of planning in one transaction; every round gets an execution on, so that this many are
/// never reached.
const ROUNDS_MAX: usize = 10_000;

pub struct FlowReconciler;

#[async_trait]
impl Reconciler for FlowReconciler {
    fn kind(&self) -> &'static str {
        Pipeline::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<Pipeline>(cloud)
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        cx.write(|tx| match tx.get::<Pipeline>(key)? {
            Some(pipeline) => Flow::read(&cx, tx, pipeline)?.settle(),
            None => Ok(()),
        })?;
        Ok(Next::Idle)
    }
}

/// A pipeline and the executions that have not ended.
struct Flow<'a> {
    cx: &'a Cx,
    tx: &'a Records<'a>,
    pipeline: Pipeline,
    executions: Vec<Execution>,
    versions: BTreeMap<i32, PipelineDeclaration>,
    /// Runs of the actions in the stages that executions are in, by key.
    runs: BTreeMap<String, ActionRun>,
}

impl<'a> Flow<'a> {
    fn read(cx: &'a Cx, tx: &'a Records<'a>, pipeline: Pipeline) -> Result<Self, Error> {
        let mut flow = Self {
            cx,
            tx,
            executions: Vec::new(),
            versions: BTreeMap::new(),
            runs: BTreeMap::new(),
            pipeline,
        };
        for key in &flow.pipeline.live {
            let Some(execution) = tx.get::<Execution>(key)? else {
                continue;
            };
            if !flow.versions.contains_key(&execution.version) {
                let version: Version = find::version(tx, &flow.pipeline.key(), execution.version)?;
                flow.versions.insert(version.number, version.declaration);
            }
            for key in execution
                .stage()
                .into_iter()
                .flat_map(|it| it.runs.values())
            {
                if let Some(run) = tx.get::<ActionRun>(key)? {
                    flow.runs.insert(key.clone(), run);
                }
            }
            flow.executions.push(execution);
        }
        Ok(flow)
    }

    fn settle(mut self) -> Result<(), Error> {
        let before = (self.pipeline.clone(), self.executions.clone());
        for _ in 0..ROUNDS_MAX {
            let steps = plan(&self.facts());
            if steps.is_empty() {
                break;
            }
            for step in &steps {
                self.take(step)?;
            }
        }
        for it in &self.executions {
            if before.1.iter().find(|old| old.id == it.id) != Some(it) {
                self.tx.put(it)?;
            }
        }
        if self.pipeline != before.0 {
            self.forget_old()?;
            self.tx.put(&self.pipeline)?;
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        let stages = self.pipeline.stages.keys();
        Facts {
            mode: self.pipeline.mode(),
            disabled: stages
                .filter(|it| !self.pipeline.may_enter(it))
                .cloned()
                .collect(),
            executions: (self.executions.iter())
                .filter(|it| self.pipeline.live.contains(&it.key()))
                .map(|it| self.fact(it))
                .collect(),
        }
    }

    fn fact(&self, it: &Execution) -> ExecutionFact {
        let stages = self.versions[&it.version].stages.iter();
        let runs = it.stage().into_iter().flat_map(|it| &it.runs);
        ExecutionFact {
            key: it.key(),
            stages: stages.map(stage_fact).collect(),
            at: it.at,
            inside: it.inside,
            last: it.last,
            stop: it.stop.as_ref().map(|it| match it.abandon {
                true => StopHow::Abandon,
                false => StopHow::Wait,
            }),
            runs: runs
                .filter_map(|(name, key)| Some((name.clone(), state_of(self.runs.get(key)?))))
                .collect(),
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Supersede { execution, by } => {
                let newer = by.rsplit('/').next().unwrap_or_default();
                let why = format!("Superseded by the execution {newer}");
                self.end(execution, PipelineExecutionStatus::Superseded, Some(why));
            }
            Step::Enter { execution } => self.enter(execution),
            Step::Start { execution, action } => self.start(execution, action)?,
            Step::Advance { execution } => {
                self.end_stage(execution, StageExecutionStatus::Succeeded);
                let it = self.execution(execution);
                if it.at >= it.last {
                    self.end(execution, PipelineExecutionStatus::Succeeded, None);
                } else {
                    it.at += 1;
                    it.inside = false;
                }
            }
            Step::Fail { execution } => {
                self.end_stage(execution, StageExecutionStatus::Failed);
                self.end(execution, PipelineExecutionStatus::Failed, None);
            }
            Step::Stop { execution } => {
                self.abandon_runs(execution)?;
                self.end_stage(execution, StageExecutionStatus::Stopped);
                self.end(execution, PipelineExecutionStatus::Stopped, None);
            }
        }
        Ok(())
    }

    fn execution(&mut self, key: &str) -> &mut Execution {
        let now_ms = self.cx.clock().now_ms();
        let found = self.executions.iter_mut().find(|it| it.key() == key);
        let found = found.expect("a plan is about the executions that it was given");
        found.updated_ms = now_ms;
        found
    }

    fn enter(&mut self, key: &str) {
        let it = self.execution(key);
        it.inside = true;
        let (version, at) = (it.version, it.at);
        let name = self.versions[&version].stages[at].name.clone();
        let run = StageRun {
            name: name.clone(),
            status: StageExecutionStatus::InProgress,
            runs: BTreeMap::new(),
            retries: 0,
        };
        self.execution(key).stages.insert(at, run);
        let memory = self.pipeline.stages.entry(name).or_default();
        memory.latest = Some(key.to_owned());
    }

    fn end_stage(&mut self, key: &str, status: StageExecutionStatus) {
        let it = self.execution(key);
        let at = it.at;
        if it.inside
            && let Some(stage) = it.stages.get_mut(&at)
        {
            stage.status = status;
        }
    }

    fn end(&mut self, key: &str, status: PipelineExecutionStatus, summary: Option<String>) {
        let it = self.execution(key);
        it.status = status;
        it.summary = summary.or(it.summary.take());
        self.pipeline.live.retain(|it| it != key);
    }

    fn abandon_runs(&mut self, key: &str) -> Result<(), Error> {
        let now_ms = self.cx.clock().now_ms();
        let keys: BTreeSet<String> = (self.execution(key).stage().into_iter())
            .flat_map(|it| it.runs.values().cloned())
            .collect();
        for key in keys {
            if let Some(run) = self.runs.get_mut(&key).filter(|it| it.is_running()) {
                run.status = ActionExecutionStatus::Abandoned;
                run.updated_ms = now_ms;
                self.tx.put(run)?;
            }
        }
        Ok(())
    }

    fn start(&mut self, key: &str, action: &str) -> Result<(), Error> {
        let execution = self.execution(key).clone();
        let stage = &self.versions[&execution.version].stages[execution.at];
        let declared = stage.actions.iter().find(|it| it.name == action);
        let declared = declared
            .expect("a plan starts actions of the stage")
            .clone();
        let stage = stage.name.clone();
        let run = self.new_run(&execution, &stage, declared)?;
        let run_key = run.key();
        let memory = self.pipeline.stages.entry(stage).or_default();
        memory.runs.insert(action.to_owned(), run_key.clone());
        let it = self.execution(key);
        let at = it.at;
        if let Some(stage) = it.stages.get_mut(&at) {
            stage.runs.insert(action.to_owned(), run_key.clone());
        }
        self.tx.put(&run)?;
        self.runs.insert(run_key, run);
        Ok(())
    }

    fn new_run(
        &self,
        execution: &Execution,
        stage: &str,
        declared: ActionDeclaration,
    ) -> Result<ActionRun, Error> {
        let now_ms = self.cx.clock().now_ms();
        let counter = format!("codepipeline.run/{}", self.pipeline.key());
        let given = declared.configuration.clone().unwrap_or_default();
        let (configuration, unresolved) = match variables::resolve_all(&given, execution) {
            Ok(resolved) => (resolved, None),
            Err(variable) => (given, Some(variable)),
        };
        let mut missing = None;
        let mut inputs = Vec::new();
        for it in declared.input_artifacts.iter().flatten() {
            match execution.artifacts.get(&it.name) {
                Some(location) => inputs.push((it.name.clone(), location.clone())),
                None => missing = Some(it.name.clone()),
            }
        }
        let outputs = declared.output_artifacts.iter().flatten();
        let outputs = outputs.map(|it| (it.name.clone(), self.new_location(execution, &it.name)));
        let failure = match (unresolved, missing) {
            (Some(variable), _) => Some(format!(
                "An action execution variable could not be resolved: {variable}"
            )),
            (None, Some(artifact)) => Some(format!(
                "The input artifact {artifact} was not made in this execution"
            )),
            (None, None) => None,
        };
        Ok(ActionRun {
            region: execution.region.clone(),
            pipeline: execution.pipeline.clone(),
            execution_number: execution.number,
            execution_id: execution.id.clone(),
            version: execution.version,
            stage: stage.to_owned(),
            role_arn: (declared.role_arn.clone())
                .unwrap_or_else(|| self.versions[&execution.version].role_arn.clone()),
            sequence: self.tx.next(&counter)?,
            id: new_uuid(),
            status: match failure {
                Some(_) => ActionExecutionStatus::Failed,
                None => ActionExecutionStatus::InProgress,
            },
            started_ms: now_ms,
            updated_ms: now_ms,
            updated_by: None,
            configuration,
            inputs,
            outputs: outputs.collect(),
            external_id: None,
            external_url: None,
            summary: None,
            log_stream_arn: None,
            failure: failure.map(|message| Failure {
                code: "ConfigurationError".into(),
                message,
            }),
            variables: BTreeMap::new(),
            revision: None,
            revision_override: execution.overrides.get(&declared.name).cloned(),
            branch_override: execution.branches.get(&declared.name).cloned(),
            work: Work::New,
            declared,
        })
    }

    /// Where an artifact will be: as on AWS, both names are cut. Builds know an archive by its end.
    fn new_location(&self, execution: &Execution, artifact: &str) -> Location {
        const PIPELINE_CHARACTERS: usize = 20;
        const ARTIFACT_CHARACTERS: usize = 10;
        let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        let declaration = &self.versions[&execution.version];
        let own = declaration.artifact_stores.as_ref();
        let store = (declaration.artifact_store.as_ref())
            .or_else(|| own.and_then(|it| it.get(&execution.region)));
        Location {
            bucket: store.map(|it| it.location.clone()).unwrap_or_default(),
            key: format!(
                "{}/{}/{}.zip",
                cut(&execution.pipeline, PIPELINE_CHARACTERS),
                cut(artifact, ARTIFACT_CHARACTERS),
                cloud::random_upper(7)
            ),
            kms_key: (store.and_then(|it| it.encryption_key.as_ref())).map(|it| it.id.clone()),
        }
    }

    /// Deletes what goes beyond the history that is kept.
    fn forget_old(&self) -> Result<(), Error> {
        let prefix = format!("{}/{}/", self.pipeline.region, self.pipeline.name);
        let keys = self.tx.keys::<Execution>(&prefix)?;
        let surplus = keys
            .len()
            .saturating_sub(HISTORY_MAX + self.pipeline.live.len());
        for key in keys.iter().take(surplus) {
            if self.pipeline.live.contains(key) {
                continue;
            }
            let of_execution = key.rsplit_once('/').map_or(key.as_str(), |it| it.0);
            for run in self.tx.keys::<ActionRun>(&format!("{of_execution}/"))? {
                self.tx.delete::<ActionRun>(&run)?;
            }
            self.tx.delete::<Execution>(key)?;
        }
        Ok(())
    }
}

fn stage_fact(stage: &StageDeclaration) -> StageFact {
    let actions = stage.actions.iter();
    StageFact {
        name: stage.name.clone(),
        actions: actions
            .map(|it| (it.name.clone(), it.run_order.unwrap_or(1)))
            .collect(),
    }
}

fn state_of(run: &ActionRun) -> RunState {
    match run.status {
        ActionExecutionStatus::InProgress => RunState::Running,
        ActionExecutionStatus::Succeeded => RunState::Succeeded,
        ActionExecutionStatus::Failed | ActionExecutionStatus::Abandoned => RunState::Failed,
    }
}
