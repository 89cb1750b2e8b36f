//! P12: an instance joined the default cluster, and was meant for another.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "P12",
    name: "wrong-cluster",
    layer: Layer::Deployment,
    needs: &[Fact::Agent],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let instance = situation.instance.as_ref()?;
    let wanted = instance
        .wanted_by
        .as_ref()
        .filter(|_| instance.is_default)?;
    let joined = instance.joined.as_ref().filter(|it| *it != wanted)?;
    Some(
        Clue::observed(
            format!(
                "the instance joined cluster {joined}, for nobody told its agent of {wanted}, which has no instance"
            ),
            "(service …) was unable to place a task because no container instance met all of its requirements. Reason: No Container Instances were found in your cluster.",
        )
        .because(
            format!("/etc/ecs/ecs.config of {}", instance.id),
            "has no ECS_CLUSTER",
        )
        .because(format!("cluster {wanted}"), "has no container instance, and a service that waits for one")
        .mend(Mend::template(format!(
            "let the user data say `echo ECS_CLUSTER={wanted} >> /etc/ecs/ecs.config`, and launch the instance anew"
        ))),
    )
}
