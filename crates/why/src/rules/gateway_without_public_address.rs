//! N2: an internet gateway is of no use to who has no public address.

use super::packets::{self, out_of_reach};
use super::{Clue, Fact, Layer, Rule};
use crate::facts::{Situation, Via};
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N2",
    name: "igw-without-public-ip",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (network, Some(route)) = out_of_reach(situation)? else {
        return None;
    };
    if route.via != Via::InternetGateway || network.has_public_address != Some(false) {
        return None;
    }
    let gateway = route.target.as_str();
    let code = "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS";
    Some(
        Clue::observed(
            format!(
                "{} has no public address, and its subnet {} leads out by the internet gateway \
                 {gateway} alone, which carries packets of public addresses only",
                situation.sender(),
                network.subnet
            ),
            packets::timed_out(situation),
        )
        .because(network.table_shown(), format!("0.0.0.0/0 to {gateway}"))
        .because(
            format!("{}'s interface", situation.sender()),
            no_address(situation),
        )
        .with_what_the_task_says(situation)
        .at(&network.place)
        .along(packets::stopped(network, gateway.to_owned(), code, None))
        .mend(Mend::template(set_address(situation)))
        .mend(Mend::template(format!(
            "or run {} in a private subnet whose route 0.0.0.0/0 leads to a NAT gateway",
            situation.sender()
        ))),
    )
}

fn no_address(situation: &Situation) -> &'static str {
    match situation.instance {
        Some(_) => "has no public address (neither its subnet nor its launch asks for one)",
        None => "has no public address (`assignPublicIp` is not ENABLED)",
    }
}

fn set_address(situation: &Situation) -> &'static str {
    match situation.instance {
        Some(_) => {
            "set `MapPublicIpOnLaunch` of the subnet, or `AssociatePublicIpAddress` of the launch"
        }
        None => "set `assignPublicIp: ENABLED` in the service's or task's network configuration",
    }
}
