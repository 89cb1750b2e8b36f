//! EC2 instances that are real: a root file system of Debian's packages, and what a machine of one's own does.

use std::path::PathBuf;

use e2e::{Machine, eventually};
use serde_json::{Value, json};
use shapes::ec2::{DescribeNetworkInterfacesInput, Filter};

use crate::ground::{Ground, text};

/// Lets a root file system stand for every image. False, said loudly, where it was not made.
fn has_root(machine: &Machine) -> bool {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let file = root.join("target/test-images/instance.tar");
    if !file.exists() {
        eprintln!("SKIPPED: no root file system for instances; bin/test-setup makes it");
        return false;
    }
    machine.neargate(&["image", "import", &file.display().to_string(), "ami/any"]);
    true
}

struct Bench<'a> {
    ground: Ground<'a>,
    image: String,
    group: String,
}

impl<'a> Bench<'a> {
    fn new(machine: &'a Machine) -> Option<Self> {
        if !has_root(machine) {
            return None;
        }
        let ground = Ground::new(machine);
        let name = json!([{ "Name": "name", "Value": ["debian-12-amd64-*"] }]);
        let found = machine.ask("ec2", "DescribeImages", json!({ "Filter": name }));
        Some(Self {
            group: ground.group("instances"),
            image: text(&found["imagesSet"][0]["imageId"]),
            ground,
        })
    }

    fn ask(&self, operation: &str, input: Value) -> Value {
        self.ground.machine.ask("ec2", operation, input)
    }

    #[track_caller]
    fn run(&self, user_data: &str, more: &Value) -> String {
        let mut input = json!({
            "ImageId": self.image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1,
            "SubnetId": self.ground.subnets[0], "SecurityGroupId": [self.group],
            "UserData": base64(user_data),
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            input[name] = value.clone();
        }
        let made = self.ask("RunInstances", input);
        text(&made["instancesSet"][0]["instanceId"])
    }

    fn instance(&self, id: &str) -> Value {
        let found = self.ask("DescribeInstances", json!({ "InstanceId": [id] }));
        found["reservationSet"][0]["instancesSet"][0].clone()
    }

    #[track_caller]
    fn when(&self, id: &str, state: &str) -> Value {
        eventually(&format!("the instance is {state}"), || {
            let instance = self.instance(id);
            match instance["instanceState"]["name"] == state {
                true => Ok(instance),
                false => Err(instance.to_string()),
            }
        })
    }

    fn console(&self, id: &str) -> String {
        let output = self.ask("GetConsoleOutput", json!({ "InstanceId": id }));
        from_base64(output["output"].as_str().unwrap_or_default())
    }

    /// What its console says, when it says this.
    #[track_caller]
    fn says(&self, id: &str, what: &str) -> String {
        eventually(&format!("the console says {what}"), || {
            let console = self.console(id);
            match console.contains(what) {
                true => Ok(console),
                false => Err(console),
            }
        })
    }

    #[track_caller]
    fn terminate(&self, id: &str) {
        self.ask("TerminateInstances", json!({ "InstanceId": [id] }));
        self.when(id, "terminated");
    }

    /// The name of a profile whose role trusts instances.
    fn profile(&self) -> String {
        let iam = |operation: &str, input: Value| self.ground.machine.ask("iam", operation, input);
        let trust = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole",
        }] });
        let role = json!({ "RoleName": "instance", "AssumeRolePolicyDocument": trust.to_string() });
        iam("CreateRole", role);
        let profile = "instance-profile";
        iam(
            "CreateInstanceProfile",
            json!({ "InstanceProfileName": profile }),
        );
        let both = json!({ "InstanceProfileName": profile, "RoleName": "instance" });
        iam("AddRoleToInstanceProfile", both);
        profile.to_owned()
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn from_base64(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What an instance finds out about itself, and serves.
const LOOKS_AROUND: &str = r#"#!/bin/bash
at=http://169.254.169.254/latest
mkdir -p /srv && cd /srv
without=$(curl -s -o /dev/null -w '%{http_code}' $at/meta-data/instance-id)
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $at/api/token)
ask() { curl -s -H "X-aws-ec2-metadata-token: $token" "$at/$1"; }
{
  echo "without $without"
  echo "id $(ask meta-data/instance-id)"
  echo "address $(ask meta-data/local-ipv4)"
  echo "credentials $(ask meta-data/iam/security-credentials/instance | tr -d ' \n')"
  echo "init $(tr '\0' ' ' < /proc/1/comm)"
  echo "processes $(ls /proc | grep -c '^[0-9]')"
  echo "hostname $(hostname)"
  echo "memory $(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null | head -1)"
} > index.html
nohup python3 -m http.server 8080 >/dev/null 2>&1 &
"#;

#[test]
fn an_instance_boots_serves_and_is_terminated_without_a_trace() {
    let machine = Machine::start();
    let Some(bench) = Bench::new(&machine) else {
        return;
    };
    let more = json!({
        "MetadataOptions": { "HttpTokens": "required" },
        "iamInstanceProfile": { "name": bench.profile() },
    });
    let id = bench.run(LOOKS_AROUND, &more);
    let shown = bench.when(&id, "running");
    let address = text(&shown["privateIpAddress"]);
    bench.says(&id, "Cloud-init finished");

    // Its group lets nothing in.
    let balancer = bench.ground.balancer("instances", 80);
    bench.ground.register(&balancer.target_group, &address);
    let reason = bench
        .ground
        .target_when(&balancer.target_group, "unhealthy");
    assert_eq!(reason, "Target.Timeout");
    bench
        .ground
        .open_port_to(&bench.group, 8080, &balancer.group);
    bench.ground.target_when(&balancer.target_group, "healthy");
    let page = machine.page(&format!("http://{}/", balancer.host)).unwrap();
    let page = String::from_utf8_lossy(&page.body).into_owned();
    for line in [
        "without 401".to_owned(),
        format!("id {id}"),
        format!("address {address}"),
        format!("hostname ip-{}", address.replace('.', "-")),
        "memory 536870912".to_owned(),
    ] {
        assert!(page.lines().any(|it| it == line), "{line}: {page}");
    }
    assert!(page.contains("\"AccessKeyId\":\"ASIA"), "{page}");

    // A daemon that comes back finds it as it was, and it finds its metadata.
    machine.kill_daemon();
    machine.serve();
    bench.when(&id, "running");
    let status = bench.ask("DescribeInstanceStatus", json!({ "InstanceId": [id] }));
    assert_eq!(
        status["instanceStatusSet"][0]["instanceStatus"]["status"], "ok",
        "{status}"
    );

    bench.terminate(&id);
    machine.assert_no_processes_of_tasks();
    let left = machine.typed(DescribeNetworkInterfacesInput {
        filters: Some(vec![Filter {
            name: Some("attachment.instance-id".into()),
            values: Some(vec![id]),
        }]),
        ..Default::default()
    });
    assert_eq!(left.network_interfaces.unwrap_or_default(), []);
}

#[test]
fn a_root_outlives_a_stop_and_a_lost_supervisor_is_noticed() {
    let machine = Machine::start();
    let Some(bench) = Bench::new(&machine) else {
        return;
    };
    let script = "#cloud-config\nwrite_files:\n  - path: /etc/told\n    content: remembered\nruncmd:\n  \
                  - echo first boot\nbootcmd:\n  - cat /etc/told || true\n";
    let id = bench.run(script, &json!({}));
    bench.when(&id, "running");
    let first = bench.says(&id, "Cloud-init finished");
    assert!(
        first.contains("first boot") && !first.contains("remembered"),
        "{first}"
    );
    bench.ask("StopInstances", json!({ "InstanceId": [id] }));
    bench.when(&id, "stopped");
    machine.assert_no_processes_of_tasks();
    bench.ask("StartInstances", json!({ "InstanceId": [id] }));
    bench.when(&id, "running");
    let second = bench.says(&id, "remembered");
    assert_eq!(second.matches("first boot").count(), 1, "{second}");

    // The machine's init has the supervisor's arguments as well, and ends with it.
    assert_eq!(machine.kill_processes(" shim run ", 1), 2);
    let lost = bench.when(&id, "stopped");
    assert_eq!(
        lost["stateReason"]["code"], "Server.InternalError",
        "{lost}"
    );
    for thing in [&[][..], &[id.as_str()]] {
        let told = machine.run(&[&["why", "--json"], thing].concat());
        let report = told.json();
        let symptom = report["unexplained"][0].to_string();
        assert!(
            symptom.contains("Server.InternalError") && symptom.contains(&id),
            "{report}"
        );
        assert_eq!(told.code, 3, "{report}");
    }
    bench.ask("StartInstances", json!({ "InstanceId": [id] }));
    bench.when(&id, "running");
    bench.terminate(&id);
    machine.assert_no_processes_of_tasks();
}
