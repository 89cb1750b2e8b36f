//! B7: a deployment does not find which images to deploy.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "B7",
    name: "image-definitions",
    layer: Layer::Deployment,
    needs: &[Fact::Action],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let action = situation.action.as_ref()?;
    let says = action.message.to_lowercase();
    if !says.contains("imagedefinitions") && !says.contains("image definition") {
        return None;
    }
    Some(
        Clue::observed(
            format!("the deployment of pipeline {} does not find which images to deploy", action.pipeline),
            "Did not find the image definition file imagedefinitions.json in the input artifacts ZIP file.",
        )
        .because(format!("action {} of stage {}", action.name, action.stage), action.message.clone())
        .mend(Mend::template("let the build write `[{\"name\": CONTAINER, \"imageUri\": IMAGE}]` to imagedefinitions.json and list it in the buildspec's `artifacts`")),
    )
}
