//! A deployment while it happens: old and new beside each other, each task's phases, and what requests came to.

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::ecs::Service;

use super::metrics::{data, dimensions_of, query};
use super::service::{self, DeploymentRow, TargetRow, describe};
use super::task::TaskRow;
use super::{ServiceSummary, now_ms};

/// Tasks that are shown.
const TASKS_MAX: usize = 60;
/// A deployment that is older than this is told of this long.
const BACK_MS_MAX: i64 = 60 * 60 * 1000;
const PERIOD_S: i32 = 10;

#[derive(Debug, Clone, Serialize)]
pub struct DeploymentFacts {
    pub summary: ServiceSummary,
    pub deployments: Vec<DeploymentRow>,
    pub targets: Vec<TargetRow>,
    /// Those that the newest deployment started, and those that it ended.
    pub tasks: Vec<TaskRow>,
    pub begun_ms: i64,
    pub now_ms: i64,
    /// None: no balancer tells of it.
    pub requests: Option<Requests>,
}

/// What CloudWatch was told since the deployment began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Requests {
    /// Whether there were any.
    pub any: bool,
    /// How many of a hundred were answered 5xx, by targets or by the balancer.
    pub failed_percent: f64,
}

pub async fn gather(cx: &Cx, cluster: &str, name: &str) -> Result<Option<DeploymentFacts>, Error> {
    let Some(described) = describe(cx, cluster, name).await? else {
        return Ok(None);
    };
    let Some(facts) = service::gather(cx, cluster, name).await? else {
        return Ok(None);
    };
    let now = now_ms(cx);
    let begun = facts.deployments.iter().filter_map(|it| it.begun_ms).max();
    let begun_ms = begun.unwrap_or(now).max(now - BACK_MS_MAX);
    let is_of_it = |it: &TaskRow| it.stopped_ms.is_none_or(|at| at >= begun_ms);
    let mut tasks: Vec<TaskRow> = facts.tasks.into_iter().filter(is_of_it).collect();
    tasks.sort_by_key(|it| it.created_ms);
    tasks.truncate(TASKS_MAX);
    Ok(Some(DeploymentFacts {
        requests: requests(cx, &described, begun_ms, now).await?,
        summary: facts.summary,
        deployments: facts.deployments,
        targets: facts.targets,
        tasks,
        begun_ms,
        now_ms: now,
    }))
}

async fn requests(
    cx: &Cx,
    service: &Service,
    from_ms: i64,
    to_ms: i64,
) -> Result<Option<Requests>, Error> {
    let mut balanced = service.load_balancers.iter().flatten();
    let Some(group) = balanced.find_map(|it| it.target_group_arn.clone()) else {
        return Ok(None);
    };
    let Some(both) = dimensions_of(cx, &group).await? else {
        return Ok(None);
    };
    let balancer: Vec<_> = both
        .iter()
        .filter(|it| it.name == "LoadBalancer")
        .cloned()
        .collect();
    let of = |id: &str, metric: &str, dimensions: &Vec<_>| {
        let stat = (metric, "Sum");
        query(
            id.to_owned(),
            "AWS/ApplicationELB",
            dimensions.clone(),
            stat,
            PERIOD_S,
        )
    };
    let queries = vec![
        of("all", "RequestCount", &both),
        of("target", "HTTPCode_Target_5XX_Count", &both),
        of("own", "HTTPCode_ELB_5XX_Count", &balancer),
    ];
    let period_ms = i64::from(PERIOD_S) * 1000;
    let from_ms = from_ms / period_ms * period_ms;
    let found = data(cx, queries, from_ms, to_ms.max(from_ms + 2 * period_ms)).await?;
    let sum = |id: &str| -> f64 {
        let lines = found.iter().filter(|it| it.0 == id);
        lines.flat_map(|it| &it.1).map(|it| it.1).sum()
    };
    Ok(Some(told(sum("all"), sum("target"), sum("own"))))
}

/// What the balancer answers itself, because no target could, is no request of a target.
fn told(of_targets: f64, failed: f64, own: f64) -> Requests {
    let all = of_targets + own;
    Requests {
        any: all > 0.0,
        failed_percent: match all > 0.0 {
            true => (failed + own) / all * 100.0,
            false => 0.0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_a_share_of_all() {
        assert_eq!(told(90.0, 5.0, 10.0).failed_percent, 15.0);
        assert_eq!(told(100.0, 0.0, 0.0).failed_percent, 0.0);
        assert!(!told(0.0, 0.0, 0.0).any);
    }
}
