//! `POST /containers/{id}/update`: other limits, also while it runs, and another restart policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::LimitChange;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::{HostConfig, RestartPolicy};
use super::start::cpu_units;
use super::wanted::{check_cpuset, check_memory, check_restart_policy, is_neutral, no_effect};
use super::{Container, MAIN};
use crate::answer::{self, Answer, Refusal};
use crate::routes::Call;

/// What is not said, or zero, stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct UpdateRequest {
    memory: i64,
    memory_reservation: i64,
    nano_cpus: i64,
    cpu_shares: i64,
    cpu_period: i64,
    cpu_quota: i64,
    cpuset_cpus: String,
    pids_limit: i64,
    restart_policy: RestartPolicy,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub async fn update(call: Call, container: &Arc<Container>) -> Answer {
    let request: UpdateRequest = call.json().await?;
    let mut warnings = Vec::new();
    for (name, value) in request.rest.iter().filter(|it| !is_neutral(it.1)) {
        let warning = no_effect(name);
        warnings.push(
            warning.ok_or_else(|| Refusal::not_built(format!("changing `{name}` ({value})")))?,
        );
    }
    let _working = container.working.lock().await;
    let record = container.record();
    let host = changed(&record.host, &request)?;
    if record.is_running() {
        let change = limits(&host, &request);
        if change != LimitChange::default() {
            let tasks = &call.docker.tasks;
            tasks.limit(&record.task(), MAIN, change).await?;
        }
    }
    container.change(|record| record.host = host)?;
    call.docker.tell(container, "update", &[]);
    answer::ok(json!({ "Warnings": warnings }))
}

/// What the container is started with the next time.
fn changed(host: &HostConfig, request: &UpdateRequest) -> Result<HostConfig, Refusal> {
    let mut host = host.clone();
    let or = |new: i64, old: i64| if new == 0 { old } else { new };
    host.memory = or(request.memory, host.memory);
    host.memory_reservation = or(request.memory_reservation, host.memory_reservation);
    check_memory(host.memory, host.memory_reservation)?;
    host.cpu_shares = or(request.cpu_shares, host.cpu_shares);
    host.pids_limit = or(request.pids_limit, host.pids_limit);
    if request.nano_cpus != 0 {
        if host.cpu_quota != 0 {
            return Err(Refusal::conflict(
                "Conflicting options: NanoCPUs cannot be updated as CPU quota has already been set",
            ));
        }
        host.nano_cpus = request.nano_cpus;
    }
    if request.cpu_quota != 0 || request.cpu_period != 0 {
        if host.nano_cpus != 0 {
            return Err(Refusal::conflict(
                "Conflicting options: CPU quota cannot be updated as NanoCPUs has already been set",
            ));
        }
        host.cpu_quota = or(request.cpu_quota, host.cpu_quota);
        host.cpu_period = or(request.cpu_period, host.cpu_period);
    }
    if !request.cpuset_cpus.is_empty() {
        check_cpuset(&request.cpuset_cpus)?;
        host.cpuset_cpus.clone_from(&request.cpuset_cpus);
    }
    if !request.restart_policy.name.is_empty() {
        check_restart_policy(&request.restart_policy, host.auto_remove)?;
        host.restart_policy = request.restart_policy.clone();
    }
    Ok(host)
}

/// What one that runs is told of it.
fn limits(host: &HostConfig, request: &UpdateRequest) -> LimitChange {
    let bytes = |it: i64| u64::try_from(it).ok().filter(|it| *it > 0);
    let number = |it: i64| u32::try_from(it).ok().filter(|it| *it > 0);
    let cpu = request.nano_cpus != 0 || request.cpu_quota != 0 || request.cpu_period != 0;
    LimitChange {
        cpu_units: cpu_units(host).filter(|_| cpu),
        pids_max: number(request.pids_limit),
        cpu_shares: number(request.cpu_shares),
        memory_bytes: bytes(request.memory),
        memory_reservation_bytes: bytes(request.memory_reservation),
        cpuset: Some(request.cpuset_cpus.clone()).filter(|it| !it.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays() {
        let host = HostConfig {
            memory: 64 << 20,
            nano_cpus: 1_000_000_000,
            ..HostConfig::default()
        };
        let request = |value: Value| serde_json::from_value::<UpdateRequest>(value).unwrap();
        let more = request(json!({
            "Memory": 128 << 20, "CpuShares": 512, "CpusetCpus": "0", "NanoCpus": 0,
            "RestartPolicy": { "Name": "always" },
        }));
        let updated = changed(&host, &more).unwrap();
        assert_eq!(updated.memory, 128 << 20);
        assert_eq!(updated.nano_cpus, 1_000_000_000);
        assert_eq!(updated.restart_policy.name, "always");
        let expect = LimitChange {
            cpu_shares: Some(512),
            memory_bytes: Some(128 << 20),
            cpuset: Some("0".to_owned()),
            ..LimitChange::default()
        };
        assert_eq!(limits(&updated, &more), expect);
        for wrong in [
            json!({ "CpuQuota": 5000 }),
            json!({ "CpusetCpus": "a" }),
            json!({ "MemoryReservation": 256 << 20 }),
            json!({ "RestartPolicy": { "Name": "sometimes" } }),
        ] {
            assert!(changed(&host, &request(wrong.clone())).is_err(), "{wrong}");
        }
    }
}
