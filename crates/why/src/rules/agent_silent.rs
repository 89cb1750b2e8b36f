//! P8: an instance is registered, and its agent is not heard.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "P8",
    name: "agent-disconnected",
    layer: Layer::Start,
    needs: &[Fact::Agent],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let instance = situation.instance.as_ref()?;
    let cluster = instance
        .joined
        .as_ref()
        .filter(|_| !instance.is_connected)?;
    let clue = Clue::observed(
        format!(
            "the instance is registered in cluster {cluster} and its agent is not connected, so no task is placed on it"
        ),
        "(service …) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance …) encountered error \"AGENT\".",
    )
    .because(format!("container instance of {}", instance.id), "agentConnected: false");
    let clue = match instance.said.last() {
        Some(_) => clue.with_what_the_task_says(situation),
        None => clue,
    };
    Some(clue.mend(Mend::environment("see that its subnet leads out and its role may speak to ECS; start the instance anew if it is stuck").by(format!(
        "aws ec2 reboot-instances --instance-ids {}",
        instance.id
    ))))
}
