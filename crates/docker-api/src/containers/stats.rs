//! `GET /containers/{id}/stats`: what a container uses, once or every second.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::TaskUsage;
use http::{Response, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Container, MAIN};
use crate::answer::{self, Answer};
use crate::clock::{NEVER, now_ms, rfc3339};
use crate::docker::Docker;
use crate::limits::PIECES_MAX;
use crate::routes::Call;

const EVERY: Duration = Duration::from_secs(1);
/// The kernel counts in these (`USER_HZ`).
const NS_PER_TICK: u64 = 10_000_000;

#[derive(Debug, Clone, Copy)]
struct Sample {
    usage: TaskUsage,
    /// Of all processors of the machine.
    system_ns: u64,
    at_ms: i64,
}

async fn sample(docker: &Docker, container: &Container) -> Option<Sample> {
    let record = container.record();
    if !record.is_running() {
        return None;
    }
    let usage = docker
        .tasks
        .container_usage(&record.task(), MAIN)
        .await
        .ok()??;
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .take(8);
    let ticks: u64 = ticks.filter_map(|it| it.parse::<u64>().ok()).sum();
    Some(Sample {
        usage,
        system_ns: ticks.saturating_mul(NS_PER_TICK),
        at_ms: now_ms(),
    })
}

fn processor(sample: Option<&Sample>) -> Value {
    let Some(sample) = sample else {
        return json!({ "cpu_usage": { "total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0 }, "throttling_data": {} });
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    json!({
        "cpu_usage": { "total_usage": sample.usage.cpu_ns, "usage_in_kernelmode": 0, "usage_in_usermode": 0 },
        "system_cpu_usage": sample.system_ns, "online_cpus": processors, "throttling_data": {},
    })
}

fn memory_of_machine() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or_default() * 1024
}

fn show(container: &Container, before: Option<&Sample>, now: Option<&Sample>) -> Value {
    let record = container.record();
    let mut value = json!({
        "id": record.id, "name": format!("/{}", record.name), "num_procs": 0,
        "read": now.map_or_else(|| NEVER.to_owned(), |it| rfc3339(it.at_ms)),
        "preread": before.map_or_else(|| NEVER.to_owned(), |it| rfc3339(it.at_ms)),
        "cpu_stats": processor(now), "precpu_stats": processor(before), "storage_stats": {},
        "memory_stats": {}, "blkio_stats": {}, "pids_stats": {},
    });
    if let Some(Sample { usage, .. }) = now {
        // Clients take the cache off again.
        value["memory_stats"] = json!({
            "usage": usage.memory_bytes + usage.cache_bytes,
            "stats": { "total_inactive_file": usage.cache_bytes, "inactive_file": usage.cache_bytes, "cache": usage.cache_bytes },
            "limit": usage.memory_max_bytes.unwrap_or_else(memory_of_machine),
        });
        value["pids_stats"] = json!({ "current": usage.processes });
        value["blkio_stats"] = json!({ "io_service_bytes_recursive": [
            { "major": 0, "minor": 0, "op": "read", "value": usage.read_bytes },
            { "major": 0, "minor": 0, "op": "write", "value": usage.written_bytes },
        ] });
        value["networks"] = json!({ "eth0": {
            "rx_bytes": usage.received_bytes, "rx_packets": usage.received_packets, "rx_errors": 0, "rx_dropped": 0,
            "tx_bytes": usage.sent_bytes, "tx_packets": usage.sent_packets, "tx_errors": 0, "tx_dropped": 0,
        } });
    }
    value
}

pub async fn stats(call: Call, container: &Arc<Container>) -> Answer {
    let docker = call.docker.clone();
    let container = container.clone();
    if !call.query.flag_or("stream", "1") {
        let mut before = None;
        if !call.query.flag("one-shot") {
            before = sample(&docker, &container).await;
            tokio::time::sleep(EVERY).await;
        }
        let now = sample(&docker, &container).await;
        return answer::ok(show(&container, before.as_ref(), now.as_ref()));
    }
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        let mut before = None;
        while !container.is_removed() {
            let now = sample(&docker, &container).await;
            let line = show(&container, before.as_ref(), now.as_ref()).to_string() + "\n";
            if sender.send(Ok(Bytes::from(line))).await.is_err() {
                return;
            }
            before = now;
            tokio::time::sleep(EVERY).await;
        }
    });
    let mut response = Response::new(answer::pieces(receiver));
    answer::set(&mut response, header::CONTENT_TYPE, "application/json");
    Ok(response)
}
