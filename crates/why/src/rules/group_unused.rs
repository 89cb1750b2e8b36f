//! L8: no listener leads to the target group.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::{Situation, TargetFacts};
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "L8",
    name: "target-group-unused",
    layer: Layer::Balancer,
    needs: &[Fact::Targets],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let is_idle = |reason: &str| situation.is_ahead || reason == "Target.NotInUse";
    if let Some(early) = (situation.targets.iter()).find(|it| it.may_be_early && it.has_listener) {
        return Some(before_its_listener(early));
    }
    let target = (situation.targets.iter()).find(|it| is_idle(&it.reason) && !it.has_listener)?;
    Some(
        Clue::observed(
            format!("no listener or rule of a load balancer leads to the target group {}, so nobody probes its targets", target.group),
            "Target.NotInUse: Target group is not configured to receive traffic from the load balancer",
        )
        .because(format!("target group {}", target.group), "is named by no listener and no rule")
        .at(&target.place)
        .mend(Mend::template("let a listener or a rule forward to the group, and the service depend on it (`DependsOn`)")),
    )
}

/// Which of the two is made first is up to nobody.
fn before_its_listener(target: &TargetFacts) -> Clue {
    Clue::observed(
        format!("the service may be made before the listener that leads to its target group {}", target.group),
        "InvalidParameterException: The target group with targetGroupArn … does not have an associated load balancer.",
    )
    .because("the service", "depends neither on the listener nor on the rule that forwards to the group")
    .warns()
    .at(&target.place)
    .mend(Mend::template("let the service depend on the listener or the rule (`DependsOn`)"))
}
