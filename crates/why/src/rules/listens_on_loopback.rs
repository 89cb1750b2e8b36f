//! R12: the program listens where nobody outside of the task gets to.

use super::listens_elsewhere::unreached;
use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "R12",
    name: "listens-on-loopback",
    layer: Layer::Running,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (target, listening) = unreached(situation)?;
    let here = || listening.iter().filter(|it| it.port() == target.port);
    let local = here().next()?;
    if here().any(|it| !it.ip().is_loopback()) {
        return None;
    }
    Some(
        Clue::observed(
            format!("the program listens on {local} only, where nothing outside of its task gets through"),
            "Health checks failed (Target.FailedHealthChecks)",
        )
        .because("the task's sockets", format!("port {} is open on {local} and on no other address", target.port))
        .because(format!("target group {}", target.group), format!("{}: {}", target.reason, target.description))
        .mend(Mend::template("let the program listen on 0.0.0.0 (often an option --host or --bind)")),
    )
}
