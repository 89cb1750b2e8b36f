//! L7: the health check asks a port that no container has.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "L7",
    name: "health-port",
    layer: Layer::Balancer,
    needs: &[Fact::Targets, Fact::Definition],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (target, port) = situation.targets.iter().find_map(|it| {
        let port = it.health_port?;
        let mut ports = situation.containers.iter().flat_map(|it| &it.ports);
        let is_known = port == it.port || ports.any(|it| *it == port);
        let is_red = situation.is_ahead || it.state == "unhealthy";
        (is_red && !is_known).then_some((it, port))
    })?;
    Some(
        Clue::observed(
            format!(
                "the health check of target group {} asks port {port}, and no container of the task has it",
                target.group
            ),
            "Target.Timeout, or: Target.FailedHealthChecks",
        )
        .because(
            format!("target group {}", target.group),
            format!("HealthCheckPort is {port}, and targets take requests on {}", target.port),
        )
        .at(&target.group_place)
        .mend(Mend::template("leave HealthCheckPort at `traffic-port`, or name a `containerPort`")),
    )
}
