//! N5: the route leads to an internet gateway that is not attached.

use super::packets::{self, out_of_reach};
use super::{Clue, Fact, Layer, Rule};
use crate::facts::{Situation, Via};
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N5",
    name: "igw-detached",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (network, Some(route)) = out_of_reach(situation)? else {
        return None;
    };
    if route.via != Via::InternetGateway || network.internet_gateway_attached {
        return None;
    }
    let gateway = route.target.as_str();
    Some(
        Clue::observed(
            format!("the internet gateway {gateway} that {}'s subnet leads out by is not attached to {}", situation.sender(), network.vpc),
            packets::timed_out(situation),
        )
        .because(network.table_shown(), format!("0.0.0.0/0 to {gateway}"))
        .because(gateway, "is attached to no VPC, or to another one")
        .with_what_the_task_says(situation)
        .at(&route.place)
        .along(packets::stopped(network, gateway.to_owned(), "BAD_STATE_ATTACHMENT", None))
        .mend(Mend::environment("attach the gateway").by(format!(
            "aws ec2 attach-internet-gateway --internet-gateway-id {gateway} --vpc-id {}",
            network.vpc
        ))),
    )
}
