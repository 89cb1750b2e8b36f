//! L3 and L4: the program answers the probe, with a code that does not count as healthy.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "L3",
    name: "code-mismatch",
    layer: Layer::Balancer,
    needs: &[Fact::Probes],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let target = (situation.targets.iter())
        .find(|it| it.state == "unhealthy" && it.reason == "Target.ResponseCodeMismatch")?;
    let says_404 = target.description.contains("404");
    let mend = match says_404 {
        true => format!(
            "choose a path that the program has, instead of `{}`",
            target.check_path
        ),
        false => format!(
            "choose a path that answers {}, or widen the group's matcher",
            target.matcher
        ),
    };
    Some(
        Clue::observed(
            format!(
                "the program answers the health check of `{}`, but not with {}: {}",
                target.check_path, target.matcher, target.description
            ),
            "Health checks failed with these codes: […] (Target.ResponseCodeMismatch)",
        )
        .because(
            format!("target group {}", target.group),
            format!(
                "asks {} every {} s and wants {}",
                target.check_path, target.interval_seconds, target.matcher
            ),
        )
        .because("the program", target.description.clone())
        .mend(Mend::template(mend).by(format!(
            "aws elbv2 modify-target-group --target-group-arn {} --health-check-path PATH",
            target.group_arn
        ))),
    )
}
