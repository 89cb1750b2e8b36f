//! Plans as data, and what holds for any.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shapes::codepipeline::ExecutionMode;

use crate::plan::{ExecutionFact, Facts, RunState, StageFact, Step, StopHow, plan};

fn stages() -> Vec<StageFact> {
    let stage = |name: &str, actions: &[(&str, i32)]| StageFact {
        name: name.into(),
        actions: actions
            .iter()
            .map(|(name, order)| ((*name).into(), *order))
            .collect(),
    };
    vec![
        stage("Source", &[("app", 1)]),
        stage("Build", &[("image", 1), ("docs", 1), ("test", 2)]),
        stage("Deploy", &[("service", 1)]),
    ]
}

fn execution(key: &str, at: usize, inside: bool, runs: &[(&str, RunState)]) -> ExecutionFact {
    ExecutionFact {
        key: key.into(),
        stages: stages(),
        at,
        inside,
        last: 2,
        stop: None,
        runs: runs
            .iter()
            .map(|(name, state)| ((*name).into(), *state))
            .collect(),
    }
}

fn stopped(mut it: ExecutionFact, how: StopHow) -> ExecutionFact {
    it.stop = Some(how);
    it
}

fn check(mode: ExecutionMode, disabled: &[&str], executions: &[ExecutionFact], expect: &[&str]) {
    let facts = Facts {
        mode,
        disabled: disabled.iter().map(|it| (*it).to_owned()).collect(),
        executions: executions.to_vec(),
    };
    let words: Vec<String> = plan(&facts).iter().map(word).collect();
    assert_eq!(words, expect, "{facts:#?}");
}

fn word(step: &Step) -> String {
    match step {
        Step::Supersede { execution, by } => format!("{execution} superseded by {by}"),
        Step::Enter { execution } => format!("{execution} enters"),
        Step::Start { execution, action } => format!("{execution} starts {action}"),
        Step::Advance { execution } => format!("{execution} advances"),
        Step::Fail { execution } => format!("{execution} fails"),
        Step::Stop { execution } => format!("{execution} stops"),
    }
}

use ExecutionMode::{Parallel, Queued, Superseded};
use RunState::{Failed, Running, Succeeded};

#[test]
fn actions_start_by_run_order() {
    let build = |runs: &[(&str, RunState)]| [execution("1", 1, true, runs)];
    check(
        Superseded,
        &[],
        &build(&[]),
        &["1 starts image", "1 starts docs"],
    );
    check(
        Superseded,
        &[],
        &build(&[("image", Running), ("docs", Running)]),
        &[],
    );
    check(
        Superseded,
        &[],
        &build(&[("image", Succeeded), ("docs", Running)]),
        &[],
    );
    check(
        Superseded,
        &[],
        &build(&[("image", Succeeded), ("docs", Succeeded)]),
        &["1 starts test"],
    );
    let all = [
        ("image", Succeeded),
        ("docs", Succeeded),
        ("test", Succeeded),
    ];
    check(Superseded, &[], &build(&all), &["1 advances"]);
}

#[test]
fn a_failure_waits_for_what_runs_beside_it() {
    let build = |runs: &[(&str, RunState)]| [execution("1", 1, true, runs)];
    check(
        Superseded,
        &[],
        &build(&[("image", Failed), ("docs", Running)]),
        &[],
    );
    check(
        Superseded,
        &[],
        &build(&[("image", Failed), ("docs", Succeeded)]),
        &["1 fails"],
    );
    // A retry of the failed one begins with it.
    check(
        Superseded,
        &[],
        &build(&[("docs", Succeeded)]),
        &["1 starts image"],
    );
}

#[test]
fn one_execution_is_in_a_stage_and_the_newest_waits() {
    let inside = execution("1", 1, true, &[("image", Running), ("docs", Running)]);
    let waits = |key: &str| execution(key, 1, false, &[]);
    let all = [inside.clone(), waits("2"), waits("3"), waits("4")];
    check(
        Superseded,
        &[],
        &all,
        &["2 superseded by 4", "3 superseded by 4"],
    );
    check(Superseded, &[], &[inside.clone(), waits("4")], &[]);
    check(Superseded, &[], &[waits("4")], &["4 enters"]);
    check(Queued, &[], &all, &[]);
    check(Queued, &[], &[waits("2"), waits("3")], &["2 enters"]);
    check(Parallel, &[], &all[..2], &["2 enters"]);
    // Another stage is another place.
    let earlier = execution("5", 0, false, &[]);
    check(
        Superseded,
        &[],
        &[waits("4"), earlier],
        &["4 enters", "5 enters"],
    );
}

#[test]
fn nothing_enters_where_the_transition_is_disabled() {
    let waits = |key: &str| execution(key, 2, false, &[]);
    check(Superseded, &["Deploy"], &[waits("1")], &[]);
    check(
        Superseded,
        &["Deploy"],
        &[waits("1"), waits("2")],
        &["1 superseded by 2"],
    );
    check(Parallel, &["Deploy"], &[waits("1")], &[]);
    check(Superseded, &["Build"], &[waits("1")], &["1 enters"]);
}

#[test]
fn a_stopped_execution_ends_when_its_actions_do_or_at_once() {
    let running = execution("1", 2, true, &[("service", Running)]);
    check(
        Superseded,
        &[],
        &[stopped(running.clone(), StopHow::Wait)],
        &[],
    );
    check(
        Superseded,
        &[],
        &[stopped(running, StopHow::Abandon)],
        &["1 stops"],
    );
    let done = execution("1", 2, true, &[("service", Succeeded)]);
    check(
        Superseded,
        &[],
        &[stopped(done, StopHow::Wait)],
        &["1 stops"],
    );
    let waits = execution("1", 2, false, &[]);
    check(
        Superseded,
        &["Deploy"],
        &[stopped(waits, StopHow::Wait)],
        &["1 stops"],
    );
}

/// A pipeline as it would go, with what happens to it given from outside.
#[derive(Debug, Clone)]
struct Model {
    facts: Facts,
    ended: BTreeMap<String, &'static str>,
    started: u32,
}

#[derive(Debug, Clone)]
enum Event {
    New,
    Finish { nth: usize, succeeds: bool },
    Toggle(usize),
    Stop { nth: usize, abandon: bool },
}

impl Model {
    fn new(mode: ExecutionMode) -> Self {
        Self {
            facts: Facts {
                mode,
                disabled: BTreeSet::new(),
                executions: Vec::new(),
            },
            ended: BTreeMap::new(),
            started: 0,
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::New => {
                self.started += 1;
                let key = format!("{:03}", self.started);
                self.facts.executions.push(execution(&key, 0, false, &[]));
            }
            Event::Finish { nth, succeeds } => {
                let mut running: Vec<&mut RunState> = (self.facts.executions.iter_mut())
                    .flat_map(|it| it.runs.values_mut())
                    .filter(|it| **it == Running)
                    .collect();
                if !running.is_empty() {
                    let index = nth % running.len();
                    *running[index] = if *succeeds { Succeeded } else { Failed };
                }
            }
            Event::Toggle(nth) => {
                let name = stages()[nth % 3].name.clone();
                if !self.facts.disabled.remove(&name) {
                    self.facts.disabled.insert(name);
                }
            }
            Event::Stop { nth, abandon } => {
                let count = self.facts.executions.len();
                if count > 0 {
                    let how = if *abandon {
                        StopHow::Abandon
                    } else {
                        StopHow::Wait
                    };
                    self.facts.executions[nth % count].stop = Some(how);
                }
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 100, "plans never come to an end: {self:#?}");
            let steps = plan(&self.facts);
            if steps.is_empty() {
                return;
            }
            steps.iter().for_each(|step| self.take(step));
            self.check();
        }
    }

    fn end(&mut self, key: &str, how: &'static str) {
        assert!(
            self.ended.insert(key.to_owned(), how).is_none(),
            "{key} ends twice"
        );
        self.facts.executions.retain(|it| it.key != key);
    }

    fn find(&mut self, key: &str) -> &mut ExecutionFact {
        let found = self.facts.executions.iter_mut().find(|it| it.key == key);
        found.expect("a step is about an execution that has not ended")
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Supersede { execution, by } => {
                assert!(execution < by, "an older one never supersedes");
                assert!(!self.find(execution).inside);
                self.end(execution, "superseded");
            }
            Step::Enter { execution } => {
                let it = self.find(execution);
                assert!(!it.inside);
                it.inside = true;
                it.runs.clear();
                let name = stages()[it.at].name.clone();
                assert!(!self.facts.disabled.contains(&name), "{name} is disabled");
            }
            Step::Start { execution, action } => {
                let it = self.find(execution);
                assert!(it.stop.is_none() && it.inside);
                let stage = &stages()[it.at];
                let order = |name: &str| {
                    let found = stage.actions.iter().find(|it| it.0 == name);
                    found.expect("it is an action of the stage").1
                };
                for (name, earlier) in &stage.actions {
                    if *earlier < order(action) {
                        assert_eq!(it.runs.get(name), Some(&Succeeded), "{name} is not over");
                    }
                }
                assert!(it.runs.insert(action.clone(), Running).is_none());
            }
            Step::Advance { execution } => {
                let it = self.find(execution);
                let actions = &stages()[it.at].actions;
                assert!(actions.iter().all(|(name, _)| it.runs[name] == Succeeded));
                if it.at == it.last {
                    self.end(execution, "succeeded");
                } else {
                    it.at += 1;
                    it.inside = false;
                    it.runs.clear();
                }
            }
            Step::Fail { execution } => {
                assert!(!self.find(execution).any_running());
                self.end(execution, "failed");
            }
            Step::Stop { execution } => {
                assert!(self.find(execution).stop.is_some());
                self.end(execution, "stopped");
            }
        }
    }

    fn check(&self) {
        if self.facts.mode == Parallel {
            return;
        }
        let mut places = BTreeSet::new();
        for it in self.facts.executions.iter().filter(|it| it.inside) {
            assert!(
                places.insert(it.at),
                "two executions in one stage: {self:#?}"
            );
        }
    }
}

impl ExecutionFact {
    fn any_running(&self) -> bool {
        self.runs.values().any(|it| *it == Running)
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::New),
        6 => (0..9_usize, prop::bool::weighted(0.85))
            .prop_map(|(nth, succeeds)| Event::Finish { nth, succeeds }),
        1 => (0..3_usize).prop_map(Event::Toggle),
        1 => (0..9_usize, any::<bool>()).prop_map(|(nth, abandon)| Event::Stop { nth, abandon }),
    ]
}

proptest! {
    #[test]
    fn every_execution_ends_once_and_stages_are_not_shared(
        events in prop::collection::vec(event(), 0..60),
        mode in prop_oneof![Just(Superseded), Just(Queued), Just(Parallel)],
    ) {
        let mut model = Model::new(mode);
        for event in &events {
            model.happen(event);
        }
        // From here on everything goes well: nothing is left waiting.
        model.facts.disabled.clear();
        model.settle();
        for _ in 0..1000 {
            if model.facts.executions.is_empty() {
                break;
            }
            model.happen(&Event::Finish { nth: 0, succeeds: true });
        }
        prop_assert!(model.facts.executions.is_empty(), "left: {model:#?}");
        prop_assert_eq!(model.ended.len(), model.started as usize);
        if mode != Superseded {
            prop_assert!(!model.ended.values().any(|it| *it == "superseded"));
        }
    }
}
