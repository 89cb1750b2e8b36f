//! N7: the security groups of an endpoint do not let the task in.

use super::{Clue, Fact, Layer, Rule};
use crate::endpoint::EndpointFacts;
use crate::facts::{GroupFacts, Situation};
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N7",
    name: "endpoint-sg-closed",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

const HTTPS: u16 = 443;

/// Whom a range of addresses lets in is not known before there are addresses: it may be the task.
fn lets_in(own: &[GroupFacts], task: &[GroupFacts]) -> bool {
    (own.iter().flat_map(|it| &it.ingress))
        .any(|it| it.covers_tcp(HTTPS) && (!it.ranges.is_empty() || it.names_any(&[], task)))
}

fn find(situation: &Situation) -> Option<Clue> {
    let network = situation.network.as_ref()?;
    if !situation.is_ahead || network.groups.is_empty() {
        return None;
    }
    let shut = |it: &&EndpointFacts| {
        let groups = it.groups.as_deref().unwrap_or_default();
        it.has_private_names && !groups.is_empty() && !lets_in(groups, &network.groups)
    };
    let endpoint = network.endpoints.iter().find(shut)?;
    let groups = endpoint.groups.iter().flatten();
    let ids: Vec<&str> = groups.clone().map(|it| it.id.as_str()).collect();
    let rules: Vec<String> = groups
        .flat_map(|it| &it.ingress)
        .map(|it| it.shown())
        .collect();
    let seen = match rules.is_empty() {
        true => "have no ingress rule".to_owned(),
        false => format!("let in {}", rules.join("; ")),
    };
    let theirs: Vec<&str> = network.groups.iter().map(|it| it.id.as_str()).collect();
    Some(
        Clue::observed(
            format!(
                "no security group of the endpoint for {} lets the task in on TCP 443",
                endpoint.service
            ),
            super::packets::TIMED_OUT,
        )
        .because(format!("security groups {} of the endpoint", ids.join(", ")), seen)
        .because("the task", format!("is in {}", theirs.join(", ")))
        .at(&endpoint.place)
        .mend(Mend::template(
            "let the endpoint's group take TCP 443 from the task's group, or from the network's addresses",
        )),
    )
}
