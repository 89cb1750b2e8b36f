//! Plans as data, and properties that hold for every course of events.

use proptest::prelude::*;

use super::*;

/// Tasks are written `deployment:state`: `+` healthy, `?` running and unknown, `.` starting,
/// `!` unhealthy after it was healthy, `x` never healthy, `-` ending; `>` after it when its instance drains.
fn tasks(text: &str) -> Vec<TaskFact> {
    text.split_whitespace()
        .enumerate()
        .map(|(index, word)| {
            let (word, is_leaving) = match word.strip_suffix('>') {
                Some(word) => (word, true),
                None => (word, false),
            };
            let (deployment, state) = word.split_at(word.len() - 1);
            let (stage, health, was_healthy) = match state {
                "+" => (Stage::Running, TaskHealth::Healthy, true),
                "?" => (Stage::Running, TaskHealth::Unknown, false),
                "." => (Stage::Starting, TaskHealth::Unknown, false),
                "!" => (Stage::Running, TaskHealth::Unhealthy("sick".into()), true),
                "x" => (Stage::Running, TaskHealth::Unhealthy("sick".into()), false),
                _ => (Stage::Ending, TaskHealth::Unknown, true),
            };
            TaskFact {
                id: format!("{deployment}{index}"),
                deployment: deployment.into(),
                stage,
                health,
                was_healthy,
                is_leaving,
                created_ms: index as i64,
            }
        })
        .collect()
}

/// Deployments are written as `id` and `~` in progress, `=` completed, or `#` failed.
fn deployments(text: &str) -> Vec<DeploymentFact> {
    text.split_whitespace()
        .map(|word| DeploymentFact {
            id: word[..1].into(),
            rollout: match &word[1..] {
                "~" => Rollout::InProgress,
                "=" => Rollout::Completed,
                _ => Rollout::Failed,
            },
            failed_tasks: 0,
            may_start_at_ms: 0,
            is_rollback: false,
        })
        .collect()
}

fn facts(desired: usize, percents: (usize, usize), of: &str, with: &str) -> Facts {
    Facts {
        now_ms: 1000,
        desired,
        draining: false,
        minimum_healthy_percent: percents.0,
        maximum_percent: percents.1,
        breaker: None,
        deployments: deployments(of),
        last_completed: None,
        tasks: tasks(with),
    }
}

fn show(plan: &Plan) -> String {
    let mut words: Vec<String> = (plan.steps.iter())
        .map(|step| match step {
            Step::Start { deployment, count } => format!("start {count} {deployment}"),
            Step::Stop { task, .. } => format!("stop {task}"),
            Step::Complete { deployment } => format!("complete {deployment}"),
            Step::Fail { deployment } => format!("fail {deployment}"),
            Step::RollBack { from, to } => format!("back {from}>{to}"),
            Step::Forget { deployment } => format!("forget {deployment}"),
            Step::Blocked => "blocked".into(),
            Step::Inactive => "inactive".into(),
        })
        .collect();
    if plan.steady {
        words.push("steady".into());
    }
    words.join(", ")
}

fn check(desired: usize, percents: (usize, usize), of: &str, with: &str, expect: &str) {
    let plan = plan(&facts(desired, percents, of, with));
    assert_eq!(
        show(&plan),
        expect,
        "{desired} {percents:?} [{of}] [{with}]"
    );
}

#[test]
fn a_new_service_starts_its_tasks_and_is_completed_when_they_are_healthy() {
    check(2, (100, 200), "A~", "", "start 2 A");
    check(2, (100, 200), "A~", "A. A.", "");
    check(2, (100, 200), "A~", "A+ A?", "");
    check(2, (100, 200), "A~", "A+ A+", "complete A");
    check(2, (100, 200), "A=", "A+ A+", "steady");
    check(0, (100, 200), "A~", "", "complete A");
}

#[test]
fn stopped_tasks_are_replaced_and_surplus_ones_are_stopped() {
    check(2, (100, 200), "A=", "A+", "start 1 A");
    check(2, (100, 200), "A=", "A+ A-", "start 1 A");
    check(1, (100, 200), "A=", "A+ A+ A+", "stop A2, stop A1");
    check(1, (100, 200), "A=", "A+ A+ A.", "stop A2, stop A1");
    check(0, (100, 200), "A=", "A+", "stop A0");
}

#[test]
fn a_rolling_deployment_stops_old_tasks_as_new_ones_are_healthy() {
    check(2, (100, 200), "B~ A=", "A+ A+", "start 2 B");
    check(2, (100, 200), "B~ A=", "A+ A+ B. B?", "");
    check(2, (100, 200), "B~ A=", "A+ A+ B+ B?", "stop A0");
    check(2, (100, 200), "B~ A=", "A+ A+ B+ B+", "stop A0, stop A1");
    check(2, (100, 200), "B~ A=", "A- A- B+ B+", "");
    check(2, (100, 200), "B~ A=", "B+ B+", "complete B, forget A");
}

#[test]
fn what_is_on_a_draining_instance_goes_as_what_is_old() {
    check(2, (100, 200), "A=", "A+> A+", "start 1 A");
    check(2, (100, 200), "A=", "A+> A+ A.", "");
    check(2, (100, 200), "A=", "A+> A+ A+", "stop A0");
    check(2, (100, 200), "A=", "A-> A+ A+", "");
    // What has not begun to serve goes at once, and so does what may be missing for a while.
    check(2, (100, 200), "A=", "A.> A+", "stop A0, start 1 A");
    check(2, (50, 100), "A=", "A+> A+", "stop A0, start 1 A");
    // The older deployment is there as long as it has a task anywhere.
    check(1, (100, 200), "B~ A=", "A-> B+", "");
}

#[test]
fn the_percentages_decide_what_goes_first() {
    check(
        4,
        (50, 100),
        "B~ A=",
        "A+ A+ A+ A+",
        "stop A0, stop A1, start 2 B",
    );
    check(4, (50, 100), "B~ A=", "A+ A+ B. B.", "");
    check(4, (50, 100), "B~ A=", "A+ A+ B+ B.", "stop A0, start 1 B");
    check(4, (100, 125), "B~ A=", "A+ A+ A+ A+", "start 1 B");
    check(2, (0, 100), "B~ A=", "A+ A+", "stop A0, stop A1, start 2 B");
    check(1, (50, 100), "B~ A=", "A+", "blocked");
}

#[test]
fn old_tasks_that_serve_nobody_go_at_once() {
    check(1, (100, 200), "C~ B~ A=", "A+ B?", "stop B1, start 1 C");
    check(1, (100, 200), "C~ B~ A=", "A+ Bx", "stop B1, start 1 C");
    check(2, (100, 200), "B~ A=", "A+ A!", "stop A1, start 2 B");
}

#[test]
fn an_unhealthy_task_is_replaced_before_it_goes_where_there_is_room() {
    check(1, (100, 200), "A=", "A!", "start 1 A");
    check(1, (100, 200), "A=", "A! A.", "");
    check(1, (100, 200), "A=", "A! A+", "stop A0");
    check(1, (100, 100), "A=", "A!", "stop A0, start 1 A");
    check(2, (100, 200), "A~", "A+ Ax", "stop A1, start 1 A");
}

#[test]
fn the_back_off_is_waited_for() {
    let mut facts = facts(1, (100, 200), "A~", "");
    facts.deployments[0].may_start_at_ms = 5000;
    let waiting = plan(&facts);
    assert_eq!(
        (show(&waiting), waiting.look_again_at_ms),
        (String::new(), Some(5000))
    );
    facts.now_ms = 5000;
    assert_eq!(show(&plan(&facts)), "start 1 A");
}

#[test]
fn the_circuit_breaker_fails_a_deployment_and_goes_back() {
    let mut facts = facts(2, (100, 200), "B~ A=", "A+ A+ B.");
    facts.breaker = Some(Breaker {
        threshold: 3,
        rollback: true,
    });
    facts.deployments[0].failed_tasks = 2;
    assert_eq!(show(&plan(&facts)), "start 1 B");
    facts.deployments[0].failed_tasks = 3;
    assert_eq!(show(&plan(&facts)), "fail B");
    facts.last_completed = Some("A".into());
    assert_eq!(show(&plan(&facts)), "fail B, back B>A");
    facts.deployments[0].is_rollback = true;
    assert_eq!(show(&plan(&facts)), "fail B");
    facts.deployments = deployments("A~ B#");
    assert_eq!(show(&plan(&facts)), "stop B2");
    // Failed with nothing to go back to: it starts nothing, and takes nothing away.
    facts.deployments = deployments("B# A=");
    assert_eq!(show(&plan(&facts)), "");
    facts.desired = 0;
    assert_eq!(show(&plan(&facts)), "stop B2, stop A1, stop A0");
}

#[test]
fn a_deleted_service_stops_everything_and_then_is_inactive() {
    let mut facts = facts(0, (100, 200), "A=", "A+ A- A.");
    facts.draining = true;
    assert_eq!(show(&plan(&facts)), "stop A0, stop A2");
    facts.tasks = tasks("A-");
    assert_eq!(show(&plan(&facts)), "");
    facts.tasks.clear();
    assert_eq!(show(&plan(&facts)), "inactive");
}

#[test]
fn thresholds_follow_their_kind() {
    for (threshold, desired, expect) in [
        (Threshold::BoundedPercent(50), 1, 3),
        (Threshold::BoundedPercent(50), 20, 10),
        (Threshold::BoundedPercent(50), 1000, 200),
        (Threshold::UnboundedPercent(50), 1, 1),
        (Threshold::UnboundedPercent(50), 1000, 500),
        (Threshold::Count(7), 1, 7),
    ] {
        assert_eq!(
            threshold.failures(desired),
            expect,
            "{threshold:?} of {desired}"
        );
    }
}

/// A service in a world where tasks start, become healthy, fall ill and die as `luck` has it.
struct World {
    facts: Facts,
    made: usize,
}

impl World {
    fn new(desired: usize, percents: (usize, usize), breaker: Option<Breaker>) -> Self {
        Self {
            facts: Facts {
                breaker,
                ..facts(desired, percents, "A~", "")
            },
            made: 0,
        }
    }

    fn live(&self) -> usize {
        self.facts
            .tasks
            .iter()
            .filter(|it| it.stage != Stage::Ending)
            .count()
    }

    fn healthy(&self) -> usize {
        self.facts.tasks.iter().filter(|it| is_healthy(it)).count()
    }

    fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Start { deployment, count } => {
                    for _ in 0..count {
                        self.made += 1;
                        self.facts.tasks.push(TaskFact {
                            id: format!("t{}", self.made),
                            deployment: deployment.clone(),
                            stage: Stage::Starting,
                            health: TaskHealth::Unknown,
                            was_healthy: false,
                            is_leaving: false,
                            created_ms: self.made as i64,
                        });
                    }
                }
                Step::Stop { task, .. } => {
                    let found = self.facts.tasks.iter_mut().find(|it| it.id == task);
                    found.expect("only what is there is stopped").stage = Stage::Ending;
                }
                Step::Complete { deployment } => {
                    self.deployment(&deployment).rollout = Rollout::Completed;
                    self.facts.last_completed = Some(deployment);
                }
                Step::Fail { deployment } => self.deployment(&deployment).rollout = Rollout::Failed,
                Step::RollBack { to, .. } => {
                    self.facts.deployments.retain(|it| it.id != to);
                    let mut target = deployments(&format!("{to}~")).remove(0);
                    target.is_rollback = true;
                    self.facts.deployments.insert(0, target);
                }
                Step::Forget { deployment } => {
                    self.facts.deployments.retain(|it| it.id != deployment);
                }
                Step::Blocked | Step::Inactive => (),
            }
        }
    }

    fn deployment(&mut self, id: &str) -> &mut DeploymentFact {
        self.facts
            .deployments
            .iter_mut()
            .find(|it| it.id == id)
            .expect("it is in the plan")
    }

    /// Plans until nothing is left to do, and holds every plan to the promises.
    fn settle(&mut self) {
        for _ in 0..20 {
            let (live, healthy) = (self.live(), self.healthy());
            let (most, least) = (self.facts.tasks_max(), self.facts.healthy_min());
            let plan = plan(&self.facts);
            let done = plan.steps.is_empty() || plan.steps == [Step::Blocked];
            self.take(plan.steps);
            assert!(
                self.live() <= most.max(live),
                "above maximumPercent: {} of {most}",
                self.live()
            );
            assert!(
                self.healthy() >= least.min(healthy),
                "below minimumHealthyPercent"
            );
            if done {
                return;
            }
        }
        panic!("plans do not come to an end: {:?}", self.facts);
    }

    /// One thing happens to one task.
    fn happen(&mut self, luck: u8, broken: &str) {
        if self.facts.tasks.is_empty() {
            return;
        }
        let index = usize::from(luck / 8) % self.facts.tasks.len();
        let task = &mut self.facts.tasks[index];
        let dies = match (task.stage, luck % 8) {
            (Stage::Ending, _) => true,
            (Stage::Starting, _) if task.deployment == broken => true,
            (Stage::Starting, _) => {
                task.stage = Stage::Running;
                false
            }
            (Stage::Running, 0) => true,
            (Stage::Running, 1) => {
                task.health = TaskHealth::Unhealthy("sick".into());
                false
            }
            (Stage::Running, _) => {
                (task.health, task.was_healthy) = (TaskHealth::Healthy, true);
                false
            }
        };
        if dies {
            let gone = self.facts.tasks.remove(index);
            let failed = gone.stage == Stage::Starting;
            if let Some(it) = self
                .facts
                .deployments
                .iter_mut()
                .find(|it| it.id == gone.deployment)
                && failed
            {
                it.failed_tasks += 1;
            }
        }
    }

    /// From here on nothing bad happens any more, but to the broken deployment.
    fn good_times(&mut self, broken: &str) {
        for _ in 0..2000 {
            self.settle();
            let index = self.facts.tasks.iter().position(|it| !is_healthy(it));
            let Some(index) = index else { return };
            self.happen(u8::try_from(index * 8 + 2).unwrap_or(2), broken);
        }
        panic!("it does not come to rest: {:?}", self.facts);
    }
}

fn percents() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![
        Just((100, 200)),
        Just((50, 200)),
        Just((50, 150)),
        Just((0, 100)),
        Just((100, 150))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn promises_hold_and_every_deployment_ends(
        desired in 2usize..7,
        percents in percents(),
        lucks in proptest::collection::vec((any::<u8>(), 0usize..12), 0..120),
    ) {
        let mut world = World::new(desired, percents, None);
        let mut number = 0;
        for (luck, change) in lucks {
            world.settle();
            match change {
                0 if number < 20 => {
                    number += 1;
                    let id = (b'B' + number) as char;
                    let new = deployments(&format!("{id}~")).remove(0);
                    world.facts.deployments.insert(0, new);
                }
                1 => world.facts.desired = 2 + usize::from(luck) % 5,
                _ => world.happen(luck, "none"),
            }
        }
        world.good_times("none");
        world.settle();
        let end = plan(&world.facts);
        prop_assert!(end.steady, "{:?}", world.facts);
        prop_assert_eq!(world.facts.deployments.len(), 1);
    }

    #[test]
    fn a_broken_deployment_ends_in_the_last_one_that_was_completed(
        desired in 1usize..7,
        percents in percents(),
        lucks in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        // One task with 100 and 150 percent leaves no room for a second.
        prop_assume!(desired > 1 || percents.1 == 200 || percents.0 == 0);
        let breaker = Breaker { threshold: 3, rollback: true };
        let mut world = World::new(desired, percents, Some(breaker));
        world.good_times("B");
        prop_assert_eq!(world.facts.last_completed.as_deref(), Some("A"));
        world.facts.deployments.insert(0, deployments("B~").remove(0));
        for luck in lucks {
            world.settle();
            world.happen(luck | 7, "B");
        }
        world.good_times("B");
        world.settle();
        prop_assert_eq!(world.facts.deployments[0].id.as_str(), "A");
        prop_assert!(plan(&world.facts).steady, "{:?}", world.facts);
    }
}
