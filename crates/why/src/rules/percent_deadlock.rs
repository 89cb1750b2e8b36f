//! D1: the deployment may neither start a task nor stop one.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "D1",
    name: "percent-deadlock",
    layer: Layer::Deployment,
    needs: &[Fact::Service],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let service = situation.service.as_ref()?;
    let desired = i64::from(service.desired);
    let floor = (desired * i64::from(service.minimum_healthy_percent) + 99) / 100;
    let ceiling = desired * i64::from(service.maximum_percent) / 100;
    let is_stuck = desired > 0 && floor >= desired && ceiling <= desired;
    let said = (service.events.iter())
        .find(|it| it.contains("was unable to stop or start tasks during a deployment"));
    if !is_stuck || said.is_none() && !situation.is_ahead {
        return None;
    }
    Some(
        Clue::observed(
            format!("the deployment of service `{}` may neither start a task nor stop one", service.name),
            "(service …) was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
        )
        .because(
            format!("service {}", service.name),
            format!(
                "wants {desired}, at least {floor} healthy ({} %) and at most {ceiling} at a time ({} %)",
                service.minimum_healthy_percent, service.maximum_percent
            ),
        )
        .at(&service.place)
        .mend(Mend::template("set `maximumPercent` to 200, or `minimumHealthyPercent` below 100")),
    )
}
