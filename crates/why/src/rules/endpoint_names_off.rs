//! N10: an endpoint that the service's usual name does not lead to.

use super::{Clue, Fact, Layer, Rule};
use crate::endpoint::EndpointFacts;
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N10",
    name: "endpoint-dns-off",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let network = situation.network.as_ref()?;
    // With another way out, the public address that the name leads to is reached.
    if !situation.is_ahead || network.default_route().is_some() {
        return None;
    }
    let is_unnamed = |it: &&EndpointFacts| !it.is_gateway && !it.has_private_names;
    let endpoint = network.endpoints.iter().find(is_unnamed)?;
    Some(
        Clue::observed(
            format!(
                "the name of {} leads to its public address and not to the endpoint, and nothing leads out of the task's subnet {}",
                endpoint.service, network.subnet
            ),
            super::packets::TIMED_OUT,
        )
        .because(format!("endpoint for {}", endpoint.service), "`PrivateDnsEnabled` is not true")
        .because(network.table_shown(), "has no route for 0.0.0.0/0")
        .at(&endpoint.place)
        .mend(Mend::template(
            "set `PrivateDnsEnabled: true` on the endpoint, and `EnableDnsSupport` and `EnableDnsHostnames` on the VPC",
        )),
    )
}
