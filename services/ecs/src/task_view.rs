//! A task as `DescribeTasks` shows it.

use cloud::Cx;
use shapes::ecs::*;

use crate::fargate::STORAGE_GIB_DEFAULT;
use crate::names::{cluster_arn, container_instance_arn, task_arn};
use crate::placement::PortProtocol;
use crate::record::timestamp;
use crate::task_record::{self, Phase};

pub fn view(cx: &Cx, task: &task_record::Task) -> Task {
    let arn = task_arn(cx, &task.cluster, &task.id);
    let time = |ms: Option<i64>| ms.map(timestamp);
    Task {
        attachments: Some(match task.is_apart() {
            true => vec![attachment(task)],
            false => Vec::new(),
        }),
        attributes: Some(vec![Attribute {
            name: "ecs.cpu-architecture".into(),
            value: Some(
                if cfg!(target_arch = "aarch64") {
                    "arm64"
                } else {
                    "x86_64"
                }
                .into(),
            ),
            ..Default::default()
        }]),
        availability_zone: Some(task.zone.clone()).filter(|it| !it.is_empty()),
        capacity_provider_name: task.strategy.first().map(|it| it.capacity_provider.clone()),
        cluster_arn: Some(cluster_arn(cx, &task.cluster)),
        connectivity: task.connected_ms.map(|_| Connectivity::Connected),
        connectivity_at: time(task.connected_ms),
        containers: Some(
            task.containers
                .iter()
                .map(|it| container(cx, &arn, task, it))
                .collect(),
        ),
        cpu: Some(task.cpu.clone()),
        created_at: time(Some(task.created_ms)),
        desired_status: Some(
            if task.stop.is_some() {
                "STOPPED"
            } else {
                "RUNNING"
            }
            .into(),
        ),
        enable_execute_command: Some(task.enable_execute_command),
        execution_stopped_at: time(task.execution_stopped_ms),
        group: Some(task.group.clone()),
        health_status: Some(task.container_health()),
        last_status: Some(task.phase.as_str().into()),
        container_instance_arn: (task.placed.as_ref())
            .map(|it| container_instance_arn(cx, &task.cluster, &it.instance)),
        launch_type: Some(match task.placed {
            Some(_) => LaunchType::Ec2,
            None => LaunchType::Fargate,
        }),
        memory: Some(task.memory.clone()),
        overrides: Some(overrides(task)),
        platform_version: Some(task.platform_version.clone()).filter(|it| !it.is_empty()),
        platform_family: task.placed.is_none().then(|| "Linux".into()),
        pull_started_at: time(task.pull_started_ms),
        pull_stopped_at: time(task.pull_stopped_ms),
        started_at: time(task.started_ms),
        started_by: task.started_by.clone(),
        stop_code: task.stop.as_ref().map(|it| it.code),
        stopped_at: time(task.stopped_ms),
        stopped_reason: task.stop.as_ref().map(|it| it.reason.clone()),
        stopping_at: time(task.stopping_ms),
        tags: Some(task.tags.clone()),
        task_arn: Some(arn),
        task_definition_arn: Some(task.definition.clone()),
        version: Some(task.version),
        ephemeral_storage: task.placed.is_none().then(|| EphemeralStorage {
            size_in_gi_b: task.storage_gib.unwrap_or(STORAGE_GIB_DEFAULT),
        }),
        ..Default::default()
    }
}

/// The overrides, with an entry for every container, as AWS answers.
fn overrides(task: &task_record::Task) -> TaskOverride {
    let given = task
        .overrides
        .container_overrides
        .clone()
        .unwrap_or_default();
    let of = |name: &str| {
        given
            .iter()
            .find(|it| it.name.as_deref() == Some(name))
            .cloned()
    };
    let all = task.containers.iter().map(|container| {
        of(&container.name).unwrap_or_else(|| ContainerOverride {
            name: Some(container.name.clone()),
            ..Default::default()
        })
    });
    TaskOverride {
        container_overrides: Some(all.collect()),
        inference_accelerator_overrides: Some(Vec::new()),
        ..task.overrides.clone()
    }
}

fn attachment(task: &task_record::Task) -> Attachment {
    let mut details = vec![("subnetId", task.subnet.clone())];
    if let Some(interface) = &task.interface {
        details.push(("networkInterfaceId", interface.id.clone()));
        details.push(("macAddress", interface.mac.clone()));
        if let Some(name) = &interface.private_dns_name {
            details.push(("privateDnsName", name.clone()));
        }
        details.push(("privateIPv4Address", interface.address.clone()));
    }
    let status = match task.phase {
        Phase::Stopped => "DELETED",
        Phase::Deprovisioning => "DETACHING",
        _ if task.interface.is_none() => "PRECREATED",
        Phase::Provisioning => "ATTACHING",
        _ => "ATTACHED",
    };
    let pair = |(name, value): (&str, String)| KeyValuePair {
        name: Some(name.into()),
        value: Some(value),
    };
    Attachment {
        id: Some(task.attachment_id.clone()),
        r#type: Some("ElasticNetworkInterface".into()),
        status: Some(status.into()),
        details: Some(details.into_iter().map(pair).collect()),
    }
}

/// The ports of its instance that lead to a container, once it is there.
fn bindings(task: &task_record::Task, container: &str) -> Vec<NetworkBinding> {
    let placed = task.placed.iter().filter(|_| task.started_ms.is_some());
    let own = placed
        .flat_map(|it| &it.bindings)
        .filter(|it| it.container == container);
    own.map(|it| NetworkBinding {
        bind_ip: Some("0.0.0.0".into()),
        container_port: Some(it.container_port),
        host_port: Some(i32::from(it.host_port)),
        protocol: Some(match it.protocol {
            PortProtocol::Tcp => TransportProtocol::Tcp,
            PortProtocol::Udp => TransportProtocol::Udp,
        }),
        ..Default::default()
    })
    .collect()
}

fn container(
    cx: &Cx,
    task_arn: &str,
    task: &task_record::Task,
    it: &task_record::Container,
) -> Container {
    let address = task.interface.as_ref().map(|interface| NetworkInterface {
        attachment_id: Some(task.attachment_id.clone()),
        private_ipv4_address: Some(interface.address.clone()),
        ipv6_address: None,
    });
    let path = format!("container/{}/{}/{}", task.cluster, task.id, it.arn_id);
    Container {
        container_arn: Some(cx.arn("ecs", &path)),
        task_arn: Some(task_arn.to_owned()),
        name: Some(it.name.clone()),
        image: Some(it.image.clone()),
        image_digest: it.digest.clone(),
        // The engine's own name of the container begins with the task's id, as on Fargate.
        runtime_id: it
            .status
            .map(|_| format!("{}-{}", task.id, &it.arn_id[..8])),
        last_status: Some(it.status.unwrap_or(Phase::Pending).as_str().into()),
        exit_code: it.exit_code,
        reason: it.reason.clone(),
        network_bindings: Some(bindings(task, &it.name)),
        network_interfaces: Some(address.into_iter().collect()),
        health_status: Some(it.health),
        managed_agents: agents(task, it),
        cpu: Some(it.cpu.clone()),
        memory: it.memory.clone(),
        memory_reservation: it.memory_reservation.clone(),
        ..Default::default()
    }
}

/// The agent of ECS Exec is the daemon itself, which reaches a container for as long as that runs.
fn agents(task: &task_record::Task, it: &task_record::Container) -> Option<Vec<ManagedAgent>> {
    let status = match it.status {
        _ if !task.enable_execute_command => return None,
        Some(Phase::Running) => "RUNNING",
        Some(Phase::Stopped) => "STOPPED",
        _ => "PENDING",
    };
    let started = task.started_ms.filter(|_| it.status.is_some());
    Some(vec![ManagedAgent {
        name: Some(ManagedAgentName::ExecuteCommandAgent),
        last_status: Some(status.into()),
        last_started_at: started.map(timestamp),
        reason: None,
    }])
}
