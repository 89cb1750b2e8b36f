//! B1: the source of a pipeline cannot be read.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "B1",
    name: "source-denied",
    layer: Layer::Deployment,
    needs: &[Fact::Action],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let action = situation.action.as_ref()?;
    let says = [
        "is not available",
        "Authentication failed",
        "authentication",
        "PENDING",
        "401",
        "403",
    ];
    if !says.iter().any(|it| action.message.contains(it)) {
        return None;
    }
    Some(
        Clue::observed(
            format!(
                "the source of pipeline {} cannot be read by action {}",
                action.pipeline, action.name
            ),
            "The connection is not available, or: the token of the source action is not accepted",
        )
        .because(
            format!("action {} of stage {}", action.name, action.stage),
            action.message.clone(),
        )
        .mend(
            Mend::environment(
                "complete the connection, or give the action a token that may read the repository",
            )
            .by("neargate connection ls"),
        ),
    )
}
