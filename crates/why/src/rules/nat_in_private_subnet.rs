//! N4: a NAT gateway that itself has no way out.

use super::packets::{self, out_of_reach};
use super::{Clue, Fact, Layer, Rule};
use crate::facts::{Situation, Via};
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N4",
    name: "nat-in-private-subnet",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (network, Some(route)) = out_of_reach(situation)? else {
        return None;
    };
    let gateway = route.target.as_str();
    let nat = network.nat.as_ref().filter(|it| it.id == gateway)?;
    let leads_to = nat.subnets_default_route.as_ref();
    if nat.state != "available" || leads_to.is_some_and(|it| it.via == Via::InternetGateway) {
        return None;
    }
    let seen = match leads_to {
        Some(route) => format!(
            "its 0.0.0.0/0 leads to {} and not to an internet gateway",
            route.target
        ),
        None => "has no route for 0.0.0.0/0".to_owned(),
    };
    Some(
        Clue::observed(
            format!(
                "the NAT gateway {gateway} is in the subnet {}, which has no way out itself",
                nat.subnet
            ),
            packets::timed_out(situation),
        )
        .because(network.table_shown(), format!("0.0.0.0/0 to {gateway}"))
        .because(format!("subnet {} of the gateway", nat.subnet), seen)
        .with_what_the_task_says(situation)
        .at(&nat.place)
        .along(packets::stopped(
            network,
            gateway.to_owned(),
            "NO_ROUTE_TO_DESTINATION",
            None,
        ))
        .mend(Mend::template(
            "put the NAT gateway into a subnet whose route 0.0.0.0/0 leads to an internet gateway",
        )),
    )
}
