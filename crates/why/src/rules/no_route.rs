//! N1: nothing leads out of the task's subnet.

use super::packets::{self, out_of_reach};
use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N1",
    name: "no-route",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (network, None) = out_of_reach(situation)? else {
        return None;
    };
    let routes: Vec<String> = (network.routes.iter())
        .map(|it| format!("{} to {}", it.destination, it.target))
        .collect();
    let table = network.route_table.clone();
    let path = packets::stopped(network, table, "NO_ROUTE_TO_DESTINATION", None);
    let seen = match routes.is_empty() {
        true => "has no route but that within the network".to_owned(),
        false => format!("has {} and nothing for 0.0.0.0/0", routes.join(", ")),
    };
    let add = format!(
        "aws ec2 create-route --route-table-id {} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id NAT_GATEWAY",
        network.route_table
    );
    Some(
        Clue::observed(
            format!(
                "the subnet {} of {} has no route to the internet, so {}",
                network.subnet,
                situation.sender(),
                situation.loss()
            ),
            packets::timed_out(situation),
        )
        .because(
            network.table_shown(),
            seen,
        )
        .with_what_the_task_says(situation)
        .at(&network.place)
        .along(path)
        .mend(Mend::template("give the subnet's route table a route 0.0.0.0/0 to a NAT gateway that is in a public subnet").by(add))
        .mend(Mend::template(packets::or_in_public(situation))),
    )
}
