//! B2: a branch or object that a pipeline begins with does not exist.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "B2",
    name: "branch-missing",
    layer: Layer::Deployment,
    needs: &[Fact::Action],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let action = situation.action.as_ref()?;
    let is_source = ["The branch", "The object with key", "repository"]
        .iter()
        .any(|it| action.message.contains(it));
    if !is_source || !action.message.contains("does not exist") {
        return None;
    }
    Some(
        Clue::observed(
            format!(
                "what pipeline {} begins with is not there: {}",
                action.pipeline, action.message
            ),
            action.message.clone(),
        )
        .because(
            format!("action {} of stage {}", action.name, action.stage),
            action.message.clone(),
        )
        .mend(Mend::environment("push the branch, or upload the object"))
        .mend(Mend::template(
            "or name one that is there in the source action",
        )),
    )
}
