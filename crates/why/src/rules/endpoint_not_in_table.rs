//! N9: a gateway endpoint that does not stand in the route table of the task's subnet.

use super::{Clue, Fact, Layer, Rule};
use crate::endpoint::EndpointFacts;
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N9",
    name: "s3-gateway-not-associated",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let network = situation.network.as_ref()?;
    if !situation.is_ahead || network.default_route().is_some() {
        return None;
    }
    let is_elsewhere = |it: &&EndpointFacts| {
        let tables = it.tables.as_ref();
        it.is_gateway && tables.is_some_and(|it| !it.contains(&network.route_table))
    };
    let endpoint = network.endpoints.iter().find(is_elsewhere)?;
    let tables = endpoint.tables.as_deref().unwrap_or_default();
    let seen = match tables.is_empty() {
        true => "stands in no route table".to_owned(),
        false => format!("stands in {}", tables.join(", ")),
    };
    Some(
        Clue::observed(
            format!(
                "the endpoint for {} is not in the route table of the task's subnet {}, and nothing else leads out of it",
                endpoint.service, network.subnet
            ),
            "CannotPullContainerError: ref pull has been retried … failed to copy: httpReaderSeeker: failed open: … i/o timeout",
        )
        .because(format!("endpoint for {}", endpoint.service), seen)
        .because(network.table_shown(), "is the subnet's, and has no route for 0.0.0.0/0")
        .at(&endpoint.place)
        .mend(Mend::template("add the subnet's route table to the endpoint's `RouteTableIds`")),
    )
}
