//! B3: the source has no build specification, or one that cannot be read.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "B3",
    name: "buildspec-missing",
    layer: Layer::Start,
    needs: &[Fact::Build],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let build = situation
        .build
        .as_ref()
        .filter(|it| it.code == "YAML_FILE_ERROR")?;
    Some(
        Clue::observed(
            format!("the build specification of project {} is not there or cannot be read", build.project),
            format!("YAML_FILE_ERROR: {}", build.message),
        )
        .because(format!("build {}", build.id), format!("{} in {}", build.message, build.phase))
        .mend(Mend::template("put `buildspec.yml` at the root of the source, or name it in the project's `BuildSpec`")),
    )
}
