//! What requests say of placement, and what a definition needs of its instance.

use std::collections::BTreeSet;

use cloud::Error;
use shapes::ecs::*;

use super::expression::Expression;
use super::{Amounts, Constraint, Need, PortProtocol, Strategy};
use crate::container_rules::is_ecr;
use crate::launch::invalid;
use crate::record::Definition;
use crate::roles::task_role;

/// "You can specify a maximum of 10 constraints for each task", and 5 strategies (API reference of `RunTask`).
const CONSTRAINTS_MAX: usize = 10;
const STRATEGIES_MAX: usize = 5;

fn member_of(expression: Option<&str>) -> Result<Constraint, Error> {
    let text = expression.unwrap_or_default();
    if text.is_empty() {
        return Err(invalid("The memberOf constraint requires an expression."));
    }
    let read = Expression::parse(text)
        .map_err(|why| invalid(format!("Invalid expression: {text} ({why})")))?;
    Ok(Constraint::MemberOf(read))
}

/// Constraints of a request or a service.
pub fn constraints(given: &[PlacementConstraint]) -> Result<Vec<Constraint>, Error> {
    if given.len() > CONSTRAINTS_MAX {
        return Err(invalid("placementConstraints can have at most 10 items."));
    }
    let one = |it: &PlacementConstraint| match it.r#type {
        Some(PlacementConstraintType::DistinctInstance) => match it.expression.as_deref() {
            None | Some("") => Ok(Constraint::DistinctInstance),
            Some(_) => Err(invalid(
                "The distinctInstance constraint does not take an expression.",
            )),
        },
        Some(PlacementConstraintType::MemberOf) => member_of(it.expression.as_deref()),
        None => Err(invalid("A placement constraint needs a type.")),
    };
    given.iter().map(one).collect()
}

/// Constraints of a task definition.
pub fn own_constraints(
    given: &[TaskDefinitionPlacementConstraint],
) -> Result<Vec<Constraint>, Error> {
    if given.len() > CONSTRAINTS_MAX {
        return Err(invalid("placementConstraints can have at most 10 items."));
    }
    let one = |it: &TaskDefinitionPlacementConstraint| match it.r#type {
        Some(TaskDefinitionPlacementConstraintType::MemberOf) => {
            member_of(it.expression.as_deref())
        }
        None => Err(invalid("A placement constraint needs a type.")),
    };
    given.iter().map(one).collect()
}

pub fn strategies(given: &[PlacementStrategy]) -> Result<Vec<Strategy>, Error> {
    if given.len() > STRATEGIES_MAX {
        return Err(invalid("placementStrategy can have at most 5 items."));
    }
    let one = |it: &PlacementStrategy| {
        let field = it.field.as_deref().unwrap_or_default();
        match it.r#type {
            Some(PlacementStrategyType::Random) if field.is_empty() => Ok(Strategy::Random),
            Some(PlacementStrategyType::Random) => Err(invalid(
                "The random placement strategy does not take a field.",
            )),
            Some(PlacementStrategyType::Binpack) => match field.to_ascii_lowercase().as_str() {
                "cpu" => Ok(Strategy::BinpackCpu),
                "memory" => Ok(Strategy::BinpackMemory),
                _ => Err(invalid(
                    "Invalid field for the binpack placement strategy: it must be cpu or memory.",
                )),
            },
            Some(PlacementStrategyType::Spread) => match field {
                "instanceId" | "host" => Ok(Strategy::SpreadOverInstances),
                other => match other.strip_prefix("attribute:").filter(|it| !it.is_empty()) {
                    Some(attribute) => Ok(Strategy::Spread(attribute.to_owned())),
                    None => Err(invalid(
                        "Invalid field for the spread placement strategy: it must be instanceId, or \
                         attribute: and a name.",
                    )),
                },
            },
            None => Err(invalid("A placement strategy needs a type.")),
        }
    };
    given.iter().map(one).collect()
}

/// A service's tasks are spread over zones when nothing else is asked for.
pub fn default_strategies() -> Vec<Strategy> {
    vec![
        Strategy::Spread("ecs.availability-zone".into()),
        Strategy::SpreadOverInstances,
    ]
}

/// The mode that is in force.
pub fn network_mode(definition: &Definition) -> NetworkMode {
    (definition.shape.network_mode).unwrap_or(NetworkMode::Bridge)
}

fn number(text: Option<&String>) -> Option<i64> {
    text.and_then(|it| it.parse().ok())
}

/// What a task reserves.
pub fn amounts(definition: &Definition, overrides: &TaskOverride) -> Amounts {
    let shape = &definition.shape;
    let own = |name: &Option<String>| {
        let all = overrides.container_overrides.iter().flatten();
        all.into_iter().find(|it| it.name == *name)
    };
    let (mut cpu, mut memory) = (0, 0);
    for container in shape.container_definitions.iter().flatten() {
        let own = own(&container.name);
        cpu += i64::from(own.and_then(|it| it.cpu).or(container.cpu).unwrap_or(0));
        let soft = own.and_then(|it| it.memory_reservation);
        let hard = own.and_then(|it| it.memory);
        let reserved = soft
            .or(container.memory_reservation)
            .or(hard)
            .or(container.memory);
        memory += i64::from(reserved.unwrap_or(0));
    }
    Amounts {
        cpu: number(overrides.cpu.as_ref().or(shape.cpu.as_ref())).unwrap_or(cpu),
        memory: number(overrides.memory.as_ref().or(shape.memory.as_ref())).unwrap_or(memory),
    }
}

pub fn protocol(mapping: &PortMapping) -> PortProtocol {
    match mapping.protocol {
        Some(TransportProtocol::Udp) => PortProtocol::Udp,
        _ => PortProtocol::Tcp,
    }
}

/// What a task of this definition needs of its instance; the constraints of the request come on top.
pub fn need(
    definition: &Definition,
    overrides: &TaskOverride,
    group: &str,
    more: &[PlacementConstraint],
) -> Result<Need, Error> {
    let mode = network_mode(definition);
    let shape = &definition.shape;
    let mut constraints = constraints(more)?;
    constraints.extend(own_constraints(
        shape.placement_constraints.as_deref().unwrap_or_default(),
    )?);
    let (mut ports, mut dynamic_ports) = (Vec::new(), Vec::new());
    let mappings = (shape.container_definitions.iter().flatten())
        .flat_map(|it| it.port_mappings.iter().flatten());
    for mapping in mappings {
        let host = mapping.host_port.and_then(|it| u16::try_from(it).ok());
        match (mode, host) {
            (NetworkMode::Awsvpc | NetworkMode::None, _) => (),
            (_, None | Some(0)) => dynamic_ports.push(protocol(mapping)),
            (_, Some(port)) => ports.push((protocol(mapping), port)),
        }
    }
    Ok(Need {
        amounts: amounts(definition, overrides),
        ports,
        dynamic_ports,
        addresses: match mode {
            NetworkMode::Bridge => shape.container_definitions.iter().flatten().count(),
            _ => 0,
        },
        attributes: required_attributes(definition, overrides),
        constraints,
        group: group.to_owned(),
    })
}

/// Capabilities of an agent that a task cannot do without (`requiresAttributes`).
fn required_attributes(definition: &Definition, overrides: &TaskOverride) -> Vec<String> {
    let mut names = BTreeSet::new();
    match network_mode(definition) {
        NetworkMode::Awsvpc => drop(names.insert("ecs.capability.task-eni")),
        _ if task_role(overrides, definition).is_some() => {
            names.insert(match network_mode(definition) {
                NetworkMode::Host => "com.amazonaws.ecs.capability.task-iam-role-network-host",
                _ => "com.amazonaws.ecs.capability.task-iam-role",
            });
        }
        _ => (),
    }
    for container in definition.shape.container_definitions.iter().flatten() {
        if container.log_configuration.is_some() {
            names.insert("com.amazonaws.ecs.capability.logging-driver.awslogs");
        }
        if is_ecr(container.image.as_deref().unwrap_or_default()) {
            names.insert("com.amazonaws.ecs.capability.ecr-auth");
        }
    }
    names.into_iter().map(str::to_owned).collect()
}
