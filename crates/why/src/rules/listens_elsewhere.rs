//! R13: the program listens on another port than the balancer asks.

use super::{Clue, Fact, Layer, Rule};
use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::facts::{Situation, TargetFacts};
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "R13",
    name: "listens-on-other-port",
    layer: Layer::Running,
    needs: &[Fact::Sockets],
    find,
};

/// A target that is not well, and where its task listens.
pub fn unreached(situation: &Situation) -> Option<(&TargetFacts, &BTreeSet<SocketAddr>)> {
    let target = (situation.targets.iter())
        .find(|it| it.state == "unhealthy" && it.reason == "Target.FailedHealthChecks")?;
    Some((target, situation.listening.as_ref()?))
}

fn find(situation: &Situation) -> Option<Clue> {
    let (target, listening) = unreached(situation)?;
    if listening.iter().any(|it| it.port() == target.port) {
        return None;
    }
    let outward = listening.iter().filter(|it| !it.ip().is_loopback());
    let ports: BTreeSet<u16> = outward.map(SocketAddr::port).collect();
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let (seen, mend) = match ports.first() {
        Some(first) => (
            format!("it listens on port {}", ports.join(", ")),
            format!(
                "set `containerPort` and the service's load balancer to {first}, or let the program listen on {}",
                target.port
            ),
        ),
        None => (
            "it listens nowhere".to_owned(),
            format!(
                "let the program listen on 0.0.0.0:{}; if it only needs longer to start, raise `healthCheckGracePeriodSeconds`",
                target.port
            ),
        ),
    };
    Some(
        Clue::observed(
            format!(
                "nothing in the task listens on port {}, which the load balancer asks: {seen}",
                target.port
            ),
            "Health checks failed (Target.FailedHealthChecks)",
        )
        .because("the task's sockets", seen)
        .because(
            format!("target group {}", target.group),
            format!("{}: {}", target.reason, target.description),
        )
        .mend(Mend::template(mend)),
    )
}
