//! S13: a secret or parameter that the task is given does not exist.

use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S13",
    name: "secret-missing",
    layer: Layer::Start,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let reason = situation.stopped_reason();
    let is_missing = [
        "ResourceNotFoundException",
        "invalid parameters",
        "ParameterNotFound",
        "can't find the specified secret",
    ]
    .iter()
    .any(|it| reason.contains(it));
    if !situation.secret_failed() || !is_missing {
        return None;
    }
    Some(
        Clue::observed(
            "a secret or parameter that the task definition names does not exist",
            "ResourceInitializationError: unable to pull secrets or registry auth: … ResourceNotFoundException, or: invalid parameters",
        )
        .with_what_the_task_says(situation)
        .mend(Mend::environment("make it, in the region that its ARN says"))
        .mend(Mend::template("or correct `valueFrom`: a secret's ARN ends with six characters that AWS chose, and may be followed by `:KEY::`")),
    )
}
