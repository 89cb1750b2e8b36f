//! N4: a NAT gateway that itself has no way out.

use super::packets::{self, out_of_reach};
use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N4",
    name: "nat-in-private-subnet",
    layer: Layer::Network,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (network, Some(gateway)) = out_of_reach(situation)? else {
        return None;
    };
    let nat = network.nat.as_ref().filter(|it| it.id == gateway)?;
    let leads_to = nat.subnets_default_route.as_deref();
    if nat.state != "available" || leads_to.is_some_and(|it| it.starts_with("igw-")) {
        return None;
    }
    let seen = match leads_to {
        Some(target) => format!("its 0.0.0.0/0 leads to {target} and not to an internet gateway"),
        None => "has no route for 0.0.0.0/0".to_owned(),
    };
    Some(
        Clue::observed(
            format!(
                "the NAT gateway {gateway} is in the subnet {}, which has no way out itself",
                nat.subnet
            ),
            packets::TIMED_OUT,
        )
        .because(network.table_shown(), format!("0.0.0.0/0 to {gateway}"))
        .because(format!("subnet {} of the gateway", nat.subnet), seen)
        .with_what_the_task_says(situation)
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
