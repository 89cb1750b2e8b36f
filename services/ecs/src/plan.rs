//! What a service's scheduler does next. Pure: facts in, steps out.
//!
//! A service has deployments, the newest first; the first one is its primary. Tasks of the primary
//! are started as far as `maximumPercent` has room for them; tasks of older deployments are stopped
//! as far as `minimumHealthyPercent` can spare them. A task that is asked to stop (it drains, then
//! stops) no longer counts. When the primary alone has every task that is desired, healthy, and
//! nothing older is left, it is completed. A primary whose tasks keep failing trips the circuit
//! breaker: it has failed, and the last completed deployment becomes the primary again.

/// Everything that the decision depends on.
#[derive(Debug, Clone)]
pub struct Facts {
    pub now_ms: i64,
    pub desired: usize,
    /// The service is being deleted.
    pub draining: bool,
    pub minimum_healthy_percent: usize,
    pub maximum_percent: usize,
    pub breaker: Option<Breaker>,
    /// The newest first.
    pub deployments: Vec<DeploymentFact>,
    /// The deployment that a failed one is rolled back to, if there is one.
    pub last_completed: Option<String>,
    /// Every task of the service that is not stopped.
    pub tasks: Vec<TaskFact>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// So many failed tasks trip it.
    pub threshold: usize,
    pub rollback: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentFact {
    pub id: String,
    pub rollout: Rollout,
    /// Tasks that failed, as the circuit breaker counts them.
    pub failed_tasks: usize,
    /// Back-off: no task is started before this time.
    pub may_start_at_ms: i64,
    /// It is a roll-back itself, and is not rolled back.
    pub is_rollback: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Rollout {
    InProgress,
    Completed,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFact {
    pub id: String,
    pub deployment: String,
    pub stage: Stage,
    pub health: TaskHealth,
    /// It has been healthy before, so it may be again: it is not given up lightly.
    pub was_healthy: bool,
    /// Its instance is being drained: it goes as the tasks of an older deployment do.
    pub is_leaving: bool,
    pub created_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Starting,
    Running,
    /// It was asked to stop, or is stopping on its own.
    Ending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskHealth {
    /// Not known yet.
    Unknown,
    Healthy,
    /// Why, for people.
    Unhealthy(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Start {
        deployment: String,
        count: usize,
    },
    Stop {
        task: String,
        why: StopWhy,
    },
    /// The deployment has reached what was desired.
    Complete {
        deployment: String,
    },
    /// The circuit breaker tripped.
    Fail {
        deployment: String,
    },
    /// `to` becomes the primary again.
    RollBack {
        from: String,
        to: String,
    },
    /// Nothing of an older deployment is left.
    Forget {
        deployment: String,
    },
    /// The percentages allow neither a start nor a stop.
    Blocked,
    /// Nothing of a deleted service is left.
    Inactive,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopWhy {
    /// More run than is desired, or the service is being deleted.
    ScaledIn,
    /// A newer deployment has taken over.
    Replaced,
    Unhealthy(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// When to plan again should nothing change.
    pub look_again_at_ms: Option<i64>,
    /// Everything is as desired and nothing is under way.
    pub steady: bool,
}

impl Facts {
    /// Rounded up: so many tasks stay healthy during a deployment.
    pub fn healthy_min(&self) -> usize {
        (self.desired * self.minimum_healthy_percent).div_ceil(100)
    }
    /// Rounded down: no more tasks than these run or start at one time.
    pub fn tasks_max(&self) -> usize {
        self.desired * self.maximum_percent / 100
    }
}

pub fn plan(facts: &Facts) -> Plan {
    if facts.draining {
        return plan_draining(facts);
    }
    let Some(primary) = facts.deployments.first() else {
        return Plan::default();
    };
    if let Some(steps) = trip_breaker(facts, primary) {
        return Plan {
            steps,
            look_again_at_ms: Some(facts.now_ms),
            steady: false,
        };
    }
    let mut planner = Planner::new(facts, primary);
    if primary.rollout == Rollout::Failed {
        planner.stop_surplus_of_failed();
    } else {
        planner.stop_what_is_lost();
        planner.stop_surplus();
        planner.stop_replaced();
        planner.start_missing();
        planner.complete();
    }
    planner.forget_old();
    planner.finish()
}

fn plan_draining(facts: &Facts) -> Plan {
    let mut steps: Vec<Step> = (facts.tasks.iter())
        .filter(|task| task.stage != Stage::Ending)
        .map(|task| Step::Stop {
            task: task.id.clone(),
            why: StopWhy::ScaledIn,
        })
        .collect();
    if facts.tasks.is_empty() {
        steps.push(Step::Inactive);
    }
    Plan {
        steps,
        look_again_at_ms: None,
        steady: false,
    }
}

fn trip_breaker(facts: &Facts, primary: &DeploymentFact) -> Option<Vec<Step>> {
    let breaker = facts.breaker?;
    if primary.rollout != Rollout::InProgress || primary.failed_tasks < breaker.threshold {
        return None;
    }
    let mut steps = vec![Step::Fail {
        deployment: primary.id.clone(),
    }];
    if breaker.rollback
        && !primary.is_rollback
        && let Some(to) = facts.last_completed.clone()
        && to != primary.id
    {
        steps.push(Step::RollBack {
            from: primary.id.clone(),
            to,
        });
    }
    Some(steps)
}

/// Keeps count while steps are chosen: what was chosen to stop no longer counts.
struct Planner<'a> {
    facts: &'a Facts,
    primary: &'a DeploymentFact,
    /// Starting or running, and not chosen to stop.
    live: Vec<&'a TaskFact>,
    steps: Vec<Step>,
    look_again_at_ms: Option<i64>,
}

impl<'a> Planner<'a> {
    fn new(facts: &'a Facts, primary: &'a DeploymentFact) -> Self {
        let mut live: Vec<&TaskFact> = facts
            .tasks
            .iter()
            .filter(|task| task.stage != Stage::Ending)
            .collect();
        // The oldest first, whatever order they came in.
        live.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        Self {
            facts,
            primary,
            live,
            steps: Vec::new(),
            look_again_at_ms: None,
        }
    }

    fn is_of_primary(&self, task: &TaskFact) -> bool {
        task.deployment == self.primary.id && !task.is_leaving
    }

    fn count(&self, wanted: impl Fn(&TaskFact) -> bool) -> usize {
        self.live.iter().filter(|task| wanted(task)).count()
    }

    fn healthy(&self) -> usize {
        self.count(is_healthy)
    }

    fn healthy_of_primary(&self) -> usize {
        self.count(|task| is_healthy(task) && self.is_of_primary(task))
    }

    /// Tasks of the primary that may yet do, or do already.
    fn useful_of_primary(&self) -> usize {
        self.count(|task| !is_unhealthy(task) && self.is_of_primary(task))
    }

    fn missing(&self) -> usize {
        self.facts.desired.saturating_sub(self.useful_of_primary())
    }

    fn room(&self) -> usize {
        self.facts.tasks_max().saturating_sub(self.live.len())
    }

    fn stop(&mut self, task: &TaskFact, why: StopWhy) {
        self.live.retain(|it| it.id != task.id);
        self.steps.push(Step::Stop {
            task: task.id.clone(),
            why,
        });
    }

    /// Tasks that serve nobody: of older deployments, what never became healthy; of the primary,
    /// what is unhealthy and either never was otherwise or has been replaced.
    fn stop_what_is_lost(&mut self) {
        for task in self.live.clone() {
            match &task.health {
                TaskHealth::Unhealthy(why) if !self.is_of_primary(task) || !task.was_healthy => {
                    self.stop(task, StopWhy::Unhealthy(why.clone()));
                }
                TaskHealth::Healthy => (),
                _ if self.is_of_primary(task) => (),
                _ if !task.was_healthy || self.has_failed(&task.deployment) => {
                    self.stop(task, StopWhy::Replaced);
                }
                _ => (),
            }
        }
        // A replacement comes first; when there is no room for one, unhealthy tasks go one by one.
        let replaced = self.healthy_of_primary() >= self.facts.desired;
        let crowded = self.missing() > 0 && self.room() == 0;
        let limit = if replaced {
            usize::MAX
        } else {
            usize::from(crowded)
        };
        let unhealthy: Vec<&TaskFact> = self
            .live
            .iter()
            .copied()
            .filter(|task| is_unhealthy(task))
            .take(limit)
            .collect();
        for task in unhealthy {
            if let TaskHealth::Unhealthy(why) = &task.health {
                self.stop(task, StopWhy::Unhealthy(why.clone()));
            }
        }
    }

    fn has_failed(&self, deployment: &str) -> bool {
        (self.facts.deployments.iter())
            .any(|it| it.id == deployment && it.rollout == Rollout::Failed)
    }

    /// More tasks of the primary than are desired: the least useful go first, then the newest.
    fn stop_surplus(&mut self) {
        let own: Vec<&TaskFact> = self
            .live
            .iter()
            .copied()
            .filter(|task| self.is_of_primary(task))
            .collect();
        let unhealthy = own.iter().filter(|task| is_unhealthy(task)).count();
        let surplus = (own.len() - unhealthy).saturating_sub(self.facts.desired);
        for task in least_useful_first(own)
            .into_iter()
            .filter(|it| !is_unhealthy(it))
            .take(surplus)
        {
            if !is_healthy(task) || self.healthy() > self.facts.healthy_min() {
                self.stop(task, StopWhy::ScaledIn);
            }
        }
    }

    /// Tasks of older deployments, as newer ones take their place or, where there is no room for
    /// these, as far as `minimumHealthyPercent` can spare them.
    fn stop_replaced(&mut self) {
        let old: Vec<&TaskFact> = self
            .live
            .iter()
            .copied()
            .filter(|task| !self.is_of_primary(task))
            .collect();
        if self.healthy_of_primary() >= self.facts.desired {
            for task in old {
                self.stop(task, StopWhy::Replaced);
            }
            return;
        }
        let healthy = self.healthy();
        let above_desired = healthy.saturating_sub(self.facts.desired);
        let in_the_way = self.missing().saturating_sub(self.room());
        let spare = healthy
            .saturating_sub(self.facts.healthy_min())
            .min(in_the_way);
        for task in old
            .into_iter()
            .filter(|it| is_healthy(it))
            .take(above_desired.max(spare))
        {
            self.stop(task, StopWhy::Replaced);
        }
    }

    fn start_missing(&mut self) {
        let missing = self.missing();
        let count = missing.min(self.room());
        if count == 0 {
            self.note_blockade(missing);
        } else if self.facts.now_ms < self.primary.may_start_at_ms {
            self.look_again_at_ms = Some(self.primary.may_start_at_ms);
        } else {
            self.steps.push(Step::Start {
                deployment: self.primary.id.clone(),
                count,
            });
        }
    }

    /// Nothing may start, nothing may stop, and nothing is under way that could change that.
    fn note_blockade(&mut self, missing: usize) {
        let waiting = self
            .facts
            .tasks
            .iter()
            .any(|task| task.stage != Stage::Running || task.health == TaskHealth::Unknown);
        if missing > 0 && self.steps.is_empty() && !waiting {
            self.steps.push(Step::Blocked);
        }
    }

    /// The same in a failed primary, which starts nothing and replaces nothing: only a lower
    /// desired count and unhealthy tasks are acted upon.
    fn stop_surplus_of_failed(&mut self) {
        for task in self.live.clone() {
            if let TaskHealth::Unhealthy(why) = &task.health
                && self.is_of_primary(task)
            {
                self.stop(task, StopWhy::Unhealthy(why.clone()));
            }
        }
        let surplus = self.live.len().saturating_sub(self.facts.desired);
        let (own, old): (Vec<_>, Vec<_>) = self
            .live
            .iter()
            .copied()
            .partition(|task| self.is_of_primary(task));
        let order = least_useful_first(own)
            .into_iter()
            .chain(least_useful_first(old));
        // Where old and new tasks run side by side nothing is taken from either, unless fewer are
        // desired than run of the old ones alone.
        let old_live = self.count(|task| !self.is_of_primary(task));
        if old_live > 0 && old_live <= self.facts.desired {
            return;
        }
        for task in order.take(surplus) {
            self.stop(task, StopWhy::ScaledIn);
        }
    }

    fn complete(&mut self) {
        let nothing_old =
            self.facts.tasks.iter().all(|task| self.is_of_primary(task)) && self.steps.is_empty();
        if self.primary.rollout == Rollout::InProgress
            && nothing_old
            && self.live.len() == self.facts.desired
            && self.healthy() == self.facts.desired
        {
            self.steps.push(Step::Complete {
                deployment: self.primary.id.clone(),
            });
        }
    }

    fn forget_old(&mut self) {
        for old in &self.facts.deployments[1..] {
            if self
                .facts
                .tasks
                .iter()
                .all(|task| task.deployment != old.id)
            {
                self.steps.push(Step::Forget {
                    deployment: old.id.clone(),
                });
            }
        }
    }

    fn finish(self) -> Plan {
        let steady = self.primary.rollout == Rollout::Completed
            && self.steps.is_empty()
            && self.facts.tasks.len() == self.facts.desired
            && self
                .facts
                .tasks
                .iter()
                .all(|task| task.stage == Stage::Running && is_healthy(task));
        Plan {
            steps: self.steps,
            look_again_at_ms: self.look_again_at_ms,
            steady,
        }
    }
}

fn is_healthy(task: &TaskFact) -> bool {
    task.stage == Stage::Running && task.health == TaskHealth::Healthy
}

fn is_unhealthy(task: &TaskFact) -> bool {
    matches!(task.health, TaskHealth::Unhealthy(_))
}

fn least_useful_first(mut tasks: Vec<&TaskFact>) -> Vec<&TaskFact> {
    tasks.sort_by_key(|task| {
        let use_of = match (&task.health, task.stage) {
            (TaskHealth::Unhealthy(_), _) => 0,
            (_, Stage::Starting) => 1,
            (TaskHealth::Unknown, _) => 2,
            _ => 3,
        };
        (use_of, std::cmp::Reverse(task.created_ms))
    });
    tasks
}

/// How many failed tasks trip the circuit breaker (`thresholdConfiguration`; the default is
/// `BOUNDED_PERCENT` 50).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Threshold {
    Count(usize),
    BoundedPercent(usize),
    UnboundedPercent(usize),
}

/// The bounds of a bounded percentage.
const THRESHOLD_MIN: usize = 3;
const THRESHOLD_MAX: usize = 200;

impl Threshold {
    pub fn failures(self, desired: usize) -> usize {
        match self {
            Self::Count(count) => count.max(1),
            Self::BoundedPercent(percent) => (desired * percent)
                .div_ceil(100)
                .clamp(THRESHOLD_MIN, THRESHOLD_MAX),
            Self::UnboundedPercent(percent) => (desired * percent).div_ceil(100).max(1),
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
