//! What services use of CPU and memory, told to CloudWatch every (paced) minute under `AWS/ECS`; and
//! for clusters whose setting `containerInsights` says so, under `ECS/ContainerInsights`, too.
//!
//! A sample is a percentage of what a task has reserved, one for each running task of a service
//! (Developer Guide, "Amazon ECS service utilization metrics"). A sample's time is the beginning of
//! the minute that it is of, so that each minute has one. What was read last is kept in memory only:
//! a daemon that was started anew tells its first samples of tasks that ran before a minute later.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Records, StoreError};
use engine::TaskUsage;
use shapes::cloudwatch::PutMetricDataInput;
use wire::Timestamp;

use crate::metric_data::{Sample, Samples, insights, utilization};
use crate::task_record::{Phase, Task, end_of_no_service};

pub const KIND: &str = "ecs.metrics";
pub const KEY: &str = "all";
/// How often AWS's services tell their metrics.
const MINUTE: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "AWS/ECS";
const INSIGHTS: &str = "ECS/ContainerInsights";
/// Data of one request: half of what CloudWatch takes.
const DATA_AT_ONCE: usize = 500;
const UNITS_PER_CORE: f64 = 1024.0;
const BYTES_PER_MIB: f64 = 1024.0 * 1024.0;

/// One reconciler of one key for all services, so that they are told together.
#[derive(Default)]
pub struct MetricsReconciler(Mutex<Read>);

/// What was read last.
#[derive(Default)]
struct Read {
    minute_ms: Option<i64>,
    /// By task: when, and its CPU time so far.
    tasks: HashMap<String, (i64, u64)>,
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
        let now_ms = cx.clock().now_ms();
        let minute = cx.clock().interval(MINUTE);
        let (begun_ms, next) = (minute.begun_ms, Next::After(minute.left));
        let last_ms = self.read().minute_ms;
        if last_ms == Some(begun_ms) {
            return Ok(next);
        }
        let mut tasks = cx.read(of_services)?;
        tasks.retain(|it| it.phase == Phase::Running && it.stop.is_none());
        let mut found = Vec::new();
        for task in tasks {
            // One that ended at this moment has no usage any more.
            if let Ok(Some(usage)) = cx.engine().tasks.usage(&task.id).await {
                found.push((task, usage));
            }
        }
        let samples = self.take_in(&found, begun_ms, now_ms);
        if found.is_empty() {
            // A task that begins to run wakes this key.
            return Ok(Next::Idle);
        }
        let at = Timestamp((begun_ms - minute.length_ms) as f64 / 1000.0);
        let insights = insights(&cx, &samples, at)?;
        let token = format!("{KIND}/{begun_ms}");
        for (namespace, data) in [(NAMESPACE, utilization(&samples, at)), (INSIGHTS, insights)] {
            for (region, data) in data {
                for some in data.chunks(DATA_AT_ONCE) {
                    let input = PutMetricDataInput {
                        namespace: namespace.into(),
                        metric_data: Some(some.to_vec()),
                    };
                    let cx = cx.in_region(&region).with_token(&token);
                    cx.call(input).await?;
                }
            }
        }
        Ok(next)
    }
}

/// The live tasks of services. Every change of a task wakes this key, so those of no service, of which
/// there may be many, are leapt over: they lie at the end of their cluster's.
fn of_services(tx: &Records<'_>) -> Result<Vec<Task>, Error> {
    const KEYS_AT_ONCE_MAX: usize = 64;
    let (mut tasks, mut after, mut limit) = (Vec::new(), String::new(), 1);
    loop {
        let keys = tx.page_keys::<Task>("", &after, limit)?;
        let Some(last) = keys.last() else {
            return Ok(tasks);
        };
        after.clone_from(last);
        limit = (limit * 2).min(KEYS_AT_ONCE_MAX);
        for key in keys {
            if let Some(end) = end_of_no_service(&key) {
                (after, limit) = (end, 1);
                break;
            }
            tasks.extend(tx.readable::<Task>(&key)?);
        }
    }
}

impl MetricsReconciler {
    fn read(&self) -> std::sync::MutexGuard<'_, Read> {
        self.0.lock().expect("nothing panics while this is locked")
    }

    fn take_in(&self, found: &[(Task, TaskUsage)], begun_ms: i64, now_ms: i64) -> Samples {
        let mut read = self.read();
        let (last_ms, before) = (read.minute_ms, std::mem::take(&mut read.tasks));
        read.minute_ms = (!found.is_empty()).then_some(begun_ms);
        let mut samples = Samples::new();
        for (task, usage) in found {
            read.tasks.insert(task.id.clone(), (now_ms, usage.cpu_ns));
            let Some(service) = &task.service else {
                continue;
            };
            // A task that has begun since the last look has used all of it since then.
            let begun = || {
                let started_ms = task.started_ms?;
                (last_ms? <= started_ms && started_ms < now_ms).then_some((started_ms, 0))
            };
            let since = before.get(&task.id).copied().or_else(begun);
            let (Some(cpu_reserved), Some(memory_reserved_mib)) =
                (reserved(&task.cpu), reserved(&task.memory))
            else {
                continue;
            };
            let sample = Sample {
                cpu: since.and_then(|it| cpu_units(it, (now_ms, usage.cpu_ns))),
                cpu_reserved,
                memory_mib: usage.memory_bytes as f64 / BYTES_PER_MIB,
                memory_reserved_mib,
            };
            let key = (
                task.region.clone(),
                task.cluster.clone(),
                service.name.clone(),
            );
            samples.entry(key).or_default().push(sample);
        }
        samples
    }
}

fn cpu_units(before: (i64, u64), now: (i64, u64)) -> Option<f64> {
    let (ms, ns) = (now.0 - before.0, now.1.checked_sub(before.1)?);
    (ms > 0).then(|| ns as f64 / (ms as f64 * 1e6) * UNITS_PER_CORE)
}

/// What a task reserves, as its record has it.
fn reserved(text: &str) -> Option<f64> {
    text.parse().ok().filter(|it| *it > 0.0)
}
