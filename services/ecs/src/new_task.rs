//! Making a task's record: the same for `RunTask` and for a service's scheduler.

use cloud::{Cx, Error, Records};
use shapes::ecs::{
    CapacityProviderStrategyItem, ContainerDefinition, HealthStatus, LaunchType, LoadBalancer,
    NetworkConfiguration, Tag, TaskOverride,
};

use crate::record::{Definition, uuid};
use crate::task_record::{
    Container, OfService, Phase, Placed, Registration, Target, Task, TaskPlace,
};

/// What a new task is made of.
pub struct NewTask<'a> {
    pub id: String,
    pub cluster: &'a str,
    pub definition: &'a Definition,
    pub service: Option<OfService>,
    pub group: String,
    pub started_by: Option<String>,
    pub network: NetworkConfiguration,
    pub subnet: String,
    /// None: on Fargate.
    pub placed: Option<Placed>,
    pub launch_type: Option<LaunchType>,
    pub strategy: Vec<CapacityProviderStrategyItem>,
    pub load_balancers: &'a [LoadBalancer],
    pub overrides: TaskOverride,
    pub enable_execute_command: bool,
    pub tags: Vec<Tag>,
}

/// Puts the record of a new task, and the way from its id to it.
pub fn put_new_task(cx: &Cx, tx: &Records<'_>, new: NewTask<'_>) -> Result<Task, Error> {
    let shape = &new.definition.shape;
    let containers = shape.container_definitions.as_deref().unwrap_or_default();
    let target = |it: &LoadBalancer| Target {
        group: it.target_group_arn.clone().unwrap_or_default(),
        port: target_port(it, new.placed.as_ref()),
    };
    let platform_version = match new.placed {
        Some(_) => String::new(),
        None => crate::launch::PLATFORM_VERSION.into(),
    };
    // What gets no interface has nothing to be provisioned.
    let phase = match &new.placed {
        Some(placed) if !placed.is_apart() => Phase::Pending,
        _ => Phase::Provisioning,
    };
    let zone = new.placed.as_ref().map(|it| it.zone.clone());
    let task = Task {
        region: cx.region.clone(),
        cluster: new.cluster.to_owned(),
        id: new.id,
        credentials_key: cloud::random_hex(32),
        service: new.service,
        definition: new.definition.arn(),
        group: new.group,
        started_by: new.started_by,
        network: new.network,
        subnet: new.subnet,
        zone: zone.unwrap_or_default(),
        launch_type: new.launch_type,
        strategy: new.strategy,
        platform_version,
        cpu: new
            .overrides
            .cpu
            .clone()
            .or(shape.cpu.clone())
            .unwrap_or_default(),
        memory: new
            .overrides
            .memory
            .clone()
            .or(shape.memory.clone())
            .unwrap_or_default(),
        storage_gib: new
            .overrides
            .ephemeral_storage
            .as_ref()
            .or(shape.ephemeral_storage.as_ref())
            .map(|it| it.size_in_gi_b),
        containers: containers
            .iter()
            .map(|it| new_container(it, &new.overrides))
            .collect(),
        overrides: new.overrides,
        enable_execute_command: new.enable_execute_command,
        tags: new.tags,
        attachment_id: uuid(),
        phase,
        stop: None,
        interface: None,
        targets: new.load_balancers.iter().map(target).collect(),
        placed: new.placed,
        registration: Registration::Never,
        was_healthy: false,
        version: 1,
        created_ms: cx.clock().now_ms(),
        connected_ms: None,
        pull_started_ms: None,
        pull_stopped_ms: None,
        started_ms: None,
        stopping_ms: None,
        execution_stopped_ms: None,
        stopped_ms: None,
    };
    tx.put(&task)?;
    tx.put(&TaskPlace {
        id: task.id.clone(),
        key: task.live_key(),
    })?;
    Ok(task)
}

/// The port that a balancer's requests go to: the container's, or that of the instance which leads there.
fn target_port(balancer: &LoadBalancer, placed: Option<&Placed>) -> i32 {
    let port = balancer.container_port.unwrap_or_default();
    let bindings = placed.iter().flat_map(|it| &it.bindings);
    let own = bindings.into_iter().find(|it| {
        Some(&it.container) == balancer.container_name.as_ref() && it.container_port == port
    });
    own.map_or(port, |it| i32::from(it.host_port))
}

fn new_container(definition: &ContainerDefinition, overrides: &TaskOverride) -> Container {
    let name = definition.name.clone().unwrap_or_default();
    let own = (overrides.container_overrides.iter().flatten())
        .find(|it| it.name.as_deref() == Some(&name));
    let text = |over: Option<i32>, own: Option<i32>| over.or(own).map(|it| it.to_string());
    Container {
        image: definition.image.clone().unwrap_or_default(),
        digest: None,
        essential: definition.essential != Some(false),
        has_health_check: (definition.health_check.as_ref())
            .is_some_and(|it| it.command.first().is_some_and(|kind| kind != "NONE")),
        cpu: text(own.and_then(|it| it.cpu), definition.cpu).unwrap_or_else(|| "0".into()),
        memory: text(own.and_then(|it| it.memory), definition.memory),
        memory_reservation: text(
            own.and_then(|it| it.memory_reservation),
            definition.memory_reservation,
        ),
        arn_id: uuid(),
        status: None,
        health: HealthStatus::Unknown,
        exit_code: None,
        reason: None,
        name,
    }
}
