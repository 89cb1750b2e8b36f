//! I11: the registry has had enough of this machine's pulls.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "I11",
    name: "hub-rate-limit",
    layer: Layer::Image,
    needs: &[Fact::StopReason],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let reason = situation.stopped_reason().to_lowercase();
    if !reason.contains("toomanyrequests") && !reason.contains("rate limit") {
        return None;
    }
    Some(
        Clue::observed(
            "the registry that the image comes from refuses further pulls for a while",
            "CannotPullContainerError: … toomanyrequests: You have reached your pull rate limit",
        )
        .with_what_the_task_says(situation)
        .mend(Mend::template(
            "log in by `repositoryCredentials` with a secret that has username and password",
        ))
        .mend(Mend::environment(
            "or push the image to a repository of this account, and name that one",
        )),
    )
}
