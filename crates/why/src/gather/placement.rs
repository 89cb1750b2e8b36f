//! Why a service found no container instance: what its task needs, and what each instance has left.

use cloud::{Cx, Error};
use shapes::ecs::{
    ContainerInstance, DescribeTaskDefinitionInput, Resource, Service, TaskDefinition,
};

use super::instances::container_instance_id;
use super::list;
use crate::facts::{Amounts, CandidateFacts, PlacementFacts};

/// What services say that found no place.
pub const SAYS: &str = "unable to place a task because no container instance";

pub async fn of(
    cx: &Cx,
    cluster: &str,
    service: &Service,
    event: &str,
) -> Result<PlacementFacts, Error> {
    let definition = cx.call(DescribeTaskDefinitionInput {
        task_definition: service.task_definition.clone().unwrap_or_default(),
        include: None,
    });
    let definition = definition.await?.task_definition.unwrap_or_default();
    let instances = list::container_instances(cx, cluster).await?;
    Ok(PlacementFacts {
        event: match event.split_once(") ") {
            Some((head, rest)) if head.starts_with("(service ") => rest.to_owned(),
            _ => event.to_owned(),
        },
        needs: needs(&definition),
        host_ports: host_ports(&definition),
        instances: instances.iter().map(candidate).collect(),
    })
}

/// What the task says of itself counts; else what its containers do.
fn needs(definition: &TaskDefinition) -> Amounts {
    let own = |text: &Option<String>| text.as_deref().and_then(|it| it.parse::<i64>().ok());
    let containers = || definition.container_definitions.iter().flatten();
    let cpu = containers()
        .map(|it| i64::from(it.cpu.unwrap_or_default()))
        .sum();
    let memory = containers()
        .map(|it| i64::from(it.memory_reservation.or(it.memory).unwrap_or_default()))
        .sum();
    Amounts {
        cpu: own(&definition.cpu).unwrap_or(cpu),
        memory: own(&definition.memory).unwrap_or(memory),
    }
}

fn host_ports(definition: &TaskDefinition) -> Vec<u16> {
    let is_host = definition
        .network_mode
        .is_some_and(|it| it.as_str() == "host");
    let containers = definition.container_definitions.iter().flatten();
    let mappings = containers.flat_map(|it| it.port_mappings.iter().flatten());
    let asked = mappings.filter_map(|it| match is_host {
        true => it.host_port.or(it.container_port),
        false => it.host_port.filter(|it| *it != 0),
    });
    asked.filter_map(|it| u16::try_from(it).ok()).collect()
}

fn candidate(it: &ContainerInstance) -> CandidateFacts {
    let remaining = it.remaining_resources.as_deref().unwrap_or_default();
    let all = it.registered_resources.as_deref().unwrap_or_default();
    let ports = remaining
        .iter()
        .find(|it| it.name.as_deref() == Some("PORTS"));
    CandidateFacts {
        id: container_instance_id(it.container_instance_arn.as_deref()),
        instance: it.ec2_instance_id.clone().unwrap_or_default(),
        is_connected: it.agent_connected == Some(true),
        all: amounts(all),
        free: amounts(remaining),
        used_ports: ports
            .and_then(|it| it.string_set_value.clone())
            .unwrap_or_default(),
    }
}

fn amounts(all: &[Resource]) -> Amounts {
    let of = |name: &str| {
        let found = all.iter().find(|it| it.name.as_deref() == Some(name));
        i64::from(found.and_then(|it| it.integer_value).unwrap_or_default())
    };
    Amounts {
        cpu: of("CPU"),
        memory: of("MEMORY"),
    }
}
