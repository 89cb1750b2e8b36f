//! L11: a service registers a container or a port that its definition does not have.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::nearest::nearest;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "L11",
    name: "container-name-or-port",
    layer: Layer::Balancer,
    needs: &[Fact::Targets, Fact::Definition],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let containers = &situation.containers;
    if !situation.is_ahead || containers.is_empty() {
        return None;
    }
    let (target, name, port) = situation.targets.iter().find_map(|it| {
        let (name, port) = it.container.as_ref()?;
        let there = containers.iter().find(|it| it.name == *name);
        let has_it = there.is_some_and(|it| it.ports.contains(port));
        (!has_it).then_some((it, name, port))
    })?;
    let there = containers.iter().find(|it| it.name == *name);
    let (cause, seen) = match there {
        Some(container) => {
            let ports: Vec<String> = container.ports.iter().map(u16::to_string).collect();
            (
                format!(
                    "the service registers port {port} of container `{name}`, which that does not have"
                ),
                match ports.is_empty() {
                    true => format!("container {name} has no port mappings"),
                    false => format!("container {name} has {}", ports.join(", ")),
                },
            )
        }
        None => {
            let names: Vec<String> = containers.iter().map(|it| it.name.clone()).collect();
            let near = match nearest(name, &names) {
                Some(near) => format!(" (nearest: `{near}`)"),
                None => String::new(),
            };
            (
                format!(
                    "the service registers the container `{name}`, which its definition does not have"
                ),
                format!("it has {}{near}", names.join(", ")),
            )
        }
    };
    Some(
        Clue::observed(
            cause,
            "InvalidParameterException: The container … does not exist in the task definition, or: … did not have a container port … defined.",
        )
        .because("the task definition", seen)
        .because(format!("target group {}", target.group), format!("is to get {name}:{port}"))
        .at(&target.place)
        .mend(Mend::template("let the service's `loadBalancers` and the container's `portMappings` say the same")),
    )
}
