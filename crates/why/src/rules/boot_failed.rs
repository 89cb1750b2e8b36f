//! P13: what an instance was to do at its first boot failed.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "P13",
    name: "user-data-failed",
    layer: Layer::Start,
    needs: &[Fact::Agent],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let instance = situation.instance.as_ref()?;
    let first = instance.boot_failures.first()?;
    let mut clue = Clue::observed(
        "the instance's user data failed, so what comes after in it was not done",
        first,
    );
    for line in &instance.boot_failures {
        clue = clue.because(
            format!("/var/log/cloud-init-output.log of {}", instance.id),
            line,
        );
    }
    Some(clue.mend(Mend::template("mend the user data, and launch the instance anew: it is run at the first boot alone").by(
        format!("aws ec2 get-console-output --instance-id {} --output text", instance.id),
    )))
}
