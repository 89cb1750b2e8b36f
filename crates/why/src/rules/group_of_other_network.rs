//! N15: a security group and the subnet are of two networks.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N15",
    name: "sg-other-vpc",
    layer: Layer::Network,
    needs: &[Fact::Network, Fact::Definition],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let network = situation.network.as_ref()?;
    let mut groups = network.groups.iter();
    let (group, vpc) = groups.find_map(|it| {
        let vpc = it.vpc.as_ref()?;
        (*vpc != network.vpc && !network.vpc.is_empty()).then_some((it, vpc))
    })?;
    Some(
        Clue::observed(
            format!(
                "the security group {} is of the network {vpc}, and the task's subnet {} of {}",
                group.id, network.subnet, network.vpc
            ),
            "InvalidParameterException: Security group … does not appear to belong to the same VPC as the input subnets.",
        )
        .because(format!("security group {}", group.id), format!("is of {vpc}"))
        .because(format!("subnet {}", network.subnet), format!("is of {}", network.vpc))
        .at(&group.place)
        .mend(Mend::template("make the group in the network of the subnets (`VpcId`)")),
    )
}
