//! N13: nobody answers names in the network.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N13",
    name: "vpc-dns-off",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let network = situation.network.as_ref()?;
    let says_so = situation.stopped_reason().contains("no such host");
    if !network.is_without_names || !(situation.is_ahead || says_so) {
        return None;
    }
    Some(
        Clue::observed(
            format!("the network {} answers no names, so the task finds neither its registry nor its log", network.vpc),
            "… dial tcp: lookup …: no such host",
        )
        .because(format!("network {}", network.vpc), "`enableDnsSupport` is false")
        .with_what_the_task_says(situation)
        .at(&network.place)
        .mend(Mend::template("set `EnableDnsSupport: true` on the VPC")),
    )
}
