//! L8: no listener leads to the target group.

use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "L8",
    name: "target-group-unused",
    layer: Layer::Balancer,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let target =
        (situation.targets.iter()).find(|it| it.reason == "Target.NotInUse" && !it.has_listener)?;
    Some(
        Clue::observed(
            format!("no listener or rule of a load balancer leads to the target group {}, so nobody probes its targets", target.group),
            "Target.NotInUse: Target group is not configured to receive traffic from the load balancer",
        )
        .because(format!("target group {}", target.group), "is named by no listener and no rule")
        .mend(Mend::template("let a listener or a rule forward to the group, and the service depend on it (`DependsOn`)")),
    )
}
