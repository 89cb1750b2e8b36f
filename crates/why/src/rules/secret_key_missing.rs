//! S14: a secret has no such key.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S14",
    name: "secret-json-key",
    layer: Layer::Start,
    needs: &[Fact::StopReason],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation
        .stopped_reason()
        .contains("did not contain json key")
    {
        return None;
    }
    Some(
        Clue::observed(
            "a secret that the task definition names has no such key, or is not JSON",
            "retrieved secret from Secrets Manager did not contain json key …",
        )
        .with_what_the_task_says(situation)
        .mend(Mend::template(
            "correct the key in `valueFrom` (`ARN:KEY::`)",
        ))
        .mend(Mend::environment(
            "or put a value that has it: `aws secretsmanager put-secret-value`",
        )),
    )
}
