//! N6: no security group of the task lets HTTPS out.

use super::packets::{self, out_of_reach};
use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N6",
    name: "sg-egress-closed",
    layer: Layer::Network,
    needs: &[Fact::Network],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (network, _) = out_of_reach(situation)?;
    if network.groups.is_empty() || packets::egress_rule(network).is_some() {
        return None;
    }
    let first = network.groups.first().map_or("", |it| it.id.as_str());
    let mut clue = Clue::observed(
        format!(
            "no security group of {} lets HTTPS (TCP 443) out, so {}",
            situation.sender(),
            situation.loss()
        ),
        packets::timed_out(situation),
    );
    for group in &network.groups {
        let rules: Vec<String> = group.egress.iter().map(|it| it.shown()).collect();
        let seen = match rules.is_empty() {
            true => "has no egress rule".to_owned(),
            false => format!("lets out {}", rules.join("; ")),
        };
        clue = clue.because(
            format!("security group {} ({})", group.id, group.name),
            seen,
        );
    }
    Some(
        clue.with_what_the_task_says(situation)
            .at(&network.groups.first().and_then(|it| it.place.clone()))
            .along(packets::stopped_by_groups(network))
            .mend(Mend::template(format!("let {}'s security group send TCP 443 to 0.0.0.0/0", situation.sender())).by(format!(
                "aws ec2 authorize-security-group-egress --group-id {first} --protocol tcp --port 443 --cidr 0.0.0.0/0"
            ))),
    )
}
