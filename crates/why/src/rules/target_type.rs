//! L10: the target group takes instances, and the task has an address of its own.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "L10",
    name: "target-type",
    layer: Layer::Balancer,
    needs: &[Fact::Targets, Fact::Definition],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let target = (situation.targets.iter()).find(|it| it.target_type == "instance")?;
    // A task that has a network of its own is in `awsvpc` mode.
    situation.network.as_ref().filter(|_| situation.is_ahead)?;
    Some(
        Clue::observed(
            format!("the target group {} takes instances, and tasks in the network mode awsvpc are addresses", target.group),
            "InvalidParameterException: The provided target group … has target type instance, which is incompatible with the awsvpc network mode specified in the task definition.",
        )
        .because(format!("target group {}", target.group), "its TargetType is `instance`, which it is when none is given")
        .at(&target.group_place)
        .mend(Mend::template("set `TargetType: ip` on the target group")),
    )
}
