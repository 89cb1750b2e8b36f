//! N8: the network has endpoints of its own to AWS, and not all that the task needs.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N8",
    name: "endpoint-set-incomplete",
    layer: Layer::Network,
    needs: &[Fact::Network, Fact::Definition],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let network = situation.network.as_ref()?;
    if network.endpoints.is_empty() || network.default_route().is_some() {
        return None;
    }
    let from_ecr = (situation.containers.iter())
        .any(|it| it.image.account.is_some() || it.image.is_of.is_some());
    let logs = situation.containers.iter().any(|it| it.log.is_some());
    // A layer of an image comes from S3, whatever answers for the registry.
    let wanted = [
        ("ecr.api", from_ecr),
        ("ecr.dkr", from_ecr),
        ("s3", from_ecr),
        ("logs", logs),
    ];
    let has = |name: &str| network.endpoints.iter().any(|it| it.service == name);
    let names: Vec<&str> = (network.endpoints.iter())
        .map(|it| it.service.as_str())
        .collect();
    let missing: Vec<&str> = (wanted.iter())
        .filter(|(name, is_needed)| *is_needed && !has(name))
        .map(|it| it.0)
        .collect();
    if missing.is_empty() {
        return None;
    }
    Some(
        Clue::observed(
            format!(
                "nothing leads out of the task's subnet {} but the network's endpoints, and there is none for {}",
                network.subnet,
                missing.join(", ")
            ),
            "CannotPullContainerError: ref pull has been retried … failed to copy: httpReaderSeeker: failed open: … i/o timeout",
        )
        .because(
            format!("endpoints of {}", network.vpc),
            format!("are for {}", names.join(", ")),
        )
        .because(network.table_shown(), "has no route for 0.0.0.0/0")
        .with_what_the_task_says(situation)
        .at(&network.place)
        .mend(Mend::template(format!(
            "add an endpoint for {} (for s3, one of type Gateway in the subnet's route table), or a route to a NAT gateway",
            missing.join(", ")
        ))),
    )
}
