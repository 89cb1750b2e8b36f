//! A container's `HostConfig` as `inspect` shows it: what was asked for, and of the rest what is so.

use serde_json::{Value, json};

use super::record::Record;

/// As the runtime sets it up.
const SHM_BYTES: i64 = 64 << 20;

pub fn host(record: &Record, network_mode: &str) -> Value {
    let asked = &record.host;
    let mut host = standard();
    if let (Some(host), Value::Object(asked)) = (host.as_object_mut(), json!(asked)) {
        host.extend(asked);
    }
    host["NetworkMode"] = json!(network_mode);
    if asked.log_config.kind.is_empty() {
        host["LogConfig"]["Type"] = json!("json-file");
    }
    if asked.restart_policy.name.is_empty() {
        host["RestartPolicy"]["Name"] = json!("no");
    }
    if asked.shm_size <= 0 {
        host["ShmSize"] = json!(SHM_BYTES);
    }
    for (name, own) in [("IpcMode", "private"), ("PidMode", "")] {
        if host[name] == "" {
            host[name] = json!(own);
        }
    }
    if !asked.links.is_empty() {
        let shown = record.links().map(|(name, alias)| {
            let own = &record.name;
            format!("/{name}:/{own}/{alias}")
        });
        host["Links"] = json!(shown.collect::<Vec<_>>());
    }
    if asked.pids_limit <= 0 {
        host["PidsLimit"] = Value::Null;
    }
    if asked.privileged {
        host["MaskedPaths"] = Value::Null;
        host["ReadonlyPaths"] = Value::Null;
    }
    host
}

/// Of a container of which nothing was said.
fn standard() -> Value {
    json!({
        "ContainerIDFile": "", "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [0, 0],
        "CgroupnsMode": "private", "DnsOptions": [], "DnsSearch": [], "GroupAdd": null,
        "IpcMode": "private", "Cgroup": "", "Links": null, "OomScoreAdj": 0, "PidMode": "",
        "UTSMode": "", "UsernsMode": "", "Runtime": "neargate", "Isolation": "",
        "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [],
        "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "",
        "Devices": [], "DeviceCgroupRules": null, "DeviceRequests": null,
        "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": null,
        "OomKillDisable": false, "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        // What the runtime hides, and lets nobody write to.
        "MaskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
            "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
            "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
        ],
        "ReadonlyPaths": [
            "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::record::tests::a_record;

    #[test]
    fn what_nobody_asked_for_is_said_as_it_is() {
        let mut record = a_record();
        let shown = host(&record, "bridge");
        for (name, value) in [
            ("ShmSize", json!(67_108_864)),
            ("IpcMode", json!("private")),
            ("CgroupnsMode", json!("private")),
            ("Runtime", json!("neargate")),
            ("NetworkMode", json!("bridge")),
            ("PidsLimit", Value::Null),
            ("Isolation", json!("")),
            ("LogConfig", json!({ "Type": "json-file", "Config": {} })),
        ] {
            assert_eq!(shown[name], value, "{name}");
        }
        assert_eq!(shown["RestartPolicy"]["Name"], "no");
        assert!(
            shown["MaskedPaths"]
                .as_array()
                .unwrap()
                .contains(&json!("/proc/kcore"))
        );
        record.host.privileged = true;
        record.host.shm_size = 1 << 20;
        record.host.isolation = "default".to_owned();
        record.host.runtime = "runc".to_owned();
        record.host.log_config.kind = "none".to_owned();
        let shown = host(&record, "host");
        assert_eq!(shown["ShmSize"], 1 << 20);
        assert_eq!(
            (&shown["Isolation"], &shown["Runtime"]),
            (&json!("default"), &json!("runc"))
        );
        assert_eq!(shown["LogConfig"]["Type"], "none");
        assert_eq!(shown["MaskedPaths"], Value::Null);
    }
}
