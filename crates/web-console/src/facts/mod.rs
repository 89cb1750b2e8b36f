//! Facts: what views show, gathered through operations in the name of who looks. They are what is answered as JSON.

pub mod balancers;
pub mod calls;
pub mod deployment;
pub mod fetched;
pub mod finder;
pub mod home;
pub mod images;
pub mod logs;
pub mod machine;
pub mod metrics;
pub mod network;
pub mod pipelines;
pub mod service;
pub mod services;
pub mod stack;
pub mod task;
pub mod traffic;
pub mod why;

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::ecs::Service;
use shapes::elbv2::{DescribeTargetHealthInput, TargetHealthDescription};
use wire::Timestamp;

/// How a thing is. The worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Failed,
    Changing,
    Well,
    Idle,
}

impl State {
    pub fn class(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Changing => "changing",
            Self::Well => "well",
            Self::Idle => "idle",
        }
    }

    pub fn shape(self) -> &'static str {
        match self {
            Self::Failed => "✗",
            Self::Changing => "↻",
            Self::Well => "✓",
            Self::Idle => "–",
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failing",
            Self::Changing => "changing",
            Self::Well => "up",
            Self::Idle => "nothing runs",
        }
    }

    /// What the words of stacks, pipelines and rollouts say.
    pub fn of_words(words: &str) -> Self {
        let has = |part: &str| words.contains(part);
        if has("FAIL") || has("Failed") || has("ROLLBACK") || has("unhealthy") {
            Self::Failed
        } else if has("PROGRESS") || has("InProgress") || has("initial") || has("draining") {
            Self::Changing
        } else if has("COMPLETE") || has("Succeeded") || has("healthy") || has("RUNNING") {
            Self::Well
        } else {
            Self::Idle
        }
    }
}

/// What the targets of a service's groups are found to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TargetCounts {
    pub all: i32,
    pub healthy: i32,
    pub unhealthy: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeploymentSummary {
    pub state: String,
    pub changed_ms: Option<i64>,
}

/// A service in a few numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceSummary {
    pub cluster: String,
    pub name: String,
    pub arn: String,
    pub state: State,
    pub desired: i32,
    pub running: i32,
    pub pending: i32,
    /// None: nothing probes its tasks.
    pub targets: Option<TargetCounts>,
    pub deployment: Option<DeploymentSummary>,
}

pub fn ms(at: Option<Timestamp>) -> Option<i64> {
    at.map(|it| (it.0 * 1000.0) as i64)
}

pub fn now_ms(cx: &Cx) -> i64 {
    cx.clock().now_ms()
}

pub fn last_part(arn: &str) -> String {
    ::why::list::last_part(arn)
}

pub async fn health(cx: &Cx, group: &str) -> Result<Vec<TargetHealthDescription>, Error> {
    let asked = cx.call(DescribeTargetHealthInput {
        target_group_arn: group.to_owned(),
        ..Default::default()
    });
    match asked.await {
        Ok(found) => Ok(found.target_health_descriptions.unwrap_or_default()),
        // It was deleted meanwhile.
        Err(error) if error.status < 500 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub fn state_of(target: &TargetHealthDescription) -> &'static str {
    let state = target.target_health.as_ref().and_then(|it| it.state);
    state.map_or("unknown", |it| it.as_str())
}

pub async fn summary(cx: &Cx, service: &Service) -> Result<ServiceSummary, Error> {
    let mut targets: Option<TargetCounts> = None;
    for balanced in service.load_balancers.iter().flatten() {
        let Some(group) = &balanced.target_group_arn else {
            continue;
        };
        let counts = targets.get_or_insert_default();
        for it in health(cx, group).await? {
            match state_of(&it) {
                "draining" => continue,
                "healthy" => counts.healthy += 1,
                "unhealthy" => counts.unhealthy += 1,
                _ => {}
            }
            counts.all += 1;
        }
    }
    Ok(summarized(service, targets))
}

/// Nothing is called up that was not found to be: every task that is wanted runs, and is healthy where somebody
/// probes it.
pub fn summarized(service: &Service, targets: Option<TargetCounts>) -> ServiceSummary {
    let count = |it: Option<i32>| it.unwrap_or_default();
    let (desired, running, pending) = (
        count(service.desired_count),
        count(service.running_count),
        count(service.pending_count),
    );
    let newest = (service.deployments.iter().flatten())
        .max_by_key(|it| ms(it.created_at).unwrap_or_default());
    let rollout = newest
        .and_then(|it| it.rollout_state)
        .map_or("", |it| it.as_str());
    let has_failed = newest.is_some_and(|it| count(it.failed_tasks) > 0);
    let is_probed_well = targets.is_none_or(|it| it.healthy >= desired && it.unhealthy == 0);
    let is_there = running >= desired && pending == 0;
    let state = if service.status.as_deref() != Some("ACTIVE") || (desired == 0 && running == 0) {
        State::Idle
    } else if targets.is_some_and(|it| it.unhealthy > 0)
        || rollout == "FAILED"
        || (has_failed && !is_there)
    {
        State::Failed
    } else if !is_there || !is_probed_well || rollout == "IN_PROGRESS" {
        State::Changing
    } else {
        State::Well
    };
    ServiceSummary {
        cluster: last_part(service.cluster_arn.as_deref().unwrap_or_default()),
        name: service.service_name.clone().unwrap_or_default(),
        arn: service.service_arn.clone().unwrap_or_default(),
        state,
        desired,
        running,
        pending,
        targets,
        deployment: newest.map(|it| DeploymentSummary {
            state: match rollout {
                "" => it.status.clone().unwrap_or_default(),
                other => other.to_owned(),
            },
            changed_ms: ms(it.updated_at.or(it.created_at)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use shapes::ecs::{Deployment, DeploymentRolloutState};

    use super::*;

    fn service(running: i32, rollout: DeploymentRolloutState, failed: i32) -> Service {
        Service {
            status: Some("ACTIVE".into()),
            desired_count: Some(2),
            running_count: Some(running),
            deployments: Some(vec![Deployment {
                rollout_state: Some(rollout),
                failed_tasks: Some(failed),
                ..Default::default()
            }]),
            ..Default::default()
        }
    }

    #[test]
    fn nothing_is_up_that_was_not_found_to_be() {
        use DeploymentRolloutState::{Completed, Failed, InProgress};
        let targets = |healthy, unhealthy| {
            Some(TargetCounts {
                all: 2,
                healthy,
                unhealthy,
            })
        };
        let table = [
            (service(2, Completed, 0), None, State::Well),
            (service(2, Completed, 0), targets(2, 0), State::Well),
            // It runs, and nobody has reached it yet.
            (service(2, Completed, 0), targets(1, 0), State::Changing),
            (service(2, Completed, 0), targets(1, 1), State::Failed),
            (service(2, InProgress, 0), targets(2, 0), State::Changing),
            (service(1, Completed, 0), None, State::Changing),
            (service(1, InProgress, 3), None, State::Failed),
            (service(2, Failed, 0), targets(2, 0), State::Failed),
        ];
        for (at, (service, targets, expect)) in table.into_iter().enumerate() {
            assert_eq!(summarized(&service, targets).state, expect, "row {at}");
        }
        let none = Service {
            desired_count: Some(0),
            ..service(0, Completed, 0)
        };
        assert_eq!(summarized(&none, None).state, State::Idle);
    }
}
