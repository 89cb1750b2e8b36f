//! L21: a task of a service runs, and somebody took it out of its target group.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::{Situation, TargetFacts};
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "L21",
    name: "deregistered",
    layer: Layer::Balancer,
    needs: &[Fact::Probes],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let target = (situation.targets.iter()).find(|it| it.state == TargetFacts::ABSENT)?;
    let address = target.address?;
    let service = situation.service.as_ref()?;
    Some(
        Clue::observed(
            format!(
                "the task runs and is no target of {}, so its load balancer sends it nothing: somebody deregistered it",
                target.group
            ),
            "Target.NotRegistered: Target is not registered to the target group",
        )
        .because(
            format!("target group {}", target.group),
            format!("has no target {address}:{}", target.port),
        )
        .because(situation.thing.clone(), "runs")
        .mend(
            Mend::environment("register it again, or let the service start its tasks anew").by(format!(
                "aws ecs update-service --cluster {} --service {} --force-new-deployment",
                service.cluster, service.name
            )),
        ),
    )
}
