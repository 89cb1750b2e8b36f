//! L1: the task's security groups do not let the balancer in.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::{BalancerFacts, GroupFacts, Situation, TargetFacts};
use crate::report::{Basis, Hop, Mend};

pub const RULE: Rule = Rule {
    id: "L1",
    name: "sg-closed",
    layer: Layer::Balancer,
    needs: &[Fact::Targets],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    // Of a task that is over, nobody remembers what its balancer said.
    let is_over = situation.task.as_ref().is_some_and(|it| it.failed_probes());
    let target = (situation.targets.iter()).find(|it| {
        let is_silent = it.reason == "Target.Timeout" || is_over && it.reason.is_empty();
        situation.is_ahead || it.state == "unhealthy" && is_silent
    })?;
    let balancer = target.balancer.as_ref()?;
    let own = &situation.network.as_ref()?.groups;
    let lets_in = own.iter().flat_map(|it| &it.ingress).any(|it| {
        it.covers_tcp(target.port) && it.names_any(&balancer.addresses, &balancer.groups)
    });
    // Beforehand, whom a range of addresses lets in is known only where the balancer's own are.
    let ranges = || {
        own.iter()
            .flat_map(|it| &it.ingress)
            .filter(|it| it.covers_tcp(target.port))
    };
    let may_let_in = balancer.addresses.is_empty() && ranges().any(|it| !it.ranges.is_empty());
    let is_known = !balancer.groups.is_empty() || !situation.is_ahead;
    if lets_in || own.is_empty() || may_let_in || !is_known {
        return None;
    }
    let basis = match target.reason.is_empty() {
        true => Basis::Derived,
        false => Basis::Observed,
    };
    Some(clue(target, balancer, own).on(basis))
}

fn clue(target: &TargetFacts, balancer: &BalancerFacts, own: &[GroupFacts]) -> Clue {
    let port = target.port;
    let mut clue = Clue::observed(
        format!(
            "no security group of the task lets the load balancer {} in on port {port}",
            balancer.name
        ),
        "Target.Timeout: Request timed out",
    );
    for group in own {
        let rules: Vec<String> = group.ingress.iter().map(|it| it.shown()).collect();
        let seen = match rules.is_empty() {
            true => "has no ingress rule".to_owned(),
            false => format!("lets in {}", rules.join("; ")),
        };
        clue = clue.because(
            format!("security group {} ({}) of the task", group.id, group.name),
            seen,
        );
    }
    let theirs: Vec<&str> = balancer.groups.iter().map(|it| it.id.as_str()).collect();
    let (first, from) = (
        own.first().map_or("", |it| it.id.as_str()),
        theirs.first().copied().unwrap_or("GROUP"),
    );
    let own_ids: Vec<&str> = own.iter().map(|it| it.id.as_str()).collect();
    let answered = match target.reason.is_empty() && target.state.is_empty() {
        true => String::new(),
        false => format!(", and its probes of port {port} were not answered"),
    };
    clue.because(
        format!("load balancer {}", balancer.name),
        format!("is in {}{answered}", theirs.join(", ")),
    )
    .at(&own.first().and_then(|it| it.place.clone()))
    .along(vec![
        Hop::passes(format!("load balancer {}", balancer.name), None),
        Hop::stops(format!("security groups {}", own_ids.join(", ")), "ENI_SG_RULES_MISMATCH", None),
    ])
    .mend(
        Mend::template(format!("let the task's group take TCP {port} from the balancer's group")).by(format!(
            "aws ec2 authorize-security-group-ingress --group-id {first} --protocol tcp --port {port} --source-group {from}"
        )),
    )
}
