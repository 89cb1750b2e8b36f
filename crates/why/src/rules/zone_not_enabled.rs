//! L9: a task may run in a zone that its load balancer is not in.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "L9",
    name: "zone-not-enabled",
    layer: Layer::Balancer,
    needs: &[Fact::Targets, Fact::Network],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let network = situation.network.as_ref()?;
    let zone = network.zone.as_ref()?;
    let (target, balancer) = situation.targets.iter().find_map(|it| {
        let balancer = it.balancer.as_ref()?;
        let is_red = situation.is_ahead || it.reason == "Target.NotInUse";
        let is_out = !balancer.zones.is_empty() && !balancer.zones.contains(zone);
        (is_red && is_out).then_some((it, balancer))
    })?;
    Some(
        Clue::observed(
            format!(
                "the task's subnet {} is in {zone}, where the load balancer {} is not enabled",
                network.subnet, balancer.name
            ),
            "Target.NotInUse: Target is in an Availability Zone that is not enabled for the load balancer",
        )
        .because(format!("load balancer {}", balancer.name), format!("is in {}", balancer.zones.join(", ")))
        .because(format!("target group {}", target.group), format!("gets targets in {zone}"))
        .at(&network.place)
        .mend(Mend::template(format!("give the load balancer a subnet in {zone}, or take the service's away"))),
    )
}
