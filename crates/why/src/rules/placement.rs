//! P1 to P7: no container instance takes a task, in the words of the service that looked for one.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::{Amounts, CandidateFacts, PlacementFacts, Situation};
use crate::report::Mend;

const fn rule(id: &'static str, name: &'static str, find: fn(&Situation) -> Option<Clue>) -> Rule {
    Rule {
        id,
        name,
        layer: Layer::Deployment,
        needs: &[Fact::Placement],
        find,
    }
}

pub const NO_INSTANCES: Rule = rule("P1", "no-instances", no_instances);
pub const CPU: Rule = rule("P2", "instances-cpu", cpu);
pub const MEMORY: Rule = rule("P3", "instances-memory", memory);
pub const PORT: Rule = rule("P4", "instances-port", port);
pub const ATTRIBUTE: Rule = rule("P6", "instances-attribute", attribute);
pub const CONSTRAINT: Rule = rule("P7", "instances-constraint", constraint);

/// What the service said, if it said this.
fn said<'a>(situation: &'a Situation, words: &str) -> Option<&'a PlacementFacts> {
    let placement = situation.placement.as_ref()?;
    placement.event.contains(words).then_some(placement)
}

/// The instance that the event names.
fn closest(placement: &PlacementFacts) -> Option<&CandidateFacts> {
    let (_, rest) = placement.event.split_once("(container-instance ")?;
    let id = rest.split(')').next()?;
    placement.instances.iter().find(|it| it.id == id)
}

fn clue(situation: &Situation, placement: &PlacementFacts, cause: String) -> Clue {
    let service = situation.service.as_ref().map_or("", |it| it.name.as_str());
    let said = format!("(service {service}) {}", placement.event);
    Clue::observed(cause, said)
}

fn cluster(situation: &Situation) -> &str {
    situation
        .service
        .as_ref()
        .map_or("", |it| it.cluster.as_str())
}

fn no_instances(situation: &Situation) -> Option<Clue> {
    let placement = said(
        situation,
        "No Container Instances were found in your cluster",
    )?;
    let cluster = cluster(situation);
    Some(
        clue(situation, placement, format!("cluster {cluster} has no container instance"))
            .because(format!("cluster {cluster}"), "has no container instance that is ACTIVE")
            .mend(Mend::template(format!(
                "launch an instance of an ECS-optimized image with a way out, a role that may register it, and `ECS_CLUSTER={cluster}` in /etc/ecs/ecs.config"
            )))
            .mend(Mend::template("or run the service on Fargate (`launchType: FARGATE`)")),
    )
}

fn cpu(situation: &Situation) -> Option<Clue> {
    let placement = said(situation, "has insufficient CPU units available")?;
    Some(lack(situation, placement, "CPU units", |it| it.cpu))
}

fn memory(situation: &Situation) -> Option<Clue> {
    let placement = said(situation, "has insufficient memory available")?;
    Some(lack(situation, placement, "MiB of memory", |it| it.memory))
}

/// It would fit on an instance that is empty, or on none at all: the mend is another.
fn lack(
    situation: &Situation,
    placement: &PlacementFacts,
    unit: &str,
    of: fn(&Amounts) -> i64,
) -> Clue {
    let needs = of(&placement.needs);
    let most = placement.instances.iter().map(|it| of(&it.all)).max();
    let cause = match most {
        Some(most) if most < needs => format!(
            "a task needs {needs} {unit}, and no instance of the cluster has more than {most}, even when it is empty"
        ),
        _ => {
            format!("a task needs {needs} {unit}, and no instance of the cluster has as much free")
        }
    };
    let mut clue = clue(situation, placement, cause);
    for it in &placement.instances {
        let seen = format!("has {} of {} {unit} free", of(&it.free), of(&it.all));
        clue = clue.because(shown(it), seen);
    }
    let mend = match most.is_some_and(|it| it < needs) {
        true => format!("give the task fewer {unit}, or the cluster an instance of a larger type"),
        false => format!(
            "give the cluster another instance, or the task fewer {unit}; during a deployment old tasks and new ones share them: `minimumHealthyPercent` below 100 makes room first"
        ),
    };
    clue.mend(Mend::template(mend))
}

fn shown(it: &CandidateFacts) -> String {
    format!("container instance {} ({})", it.id, it.instance)
}

fn port(situation: &Situation) -> Option<Clue> {
    let placement = said(situation, "is already using a port required by your task")?;
    let wanted: Vec<String> = placement.host_ports.iter().map(u16::to_string).collect();
    let wanted = wanted.join(", ");
    let mut clue = clue(
        situation,
        placement,
        format!(
            "a task wants port {wanted} of its instance, and on every instance of the cluster it is taken"
        ),
    );
    for it in &placement.instances {
        let seen = format!("uses the ports {}", it.used_ports.join(", "));
        clue = clue.because(shown(it), seen);
    }
    Some(
        clue.mend(Mend::template("set `hostPort` to 0 and register at a load balancer, or use the network mode awsvpc: then each task has ports of its own"))
            .mend(Mend::template("or set `minimumHealthyPercent` to 0, so that the old task makes room for the new one")),
    )
}

fn attribute(situation: &Situation) -> Option<Clue> {
    let placement = said(situation, "is missing an attribute required by your task")?;
    let clue = clue(
        situation,
        placement,
        "a task requires an attribute (`requiresAttributes`) that no instance of the cluster has"
            .to_owned(),
    );
    Some(on_closest(clue, placement, "lacks an attribute").mend(Mend::template(
        "see what it requires, and give the cluster an instance that has it (an agent of a newer version, a log driver, another network mode)",
    ).by("aws ecs describe-task-definition --task-definition DEFINITION --query taskDefinition.requiresAttributes")))
}

fn constraint(situation: &Situation) -> Option<Clue> {
    let placement = said(situation, "placement constraint")?;
    let is_distinct = placement.event.contains("distinctInstance");
    let cause = match is_distinct {
        true => {
            "every task is to be on an instance of its own (distinctInstance), and there are too few instances"
        }
        false => {
            "no instance of the cluster meets the expression of the placement constraint (memberOf)"
        }
    };
    let clue = clue(situation, placement, cause.to_owned());
    let mend = match is_distinct {
        true => "give the cluster more instances, or the service fewer tasks",
        false => {
            "correct the expression, or give an instance the attribute that it asks for (`aws ecs put-attributes`)"
        }
    };
    Some(on_closest(clue, placement, "does not meet it").mend(Mend::template(mend)))
}

fn on_closest(clue: Clue, placement: &PlacementFacts, seen: &str) -> Clue {
    match closest(placement) {
        Some(it) => clue.because(shown(it), seen),
        None => clue.because("the service", placement.event.as_str()),
    }
}
