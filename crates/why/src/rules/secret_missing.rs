//! S13: a secret or parameter that the task is given does not exist.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S13",
    name: "secret-missing",
    layer: Layer::Start,
    needs: &[Fact::Secrets],
    find,
};

const MAKE: &str = "make it, in the region that its ARN says";
const CORRECT: &str = "or correct `valueFrom`: a secret's ARN ends with six characters that AWS chose, and may be followed by `:KEY::`";

fn find(situation: &Situation) -> Option<Clue> {
    if let Some(clue) = ahead(situation) {
        return Some(clue);
    }
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
        .mend(Mend::environment(MAKE))
        .mend(Mend::template(CORRECT)),
    )
}

fn ahead(situation: &Situation) -> Option<Clue> {
    let mut containers = situation.containers.iter();
    let (container, secret) = containers.find_map(|it| Some((it, it.missing_secrets.first()?)))?;
    Some(
        Clue::observed(
            format!(
                "the variable {} of container `{}` is to come from `{}`, which does not exist",
                secret.variable, container.name, secret.value_from
            ),
            "ResourceInitializationError: unable to pull secrets or registry auth: … ResourceNotFoundException, or: invalid parameters",
        )
        .because(format!("secrets and parameters in {}", situation.region), "there is none of that name")
        .at(&secret.place)
        .mend(Mend::environment(MAKE))
        .mend(Mend::template(CORRECT)),
    )
}
