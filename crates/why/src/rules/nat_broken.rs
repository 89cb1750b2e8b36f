//! N3: the route leads to a NAT gateway that is not there, or not working.

use super::packets::{self, out_of_reach};
use super::{Clue, Fact, Layer, Rule};
use crate::facts::{Situation, Via};
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N3",
    name: "nat-broken",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (network, Some(route)) = out_of_reach(situation)? else {
        return None;
    };
    if route.via != Via::Nat {
        return None;
    }
    let gateway = route.target.as_str();
    let state = network.nat.as_ref().map_or("gone", |it| it.state.as_str());
    if route.is_active && state == "available" {
        return None;
    }
    let route_state = if route.is_active {
        "active"
    } else {
        "blackhole"
    };
    Some(
        Clue::observed(
            format!("the NAT gateway {gateway} that {}'s subnet leads out by is {state}", situation.sender()),
            packets::timed_out(situation),
        )
        .because(
            network.table_shown(),
            format!("0.0.0.0/0 to {gateway}, {route_state}"),
        )
        .because(gateway, format!("is {state}"))
        .with_what_the_task_says(situation)
        .at(&route.place)
        .along(packets::stopped(network, gateway.to_owned(), "BAD_STATE_ROUTE", None))
        .mend(Mend::environment("make a NAT gateway in a public subnet, and let the route lead to it").by(format!(
            "aws ec2 replace-route --route-table-id {} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id NAT_GATEWAY",
            network.route_table
        ))),
    )
}
