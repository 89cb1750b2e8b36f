//! What load balancers did, told to CloudWatch every (paced) minute under `AWS/ApplicationELB`.
//!
//! The edge counts since it started; what is told is what was added since the last look. A count that
//! is smaller than it was is one of an edge that was started anew. What was read last is kept in
//! memory only: requests between a daemon's last look and the first of its successor are told by
//! nobody. Names and dimensions are in the User Guide, "CloudWatch metrics for your Application Load
//! Balancer"; as on AWS, most of them are told only when there is something to tell.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, Record, StoreError};
use engine::{GroupTraffic, TargetState, response_time_of_bucket};
use shapes::cloudwatch::{Dimension, MetricDatum, PutMetricDataInput, StandardUnit};
use wire::Timestamp;

use crate::record::{Balancer, Listener, TargetGroup, forwarded};

pub const KIND: &str = "elbv2.metrics";
pub const KEY: &str = "all";
/// How often AWS's services tell their metrics.
const MINUTE: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "AWS/ApplicationELB";
/// Data of one request: half of what CloudWatch takes.
const DATA_AT_ONCE: usize = 500;

#[derive(Default)]
pub struct MetricsReconciler(Mutex<Read>);

/// What was read last, by target group.
#[derive(Default)]
struct Read {
    minute_ms: Option<i64>,
    /// Groups that are first seen in a later look are new: they counted from zero.
    looked: bool,
    groups: HashMap<String, GroupTraffic>,
}

#[async_trait]
impl Reconciler for MetricsReconciler {
    fn kind(&self) -> &'static str {
        KIND
    }
    fn keys(&self, _: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![KEY.to_owned()])
    }
    fn region(&self, _: &str) -> String {
        String::new()
    }

    async fn reconcile(&self, cx: Cx, _: &str) -> Result<Next, converge::Error> {
        let minute = cx.clock().interval(MINUTE);
        let (begun_ms, next) = (minute.begun_ms, Next::After(minute.left));
        let last_ms = self.read().minute_ms;
        if last_ms == Some(begun_ms) {
            return Ok(next);
        }
        let balanced = balanced(&cx)?;
        let mut found = Vec::new();
        for pair in balanced {
            let key = pair.group.key();
            let edge = &cx.engine().edge;
            // The edge may not have heard of the group yet, or may be starting.
            if let (Ok(traffic), Ok(health)) = (edge.traffic(&key).await, edge.health(&key).await) {
                let count = |state: fn(&TargetState) -> bool| {
                    health.iter().filter(|it| state(&it.state)).count()
                };
                let health = Hosts {
                    healthy: count(|it| *it == TargetState::Healthy),
                    unhealthy: count(|it| matches!(it, TargetState::Unhealthy(_))),
                };
                found.push((pair, traffic, health));
            }
        }
        let added = self.take_in(&found, begun_ms);
        if cx.read(|tx| tx.keys::<Balancer>(""))?.is_empty() {
            // A balancer that is made wakes this key.
            return Ok(Next::Idle);
        }
        let mut by_region: BTreeMap<String, Vec<MetricDatum>> = BTreeMap::new();
        let at = Timestamp((begun_ms - minute.length_ms) as f64 / 1000.0);
        for ((pair, _, hosts), added) in found.iter().zip(added) {
            let told = data(pair, &added, *hosts, at);
            by_region
                .entry(pair.group.region.clone())
                .or_default()
                .extend(told);
        }
        for (region, data) in by_region {
            for some in data.chunks(DATA_AT_ONCE) {
                let input = PutMetricDataInput {
                    namespace: NAMESPACE.into(),
                    metric_data: Some(some.to_vec()),
                };
                let token = format!("{KIND}/{begun_ms}");
                cx.in_region(&region).with_token(token).call(input).await?;
            }
        }
        Ok(next)
    }
}

/// A target group and the balancer that forwards to it: a group has one at most.
struct Pair {
    /// Its full name.
    balancer: String,
    group: TargetGroup,
}

#[derive(Clone, Copy)]
struct Hosts {
    healthy: usize,
    unhealthy: usize,
}

fn balanced(cx: &Cx) -> Result<Vec<Pair>, cloud::Error> {
    let (listeners, groups) = cx.read(|tx| {
        let listeners = tx.readable::<Listener>("")?;
        let groups = match listeners.is_empty() {
            true => Vec::new(),
            false => tx.readable::<TargetGroup>("")?,
        };
        Ok((listeners, groups))
    })?;
    let forwards = |listener: &Listener, group: &TargetGroup| {
        listener.region == group.region
            && listener
                .all_actions()
                .flat_map(forwarded)
                .any(|(arn, _)| arn.split(':').nth(5) == Some(&group.full_name()))
    };
    let pairs = groups.into_iter().filter_map(|group| {
        let listener = listeners.iter().find(|it| forwards(it, &group))?;
        Some(Pair {
            balancer: listener.balancer.clone(),
            group,
        })
    });
    Ok(pairs.collect())
}

impl MetricsReconciler {
    fn read(&self) -> std::sync::MutexGuard<'_, Read> {
        self.0.lock().expect("nothing panics while this is locked")
    }

    /// What was added to each group's counts.
    fn take_in(&self, found: &[(Pair, GroupTraffic, Hosts)], begun_ms: i64) -> Vec<GroupTraffic> {
        let mut read = self.read();
        let before = std::mem::take(&mut read.groups);
        let looked = std::mem::replace(&mut read.looked, true);
        read.minute_ms = Some(begun_ms);
        let mut added = Vec::new();
        for (pair, now, _) in found {
            let key = pair.group.key();
            added.push(match before.get(&key) {
                Some(before) => difference(before, now),
                None if looked => now.clone(),
                None => GroupTraffic::default(),
            });
            read.groups.insert(key, now.clone());
        }
        added
    }
}

fn difference(before: &GroupTraffic, now: &GroupTraffic) -> GroupTraffic {
    if now.requests < before.requests {
        return now.clone();
    }
    let since = |now: u64, before: u64| now.saturating_sub(before);
    let times = now.response_times.iter().enumerate();
    GroupTraffic {
        requests: since(now.requests, before.requests),
        status_2xx: since(now.status_2xx, before.status_2xx),
        status_3xx: since(now.status_3xx, before.status_3xx),
        status_4xx: since(now.status_4xx, before.status_4xx),
        status_5xx: since(now.status_5xx, before.status_5xx),
        own_4xx: since(now.own_4xx, before.own_4xx),
        own_5xx: since(now.own_5xx, before.own_5xx),
        connection_errors: since(now.connection_errors, before.connection_errors),
        response_time_us_sum: since(now.response_time_us_sum, before.response_time_us_sum),
        response_times: times
            .map(|(at, now)| since(*now, before.response_times.get(at).copied().unwrap_or(0)))
            .collect(),
    }
}

fn data(pair: &Pair, added: &GroupTraffic, hosts: Hosts, at: Timestamp) -> Vec<MetricDatum> {
    let dimension = |name: &str, value: String| Dimension {
        name: name.into(),
        value,
    };
    let balancer = dimension("LoadBalancer", pair.balancer.clone());
    let group = dimension("TargetGroup", pair.group.full_name());
    let of_balancer = vec![balancer.clone()];
    let of_group = vec![group.clone()];
    let of_both = vec![group, balancer];
    let datum = |name: &str, dimensions: &Vec<Dimension>, value: f64| MetricDatum {
        metric_name: name.into(),
        dimensions: Some(dimensions.clone()),
        timestamp: Some(at),
        value: Some(value),
        unit: Some(StandardUnit::Count),
        ..Default::default()
    };
    let mut all = Vec::new();
    for (name, count) in [
        ("RequestCount", added.requests),
        ("HTTPCode_Target_2XX_Count", added.status_2xx),
        ("HTTPCode_Target_3XX_Count", added.status_3xx),
        ("HTTPCode_Target_4XX_Count", added.status_4xx),
        ("HTTPCode_Target_5XX_Count", added.status_5xx),
        ("TargetConnectionErrorCount", added.connection_errors),
    ] {
        if count > 0 {
            all.push(datum(name, &of_balancer, count as f64));
            all.push(datum(name, &of_both, count as f64));
        }
    }
    for (name, count) in [
        ("HTTPCode_ELB_4XX_Count", added.own_4xx),
        ("HTTPCode_ELB_5XX_Count", added.own_5xx),
    ] {
        if count > 0 {
            all.push(datum(name, &of_balancer, count as f64));
        }
    }
    if hosts.healthy + hosts.unhealthy > 0 {
        all.push(datum("HealthyHostCount", &of_both, hosts.healthy as f64));
        all.push(datum(
            "UnHealthyHostCount",
            &of_both,
            hosts.unhealthy as f64,
        ));
        // Requests go to all targets when none is healthy.
        let able = if hosts.healthy > 0 {
            hosts.healthy
        } else {
            hosts.unhealthy
        };
        let each = added.requests as f64 / able as f64;
        all.push(datum("RequestCountPerTarget", &of_group, each));
        all.push(datum("RequestCountPerTarget", &of_both, each));
    }
    all.extend(response_times(added, &[of_balancer, of_both], at));
    all
}

/// In seconds, as far as the edge's buckets tell. There are fewer of them than a datum may have values.
fn response_times(
    added: &GroupTraffic,
    places: &[Vec<Dimension>],
    at: Timestamp,
) -> Vec<MetricDatum> {
    let counts = added.response_times.iter().enumerate();
    let (values, counts): (Vec<f64>, Vec<f64>) = counts
        .filter(|(_, count)| **count > 0)
        .map(|(bucket, count)| (response_time_of_bucket(bucket) as f64 / 1e6, *count as f64))
        .unzip();
    if values.is_empty() {
        return Vec::new();
    }
    let one = |dimensions: &Vec<Dimension>| MetricDatum {
        metric_name: "TargetResponseTime".into(),
        dimensions: Some(dimensions.clone()),
        timestamp: Some(at),
        values: Some(values.clone()),
        counts: Some(counts.clone()),
        unit: Some(StandardUnit::Seconds),
        ..Default::default()
    };
    places.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(requests: u64, times: &[u64]) -> GroupTraffic {
        GroupTraffic {
            requests,
            status_2xx: requests,
            response_times: times.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn counts_of_an_edge_that_was_started_anew_begin_at_zero() {
        let (before, now) = (traffic(10, &[4, 6]), traffic(15, &[4, 8, 3]));
        assert_eq!(difference(&before, &now), traffic(5, &[0, 2, 3]));
        assert_eq!(difference(&now, &traffic(3, &[3])), traffic(3, &[3]));
    }

    #[test]
    fn what_did_not_happen_is_not_told() {
        let pair = Pair {
            balancer: "app/web/1".into(),
            group: TargetGroup {
                region: "us-east-1".into(),
                name: "web".into(),
                id: "2".into(),
                shape: Default::default(),
                attributes: Default::default(),
                tags: Default::default(),
                targets: Vec::new(),
                made_by: None,
            },
        };
        let told = |traffic: &GroupTraffic, healthy, unhealthy| {
            let hosts = Hosts { healthy, unhealthy };
            let all = data(&pair, traffic, hosts, Timestamp(0.0));
            let shown = all.into_iter().map(|it| {
                let dimensions = it.dimensions.unwrap().len();
                let value = it.value.unwrap_or_else(|| it.values.unwrap()[0]);
                format!("{} by {dimensions}: {value}", it.metric_name)
            });
            shown.collect::<Vec<_>>()
        };
        assert_eq!(told(&traffic(0, &[]), 0, 0), [""; 0]);
        assert_eq!(
            told(&traffic(0, &[]), 0, 1),
            [
                "HealthyHostCount by 2: 0",
                "UnHealthyHostCount by 2: 1",
                "RequestCountPerTarget by 1: 0",
                "RequestCountPerTarget by 2: 0",
            ]
        );
        let busy = GroupTraffic {
            own_5xx: 2,
            ..traffic(6, &[6])
        };
        assert_eq!(
            told(&busy, 2, 1),
            [
                "RequestCount by 1: 6",
                "RequestCount by 2: 6",
                "HTTPCode_Target_2XX_Count by 1: 6",
                "HTTPCode_Target_2XX_Count by 2: 6",
                "HTTPCode_ELB_5XX_Count by 1: 2",
                "HealthyHostCount by 2: 2",
                "UnHealthyHostCount by 2: 1",
                "RequestCountPerTarget by 1: 3",
                "RequestCountPerTarget by 2: 3",
                "TargetResponseTime by 1: 0.000032",
                "TargetResponseTime by 2: 0.000032",
            ]
        );
    }
}
