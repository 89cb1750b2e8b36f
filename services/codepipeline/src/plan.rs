//! What may happen now in a pipeline: pure. Facts in, steps out.
//!
//! ```text
//!   waits before a stage ──enter──> in the stage ──all actions succeeded──> waits before the next
//!     │  │                            │   └─ actions start by run order          (or has succeeded)
//!     │  └─ superseded, stopped       └─ failed, stopped
//! ```
//!
//! One execution at a time is in a stage, but for the mode PARALLEL. With SUPERSEDED, a newer one
//! that waits before the same stage takes the place of an older one; with QUEUED, they enter by age
//! (CodePipeline User Guide, "How pipeline executions work").

use std::collections::{BTreeMap, BTreeSet};

use shapes::codepipeline::ExecutionMode;

/// What a plan is made from. Executions are those that have not ended, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub mode: ExecutionMode,
    /// Stages that nothing may enter.
    pub disabled: BTreeSet<String>,
    pub executions: Vec<ExecutionFact>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionFact {
    pub key: String,
    pub stages: Vec<StageFact>,
    /// The stage that it is in or waits before.
    pub at: usize,
    pub inside: bool,
    /// It has succeeded when this stage has.
    pub last: usize,
    pub stop: Option<StopHow>,
    /// Its actions' states in the stage that it is in. Those that have not started are not here.
    pub runs: BTreeMap<String, RunState>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StageFact {
    pub name: String,
    /// Name and run order.
    pub actions: Vec<(String, i32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopHow {
    /// Actions that run may finish.
    Wait,
    Abandon,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    Running,
    Succeeded,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Supersede {
        execution: String,
        by: String,
    },
    Enter {
        execution: String,
    },
    Start {
        execution: String,
        action: String,
    },
    /// Its stage has succeeded: it waits before the next, or has succeeded altogether.
    Advance {
        execution: String,
    },
    /// Its stage has failed, and with it the execution.
    Fail {
        execution: String,
    },
    /// Actions that still run are abandoned.
    Stop {
        execution: String,
    },
}

/// The steps of one round. They may all be taken, in this order; another round may then find more.
pub fn plan(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut occupied: BTreeSet<&str> = (facts.executions.iter())
        .filter(|it| it.inside)
        .filter_map(|it| it.stage())
        .map(|it| it.name.as_str())
        .collect();
    for it in &facts.executions {
        if it.inside {
            in_stage(it, &mut steps);
        } else {
            waiting(it, facts, &mut occupied, &mut steps);
        }
    }
    steps
}

impl ExecutionFact {
    fn stage(&self) -> Option<&StageFact> {
        self.stages.get(self.at)
    }
    fn any(&self, state: RunState) -> bool {
        self.runs.values().any(|it| *it == state)
    }
}

fn in_stage(it: &ExecutionFact, steps: &mut Vec<Step>) {
    let execution = it.key.clone();
    let running = it.any(RunState::Running);
    match it.stop {
        Some(StopHow::Abandon) => return steps.push(Step::Stop { execution }),
        Some(StopHow::Wait) if running => return,
        // What finished last may have failed, or been all that was left: it is stopped all the same.
        Some(StopHow::Wait) => return steps.push(Step::Stop { execution }),
        None => (),
    }
    if it.any(RunState::Failed) {
        if !running {
            steps.push(Step::Fail { execution });
        }
        return;
    }
    let actions = it
        .stage()
        .map(|it| it.actions.as_slice())
        .unwrap_or_default();
    let open = |name: &str| it.runs.get(name) != Some(&RunState::Succeeded);
    let group = actions
        .iter()
        .filter(|(name, _)| open(name))
        .map(|(_, order)| *order)
        .min();
    let Some(group) = group else {
        return steps.push(Step::Advance { execution });
    };
    for (action, order) in actions {
        if *order == group && !it.runs.contains_key(action) {
            steps.push(Step::Start {
                execution: execution.clone(),
                action: action.clone(),
            });
        }
    }
}

fn waiting<'a>(
    it: &'a ExecutionFact,
    facts: &'a Facts,
    occupied: &mut BTreeSet<&'a str>,
    steps: &mut Vec<Step>,
) {
    let execution = it.key.clone();
    if it.stop.is_some() {
        return steps.push(Step::Stop { execution });
    }
    let Some(stage) = it.stage() else {
        return steps.push(Step::Advance { execution });
    };
    let name = stage.name.as_str();
    let same_place =
        |other: &&ExecutionFact| !other.inside && other.stage().is_some_and(|it| it.name == name);
    if facts.mode == ExecutionMode::Superseded {
        let position = facts
            .executions
            .iter()
            .position(|other| other.key == it.key);
        let newer = &facts.executions[position.map_or(0, |it| it + 1)..];
        if let Some(by) = newer.iter().rfind(same_place) {
            let by = by.key.clone();
            return steps.push(Step::Supersede { execution, by });
        }
    }
    let free = facts.mode == ExecutionMode::Parallel || !occupied.contains(name);
    if free && !facts.disabled.contains(name) {
        occupied.insert(name);
        steps.push(Step::Enter { execution });
    }
}
