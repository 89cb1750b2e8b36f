//! N12: the network ACL of the task's subnet stops HTTPS, on its way out or on its way back.

use super::packets::{self, out_of_reach};
use super::{Clue, Fact, Layer, Rule};
use crate::acl::{AclDirection, AclPeer, EPHEMERAL_SHOWN};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N12",
    name: "nacl",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

const HTTPS: u16 = 443;

fn find(situation: &Situation) -> Option<Clue> {
    let (network, _) = out_of_reach(situation)?;
    let acl = network.acl.as_ref()?;
    let (direction, rule) = acl.lets_connect(HTTPS, AclPeer::Anybody).err()?;
    let (cause, ports, flag) = match direction {
        AclDirection::Out => ("does not let HTTPS (TCP 443) out", "443", "--egress"),
        AclDirection::In => (
            "does not let the answers of HTTPS in: it knows no connections, so their ports have to be open",
            EPHEMERAL_SHOWN,
            "--ingress",
        ),
    };
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    let path = packets::stopped_by_acl(network, acl, rule.clone());
    Some(
        Clue::observed(
            format!(
                "the network ACL of {}'s subnet {} {cause}",
                situation.sender(),
                network.subnet
            ),
            packets::timed_out(situation),
        )
        .because(
            format!("network ACL {} of {}", acl.id, network.subnet),
            rule,
        )
        .with_what_the_task_says(situation)
        .at(&acl.place)
        .along(path)
        .mend(Mend::template(format!("let an entry before it allow TCP {ports}")).by(format!(
            "aws ec2 create-network-acl-entry --network-acl-id {} --rule-number 1 {flag} --protocol tcp --port-range From={from},To={to} --cidr-block 0.0.0.0/0 --rule-action allow",
            acl.id
        ))),
    )
}
